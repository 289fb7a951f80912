"""What closes a gap: additional opportunities a month, each with what it still brings in time; and what would help."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from pipeline.planning.fiscal_calendar import Span, midnight
from pipeline.planning.plan_sources import Arrivals, OpenLeads, open_leads
from pipeline.planning.weekly_counts import WeeklyCounts
from pipeline.planning.worlds import Worlds, weeks_ahead

ALL = "all"
MORE, FASTER_DAYS = 0.1, 10.0


def needed(
    came: Arrivals, gap: float | None, months: list[tuple[str, Span]], end: datetime, timezone: str
) -> list[dict[str, Any]]:
    """Give what one more opportunity of each month still brings by the end, and how many a month close the gap.

    The same number is asked of every month, by source as opportunities came over the last year. What an opportunity
    brings is counted from the middle of its month.

    Parameters
    ----------
    came : Arrivals
    gap : float, optional
    months : list of (name, Span)
        From the date on.
    end : datetime
        The first instant after the period; naive UTC.
    timezone : str

    Returns
    -------
    list of dict
        ``month, segment`` (a source, or all), ``stage, count`` (null without a gap, or where it is too late),
        ``revenue_each``, and ``too_late``: it brings less than a tenth of what it brings in the end.
    """
    if not months or not np.isfinite(came.from_opportunity.amount).any():
        return []
    middles = [midnight(month.first, timezone) + timedelta(days=month.days_count / 2) for _, month in months]
    left = np.array([max((end - middle) / timedelta(days=1), 0.0) for middle in middles])
    each = np.nan_to_num(came.from_opportunity.by(left)[1])
    in_the_end = np.nan_to_num(came.from_opportunity.by(np.array([2190.0]))[1])[0] @ came.opportunity_share
    together = each @ came.opportunity_share
    count = gap / together.sum() if gap and together.sum() > 0 else None
    rows = []
    for place, (name, _) in enumerate(months):
        late = bool(together[place] < 0.1 * in_the_end)
        segments = [(ALL, together[place], 1.0), *zip(came.names, each[place], came.opportunity_share, strict=True)]
        for segment, money, share in segments:
            rows.append({
                "month": name, "segment": segment, "stage": came.stage,
                "count": None if count is None else round(float(count * share), 1),
                "revenue_each": round(float(money), 2), "too_late": late,
            })  # fmt: skip
    return rows


def levers(
    came: Arrivals, leads: OpenLeads, counts: WeeklyCounts, worlds: Worlds, closed: float, goal: float | None,
    ahead: tuple[float, float], horizons_days: list[int], scores: pd.DataFrame,
) -> list[dict[str, Any]]:  # fmt: skip
    """Say what a tenth more of each would bring: they do not add up, and none of them is an effect of doing anything.

    Returns
    -------
    list of dict
        ``name, revenue, probability`` (to reach the goal then; null without one), the largest first.
    """
    days, year = ahead
    moments, weeks = weeks_ahead(days)
    shape = counts.means(moments, year) * weeks[:, None] if len(moments) else np.zeros((0, len(came.names)))

    def faster() -> float:
        """Ten days nearer to winning, for leads that are open and those to come."""
        later = open_leads(scores, "", horizons_days, days + FASTER_DAYS).frame["expected"].sum()
        now, then = (
            np.nan_to_num(came.by_age.by(np.maximum(days + more - moments, 0.0))[1]) for more in (0.0, FASTER_DAYS)
        )
        return float(later - leads.frame["expected"].sum() + (shape * (then - now)).sum())

    of_leads = worlds.open + worlds.to_come
    found = [
        ("10% more leads", MORE * worlds.to_come),
        ("10% higher win rate", MORE * of_leads),
        ("10% larger deals", MORE * (of_leads + worlds.existing)),
        (f"{FASTER_DAYS:.0f} days faster", np.full(len(of_leads), faster() if len(moments) else 0.0)),
    ]
    rows = [
        {
            "name": name,
            "revenue": round(float(more.mean()), 2),
            "probability": None
            if goal is None or leads.is_cut_off
            else round(float((closed + worlds.total + more >= goal).mean()), 4),
        }
        for name, more in found
    ]
    return sorted(rows, key=lambda row: -row["revenue"])
