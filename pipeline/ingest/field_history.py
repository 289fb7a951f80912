# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Field histories: each change of a column, told in the contract's names, words and types."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from features.schema import TIME
from pipeline.common.sql import literal
from pipeline.config.data_contract import TABLES
from pipeline.ingest.amount_formats import number_sql
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.parsing import Conventions, clean_sql, word_sql
from pipeline.ingest.staging import BAD_COLUMN, BAD_VALUE, REASON, Staged, value_sql
from pipeline.ingest.time_formats import time_sql

KEYS = {"leads": "lead_id", "deals": "deal_id", "accounts": "account_id"}
"""The tables whose columns may have a history, and the id that ``row_id`` is one of."""
UNTOLD = frozenset({"lead_id", "deal_id", "created_at", "opened_at", "closed_at", "recorded_at", "valid_from"})
"""Columns whose history tells nothing: ids, and dates of things that happened once."""


def read_changes(
    connection: duckdb.DuckDBPyConnection,
    staged: dict[str, Staged],
    mappings: list[Mapping],
    conventions: list[dict[str, Conventions]],
    *,
    qualify: bool,
) -> dict[str, int]:
    """Make the table ``told_changes`` of the usable changes, and set aside those that lead to no row.

    ``young_histories`` names histories that reach back too short a time to be looked at: none of these do.

    A change names its column as its own source does (or as the contract does); a column that two of ours are read from
    has a history for both. Dates that stand in ``closed_at`` of an open deal are planned ones, so their history is that
    of ``expected_close_at``.

    Returns
    -------
    dict of str to int
        Changes of columns that nobody reads, as ``table.column``: loaded, and of no use.
    """
    connection.execute(
        'CREATE TABLE told_changes ("table" VARCHAR, row_id VARCHAR, field VARCHAR, changed_at TIMESTAMP, '
        "known_at TIMESTAMP, old_value VARCHAR, new_value VARCHAR)"
    )
    connection.execute("CREATE TABLE young_histories (name VARCHAR)")
    if "changes" not in staged:
        return {}
    _mark_orphans(connection, staged)
    has_old = "old_value" in staged["changes"].present
    conditions = []
    for mapping, agreed in zip(mappings, conventions, strict=True):
        table = mapping.raw.table
        if table not in KEYS:
            continue
        system = mapping.raw.source.system
        same_system = f"AND system = {literal(system)}" if qualify and system else ""
        for written, ours in _fields(mapping):
            values = [
                f"CAST({_value(mapping, agreed, staged[table], ours, column, qualify)} AS VARCHAR)"
                for column in ("old_value", "new_value")
            ]
            conditions.append(f'"table" = {literal(table)} AND lower(field) = {literal(written)} {same_system}')
            connection.execute(
                f'INSERT INTO told_changes SELECT "table", row_id, {literal(ours)}, changed_at, '
                f"coalesce(recorded_at, changed_at), {values[0] if has_old else 'NULL'}, {values[1]} "
                f"FROM staged_changes WHERE {REASON} IS NULL AND {conditions[-1]}"
            )
    read = " OR ".join(f"({condition})" for condition in conditions) or "false"
    unread = connection.execute(
        f"SELECT \"table\" || '.' || field AS name, count(*) FROM staged_changes "
        f"WHERE {REASON} IS NULL AND NOT ({read}) GROUP BY name ORDER BY name"
    ).fetchall()
    return dict(unread)


def _fields(mapping: Mapping) -> list[tuple[str, str]]:
    """Pair each name that a change may give, in lower case, with the contract's column or the attribute it means."""
    table = mapping.raw.table
    ours_of: dict[str, list[str]] = {}
    for ours in mapping.columns:
        for theirs in mapping.origins(ours):
            ours_of.setdefault(theirs.lower(), []).append(ours)
    for name in mapping.attributes:
        ours_of.setdefault(name.lower(), []).append(name)
    for ours in mapping.columns:
        ours_of.setdefault(ours, [ours])
    pairs = []
    for written, listed in ours_of.items():
        for ours in listed:
            if table == "deals" and ours == "closed_at" and "expected_close_at" not in mapping.columns:
                pairs.append((written, "expected_close_at"))
            elif ours not in UNTOLD and (table, ours) != ("accounts", "account_id"):
                pairs.append((written, ours))
    return pairs


def _value(
    mapping: Mapping, agreed: dict[str, Conventions], staged: Staged, ours: str, column: str, qualify: bool
) -> str:
    """Read a column's value out of the text of a change, as that of its own table is read."""
    table, source = mapping.raw.table, mapping.raw.source
    words = source.values.get(ours, {})
    if ours in TABLES[table]:
        written = "closed_at" if ours == "expected_close_at" and ours not in mapping.columns else ours
        convention = agreed.get(written, Conventions())
        if TABLES[table][ours] == TIME:
            # A history writes its dates in its own way: any that can be told.
            convention = replace(convention, iso_only=False, is_serial=False)
        system = literal(source.system) if qualify and source.system else None
        return value_sql(table, ours, column, "VARCHAR", convention, words, system)
    if staged.attributes.get(ours) == "DOUBLE":
        return number_sql(column, "VARCHAR", Conventions())
    if staged.attributes.get(ours) == "TIMESTAMP":
        return time_sql(column, "VARCHAR", Conventions(False))
    text = clean_sql(column, "VARCHAR")
    return word_sql(text, {word.strip().lower(): name for name, listed in words.items() for word in listed}, text)


def _mark_orphans(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged]) -> None:
    """Set aside changes of rows that are not loaded."""
    for table, key in KEYS.items():
        one = table.removesuffix("s")
        for why, among in (
            (f"its {one} is in quarantine", f"row_id IN (SELECT {key} FROM staged_{table})"),
            (f"leads to no {one}", "true"),
        ):
            if table not in staged and among != "true":
                continue
            found = f"(SELECT {key} FROM staged_{table} WHERE {REASON} IS NULL AND {key} IS NOT NULL)"
            missing = f"row_id NOT IN {found}" if table in staged else "true"
            connection.execute(
                f"UPDATE staged_changes SET {BAD_COLUMN} = 'row_id', {BAD_VALUE} = row_id, {REASON} = {literal(why)} "
                f'WHERE {REASON} IS NULL AND "table" = {literal(table)} AND {among} AND {missing}'
            )


def tracked(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Name the columns whose history reaches back far enough to be looked at, as ``table.column``."""
    found = connection.execute(
        "SELECT DISTINCT \"table\" || '.' || field AS name FROM told_changes WHERE name NOT IN (FROM young_histories)"
    ).fetchall()
    return frozenset(name for (name,) in found)
