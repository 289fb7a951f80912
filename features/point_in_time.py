"""The one time rule: a fact may be used at ``as_of`` only if it was known by then.

Nothing outside this module compares a fact's date with ``as_of``. A fact is known from the instant it was recorded, or,
where that was not written down, from the instant it happened; and never before it happened: a closing date in the
future closes nothing yet.

Facts that change come as *versions*. Each version holds over a *span* [``known_from``, ``known_until``): from the
instant it became known until the next version of the same thing did. Whatever is learnt after ``as_of`` moves an
upper end that lies after ``as_of`` anyway, so that it cannot change what was current at ``as_of``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import ibis
import ibis.expr.types as ir

from features.schema import TIME

ALWAYS = datetime(1900, 1, 1)
"""Known since ever: for facts without any date."""
NEVER = datetime(2200, 1, 1)
"""The upper end of a span that nothing has ended yet."""
MICROSECONDS_PER_DAY = 86_400_000_000


def instant(moment: datetime | ir.TimestampValue) -> ir.TimestampValue:
    """Give a moment as a timestamp in UTC without a zone.

    Parameters
    ----------
    moment : datetime or ibis timestamp
        A datetime with a zone is converted; one without is taken as UTC.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return ibis.literal(moment, TIME)
    return moment


def known_by(known_at: ir.TimestampValue, as_of: datetime | ir.TimestampValue) -> ir.BooleanValue:
    """Say whether a fact that became known at ``known_at`` (null: always known) may be used at ``as_of``."""
    return ibis.coalesce(known_at, instant(ALWAYS)) <= instant(as_of)


def current_at(versions: ir.Table, as_of: datetime | ir.TimestampValue) -> ir.BooleanValue:
    """Say which rows of ``versions`` (with ``known_from`` and ``known_until``) were the known ones at ``as_of``."""
    return (versions.known_from <= instant(as_of)) & (instant(as_of) < versions.known_until)


def microseconds_between(earlier: ir.TimestampValue, later: datetime | ir.TimestampValue) -> ir.IntegerValue:
    """Whole microseconds from ``earlier`` to ``later``; an integer, so that sums of it are the same in any order."""
    return instant(later).delta(earlier, unit="microsecond")


def days_between(earlier: ir.TimestampValue, later: datetime | ir.TimestampValue) -> ir.FloatingValue:
    """Days, with their fraction, from ``earlier`` to ``later``."""
    return microseconds_between(earlier, later).cast("float64") / MICROSECONDS_PER_DAY


def spans(versions: ir.Table, keys: Sequence[str], ties: Sequence[str]) -> ir.Table:
    """Give each version the span over which it was the latest one known.

    Parameters
    ----------
    versions : ibis table
        With ``known_from`` (null: always known).
    keys : sequence of str
        The columns that name the thing a row is a version of.
    ties : sequence of str
        Columns that put versions known at the same instant in order; the last one holds, the others over no time at
        all.

    Returns
    -------
    ibis table
        ``versions`` with ``known_from`` (never null) and ``known_until`` (`NEVER` for the last version).
    """
    versions = versions.mutate(known_from=ibis.coalesce(versions.known_from, instant(ALWAYS)))
    order = [versions.known_from.asc(), *(versions[name].asc(nulls_first=True) for name in ties)]
    following = versions.known_from.lead().over(ibis.window(group_by=list(keys), order_by=order))
    return versions.mutate(known_until=ibis.coalesce(following, instant(NEVER)))


def events_as_of(snapshots: ir.Table, happened: ir.Table, key: str) -> ir.Table:
    """Pair each snapshot with what had happened to its lead, and was known, by its ``as_of``.

    Parameters
    ----------
    snapshots : ibis table
        ``snapshot``, `key` and ``as_of``.
    happened : ibis table
        `key`, ``visible_at, occurred_at`` and more.
    key : str
        The column that both name the lead by.

    Returns
    -------
    ibis table
        ``snapshot``, the other columns of `happened`, and ``age``: whole microseconds from ``occurred_at`` to
        ``as_of``.
    """
    pairs = snapshots.join(happened, [key, snapshots.as_of >= happened.visible_at])
    age = microseconds_between(pairs.occurred_at, pairs.as_of)
    return pairs.mutate(age=age).drop(key, "as_of", "occurred_at", "visible_at")


def sums_by(facts: ir.Table, dates: ir.Table, names: Sequence[str]) -> ir.Table:
    """Sum up, for each date, all facts known by it.

    Parameters
    ----------
    facts : ibis table
        ``known_from`` and the whole numbers to sum up.
    dates : ibis table
        ``as_of``, no date twice.
    names : sequence of str
        The columns of `facts` to sum up.

    Returns
    -------
    ibis table
        ``as_of`` and the sums.
    """
    steps = facts.group_by("known_from").agg(**{name: facts[name].sum().cast("int64") for name in names})
    steps = steps.mutate(is_date=ibis.literal(0, "int64"))
    zeros = {name: ibis.literal(0, "int64") for name in names}
    marks = dates.select(known_from="as_of", **zeros, is_date=ibis.literal(1, "int64"))
    every = steps.union(marks.select(steps.columns))
    # At the same instant facts come before the date: what is known by then counts.
    so_far = ibis.window(order_by=[every.known_from, every.is_date], rows=(None, 0))
    every = every.mutate(**{name: every[name].sum().over(so_far).cast("int64") for name in names})
    return every.filter(every.is_date == 1).select(*names, as_of="known_from")


def within_days(
    visible_at: ir.TimestampValue, occurred_at: ir.TimestampValue, as_of: ir.TimestampValue, days: int
) -> ir.BooleanValue:
    """Say whether something that was known by ``as_of`` happened within so many days before it."""
    return known_by(visible_at, as_of) & (microseconds_between(occurred_at, as_of) < days * MICROSECONDS_PER_DAY)
