"""What sales answers is stored or reported as not, never changed, never lost, and read back as events."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from made_up_scores import bearer, write_scores
from made_up_scores import served as served_params

from pipeline.archive import feedback
from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import score_cache
from pipeline.web.app import create_app

SERVER = """
import sys
from pathlib import Path
from types import SimpleNamespace
import pyarrow.parquet as pq, uvicorn
from pipeline.web import score_cache
from pipeline.web.app import create_app
from pipeline.reporting.ranked_leads import Ranking
from pipeline.config.params import ServeParams
folder = Path(sys.argv[1])
score_cache.open_ranking = lambda params: Ranking(folder, pq.read_table(folder / "names.parquet"))
app = create_app(SimpleNamespace(artifacts_folder=folder, serve=ServeParams()))
config = uvicorn.Config(app, port=0, log_level="error")
server = uvicorn.Server(config)
async def started(sockets=None, honest=server.startup):
    await honest(sockets)
    print(server.servers[0].sockets[0].getsockname()[1], app.state.startup_token, flush=True)
server.startup = started
server.run()
"""


def answer(n=0, **changes):
    told = {
        "click_id": f"click-{n:06d}", "answered_at": feedback.now(), "answered_by": "Ana", "lead_id": f"L{n:06d}",
        "episode": 1, "answer": "not_a_lead", "reason_code": None, "scored_as_of": "2026-05-15T00:00:00Z",
        "model_version": "3",
    }  # fmt: skip
    return feedback.Answer(**told | changes)


@pytest.fixture
def client(tmp_path, monkeypatch):
    names = write_scores(tmp_path, 30)
    monkeypatch.setattr(score_cache, "open_ranking", lambda params: Ranking(tmp_path, names))
    app = create_app(served_params(tmp_path))
    return TestClient(app, base_url="http://127.0.0.1:8000", follow_redirects=False, headers=bearer(app))


def test_answers_are_only_ever_added(tmp_path):
    store = feedback.AnswerStore(tmp_path / feedback.FILE)
    assert store.all() == []
    first = store.add(answer(1))
    store.add(answer(2, lead_id="L000001", answer="already_talking"))
    assert store.add(answer(1, scored_as_of="2026-05-16T00:00:00Z")) == first, "one click is one answer"
    assert [one.click_id for one in store.of_lead("L000001")] == ["click-000002", "click-000001"]
    for statement in (
        "UPDATE answers SET answer = 'x'",
        "DELETE FROM answers",
        "REPLACE INTO answers SELECT * FROM answers",
    ):
        with sqlite3.connect(store.path) as connection:
            connection.execute("PRAGMA recursive_triggers = ON")
            with pytest.raises(sqlite3.Error, match="only ever added"):
                connection.execute(statement)
    assert len(store.all()) == 2


def test_a_click_is_written_through_to_the_disk(tmp_path):
    store = feedback.AnswerStore(tmp_path / feedback.FILE)
    with store._open() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_page_stores_an_answer_and_shows_it(client):
    lead = client.get("/api/v1/leads/L000003").json()["lead"]
    reason = (lead["reasons_positive"] + lead["reasons_negative"])[0]
    told = {"lead_id": "L000003", "answer": "reason_wrong", "reason_code": reason["code"], "click_id": "click-00000001"}
    stored = client.post("/answers", data=told)
    assert (stored.status_code, stored.headers["location"]) == (303, "/leads/L000003#answers")
    page = client.get("/leads/L000003").text
    assert "This reason is wrong</strong>" in page
    assert client.post("/api/v1/answers", json=told).json()["answered_at"] in json.dumps(
        client.get("/api/v1/answers", params={"lead_id": "L000003"}).json()
    )
    assert len(client.get("/api/v1/answers", params={"lead_id": "L000003"}).json()) == 1
    assert "this reason is wrong" in client.get("/", params={"search": "L000003"}).text


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"lead_id": "nobody", "answer": "not_a_lead"}, 404),
        ({"lead_id": "L000001", "answer": "no"}, 422),
        ({"lead_id": "L000001", "answer": "reason_wrong"}, 422),
        ({"lead_id": "L000001", "answer": "reason_wrong", "reason_code": "none of its"}, 422),
        ({"lead_id": "L000001", "answer": "not_a_lead", "reason_code": "acct_employees"}, 422),
        ({"lead_id": "L000001", "answer": "not_a_lead", "click_id": "'; --"}, 422),
        ({"lead_id": "L000001", "answer": "not_a_lead", "answered_by": "somebody else"}, 422),
    ],
)
def test_what_is_no_answer_is_refused(client, told, status):
    assert client.post("/api/v1/answers", json=told).status_code == status
    assert client.post("/answers", data=told).status_code == status
    assert client.get("/api/v1/answers", params={"lead_id": "L000001"}).json() == []


def test_an_answer_that_the_disk_does_not_take_is_reported(client, monkeypatch):
    def full(self, given):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(feedback.AnswerStore, "add", full)
    told = {"lead_id": "L000001", "answer": "not_a_lead"}
    assert client.post("/api/v1/answers", json=told).status_code == 503
    page = client.post("/answers", data=told)
    assert page.status_code == 503
    assert "was not stored" in page.text


def test_killed_between_click_and_answer_every_click_is_stored_or_reported(tmp_path):
    """Four people click while the server is killed; what was confirmed is there, and trying again stores once."""
    import pyarrow.parquet as pq

    pq.write_table(write_scores(tmp_path, 30), tmp_path / "names.parquet")

    def start():
        command = [sys.executable, "-c", SERVER, str(tmp_path)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        return server, server.stdout.readline().split()

    def click(place, click_id):
        port, token = place
        body = json.dumps({"lead_id": "L000001", "answer": "already_talking", "click_id": click_id}).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/answers",
            body,
            {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as told:
                return told.status == 201
        except OSError:
            return False

    server, place = start()
    confirmed, reported, enough = [], [], threading.Event()

    def person():
        while True:
            click_id = str(uuid.uuid4())
            if not click(place, click_id):
                reported.append(click_id)
                return
            confirmed.append(click_id)
            if len(confirmed) >= 25:
                enough.set()

    people = [threading.Thread(target=person) for _ in range(4)]
    for one in people:
        one.start()
    assert enough.wait(60)
    server.send_signal(signal.SIGKILL)
    server.wait()
    for one in people:
        one.join(60)
    stored = {one.click_id for one in feedback.AnswerStore(tmp_path / feedback.FILE).all()}
    assert set(confirmed) <= stored
    assert stored <= {*confirmed, *reported}
    server, place = start()
    try:
        assert all(click(place, click_id) for click_id in reported)
    finally:
        server.kill()
        server.wait()
    clicks = [one.click_id for one in feedback.AnswerStore(tmp_path / feedback.FILE).all()]
    assert sorted(clicks) == sorted({*confirmed, *reported})


@pytest.mark.parametrize("name", ["answers.parquet", "answers.csv"])
def test_training_reads_answers_as_events(tmp_path, name):
    (tmp_path / "artifacts").mkdir()
    store = feedback.AnswerStore(tmp_path / "artifacts" / feedback.FILE)
    store.add(answer(1, answered_at="2026-05-03T10:00:00.000001Z"))
    store.add(answer(2, answer="reason_wrong", reason_code="size", answered_at="2026-05-04T10:00:00.000000Z"))
    pd.DataFrame({"lead_id": ["L000001", "L000002"], "created_at": "2026-04-01"}).to_csv(
        tmp_path / "leads.csv", index=False
    )
    deals = {"deal_id": ["D1"], "lead_id": ["L000001"], "outcome": ["won"], "closed_at": ["2026-05-01"], "amount": [10]}
    pd.DataFrame(deals).to_csv(tmp_path / "deals.csv", index=False)
    sources = (
        f"leads: {{from: leads.csv}}\n    deals: {{from: deals.csv}}\n    events: {{from: {name}, ignore: [episode]}}"
    )
    (tmp_path / "params.yaml").write_text(f"company: Nimbus\ndata:\n  sources:\n    {sources}\n")
    params = load_params(tmp_path / "params.yaml")
    assert feedback.export(params.artifacts_folder, tmp_path / name) == 2
    company = load_tables(params)
    assert company.counts["events"]["quarantined"] == 0
    events = company.tables.events.order_by("occurred_at").to_pandas()
    assert events["lead_id"].tolist() == ["L000001", "L000002"]
    assert events["kind"].tolist() == ["sales_not_a_lead", "sales_reason_wrong"]
    assert events["occurred_at"].tolist()[0] == pd.Timestamp("2026-05-03T10:00:00.000001")
    assert events["topic"].tolist()[1] == "size"


def test_export_without_answers_is_an_empty_table_and_other_names_are_refused(tmp_path):
    assert feedback.export(tmp_path, tmp_path / "none.parquet") == 0
    assert list(pd.read_parquet(tmp_path / "none.parquet")) == feedback.EVENTS.names
    with pytest.raises(UserError, match=r"\.parquet or \.csv"):
        feedback.export(tmp_path, tmp_path / "answers.xlsx")
