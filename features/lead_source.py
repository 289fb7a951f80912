"""Source: where the lead came from, and how leads from there converted, as known by then.

Won over created would punish a source with many young leads; won over closed is 100% where nobody records a loss. So a
value's wins are held against those *expected* of leads of the same ages: over all leads, h_b(D) = wins ÷ days at risk
in age bin b, by what was known at the date D; expected(v, D) = Σ_b h_b(D) · days at risk of the value's leads in bin b;
the ratio is (wins + k) / (expected + k). A lead is at risk while it is seen open (`lifecycle.open_spells`).

Days at risk are worked out for all dates in one pass. A lead is at risk in a bin between two instants; each adds a line
to the sum (slope ±1, level ∓instant), so that the sum at D is slope · D + level, over all instants up to D: integers,
grouped by day and summed up in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import ibis
import ibis.expr.types as ir

from features import lifecycle, point_in_time, wording
from features.feature import Feature
from features.schema import materialise
from features.snapshot_context import SnapshotContext
from features.spec import RECENT_RATIO, FeatureSpec
from features.versions import as_they_were_first

AGE_BINS_DAYS = (0, 7, 14, 30, 60, 90, 180, 365)
PRIOR_WINS = 2.0
"""So many wins, and as many expected, are added to each value: rare values stay near 1."""
RECENT_DAYS = 90
DAY_SECONDS = 86_400
SCALE = 1_000_000
COUNTED = ("slope", "level", "wins")


def _seconds(moment: ir.TimestampValue) -> ir.IntegerValue:
    """Whole seconds since 1900, rounded up: a fact is never seen before it was known."""
    return -((-point_in_time.microseconds_between(point_in_time.instant(point_in_time.ALWAYS), moment)) // 1_000_000)


def _values(rows: ir.Table, context: SnapshotContext, named: Callable[[str], str]) -> dict[str, ir.StringValue]:
    """Give the values of the converting columns of `rows`; none is one too."""
    return {
        f"value_{i}": ibis.coalesce(rows[named(name)], "") for i, name in enumerate(context.spec.converting_columns())
    }


def _codes(context: SnapshotContext, leads: ir.Table, values: list[str]) -> ir.Table:
    """Give each different value of the columns a code: ``place`` (of the column), ``value, code``."""
    current = context.every.select(**_values(context.every, context, context.column))
    parts = [
        rows.select(place=ibis.literal(i, "int8"), value=name).distinct()
        for rows in (leads, current)
        for i, name in enumerate(values)
    ]
    codes = reduce(lambda left, right: left.union(right), parts).distinct()
    return codes.mutate(code=ibis.row_number().over(order_by=[codes.place, codes["value"]]).cast("int32"))


def _points(spells: ir.Table, values: list[str]) -> ir.Table:
    """Give the instants at which each lead's time at risk in each age bin begins and ends, and at which it was won.

    Returns
    -------
    ibis table
        The codes of the lead's `values`, ``bin, second, slope, level, wins``.
    """
    spells = spells.mutate(
        created=_seconds(spells.created_at), low=_seconds(spells.known_from), high=_seconds(spells.known_until)
    )
    never = _seconds(point_in_time.instant(point_in_time.NEVER))
    zero, one = ibis.literal(0, "int8"), ibis.literal(1, "int8")
    spells = spells.mutate(bin=ibis.range(0, len(AGE_BINS_DAYS)).unnest().cast("int8"))
    # The first bin holds what happened before creation too, the last one has no end.
    lows = [-(10**10), *(days * DAY_SECONDS for days in AGE_BINS_DAYS[1:])]
    highs = [*lows[1:], 10**12]
    low = ibis.cases(*((spells.bin == i, edge) for i, edge in enumerate(lows)))
    high = ibis.cases(*((spells.bin == i, edge) for i, edge in enumerate(highs)))
    at_risk = spells.mutate(
        start=ibis.greatest(spells.created + low, spells.low), stop=ibis.least(spells.created + high, spells.high)
    )
    at_risk = at_risk.filter(at_risk.start < at_risk.stop)
    starts = at_risk.select(*values, "bin", second="start", slope=one, level=-at_risk.start, wins=zero)
    ended = at_risk.filter(at_risk.stop < never)
    is_win = (ended.stop == ended.high) & (ended.outcome == "won")
    stops = ended.select(*values, "bin", second="stop", slope=-one, level=ended.stop, wins=is_win.cast("int8"))
    return starts.union(stops)


def _dates(snapshots: ir.Table) -> ir.Table:
    """Give the dates asked for, each as a day number and the second of the day that it stands at."""
    dates = snapshots.select("as_of").distinct()
    second = point_in_time.microseconds_between(point_in_time.instant(point_in_time.ALWAYS), dates.as_of) // 1_000_000
    dates = dates.mutate(second=second.cast("int64"))
    return dates.mutate(clock_time=dates.second % DAY_SECONDS, day=(dates.second // DAY_SECONDS).cast("int64"))


def _by_marked_days(points: ir.Table, dates: ir.Table) -> ir.Table:
    """Put each point on the first day that sums are asked for from which on it counts; later ones are left out.

    Returns
    -------
    ibis table
        `points` with ``clock_time, day`` for ``second``.
    """
    earlier = dates.select("clock_time", day=dates.day - RECENT_DAYS)
    marked = dates.select("clock_time", "day").union(earlier, distinct=True)
    before = marked.day.lag().over(ibis.window(group_by="clock_time", order_by="day"))
    marked = marked.mutate(before=ibis.coalesce(before, marked.day - 1))
    calendar = marked.select("clock_time", "day", any_day=ibis.range(marked.before + 1, marked.day + 1).unnest())
    points = points.join(marked.group_by("clock_time").agg(first=marked.day.min()), ibis.literal(True))
    # A fact counts from the first day on whose clock time it was known.
    own = -((points.clock_time - points.second) // DAY_SECONDS)
    points = points.mutate(any_day=ibis.greatest(own, points["first"]).cast("int64")).drop("second", "first")
    return points.join(calendar, ["clock_time", "any_day"]).drop("any_day")


def _at_dates(points: ir.Table, markers: ir.Table, keys: list[str]) -> ir.Table:
    """Sum up time at risk (in seconds) and wins by each marked day, per `keys`."""
    zero = ibis.literal(0, "int64")
    names = [*keys, "clock_time", "day"]
    sums = points.select(*names, *COUNTED, marked=zero)
    marks = markers.select(*names, slope=zero, level=zero, wins=zero, marked=ibis.literal(1, "int64"))
    every = sums.union(marks.select(sums.columns))
    every = every.group_by(names).agg(**{name: every[name].sum() for name in (*COUNTED, "marked")})
    so_far = ibis.window(group_by=[*keys, "clock_time"], order_by="day", rows=(None, 0))
    every = every.mutate(**{name: every[name].sum().over(so_far).cast("int64") for name in COUNTED})
    every = every.filter(every.marked > 0)
    at_risk = every.slope * (every.day * DAY_SECONDS + every.clock_time) + every.level
    return every.select(*names, "wins", at_risk=at_risk)


def conversion(context: SnapshotContext) -> ir.Table:
    """Say how the leads of each value had converted by each date, against what their ages let one expect.

    Returns
    -------
    ibis table
        ``place`` (of the column among `FeatureSpec.converting_columns`), ``value, as_of, ratio, recent_ratio``, for
        the values and dates of ``context.every``. 1 is average, ``recent_ratio`` counts only the last `RECENT_DAYS`.
    """
    tables = context.tables
    # A lead counts for its first values, which nothing learnt later changes.
    leads = as_they_were_first(tables.leads, tables, "leads", "lead_id")
    aside = {column.removeprefix("leads.") for column, _ in context.spec.set_aside if column.startswith("leads.")}
    leads = leads.mutate(
        **{name: context.spec.without_set_aside(leads[name], leads.lead_id, f"leads.{name}") for name in sorted(aside)}
    )
    leads = leads.select("lead_id", **_values(leads, context, str))
    values = [name for name in leads.columns if name != "lead_id"]
    codes = materialise(_codes(context, leads, values))
    dates = _dates(context.every)
    wanted = []
    spells = lifecycle.open_spells(tables).join(leads, "lead_id")
    for i, name in enumerate(values):
        own = codes.filter(codes.place == i).select("value", f_code="code")
        spells = spells.join(own, spells[name] == own["value"]).drop("value", name).rename({name: "f_code"})
        current = context.every.select("as_of", **_values(context.every, context, context.column)).select("as_of", name)
        current = current.distinct().rename(value=name)
        wanted.append(current.join(own, "value").select("as_of", code="f_code"))
    marks = reduce(lambda left, right: left.union(right), wanted)
    points = _by_marked_days(_points(spells, values), dates)
    bins = ["bin", "clock_time", "day"]

    def summed(rows: ir.Table, **keys: ir.Value) -> ir.Table:
        return rows.group_by(*bins, **keys).agg(**{name: rows[name].sum().cast("int64") for name in COUNTED})

    by_value = [summed(points, code=points[name]) for name in values]
    by_code = materialise(reduce(lambda left, right: left.union(right), by_value))
    # Every lead has one value of each column.
    of_first = by_code.semi_join(codes.filter(codes.place == 0), "code")
    every_bin = of_first.select("bin").distinct()
    overall = _at_dates(summed(of_first), dates.join(every_bin, ibis.literal(True)), ["bin"])
    marks = marks.join(dates, "as_of").join(every_bin, ibis.literal(True))
    earlier = marks.mutate(day=marks.day - RECENT_DAYS)
    keys = ["code", "bin"]
    both = marks.select(*keys, "clock_time", "day").union(earlier.select(*keys, "clock_time", "day"), distinct=True)
    sums = _at_dates(by_code, both, keys)
    now = marks.join(sums, [*keys, "clock_time", "day"])
    before = sums.mutate(day=sums.day + RECENT_DAYS).rename(wins_before="wins", at_risk_before="at_risk")
    now = now.join(before, [*keys, "clock_time", "day"])
    everyone = overall.rename(all_wins="wins", all_at_risk="at_risk")
    now = now.join(everyone, ["bin", "clock_time", "day"])
    rate = now.all_wins.cast("float64") / now.all_at_risk.cast("float64").nullif(0)

    def expected(at_risk: ir.IntegerValue) -> ir.IntegerValue:
        return ibis.coalesce((rate * at_risk.cast("float64") * SCALE).round().cast("int64"), 0)

    now = now.mutate(expected=expected(now.at_risk), expected_recent=expected(now.at_risk - now.at_risk_before))
    sums = now.group_by("code", "as_of").agg(
        wins=now.wins.sum(),
        recent_wins=(now.wins - now.wins_before).sum(),
        expected=now.expected.sum(),
        expected_recent=now.expected_recent.sum(),
    )
    return sums.join(codes, "code").select(
        "place",
        "value",
        "as_of",
        ratio=(sums.wins + PRIOR_WINS) / (sums.expected.cast("float64") / SCALE + PRIOR_WINS),
        recent_ratio=(sums.recent_wins + PRIOR_WINS) / (sums.expected_recent.cast("float64") / SCALE + PRIOR_WINS),
    )


def features(context: SnapshotContext) -> ir.Table:
    """Give each snapshot its source, and how leads of that source (campaign, owner, …) had converted by then.

    Returns
    -------
    ibis table
        ``snapshot``, the words themselves, and for each of `FeatureSpec.converting_columns` a ``…_conversion_ratio``
        (1 is average); sources, campaigns and owners also have a ``…_recent_ratio``.
    """
    rows, stems = context.rows, context.spec.converting_columns()
    rows = rows.select(
        "snapshot",
        "as_of",
        **{f"lead_{name}": rows[name].nullif("") for name in context.spec.word_columns()},
        **_values(rows, context, context.column),
    )
    if not stems:
        return rows.drop("as_of")
    ratios = context.memoize("conversion", lambda: conversion(context))
    for i, (name, stem) in enumerate(stems.items()):
        found = ratios.filter(ratios.place == i).drop("place")
        found = found.rename({f"{stem}_conversion_ratio": "ratio", f"{stem}_recent_ratio": "recent_ratio"})
        if name not in RECENT_RATIO:
            found = found.drop(f"{stem}_recent_ratio")
        rows = rows.left_join(found, [rows[f"value_{i}"] == found["value"], rows.as_of == found.as_of])
        rows = rows.drop("value", "as_of_right", f"value_{i}")
    return rows.drop("as_of")


def entries(spec: FeatureSpec) -> Iterator[Feature]:
    """Describe where the lead came from, and how its like converted."""
    for name in spec.word_columns():
        yield Feature(
            f"lead_{name}", "category", "source", f"leads.{name}", f"lead_{name}", f"The lead's {name}",
            "{value}" if f"lead_{name}" in wording.VALUE_WORDS else f"{name.capitalize()}: {{value}}",
            f"{name.capitalize()} not known",
        )  # fmt: skip
    for column, stem in spec.converting_columns().items():
        own = column == "owner_id"
        same = f"the same {wording.readable(column).removesuffix(' id')}"
        phrases = {
            "owner_id": "of this salesperson",
            "source": f"from {same}",
            "campaign": f"of {same}",
            "product": f"for {same}",
        }
        leads = f"leads {phrases.get(column, f'with {same}')}"
        origin = f"leads.{column}, earlier leads and their ends"
        theme = (
            "history" if own else "source"
        )  # of whose leads were won, nobody is told: scores guide, and do not police
        yield Feature(
            f"{stem}_conversion_ratio", "ratio", theme, origin, stem,
            "Wins so far over those expected of leads of the same ages; 1 is average",
            f"{leads.capitalize()} were won {{value}}", "No earlier leads to compare with",
            is_monotone_increasing=True, is_reason=not own,
        )  # fmt: skip
        if column in RECENT_RATIO:
            yield Feature(
                f"{stem}_recent_ratio", "ratio", "history", origin, stem,
                "As the conversion ratio, over the last 90 days only",
                f"Lately, {leads} were won {{value}}",
                "No earlier leads to compare with", is_monotone_increasing=True, is_reason=not own,
            )  # fmt: skip
