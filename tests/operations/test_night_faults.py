"""What a night does when sources or the machine fail: old results stay whole, and the message names the place."""

from __future__ import annotations

import json
import resource
import shutil

import pandas as pd
import pytest
from conftest import Company, leadrev
from night_company import change_params, contents, drop_rows, forecasts_cost_nothing, stand_at

from pipeline.archive import runs
from pipeline.archive.extracts import Extracts
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.ingest.source_profile import profile

NIGHTS = ("2026-05-12", "2026-05-15")


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory):
    """The company after a good night, with the CRM of the next one. Look, do not write: it is everyone's."""
    with pytest.MonkeyPatch.context() as patch:
        forecasts_cost_nothing(patch.setattr)
        company = stand_at(tmp_path_factory.mktemp("faults") / "company", NIGHTS[0])
        (company.folder / "profile.json").write_text(json.dumps(profile(load_tables(company.params))))
        company.run("nightly")
        return stand_at(company.folder, NIGHTS[1])


@pytest.fixture
def night(two_nights, tmp_path, monkeypatch):
    """A copy of it."""
    forecasts_cost_nothing(monkeypatch.setattr)
    shutil.copytree(two_nights.folder, tmp_path / "company")
    return Company(tmp_path / "company")


def results(company) -> dict[str, bytes]:
    names = ("manifest.json", "scores.parquet", "scores.csv", "margins.parquet", "report.html")
    return {name: (company.folder / name).read_bytes() for name in names}


def older(days: float):
    """Keep what happened so many days before the night, or earlier."""
    end = pd.Timestamp(NIGHTS[1], tz="Europe/Berlin") - pd.Timedelta(days=days)
    return lambda rows: rows["occurred_at" if "occurred_at" in rows else "created_at"] < end


def keep_older(table: str, days: float):
    return lambda company: drop_rows(company, table, older(days))


def take_away(table: str):
    return lambda company: (company.folder / f"{table}.parquet").unlink()


def keep_half(company) -> None:
    drop_rows(company, "events", lambda rows: rows.index % 2 == 0)


def keep_nothing(company) -> None:
    drop_rows(company, "events", lambda rows: rows.index < 0)


def cut_off(company) -> None:
    (company.folder / "events.parquet").write_bytes(b"PAR1 cut off")


FAULTS = {
    "stale": ("events", keep_older("events", 6), "stale: its newest row is of 2026-05-0"),
    "stale leads": ("leads", keep_older("leads", 6), "stale: its newest row"),
    "shrunken": ("events", keep_half, "a drop of 5"),
    "vanished": ("events", take_away("events"), "events.parquet"),
    "vanished leads": ("leads", take_away("leads"), "leads.parquet"),
    "empty": ("events", keep_nothing, "has no rows"),
    "cut off": ("events", cut_off, "events.parquet"),
    "another type": ("leads", lambda company: rewrite(company, "leads", timeframe=7.0), "timeframe is number"),
    "new words": ("leads", lambda company: rewrite(company, "leads", source="web form"), "1 new word since training"),
    "unreadable amounts": ("deals", lambda company: rewrite(company, "deals", amount="n.n."), "amount"),
}


def rewrite(company, table: str, **columns) -> None:
    path = company.folder / f"{table}.parquet"
    frame = pd.read_parquet(path)
    if "amount" in columns:
        frame.loc[frame.outcome != "won", "amount"] = None
        frame["amount"] = frame["amount"].astype(object).where(frame.outcome == "won", columns["amount"]).astype(str)
        frame.to_parquet(path)
        return
    frame.assign(**columns).to_parquet(path)


@pytest.mark.parametrize("fault", FAULTS)
def test_params_decide_whether_a_faulty_source_stops_the_night_or_degrades_it(night, fault):
    table, happens, said = FAULTS[fault]
    before = results(night)
    happens(night)
    rules = {"max_age_hours": 72} if fault.startswith("stale") else {}
    change_params(night, nightly={"sources": {table: {**rules, "on_stale": "stop"}}})
    stopped = leadrev("nightly", folder=night.folder)
    assert stopped.code == 1, stopped.err
    assert results(night) == before
    assert table in stopped.mistakes[-1]
    assert said in stopped.mistakes[-1]
    assert runs.read_lines(night.folder / "runs")[-1]["state"] == "failed"
    change_params(night, nightly={"sources": {table: {**rules, "on_stale": "degrade"}}})
    degraded = leadrev("nightly", folder=night.folder)
    assert degraded.code == 3, degraded.err
    manifest = json.loads((night.folder / "manifest.json").read_text())
    assert manifest["state"] == "degraded"
    assert [one["source"] for one in manifest["degraded"]] == [table]
    assert said in manifest["degraded"][0]["why"]
    line = runs.read_lines(night.folder / "runs")[-1]
    assert (line["state"], line["degraded"]) == ("degraded", manifest["degraded"])


def test_a_source_that_is_back_is_read_again_after_a_stop(night):
    shutil.move(night.folder / "leads.parquet", night.folder / "away")
    assert leadrev("nightly", folder=night.folder).code == 1
    shutil.move(night.folder / "away", night.folder / "leads.parquet")
    assert leadrev("nightly", folder=night.folder).code == 0


def test_a_shrunken_source_is_held_against_the_last_good_night_not_against_the_last(night):
    drop_rows(night, "events", lambda rows: rows.index % 2 == 0)
    assert leadrev("nightly", folder=night.folder).code == 3
    assert leadrev("nightly", "--from", "freshness", folder=night.folder).code == 3
    change_params(night, nightly={"rows_drop_limit": 0.6})
    assert leadrev("nightly", "--from", "freshness", folder=night.folder).code == 0


def test_a_column_the_model_needs_that_is_gone_stops_the_night_in_one_line(night):
    before = results(night)
    path = night.folder / "leads.parquet"
    pd.read_parquet(path).drop(columns=["source", "landing_page"]).to_parquet(path)
    ran = leadrev("nightly", folder=night.folder)
    assert ran.code == 1
    assert "the column source is gone, which model version 1 (trained as of" in ran.mistakes[-1]
    assert results(night) == before


def test_a_mistake_of_the_users_is_told_from_a_fault(tmp_path, monkeypatch):
    forecasts_cost_nothing(monkeypatch.setattr)
    company = stand_at(tmp_path / "company", NIGHTS[0])
    (company.folder / "events.parquet").unlink()
    ran = leadrev("nightly", folder=company.folder)  # it never was there
    assert (ran.code, "data.sources.events.from: no file events.parquet" in ran.mistakes[-1]) == (2, True)
    change_params(company, nightly={"sources": {"evnts": {}}})
    ran = leadrev("nightly", folder=company.folder)
    assert (ran.code, "did you mean 'events'" in ran.mistakes[-1]) == (2, True)


@pytest.mark.parametrize("bytes_left", [100, 8_000, 40_000])
def test_a_full_disk_leaves_the_old_results_and_the_next_run_goes_on(night, tmp_path, bytes_left):
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(night.folder, undisturbed)
    assert leadrev("nightly", folder=undisturbed).code == 0
    before = results(night)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        ran = leadrev("nightly", folder=night.folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ran.code == 1, ran
    assert results(night) == before
    assert str(night.folder) in ran.mistakes[-1]
    assert "Traceback" not in ran.err
    assert leadrev("nightly", folder=night.folder).code == 0
    assert contents(night.folder) == contents(undisturbed)


@pytest.mark.parametrize("blocked", ["archive/extracts", "archive/forecasts", "runs"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch, blocked):
    forecasts_cost_nothing(monkeypatch.setattr)
    company = stand_at(tmp_path / "company", NIGHTS[0])
    (company.folder / blocked).parent.mkdir(exist_ok=True)
    (company.folder / blocked).write_text("a file where a folder should be")
    ran = leadrev("nightly", folder=company.folder)
    assert ran.code == 2
    assert str(company.folder / blocked) in ran.mistakes[-1]


def test_an_extract_whose_bytes_were_changed_is_found_by_verify(night):
    extract = Extracts(night.folder / "archive").last()
    path = extract.folder / "raw_leads.parquet"
    corrupted = bytearray(path.read_bytes())
    corrupted[len(corrupted) // 2] ^= 1
    path.write_bytes(corrupted)
    ran = leadrev("archive", "verify", folder=night.folder)
    assert (ran.code, str(path) in ran.err) == (1, True)


SECRETS = ("Zyxanna", "Quvlist", "zyxanna.quvlist@firm.example", "648543777", "hunter2secret")


def test_logs_runs_and_forecasts_hold_no_secret_and_nothing_personal(night, monkeypatch):
    path = night.folder / "leads.parquet"
    person = {"name": "Zyxanna Quvlist", "email": SECRETS[2], "phone": "+49 30 648543777"}
    frame = pd.read_parquet(path).assign(**person)
    frame["landing_page"] = "page of Zyxanna"
    frame["created_at"] = frame.created_at.astype(str)
    frame.loc[frame.index[:5], "created_at"] = "Zyxanna Quvlist 12"
    frame.to_parquet(path)
    said = [leadrev("nightly", folder=night.folder)]
    frame.loc[frame.index[:250], "created_at"] = "Zyxanna Quvlist, zyxanna.quvlist@firm.example"
    frame.to_parquet(path)
    said.append(leadrev("nightly", "--from", "freshness", folder=night.folder))
    params = load_params(night.params_file).model_dump(mode="json", by_alias=True, exclude_none=True)
    address = "postgresql://reader:hunter2secret@localhost:1/crm/public.events"
    change_params(night, data={**params["data"], "hosts": ["localhost"], "sources": {
        **params["data"]["sources"], "leads": {"from": "leads.parquet"}, "events": {"from": address}}})  # fmt: skip
    said.append(leadrev("nightly", "--from", "freshness", folder=night.folder))

    def fails(*_, **__):
        raise ValueError(f"row of {SECRETS[0]} {SECRETS[1]}: {SECRETS[2]}")

    stand_at(night.folder, NIGHTS[1])
    from pipeline.commands import nightly

    monkeypatch.setattr(nightly, "report", fails)
    said.append(leadrev("nightly", "--from", "freshness", folder=night.folder))
    assert [said[0].code, said[1].code, said[3].code] == [3, 2, 1], said
    assert said[2].code in (2, 3), said[2]
    kept = [*(night.folder / "runs").rglob("*"), *(night.folder / "archive" / "forecasts").rglob("*")]
    assert len(kept) > 10
    for found in kept:
        for secret in SECRETS if found.is_file() else ():
            assert secret.lower().encode() not in found.read_bytes().lower(), (found, secret)
    for ran in said:
        assert not any(secret in ran.out + ran.err for secret in SECRETS), ran
