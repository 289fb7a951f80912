"""Tokens, log-ins, the link of the start, proxies, redirects, headers and the log of it all, attacked."""

import json
import multiprocessing
import os
import stat
from types import SimpleNamespace

import pytest
from conftest import leadrev
from fastapi.testclient import TestClient
from made_up_scores import bearer, served, write_scores

from pipeline.common.errors import UserError
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import app as web_app
from pipeline.web import audit_log, auth, limits, score_cache, server
from pipeline.web.tokens import TokenFile, add_token, digest, revoke_tokens

HOST = "https://leads.example"


@pytest.fixture
def site(tmp_path, monkeypatch):
    names = write_scores(tmp_path, 40)
    file = tmp_path / "who" / "tokens.yaml"
    made = {
        "Max": add_token(file, "Max", None),
        "Ana": add_token(file, "Ana", "ana"),
        "Ben": add_token(file, "Ben", "ben"),
    }
    monkeypatch.setattr(score_cache, "open_ranking", lambda params: Ranking(tmp_path, names))

    def start(tokens=True, **serve):
        return web_app.create_app(served(tmp_path, **serve), TokenFile(file) if tokens else None)

    return SimpleNamespace(folder=tmp_path, file=file, tokens=made, start=start)


def browser(app, **options):
    return TestClient(app, base_url=options.pop("base_url", HOST), follow_redirects=False, **options)


def logged_in(app, token):
    client = browser(app)
    assert client.post("/login", data={"token": token}).status_code == 303
    return client


# ---- On the machine itself


def test_being_on_this_machine_opens_nothing(site):
    app = site.start(tokens=False)
    client = browser(app, base_url="http://127.0.0.1:8000")
    assert client.get("/").status_code == 303
    assert client.get("/api/v1/leads").status_code == 401
    assert client.post("/api/v1/answers", json={"lead_id": "L000001", "answer": "not_a_lead"}).status_code == 401
    assert client.get("/open/guessed").status_code == 403
    assert client.get("/").status_code == 303
    opened = client.get(f"/open/{app.state.startup_token}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert client.get("/").status_code == 200
    assert app.state.startup_token not in client.get("/").text


def test_the_start_prints_a_link_that_opens(site, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(limits.LimitedServer, "run", lambda self: ran.append(self.config))
    server.serve(served(site.folder), port=8123)
    link = capsys.readouterr().out.split()[0]
    assert link.startswith("http://127.0.0.1:8123/open/")
    app = ran[0].app
    client = browser(app, base_url="http://127.0.0.1:8123")
    assert client.get(link).status_code == 303
    assert client.get("/").status_code == 200


def test_a_token_of_the_file_is_no_link(site):
    client = browser(site.start())
    assert client.get(f"/open/{site.tokens['Max']}").status_code == 403
    assert client.get("/").status_code == 303


def test_other_machines_are_served_encrypted_or_by_an_explicit_word(site, monkeypatch, capsys):
    monkeypatch.setattr(limits.LimitedServer, "run", lambda self: None)
    params = served(site.folder)
    with pytest.raises(UserError, match="--plain-http"):
        server.serve(params, "0.0.0.0", tokens=site.file)
    server.serve(params, "0.0.0.0", tokens=site.file, plain_http=True)
    assert "http://0.0.0.0:8000/" in capsys.readouterr().out
    with pytest.raises(UserError, match="--tokens"):
        server.serve(params, "0.0.0.0", plain_http=True)


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip", "x-forwarded-user"]
)
def test_nobody_is_believed_to_be_a_proxy(site, header):
    app = site.start()
    client = browser(app, headers={"authorization": f"Bearer {site.tokens['Max']}"})
    answer = client.get("/api/v1/summary", headers={header: "127.0.0.1"})
    assert answer.status_code == 400
    assert "serve.proxies" in answer.json()["detail"]


def test_a_named_proxy_says_where_a_request_came_from(site):
    app = site.start(proxies=["10.0.0.0/24"])
    client = browser(app, base_url="http://leads.example", client=("10.0.0.7", 1))
    headers = {"x-forwarded-for": "1.2.3.4, 192.168.1.9", "x-forwarded-proto": "https"}
    answer = client.post("/login", data={"token": site.tokens["Max"]}, headers=headers)
    assert "Secure" in answer.headers["set-cookie"]
    assert "strict-transport-security" in answer.headers
    lines = (site.folder / audit_log.FILE).read_text().splitlines()
    assert json.loads(lines[-1])["address"] == "192.168.1.9"
    elsewhere = browser(app, client=("10.0.1.7", 1))
    assert elsewhere.get("/", headers=headers).status_code == 400
    assert client.get("/", headers={"x-forwarded-for": "not an address"}).status_code == 400


def test_a_proxy_is_an_address(tmp_path):
    from pipeline.config.params import ServeParams

    for wrong in ("proxy.example", "10.0.0.0/99", "*"):
        with pytest.raises(ValueError, match="address"):
            ServeParams(proxies=[wrong])


# ---- Tokens


def test_a_revoked_token_ends_its_log_ins_at_once_and_others_stay(site):
    app = site.start()
    ana, ben = logged_in(app, site.tokens["Ana"]), logged_in(app, site.tokens["Ben"])
    assert leadrev("token", "Ana", "--revoke", "--tokens", site.file).code == 0
    assert ana.get("/").status_code == 303
    assert (
        browser(app, headers={"authorization": f"Bearer {site.tokens['Ana']}"}).get("/api/v1/leads").status_code == 401
    )
    assert ben.get("/").status_code == 200
    again = leadrev("token", "Ana", "--owner", "ana", "--tokens", site.file).out.split()[0]
    assert logged_in(app, again).get("/").status_code == 200, "a token made while it runs opens at once"
    assert ana.get("/").status_code == 303


def test_who_sees_other_leads_from_now_on_does_so_at_once(site):
    app = site.start()
    ana = logged_in(app, site.tokens["Ana"])
    before = {lead["owner_id"] for lead in ana.get("/api/v1/leads?limit=500").json()["leads"]}
    site.file.write_text(site.file.read_text().replace("owner_id: ana", "owner_id: chi"))
    after = {lead["owner_id"] for lead in ana.get("/api/v1/leads?limit=500").json()["leads"]}
    assert (before, after) == ({"ana"}, {"chi"})


@pytest.mark.parametrize("spoilt", ["", "[", "- x", None])
def test_nobody_is_let_in_while_the_file_cannot_be_read(site, spoilt):
    app = site.start()
    ana, whole = logged_in(app, site.tokens["Ana"]), site.file.read_text()
    site.file.unlink() if spoilt is None else site.file.write_text(spoilt)
    assert ana.get("/").status_code == 303
    site.file.write_text(whole)
    assert ana.get("/").status_code == 200


def test_a_token_expires_with_its_log_in(site):
    app = site.start()
    ana = logged_in(app, site.tokens["Ana"])
    lines = site.file.read_text().splitlines()
    text = "\n".join(line.replace("expires: '2", "expires: '1") if "Ana" in line else line for line in lines)
    site.file.write_text(text + "\n")
    assert text != "\n".join(lines)
    assert ana.get("/").status_code == 303
    assert browser(app).post("/login", data={"token": site.tokens["Ana"]}).status_code == 403
    assert logged_in(app, site.tokens["Ben"]).get("/").status_code == 200


def test_a_new_log_in_ends_the_old_one_and_nobody_ends_another_s(site):
    app = site.start()
    first, ben = logged_in(app, site.tokens["Ana"]), logged_in(app, site.tokens["Ben"])
    for _ in range(50):
        last = logged_in(app, site.tokens["Ana"])
    assert first.get("/").status_code == 303
    assert last.get("/").status_code == 200
    assert ben.get("/").status_code == 200
    assert len(app.state.access.sessions._sessions) == 2


@pytest.mark.parametrize("owner", ["''", "'  '", "null", "~", "", "7", "[ana]", "{a: b}", "true_", "1.5"])
def test_an_owner_that_is_no_text_never_means_all_leads(tmp_path, owner):
    file = tmp_path / "tokens.yaml"
    file.write_text(f"- name: Ana\n  owner_id: {owner}\n  sha256: {digest('x')}\n")
    if owner == "true_":
        assert TokenFile(file).find("x")[1].owner_id == "true_"
        return
    with pytest.raises(UserError, match="owner_id must be text"):
        TokenFile(file)
    assert leadrev("token", "Zoe", "--owner", " ", "--tokens", tmp_path / "other.yaml").code == 2


@pytest.mark.parametrize(
    "entries",
    [
        "- {name: Ana, sha256: %(a)s, owner: ana}",
        "- {name: Ana, owner_id: ana, owner_id: ben, sha256: %(a)s}",
        "- {name: Ana, sha256: %(a)s}\n- {name: Ben, sha256: %(a)s}",
        "- {name: Ana, owner_id: ana, sha256: %(a)s}\n- {name: Ana, sha256: %(b)s}",
        "- {name: Ana, sha256: %(a)s, expires: soon}",
        "- {name: '', sha256: %(a)s}",
        "- {name: [x], sha256: %(a)s}",
        "- &a {name: Ana, sha256: %(a)s, expires: *a}",
    ],
)
def test_a_file_that_leaves_in_doubt_who_sees_what_is_refused(tmp_path, entries):
    file = tmp_path / "tokens.yaml"
    file.write_text(entries % {"a": digest("x"), "b": digest("y")} + "\n")
    with pytest.raises(UserError, match=r"tokens\.yaml"):
        TokenFile(file)


def test_a_file_that_others_can_write_is_refused(site):
    for mode in (0o620, 0o602, 0o666):
        site.file.chmod(mode)
        with pytest.raises(UserError, match="other accounts can write it"):
            TokenFile(site.file)
    site.file.chmod(0o644)
    TokenFile(site.file)
    site.file.parent.chmod(0o777)
    with pytest.raises(UserError, match="other accounts can write it"):
        TokenFile(site.file)


def _adds(path, number):
    add_token(path, f"person {number}", None)


def test_a_token_is_added_whole_beside_any_other(tmp_path):
    file = tmp_path / "tokens.yaml"
    file.write_text(f"- {{name: Max, sha256: {digest('x')}}}")  # no end of line
    file.chmod(0o600)
    context = multiprocessing.get_context("fork")
    people = [context.Process(target=_adds, args=(file, number)) for number in range(8)]
    for one in people:
        one.start()
    for one in people:
        one.join(60)
    assert len(TokenFile(file).people) == 9
    assert revoke_tokens(file, "Max") == 1
    assert len(TokenFile(file).people) == 8
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_wrong_tokens_are_throttled_and_lock_nobody_out(site):
    app = site.start()
    client = browser(app)
    codes = [client.post("/login", data={"token": f"wrong {n}"}).status_code for n in range(100)]
    assert codes[0] == 403
    assert codes[-1] == 429
    assert logged_in(app, site.tokens["Ana"]).get("/").status_code == 200
    lines = (site.folder / audit_log.FILE).read_text().splitlines()
    assert len(lines) <= audit_log.REFUSALS_A_MINUTE * 2 + 2, "the log cannot be flooded"
    for number in range(20_000):
        app.state.access.failures.is_too_often(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(app.state.access.failures._failures) <= auth.ADDRESSES_KEPT


# ---- What is written down


def test_the_log_says_who_did_what_and_holds_no_secret(site, monkeypatch):
    app = site.start()
    ana = logged_in(app, site.tokens["Ana"])
    lead = ana.get("/api/v1/leads?limit=1").json()["leads"][0]["lead_id"]
    ana.get("/leads.csv", params={"search": "whom they look for"})
    assert ana.post("/answers", data={"lead_id": lead, "answer": "not_a_lead"}).status_code == 303
    browser(app).post("/login", data={"token": "a wrong secret"})
    ana.post("/answers", data={"lead_id": lead, "answer": "not_a_lead"}, headers={"sec-fetch-site": "cross-site"})
    ana.post("/logout")
    file = site.folder / audit_log.FILE
    text = file.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["what"] for line in lines] == ["log-in", "export", "export", "answer", "refused", "refused", "log-out"]
    assert {line["who"] for line in lines if line["what"] != "refused"} == {"Ana"}
    assert all(line["at"].endswith("Z") and line["address"] for line in lines)
    for secret in (
        *site.tokens.values(),
        "a wrong secret",
        "whom they look for",
        ana.cookies.get(auth.COOKIE, "-none-"),
    ):
        assert secret not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_log_is_rotated_and_kept_and_follows_no_link(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_log, "FILE_BYTES", 2_000)
    monkeypatch.setattr(audit_log, "FILES_KEPT", 3)
    log = audit_log.AuditLog(tmp_path)
    for number in range(200):
        log.record("answer", "Ana\n{}", "10.0.0.1", number=number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    assert all(file.stat().st_size <= 2_100 and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    last = (tmp_path / audit_log.FILE).read_text().splitlines()[-1]
    assert json.loads(last)["number"] == 199, "a name with an end of line is one line all the same"
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / audit_log.FILE).symlink_to(elsewhere)
    audit_log.AuditLog(tmp_path / "link").record("answer", "Ana", "")
    assert not elsewhere.exists()


# ---- Redirects and headers


@pytest.mark.parametrize("path", ["/compare/", "/leads", "/login/", "//evil.example/", "/api/v1/leads/", "/leads.csv/"])
@pytest.mark.parametrize("person", ["Max", None])
def test_no_redirect_leaves_the_host(site, path, person):
    client = browser(site.start())
    if person:
        client.headers["authorization"] = f"Bearer {site.tokens[person]}"
    answer = client.get(f"{HOST}{path}", headers={"host": "evil.example"})
    location = answer.headers.get("location", "/")
    assert location.startswith("/")
    assert not location.startswith("//")
    assert "evil.example" not in location.partition("?")[0]


@pytest.mark.parametrize(
    ("following", "led_to"),
    [
        ("/leads/L000001", "/leads/L000001"),
        ("/?search=a%20b&page=2", "/?search=a%20b&page=2"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\t/evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/logout", "/"),
        ("/open/x", "/"),
        ("/x\r\nset-cookie: a=b", "/"),
        ("/" + "x" * 9_000, "/"),
    ],
)
def test_a_log_in_leads_on_within_the_site_only(site, following, led_to):
    client = browser(site.start())
    page = client.get("/login", params={"next": following})
    assert page.status_code == 200
    assert "evil.example" not in page.text
    answer = client.post("/login", data={"token": site.tokens["Max"], "next": following[:2_500]})
    assert answer.headers["location"] == led_to
    assert "a=b" not in answer.headers["set-cookie"]


def test_a_deep_link_survives_the_log_in(site):
    client = browser(site.start())
    away = client.get("/leads/L000001?x=%26y")
    assert away.status_code == 303
    page = client.get(away.headers["location"])
    assert 'name="next" value="/leads/L000001?x=%26y"' in page.text


def test_headers_are_strict_on_every_kind_of_answer(site, monkeypatch):
    app = site.start()
    client = browser(app, headers={"authorization": f"Bearer {site.tokens['Max']}"}, raise_server_exceptions=False)

    def fails(*_, **__):
        raise RuntimeError("alma@costa.example")

    monkeypatch.setattr(score_cache.ScoreSet, "verdict", fails)
    asked = {
        500: client.get("/"), 404: client.get("/nothing"), 422: client.get("/api/v1/leads?limit=0"),
        405: client.put("/login", content=b""), 413: client.post("/answers", content=b"x" * 20_000),
        401: browser(app).get("/api/v1/leads"), 303: browser(app).get("/"),
        400: client.get("/", headers={"forwarded": "x"}),
        403: client.post("/answers", data={"a": "b"}, headers={"sec-fetch-site": "cross-site"}),
    }  # fmt: skip
    for status, answer in asked.items():
        assert answer.status_code == status
        for header in web_app.HEADERS:
            assert header in answer.headers, (status, header)
        assert "costa" not in answer.text
    assert "strict-transport-security" in asked[500].headers


# ---- Clicks


def test_a_click_is_its_person_s_own(site):
    app = site.start()
    people = {name: browser(app, headers={"authorization": f"Bearer {token}"}) for name, token in site.tokens.items()}
    leads = {
        name: [lead["lead_id"] for lead in client.get("/api/v1/leads?limit=500").json()["leads"]]
        for name, client in people.items()
    }
    given = {"lead_id": leads["Ana"][0], "answer": "not_a_lead", "click_id": "click-00000001"}
    assert people["Ana"].post("/api/v1/answers", json=given).status_code == 201
    other = given | {"lead_id": leads["Ben"][0], "answer": "already_talking"}
    stored = people["Ben"].post("/api/v1/answers", json=other)
    assert stored.status_code == 201
    assert (stored.json()["answered_by"], stored.json()["lead_id"]) == ("Ben", leads["Ben"][0])
    assert leads["Ana"][0] not in stored.text
    again = people["Ana"].post("/api/v1/answers", json=given)
    assert (again.status_code, again.json()["answered_by"]) == (201, "Ana")
    for change in ({"answer": "already_talking"}, {"lead_id": leads["Ana"][1]}):
        reused = people["Ana"].post("/api/v1/answers", json=given | change)
        assert reused.status_code == 409
        assert set(reused.json()) == {"detail"}
        assert leads["Ana"][0] not in reused.text
        page = people["Ana"].post("/answers", data=given | change)
        assert page.status_code == 409
        assert leads["Ana"][0] not in page.text
    answers = people["Max"].get("/api/v1/answers", params={"lead_id": leads["Ana"][0]}).json()
    assert [one["answered_by"] for one in answers] == ["Ana"]


def test_files_are_their_owner_s_alone(site):
    before = os.umask(0o022)
    try:
        app = site.start(tokens=False)
        client = browser(app, base_url="http://127.0.0.1", headers=bearer(app))
        lead = client.get("/api/v1/leads").json()["leads"][0]["lead_id"]
        assert client.post("/api/v1/answers", json={"lead_id": lead, "answer": "not_a_lead"}).status_code == 201
    finally:
        os.umask(before)
    found = [path for path in site.folder.iterdir() if path.name.startswith(("answers", "access_log"))]
    assert len(found) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
