"""Scores, models, locks and temporary data: what was changed is not shown or loaded, and no link leads elsewhere."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pandas as pd
import pytest
from conftest import leadrev
from fastapi.testclient import TestClient
from made_up_scores import bearer, seal, served, write_scores

from pipeline.common import atomic_write, scratch
from pipeline.common.errors import UserError
from pipeline.common.seals import SealError
from pipeline.model_registry.model_artifact import check_model
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import score_cache
from pipeline.web.app import create_app


def edited(folder):
    """The scores, with every figure ten times what it was."""
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.loc[:, "expected_revenue_90d"] *= 10
    scores.to_parquet(folder / "scores.parquet", index=False)


# ---- Scores


@pytest.mark.parametrize("name", ["scores.parquet", "attributions.parquet", "timeline.parquet", "insights.parquet"])
def test_scores_that_were_changed_are_not_shown(tmp_path, name):
    names = write_scores(tmp_path, 20)
    Ranking(tmp_path, names)
    content = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else b"PAR1"
    (tmp_path / name).write_bytes(content[:-9] + b"x" + content[-8:])
    with pytest.raises(UserError, match=name) as refused:
        Ranking(tmp_path, names)
    assert "\n" not in str(refused.value)


def test_scores_that_were_taken_away_are_missed(tmp_path):
    names = write_scores(tmp_path, 20)
    (tmp_path / "attributions.parquet").unlink()
    with pytest.raises(SealError, match=r"attributions\.parquet"):
        Ranking(tmp_path, names)


def test_scores_edited_under_a_running_server_are_one_page_until_they_are_put_right(tmp_path, monkeypatch):
    names = write_scores(tmp_path, 20)
    done = threading.Semaphore(0)
    monkeypatch.setattr(score_cache, "open_ranking", lambda params: Ranking(tmp_path, names))
    honest = score_cache.ScoreCache._open
    monkeypatch.setattr(score_cache.ScoreCache, "_open", lambda self, told: (honest(self, told), done.release()))
    app = create_app(served(tmp_path))
    client = TestClient(app, base_url="http://127.0.0.1", headers=bearer(app))
    whole = (tmp_path / "scores.parquet").read_bytes()
    before = client.get("/api/v1/summary").json()
    edited(tmp_path)
    client.get("/api/v1/summary")
    assert done.acquire(timeout=30)
    for path in ("/", "/api/v1/leads", "/leads/L000001", "/leads.csv"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "changed since they were written" in answer.text
    (tmp_path / "scores.parquet").write_bytes(whole)
    client.get("/api/v1/summary")
    assert done.acquire(timeout=30)
    assert client.get("/api/v1/summary").json() == before


# ---- Models


@pytest.fixture
def model(tmp_path):
    """A folder as a model is: what is checked are its bytes."""
    files = {"won.txt": b"tree\nleaf_value=0.1 0.2\n", "facts.json": b"{}", "spec.json": b"{}"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (tmp_path / "digests.json").write_text(json.dumps(digests))
    return tmp_path, hashlib.sha256((tmp_path / "digests.json").read_bytes()).hexdigest()


@pytest.mark.parametrize("attack", ["scaled", "truncated", "added", "removed", "linked", "resealed", "unsealed"])
def test_a_model_that_was_changed_is_not_loaded(model, attack, tmp_path_factory):
    folder, digest = model
    check_model(folder, digest)
    if attack == "added":
        (folder / "more.txt").write_text("tree")
    elif attack == "removed":
        (folder / "won.txt").unlink()
    elif attack == "unsealed":
        (folder / "digests.json").unlink()
    else:
        content = (folder / "won.txt").read_bytes()
        (folder / "won.txt").write_bytes(content[:9] if attack == "truncated" else content.replace(b"0.1", b"9.1"))
    if attack == "resealed":
        digests = json.loads((folder / "digests.json").read_text())
        digests["won.txt"] = hashlib.sha256((folder / "won.txt").read_bytes()).hexdigest()
        (folder / "digests.json").write_text(json.dumps(digests))
        check_model(folder)
    with pytest.raises(SealError):
        check_model(folder, digest)


# ---- Locks


@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "pipe"])
def test_a_lock_that_is_no_file_is_refused_and_what_it_points_to_stays(tmp_path, kind):
    folder, treasure = tmp_path / "out", tmp_path / "treasure"
    folder.mkdir()
    treasure.write_text("precious")
    lock = folder / ".lock"
    {
        "link": lambda: lock.symlink_to(treasure),
        "dangling": lambda: lock.symlink_to(tmp_path / "new"),
        "folder": lock.mkdir,
        "pipe": lambda: os.mkfifo(lock),
    }[kind]()
    with pytest.raises(UserError, match="plain file"):
        atomic_write.write_whole(folder, {"a.txt": b"x"})
    assert treasure.read_text() == "precious"
    assert not (tmp_path / "new").exists()
    assert not (folder / "a.txt").exists()


def test_a_lock_is_never_emptied(tmp_path):
    (tmp_path / ".lock").write_text("who holds it")
    atomic_write.write_whole(tmp_path, {"a.txt": b"x"})
    assert (tmp_path / ".lock").read_text() == "who holds it"


def test_a_small_file_is_replaced_and_no_link_is_written_through(tmp_path):
    treasure = tmp_path / "treasure"
    treasure.write_text("precious")
    (tmp_path / ".a.json.partial").symlink_to(treasure)
    (tmp_path / "a.json").symlink_to(treasure)
    atomic_write.replace_file(tmp_path / "a.json", b"{}")
    assert treasure.read_text() == "precious"
    assert (tmp_path / "a.json").read_text() == "{}"


# ---- Modes and temporary data


def test_results_are_their_owner_s_alone(tmp_path):
    before = os.umask(0o022)
    try:
        atomic_write.write_whole(tmp_path / "new" / "out", {"a.txt": b"x"})
        simulated = leadrev("simulate", "--out", tmp_path / "company", "--leads", 200)
        assert simulated.code == 0
    finally:
        os.umask(before)
    for path in [tmp_path / "new" / "out", *(tmp_path / "new" / "out").iterdir(), *(tmp_path / "company").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


HOLDS = """
import sys
from pathlib import Path
from pipeline.common.process import run_command
from pipeline.common.scratch import ScratchFolder

def hold():
    folder = ScratchFolder()
    (Path(folder.name) / "leads.csv").write_text("personal")
    print(folder.name, flush=True)
    sys.stdin.read()

run_command(hold, lambda: False)
"""


def holder(folder):
    environment = os.environ | {"TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip
    return process, Path(process.stdout.readline().strip())


def test_temporary_data_do_not_outlive_their_process(tmp_path, monkeypatch):
    ended, first = holder(tmp_path)
    ended.send_signal(signal.SIGTERM)
    assert ended.wait(60) == 128 + signal.SIGTERM
    assert not first.exists(), "a request to end cleans up"
    killed, left = holder(tmp_path)
    alive, kept = holder(tmp_path)
    killed.kill()
    killed.wait(60)
    assert left.exists()
    other = tmp_path / "leadrev-notes"
    other.mkdir()
    (other / "mine.txt").write_text("precious")
    (tmp_path / "leadrev-link").symlink_to(other)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch.ScratchFolder() as mine:
        assert not left.exists(), "the next start removes what a kill left behind"
        assert kept.exists()
        assert (other / "mine.txt").read_text() == "precious"
        assert Path(mine).exists()
    assert not Path(mine).exists()
    alive.communicate("", timeout=60)
    assert not kept.exists()


def test_the_seal_of_the_tests_is_the_one_that_is_checked(tmp_path):
    names = write_scores(tmp_path, 5)
    edited(tmp_path)
    seal(tmp_path)
    assert Ranking(tmp_path, names).totals.leads == 5
