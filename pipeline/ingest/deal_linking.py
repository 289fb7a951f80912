# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Whose deal it is, where the deal itself does not say: the lead says it, or another version of the deal."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from pipeline.ingest.staging import REASON, Staged

CARRIED = ("lead_id", "account_id", "opened_at", "currency", "product", "owner_id", "kind")
"""Columns that a version without them has from the other versions of its deal, the newest first."""


def link_deals(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged]) -> None:
    """Give deals their lead by ``leads.deal_id``, and versions what only other versions of their deal say; in place.

    Of several leads that were converted into one deal, the newest is its lead.
    """
    deals, leads = staged["deals"], staged["leads"]
    if "deal_id" in leads.present and "deal_id" in deals.present:
        connection.execute(
            f"UPDATE {deals.relation} SET lead_id = converted.lead_id FROM (SELECT deal_id AS key, "
            f"arg_max(lead_id, created_at) AS lead_id FROM {leads.relation} WHERE {REASON} IS NULL AND deal_id IS NOT "
            f"NULL GROUP BY deal_id) AS converted WHERE {deals.relation}.deal_id = converted.key AND "
            f"({deals.relation}.lead_id IS NULL OR {deals.relation}.lead_id NOT IN (SELECT lead_id FROM "
            f"{leads.relation} WHERE {REASON} IS NULL))"
        )
        staged["deals"] = deals = replace(deals, present=deals.present | {"lead_id"})
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
