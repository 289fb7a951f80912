# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What a version of a deal leaves unsaid, by the deal's other versions."""

from __future__ import annotations

import duckdb

from pipeline.ingest.staging import REASON, Staged

CARRIED = ("lead_id", "account_id", "opened_at", "currency", "product", "owner_id", "kind")
"""Columns that a version without them has from the other versions of its deal, the newest first."""


def fill_versions(connection: duckdb.DuckDBPyConnection, deals: Staged) -> None:
    """Give versions of a deal what only its other versions say; in place."""
    carried = [name for name in CARRIED if name in deals.present]
    if "recorded_at" not in deals.present or not carried:
        return
    newest = "coalesce(recorded_at, TIMESTAMP '2200-01-01')"
    known = ", ".join(f"arg_max({name}, {newest}) AS {name}" for name in carried)
    filled = ", ".join(f"{name} = coalesce({deals.relation}.{name}, known.{name})" for name in carried)
    connection.execute(
        f"UPDATE {deals.relation} SET {filled} FROM (SELECT deal_id AS key, {known} FROM {deals.relation} "
        f"WHERE {REASON} IS NULL GROUP BY deal_id HAVING count(*) > 1) AS known "
        f"WHERE {deals.relation}.deal_id = known.key"
    )
