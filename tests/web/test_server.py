"""The web page and the API answer to this machine only, escape everything, and add up."""

import csv
import io
import threading

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from html_checks import tags
from made_up_scores import NASTY_NAME, bearer, made_up_backtest, write_scores
from made_up_scores import served as served_params

from pipeline.common.seals import sealed_json
from pipeline.reporting.lead_filters import Filters
from pipeline.reporting.lead_names import NAMES
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import csv_download, score_cache
from pipeline.web.app import create_app

ROWS = 130


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    names = write_scores(folder, ROWS)
    (folder / "backtest.json").write_bytes(sealed_json(made_up_backtest()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_cache, "open_ranking", lambda params: Ranking(folder, names))
        app = create_app(served_params(folder))
        yield TestClient(app, base_url="http://127.0.0.1:8000", headers=bearer(app))


def lead_ids(client, **asked):
    return [lead["lead_id"] for lead in client.get("/api/v1/leads", params=asked).json()["leads"]]


def test_every_path_of_the_api_answers(client):
    described = client.get("/api/v1/openapi.json").json()
    paths = {"summary", "leads", "leads/{lead_id}", "compare", "answers"}
    assert set(described["paths"]) == {f"/api/v1/{path}" for path in paths}
    summary = client.get("/api/v1/summary").json()
    assert summary["totals"]["leads"] == ROWS
    assert summary["company"] == "Nimbus"
    assert summary["accuracy"]
    lead = client.get("/api/v1/leads/L000003").json()["lead"]
    assert lead["lead_id"] == "L000003"
    assert {"code", "text", "feature", "value", "money", "points"} == set(
        (lead["reasons_positive"] + lead["reasons_negative"])[0]
    )


def test_shown_and_hidden_are_all(client):
    whole = client.get("/api/v1/summary").json()["totals"]
    for asked in (
        {"owner": "Ana Costa"},
        {"search": "weber"},
        {"grade": "A", "kind": "expansion"},
        {"source": "nowhere"},
    ):
        found = client.get("/api/v1/leads", params=asked | {"limit": 500}).json()
        assert found["shown"]["leads"] == len(found["leads"])
        assert found["leads"] or "nowhere" in asked.values()
        for name, value in whole.items():
            assert found["shown"][name] + found["hidden"][name] == pytest.approx(value, abs=1e-5), name


def test_paging_gives_every_lead_once_in_rank_order(client):
    pages = [lead_ids(client, start=start, limit=40) for start in range(0, ROWS, 40)]
    together = [lead for page in pages for lead in page]
    assert together == lead_ids(client, limit=500)
    assert len(set(together)) == ROWS


@pytest.mark.parametrize(
    "sort", ["rank", "this_quarter", "next_quarter", "later", "chance", "deal_value", "soonest", "name"]
)
def test_every_sort_keeps_every_lead(client, sort):
    assert sorted(lead_ids(client, sort=sort, limit=500)) == sorted(lead_ids(client, limit=500))
    assert client.get("/", params={"sort": sort}).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 501},
        {"limit": 0},
        {"start": -1},
        {"start": 10**30},
        {"sort": "1; DROP TABLE leads"},
        {"search": "x" * 101},
    ],
)
def test_inputs_are_bounded(client, asked):
    answer = client.get("/api/v1/leads", params=asked)
    assert answer.status_code == 422
    assert next(iter(asked)) in answer.json()["detail"]


@pytest.mark.parametrize("text", ["'; DROP TABLE leads; --", "%", "\\", '"', "\x00", "İ", "<b>"])
def test_strange_text_is_only_text(client, text):
    assert client.get("/api/v1/leads", params={"search": text}).status_code == 200
    assert client.get("/", params={"search": text, "owner": text}).status_code == 200
    assert client.get("/api/v1/summary").json()["totals"]["leads"] == ROWS


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "%ff%fe",
        "a" * 5_000,
        "%F0%9F%98%80",
        "L000001%0d%0aSet-Cookie:x=1",
        "'%20OR%201=1--",
    ],
)
def test_an_id_that_is_no_lead_s_opens_nothing(client, path):
    for address in (f"/leads/{path}", f"/api/v1/leads/{path}", f"/compare?lead=L000001&lead={path}"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "set-cookie" not in answer.headers
    told = {"lead_id": "a" * 5_000, "answer": "not_a_lead"}
    assert client.post("/api/v1/answers", json=told).status_code == 422


@pytest.mark.parametrize(
    "body", [b"[" * 9_000, b'{"lead_id": 1e999, "answer": "not_a_lead"}', b"\xff\xfe", b'"\\ud800"']
)
def test_a_body_that_is_none_is_refused_in_a_line(client, body):
    answer = client.post("/api/v1/answers", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert len(answer.json()["detail"]) < 200


def test_pages_escape_names_and_refuse_script_links(client):
    top = lead_ids(client, limit=1)[0]
    for path in ("/", f"/leads/{top}"):
        html = client.get(path).text
        assert NASTY_NAME not in html
        assert "&lt;script&gt;alert" in html
        assert "javascript:" not in html
        scripts = [attributes for tag, attributes in tags(html) if tag == "script"]
        assert scripts == [{"src": "/app.js", "defer": None}]


def test_pages_keep_the_filter_from_page_to_page(client):
    html = client.get("/", params={"kind": "new_business", "search": "l0"}).text
    following = [attrs["href"] for tag, attrs in tags(html) if tag == "a" and attrs.get("rel") == "next"]
    assert following == ["/?search=l0&kind=new_business&sort=rank&page=2#leads"]
    assert "This filter hides" in html
    assert client.get(following[0]).status_code == 200


def test_no_match_and_unknown_leads_say_so(client):
    assert "No lead passes this filter" in client.get("/", params={"search": "nobody at all"}).text
    page = client.get("/leads/nobody")
    assert page.status_code == 404
    assert "text/html" in page.headers["content-type"]
    answer = client.get("/api/v1/leads/" + "x" * 5000)
    assert answer.status_code == 404
    assert answer.json()["detail"]
    assert client.get("/nothing/here").status_code == 404


def test_headers_are_strict_on_every_answer(client):
    for path in ("/", "/style.css", "/api/v1/leads", "/leads/nobody", "/api/v1/leads?limit=0"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
def test_other_host_names_are_refused(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "Nimbus" not in answer.text


def test_new_scores_appear_and_a_missing_seal_keeps_the_old(tmp_path, monkeypatch):
    names = write_scores(tmp_path, 5)
    again = threading.Event()
    monkeypatch.setattr(score_cache, "open_ranking", lambda params: Ranking(tmp_path, names))
    scores = score_cache.ScoreCache(served_params(tmp_path))
    (tmp_path / "manifest.json").unlink()
    assert scores.get().ranking.totals.leads == 5
    names = write_scores(tmp_path, 9)
    whole = score_cache.open_ranking

    def noted(params):
        try:
            return whole(params)
        finally:
            again.set()

    monkeypatch.setattr(score_cache, "open_ranking", noted)
    scores.get()
    assert again.wait(20)
    with scores._opening:  # the thread that opened them is done
        pass
    assert scores.get().ranking.totals.leads == 9


def test_csv_holds_what_is_on_screen_and_no_formula(client):
    answer = client.get("/leads.csv", params={"owner": "Ben Ito", "sort": "chance"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["lead_id"] for row in rows] == lead_ids(client, owner="Ben Ito", sort="chance", limit=500)
    assert {row["owner"] for row in rows} == {"Ben Ito"}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        *((f"{start}HYPERLINK(1)", f"'{start}HYPERLINK(1)") for start in ("=", "+", "-", "@", "\t", "\r", "\n", "＝")),
        ("  =1+1", "  '=1+1"),
        ("Sun;=cmd|' /C calc'!A0", "Sun;'=cmd|' /C calc'!A0"),
        ("Sun\t@SUM(1)", "Sun\t'@SUM(1)"),
        ("Ben & Söhne (2019-24), Köln; GmbH - Co.", "Ben & Söhne (2019-24), Köln; GmbH - Co."),
    ],
)
def test_a_name_that_is_a_formula_stays_text(tmp_path, name, written):
    names = write_scores(tmp_path, 3).to_pandas()
    names["company_name"] = name
    ranking = Ranking(tmp_path, pa.Table.from_pandas(names, NAMES, preserve_index=False))
    lines = "".join(csv_download.csv_lines(ranking, Filters(), "rank"))
    rows = list(csv.DictReader(io.StringIO(lines.lstrip("\ufeff"), newline="")))
    assert [row["company_name"] for row in rows] == [written] * 3
    assert float(rows[0]["revenue"]) > 0


def test_two_leads_differ_by_what_their_themes_say(client):
    a, b = lead_ids(client, limit=2)
    told = client.get("/api/v1/compare", params={"a": a, "b": b}).json()
    assert sum(theme["weight"] for theme in told["themes"]) == pytest.approx(told["difference"])
    back = client.get("/api/v1/compare", params={"a": b, "b": a}).json()
    assert back["difference"] == pytest.approx(-told["difference"])
    assert client.get("/compare", params={"lead": [a, b]}).status_code == 200
    for wrong in ([a], [a, a], [a, b, lead_ids(client, limit=3)[2]]):
        page = client.get("/compare", params={"lead": wrong})
        assert page.status_code == 422
        assert "Choose two leads" in page.text
