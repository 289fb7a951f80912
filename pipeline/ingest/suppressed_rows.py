# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""People who were erased stay out: their rows are counted as left out, without a value, before anything keeps them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from pipeline.archive.suppression import CONTACT, EMAIL, LEAD, Suppression, hashed
from pipeline.common.sql import literal, quoted
from pipeline.config.column_forms import names_in
from pipeline.config.data_contract import USUAL_NAMES
from pipeline.ingest.sources import PLACE, ROW, RawTable

ERASED = "erased"
REASON = "person: erased at their request"
KEPT_WITHOUT = ("deals", "deal_lines")
"""Tables whose rows stay, without the person: no won revenue goes missing with somebody."""
_KINDS = {
    "lead_id": (LEAD, CONTACT), "contact_id": (CONTACT, LEAD), "email": (EMAIL,), "primary_contact_id": (CONTACT,),
    "row_id": (LEAD,),
}  # fmt: skip
_WATCHED = {
    "leads": ("lead_id", "contact_id", "email"), "events": ("lead_id", "contact_id", "email"),
    "deals": ("lead_id", "contact_id", "primary_contact_id"), "changes": ("row_id",), "experiments": ("lead_id",),
}  # fmt: skip
ADDRESS = re.compile(r"[^\s<>:;,@]{1,64}@[^\s<>:;,@]{1,255}")


def reading_without(read: Callable[..., RawTable], archive: Path) -> Callable[..., RawTable]:
    """Give a way of reading sources as `read` does, without the people on the suppression list.

    Parameters
    ----------
    read : callable
        `pipeline.ingest.sources.read_source`.
    archive : Path
        The company's archive.
    """
    suppression = Suppression(archive)
    if not suppression.lines():
        return read

    def read_without(connection: duckdb.DuckDBPyConnection, table: str, *given: Any) -> RawTable:
        raw = read(connection, table, *given)
        leave_out(connection, raw, suppression)
        return raw

    return read_without


def leave_out(connection: duckdb.DuckDBPyConnection, raw: RawTable, suppression: Suppression) -> None:
    """Take the rows of suppressed people out of a source that was just read; deals lose the person, not the row.

    The rows are listed as rows that cannot be used, so that loaded and left out together are the rows of the source.
    """
    found = _found(connection, raw, suppression)
    if not found:
        return
    relation = quoted(raw.relation)
    theirs = {column: f"trim(CAST({quoted(column)} AS VARCHAR)) IN ({', '.join(map(literal, values))})"
              for column, values in found.items()}  # fmt: skip
    whose = " OR ".join(f"coalesce({sql}, false)" for sql in theirs.values())
    if raw.table in KEPT_WITHOUT:
        replaced = ", ".join(
            f"CASE WHEN {sql} THEN {literal(ERASED)} ELSE CAST({quoted(column)} AS VARCHAR) END AS {quoted(column)}"
            for column, sql in theirs.items()
        )
        _replace(connection, raw, f"SELECT * REPLACE ({replaced}) FROM {{}}")
        raw.columns |= dict.fromkeys(theirs, "VARCHAR")
        return
    places = connection.execute(f"SELECT {PLACE}, {ROW} FROM {relation} WHERE {whose} ORDER BY ALL").fetchall()
    _replace(connection, raw, f"SELECT * FROM {{}} WHERE NOT ({whose})")
    raw.row_count -= len(places)
    raw.spoiled += [(place, row, None, REASON) for place, row in places]  # type: ignore[misc]  # no value is kept


def _found(connection: duckdb.DuckDBPyConnection, raw: RawTable, suppression: Suppression) -> dict[str, list[str]]:
    """Give for each column that tells who somebody is the values in it that are on the suppression list."""
    hashes = {(str(line["kind"]), str(line["hash"])) for line in suppression.lines()}
    key, found = suppression.key(), {}
    for ours in _WATCHED.get(raw.table, ()):
        said = raw.source.columns.get(ours)
        named = {name.lower() for name in names_in(said)} if said is not None else {ours}
        named |= set(USUAL_NAMES.get((raw.table, ours), ()))
        for column in [name for name in raw.columns if name.lower() in named]:
            values = connection.execute(
                f"SELECT DISTINCT trim(CAST({quoted(column)} AS VARCHAR)) FROM {quoted(raw.relation)} "
                f"WHERE {quoted(column)} IS NOT NULL"
            ).fetchall()
            hits = [
                value
                for (value,) in values
                if any((kind, hashed(key, kind, plain)) in hashes
                       for kind in _KINDS[ours] for plain in _plain_forms(kind, value, raw.source.system))
            ]  # fmt: skip
            if hits:
                found[column] = sorted(hits)
    return found


def _plain_forms(kind: str, value: str, system: str | None) -> list[str]:
    """Give the forms under which a value may be on the list: an id alone, or with its system's name."""
    if kind == EMAIL:
        address = ADDRESS.search(value.lower())
        return [address[0]] if address else []
    return [f"{system}:{value}"] if system else [value.removesuffix(".0")]


def _replace(connection: duckdb.DuckDBPyConnection, raw: RawTable, query: str) -> None:
    """Let the source's relation give what a query of it gives."""
    whole = f"{raw.relation}_of_all"
    kind = "TABLE" if raw.is_copy else "VIEW"
    connection.execute(f"ALTER {kind} {quoted(raw.relation)} RENAME TO {quoted(whole)}")
    connection.execute(f"CREATE {kind} {quoted(raw.relation)} AS {query.format(quoted(whole))}")
    if raw.is_copy:
        connection.execute(f"DROP TABLE {quoted(whole)}")
