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

from collections.abc import Iterator
from functools import reduce

import ibis
import ibis.expr.types as ir

from features import clock, lifecycle, wording
from features.feature import Feature
from features.spec import RECENT_RATIO, FeatureSpec
from features.tables import Tables

AGE_BINS_DAYS = (0, 7, 14, 30, 60, 90, 180, 365)
PRIOR_WINS = 2.0
"""So many wins, and as many expected, are added to each value: rare values stay near 1."""
RECENT_DAYS = 90
DAY_SECONDS = 86_400
SCALE = 1_000_000
KEYS = ["lead_id", "episode", "as_of"]


def _seconds(moment: ir.TimestampValue) -> ir.IntegerValue:
    """Whole seconds since 1900, rounded up: a fact is never seen before it was known."""
    return -((-clock.microseconds_between(clock.instant(clock.ALWAYS), moment)) // 1_000_000)


def _values(tables: Tables, spec: FeatureSpec) -> ir.Table:
    """Give each lead's first value of each converting column, which nothing learnt later changes; none is one too."""
    leads = clock.as_they_were_first(tables.leads, tables, "leads", "lead_id")
    parts = [
        leads.select("lead_id", column=ibis.literal(name), value=ibis.coalesce(leads[name], ""))
        for name in spec.converting_columns()
    ]
    return reduce(lambda left, right: left.union(right), parts)


def _points(tables: Tables) -> ir.Table:
    """Give the instants at which each lead's time at risk in each age bin begins and ends, and at which it was won.

    Returns
    -------
    ibis table
        ``lead_id, bin, second, slope, level, wins``.
    """
    spells = lifecycle.open_spells(tables)
    spells = spells.mutate(
        created=_seconds(spells.created_at), low=_seconds(spells.known_from), high=_seconds(spells.known_until)
    )
    never = _seconds(clock.instant(clock.NEVER))
    zero, one = ibis.literal(0, "int64"), ibis.literal(1, "int64")
    spells = spells.mutate(bin=ibis.range(0, len(AGE_BINS_DAYS)).unnest())
    # The first bin holds what came before creation too, the last one has no end.
    lows = [-(10**10), *(days * DAY_SECONDS for days in AGE_BINS_DAYS[1:])]
    highs = [*lows[1:], 10**12]
    low = ibis.cases(*((spells.bin == i, edge) for i, edge in enumerate(lows)))
    high = ibis.cases(*((spells.bin == i, edge) for i, edge in enumerate(highs)))
    at_risk = spells.mutate(
        start=ibis.greatest(spells.created + low, spells.low), stop=ibis.least(spells.created + high, spells.high)
    )
    at_risk = at_risk.filter(at_risk.start < at_risk.stop)
    starts = at_risk.select("lead_id", "bin", second="start", slope=one, level=-at_risk.start, wins=zero)
    ended = at_risk.filter(at_risk.stop < never)
    is_win = (ended.stop == ended.high) & (ended.outcome == "won")
    stops = ended.select("lead_id", "bin", second="stop", slope=-one, level=ended.stop, wins=is_win.cast("int64"))
    return starts.union(stops)


def _dates(snapshots: ir.Table) -> ir.Table:
    """Give the dates asked for, each as a day number and the second of the day that it stands at."""
    dates = snapshots.select("as_of").distinct()
    second = clock.microseconds_between(clock.instant(clock.ALWAYS), dates.as_of) // 1_000_000
    dates = dates.mutate(second=second.cast("int64"))
    return dates.mutate(clock_time=dates.second % DAY_SECONDS, day=(dates.second // DAY_SECONDS).cast("int64"))


def _at_dates(points: ir.Table, markers: ir.Table, keys: list[str]) -> ir.Table:
    """Sum up time at risk (in seconds) and wins by each marked day, per `keys`."""
    zero = ibis.literal(0, "int64")
    names = [*keys, "clock_time", "day"]
    sums = points.group_by(names).agg(slope=points.slope.sum(), level=points.level.sum(), wins=points.wins.sum())
    sums = sums.mutate(marked=zero)
    marks = markers.select(*names, slope=zero, level=zero, wins=zero, marked=ibis.literal(1, "int64"))
    every = sums.union(marks.select(sums.columns))
    every = every.group_by(names).agg(**{name: every[name].sum() for name in ("slope", "level", "wins", "marked")})
    so_far = ibis.window(group_by=[*keys, "clock_time"], order_by="day", rows=(None, 0))
    every = every.mutate(**{name: every[name].sum().over(so_far).cast("int64") for name in ("slope", "level", "wins")})
    every = every.filter(every.marked > 0)
    at_risk = every.slope * (every.day * DAY_SECONDS + every.clock_time) + every.level
    return every.select(*names, "wins", at_risk=at_risk)


def conversion(tables: Tables, wanted: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Say how the leads of each value had converted by each date, against what their ages let one expect.

    Parameters
    ----------
    tables : Tables
    wanted : ibis table
        ``column, value, as_of``: the values and dates asked for, none twice.
    spec : FeatureSpec

    Returns
    -------
    ibis table
        ``column, value, as_of, ratio, recent_ratio``. 1 is average, ``recent_ratio`` counts only the last
        `RECENT_DAYS`.
    """
    values, dates = _values(tables, spec), _dates(wanted)
    points = _points(tables)
    times = dates.select("clock_time").distinct()
    # A fact counts from the first day on whose clock time it was known.
    points = points.join(times, ibis.literal(True))
    day = -((points.clock_time - points.second) // DAY_SECONDS)
    points = points.mutate(day=day.cast("int64"))
    bins = ["bin", "clock_time", "day"]
    overall_points = points.group_by(bins).agg(
        slope=points.slope.sum(), level=points.level.sum(), wins=points.wins.sum()
    )
    by_value = points.join(values, "lead_id")
    every_bin = overall_points.select("bin").distinct()
    overall_marks = dates.join(every_bin, ibis.literal(True))
    overall = _at_dates(overall_points, overall_marks, ["bin"])
    marks = wanted.join(dates, "as_of").join(every_bin, ibis.literal(True))
    earlier = marks.mutate(day=marks.day - RECENT_DAYS)
    keys = ["column", "value", "bin"]
    both = marks.select(*keys, "clock_time", "day").union(earlier.select(*keys, "clock_time", "day"), distinct=True)
    sums = _at_dates(by_value, both, keys)
    now = marks.join(sums, [*keys, "clock_time", "day"])
    before = sums.mutate(day=sums.day + RECENT_DAYS).rename(wins_before="wins", at_risk_before="at_risk")
    now = now.join(before, [*keys, "clock_time", "day"])
    everyone = overall.rename(all_wins="wins", all_at_risk="at_risk")
    now = now.join(everyone, ["bin", "clock_time", "day"])
    rate = now.all_wins.cast("float64") / now.all_at_risk.cast("float64").nullif(0)

    def expected(at_risk: ir.IntegerValue) -> ir.IntegerValue:
        return ibis.coalesce((rate * at_risk.cast("float64") * SCALE).round().cast("int64"), 0)

    now = now.mutate(expected=expected(now.at_risk), expected_recent=expected(now.at_risk - now.at_risk_before))
    sums = now.group_by("column", "value", "as_of").agg(
        wins=now.wins.sum(),
        recent_wins=(now.wins - now.wins_before).sum(),
        expected=now.expected.sum(),
        expected_recent=now.expected_recent.sum(),
    )
    return sums.select(
        "column",
        "value",
        "as_of",
        ratio=(sums.wins + PRIOR_WINS) / (sums.expected.cast("float64") / SCALE + PRIOR_WINS),
        recent_ratio=(sums.recent_wins + PRIOR_WINS) / (sums.expected_recent.cast("float64") / SCALE + PRIOR_WINS),
    )


def features(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Give each snapshot its source, and how leads of that source (campaign, owner, …) had converted by then.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of``, the words themselves, and for each of `FeatureSpec.converting_columns` a
        ``…_conversion_ratio`` (1 is average); sources, campaigns and owners also have a ``…_recent_ratio``.
    """
    words = spec.word_columns()
    stems = spec.converting_columns()
    rows = snapshots.select(*KEYS).join(tables.leads.select("lead_id", *sorted({*words, *stems})), "lead_id")
    rows = clock.as_they_were(rows, tables, "leads", "lead_id")
    rows = rows.select(
        *KEYS,
        **{f"lead_{name}": rows[name].nullif("") for name in words},
        **{f"value_{i}": ibis.coalesce(rows[name], "") for i, name in enumerate(stems)},
    )
    if not stems:
        return rows
    asked = [rows.select("as_of", column=ibis.literal(name), value=f"value_{i}") for i, name in enumerate(stems)]
    ratios = conversion(tables, reduce(lambda left, right: left.union(right), asked).distinct(), spec)
    # The ratios come from `rows` themselves: to be joined to them, these need a name of their own.
    rows = rows.view()
    for i, (name, stem) in enumerate(stems.items()):
        found = ratios.filter(ratios["column"] == name)
        names = {"ratio_as_of": "as_of", f"{stem}_conversion_ratio": "ratio", f"{stem}_recent_ratio": "recent_ratio"}
        found = found.drop("column").rename(names)
        if name not in RECENT_RATIO:
            found = found.drop(f"{stem}_recent_ratio")
        rows = rows.left_join(found, [rows[f"value_{i}"] == found["value"], rows.as_of == found.ratio_as_of])
        rows = rows.drop("value", "ratio_as_of", f"value_{i}")
    return rows


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
        told = {
            "owner_id": "of this salesperson",
            "source": f"from {same}",
            "campaign": f"of {same}",
            "product": f"for {same}",
        }
        leads = f"leads {told.get(column, f'with {same}')}"
        origin = f"leads.{column}, earlier leads and their ends"
        theme = "history" if own else "source"
        yield Feature(
            f"{stem}_conversion_ratio", "ratio", theme, origin, stem,
            "Wins so far over those expected of leads of the same ages; 1 is average",
            f"{leads.capitalize()} were won {{value}}", "No earlier leads to compare with",
            is_rising=True,
        )  # fmt: skip
        if column in RECENT_RATIO:
            yield Feature(
                f"{stem}_recent_ratio", "ratio", "history", origin, stem,
                "As the conversion ratio, over the last 90 days only",
                f"Lately, {leads} were won {{value}}",
                "No earlier leads to compare with", is_rising=True,
            )  # fmt: skip
