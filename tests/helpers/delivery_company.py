"""A company with five scored leads, written by hand, and sinks to deliver them to."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.common.atomic_write import sha256_of
from pipeline.config.params import Params, load_params

AS_OF = "2026-05-15T00:00:00Z"
REASON = {
    "code": "demo",
    "text": "Asked for a demo 3 times",
    "feature": "touch_demo",
    "value": 3,
    "money": 5,
    "points": 1,
}
LEADS = """lead_id,created_at,name,company_name,email,owner_id,record_url,no_call,no_email,no_contact
L1,2026-01-01,Alma Costa,Acme,alma@acme.example,ana,https://crm.example/L1,,,
L2,2026-01-02,Bo Berg,Bolt,bo@bolt.example,ana,javascript:alert(1),false,0,no
L3,2026-01-03,Cy Cole,Cargo,cy@cargo.example,ana,,true,,
L4,2026-01-04,Di Dorn,Delta,di@delta.example,ben,,,,
L5,2026-01-05,Ed Ekman,Echo,ed@echo.example,ana,,,yes,
"""
OWNERS = """owner_id,name,email,manager_id,active
ana,Ana Lima,ana@seller.example,mia,true
ben,Ben Ito,,mia,true
mia,Mia Moss,mia@seller.example,,true
"""


@dataclass
class Scored:
    """The company on disk."""

    folder: Path

    @property
    def params(self) -> Params:
        return load_params(self.folder / "params.yaml")

    def sinks(self, **deliver: Any) -> None:
        """Write what `deliver` in params says."""
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"deliver": deliver}, sort_keys=False))

    def score(self, frame: pd.DataFrame, as_of: str = AS_OF, degraded: Any = (), identity: Any = None) -> None:
        """Write scores, sealed as `leadrev score` does."""
        frame.to_parquet(self.folder / "scores.parquet")
        pairs = identity or {lead: lead for lead in frame.lead_id}
        pd.DataFrame({"lead_id": list(pairs), "canonical_id": list(pairs.values())}).to_parquet(
            self.folder / "identity.parquet"
        )
        names = ("scores.parquet", "identity.parquet")
        manifest = {"as_of": as_of, "model_version": "3", "state": "complete", "degraded": list(degraded),
                    "files": {name: {"sha256": sha256_of(self.folder / name)} for name in names}}  # fmt: skip
        (self.folder / "manifest.json").write_text(json.dumps(manifest))


def scored(folder: Path) -> Scored:
    """Write the company."""
    (folder / "leads.csv").write_text(LEADS)
    (folder / "owners.csv").write_text(OWNERS)
    (folder / "deals.csv").write_text("deal_id,lead_id,outcome,closed_at,amount\nD0,L0,won,2026-02-01,5\n")
    content = {
        "company": "small", "artifacts": ".",
        "data": {"hosts": ["127.0.0.1", "localhost"], "quarantined_share_limit": 1, "sources": {
            "leads": {"from": "leads.csv"}, "deals": {"from": "deals.csv"}, "owners": {"from": "owners.csv"}}},
    }  # fmt: skip
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    found = Scored(folder)
    found.score(frame())
    return found


def frame(rows: int = 5) -> pd.DataFrame:
    """Scores: L1 is expected to bring 1,000, L2 990 and so on."""
    owners = ["ana", "ana", "ana", "ben", "ana"]
    return pd.DataFrame(
        {
            "lead_id": [f"L{n + 1}" for n in range(rows)],
            "as_of": pd.Timestamp("2026-05-15"),
            "model_version": "3",
            "owner_id": [owners[n % 5] for n in range(rows)],
            "currency": "EUR",
            "rank": range(1, rows + 1),
            "score": [90 - n % 80 for n in range(rows)],
            "grade": ["A" if n < 2 else "B" for n in range(rows)],
            "p_win_90d": 0.25,
            "p_win_ever": 0.5,
            "days_to_win_p50": 40.0,
            "deal_value": 4000.0,
            "expected_revenue_90d": [1000.0 - 10 * n for n in range(rows)],
            "expected_revenue_this_quarter": 100.0,
            "reasons_positive": json.dumps([REASON]),
            "reasons_negative": "[]",
            "data_quality_flags": ['["never_touched"]'] + ["[]"] * (rows - 1),
        }
    )


class FakeClock:
    """A clock that is told what time it is, and does not wait."""

    def __init__(self, now: datetime = datetime(2026, 5, 15, 6)) -> None:
        self.at, self.slept = now, []

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


def table(folder: Path, name: str = "lead_scores", key: str = "lead_id", file: str = "out.db") -> dict[str, dict]:
    """Give a SQLite table's rows by key."""
    with sqlite3.connect(folder / file) as database:
        database.row_factory = sqlite3.Row
        return {row[key]: dict(row) for row in database.execute(f'SELECT * FROM "{name}"')}  # noqa: S608


def delivered_lines(folder: Path) -> list[dict[str, Any]]:
    """Give the lines of deliveries.jsonl."""
    return [json.loads(line) for line in (folder / "deliveries.jsonl").read_text().splitlines()]
