"""Half-sent requests, unread answers, floods and damaged files: the server goes on answering, and ends when told to."""

import http.client
import logging
import socket
import sqlite3
import threading
from contextlib import closing

import pytest
from conftest import leadrev
from fastapi.testclient import TestClient
from made_up_scores import bearer, served, write_scores

from pipeline.archive import feedback
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import limits, score_cache
from pipeline.web.app import create_app


@pytest.fixture
def app(tmp_path, monkeypatch):
    names = write_scores(tmp_path, 30)
    monkeypatch.setattr(score_cache, "open_ranking", lambda params: Ranking(tmp_path, names))
    return create_app(served(tmp_path))


@pytest.fixture
def run(monkeypatch):
    """Run an application behind the real server, with shorter deadlines, on a free port of this machine."""
    monkeypatch.setattr(limits, "CONNECTIONS", 40)
    monkeypatch.setattr(limits, "READ_SECONDS", 0.2)
    monkeypatch.setattr(limits, "SHUTDOWN_SECONDS", 1)
    running = []

    def start(app, seconds=0.2):
        monkeypatch.setattr(limits, "DEADLINES", dict.fromkeys(limits.DEADLINES, seconds))
        server = limits.LimitedServer(limits.config(app, "127.0.0.1", 0))
        is_up = threading.Event()
        honest = server.startup

        async def startup(sockets=None):
            await honest(sockets)
            is_up.set()

        server.startup = startup
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        assert is_up.wait(60)
        running.append((server, thread))
        return server.servers[0].sockets[0].getsockname()[1], server, thread

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "it ends when it is told to"


def connect(port, sent=b""):
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(sent)
    return client


def is_closed(client):
    try:
        return client.recv(1_000) == b""
    except ConnectionError:
        return True


def ask(port, app, path="/api/v1/summary"):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET", path, headers=bearer(app))
    answer = client.getresponse()
    return answer.status, answer.read()


HALVES = {
    "nothing": b"",
    "a line": b"GET / HTTP/1.1\r\n",
    "headers": b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"y" * 2_000,
    "a body": b"POST /login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\ntoken=",
}


def test_however_many_send_half_a_request_a_whole_one_is_answered(app, run):
    port, server, _ = run(app, seconds=3_600)
    half = [connect(port, HALVES[kind]) for _ in range(75) for kind in HALVES]
    assert len(half) == 300
    for _ in range(3):
        assert ask(port, app)[0] == 200
    held = [one for one in server.server_state.connections if not one.transport.is_closing()]
    assert len(held) <= limits.CONNECTIONS
    for client in half:
        client.close()


@pytest.mark.parametrize("kind", HALVES)
def test_half_a_request_is_not_held_for_ever(app, run, kind):
    port, _, _ = run(app)
    client = connect(port, HALVES[kind])
    assert is_closed(client)


def test_a_request_that_trickles_in_is_not_held_either(app, run):
    port, _, _ = run(app)
    client = connect(port, b"GET / HTTP/1.1\r\n")
    client.settimeout(0.05)
    for _ in range(1_200):
        try:
            client.sendall(b"x")
            if client.recv(1_000) == b"":
                return
        except TimeoutError:
            continue
        except ConnectionError:
            return
    pytest.fail("it was held for a minute")


def test_an_unsent_body_does_not_keep_the_server_from_ending(app, run):
    port, server, thread = run(app, seconds=3_600)
    clients = [connect(port, HALVES[kind]) for kind in HALVES]
    assert ask(port, app)[0] == 200
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()
    for client in clients:
        client.close()


def test_who_does_not_read_an_answer_is_let_go(run):
    gone = threading.Event()

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(2_000):
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
                if (server.server_state.connections == set()) and not gone.is_set():
                    break
        finally:
            gone.set()

    port, server, _ = run(endless)
    client = connect(port, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    assert gone.wait(60)
    client.close()


def test_what_is_no_request_is_answered_with_strict_headers(app, run):
    port, _, _ = run(app)
    client = connect(port, b"\x16\x03\x01 nonsense\r\n\r\n")
    answer = client.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"nosniff" in answer.lower()


def test_no_log_can_be_flooded():
    quiet, lines = limits.QuietLog(), []
    logger = logging.Logger("test")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(quiet)
    logger.addHandler(handler)
    for number in range(5_000):
        logger.warning("Invalid HTTP request received. %s", number)
    assert len(lines) <= 2 * limits.LOGGED_A_MINUTE


# ---- Answers


def many(path, lead_ids, each):
    """Answers on some leads, written at once."""
    store = feedback.AnswerStore(path / feedback.FILE)
    with closing(store._open()) as connection:
        connection.execute("BEGIN")
        for lead_id in lead_ids:
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                "INSERT INTO answers (click_id, answered_at, answered_by, lead_id, episode, answer, scored_as_of, "
                "model_version) SELECT ? || '-' || i, '2026-05-16T00:00:00.000000Z', 'Ana', ?, 1, 'not_a_lead', 'x', "
                "'3' FROM n",
                [each, lead_id, lead_id],
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return store


def steps(store, monkeypatch, asked):
    """How many instructions SQLite takes to answer."""
    taken = [0]

    def count():
        taken[0] += 1

    honest = feedback.AnswerStore._open

    def opened(self):
        connection = honest(self)
        connection.set_progress_handler(count, 1)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(feedback.AnswerStore, "_open", opened)
        asked(store)
    return taken[0]


def test_200_000_answers_on_one_lead_cost_no_more_than_a_page_of_them(tmp_path, monkeypatch, app):
    client = TestClient(app, base_url="http://127.0.0.1", headers=bearer(app))
    store = many(tmp_path, ["L000001"], 100)
    asks = (
        lambda store: store.of_lead("L000001"),
        lambda store: store.newest_of([f"L{n:06d}" for n in range(30)]),
    )
    few = [steps(store, monkeypatch, asked) for asked in asks]
    page = len(client.get("/leads/L000001").content)
    (tmp_path / feedback.FILE).unlink()
    store = many(tmp_path, ["L000001"], 200_000)
    assert [steps(store, monkeypatch, asked) for asked in asks] == few
    assert abs(len(client.get("/leads/L000001").content) - page) < 200
    answers = client.get("/api/v1/answers", params={"lead_id": "L000001"}).json()
    assert len(answers) == 50
    following = client.get("/api/v1/answers", params={"lead_id": "L000001", "start": 50, "limit": 500}).json()
    assert len(following) == 500
    assert not {one["click_id"] for one in answers} & {one["click_id"] for one in following}


def test_a_store_of_before_is_carried_over_whole(tmp_path):
    path = tmp_path / feedback.FILE
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE answers (number INTEGER PRIMARY KEY AUTOINCREMENT, click_id TEXT NOT NULL UNIQUE, "
            "answered_at TEXT NOT NULL, answered_by TEXT NOT NULL, lead_id TEXT NOT NULL, episode INTEGER, "
            "answer TEXT NOT NULL, reason_code TEXT, scored_as_of TEXT NOT NULL, model_version TEXT NOT NULL);"
            "CREATE TRIGGER never_removed BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'never'); END;"
            "INSERT INTO answers VALUES (7, 'click-000001', '2026-05-16T00:00:00Z', 'Ana', 'L1', 1, 'not_a_lead', "
            "NULL, 'x', '3');"
        )
    store = feedback.AnswerStore(path)
    (kept,) = store.all()
    assert (kept.click_id, kept.answered_by, kept.lead_id) == ("click-000001", "Ana", "L1")
    other = feedback.Answer("click-000001", feedback.now(), "Ben", "L2", 1, "already_talking", None, "x", "3")
    assert store.add(other) == other
    assert store.all() == [kept, other]
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.Error, match="only ever added"):
        connection.execute("DELETE FROM answers")


def spoil(path, share):
    """Overwrite a part of a file, its beginning left as it is."""
    content = bytearray(path.read_bytes())
    start = int(len(content) * share)
    content[start : start + 8_192] = b"\xa5" * 8_192
    path.write_bytes(content)


def test_damaged_answers_are_a_note_and_the_others_stay_readable(tmp_path, app):
    client = TestClient(app, base_url="http://127.0.0.1", headers=bearer(app))
    store = many(tmp_path, [f"L{lead:06d}" for lead in range(30)], 40)
    spoil(store.path, 0.5)
    found = {lead: client.get(f"/leads/L{lead:06d}") for lead in range(30)}
    assert {page.status_code for page in found.values()} == {200}
    damaged = [lead for lead, page in found.items() if "their file is damaged" in page.text]
    readable = [lead for lead, page in found.items() if "Not a lead</strong>" in page.text]
    assert damaged
    assert readable
    assert client.get("/").status_code == 200
    for lead in range(30):
        assert client.get(f"/api/v1/leads/L{lead:06d}").status_code == 200
        listed = client.get("/api/v1/answers", params={"lead_id": f"L{lead:06d}"})
        assert listed.status_code == (503 if lead in damaged else 200)
    answers, lost = store.readable()
    assert lost > 0
    assert len(answers) + lost == 1_200
    assert len(answers) > 300


@pytest.mark.parametrize("content", [b"no database at all " * 400, b"SQLite format 3\x00" + b"\x00" * 4_080])
def test_a_file_of_answers_that_is_none_is_one_clear_page(tmp_path, app, content):
    client = TestClient(app, base_url="http://127.0.0.1", headers=bearer(app), follow_redirects=False)
    (tmp_path / feedback.FILE).write_bytes(content)
    for path in ("/", "/leads/L000001"):
        page = client.get(path)
        assert page.status_code == 200
        assert "their file is damaged" in page.text
    assert client.get("/api/v1/leads/L000001").json()["answers"] is None
    given = {"lead_id": "L000001", "answer": "not_a_lead"}
    for refused in (client.post("/api/v1/answers", json=given), client.post("/answers", data=given)):
        assert refused.status_code == 503
        assert "was not stored" in refused.text
    assert (tmp_path / feedback.FILE).read_bytes() == content, "what may yet be saved is left as it is"


def test_exporting_damaged_answers_is_one_line(tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / feedback.FILE).write_bytes(b"no database at all " * 400)
    (tmp_path / "params.yaml").write_text(
        "company: x\ndata: {sources: {leads: {from: leads.csv}, deals: {from: deals.csv}}}\n"
    )
    ran = leadrev("feedback", "--out", tmp_path / "answers.csv", folder=tmp_path)
    assert ran.code == 2
    assert "is damaged" in ran.mistakes[-1]
