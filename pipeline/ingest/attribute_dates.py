# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Dates among a company's own columns: read as dates like those of the contract, not as words.

A column of texts is one of dates where nearly all of its values are; the few that are none are left empty, and counted.
A spreadsheet that formats numbers as dates turns 45 into 14 February 1900: a column of such days holds numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from pipeline.common.sql import literal, quoted
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.column_survey import survey
from pipeline.ingest.parsing import Conventions
from pipeline.ingest.staging import Staged, session_zone
from pipeline.ingest.time_formats import time_sql

TABLES_WITH_DATES = ("leads", "accounts")
DATES_SHARE = 0.95
"""A column holds dates where so many of its values are dates."""
LOOKS_LIKE = r"(\d\D*){4}"
"""A date has four digits at least."""
SERIAL_START, SERIAL_END = "1899-12-31", "1901-12-31"
"""Days of spreadsheets from number 0 on; no fact of a company's leads is as old as this."""


def read_dates(connection: duckdb.DuckDBPyConnection, staged: Staged, mappings: Sequence[Mapping]) -> None:
    """Turn the columns of dates among a staged table's attributes into instants, and tell of what could not be read.

    Parameters
    ----------
    connection : DuckDB connection
        Its session time zone is the company's: dates without a time end with its days.
    staged : Staged
        Its ``attributes`` are updated.
    mappings : sequence of Mapping
        The table's sources; notes are left with the first.
    """
    texts = [name for name, type_ in staged.attributes.items() if type_ == "VARCHAR"]
    if staged.table not in TABLES_WITH_DATES or not texts:
        return
    relation = quoted(staged.relation)
    looks = ", ".join(
        f"count({quoted(name)}), count(CASE WHEN regexp_matches({quoted(name)}, '{LOOKS_LIKE}') THEN 1 END)"
        for name in texts
    )
    counts = connection.execute(f"SELECT {looks} FROM {relation}").fetchall()[0]
    likely = [
        name
        for name, filled, alike in zip(texts, counts[::2], counts[1::2], strict=True)
        if filled and alike >= DATES_SHARE * filled
    ]
    if not likely:
        return
    zones = {mapping.raw.source.timezone for mapping in mappings}
    zone = zones.pop() if len(zones) == 1 else None
    company = connection.execute("SELECT current_setting('TimeZone')").fetchall()[0][0]
    with session_zone(connection, zone):
        types, base = dict.fromkeys(likely, "VARCHAR"), Conventions(zone=company)
        agreed = survey(connection, staged.relation, dict.fromkeys(likely, "time"), types, base)
        for name in likely:
            _read(connection, staged, mappings[0], name, replace(agreed[name], is_serial=False))


def _read(
    connection: duckdb.DuckDBPyConnection, staged: Staged, mapping: Mapping, name: str, convention: Conventions
) -> None:
    relation, column = quoted(staged.relation), quoted(name)
    instant = time_sql(name, "VARCHAR", convention, first_day="1899-12-30")
    serial = f"({instant}) BETWEEN TIMESTAMP {literal(SERIAL_START)} AND TIMESTAMP {literal(SERIAL_END)}"
    filled, dates, days_of_1900, different, example = connection.execute(
        f"SELECT count({column}), count({instant}), count(CASE WHEN {serial} THEN 1 END), "
        f"count(DISTINCT CASE WHEN {serial} THEN {column} END), min(CASE WHEN {serial} THEN {column} END) "
        f"FROM {relation}"
    ).fetchall()[0]
    if dates < DATES_SHARE * filled:
        return
    key, notes = f"{staged.table}.{name}", mapping.raw.notes
    if days_of_1900 >= DATES_SHARE * dates and different > 1:
        number = f"date_diff('day', DATE {literal(SERIAL_START)}, CAST({instant} AS DATE))"
        connection.execute(f"ALTER TABLE {relation} ALTER COLUMN {column} TYPE DOUBLE USING CAST({number} AS DOUBLE)")
        staged.attributes[name] = "DOUBLE"
        notes.append(
            f"{key}: {days_of_1900:,} of {filled:,} values are days of 1900 (e.g. {example}): numbers that a "
            "spreadsheet shows as dates; they are read as numbers (1900-02-14 is 45): export the column as a number"
        )
        return
    connection.execute(f"ALTER TABLE {relation} ALTER COLUMN {column} TYPE TIMESTAMP USING {instant}")
    staged.attributes[name] = "TIMESTAMP"
    if dates < filled:
        notes.append(f"{key}: {filled - dates:,} of {filled:,} values are no dates, as the others are: left empty")
