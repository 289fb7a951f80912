"""A small company written to disk as CSV, for tests of the data stage."""

from __future__ import annotations

import csv
from pathlib import Path

import yaml

from pipeline.config.params import Params, load_params
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.load import load_tables

LEADS = [{"lead_id": f"L{n}", "created_at": f"2024-01-{n:02d} 09:00:00"} for n in range(1, 11)]
DEALS = [
    {"deal_id": "D1", "lead_id": "L1", "outcome": "won", "closed_at": "2024-02-01 10:00:00", "amount": "100.10"},
    {"deal_id": "D2", "lead_id": "L2", "outcome": "won", "closed_at": "2024-02-29", "amount": "200.20"},
    {"deal_id": "D3", "lead_id": "L3", "outcome": "lost", "closed_at": "2024-03-01 10:00:00", "amount": "9"},
    {"deal_id": "D4", "lead_id": "L4", "outcome": "open", "closed_at": "2024-12-31", "amount": "50"},
]


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write rows as a CSV file; its columns are those of the first row."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_company(
    folder: Path, leads: list[dict] | None = None, deals: list[dict] | None = None, *,
    events: list[dict] | None = None, accounts: list[dict] | None = None, changes: list[dict] | None = None,
    owners: list[dict] | None = None, rates: list[dict] | None = None, campaigns: list[dict] | None = None,
    sources: dict | None = None, data: dict | None = None, **params,
) -> Path:  # fmt: skip
    """Write a company's tables and its params file, and give that file's path."""
    tables = {"leads": leads or LEADS, "deals": deals or DEALS, "events": events, "accounts": accounts,
              "changes": changes, "owners": owners, "rates": rates, "campaigns": campaigns}  # fmt: skip
    made = {}
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        if rows is not None:
            write_rows(folder / f"{table}.csv", rows)
            made[table] = {"from": f"{table}.csv", **(sources or {}).get(table, {})}
    content = {"company": "small", "data": {"sources": made, **(data or {})}, **params}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def small_params(folder: Path, **company) -> Params:
    """Write a company and read its params."""
    return load_params(write_company(folder, **company))


def load_company(folder: Path, **company) -> LoadedCompany:
    """Write a company and load it."""
    return load_tables(small_params(folder, **company))
