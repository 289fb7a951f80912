# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Histories from extracts: what differs from the extract before has changed, and is known since tonight.

A source that overwrites its fields keeps no history; two extracts of it are one. Each usable row of leads, deals and
accounts is compared, field by field and as the contract reads it, with the last time that it was seen:

- a field with another value is a change, known since the night that saw it (when it happened is not told);
- a row that is new although its own dates lie before the extract before was entered late: it is known since tonight,
  said as a change of its ``recorded_at``;
- the amount, stage, probability and planned date of a deal seen for the first time are known since tonight: before, an
  open deal's are not. The same goes for how a new deal ended, except on the first night, where all deals are new.

A field whose history the company keeps itself (its own ``changes``) is left to that history. One that has been watched
for less than `WATCHED_DAYS` is kept, and no feature looks at it yet: of the past it would say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from features.schema import SCHEMAS
from pipeline.common.sql import literal, quoted
from pipeline.ingest.field_history import KEYS, UNTOLD
from pipeline.ingest.staging import REASON, Staged

PERSONAL = frozenset({"email", "phone", "name", "company_name", "record_url", "contact_id"})
"""Columns of which no history is kept: they are shown, or tell who somebody is, and no forecast looks at them."""
OPEN_FACTS = ("amount", "stage", "probability", "expected_close_at")
"""What may have been written into an open deal at any time."""
WATCHED_DAYS = 90
RECORDED = "recorded_at"
_CHANGE = ("table", "row_id", "field", "changed_at", "known_at", "old_value", "new_value")
_OWN_DATE = {
    "leads": "coalesce(recorded_at, created_at)",
    "deals": "coalesce(recorded_at, opened_at, CASE WHEN outcome <> 'open' THEN closed_at END)",
    "accounts": "CAST(NULL AS TIMESTAMP)",
    "events": "coalesce(recorded_at, occurred_at)",
}
WATCHED = KEYS | {"events": "event_id"}
"""The tables whose rows are compared, and the id of each; of events only whether they were there before."""


@dataclass(frozen=True)
class Observed:
    """What extracts saw so far.

    Parameters
    ----------
    changes : sequence of Path
        The changes seen by every extract up to the one before, the oldest first.
    states : dict of str to Path
        How each table's rows stood when they were last seen, as `write_states` wrote it.
    seen_at : datetime, optional
        When that was; None before the first extract.
    now : datetime
        When today's tables were read, or just after `seen_at` where nobody wrote that down.
    """

    changes: Sequence[Path]
    states: dict[str, Path]
    seen_at: datetime | None
    now: datetime


def add_observed(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], observed: Observed) -> None:
    """Add to ``told_changes`` what extracts saw, and make the table ``seen_tonight`` of what is new.

    Leads that were entered late are given the instant since when they are known.
    """
    own = connection.execute('SELECT DISTINCT "table", field FROM told_changes').fetchall()
    connection.execute("CREATE TABLE seen_tonight AS FROM told_changes WHERE false")
    add_states(connection, staged)
    for table in _watched(staged):
        _compare(connection, staged[table], observed)
    connection.execute("CREATE TEMP TABLE seen AS FROM seen_tonight")
    for path in observed.changes:
        connection.execute(f"INSERT INTO seen BY NAME FROM read_parquet({literal(str(path))})")
    own_sql = ", ".join(f"({literal(table)}, {literal(field)})" for table, field in own)
    others = f'("table", field) NOT IN ({own_sql})' if own_sql else "true"
    connection.execute(f"INSERT INTO told_changes BY NAME SELECT DISTINCT * FROM seen WHERE {others}")
    connection.execute(
        "INSERT INTO young_histories SELECT \"table\" || '.' || field AS name FROM seen "
        f"WHERE \"table\" = 'deals' AND field IN ({', '.join(map(literal, OPEN_FACTS))}) AND {others} "
        "GROUP BY name HAVING min(known_at) > CAST($first AS TIMESTAMP)",
        {"first": observed.now - timedelta(days=WATCHED_DAYS)},
    )
    connection.execute("DROP TABLE seen")
    for table in ("leads", "events"):
        if table in staged:
            _date_late_rows(connection, staged[table])


def _watched(staged: dict[str, Staged]) -> list[str]:
    return [table for table, key in WATCHED.items() if table in staged and key in staged[table].present]


def _date_late_rows(connection: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Let rows that were entered late be known since they were seen."""
    late = f"FROM told_changes WHERE \"table\" = {literal(staged.table)} AND field = '{RECORDED}'"
    if connection.execute(f"SELECT count(*) {late}").fetchall()[0][0]:
        connection.execute(
            f"UPDATE {staged.relation} AS late_row SET {RECORDED} = late.known_at "
            f"FROM (SELECT row_id, min(known_at) AS known_at {late} GROUP BY row_id) AS late "
            f"WHERE late_row.{WATCHED[staged.table]} = late.row_id"
        )


def add_states(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged]) -> None:
    """Make the tables ``state_<table>``: how each row stands, as texts."""
    for table in _watched(staged):
        connection.execute(f"CREATE TABLE state_{table} AS {_state_sql(staged[table])[0]}")


def write_states(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Path]:
    """Write how rows stand, for the comparison of the next night: those that are gone, as they were last seen."""
    names = [name for (name,) in connection.execute("SHOW TABLES").fetchall() if name.startswith("state_")]
    for name in names:
        path = literal(str(folder / f"{name}.parquet"))
        connection.execute(
            f"COPY (SELECT * EXCLUDE (own_date) FROM {name} ORDER BY row_id) TO {path} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
    return states_in(folder)


def states_in(folder: Path) -> dict[str, Path]:
    """Name the files that `write_states` wrote into a folder, by table."""
    return {table: path for table in WATCHED if (path := folder / f"state_{table}.parquet").exists()}


def write_changes(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Write what was seen to change tonight; give its number of changes."""
    order = ", ".join(quoted(name) for name in _CHANGE)
    connection.execute(
        f"COPY (SELECT {order} FROM seen_tonight ORDER BY {order}) TO {literal(str(path))} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    return connection.execute("SELECT count(*) FROM seen_tonight").fetchall()[0][0]


def _state_sql(staged: Staged) -> tuple[str, list[str]]:
    """Give the query of how a table's rows stand, as texts, and its fields; rows in versions tell their own history."""
    table, key = staged.table, WATCHED[staged.table]
    if table == "events":
        query = f"SELECT {key} AS row_id, {_OWN_DATE[table]} AS own_date FROM {staged.relation}"
        return f"{query} WHERE {REASON} IS NULL AND {key} IS NOT NULL", []
    fields = [name for name in SCHEMAS[table] if name in staged.present and name not in UNTOLD | PERSONAL | {key}]
    values = {name: quoted(name) for name in [*fields, *staged.attributes]}
    if table == "deals" and "closed_at" in staged.present:
        planned = "coalesce(expected_close_at, CASE WHEN outcome = 'open' THEN closed_at END)"
        values["expected_close_at"] = planned
    columns = [f"CAST({value} AS VARCHAR) AS {quoted(name)}" for name, value in values.items()]
    versions = f"AND {RECORDED} IS NULL" if table == "deals" else ""
    query = (
        f"SELECT {key} AS row_id, {_OWN_DATE[table]} AS own_date"
        + "".join(f", {column}" for column in columns)
        + f" FROM {staged.relation} WHERE {REASON} IS NULL AND {key} IS NOT NULL {versions} "
        f"QUALIFY count(*) OVER (PARTITION BY {key}) = 1"
    )
    return query, list(values)


def _compare(connection: duckdb.DuckDBPyConnection, staged: Staged, observed: Observed) -> None:
    """Add what is new of one table to ``seen_tonight``, and make ``state_<table>``."""
    table = staged.table
    fields, state = _state_sql(staged)[1], f"state_{table}"
    before = observed.states.get(table)
    now = {"now": observed.now}

    def saw(field: str, old: str, new: str, rows: str) -> None:
        connection.execute(
            f"INSERT INTO seen_tonight "
            f"SELECT {literal(table)}, row_id, {literal(field)}, $now, $now, {old}, {new} {rows}",
            now,
        )

    if before is None:
        if table == "deals":
            for field in [name for name in OPEN_FACTS if name in fields]:
                saw(field, "NULL", quoted(field), f"FROM {state} WHERE {quoted(field)} IS NOT NULL")
        return
    connection.execute(f"CREATE TEMP VIEW before AS FROM read_parquet({literal(str(before))})")
    known = {name for name, *_ in connection.execute("DESCRIBE before").fetchall()}
    compared = [name for name in fields if name in known]
    if compared:
        pairs = ", ".join(f"new.{quoted(name)} AS {quoted('new ' + name)}" for name in compared)
        pairs += "".join(f", old.{quoted(name)} AS {quoted('old ' + name)}" for name in compared)
        differs = " OR ".join(f"new.{quoted(name)} IS DISTINCT FROM old.{quoted(name)}" for name in compared)
        connection.execute(
            f"CREATE TEMP TABLE differing AS SELECT new.row_id, {pairs} FROM {state} AS new "
            f"JOIN before AS old USING (row_id) WHERE {differs}"
        )
        for name in compared:
            old, new = quoted("old " + name), quoted("new " + name)
            saw(name, old, new, f"FROM differing WHERE {new} IS DISTINCT FROM {old}")
        connection.execute("DROP TABLE differing")
    connection.execute(f"CREATE TEMP TABLE arrived AS FROM {state} ANTI JOIN before USING (row_id)")
    if table == "deals":
        for field in [name for name in OPEN_FACTS if name in fields]:
            saw(field, "NULL", quoted(field), f"FROM arrived WHERE {quoted(field)} IS NOT NULL")
        if "outcome" in fields:
            saw("outcome", "NULL", "outcome", "FROM arrived WHERE outcome <> 'open'")
    if observed.seen_at is not None:
        saw(RECORDED, "NULL", "CAST(own_date AS VARCHAR)",
            f"FROM arrived WHERE own_date <= TIMESTAMP {literal(str(observed.seen_at))}")  # fmt: skip
    gone = "".join(f", {quoted(name)}" for name in compared)
    connection.execute(f"INSERT INTO {state} BY NAME SELECT row_id{gone} FROM before ANTI JOIN {state} USING (row_id)")
    connection.execute("DROP TABLE arrived; DROP VIEW before")
