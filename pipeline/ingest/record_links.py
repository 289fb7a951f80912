# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Ids that lead from one table to another: made to meet where they are one id written in two ways.

A merged record's rows go to the record it was merged into. Salesforce writes an id in 15 or in 18 characters. A deal
may name several leads in one cell, or a contact instead of the lead that became it; a lead may name its deal. What
still leads nowhere is counted, with a guess at why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from pipeline.common.sql import literal, quoted
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.staging import MERGED, REASON, UNIQUE_KEYS, Staged

_LINKS = (
    ("deals", "lead_id", "leads", "lead_id"),
    ("events", "lead_id", "leads", "lead_id"),
    ("leads", "deal_id", "deals", "deal_id"),
    ("events", "deal_id", "deals", "deal_id"),
    ("leads", "account_id", "accounts", "account_id"),
    ("deals", "account_id", "accounts", "account_id"),
    ("deals", "account_id", "leads", "account_id"),
    ("events", "account_id", "accounts", "account_id"),
    ("events", "account_id", "leads", "account_id"),
    ("events", "contact_id", "leads", "contact_id"),
)
_LONG = "^[A-Za-z0-9]{15}[A-Z0-5]{3}$"
_SHORT = "^[A-Za-z0-9]{15}$"
MERGE_STEPS_LIMIT = 20

GUESSES = (
    ("regexp_extract({}, '^[A-Za-z0-9]{{15}}')", "the 15- and the 18-character form of Salesforce ids"),
    ("lower({})", "the same ids in another case"),
    ("ltrim({}, '0')", "the same ids with leading zeros"),
    ("regexp_replace({}, '[.]0+$', '')", "whole numbers written with decimals"),
    ("lower(regexp_replace({}, '[{{}} -]', '', 'g'))", "the same ids with other braces, blanks or hyphens"),
    ("regexp_extract({}, '([A-Za-z0-9]+)$')", "the same ids with a prefix"),
    ("regexp_extract({}, '(\\d+)$')", "the same numbers with a prefix"),
)


def link_rows(
    connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], mappings: Sequence[Mapping], *, qualify: bool
) -> dict[str, int]:
    """Make ids meet, in place.

    Makes the table ``shared_deals`` (``lead_id, place``): leads that a deal names beside the one it belongs to.

    Returns
    -------
    dict of str to int
        ``merged``: records merged into another that is there; ``short_ids``: ids found by their other form;
        ``by_lead``: deals found by their lead's ``deal_id``; ``by_contact``: deals that name their lead's contact.
    """
    counts = dict.fromkeys(("merged", "short_ids", "by_lead", "by_contact"), 0)
    connection.execute("CREATE TABLE shared_deals (lead_id VARCHAR, place BIGINT)")
    for table in ("leads", "deals", "accounts"):
        if table in staged:
            counts["merged"] += _follow_merges(connection, staged, table)
    _split_cells(connection, staged, mappings, qualify=qualify)
    for table, column, owner, key in _LINKS:
        if _has(staged, table, column) and _has(staged, owner, key):
            counts["short_ids"] += _other_form(connection, table, column, owner, key)
    if "changes" in staged:
        for owner, key in (("leads", "lead_id"), ("deals", "deal_id"), ("accounts", "account_id")):
            if owner in staged:
                counts["short_ids"] += _other_form(connection, "changes", "row_id", owner, key)
    if _has(staged, "leads", "contact_id") and _has(staged, "deals", "lead_id"):
        counts["by_contact"] = _lead_of_deal(connection, "contact_id", "lead_id")
    if _has(staged, "leads", "deal_id") and _has(staged, "deals", "deal_id"):
        counts["by_lead"] = _lead_of_deal(connection, "deal_id", "deal_id")
    return counts


def _has(staged: dict[str, Staged], table: str, column: str) -> bool:
    return table in staged and column in staged[table].present


def _follow_merges(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], table: str) -> int:
    """Point every row that names a merged record to the one it ended up in."""
    key = UNIQUE_KEYS[table]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE __aliases AS SELECT {key} AS was, any_value({MERGED}) AS is_now "
        f"FROM staged_{table} WHERE {MERGED} IS NOT NULL AND {key} IS NOT NULL AND {MERGED} <> {key} GROUP BY {key}"
    )
    for _ in range(MERGE_STEPS_LIMIT):
        moved = connection.execute(
            "UPDATE __aliases SET is_now = next.is_now FROM __aliases AS next "
            "WHERE __aliases.is_now = next.was AND __aliases.was <> next.is_now"
        ).fetchall()[0][0]
        if not moved:
            break
    count = connection.execute(
        f"SELECT count(*) FROM __aliases WHERE is_now IN (SELECT {key} FROM staged_{table} WHERE {REASON} IS NULL)"
    ).fetchall()[0][0]
    if count:
        names = [(one, column) for one, column, owner, _ in _LINKS if owner == table and column == key]
        for one, column in [*names, ("changes", "row_id")]:
            if _has(staged, one, column):
                only = f"AND \"table\" = '{table}'" if one == "changes" else ""
                connection.execute(
                    f"UPDATE staged_{one} SET {column} = is_now FROM __aliases WHERE {column} = was {only}"
                )
    connection.execute("DROP TABLE __aliases")
    return count


def _split_cells(
    connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], mappings: Sequence[Mapping], *, qualify: bool
) -> None:
    """Give a row that names several leads (contacts) one of them.

    The one whose contact is the deal's primary one; else the newest that was there; the first, if none is. A lead is
    named by its own id or by its contact's.
    """
    for mapping in mappings:
        table = mapping.raw.table
        for column, mark in mapping.raw.splits.items():
            when = "coalesce(opened_at, closed_at)" if table == "deals" else "occurred_at"
            system = mapping.raw.source.system
            prefix = f"{system}:" if qualify and system else ""
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE __parts AS "
                f"SELECT place, {literal(prefix)} || trim(parts[number], ' []\"') AS id, moment, number FROM "
                "(SELECT *, unnest(range(1, len(parts) + 1)) AS number FROM (SELECT rowid AS place, "
                f"{when} AS moment, string_split(substr({column}, {len(prefix) + 1}), {literal(mark)}) AS parts "
                f"FROM staged_{table} WHERE contains({column}, {literal(mark)})))"
            )
            is_primary = "false"
            if table == "deals" and "primary_contact_id" in staged["deals"].present:
                is_primary = f"contact_id = (SELECT primary_contact_id FROM staged_{table} WHERE rowid = place)"
            keys = f"SELECT lead_id, {column} AS key, created_at, contact_id FROM staged_leads WHERE {REASON} IS NULL"
            if column == "lead_id" and _has(staged, "leads", "contact_id"):
                keys += (
                    f" UNION ALL SELECT lead_id, contact_id, created_at, contact_id FROM staged_leads WHERE {REASON} "
                    "IS NULL AND contact_id IS NOT NULL AND contact_id IS DISTINCT FROM lead_id"
                )
            ranked = (
                f"SELECT place, coalesce(lead_id, id) AS lead_id, row_number() OVER (PARTITION BY place ORDER BY "
                f"lead_id IS NULL, created_at > moment, NOT coalesce({is_primary}, false), created_at DESC, number, "
                "lead_id) AS rank, lead_id IS NOT NULL AS is_there "
                f"FROM __parts LEFT JOIN ({keys}) ON key = id WHERE id <> {literal(prefix)}"
            )
            connection.execute(f"CREATE OR REPLACE TEMP TABLE __ranked AS {ranked}")
            if table == "deals":
                connection.execute(
                    "INSERT INTO shared_deals SELECT DISTINCT lead_id, place FROM __ranked WHERE rank > 1 AND is_there"
                )
            only = "" if column == "lead_id" else "AND is_there"
            connection.execute(
                f"UPDATE staged_{table} SET lead_id = __ranked.lead_id FROM __ranked "
                f"WHERE staged_{table}.rowid = place AND rank = 1 {only}"
            )
            connection.execute("DROP TABLE __parts; DROP TABLE __ranked")


def _other_form(connection: duckdb.DuckDBPyConnection, table: str, column: str, owner: str, key: str) -> int:
    """Write ids as their owner writes them: 15 and 18 characters are one Salesforce id."""
    looks = connection.execute(
        f"SELECT 1 FROM staged_{table} WHERE regexp_matches({column}, '{_LONG}|{_SHORT}') LIMIT 1"
    ).fetchall()
    if not looks:
        return 0
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE __forms AS SELECT was, min(id) AS id FROM "
        f"(SELECT DISTINCT {column} AS was FROM staged_{table} WHERE regexp_matches({column}, '{_LONG}|{_SHORT}')) "
        f"JOIN (SELECT DISTINCT {key} AS id FROM staged_{owner} WHERE regexp_matches({key}, '{_LONG}|{_SHORT}')) "
        f"ON left(was, 15) = left(id, 15) WHERE length(was) <> length(id) "
        f"AND was NOT IN (SELECT {key} FROM staged_{owner} WHERE {key} IS NOT NULL) GROUP BY was HAVING count(*) = 1"
    )
    count = connection.execute(f"UPDATE staged_{table} SET {column} = id FROM __forms WHERE {column} = was").fetchall()[
        0
    ][0]
    connection.execute("DROP TABLE __forms")
    return count


def _lead_of_deal(connection: duckdb.DuckDBPyConnection, lead_column: str, deal_column: str) -> int:
    """Give deals that lead to no lead the newest lead that a shared key leads to, made by the time they were opened."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __found AS SELECT deals.rowid AS place, leads.lead_id AS lead "
        f"FROM staged_deals AS deals JOIN staged_leads AS leads ON leads.{lead_column} = deals.{deal_column} "
        f"WHERE leads.{REASON} IS NULL AND (deals.lead_id IS NULL OR deals.lead_id NOT IN "
        f"(SELECT lead_id FROM staged_leads WHERE lead_id IS NOT NULL)) "
        "QUALIFY row_number() OVER (PARTITION BY deals.rowid ORDER BY "
        "leads.created_at > coalesce(deals.opened_at, deals.closed_at), leads.created_at DESC, leads.lead_id) = 1"
    )
    count = connection.execute(
        "UPDATE staged_deals SET lead_id = lead FROM __found WHERE staged_deals.rowid = place"
    ).fetchall()[0][0]
    connection.execute("DROP TABLE __found")
    return count


def unmatched(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged]) -> list[dict[str, Any]]:
    """List the links of usable rows that lead nowhere: how many rows, of how many, and a guess at why."""
    found = []
    for table, column, owner, key in _LINKS:
        # A company need not have leads; a lead's contact need not have events.
        if column in ("account_id", "contact_id") and owner == "leads":
            continue
        if not (_has(staged, table, column) and _has(staged, owner, key)):
            continue
        reason = f"{REASON} IS NULL" + (f" OR {REASON} = 'leads to no lead'" if table == "events" else "")
        missing = f"{column} NOT IN (SELECT {key} FROM staged_{owner} WHERE {key} IS NOT NULL)"
        rows, lost = connection.execute(
            f"SELECT count({column}), count(*) FILTER ({missing}) FROM staged_{table} WHERE {reason}"
        ).fetchall()[0]
        if lost:
            guess = _guess(
                connection, f"SELECT DISTINCT {column} AS id FROM staged_{table} WHERE {missing}", owner, key
            )
            where = f"({reason}) AND {missing}"
            found.append({
                "table": table, "column": column, "owner": owner, "rows": rows, "count": lost, "guess": guess,
                "where": where,
            })  # fmt: skip
    return found


def _guess(connection: duckdb.DuckDBPyConnection, missing: str, owner: str, key: str) -> str | None:
    for template, guess in GUESSES:
        ours, theirs = template.format("id"), template.format(quoted(key))
        asked, met = connection.execute(
            f"SELECT count(*), count(*) FILTER ({ours} <> '' AND {ours} IN "
            f"(SELECT {theirs} FROM staged_{owner} WHERE {key} IS NOT NULL)) FROM ({missing})"
        ).fetchall()[0]
        if asked and met >= 0.5 * asked:
            return guess
    return None
