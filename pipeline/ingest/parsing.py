"""How text becomes ids, keys and words, and what a column agrees on: SQL expressions for DuckDB.

A value is never guessed at alone. Where its meaning depends on a convention (day or month first, decimal point or
comma), the whole column must agree on one (`column_survey`), else the value is unreadable and its row is treated as the
table's rules say.
"""

from __future__ import annotations

from dataclasses import dataclass

from features.empty_words import NO_FACT
from pipeline.common.sql import literal, quoted

NO_ID = "[0-]*0{7}[0-]*(AAA)?"
"""Ids of nothing but zeros, as connectors write them for no record at all."""


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
    midnights : str
        Every time is 00:00:00, so that the column holds dates: ``written``, the day as it is written; ``utc``, the day
        in UTC.
    is_serial : bool
        Every value is a number of days as spreadsheets count them.
    mixed : bool
        Some amounts have a decimal comma and some a decimal point: what either separates cannot be told.
    scaled : bool
        Amounts are written in thousands or millions: 12k, 1.2M.
    is_percent : bool
        A probability is written in percent.
    currency : str
        The company's: whose sign a bare ``$`` or ``kr`` is.
    zone : str
        The company's time zone, whose days dates are; empty: the session's.
    words : tuple of (str, str)
        What words of this column mean, found by looking at all of them.
    """

    iso_only: bool = True
    day_first: bool = False
    month_first: bool = False
    decimal_comma: bool = False
    grouped: bool = False
    float_ids: bool = False
    midnights: str = ""
    is_serial: bool = False
    mixed: bool = False
    scaled: bool = False
    is_percent: bool = False
    currency: str = ""
    zone: str = ""
    words: tuple[tuple[str, str], ...] = ()


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


def clean_sql(column: str, type_: str, empty: tuple[str, ...] = NO_FACT) -> str:
    """Text of a column without blanks around it, null where it stands for nothing."""
    text = text_sql(column, type_)
    if type_ not in ("VARCHAR", "JSON"):
        return text
    # Nearly every text is clean, and one look tells: it has no blanks around it and is too long for an empty word, or
    # begins with a letter that none does. The rest is looked up in a lambda, as DuckDB would work out an expression
    # that stands twice for every row, branch or not.
    inside = "[^\\s\u00a0]"
    first = "[^\\s\u00a0#-]"
    other = "[^\\s\u00a0nN#?\\\\-]"
    ready = f"regexp_full_match({text}, '{other}|{other}.*{inside}|{first}.{{3,}}{inside}')"
    words = ", ".join(map(literal, empty))
    looked_up = f"list_filter([trim({text}, ' \t\r\n\u00a0')], lambda word: lower(word) NOT IN ({words}))[1]"
    return f"CASE WHEN {ready} THEN {text} ELSE {looked_up} END"


def id_sql(column: str, type_: str, conventions: Conventions) -> str:
    """Give an id as text, null where there is none."""
    text = clean_sql(column, type_)
    text = f"regexp_replace({text}, '\\.0$', '')" if conventions.float_ids else text
    return f"nullif(regexp_replace({text}, '^{NO_ID}$', ''), '')"


def long_deal_id_sql(text: str) -> str:
    """Give a Salesforce opportunity's id of 15 characters as the same one of 18; any other id as it is.

    The last three say which letters are capitals: bit i of each where letter i of its five is one (Salesforce,
    *Convert a 15-character ID*). A table of opportunities may be written in one form, their history in the other.
    """
    signs = []
    for start in (1, 6, 11):
        bits = [f"(substr(id, {start + place}, 1) BETWEEN 'A' AND 'Z')::INT * {1 << place}" for place in range(5)]
        signs.append(f"substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ012345', 1 + {' + '.join(bits)}, 1)")
    longer = f"list_transform([{text}], lambda id: id || {' || '.join(signs)})[1]"
    return f"CASE WHEN regexp_full_match({text}, '006[0-9A-Za-z]{{12}}') THEN {longer} ELSE {text} END"


def word_sql(text: str, readings: dict[str, str], otherwise: str) -> str:
    """Canonical word of a text; `readings` gives it for each lower-case word."""
    if not readings:
        return otherwise
    cases = " ".join(f"WHEN {literal(theirs)} THEN {literal(ours)}" for theirs, ours in readings.items())
    return f"CASE lower({text}) {cases} ELSE {otherwise} END"
