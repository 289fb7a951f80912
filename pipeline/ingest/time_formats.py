"""How text becomes times: ISO 8601 first, then the ways in which CRMs, spreadsheets and browsers write a date.

One pattern takes a written time apart: three parts of a day (a month may have a name), hours and minutes, AM or PM, an
offset. Which part is the day and which the month is told by a name, by a year in front, by points (day first), or by
the column as a whole; where nothing tells, the value is unreadable.
"""

from __future__ import annotations

from pipeline.common.sql import literal, quoted
from pipeline.ingest.month_names import month_numbers
from pipeline.ingest.parsing import Conventions, clean_sql

FIRST_DAY, LAST_DAY = "1980-01-01", "2190-01-01"
"""Times outside of these are nobody's customer history, but zeros and placeholders."""

_BREAK = r"(?:\.? de |[.] ?|[-/ ])"
_OFFSET = r"(?: ?(z|utc|gmt|[+-]\d{2}:?\d{2}))?"
_CLOCK = (
    r"(?:(?: ?t| um| at)? ?(\d{1,2})[:.h](\d{2})(?:[:.](\d{2})(?:[.](\d{1,6})\d{0,3})?)?"
    r"(?: ?([ap])\.? ?m\.?)?(?: uhr)?" + _OFFSET + ")?"
)
_WRITTEN = r"^(?:\p{L}{2,12}\.? )?(#?\d{1,4})" + _BREAK + r"(#?\d{1,2})" + _BREAK + r"(\d{1,4})" + _CLOCK + "$"
_MONTH_ALONE = r"^(?:(\d{4})[-./ ]#(\d{2})|#(\d{2})\.?[-./ ](\d{4}))$"
SLASHED = r"^(\d{1,2})[/-](\d{1,2})[/-](\d{4}|\d{2})(?:\D.*)?$"
ISO = (
    r"[12]\d{3}[-/]\d{1,2}[-/]\d{1,2}(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:[.]\d{1,9})?)?"
    r"(?: ?(?:Z|UTC|[+-]\d{2}(?::?\d{2})?|[A-Z][A-Za-z]{2,20}/[A-Za-z_/]{2,40}))?)?"
)
MIDNIGHT = (
    r"(?i)(?:^|[ ,T\x{202f}\x{a0}])(?:0?0:00(?::00(?:[.,]0+)?)?|12:00(?::00)?[ \x{202f}\x{a0}]?a\.?m\.?)"
    r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?$"
)
SERIAL = r"\d{5}(?:[.,]\d{1,12})?"
FIRST_SERIAL, LAST_SERIAL = 29_221, 73_050
"""1980-01-01 and 2100-01-01 as spreadsheets count days: higher numbers are rather ids."""


def time_sql(column: str, type_: str, conventions: Conventions, first_day: str = FIRST_DAY) -> str:
    """Time of a column as naive UTC; null where there is none or it cannot be read.

    The session's time zone is the source's, so that a text without an offset is read in it. A date without a time is
    its last microsecond in the company's zone: known at the day's end, and still within its month.
    """
    name, zone = quoted(column), conventions.zone
    if type_ == "DATE":
        instant = _day_end(name, zone)
    elif type_.startswith(("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")):
        local = f"timezone('UTC', {name})" if conventions.midnights == "utc" else f"CAST({name} AS TIMESTAMP)"
        instant = _day_end(f"CAST({local} AS DATE)", zone) if conventions.midnights else f"CAST({name} AS TIMESTAMPTZ)"
    elif type_.startswith("TIMESTAMP"):
        instant = f"CAST(CAST({name} AS TIMESTAMP) AS TIMESTAMPTZ)"
        if conventions.midnights:
            instant = _day_end(f"CAST({name} AS DATE)", zone)
    else:
        instant = _instant_of_text(clean_sql(column, type_), conventions)
    within = f"BETWEEN TIMESTAMPTZ '{first_day} 00:00:00+00' AND TIMESTAMPTZ '{LAST_DAY} 00:00:00+00'"
    instant = f"list_transform([{instant}], lambda moment: CASE WHEN moment {within} THEN moment END)[1]"
    return f"CAST(timezone('UTC', {instant}) AS TIMESTAMP)"


def _day_end(date: str, zone: str) -> str:
    next_day = f"CAST({date} AS TIMESTAMP) + INTERVAL 1 DAY"
    start = f"timezone({literal(zone)}, {next_day})" if zone else f"CAST({next_day} AS TIMESTAMPTZ)"
    return f"{start} - INTERVAL 1 MICROSECOND"


def _instant_of_text(text: str, conventions: Conventions) -> str:
    """Read ISO 8601 first, then what else the column's conventions allow."""
    zone = conventions.zone
    if conventions.is_serial:
        return _of_serial(text, zone)
    date = "TRY_CAST(left(written, 10) AS DATE)" if conventions.midnights else "TRY_CAST(written AS DATE)"
    whole = "true" if conventions.midnights else "length(written) <= 10"
    iso = f"CASE WHEN {whole} THEN {_day_end(date, zone)} ELSE TRY_CAST(written AS TIMESTAMPTZ) END"
    # 'epoch' and 'infinity' would be times, and 20:55 in the afternoon one in the morning.
    iso = f"CASE WHEN written BETWEEN '1' AND '3' AND regexp_full_match(written, '{ISO}') THEN {iso} END"
    if conventions.iso_only:
        return f"list_transform([{text}], lambda written: {iso})[1]"
    compact = "TRY_STRPTIME(CASE WHEN length(written) = 8 THEN written END, '%Y%m%d')"
    epoch = "TRY_CAST(CASE WHEN length(written) IN (10, 13) THEN written END AS BIGINT)"
    moment = f"CASE WHEN length(written) = 10 THEN to_timestamp({epoch}) ELSE to_timestamp({epoch} / 1000) END"
    if conventions.midnights == "utc":
        moment = _day_end(f"CAST(timezone('UTC', {moment}) AS DATE)", zone)
    readings = [iso, moment, _day_end(compact, zone), _taken_apart("written", conventions), _month_alone(zone)]
    return f"list_transform([{text}], lambda written: coalesce({', '.join(readings)}))[1]"


def _of_serial(text: str, zone: str) -> str:
    days = f"TRY_CAST(replace({text}, ',', '.') AS DOUBLE)"
    date = "CAST(TIMESTAMP '1899-12-30 00:00:00' + to_days(CAST(floor(days) AS INTEGER)) AS DATE)"
    moment = "CAST(TIMESTAMP '1899-12-30 00:00:00' + to_seconds(CAST(round(days * 86400) AS BIGINT)) AS TIMESTAMPTZ)"
    reading = f"CASE WHEN days = floor(days) THEN {_day_end(date, zone)} ELSE {moment} END"
    return f"list_transform([{days}], lambda days: {reading})[1]"


def _spelt(text: str) -> str:
    """Write a text in small letters and single blanks, with a month's name as ``#02``."""
    small = rf"regexp_replace(lower({text}), '[\s,\x{{a0}}\x{{202f}}\x{{2009}}]+', ' ', 'g')"
    small = rf"regexp_replace({small}, '(\d)(?:st|nd|rd|th) ', '\1 ', 'g')"
    names = ", ".join(f"{literal(name)}: {literal(number)}" for name, number in month_numbers().items())
    numbers = f"MAP {{{names}}}"
    word = f"list_filter(regexp_extract_all(small, '\\p{{L}}{{3,12}}'), lambda word: {numbers}[word] IS NOT NULL)[1]"
    named = f"replace(small, pair, '#' || {numbers}[pair])"
    replaced = f"coalesce(list_transform([{word}], lambda pair: {named})[1], small)"
    return f"list_transform([{small}], lambda small: {replaced})[1]"


def _month_alone(zone: str) -> str:
    """Read a month without a day as its last day: by then it was known."""
    parts = f"regexp_extract({_spelt('written')}, '{_MONTH_ALONE}', ['y', 'm', 'n', 'z'])"
    first = "TRY_CAST(part.y || part.z || '-' || part.m || part.n || '-01' AS DATE)"
    return f"list_transform([{parts}], lambda part: {_day_end(f'last_day({first})', zone)})[1]"


def _taken_apart(text: str, conventions: Conventions) -> str:
    """Take a written time apart and put it together again."""
    parts = f"regexp_extract({_spelt(text)}, '{_WRITTEN}', ['a', 'b', 'c', 'h', 'i', 's', 'f', 'p', 'z'])"
    order = (
        "CASE WHEN part.a = '' THEN NULL "
        "WHEN part.a[1] = '#' THEN [part.c, part.a[2:], part.b] "
        "WHEN part.b[1] = '#' AND length(part.a) = 4 THEN [part.a, part.b[2:], part.c] "
        "WHEN part.b[1] = '#' THEN [part.c, part.b[2:], part.a] "
        "WHEN length(part.a) = 4 THEN [part.a, part.b, part.c] "
        f"WHEN regexp_matches({text}, '^\\d{{1,2}}[.] ?\\d{{1,2}}[.]') THEN [part.c, part.b, part.a] "
    )
    if conventions.day_first:
        order += "ELSE [part.c, part.b, part.a] "
    elif conventions.month_first:
        order += "ELSE [part.c, part.a, part.b] "
    order += "END"
    year = (
        "CASE length(ymd[1]) WHEN 4 THEN ymd[1] WHEN 2 THEN "
        "CASE WHEN ymd[1] < '70' THEN '20' ELSE '19' END || ymd[1] END"
    )
    day = f"{year} || '-' || lpad(ymd[2], 2, '0') || '-' || lpad(ymd[3], 2, '0')"
    hour = (
        "CASE WHEN part.p = '' THEN part.h WHEN part.h::INT BETWEEN 1 AND 12 "
        "THEN (part.h::INT % 12 + CASE part.p WHEN 'p' THEN 12 ELSE 0 END)::VARCHAR END"
    )
    clock = (
        f"lpad({hour}, 2, '0') || ':' || part.i || ':' || coalesce(nullif(part.s, ''), '00') || '.' || "
        "rpad(part.f, 6, '0')"
    )
    local = f"TRY_CAST({day} || ' ' || {clock} AS TIMESTAMP)"
    minutes = (
        "CASE WHEN part.z IN ('z', 'utc', 'gmt') THEN 0 ELSE (CASE part.z[1] WHEN '-' THEN -1 ELSE 1 END) * "
        "(part.z[2:3]::INT * 60 + right(part.z, 2)::INT) END"
    )
    instant = (
        f"CASE WHEN part.z = '' THEN CAST({local} AS TIMESTAMPTZ) "
        f"ELSE timezone('UTC', {local} - to_minutes({minutes})) END"
    )
    date = _day_end(f"TRY_CAST({day} AS DATE)", conventions.zone)
    instant = date if conventions.midnights else f"CASE WHEN part.h = '' THEN {date} ELSE {instant} END"
    inner = f"list_transform([{order}], lambda ymd: CASE WHEN ymd IS NOT NULL THEN {instant} END)[1]"
    return f"list_transform([{parts}], lambda part: {inner})[1]"
