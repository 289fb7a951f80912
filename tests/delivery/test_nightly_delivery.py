"""A night delivers: what a sink does not take degrades the night and is tried again, and nothing is sent twice."""

from __future__ import annotations

from conftest import leadrev
from delivery_company import FakeClock, delivered_lines, table
from night_company import change_params, forecasts_cost_nothing, stand_at

from pipeline.archive import runs
from pipeline.commands import nightly


def test_a_night_delivers_and_tries_again_what_a_sink_refused(tmp_path, monkeypatch):
    forecasts_cost_nothing(monkeypatch.setattr)
    clock = FakeClock()
    monkeypatch.setattr(nightly, "SystemClock", lambda: clock)
    company = stand_at(tmp_path / "company", "2026-05-12")
    change_params(company, deliver={"dwh": {"to": "sqlite:///out/s.db/t", "fields": {"rank": "rank"}}})

    refused = leadrev("nightly", folder=company.folder)
    assert refused.code == 3, refused.err
    assert "Degraded: deliver.dwh: 0 rows sent" in refused.out
    assert "unable to open database file" in refused.out
    assert (company.folder / "report.html").exists(), "the night goes on"
    assert "leadrev deliver sends what waits" in leadrev("status", folder=company.folder).out

    (company.folder / "out").mkdir()
    clock.sleep(3600)
    assert leadrev("nightly", folder=company.folder).code == 0
    rows = table(company.folder, "t", file="out/s.db")
    assert len(rows) == delivered_lines(company.folder)[-1]["sent"] > 0
    assert delivered_lines(company.folder)[-1]["run_id"] == runs.read_lines(company.folder / "runs")[-1]["run_id"]
    states = {step["name"]: step["state"] for step in runs.read_lines(company.folder / "runs")[-1]["steps"]}
    assert states == dict.fromkeys(states, "unchanged") | {"deliver": "done"}
    leadrev("nightly", folder=company.folder)
    assert delivered_lines(company.folder)[-1]["sent"] == 0


def test_a_sink_that_cannot_be_meant_stops_the_night_before_anything_is_read(tmp_path):
    company = stand_at(tmp_path / "company", "2026-05-12")
    change_params(company, deliver={"dwh": {"to": "postgresql://dwh.example/a/b.t"}})
    ran = leadrev("nightly", folder=company.folder)
    assert ran.code == 2
    assert "deliver.dwh.to: host dwh.example is not in data.hosts" in ran.err
    assert not (company.folder / "archive").exists()
