"""Who may see what: tokens, log-ins, roles, and requests from other sites."""

import logging
import re
import stat
import sys
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from conftest import leadrev
from fastapi.testclient import TestClient
from made_up_scores import made_up_backtest, write_scores
from made_up_scores import served as served_params

from pipeline.common.errors import UserError
from pipeline.common.seals import sealed_json
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import app as web_app
from pipeline.web import auth, limits, score_cache, server, tokens

HOST = "https://leads.example"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    names = write_scores(folder, 90)
    (folder / "backtest.json").write_bytes(sealed_json(made_up_backtest()))
    file = folder / "tokens.yaml"
    made = {
        "Max": tokens.add_token(file, "Max", None),
        "Ana": tokens.add_token(file, "Ana", "ana"),
        "Zoe": tokens.add_token(file, "Zoe", "an owner without leads"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_cache, "open_ranking", lambda params: Ranking(folder, names))
        app = web_app.create_app(served_params(folder), tokens.TokenFile(file))
        yield SimpleNamespace(app=app, tokens=made, file=file)


def browser(served, **options):
    return TestClient(served.app, base_url=HOST, follow_redirects=False, **options)


def bearer(served, name):
    return {"authorization": f"Bearer {served.tokens[name]}"}


@pytest.mark.parametrize("given", [None, "Bearer ", "Bearer wrong", "Basic abc", b"Bearer \xc3\xa9"])
def test_nothing_is_told_without_a_token(served, given):
    client = browser(served)
    headers = {} if given is None else {"authorization": given}
    for path in (
        "/api/v1/summary",
        "/api/v1/leads",
        "/api/v1/leads/L000001",
        "/api/v1/openapi.json",
        "/api/v1/answers",
    ):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/leads/L000001", "/leads.csv", "/compare?lead=L000001&lead=L000002"):
        answer = client.get(path, headers=headers)
        following = "" if path == "/" else f"?next={quote(path, safe='')}"
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login{following}")
    assert client.get("/login").status_code == 200


def test_a_token_in_an_address_opens_nothing(served):
    token = served.tokens["Max"]
    assert browser(served).get("/api/v1/summary", params={"token": token, "access_token": token}).status_code == 401


def test_every_token_is_compared_whole_whoever_was_found(served, monkeypatch):
    compared = []
    honest = tokens.hmac.compare_digest
    monkeypatch.setattr(tokens.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or honest(a, b))
    known = tokens.TokenFile(served.file)
    for given in (served.tokens["Max"], served.tokens["Zoe"], "wrong", ""):
        compared.clear()
        known.find(given)
        assert len(compared) == len(known.people)
        assert {len(side) for pair in compared for side in pair} == {64}


def test_a_browser_logs_in_and_out_and_never_holds_the_token(served):
    client = browser(served)
    wrong = client.post("/login", data={"token": "wrong"})
    assert wrong.status_code == 403
    assert "not known" in wrong.text
    answer = client.post("/login", data={"token": served.tokens["Max"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert served.tokens["Max"] not in cookie
    for word in ("HttpOnly", "SameSite=lax", "Secure"):
        assert word in cookie
    assert "Max" in client.get("/").text
    key = client.cookies[auth.COOKIE]
    client.post("/logout")
    client.cookies.set(auth.COOKIE, key)
    assert client.get("/").status_code == 303, "the old key opens nothing any more"


def test_one_who_sees_only_own_leads_is_told_nothing_of_others(served):
    everything = browser(served, headers=bearer(served, "Max"))
    every = everything.get("/api/v1/leads", params={"limit": 500}).json()["leads"]
    own = [lead for lead in every if lead["owner_id"] == "ana"]
    others = [lead for lead in every if lead["owner_id"] != "ana"]
    assert own
    assert others
    client = browser(served, headers=bearer(served, "Ana"))
    seen = client.get("/api/v1/leads", params={"limit": 500}).json()
    assert [lead["lead_id"] for lead in seen["leads"]] == [lead["lead_id"] for lead in own]
    assert seen["shown"]["expected_revenue"] == pytest.approx(sum(lead["revenue"] for lead in own), abs=0.01 * len(own))
    assert seen["hidden"]["leads"] == 0
    assert client.get("/api/v1/leads", params={"owner": "Ben Ito"}).json()["leads"] == []
    for lead in (own[0], others[0]):
        status = 200 if lead in own else 404
        for path in (f"/api/v1/leads/{lead['lead_id']}", f"/leads/{lead['lead_id']}"):
            assert client.get(path).status_code == status
        assert (
            client.get("/api/v1/compare", params={"a": own[0]["lead_id"], "b": lead["lead_id"]}).status_code == status
        )
        assert client.get("/api/v1/answers", params={"lead_id": lead["lead_id"]}).status_code == status
        given = {"lead_id": lead["lead_id"], "answer": "not_a_lead"}
        assert client.post("/api/v1/answers", json=given).status_code == (201 if lead in own else 404)
    pages = client.get("/", params={"sort": "name"}).text + client.get("/leads.csv").text
    assert not re.search("|".join(lead["lead_id"] for lead in others), pages)
    assert "Ben Ito" not in pages
    assert client.get("/api/v1/summary").json()["totals"]["leads"] == len(own)


def test_an_owner_without_leads_sees_an_empty_list(served):
    client = browser(served, headers=bearer(served, "Zoe"))
    assert client.get("/api/v1/leads").json()["leads"] == []
    assert "No lead" in client.get("/").text


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://leads.example:444"},
    ],
)
def test_another_site_cannot_make_a_browser_answer(served, headers):
    client = browser(served, headers=bearer(served, "Max"))
    before = client.get("/api/v1/answers", params={"lead_id": "L000001"}).json()
    data = {"lead_id": "L000001", "answer": "not_a_lead"}
    assert client.post("/answers", data=data, headers=headers).status_code == 403
    assert client.post("/api/v1/answers", json=data, headers=headers).status_code == 403
    assert client.get("/api/v1/answers", params={"lead_id": "L000001"}).json() == before
    assert client.post("/answers", data=data, headers={"origin": HOST}).status_code == 303


def test_a_request_is_bounded(served):
    client = browser(served, headers=bearer(served, "Max"))
    assert client.post("/answers", content=b"x" * (web_app.BODY_BYTES + 1)).status_code == 413
    assert client.post("/answers", content=iter([b"x"])).status_code == 413, "without a length"
    assert client.post("/answers", data={str(n): "x" for n in range(30)}).status_code == 422


def test_other_addresses_need_tokens(tmp_path):
    for host in ("0.0.0.0", "192.168.1.4", "example.com", "::"):
        with pytest.raises(UserError, match="--tokens"):
            server.serve(SimpleNamespace(artifacts_folder=None), host, 8000)
    with pytest.raises(UserError, match="leadrev token"):
        server.serve(SimpleNamespace(artifacts_folder=None), "0.0.0.0", 8000, tmp_path / "none.yaml")
    with pytest.raises(UserError, match="--key"):
        server.serve(SimpleNamespace(artifacts_folder=None), certificate=tmp_path / "a.pem")


def test_a_token_is_shown_once_and_kept_as_a_digest(tmp_path):
    file = tmp_path / "tokens.yaml"
    ran = leadrev("token", "Ana: [Costa]", "--owner", "007", "--tokens", file)
    token = ran.out.split()[0]
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    _, person = tokens.TokenFile(file).find(token)
    assert (person.name, person.owner_id) == ("Ana: [Costa]", "007")
    again = leadrev("token", "Ana: [Costa]", "--tokens", file)
    assert again.code == 2
    assert len(tokens.TokenFile(file).people) == 1


@pytest.mark.parametrize(
    "content", ["", "a: b", "- x", "- {name: Ana, sha256: short}", "- {name: Ana, token: x}", "[", "- 1\n"]
)
def test_a_file_of_tokens_that_is_not_one_is_refused(tmp_path, content):
    (tmp_path / "tokens.yaml").write_text(content)
    with pytest.raises(UserError, match=r"tokens\.yaml"):
        tokens.TokenFile(tmp_path / "tokens.yaml")


def test_the_log_tells_where_it_failed_and_not_with_what():
    logger = logging.Logger("test")
    try:
        raise ValueError("alma@costa.example: Alma Costa")
    except ValueError:
        record = logger.makeRecord("test", logging.ERROR, "", 0, "Exception in ASGI\n", (), sys.exc_info())
    assert limits.QuietLog().filter(record)
    text = logging.Formatter().format(record)
    assert "ValueError at test_auth.py:" in text
    assert "costa" not in text.lower()
