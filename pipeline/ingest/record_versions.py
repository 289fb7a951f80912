# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Rows of one record: exact copies, versions in their order, and what was newest; never the order of rows in a file.

Versions are ordered by ``recorded_at``, or by a column that CRMs and loaders call so (`data_contract.CHANGED_NAMES`).
Deals and companies keep their versions: each was known over a time of its own. Of leads the newest row is kept, and
what the older ones said becomes their history (`lead_history`). Where nothing orders them, one row is kept by what it
holds: an ending before an open deal, a later date before an earlier one.
"""

from __future__ import annotations

import duckdb

from features.schema import TIME
from pipeline.common.sql import literal, quoted
from pipeline.config.data_contract import TABLES
from pipeline.ingest.sources import PLACE, ROW
from pipeline.ingest.staging import BAD_COLUMN, BAD_VALUE, CHANGED, CONTENT, REASON, UNIQUE_KEYS, Staged

_VERSIONED = {"deals": "recorded_at", "accounts": "valid_from, recorded_at"}
_SAME_THING = {"rates": "currency, valid_from"}
_UNTOLD = frozenset({"lead_id", "created_at", "recorded_at", "name", "company_name", "record_url", "email", "phone"})


def settle_versions(connection: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Set aside copies and older versions of the rows of a staged table; in place.

    Reasons begin with ``exact copy``, ``older version``, ``duplicate`` or ``deleted`` (where the newest version of a
    record is).
    """
    table, key = staged.table, UNIQUE_KEYS.get(staged.table)
    if key is None:
        return
    if key not in staged.present:
        if table == "events":
            _copies(connection, staged, "occurred_at", "kind")
        return
    if table != "rates":
        _copies(connection, staged, key, key)
        _deleted_last(connection, staged, key)
    _number_by_change(connection, staged, key)
    if table in _VERSIONED:
        _undated_of_dated(connection, staged, key)
    _repeated(connection, staged, key)


def _copies(connection: duckdb.DuckDBPyConnection, staged: Staged, key: str, shown: str) -> None:
    relation = staged.relation
    _set_aside(
        connection,
        relation,
        shown,
        "'exact copy of another row'",
        f"SELECT rowid AS again, row_number() OVER (PARTITION BY {CONTENT}, {key}, system ORDER BY {PLACE}, {ROW}) "
        f"AS place FROM {relation} WHERE {REASON} IS NULL AND {key} IS NOT NULL AND {CONTENT} IN ("
        f"SELECT {CONTENT} FROM {relation} WHERE {REASON} IS NULL GROUP BY {CONTENT} HAVING count(*) > 1)",
    )


def _set_aside(connection: duckdb.DuckDBPyConnection, relation: str, shown: str, reason: str, places: str) -> None:
    connection.execute(
        f"UPDATE {relation} SET {BAD_COLUMN} = {literal(shown)}, {BAD_VALUE} = CAST({shown} AS VARCHAR), "
        f"{REASON} = {reason} WHERE rowid IN (SELECT again FROM ({places}) WHERE place > 1)"
    )


def _order(staged: Staged) -> str:
    recorded = "recorded_at" if "recorded_at" in TABLES[staged.table] else "CAST(NULL AS TIMESTAMP)"
    return f"coalesce({recorded}, {CHANGED})"


def _deleted_last(connection: duckdb.DuckDBPyConnection, staged: Staged, key: str) -> None:
    """Leave out a record whose newest version says that it was deleted."""
    order = _order(staged)
    connection.execute(
        f"UPDATE {staged.relation} SET {BAD_COLUMN} = {literal(key)}, {BAD_VALUE} = {key}, "
        f"{REASON} = 'deleted in the source' WHERE {REASON} IS NULL AND {key} IN ("
        f"SELECT {key} FROM {staged.relation} WHERE {key} IS NOT NULL GROUP BY {key} HAVING "
        f"max({order}) FILTER ({REASON} LIKE 'deleted%') > max({order}) FILTER ({REASON} IS NULL))"
    )


def _repeated_keys(staged: Staged, key: str) -> str:
    return (
        f"SELECT {key} FROM {staged.relation} WHERE {REASON} IS NULL AND {key} IS NOT NULL "
        f"GROUP BY {key} HAVING count(*) > 1"
    )


def _number_by_change(connection: duckdb.DuckDBPyConnection, staged: Staged, key: str) -> None:
    """Take the last change of a row for its recording, where its record has several rows."""
    if staged.table in _VERSIONED:
        connection.execute(
            f"UPDATE {staged.relation} SET recorded_at = {CHANGED} WHERE {REASON} IS NULL AND recorded_at IS NULL "
            f"AND {key} IN ({_repeated_keys(staged, key)})"
        )


def _undated_of_dated(connection: duckdb.DuckDBPyConnection, staged: Staged, key: str) -> None:
    dated = "recorded_at IS NOT NULL" if staged.table == "deals" else "coalesce(recorded_at, valid_from) IS NOT NULL"
    if staged.table != "deals":
        return  # a company's row without a date holds from the beginning
    connection.execute(
        f"UPDATE {staged.relation} SET {BAD_COLUMN} = {literal(key)}, {BAD_VALUE} = {key}, "
        f"{REASON} = 'older version without a date; the dated ones are kept' WHERE {REASON} IS NULL AND NOT ({dated}) "
        f"AND {key} IN (SELECT {key} FROM {staged.relation} WHERE {REASON} IS NULL AND {dated})"
    )


def _repeated(connection: duckdb.DuckDBPyConnection, staged: Staged, key: str) -> None:
    """Keep one row of each id (of a version: of each id and date), by its content if by nothing else."""
    table, relation = staged.table, staged.relation
    listed = f"{key}, {_VERSIONED[table]}" if table in _VERSIONED else _SAME_THING.get(table, key)
    order = _order(staged)
    by_content = [f"{order} DESC NULLS LAST"]
    if table == "deals":
        by_content += ["list_position(['won', 'lost', 'open'], outcome) NULLS LAST", "closed_at DESC NULLS LAST"]
        by_content += ["amount DESC NULLS LAST"]
    if table == "leads":
        by_content += ["closed_at DESC NULLS LAST", "created_at"]
    sort = ", ".join([*by_content, CONTENT, PLACE, ROW])
    partition = f"PARTITION BY {listed}"
    reason = (
        f"CASE WHEN rowid IN (FROM __newer) THEN 'older version; the newest is kept' "
        f"ELSE {literal(f'duplicate {key}; nothing says which row is newer')} END"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __places AS SELECT rowid AS again, "
        f"row_number() OVER ({partition} ORDER BY {sort}) AS place, "
        f"{order} < first_value({order}) OVER ({partition} ORDER BY {sort}) AS older "
        f"FROM {relation} WHERE {REASON} IS NULL AND {key} IN ({_repeated_keys(staged, key)})"
    )
    connection.execute("CREATE OR REPLACE TEMP TABLE __newer AS SELECT again FROM __places WHERE older")
    _set_aside(connection, relation, key, reason, "FROM __places")
    connection.execute("DROP TABLE __places; DROP TABLE __newer")


def lead_history(connection: duckdb.DuckDBPyConnection, staged: Staged) -> int:
    """Tell what older versions of leads said as changes of their columns, and when each lead was known first.

    Needs the table ``told_changes``; a column whose history is told there already is left as it is.

    Returns
    -------
    int
        Leads with versions.
    """
    relation, order = staged.relation, _order(staged)
    versions = f"{REASON} IS NULL OR {REASON} LIKE 'older version%'"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE __versions AS SELECT *, {order} AS __order FROM {relation} WHERE ({versions}) "
        f"AND {order} IS NOT NULL AND lead_id IN "
        f"(SELECT lead_id FROM {relation} WHERE {REASON} LIKE 'older version%')"
    )
    count = connection.execute("SELECT count(DISTINCT lead_id) FROM __versions").fetchall()[0][0]
    if count:
        tracked = {name for (name,) in connection.execute(
            "SELECT DISTINCT field FROM told_changes WHERE \"table\" = 'leads'"
        ).fetchall()}  # fmt: skip
        names = [name for name in TABLES["leads"] if name in staged.present and name not in _UNTOLD | tracked]
        names = [name for name in names if TABLES["leads"][name] != TIME or name == "closed_at"]
        for name in [*names, *(name for name in staged.attributes if name not in tracked)]:
            old, new = f"lag({quoted(name)}) OVER earlier", quoted(name)
            connection.execute(
                f"INSERT INTO told_changes SELECT 'leads', lead_id, {literal(name)}, __order, __order, "
                "CAST(was AS VARCHAR), CAST(now AS VARCHAR) "
                f"FROM (SELECT lead_id, __order, {old} AS was, {new} AS now, "
                "row_number() OVER earlier AS place FROM __versions "
                "WINDOW earlier AS (PARTITION BY lead_id ORDER BY __order)) "
                "WHERE place > 1 AND was IS DISTINCT FROM now"
            )
        connection.execute(
            f"UPDATE {relation} SET recorded_at = first.first_at FROM "
            f"(SELECT lead_id, min(recorded_at) AS first_at FROM __versions GROUP BY lead_id) AS first "
            f"WHERE {relation}.lead_id = first.lead_id AND {REASON} IS NULL"
        )
    connection.execute("DROP TABLE __versions")
    return count
