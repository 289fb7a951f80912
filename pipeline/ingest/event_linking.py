# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Whose event it is: what arrives with only a contact, deal, mail address, phone number or company finds its lead.

The keys are tried from the surest to the vaguest: ``lead_id``, ``deal_id``, ``contact_id``, ``email``, ``phone``,
``account_id``. A deal leads to its lead. Every other key may lead to several leads, and the event belongs to one of
them: to the newest that was open when the event became known; else to the newest created before; else (a visit before
anybody asked for anything) to the first created after. So an event that names only a company is counted once, for one
of the company's leads, and shows as a colleague's doing for the others.

By which key an event found its lead is kept as ``found_by``: where the audit keeps that column of leads out, the event
stays out with it.

Which leads were open then is what was known then (`features.lifecycle.open_spells`): what is learnt later moves no
event from one lead to another.
"""

from __future__ import annotations

from typing import Any

import duckdb

from features import lifecycle
from features.schema import Tables
from pipeline.common.sql import literal
from pipeline.config.data_contract import EVENT_KEYS
from pipeline.identity.contact_keys import email_key_sql, phone_key_sql
from pipeline.ingest.staging import BAD_COLUMN, BAD_VALUE, REASON, Staged

_SAME = {"email": email_key_sql, "phone": phone_key_sql}


def link_events(connection: duckdb.DuckDBPyConnection, backend: Any, tables: Tables, staged: Staged) -> dict[str, int]:
    """Give events without a lead's id of their own their lead, and set aside those that lead to none.

    Parameters
    ----------
    connection : DuckDB connection
        With the tables ``staged_events`` and ``staged_leads``, and the view ``leads``.
    backend : ibis backend
        Over the same connection.
    tables : Tables
    staged : Staged
        The events.

    Returns
    -------
    dict of str to int
        How many events found their lead, by which key.
    """
    linked: dict[str, int] = {}
    keys = [key for key in EVENT_KEYS[1:] if key in staged.present]
    if any(key in staged.present for key in EVENT_KEYS):
        linked = _link(connection, backend, tables, keys, staged.present)
    _set_aside(connection, ["lead_id", *keys] if "lead_id" in staged.present else keys)
    return linked


def _link(
    connection: duckdb.DuckDBPyConnection, backend: Any, tables: Tables, keys: list[str], present: frozenset[str]
) -> dict[str, int]:
    # An id may be of another table than its column says: Salesforce's WhoId is a lead's or a contact's.
    tried = [(key, key) for key in keys]
    tried += [("lead_id", key) for key in ("contact_id", "deal_id", "account_id") if "lead_id" in present]
    tried += [("contact_id", "lead_id")] if "contact_id" in present else []
    held = dict.fromkeys(column for column, _ in tried)
    keys_sql = ", ".join(f"{_SAME[key](key) if key in _SAME else key} AS {key}" for key in held)
    connection.execute(
        f"CREATE TEMP TABLE adrift AS SELECT rowid AS event, {keys_sql}, "
        "greatest(occurred_at, coalesce(recorded_at, occurred_at)) AS seen_at FROM staged_events "
        f"WHERE {REASON} IS NULL AND (lead_id IS NULL OR lead_id NOT IN "
        "(SELECT lead_id FROM staged_leads WHERE lead_id IS NOT NULL))"
    )
    linked: dict[str, int] = {}
    if not connection.execute("SELECT count(*) FROM adrift").fetchall()[0][0]:
        connection.execute("DROP TABLE adrift")
        return linked
    spells = backend.compile(lifecycle.open_spells(tables).select("lead_id", "known_from", "known_until"))
    connection.execute(f"CREATE TEMP TABLE spells AS {spells}")
    for column, key in tried:
        if key == "deal_id":
            deals = lifecycle.lead_deal_versions(tables)
            deals = deals.filter(deals.lead_id.notnull()).select(key="deal_id", lead_id="lead_id").distinct()
            candidates = backend.compile(deals)
        else:
            same = _SAME[key](key) if key in _SAME else key
            candidates = f"SELECT {same} AS key, lead_id FROM leads WHERE {same} IS NOT NULL"
        connection.execute(
            f"""
            CREATE TEMP TABLE found AS
            SELECT event, leads.lead_id
            FROM adrift JOIN ({candidates}) AS candidates ON candidates.key = adrift.{column}
            JOIN leads ON leads.lead_id = candidates.lead_id
            LEFT JOIN spells ON spells.lead_id = leads.lead_id AND known_from <= seen_at AND seen_at < known_until
            QUALIFY row_number() OVER (PARTITION BY event ORDER BY
                spells.lead_id IS NULL,
                greatest(created_at, known_at) > seen_at,
                CASE WHEN greatest(created_at, known_at) <= seen_at THEN created_at END DESC,
                created_at, leads.lead_id DESC) = 1
            """
        )
        connection.execute(
            f"UPDATE staged_events SET lead_id = found.lead_id, found_by = {literal(key)} FROM found "
            "WHERE staged_events.rowid = found.event"
        )
        count = connection.execute("DELETE FROM adrift WHERE event IN (SELECT event FROM found)").fetchall()[0][0]
        connection.execute("DROP TABLE found")
        if count:
            name = key if column == key else f"{key} in {column}"
            linked[name] = linked.get(name, 0) + count
    connection.execute("DROP TABLE adrift; DROP TABLE spells")
    return linked


def _set_aside(connection: duckdb.DuckDBPyConnection, keys: list[str]) -> None:
    """Quarantine events whose lead is not loaded, by the surest key that they have."""
    column = "CASE " + " ".join(f"WHEN {key} IS NOT NULL THEN '{key}'" for key in keys) + " END"
    for why, among in (
        ("its lead is in quarantine", "lead_id IN (SELECT lead_id FROM staged_leads)"),
        ("leads to no lead", "true"),
    ):
        connection.execute(
            f"UPDATE staged_events SET {BAD_COLUMN} = {column}, {BAD_VALUE} = coalesce({', '.join(keys)}), "
            f"{REASON} = '{why}' WHERE {REASON} IS NULL AND {among} AND NOT EXISTS "
            f"(FROM staged_leads AS known WHERE known.lead_id = staged_events.lead_id AND known.{REASON} IS NULL)"
        )
