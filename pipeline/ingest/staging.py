# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""From sources to one typed table each: every row is there, and a row that cannot be used says why."""

from __future__ import annotations

from dataclasses import dataclass, replace

import duckdb

from features.schema import MONEY, RATE, TIME
from pipeline.common.sql import literal, quoted
from pipeline.config.data_contract import EVENT_KEYS, TABLES, WORDS
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.derived_columns import modified_column
from pipeline.ingest.parsing import EMPTY_WORDS, Conventions, clean_sql, id_sql, number_sql, survey, time_sql, word_sql
from pipeline.ingest.sources import PLACE, ROW

IDS = frozenset({"lead_id", "deal_id", "account_id", "contact_id", "owner_id", "event_id", "parent_id", "row_id"})
BAD_COLUMN, BAD_VALUE, REASON = "__bad_column", "__bad_value", "__reason"
"""Columns that say why a row cannot be used."""
FIRST_START = "1900-01-01"
"""A company's first version may be dated back as far as this, so that it holds always."""

UNIQUE = {
    "leads": ("lead_id",),
    "deals": ("deal_id", "recorded_at"),
    "accounts": ("account_id", "valid_from"),
    "events": ("event_id",),
    "owners": ("owner_id",),
    "rates": ("currency", "valid_from"),
}
_KINDS = {TIME: "time", MONEY: "money", RATE: "number", "float64": "number"}
_COUNTS = frozenset({"employees", "annual_revenue"})
_SQL_TYPES = {
    TIME: "TIMESTAMP", MONEY: "DECIMAL(18, 4)", RATE: "DECIMAL(18, 10)", "float64": "DOUBLE", "string": "VARCHAR",
    "boolean": "BOOLEAN",
}  # fmt: skip


@dataclass(frozen=True)
class Staged:
    """A table with every row of its sources.

    Besides the contract's columns and the attributes it has, for each row: where it stood (`ROW`, `PLACE`), and where
    it cannot be used `BAD_COLUMN`, `BAD_VALUE` and `REASON`; and per column that may be unreadable the text as written
    where it was (``was:created_at``), else null.

    Parameters
    ----------
    table : str
    relation : str
        Name of the DuckDB table.
    present : frozenset of str
        The contract's columns that some source has.
    attributes : dict of str to str
        The company's own columns, and their DuckDB types.
    readable : tuple of str
        Columns that may be unreadable, and so have their ``was:``.
    """

    table: str
    relation: str
    present: frozenset[str]
    attributes: dict[str, str]
    readable: tuple[str, ...]


def stage(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    mappings: list[Mapping],
    conventions: list[dict[str, Conventions]],
    *,
    qualify: bool,
) -> Staged:
    """Read every source of a table into one, typed as the contract says.

    Parameters
    ----------
    connection : DuckDB connection
        Its session time zone is the company's.
    table : str
        A table of the contract.
    mappings : list of Mapping
        Its sources.
    conventions : list of dict
        For each source, what its columns agree on (`agree`).
    qualify : bool
        Put the system's name before each id, as several systems may use the same ids.

    Returns
    -------
    Staged
    """
    attributes = _attribute_types(connection, mappings)
    readable = tuple(name for name, type_ in TABLES[table].items() if type_ in _KINDS or (table, name) in WORDS)
    selects = [
        _select(table, mapping, agreed, attributes, readable, qualify=qualify)
        for mapping, agreed in zip(mappings, conventions, strict=True)
    ]
    relation = f"staged_{table}"
    connection.execute(f"CREATE TABLE {relation} AS {' UNION ALL BY NAME '.join(selects)}")
    present = frozenset(name for mapping in mappings for name in mapping.columns)
    staged = Staged(table, relation, present, attributes, readable)
    _mark_duplicates(connection, staged)
    return staged


def agree(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> dict[str, Conventions]:
    """Find what each column of a source agrees on, by the contract's name."""
    contract = TABLES[mapping.raw.table]
    uses = {
        theirs: "id" if ours in IDS else "money" if ours in _COUNTS else _KINDS[contract[ours]]
        for ours, theirs in mapping.columns.items()
        if ours in IDS or contract[ours] in _KINDS
    }
    found = survey(connection, mapping.raw.relation, uses, mapping.raw.columns)
    mapping.raw.notes += [
        f"{mapping.raw.label}: every point in '{theirs}' has three digits behind it, so it is read as a thousands "
        f"separator (1.234 is 1234); if it is a decimal point, cast the column in {mapping.raw.key}.sql"
        for theirs, convention in found.items()
        if convention.grouped
    ]
    zone = mapping.raw.source.timezone
    return {
        ours: replace(found.get(theirs, Conventions()), zone=zone if contract[ours] == TIME else None)
        for ours, theirs in mapping.columns.items()
    }


def _attribute_types(connection: duckdb.DuckDBPyConnection, mappings: list[Mapping]) -> dict[str, str]:
    """Call an attribute a number where every source has numbers in it; a code with a leading zero is none."""
    types: dict[str, str] = {}
    for mapping in mappings:
        relation = quoted(mapping.raw.relation)
        texts = [name for name in mapping.attributes if mapping.raw.columns[name] == "VARCHAR"]
        numeric = {name: _is_number(mapping.raw.columns[name]) for name in mapping.attributes}
        if texts:
            tests = ", ".join(
                f"count({text}) > 0 AND count({text}) = count(TRY_CAST({text} AS DOUBLE)) "
                f"AND count(CASE WHEN regexp_matches({text}, '^-?0\\d|[a-zA-Z]') THEN 1 END) = 0"
                for text in (clean_sql(name, "VARCHAR") for name in texts)
            )
            answers = connection.execute(f"SELECT {tests} FROM {relation}").fetchall()[0]
            numeric.update(zip(texts, answers, strict=True))
        for name in mapping.attributes:
            known = next((other for other in types if other.lower() == name.lower()), name)
            is_number = numeric[name] and types.get(known, "DOUBLE") == "DOUBLE"
            types[known] = "DOUBLE" if is_number else "VARCHAR"
    return types


def _is_number(type_: str) -> bool:
    return type_.startswith(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "U", "FLOAT", "DOUBLE", "DECIMAL")
    ) and (type_ not in ("UUID", "UNION"))


def _select(
    table: str,
    mapping: Mapping,
    agreed: dict[str, Conventions],
    attributes: dict[str, str],
    readable: tuple[str, ...],
    *,
    qualify: bool,
) -> str:
    """Build the query that types one source, and finds for each row the first thing that is wrong with it."""
    raw = mapping.raw
    system = literal(raw.source.system) if raw.source.system else "CAST(NULL AS VARCHAR)"
    inner = [f"{ROW}, {PLACE}"]
    for name, type_ in TABLES[table].items():
        value, written = column_sql(table, mapping, agreed, name, type_, prefix=system if qualify else None)
        inner.append(f"{value} AS {quoted('=' + name)}")
        if name in readable:
            inner.append(f"CASE WHEN ({value}) IS NULL THEN {written} END AS {quoted('was:' + name)}")
    own = {name.lower(): name for name in mapping.attributes}
    for name, type_ in attributes.items():
        theirs = own.get(name.lower())
        inner.append(f"{_attribute(theirs, raw.columns, raw.source.values, type_)} AS {quoted(name)}")
    outer = [ROW, PLACE, f"{system} AS system"]
    outer += [
        f"CAST({quoted('=' + name)} AS {sql_type(type_)}) AS {quoted(name)}" for name, type_ in TABLES[table].items()
    ]
    outer += [quoted("was:" + name) for name in readable]
    outer += [quoted(name) for name in attributes]
    checks = _checks(table, agreed)
    outer += [
        f"CASE {' '.join(f'WHEN {wrong} THEN {literal(name)}' for name, wrong, _, _ in checks)} END AS {BAD_COLUMN}",
        f"CASE {' '.join(f'WHEN {wrong} THEN {value}' for _, wrong, _, value in checks)} END AS {BAD_VALUE}",
        f"CASE {' '.join(f'WHEN {wrong} THEN {reason}' for _, wrong, reason, _ in checks)} END AS {REASON}",
    ]
    return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM {quoted(raw.relation)})"


def column_sql(
    table: str, mapping: Mapping, agreed: dict[str, Conventions], name: str, type_: str, prefix: str | None
) -> tuple[str, str]:
    """Give the SQL for a contract's column of a source: its value, and the text as written."""
    if name not in mapping.columns:
        return "NULL", "CAST(NULL AS VARCHAR)"
    theirs = mapping.columns[name]
    their_type = mapping.raw.columns[theirs]
    written = clean_sql(theirs, their_type)
    words = mapping.raw.source.values.get(name, {})
    value = value_sql(table, name, theirs, their_type, agreed[name], words, prefix)
    if (table, name) == ("deals", "closed_at"):
        value = _not_planned(mapping, agreed, value)
    return value, written


def _not_planned(mapping: Mapping, agreed: dict[str, Conventions], closed_at: str) -> str:
    """Read the date of a closed deal that lies after its record's day as a plan: it was closed when it was recorded."""
    raw = mapping.raw
    recorded = mapping.columns.get("recorded_at") or modified_column(raw)
    if "outcome" not in mapping.columns or recorded is None or recorded == mapping.columns["closed_at"]:
        return closed_at
    outcome = column_sql("deals", mapping, agreed, "outcome", "string", None)[0]
    convention = agreed.get("recorded_at") or Conventions(iso_only=False, zone=raw.source.timezone)
    at = time_sql(recorded, raw.columns[recorded], convention)
    is_plan = f"{outcome} IN ('won', 'lost') AND {closed_at} >= {at} + INTERVAL 1 DAY"
    return f"CASE WHEN {is_plan} THEN {at} ELSE {closed_at} END"


def value_sql(
    table: str,
    name: str,
    column: str,
    column_type: str,
    convention: Conventions,
    words: dict[str, list[str]],
    prefix: str | None,
) -> str:
    """Give the SQL that reads a value of a contract's column out of some source's column.

    Parameters
    ----------
    table, name : str
        The contract's column.
    column, column_type : str
        The source's column and its DuckDB type.
    convention : Conventions
    words : dict of str to list of str
        What params say of the column's words.
    prefix : str or None
        SQL of the system's name, to put before ids.
    """
    type_ = TABLES[table][name]
    if type_ == TIME:
        first = {"first_day": FIRST_START} if name == "valid_from" else {}
        return time_sql(column, column_type, convention, **first)
    if type_ in _KINDS:
        return number_sql(column, column_type, convention, sql_type(type_))
    if name in IDS:
        value = id_sql(column, column_type, convention)
        return f"{prefix} || ':' || {value}" if prefix else value
    readings = {word.strip().lower(): ours for ours, listed in words.items() for word in listed}
    if (table, name) in WORDS:
        for ours, usual in WORDS[table, name].items():
            for word in (ours,) if ours in words else usual:
                readings.setdefault(word, ours)
        return word_sql(clean_sql(column, column_type), readings, "NULL")
    text = clean_sql(column, column_type, EMPTY_WORDS)
    return word_sql(text, readings, text)


def _attribute(theirs: str | None, types: dict[str, str], values: dict[str, dict[str, list[str]]], type_: str) -> str:
    if theirs is None:
        return f"CAST(NULL AS {type_})"
    if type_ == "DOUBLE":
        return number_sql(theirs, types[theirs], Conventions())
    text = clean_sql(theirs, types[theirs], EMPTY_WORDS)
    words = next((words for name, words in values.items() if name.lower() == theirs.lower()), {})
    return word_sql(text, {word.strip().lower(): ours for ours, listed in words.items() for word in listed}, text)


def sql_type(type_: str) -> str:
    """Name DuckDB's type for a column's type in `features.schema`."""
    return _SQL_TYPES[type_]


def _checks(table: str, agreed: dict[str, Conventions]) -> list[tuple[str, str, str, str]]:
    """List what may be wrong with a row, gravest first: column, condition, reason, and the value to show."""
    nothing = "CAST(NULL AS VARCHAR)"

    def missing(name: str, if_: str = "true") -> tuple[str, str, str, str]:
        is_missing = f"{quoted('=' + name)} IS NULL"
        if name in agreed and (TABLES[table][name] in _KINDS or (table, name) in WORDS):
            is_missing += f" AND {quoted('was:' + name)} IS NULL"
        return name, f"({if_}) AND {is_missing}", literal(f"no {name}"), nothing

    def unreadable(name: str, what: str, if_: str = "true") -> tuple[str, str, str, str]:
        was = quoted("was:" + name)
        reason = literal(f"unreadable {what}")
        convention = agreed.get(name, Conventions())
        if what == "date" and not (convention.iso_only or convention.day_first or convention.month_first):
            either = literal("the day or the month may come first, and nothing in the column decides it")
            slashed = f"regexp_matches({was}, '^\\d{{1,2}}[/-]\\d{{1,2}}[/-]\\d{{4}}')"
            reason = f"CASE WHEN {slashed} THEN {either} ELSE {reason} END"
        return name, f"({if_}) AND {quoted('=' + name)} IS NULL AND {was} IS NOT NULL", reason, was

    recorded = unreadable("recorded_at", "date")
    if table == "leads":
        return [missing("lead_id"), missing("created_at"), unreadable("created_at", "date"), recorded]
    if table == "accounts":
        return [missing("account_id"), unreadable("valid_from", "date"), recorded]
    if table == "events":
        nobody = " AND ".join(f"{quoted('=' + name)} IS NULL" for name in EVENT_KEYS)
        needed = [("lead_id", nobody, literal("nothing says whose it is"), nothing)]
        return [*needed, missing("occurred_at"), unreadable("occurred_at", "date"), missing("kind"), recorded]
    if table == "changes":
        needed = [missing("table"), unreadable("table", "table"), missing("row_id"), missing("field")]
        return [*needed, missing("changed_at"), unreadable("changed_at", "date"), recorded]
    if table == "owners":
        return [missing("owner_id")]
    if table == "rates":
        not_above_0 = (
            "rate",
            f"{quoted('=rate')} <= 0",
            literal("rate not above 0"),
            f"CAST({quoted('=rate')} AS VARCHAR)",
        )
        needed = [missing("currency"), missing("valid_from"), unreadable("valid_from", "date")]
        return [*needed, missing("rate"), unreadable("rate", "number"), not_above_0]
    outcome, closed_at = quoted("=outcome"), quoted("=closed_at")
    closed = f"{outcome} IN ('won', 'lost')"
    return [
        missing("deal_id"),
        unreadable("outcome", "outcome"),
        missing("outcome", f"{closed_at} IS NOT NULL OR {quoted('was:closed_at')} IS NOT NULL"),
        unreadable("closed_at", "date", closed),
        missing("closed_at", closed),
        recorded,
        unreadable("amount", "amount", f"{outcome} = 'won'"),
    ]


def _mark_duplicates(connection: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Keep the first usable row of each id; the others are duplicates."""
    unique = UNIQUE.get(staged.table, ())
    names = [name for name in unique if name in staged.present]
    if not names or unique[0] not in names:
        return
    key = unique[0]
    listed = ", ".join(names)
    connection.execute(
        f"CREATE TEMP TABLE twice AS SELECT {key} FROM {staged.relation} WHERE {REASON} IS NULL AND {key} IS NOT NULL "
        f"GROUP BY {listed} HAVING count(*) > 1"
    )
    connection.execute(
        f"UPDATE {staged.relation} SET {BAD_COLUMN} = '{key}', {BAD_VALUE} = {key}, "
        f"{REASON} = 'duplicate {key}; the first row is kept' "
        f"WHERE rowid IN (SELECT again FROM (SELECT rowid AS again, "
        f"row_number() OVER (PARTITION BY {listed} ORDER BY rowid) AS place FROM {staged.relation} "
        f"WHERE {REASON} IS NULL AND {key} IN (FROM twice)) WHERE place > 1)"
    )
    connection.execute("DROP TABLE twice")
