"""Words set aside: one word of an honest column that is written with the outcome, and what stands in its place.

The leads with such a word are those whose ending it tells, so that leaving it empty would tell it as well. So each of
them has another value of the column instead, drawn in the proportion in which the others have it (none is one too), the
same on every run: nothing sets them apart from leads that always had that value, in training or in scoring.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import ibis
import ibis.expr.types as ir

STAND_INS_LIMIT = 30
"""The most frequent values of a column stand in for its set-aside words."""
_HASH_DIGITS = 8

StandIn = tuple[str, str | None, str]
"""A column as ``table.column``, a value of it, and the hash up to which that value is drawn."""


def stand_ins(table: ir.Table, column: str, qualified: str, words: Collection[str]) -> list[StandIn]:
    """Say which values are drawn in the place of set-aside words, and how often.

    Parameters
    ----------
    table : ibis table
    column, qualified : str
        The column of `table`, by its name and as ``table.column``.
    words : collection of str
        The words that are set aside.
    """
    others = table.filter(table[column].notin(sorted(words)) | table[column].isnull())
    counts = others.group_by(column).agg(rows=ibis._.count())
    counts = counts.order_by(counts.rows.desc(), counts[column].asc(nulls_first=True)).limit(STAND_INS_LIMIT)
    found = counts.to_pandas()
    total = int(found["rows"].sum())
    if not total:
        return [(qualified, None, "g")]
    drawn: list[StandIn] = []
    passed = 0
    for value, rows in zip(found[column], found["rows"], strict=True):
        passed += int(rows)
        limit = "g" if passed == total else f"{passed * 16**_HASH_DIGITS // total:0{_HASH_DIGITS}x}"
        drawn.append((qualified, value if isinstance(value, str) else None, limit))
    return drawn


def without_words(
    value: ir.StringValue,
    key: ir.StringValue,
    qualified: str,
    words: Mapping[str, Collection[str]],
    drawn: Collection[StandIn],
) -> ir.StringValue:
    """Give a column without its set-aside words.

    Parameters
    ----------
    value, key : ibis string
        The column and its row's id.
    qualified : str
        The column as ``table.column``.
    words : mapping of str to collection of str
        The words that are set aside, by column.
    drawn : collection of (str, str or None, str)
        As `stand_ins` gives them.
    """
    if qualified not in words:
        return value
    # md5 is the one hash that every engine works out alike.
    place = ibis.literal(f"{qualified}:").concat(key).hexdigest("md5").substr(0, _HASH_DIGITS)
    branches = [
        (place < limit, ibis.null("string") if stand_in is None else ibis.literal(stand_in))
        for column, stand_in, limit in drawn
        if column == qualified
    ]
    instead = ibis.cases(*branches, else_=ibis.null("string"))
    return ibis.ifelse(value.isin(sorted(words[qualified])), instead, value)
