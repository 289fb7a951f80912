# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Columns that a source does not have as such: the first filled of several, a constant, one of many ids, an outcome.

They are added to the source as it arrived, so that all that follows reads plain columns. Rows that somebody deleted in
the system itself are left out here too, and listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from pipeline.common.errors import UserError
from pipeline.common.sql import literal, quoted
from pipeline.config.column_forms import names_in
from pipeline.config.params import near_miss
from pipeline.ingest.parsing import clean_sql
from pipeline.ingest.sources import PLACE, ROW, RawTable

DELETED = (
    "isdeleted", "is_deleted", "isdelete", "deleted", "archived", "_fivetran_deleted", "_sdc_deleted_at",
    "_ab_cdc_deleted_at", "deleted_at", "is_archived",
)  # fmt: skip
"""Names, in small letters, of columns that mark deleted rows."""
MODIFIED = (
    "laststagechangedate", "last_stage_change_date", "last stage change date", "stage modified time",
    "lastmodifieddate", "last_modified_date", "last modified date", "systemmodstamp", "system_modstamp",
    "modifiedon", "modified on",
    "(do not modify) modified on", "modified time", "modified_time", "hs_lastmodifieddate", "updated_at", "updatedat",
    "update_time", "write_date", "date_modify", "moved_time",
)  # fmt: skip
"""Names, in small letters, of columns that say when a row was last changed, the nearest to a closing first."""
TRUE_WORDS = ("true", "t", "1", "yes", "y", "wahr", "ja", "sim", "oui", "si", "sí", "vero")
FALSE_WORDS = ("false", "f", "0", "no", "n", "falsch", "nein", "não", "nao", "non", "falso")


def derive_columns(connection: duckdb.DuckDBPyConnection, raw: RawTable) -> RawTable:
    """Add to a source the columns that params describe by a form, and leave its deleted rows out; in place.

    Parameters
    ----------
    connection : DuckDB connection
        Holds the source's relation, and gets ``deleted_rows``: table, source, system and row of each row left out.
    raw : RawTable
        Its source's columns become plain names.

    Raises
    ------
    UserError
        A column that a form names is not there.
    """
    plain, added, used = {}, {}, []
    for ours, form in raw.source.columns.items():
        if isinstance(form, str):
            plain[ours] = form
            continue
        name = _name(ours, form)
        names = [_find(raw, written, f"columns.{ours}") for written in names_in(form)]
        added[name] = _expression(raw, ours, form, names)
        plain[ours] = name
        used += names
    marks = _deleted_columns(raw)
    gone = _deleted_sql(raw, marks)
    if gone and not _set_aside(connection, raw, gone):
        gone = None
    used += marks
    if not added and not gone:
        return _with_source(raw, plain, marks)
    columns = "".join(f", {sql} AS {quoted(name)}" for name, sql in added.items())
    query = f"SELECT *{columns} FROM {quoted('arrived_' + raw.relation)}{f' WHERE NOT ({gone})' if gone else ''}"
    kind = "TABLE" if raw.is_copy else "VIEW"
    connection.execute(f"ALTER {kind} {quoted(raw.relation)} RENAME TO {quoted('arrived_' + raw.relation)}")
    connection.execute(f"CREATE {kind} {quoted(raw.relation)} AS {query}")
    if raw.is_copy:
        connection.execute(f"DROP TABLE {quoted('arrived_' + raw.relation)}")
    raw.columns |= dict.fromkeys(added, "VARCHAR")
    raw.row_count = connection.execute(f"SELECT count(*) FROM {quoted(raw.relation)}").fetchall()[0][0]
    return _with_source(raw, plain, [name for name in used if name not in plain.values()])


def modified_column(raw: RawTable) -> str | None:
    """Name the column that says when a row was last changed; None without one."""
    names = {name.lower(): name for name in raw.columns}
    return next((names[known] for known in MODIFIED if known in names), None)


def is_true_sql(text: str) -> str:
    """Give the SQL of whether a flag's text means that it is set."""
    return f"(lower({text}) IN ({', '.join(map(literal, TRUE_WORDS))}))"


def _with_source(raw: RawTable, plain: dict[str, str], used: Sequence[str]) -> RawTable:
    values = {name: words for name, words in raw.source.values.items() if name != "deleted"}
    ignore = [*raw.source.ignore, *(name for name in dict.fromkeys(used) if name not in raw.source.ignore)]
    raw.source = raw.source.model_copy(update={"columns": plain, "values": values, "ignore": ignore})
    return raw


def _name(ours: str, form: Any) -> str:
    if isinstance(form, list):
        return ", ".join(form)
    if "constant" in form:
        return f"the constant {form['constant']} ({ours})"
    if "split" in form:
        return f"first of {form['column']}"
    return " and ".join(form.values())


def _find(raw: RawTable, written: str, key: str) -> str:
    names = {name.lower(): name for name in raw.columns}
    if written.lower() not in names:
        raise UserError(
            f"{raw.key}.{key}: no column '{written}' in {raw.label}{near_miss(written, names.values())} "
            f"It has: {', '.join(raw.columns)}."
        )
    return names[written.lower()]


def _expression(raw: RawTable, ours: str, form: Any, names: list[str]) -> str:
    texts = [f"CAST({clean_sql(name, raw.columns[name])} AS VARCHAR)" for name in names]
    if isinstance(form, list):
        return f"coalesce({', '.join(texts)})"
    if "constant" in form:
        return literal(form["constant"])
    if "split" in form:
        parts = f"string_split(replace(replace({texts[0]}, '[', ''), ']', ''), {literal(form['split'])})"
        cleaned = f"list_transform({parts}, lambda part: trim(part, ' \"'))"
        return f"list_filter({cleaned}, lambda part: part <> '')[1]"
    return _outcome_sql(raw, dict(zip(form, texts, strict=True)), raw.source.values.get(ours, {}))


def _outcome_sql(raw: RawTable, flags: dict[str, str], words: dict[str, list[str]]) -> str:
    """Give won, lost or open by flags; a flag is set by the words that `values` give for it, else by a word for yes.

    What is neither yes nor no is no outcome, and is left as it is written, for the quarantine to show.
    """
    cases = []
    is_set = {}
    for flag, text in flags.items():
        if flag in words:
            listed = ", ".join(literal(word.strip().lower()) for word in words[flag]) or "NULL"
            is_set[flag] = f"(lower({text}) IN ({listed}))"
        else:
            known = ", ".join(map(literal, (*TRUE_WORDS, *FALSE_WORDS)))
            cases.append(f"WHEN NOT lower({text}) IN ({known}) THEN {text}")
            is_set[flag] = is_true_sql(text)
    given = " AND ".join(f"{text} IS NULL" for text in flags.values())
    lost = [is_set[flag] for flag in ("lost", "closed") if flag in flags]
    cases = [f"WHEN {given} THEN NULL", *cases, f"WHEN {is_set['won']} THEN 'won'"]
    cases += [f"WHEN {test} THEN 'lost'" for test in lost]
    return f"CASE {' '.join(cases)} ELSE 'open' END"


def _deleted_columns(raw: RawTable) -> list[str]:
    """Name the columns that mark deleted rows: the one that params name, else those of usual names."""
    source = raw.source
    if source.deleted is not None:
        return [_find(raw, source.deleted, "deleted")]
    others = {name.lower() for form in source.columns.values() for name in names_in(form)}
    others |= {name.lower() for name in source.ignore}
    return [name for name in raw.columns if name.lower() in DELETED and name.lower() not in others]


def _deleted_sql(raw: RawTable, columns: Sequence[str]) -> str | None:
    """Give the SQL of whether a row was deleted; None where no column tells."""
    source = raw.source
    words = [word.strip().lower() for word in source.values.get("deleted", {}).get("deleted", [])]
    tests = []
    for name in columns:
        text = clean_sql(name, raw.columns[name])
        if raw.columns[name] == "BOOLEAN":
            tests.append(f"coalesce({quoted(name)}, false)")
        elif words:
            tests.append(f"coalesce(lower({text}) IN ({', '.join(map(literal, words))}), false)")
        elif name.lower().endswith("_at"):
            tests.append(f"({text} IS NOT NULL)")
        else:
            tests.append(f"coalesce({is_true_sql(f'CAST({text} AS VARCHAR)')}, false)")
    return " OR ".join(tests) or None


def _set_aside(connection: duckdb.DuckDBPyConnection, raw: RawTable, gone: str) -> int:
    """List the deleted rows; give how many."""
    connection.execute(
        'CREATE TABLE IF NOT EXISTS deleted_rows ("table" VARCHAR, source VARCHAR, system VARCHAR, row BIGINT)'
    )
    rows = connection.execute(
        f"INSERT INTO deleted_rows SELECT $table, {PLACE}, $system, {ROW} FROM {quoted(raw.relation)} WHERE {gone}",
        {"table": raw.table, "system": raw.source.system},
    ).fetchall()
    return rows[0][0]
