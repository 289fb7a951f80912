"""A company so small that its night takes a moment: real sources and tables, and forecasts that cost nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import yaml
from conftest import Company, leadrev

from pipeline.common.atomic_write import sha256_of, write_whole, written_whole

FIRST_NIGHT = "2026-05-12"


def stand_at(folder: Path, day: str, **params) -> Company:
    """Write the company's CRM as it stood on a day, and its params."""
    from pipeline.simulation.simulate import simulate

    simulate(folder, leads=300, events_per_lead=3, seed=5, until=day)
    content = yaml.safe_load((folder / "params.yaml").read_text()) | params
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return Company(folder)


def change_params(company: Company, **changes) -> None:
    """Change keys of a company's params."""
    content = yaml.safe_load(company.params_file.read_text()) | changes
    company.params_file.write_text(yaml.safe_dump(content, sort_keys=False))


class OneModel:
    """A registry with one version, and no model in it."""

    def __init__(self, params) -> None:
        self.profile = json.loads((params.folder / "profile.json").read_text() if (
            params.folder / "profile.json").exists() else "{}")  # fmt: skip

    def version(self, which: str) -> str:
        return "1"

    def challengers(self) -> list[str]:
        return []

    def log_night(self, night: str, metrics: dict[str, float]) -> None:
        pass

    def load(self, which: str):
        facts = SimpleNamespace(
            profile=self.profile, trained_as_of="2026-01-01T00:00:00Z", currency="EUR", timezone="Europe/Berlin",
            fiscal_year_start_month=1,
        )  # fmt: skip
        spec = SimpleNamespace(lead_attributes=(("timeframe", "category"),), account_attributes=(),
                               columns=("leads.source",), has=lambda name: name == "leads.source")  # fmt: skip
        grid = SimpleNamespace(to_dict=dict)
        forecaster = SimpleNamespace(incidence_=SimpleNamespace(grid_=grid))
        return "1", SimpleNamespace(
            facts=facts, spec=spec, forecaster=forecaster, check_horizons=lambda params, version: None
        )


def forecast_for_nothing(loaded, *, explained, out: Path, previous: Path, with_margins: bool):
    """Write what `score_company` writes, as whole and as dependent on its inputs, at no cost."""
    leads = loaded.company.connection.execute("SELECT lead_id, status FROM leads ORDER BY lead_id").df()
    leads.insert(1, "episode", 1)
    number = leads.lead_id.map(lambda lead: int(hashlib.sha256(lead.encode()).hexdigest()[:6], 16) / 2**24)
    before = json.loads((previous / "manifest.json").read_text()) if (previous / "manifest.json").exists() else {}
    degraded = [one.to_dict() for one in loaded.degraded]
    with written_whole(out, seal="manifest.json") as staging:
        leads.assign(rank=range(1, len(leads) + 1), p_win_90d=number).to_parquet(staging.path("scores.parquet"))
        leads[["lead_id", "episode"]].assign(won_1=number).to_parquet(staging.path("margins.parquet"))
        staging.path("scores.csv").write_text(leads.to_csv(index=False))
        as_of = loaded.as_of.strftime("%Y-%m-%dT%H:%M:%SZ")
        kept = before.get("previous") if before.get("as_of") == as_of else before.get("as_of")
        manifest = {
            "as_of": as_of, "model_version": "1", "state": "degraded" if degraded else "complete", "degraded": degraded,
            "previous": kept, "data_fingerprint": "0", "rows": len(leads),
            "files": {name: {"sha256": sha256_of(staging.path(name))} for name in staging.names()},
        }  # fmt: skip
        staging.path("manifest.json").write_text(json.dumps(manifest, sort_keys=True))
    return SimpleNamespace(scores=leads)


def report_for_nothing(params, out: Path, company) -> Path:
    """Write a page that shows the manifest."""
    write_whole(out, {"report.html": (out / "manifest.json").read_bytes()})
    return out / "report.html"


def monitor_for_nothing(company, as_of, load, *, out: Path):
    """Write what the monitor writes: files that depend on the archive."""
    names = ("monitor.json", "monitor.html", "monitor-nights.parquet")
    write_whole(out, dict.fromkeys(names, (out / "manifest.json").read_bytes()))
    content = {
        "alarms": [],
        "daily": [],
        "inputs": [],
        "outcomes": [],
        "scores": {"psi": None, "rank_correlation": 1.0},
    }
    return SimpleNamespace(content=content)


def forecasts_cost_nothing(setattr_) -> None:
    """Put the above in the place of the champion, of its forecasts and of the report."""
    from pipeline.commands import nightly

    setattr_(nightly, "Registry", OneModel)
    setattr_(nightly, "score_company", forecast_for_nothing)
    setattr_(nightly, "monitor_company", monitor_for_nothing)
    setattr_(nightly, "report", report_for_nothing)


def contents(folder: Path) -> dict[str, bytes]:
    """Every byte that a night leaves, but for what runs write of themselves."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "runs" and not path.name.startswith(".")
    }


def drop_rows(company: Company, table: str, keep) -> None:
    """Keep some rows of a table."""
    path = company.folder / f"{table}.parquet"
    frame = pd.read_parquet(path)
    frame[keep(frame)].to_parquet(path)


FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.listdir", "os.scandir")


def night_in_a_process(
    folder: Path, said: Path, *, kill_at: int | None = None, kill_after: float | None = None
) -> None:
    """Run a night, to be killed at the n-th time that it touches a file of the company, or after so many seconds.

    What `said` then holds, if it was not killed: how many times it touched a file, how long it took, the exit code.
    """
    touched = 0

    def count(event: str, args: tuple) -> None:
        nonlocal touched
        named = args[0] if event in FILE_EVENTS and args else None
        if isinstance(named, str | bytes | os.PathLike) and str(folder) in os.fsdecode(named):
            touched += 1
            if touched == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    forecasts_cost_nothing(setattr)
    sys.addaudithook(count)
    if kill_after is not None:  # the alarm is heard by nobody: it ends the process, wherever it is
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, kill_after)
    started = time.perf_counter()
    ran = leadrev("nightly", folder=folder)
    signal.setitimer(signal.ITIMER_REAL, 0)
    told = {"touched": touched, "seconds": time.perf_counter() - started, "code": ran.code, "err": ran.err}
    said.write_text(json.dumps(told))
