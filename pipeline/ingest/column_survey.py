# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What each column of a source agrees on: day or month first, decimal comma or point, dates written as midnights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import duckdb

from pipeline.common.sql import quoted
from pipeline.ingest.amount_formats import SCALES, parts_sql
from pipeline.ingest.parsing import Conventions, clean_sql
from pipeline.ingest.time_formats import FIRST_SERIAL, ISO, LAST_SERIAL, MIDNIGHT, SERIAL, SLASHED

STRAYS_SHARE = 0.25
"""So few amounts in another style are strays, to be listed; more of them make the column a mixture."""
SCALED_SHARE = 0.5
"""Amounts are taken to be written in thousands (12k) where at least this share of them is."""


def survey(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    wanted: dict[str, str],
    types: dict[str, str],
    base: Conventions | None = None,
) -> dict[str, Conventions]:
    """Find the conventions of the columns of a relation, in one pass over it.

    Parameters
    ----------
    connection : DuckDB connection
    relation : str
        Name of the table or view.
    wanted : dict of str to str
        The source's columns, each ``time``, ``number``, ``money`` (or a count: no thousandths), ``share`` or ``id``.
    types : dict of str to str
        DuckDB types of the source's columns.
    base : Conventions, optional
        What holds for all of them: the company's currency and time zone.

    Returns
    -------
    dict of str to Conventions
        For every column of `wanted`.
    """
    base = base or Conventions()
    asked: list[tuple[str, list[str]]] = []
    counts: list[str] = []
    for column, use in wanted.items():
        facts = dict(_facts(column, use, types[column]))
        asked.append((column, list(facts)))
        counts += facts.values()
    found = dict.fromkeys(wanted, base)
    if not counts:
        return found
    values = iter(connection.execute(f"SELECT {', '.join(counts)} FROM {quoted(relation)}").fetchall()[0])
    for column, names in asked:
        counted = {name: int(next(values) or 0) for name in names}
        found[column] = _agreed(counted, wanted[column], base)
    return found


def _facts(column: str, use: str, type_: str) -> Iterator[tuple[str, str]]:
    """Name what is counted of a column."""
    if use == "time":
        if type_.startswith("TIMESTAMP"):
            name = quoted(column)
            yield "all", f"count({name})"
            yield "midnights", f"count(*) FILTER (CAST({name} AS TIMESTAMP)::TIME = TIME '00:00:00')"
            if "TIME ZONE" in type_:
                yield "utc", f"count(*) FILTER (timezone('UTC', {name})::TIME = TIME '00:00:00')"
        elif type_ != "DATE":
            yield from _text_time_facts(clean_sql(column, type_))
    elif use == "share" and type_ != "VARCHAR":
        yield "above_one", f"count(*) FILTER (TRY_CAST({quoted(column)} AS DOUBLE) > 1)"
        yield "above_all", f"count(*) FILTER (TRY_CAST({quoted(column)} AS DOUBLE) > 100)"
    elif type_ == "VARCHAR" and use in ("number", "money", "share"):
        yield from _amount_facts(clean_sql(column, type_), use)
    elif type_ == "VARCHAR":
        text = clean_sql(column, type_)
        ends = f"CASE WHEN ends_with({quoted(column)}, '.0') THEN"
        yield "all", f"count(nullif({quoted(column)}, ''))"
        yield "floats", f"count({ends} CASE WHEN regexp_full_match({text}, '\\d+\\.0') THEN 1 END END)"


def _text_time_facts(text: str) -> Iterator[tuple[str, str]]:
    # Most values are ISO, and only what is not is looked at more closely.
    parts = (
        f"CASE WHEN NOT regexp_full_match({text}, '{ISO}') "
        f"THEN regexp_extract({text}, '{SLASHED}', ['a', 'b', 'c']) END"
    )
    first, second, third = (f"TRY_CAST(({parts}).{name} AS INT)" for name in "abc")
    yield "all", f"count({text})"
    yield "other", f"count(*) FILTER (NOT regexp_full_match({text}, '{ISO}'))"
    yield "day_first", f"count(*) FILTER ({first} BETWEEN 13 AND 31 AND {second} BETWEEN 1 AND 12)"
    yield "month_first", f"count(*) FILTER ({second} BETWEEN 13 AND 31 AND {first} BETWEEN 1 AND 12)"
    yield "short_years", f"count(*) FILTER ({third} < 100)"
    yield "years", f"count(DISTINCT CASE WHEN {third} < 100 THEN {third} END)"
    yield "days", f"count(DISTINCT CASE WHEN {third} < 100 THEN {first} END)"
    yield "late_years", f"count(*) FILTER ({third} BETWEEN 32 AND 99)"
    serial = f"CASE WHEN regexp_full_match({text}, '{SERIAL}') THEN TRY_CAST(left({text}, 5) AS INT) END"
    yield "serials", f"count(*) FILTER ({serial} BETWEEN {FIRST_SERIAL} AND {LAST_SERIAL})"
    yield "clocks", f"count(*) FILTER (contains({text}, ':'))"
    yield "midnights", f"count(*) FILTER (contains({text}, ':') AND regexp_matches({text}, '{MIDNIGHT}'))"
    epoch = f"CASE WHEN regexp_full_match({text}, '\\d{{10}}|\\d{{13}}') THEN TRY_CAST(left({text}, 10) AS BIGINT) END"
    yield "epochs", f"count({epoch})"
    yield "epoch_midnights", f"count(*) FILTER ({epoch} % 86400 = 0)"


def _amount_facts(text: str, use: str) -> Iterator[tuple[str, str]]:
    parts = f"CASE WHEN NOT regexp_full_match({text}, '-?\\d+') THEN {parts_sql(text)} END"
    digits = f"({parts}).digits"
    for name, mark, other in (("comma", ",", "[.]"), ("point", "[.]", ",")):
        sign = rf"^\d+{mark}\d{{1,2}}$|{mark}\d{{4,}}$|{other}\d{{3}}{mark}|{other}\d{{3}}{other}"
        sign += rf"|^0{mark}\d|\d{{4}}{mark}\d"
        cents = rf"\d{mark}(?:[-–]{{1,2}}|—)"
        yield name, f"count(*) FILTER (regexp_matches({digits}, '{sign}') OR regexp_matches({text}, '{cents}'))"
    yield "threes", f"count(*) FILTER (regexp_matches({digits}, '^\\d{{1,3}}[.]\\d{{3}}$'))"
    yield "all", f"count({text})"
    scales = "|".join(sorted((word.replace(".", "[.]") for word in SCALES), key=len, reverse=True))
    yield (
        "scaled",
        f"count(*) FILTER (regexp_matches(lower(({parts}).after), '^(?:{scales})(?:\\p{{Sc}}.*|[a-z]{{3}})?$'))",
    )
    if use == "share":
        number = f"TRY_CAST(replace(regexp_replace({text}, '[%\\s]+', '', 'g'), ',', '.') AS DOUBLE)"
        yield "above_one", f"count(*) FILTER ({number} > 1 OR contains({text}, '%'))"
        yield "above_all", f"count(*) FILTER ({number} > 100)"


def _agreed(facts: dict[str, int], use: str, base: Conventions) -> Conventions:
    if use == "time":
        return _time_agreed(facts, base)
    if use in ("number", "money", "share"):
        comma, point = facts.get("comma", 0), facts.get("point", 0)
        grouped = use == "money" and comma == point == 0 < facts.get("threes", 0)
        mixed = min(comma, point) >= STRAYS_SHARE * (comma + point) if comma and point else False
        return replace(
            base,
            decimal_comma=(comma > point and not mixed) or grouped,
            grouped=grouped,
            mixed=mixed,
            scaled=use == "money" and 0 < facts.get("scaled", 0) >= SCALED_SHARE * facts["all"],
            is_percent=facts.get("above_one", 0) > 0 == facts.get("above_all", 0),
        )
    return replace(base, float_ids=facts.get("floats", 0) == facts.get("all", 0) > 0)


def _time_agreed(facts: dict[str, int], base: Conventions) -> Conventions:
    every = facts.get("all", 0)
    if "serials" not in facts:  # a column of times, not of text
        is_utc = facts.get("utc", -1) == every > 0
        is_local = facts.get("midnights", -1) == every > 0
        return replace(base, midnights="utc" if is_utc else "written" if is_local else "")
    clocks, epochs = facts["clocks"], facts["epochs"]
    if facts["serials"] == every > 0:
        return replace(base, iso_only=False, is_serial=True)
    day_first = facts["day_first"] > 0 == facts["month_first"]
    # 24/05/23 may begin with the year: where the last part varies more than the first, it is no year.
    is_backwards = facts["short_years"] > 0 == facts["late_years"] and facts["years"] > max(2, facts["days"])
    return replace(
        base,
        iso_only=facts["other"] == 0,
        day_first=day_first and not is_backwards,
        month_first=facts["month_first"] > 0 == facts["day_first"] and not is_backwards,
        midnights="utc"
        if epochs == facts["epoch_midnights"] == every > 0
        else "written"
        if facts["midnights"] == clocks > 0 == epochs
        else "",
    )
