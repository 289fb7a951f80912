"""A night is whole or it is yesterday's; what is done is not done again, and silence never looks like health."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from conftest import leadrev
from night_company import change_params, contents, drop_rows, forecasts_cost_nothing, stand_at

from pipeline.archive import runs
from pipeline.archive.extracts import Extracts
from pipeline.archive.forecasts import Forecasts, read_scores

STEPS = ("freshness", "load", "score", "archive", "monitor", "deliver", "report")


@pytest.fixture
def ready(tmp_path, monkeypatch):
    forecasts_cost_nothing(monkeypatch.setattr)
    return stand_at(tmp_path / "company", "2026-05-12")


def last_run(company) -> dict:
    return runs.read_lines(company.folder / "runs")[-1]


def states(company) -> dict[str, str]:
    return {step["name"]: step["state"] for step in last_run(company)["steps"]}


def test_a_night_writes_scores_archive_report_and_a_line(ready):
    ran = leadrev("nightly", folder=ready.folder)
    assert (ran.code, ran.out.split(" (run")[0]) == (0, "Night 2026-05-12: complete"), ran.err
    line = last_run(ready)
    assert set(line) >= {"run_id", "started_at", "ended_at", "state", "as_of", "model_version", "steps", "degraded"}
    assert (line["state"], line["as_of"], line["model_version"]) == ("complete", "2026-05-11T22:00:00Z", "1")
    assert states(ready) == dict.fromkeys(STEPS, "done")
    (entry,) = Forecasts(ready.folder / "archive").nights()
    assert entry.name == "as_of=2026-05-12"
    assert (
        read_scores(entry)["lead_id"].to_pylist() == pd.read_parquet(ready.folder / "scores.parquet").lead_id.tolist()
    )


def test_the_same_night_twice_changes_no_byte_though_the_source_moves_on(ready):
    ready.run("nightly")
    before = contents(ready.folder)
    for table in ("leads", "events"):
        drop_rows(ready, table, lambda rows: rows.index < len(rows) // 2)
    ready.run("nightly")
    after = contents(ready.folder)
    assert {name for name in after if after[name] != before.get(name)} == {"leads.parquet", "events.parquet"}
    assert states(ready) == dict.fromkeys(STEPS, "unchanged")


def test_a_step_whose_output_was_spoiled_is_done_again_from_the_same_extract(ready):
    ready.run("nightly")
    before = contents(ready.folder)
    drop_rows(ready, "leads", lambda rows: rows.index < 50)
    (ready.folder / "scores.csv").write_text("corrupted")
    (ready.folder / "report.html").unlink()
    ready.run("nightly")
    after = contents(ready.folder)
    assert {name for name in before if after[name] != before[name]} == {"leads.parquet"}
    assert states(ready) == dict.fromkeys(STEPS, "unchanged") | {"score": "done", "report": "done"}


def test_nights_keep_a_history_of_what_the_crm_overwrites(ready):
    for day in ("2026-05-12", "2026-05-13", "2026-05-15"):
        stand_at(ready.folder, day)
        assert leadrev("nightly", folder=ready.folder).code == 0
    extracts, forecasts = Extracts(ready.folder / "archive"), Forecasts(ready.folder / "archive")
    nights = ["2026-05-12", "2026-05-13", "2026-05-15"]
    assert [entry.seal["night"] for entry in extracts.nights()] == nights
    assert [entry.name for entry in forecasts.nights()] == [f"as_of={night}" for night in nights]
    assert [entry.seal["previous"] is None for entry in forecasts.nights()] == [True, False, False]
    assert json.loads((ready.folder / "manifest.json").read_text())["previous"] == "2026-05-12T22:00:00Z"
    changes = pd.concat(map(pd.read_parquet, extracts.changes_until(extracts.nights()[-1])))
    later = changes[changes.known_at > changes.known_at.min()]
    statuses = later[later.field == "status"].drop_duplicates("row_id", keep="last").set_index("row_id").new_value
    now = pd.read_parquet(ready.folder / "leads.parquet").set_index("lead_id").status
    assert len(later)
    assert statuses.to_dict() == now[statuses.index].to_dict()


def test_a_person_may_ask_for_a_step_again_and_the_archive_keeps_both(ready):
    ready.run("nightly")
    drop_rows(ready, "leads", lambda rows: rows.index >= 10)
    ready.run("nightly", "--from", "freshness")
    extracts, forecasts = (kind(ready.folder / "archive") for kind in (Extracts, Forecasts))
    assert [entry.name for entry in extracts.chain.entries()] == ["2026-05-12", "2026-05-12.r2"]
    assert [entry.name for entry in forecasts.chain.entries()] == ["as_of=2026-05-12", "as_of=2026-05-12.r2"]
    assert [entry.name for entry in forecasts.nights()] == ["as_of=2026-05-12.r2"]
    ready.run("nightly", "--only", "report")
    assert states(ready) == {"report": "done"}
    ran = leadrev("archive", "verify", folder=ready.folder)
    assert (ran.code, ran.out.startswith("The archive is as it was sealed: 2 forecasts")) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "scor"), f"--from: found 'scor'; the steps are {', '.join(STEPS)}"),
        (("--only", "archive", "--from", "score"), "--from and --only"),
        (("--only", "archive"), "--only archive: score has not been done tonight"),
    ],
)
def test_a_step_that_cannot_be_done_alone_is_said(ready, words, said):
    ran = leadrev("nightly", *words, folder=ready.folder)
    assert ran.code == 2
    assert said in ran.mistakes[-1]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(ready):
    before = set(ready.folder.rglob("*"))
    for done in (False, True):
        out = ready.run("nightly", "--dry-run").out
        told = [line.split()[:2] for line in out.splitlines()[1:]]
        assert told == [[name, "done" if done else "to"] for name in STEPS]
        if not done:
            assert set(ready.folder.rglob("*")) == before
            ready.run("nightly")


def test_of_two_at_once_the_second_names_the_first_and_exits_with_75(ready):
    with runs.one_run(ready.folder / "runs", "2026-05-12") as first:
        ran = leadrev("nightly", folder=ready.folder)
        assert "is at work" in leadrev("status", folder=ready.folder).out
        assert ran.code == 75
        assert first.run_id in ran.mistakes[-1]
        assert str(os.getpid()) in ran.mistakes[-1]
        assert not (ready.folder / "archive").exists()
    assert leadrev("nightly", folder=ready.folder).code == 0


def test_the_lock_of_a_killed_run_is_taken_over_and_said(ready):
    code = (
        "import os, signal, pathlib\nfrom pipeline.archive.runs import one_run\n"
        f"with one_run(pathlib.Path({str(ready.folder / 'runs')!r}), '2026-05-12') as run:\n"
        "    print(run.run_id, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    ran = leadrev("nightly", folder=ready.folder)
    assert ran.code == 0
    assert f"run {killed.stdout.strip()} was killed" in ran.err
    first, second = runs.read_lines(ready.folder / "runs")
    assert (first["run_id"], first["state"]) == (killed.stdout.strip(), "failed")
    assert second["state"] == "complete"


def test_status_says_in_five_lines_how_the_nights_go(ready):
    assert "no night has been run" in leadrev("status", folder=ready.folder).out
    ready.run("nightly")
    lines = leadrev("status", folder=ready.folder).out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Run", "Forecasts", "Sources", "Archive", "Next"]
    assert "night 2026-05-12 complete" in lines[0]
    assert lines[4].split(":")[1].strip() == "nothing"
    change_params(ready, nightly={"sources": {"events": {"max_age_hours": 1}}})
    assert leadrev("nightly", "--from", "freshness", folder=ready.folder).code == 3
    lines = leadrev("status", folder=ready.folder).out.splitlines()
    assert "degraded; events: stale" in lines[0]
    assert "--from freshness" in lines[4]


def test_old_sources_are_forgotten_and_what_changed_is_not(ready):
    change_params(ready, nightly={"keep_extract_days": 1})
    for day in ("2026-05-12", "2026-05-13", "2026-05-15"):
        stand_at(ready.folder, day, nightly={"keep_extract_days": 1})
        ready.run("nightly")
    entries = Extracts(ready.folder / "archive").nights()
    assert [entry.is_whole() for entry in entries] == [False, False, True]
    assert all((entry.folder / "changes.parquet").exists() for entry in entries)
    assert not any(entry.folder.glob("raw_*") for entry in entries[:2] if list(entry.folder.glob("raw_*")))
    assert leadrev("archive", "verify", folder=ready.folder).code == 0
