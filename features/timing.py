"""Timing: how old the lead is, and where the date lies in the week, the year and the fiscal quarter."""

from __future__ import annotations

from collections.abc import Iterator

import ibis
import ibis.expr.types as ir

from features import point_in_time
from features.feature import Feature
from features.snapshot_context import SnapshotContext
from features.spec import FeatureSpec
from features.wall_clock import local, standard_offset_seconds

AGE = "lead_age_days"


def _quarter_end_days(moment: ir.TimestampValue, fiscal_year_start_month: int) -> ir.FloatingValue:
    """Days from a local moment to the first instant after its fiscal quarter."""
    month_of_quarter = (moment.month() - fiscal_year_start_month + 12) % 3
    month = moment.truncate("M")
    end = ibis.cases(
        (month_of_quarter == 0, month + ibis.interval(months=3)),
        (month_of_quarter == 1, month + ibis.interval(months=2)),
        else_=month + ibis.interval(months=1),
    )
    return point_in_time.days_between(moment, end)


def features(context: SnapshotContext) -> ir.Table:
    """Give each snapshot its timing.

    Returns
    -------
    ibis table
        ``snapshot`` and the timing features.
    """
    spec = context.spec
    dates = context.rows.select("as_of").distinct()
    here = dates.mutate(here=local(dates.as_of, spec.timezone))
    later = here.here + ibis.interval(days=spec.primary_horizon_days)
    start_month = spec.fiscal_year_start_month
    columns = {"cal_weekday": here.here.day_of_week.index().cast("float64")}
    if spec.has_quarters():
        columns["cal_quarter_end_days"] = _quarter_end_days(here.here, start_month)
        columns["cal_quarter_end_at_horizon_days"] = _quarter_end_days(later, start_month)
    if spec.has_seasons():
        columns["cal_month"] = here.here.month().cast("float64")
    calendar = here.select("as_of", **columns)
    rows = context.rows
    created_here = rows.created_at + ibis.interval(seconds=standard_offset_seconds(spec.timezone))
    rows = rows.select(
        "snapshot",
        "as_of",
        point_in_time.days_between(rows.created_at, rows.as_of).name(AGE),
        lead_created_weekday=created_here.day_of_week.index().cast("float64"),
    )
    return rows.join(calendar, "as_of").drop("as_of")


def entries(spec: FeatureSpec) -> Iterator[Feature]:
    """Describe the lead's age and the calendar."""
    made, date = "leads.created_at", "the date itself"
    yield Feature(
        AGE, "days", "timing", made, "lead_age", "Days since the lead was created",
        "Came in {value} ago", "Unknown when it came in", against="Has been open for {value}",
        low="Just came in", low_below=1 / 24,
    )  # fmt: skip
    yield Feature(
        "lead_created_weekday", "weekday", "timing", made, "lead_created_weekday", "Weekday of creation, Monday is 0",
        "Came in on a {value}", "Unknown when it came in",
    )  # fmt: skip
    yield Feature(
        "cal_weekday", "weekday", "timing", date, "cal_season", "Weekday of the date, Monday is 0",
        "Today is a {value}", "Unknown weekday", is_reason=False,
    )  # fmt: skip
    if spec.has_seasons():
        yield _month()
    if spec.has_quarters():
        yield from _quarters(spec)


def _month() -> Feature:
    return Feature(
        "cal_month", "month", "timing", "the date itself", "cal_season", "Month of the date",
        "Time of the year: {value}", "Unknown month", is_reason=False,
    )  # fmt: skip


def _quarters(spec: FeatureSpec) -> Iterator[Feature]:
    date = "the date itself"
    yield Feature(
        "cal_quarter_end_days", "days", "timing", date, "cal_quarter", "Days to the end of the fiscal quarter",
        "The quarter ends in {value}", "Unknown quarter", is_reason=False,
    )  # fmt: skip
    yield Feature(
        "cal_quarter_end_at_horizon_days", "days", "timing", date, "cal_quarter",
        f"Days to the end of the fiscal quarter, {spec.primary_horizon_days} days from the date",
        f"In {spec.primary_horizon_days} days, a quarter's end is {{value}} away", "Unknown quarter",
        is_reason=False,
    )  # fmt: skip
