# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""From sources to one typed table each: every row is there, and a row that cannot be used says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import duckdb

from features.empty_words import EMPTY
from features.schema import MONEY, RATE, TIME
from pipeline.common.sql import literal, quoted
from pipeline.config.data_contract import EVENT_KEYS, NEEDED, TABLES, WORDS
from pipeline.ingest.amount_formats import number_sql, unit_sql
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.column_survey import survey
from pipeline.ingest.currencies import named_currency
from pipeline.ingest.left_out import deleted_sql
from pipeline.ingest.outcome_flags import as_booleans
from pipeline.ingest.parsing import Conventions, clean_sql, id_sql, long_deal_id_sql, word_sql
from pipeline.ingest.sources import PLACE, ROW
from pipeline.ingest.time_formats import time_sql

IDS = frozenset({
    "lead_id", "deal_id", "account_id", "contact_id", "owner_id", "event_id", "parent_id", "row_id", "manager_id",
    "primary_contact_id", "content_id",
})  # fmt: skip
BAD_COLUMN, BAD_VALUE, REASON = "__bad_column", "__bad_value", "__reason"
"""Columns that say why a row cannot be used."""
CHANGED, MERGED, CONTENT = "__changed", "__merged", "__content"
"""When a row was last changed; the record that it was merged into; a fingerprint of all it holds."""
UNIQUE_KEYS = {
    "leads": "lead_id", "deals": "deal_id", "accounts": "account_id", "events": "event_id", "owners": "owner_id",
    "rates": "currency", "contents": "content_id",
}  # fmt: skip
PLAIN_TABLES = ("campaigns", "contents", "experiments", "deal_lines", "quotas", "splits")
"""Tables of which a row is usable once it has what it needs."""
MONEY_COLUMNS = {"deals": "amount", "campaigns": "cost"}
"""The column of a table whose values may have a currency written beside them."""
LEFT_OUT = ("duplicate", "older version", "exact copy", "deleted", "merged", "erased")
"""How the reasons of rows begin that are out of use rightly: something else says what they said, or nothing should."""
FIRST_START = "1900-01-01"
"""A company's first version may be dated back as far as this, so that it holds always."""

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
    relation = f"staged_{table}"
    for place, (mapping, agreed) in enumerate(zip(mappings, conventions, strict=True)):
        select = _select(table, mapping, agreed, attributes, readable, qualify=qualify)
        with session_zone(connection, mapping.timezone):
            made = f"INSERT INTO {relation} BY NAME" if place else f"CREATE TABLE {relation} AS"
            connection.execute(f"{made} {select}")
    present = frozenset(name for mapping in mappings for name in mapping.columns)
    if table == "deals" and any(_has_units(connection, mapping) for mapping in mappings):
        present |= {"currency"}
    return Staged(table, relation, present, attributes, readable)


@contextmanager
def session_zone(connection: duckdb.DuckDBPyConnection, zone: str | None) -> Iterator[None]:
    """Read times without an offset in another zone for a while; None changes nothing."""
    before = connection.execute("SELECT current_setting('TimeZone')").fetchall()[0][0]
    connection.execute(f"SET TimeZone = {literal(zone or before)}")
    try:
        yield
    finally:
        connection.execute(f"SET TimeZone = {literal(before)}")


def _has_units(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> bool:
    column = mapping.columns.get(MONEY_COLUMNS.get(mapping.raw.table, ""))
    if column is None or mapping.raw.columns[column] != "VARCHAR":
        return False
    has_unit = f"regexp_matches({quoted(column)}, '[\\p{{L}}\\p{{Sc}}]')"
    query = f"SELECT 1 FROM {quoted(mapping.raw.relation)} WHERE {has_unit} LIMIT 1"
    return bool(connection.execute(query).fetchall())


def agree(
    connection: duckdb.DuckDBPyConnection, mapping: Mapping, base: Conventions | None = None
) -> dict[str, Conventions]:
    """Find what each column of a source agrees on, by the contract's name.

    Parameters
    ----------
    connection : DuckDB connection
    mapping : Mapping
    base : Conventions, optional
        The company's currency and time zone.
    """
    base = base or Conventions()
    contract = TABLES[mapping.raw.table]
    uses = {}
    for ours, theirs in mapping.columns.items():
        if ours in IDS or contract[ours] in _KINDS:
            use = "id" if ours in IDS else "money" if ours in _COUNTS else _KINDS[contract[ours]]
            uses[theirs] = "share" if ours == "probability" else use
    with session_zone(connection, mapping.timezone):
        found = survey(connection, mapping.raw.relation, uses, mapping.raw.columns, base)
    mapping.raw.notes += list(_notes(mapping, found))
    agreed = {ours: found.get(theirs, base) for ours, theirs in mapping.columns.items()}
    if "currency" in agreed:
        agreed["currency"] = replace(agreed["currency"], words=_currency_words(connection, mapping, base.currency))
    if mapping.changed:
        with session_zone(connection, mapping.timezone):
            types = mapping.raw.columns
            changed = survey(connection, mapping.raw.relation, {mapping.changed: "time"}, types, base)
        agreed[CHANGED] = changed[mapping.changed]
    return agreed


def _notes(mapping: Mapping, found: dict[str, Conventions]) -> Iterator[str]:
    raw = mapping.raw
    for theirs, convention in found.items():
        where = f"{raw.label}: '{theirs}'"
        if convention.grouped:
            yield (
                f"{raw.label}: every point in '{theirs}' has three digits behind it, so it is read as a thousands "
                f"separator (1.234 is 1234); if it is a decimal point, cast the column in {raw.key}.sql"
            )
        if convention.is_serial:
            yield f"{where} holds days as spreadsheets count them (45345 is 2024-02-23) and is read so"
        if convention.mixed:
            yield (
                f"{where} is written in two styles, 9.999,99 and 9,999.99: nothing says which is meant, so values with "
                "a separator are left unread; give the column in one style"
            )
        if convention.scaled:
            yield f"{where} is written in thousands or millions (12k is 12000) and is read so"
        if convention.is_percent and theirs == mapping.columns.get("probability"):
            yield f"{where} is in percent: 60 is read as 0.6"


def _currency_words(
    connection: duckdb.DuckDBPyConnection, mapping: Mapping, currency: str
) -> tuple[tuple[str, str], ...]:
    """Look up every word of a column of currencies that is no code as it stands."""
    column = mapping.columns["currency"]
    text = clean_sql(column, mapping.raw.columns[column])
    rows = connection.execute(
        f"SELECT DISTINCT lower({text}) AS word FROM {quoted(mapping.raw.relation)} "
        "WHERE word IS NOT NULL AND NOT regexp_full_match(word, '[a-z]{3}') ORDER BY word LIMIT 500"
    ).fetchall()
    known = {word: named_currency(word, currency) for (word,) in rows}
    return tuple((word, code) for word, code in known.items() if code)


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
    inner += [f"{sql} AS {name}" for name, sql in _marks(table, mapping, agreed, system if qualify else None).items()]
    outer = [ROW, PLACE, f"{system} AS system"]
    outer += [
        f"CAST({quoted('=' + name)} AS {sql_type(type_)}) AS {quoted(name)}" for name, type_ in TABLES[table].items()
    ]
    outer += [quoted("was:" + name) for name in readable]
    outer += [quoted(name) for name in attributes]
    outer += [CHANGED, MERGED, CONTENT]
    gone = "CASE WHEN __merged IS NOT NULL THEN 'merged into another record' ELSE 'deleted in the source' END"
    is_gone = "(__deleted OR __merged IS NOT NULL)"
    left = (UNIQUE_KEYS.get(table, "row"), is_gone, gone, MERGED)
    checks = [left, *_checks(table, agreed)]
    outer += [
        f"CASE {' '.join(f'WHEN {wrong} THEN {literal(name)}' for name, wrong, _, _ in checks)} END AS {BAD_COLUMN}",
        f"CASE {' '.join(f'WHEN {wrong} THEN {value}' for _, wrong, _, value in checks)} END AS {BAD_VALUE}",
        f"CASE {' '.join(f'WHEN {wrong} THEN {reason}' for _, wrong, reason, _ in checks)} END AS {REASON}",
    ]
    return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM {quoted(raw.relation)})"


def _marks(table: str, mapping: Mapping, agreed: dict[str, Conventions], prefix: str | None) -> dict[str, str]:
    """Give the SQL of what else is known of a row: whether it was deleted or merged, and when it was changed."""
    raw = mapping.raw
    changed = "CAST(NULL AS TIMESTAMP)"
    if mapping.changed:
        changed = time_sql(mapping.changed, raw.columns[mapping.changed], agreed[CHANGED])
    merged = "CAST(NULL AS VARCHAR)"
    if mapping.merged:
        merged = id_sql(mapping.merged, raw.columns[mapping.merged], Conventions())
        merged = f"{prefix} || ':' || {merged}" if prefix else merged
    written = "CAST(NULL AS VARCHAR)"
    if (money := MONEY_COLUMNS.get(table)) in mapping.columns:
        written = unit_sql(mapping.columns[money], raw.columns[mapping.columns[money]], agreed[money])
    # Events are too many to hold a copy of each to compare.
    content = f"hash({', '.join(map(quoted, raw.columns))})" if table != "rates" else "CAST(0 AS UBIGINT)"
    return {
        CHANGED: changed, MERGED: merged, CONTENT: content, "__deleted": deleted_sql(mapping), "__unit": written,
    }  # fmt: skip


def column_sql(
    table: str, mapping: Mapping, agreed: dict[str, Conventions], name: str, type_: str, prefix: str | None
) -> tuple[str, str]:
    """Give the SQL for a contract's column of a source: its value, and the text as written."""
    unit = None
    if name == "currency" and (money := MONEY_COLUMNS.get(table)) in mapping.columns:
        unit = unit_sql(mapping.columns[money], mapping.raw.columns[mapping.columns[money]], agreed[money])
    if name not in mapping.columns:
        return unit or "NULL", "CAST(NULL AS VARCHAR)"
    theirs = mapping.columns[name]
    their_type = mapping.raw.columns[theirs]
    written = clean_sql(theirs, their_type)
    words = mapping.raw.source.values.get(name, {})
    value = value_sql(table, name, theirs, their_type, agreed[name], words, prefix)
    return (f"coalesce({value}, {unit})" if unit else value), written


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
    words = as_booleans(words) if column_type == "BOOLEAN" else words
    if type_ == TIME:
        first = {"first_day": FIRST_START} if name == "valid_from" else {}
        return time_sql(column, column_type, convention, **first)
    if type_ in _KINDS:
        number = number_sql(column, column_type, convention, sql_type(type_))
        return f"{number} / 100" if name == "probability" and convention.is_percent else number
    if name in IDS:
        value = id_sql(column, column_type, convention)
        value = long_deal_id_sql(value) if name == "deal_id" else value
        return f"{prefix} || ':' || {value}" if prefix else value
    readings = {word.strip().lower(): ours for ours, listed in words.items() for word in listed}
    if (table, name) in WORDS:
        for ours, usual in WORDS[table, name].items():
            for word in (ours,) if ours in words else usual:
                readings.setdefault(word, ours)
        return word_sql(clean_sql(column, column_type), readings, "NULL")
    text = clean_sql(column, column_type, EMPTY)
    return word_sql(text, dict(convention.words) | readings, text)


def _attribute(theirs: str | None, types: dict[str, str], values: dict[str, dict[str, list[str]]], type_: str) -> str:
    if theirs is None:
        return f"CAST(NULL AS {type_})"
    if type_ == "DOUBLE":
        return number_sql(theirs, types[theirs], Conventions())
    text = clean_sql(theirs, types[theirs], EMPTY)
    words = next((words for name, words in values.items() if name.lower() == theirs.lower()), {})
    words = as_booleans(words) if types[theirs] == "BOOLEAN" else words
    return word_sql(text, {word.strip().lower(): ours for ours, listed in words.items() for word in listed}, text)


def left_out_sql(prefix: str = "") -> str:
    """Give the SQL of whether a row is out of use rightly, so that nothing is missing without it."""
    return "(" + " OR ".join(f"starts_with({prefix}{REASON}, {literal(start)})" for start in LEFT_OUT) + ")"


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
    if table in PLAIN_TABLES:
        found = []
        for name in (name for group in NEEDED[table] for name in group):
            found.append(missing(name))
            if TABLES[table][name] in _KINDS:
                found.append(unreadable(name, "date" if TABLES[table][name] == TIME else "number"))
        return found
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
    other_unit = f"{quoted('=currency')} IS NOT NULL AND __unit IS NOT NULL AND upper({quoted('=currency')}) <> __unit"
    written = "__unit || ' beside ' || upper(" + quoted("=currency") + ")"
    conflict = ("amount", other_unit, literal("written with another currency than the row's"), written)
    return [
        *([missing("deal_id")] if "deal_id" in agreed else []),
        unreadable("outcome", "outcome"),
        missing("outcome", f"{closed_at} IS NOT NULL OR {quoted('was:closed_at')} IS NOT NULL"),
        unreadable("closed_at", "date", closed),
        missing("closed_at", closed),
        recorded,
        unreadable("amount", "amount", f"{outcome} = 'won'"),
        conflict,
    ]
