# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""How text becomes times, numbers, money and words: SQL expressions for DuckDB, and the survey that chooses among them.

A value is never guessed at alone. Where its meaning depends on a convention (day or month first, decimal point or
comma), the whole column must agree on one, else the value is unreadable and its row is treated as the table's rules
say.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.common.sql import literal, quoted

EMPTY_WORDS = ("", "null", "nan", "n/a", "#n/a", "\\n")
"""Words that stand for nothing in any column."""
EMPTY_FACTS = (*EMPTY_WORDS, "none", "na", "nat", "-", "--", "?")
"""Words that stand for nothing where a time, a number or an id is wanted."""

NO_IDS = ("000000000000000", "000000000000000AAA", "00000000-0000-0000-0000-000000000000")
"""Ids of nobody, as Salesforce and Dynamics write them."""
_SALESFORCE_ID = r"[a0][0-9A-Za-z]{2}[0-9A-Za-z]{12}([A-Z0-5]{3})?"

FIRST_DAY, LAST_DAY = "1980-01-01", "2100-01-01"
"""Times outside of these are nobody's customer history, but zeros and placeholders."""

_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_NAMED_DAYS = ("%d.%m.%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y")
_OFFSET = r"\d\s?(Z|[+-]\d{2}(:?\d{2})?)$"
_SLASHED = r"^\d{1,2}[/-]\d{1,2}[/-]\d{4}\b.*"


@dataclass(frozen=True)
class Conventions:
    """What the whole of a text column agrees on.

    Parameters
    ----------
    iso_only : bool
        Every time in it is written year first.
    day_first, month_first : bool
        How 3/4/2018 reads; neither, where nothing in the column decides it.
    decimal_comma : bool
        How 1.234,56 reads.
    grouped : bool
        Nothing decides it, but every separator in this column of money or counts has three digits behind it: 1.234 is
        one thousand two hundred thirty-four.
    float_ids : bool
        Every id ends in ``.0``, as whole numbers do that passed through a float.
    salesforce_ids : bool
        Every id is one of Salesforce's, in 15 characters, in which case matters, or in 18.
    zone : str, optional
        Time zone of times without an offset, where it is not the company's.
    """

    iso_only: bool = True
    day_first: bool = False
    month_first: bool = False
    decimal_comma: bool = False
    grouped: bool = False
    float_ids: bool = False
    salesforce_ids: bool = False
    zone: str | None = None


def text_sql(column: str, type_: str) -> str:
    """Text of a column as it stands, whole numbers kept in floats written without their ``.0``."""
    name = quoted(column)
    if type_ in ("DOUBLE", "FLOAT"):
        whole = f"{name} = floor({name}) AND abs({name}) < 9e15"
        return (
            f"CASE WHEN isnan({name}) THEN NULL WHEN {whole} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) "
            f"ELSE CAST({name} AS VARCHAR) END"
        )
    return name if type_ == "VARCHAR" else f"CAST({name} AS VARCHAR)"


def clean_sql(column: str, type_: str, empty: tuple[str, ...] = EMPTY_FACTS) -> str:
    """Text of a column without blanks around it, null where it stands for nothing."""
    text = text_sql(column, type_)
    if type_ not in ("VARCHAR", "JSON"):
        return text
    # Nearly every text is clean, and one look tells: it has no blanks around it and is too long for an empty word, or
    # begins with a letter that none does. The rest is looked up in a lambda, as DuckDB would work out an expression
    # that stands twice for every row, branch or not.
    inside = "[^\\s\u00a0]"
    other = "[^\\s\u00a0nN#?\\\\-]"
    ready = f"regexp_full_match({text}, '{other}|{other}.*{inside}|{inside}.{{3,}}{inside}')"
    words = ", ".join(map(literal, empty))
    looked_up = f"list_filter([trim({text}, ' \t\r\n\u00a0')], lambda word: lower(word) NOT IN ({words}))[1]"
    return f"CASE WHEN {ready} THEN {text} ELSE {looked_up} END"


def id_sql(column: str, type_: str, conventions: Conventions) -> str:
    """Give an id as text, null where there is none."""
    text = clean_sql(column, type_)
    if conventions.float_ids:
        return f"regexp_replace({text}, '\\.0$', '')"
    if type_ not in ("VARCHAR", "JSON"):
        return text
    for nobody in NO_IDS:
        text = f"nullif({text}, {literal(nobody)})"
    return long_id_sql(text) if conventions.salesforce_ids else text


def long_id_sql(text: str) -> str:
    """Give Salesforce's id in 18 characters: behind one of 15, three that say which of its letters are capitals.

    Bit i of each of the three is set where letter i of its five is a capital (Salesforce, *Convert a 15-character ID*).
    """
    signs = []
    for start in (1, 6, 11):
        bits = [f"(substr(id, {start + place}, 1) BETWEEN 'A' AND 'Z')::INT * {1 << place}" for place in range(5)]
        signs.append(f"substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ012345', 1 + {' + '.join(bits)}, 1)")
    longer = f"list_transform([{text}], lambda id: id || {' || '.join(signs)})[1]"
    return f"CASE WHEN length({text}) = 15 THEN {longer} ELSE {text} END"


def email_key_sql(text: str) -> str:
    """Give what two ways of writing one mail address have in common: ``Ann <Ann@X.org>`` is ``ann@x.org``."""
    return f"nullif(regexp_extract(lower({text}), '[^\\s<>:;,]+@[^\\s<>:;,]+'), '')"


def phone_key_sql(text: str) -> str:
    """Give what two ways of writing one phone number have in common: its last nine digits, if it has seven at least."""
    digits = f"regexp_replace({text}, '\\D', '', 'g')"
    return f"CASE WHEN length({digits}) >= 7 THEN right({digits}, 9) END"


def time_sql(column: str, type_: str, conventions: Conventions, first_day: str = FIRST_DAY) -> str:
    """Time of a column as naive UTC; null where there is none or it cannot be read.

    The session's time zone is the company's, so that a text without an offset is read in it. A date without a time is
    its local day's last microsecond: known at the day's end, and still within its month.
    """
    name = quoted(column)
    if type_ == "DATE":
        instant = _day_end(name)
    elif type_.startswith(("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")):
        instant = f"CAST({name} AS TIMESTAMPTZ)"
    elif type_.startswith("TIMESTAMP"):
        instant = _in_zone(f"CAST({name} AS TIMESTAMP)", conventions.zone)
    else:
        instant = _instant_of_text(clean_sql(column, type_), conventions)
    within = f"BETWEEN TIMESTAMPTZ '{first_day} 00:00:00+00' AND TIMESTAMPTZ '{LAST_DAY} 00:00:00+00'"
    return f"CASE WHEN {instant} {within} THEN CAST(timezone('UTC', {instant}) AS TIMESTAMP) END"


def _day_end(date: str) -> str:
    return f"CAST(CAST({date} AS TIMESTAMP) + INTERVAL 1 DAY AS TIMESTAMPTZ) - INTERVAL 1 MICROSECOND"


def _instant_of_text(text: str, conventions: Conventions) -> str:
    """Read ISO 8601 first, then what else the column's conventions allow."""
    date, time = f"TRY_CAST({text} AS DATE)", f"TRY_CAST({text} AS TIMESTAMPTZ)"
    if conventions.zone:
        local = _in_zone(f"TRY_CAST({text} AS TIMESTAMP)", conventions.zone)
        time = f"CASE WHEN regexp_matches({text}, '{_OFFSET}') THEN {time} ELSE {local} END"
    iso = f"CASE WHEN length({text}) <= 10 THEN {_day_end(date)} ELSE {time} END"
    iso = f"CASE WHEN {text} BETWEEN '1' AND '3' THEN {iso} END"  # else 'epoch' and 'infinity' would be times
    if conventions.iso_only:
        return iso
    compact = f"TRY_STRPTIME(CASE WHEN length({text}) = 8 THEN {text} END, '%Y%m%d')"
    epoch = f"TRY_CAST(CASE WHEN length({text}) IN (10, 13) THEN {text} END AS BIGINT)"
    readings = [
        f"CASE WHEN length({text}) = 10 THEN to_timestamp({epoch}) ELSE to_timestamp({epoch} / 1000) END",
        _day_end(compact),
        _written(text, _NAMED_DAYS, conventions.zone),
    ]
    if conventions.day_first:
        readings.append(_written(f"replace({text}, '-', '/')", ("%d/%m/%Y",), conventions.zone))
    if conventions.month_first:
        readings.append(_written(f"replace({text}, '-', '/')", ("%m/%d/%Y",), conventions.zone))
    return f"coalesce({', '.join([iso, *readings])})"


def _in_zone(local: str, zone: str | None) -> str:
    """Take a local time as an instant: in a zone, or in the session's, which is the company's."""
    return f"timezone({literal(zone)}, {local})" if zone else f"CAST({local} AS TIMESTAMPTZ)"


def _written(text: str, days: tuple[str, ...], zone: str | None = None) -> str:
    """Read local times written in one of several ways of writing the day."""
    formats = ", ".join(literal(day + clock) for day in days for clock in _CLOCKS)
    local = f"TRY_STRPTIME({text}, [{formats}])"
    return f"CASE WHEN contains({text}, ':') THEN {_in_zone(local, zone)} ELSE {_day_end(local)} END"


def number_sql(column: str, type_: str, conventions: Conventions, target: str = "DOUBLE") -> str:
    """Return a finite number in the `target` type; null where there is none or it cannot be read."""
    if type_ == "BOOLEAN":
        return f"CAST({quoted(column)} AS {target})"
    if type_ not in ("VARCHAR", "JSON"):
        number = f"TRY_CAST({quoted(column)} AS DOUBLE)"
        return f"CASE WHEN isfinite({number}) THEN TRY_CAST({quoted(column)} AS {target}) END"
    text = clean_sql(column, type_)
    before, after = r"^([-+]?)\s*(?:[A-Z]{3}|R\$|[$€£¥])?\s*", r"\s*(?:[A-Z]{3}|[$€£¥%])?$"
    bare = f"regexp_replace({text}, '{before}|{after}', '\\1', 'g')"
    bare = f"regexp_replace({bare}, '[\\s\u00a0''’]', '', 'g')"
    whole = r"^[-+]?\d{1,3}([.]\d{3})+$" if conventions.decimal_comma else r"^[-+]?\d{1,3}(,\d{3})+([.]\d*)?$"
    if conventions.decimal_comma:
        fraction = r"^[-+]?(\d{1,3}([.]\d{3})+|\d+),\d*$"
        spoken = (
            f"CASE WHEN regexp_full_match({bare}, '{whole}') OR regexp_full_match({bare}, '{fraction}') "
            f"THEN replace(replace({bare}, '.', ''), ',', '.') ELSE {bare} END"
        )
    else:
        spoken = f"CASE WHEN regexp_full_match({bare}, '{whole}') THEN replace({bare}, ',', '') ELSE {bare} END"
    digits = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?"
    number = f"CASE WHEN regexp_full_match({spoken}, '{digits}') THEN {spoken} END"
    return f"coalesce(TRY_CAST({number} AS {target}), TRY_CAST(TRY_CAST({number} AS DOUBLE) AS {target}))"


def word_sql(text: str, readings: dict[str, str], otherwise: str) -> str:
    """Canonical word of a text; `readings` gives it for each lower-case word."""
    if not readings:
        return otherwise
    cases = " ".join(f"WHEN {literal(theirs)} THEN {literal(ours)}" for theirs, ours in readings.items())
    return f"CASE lower({text}) {cases} ELSE {otherwise} END"


def survey(
    connection: duckdb.DuckDBPyConnection, relation: str, wanted: dict[str, str], types: dict[str, str]
) -> dict[str, Conventions]:
    """Find the conventions of the text columns of a relation, in one pass over it.

    Parameters
    ----------
    connection : DuckDB connection
    relation : str
        Name of the table or view.
    wanted : dict of str to str
        The source's columns, each ``time``, ``number``, ``money`` (or a count: no thousandths) or ``id``.
    types : dict of str to str
        DuckDB types of the source's columns.

    Returns
    -------
    dict of str to Conventions
        For every column of `wanted`.
    """
    counts: list[str] = []
    asked: list[str] = []
    for column, use in wanted.items():
        type_ = types[column]
        if use == "time" and (type_ == "DATE" or type_.startswith("TIMESTAMP")):
            continue
        if use != "time" and type_ != "VARCHAR":
            continue
        text = clean_sql(column, type_)
        asked.append(column)
        if use == "time":
            slashed = f"CASE WHEN regexp_full_match({text}, '{_SLASHED}') THEN replace({text}, '-', '/') END"
            day, month = _written(slashed, ("%d/%m/%Y",)), _written(slashed, ("%m/%d/%Y",))
            counts += [
                f"count(CASE WHEN NOT regexp_matches({text}, '^[12]\\d{{3}}[-/]') THEN 1 END)",
                f"count(CASE WHEN ({day}) IS NOT NULL AND ({month}) IS NULL THEN 1 END)",
                f"count(CASE WHEN ({month}) IS NOT NULL AND ({day}) IS NULL THEN 1 END)",
            ]
        elif use in ("number", "money"):
            signs = [
                rf"\d{mark}\d{{1,2}}\D*$|{mark}\d{{4,}}\D*$|{other}\d{{3}}{mark}|{other}\d{{3}}{other}"
                rf"|^\D*0{mark}\d|\d{{4}}{mark}\d"
                for mark, other in ((",", "[.]"), ("[.]", ","))
            ]
            signs.append(r"^\D*\d{1,3}[.]\d{3}\D*$")
            counts += [f"count(*) FILTER (regexp_matches({text}, '{sign}'))" for sign in signs]
        else:
            ends = f"CASE WHEN ends_with({quoted(column)}, '.0') THEN"
            counts += [
                f"count(nullif({quoted(column)}, ''))",
                f"count({ends} CASE WHEN regexp_full_match({text}, '\\d+\\.0') THEN 1 END END)",
                f"count(CASE WHEN length({text}) IN (15, 18) THEN CASE WHEN "
                f"regexp_full_match({text}, '{_SALESFORCE_ID}') THEN 1 END END)",
            ]
    found = {column: Conventions() for column in wanted}
    if not asked:
        return found
    values = connection.execute(f"SELECT {', '.join(counts)} FROM {quoted(relation)}").fetchall()[0]
    for place, column in enumerate(asked):
        first, second, third = values[3 * place : 3 * place + 3]
        if wanted[column] == "time":
            found[column] = Conventions(
                iso_only=first == 0, day_first=second > 0 == third, month_first=third > 0 == second
            )
        elif wanted[column] in ("number", "money"):
            grouped = wanted[column] == "money" and first == second == 0 < third
            found[column] = Conventions(decimal_comma=first > 0 == second or grouped, grouped=grouped)
        else:
            found[column] = Conventions(float_ids=first == second > 0, salesforce_ids=first == third > 0)
    return found
