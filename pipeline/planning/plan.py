"""Will the goal be met, what does it take, who stands where: closed, open, yet to arrive and existing business."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.common.dates import iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import local_date
from pipeline.funnel.journeys import Journeys, journeys
from pipeline.ingest.company import LoadedCompany
from pipeline.planning.fiscal_calendar import FiscalCalendar, midnight
from pipeline.planning.opportunities_needed import levers, needed
from pipeline.planning.plan_sources import (
    HISTORY_YEARS,
    Arrivals,
    OpenLeads,
    arrivals,
    named_sources,
    open_leads,
    won_deals,
)
from pipeline.planning.quotas import owner_lines
from pipeline.planning.rep_forecast import rep_forecast
from pipeline.planning.weekly_counts import WeeklyCounts, fit_weekly_counts
from pipeline.planning.worlds import Worlds, arriving_worlds, existing_worlds, levels, open_worlds
from pipeline.revenue.expected_revenue import Forecast

LOW, HIGH = 0.1, 0.9
"""Of the worlds: an interval of 80%."""


def plan(
    company: LoadedCompany,
    as_of: datetime,
    *,
    goal: float | None,
    first: date | None,
    last: date | None,
    marketing_share: float | None,
    forecast: Forecast,
) -> dict[str, Any]:
    """Plan the bookings of a period.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC; nothing known later changes a figure.
    goal : float, optional
        Bookings to reach; by default ``plan.goal``, else none.
    first, last : date, optional
        The period, both days included; by default from the start of the fiscal year to the end of the running fiscal
        quarter.
    marketing_share : float, optional
        Share of the goal that marketing's own sources are to bring; by default ``plan.marketing_share``.
    forecast : tuple of DataFrame or None and str
        Of the same date, as `scores_of` gives it.

    Returns
    -------
    dict
        What ``plan.json`` holds.

    Raises
    ------
    UserError
        The period ends before it begins, or before the date; or there is no forecast of the open leads.
    """
    params, zone = company.params, company.params.data.timezone
    today, calendar = local_date(as_of, zone), FiscalCalendar.of(params)
    first = calendar.year(today).first if first is None else first
    last = calendar.quarter(today).last if last is None else last
    if last < first or last < today:
        raise UserError(f"--until {last}: it lies before {'--from' if last < first else 'the date of the data'}, "
                        f"{first if last < first else today}")  # fmt: skip
    if first > today:
        raise UserError(f"--from {first}: it lies after the date of the data, {today}: a plan begins by then")
    goal = params.plan.goal if goal is None else goal
    start, end = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    days = max((end - as_of) / timedelta(days=1), 0.0)
    ways = journeys(company, as_of)
    history = won_deals(company, as_of - timedelta(days=365 * HISTORY_YEARS), as_of)
    closed = won_deals(company, start, as_of)
    if forecast[0] is None or "p_win_ever" not in forecast[0]:
        raise UserError(f"a plan needs the forecast of the open leads: {forecast[1]}")
    leads = open_leads(forecast[0], forecast[1], params.horizons_days, days)
    came = arrivals(company, ways)
    year = as_of.year + (as_of - datetime(as_of.year, 1, 1)) / timedelta(days=365.25)
    counts = fit_weekly_counts(came.days_back, came.segment, len(came.names), year)
    rng = np.random.default_rng(params.seed)
    level = levels(rng)
    to_come, by_source = arriving_worlds(rng, counts, came.by_age, level, days, year)
    without = history[history["lead_id"].isna()]
    existing = np.zeros(len(level))
    if len(without):
        age = as_of - pd.DatetimeIndex(without["closed_at"])
        back = np.maximum(np.asarray(age / pd.Timedelta(days=1), dtype=np.float64), 0.0)
        rate = fit_weekly_counts(back, np.zeros(len(back), dtype=np.intp), 1, year)
        existing = existing_worlds(rng, rate, without["cents"].to_numpy(), days, year)
    worlds = Worlds(open_worlds(rng, leads.frame, level), to_come, existing)
    closed_money = int(closed["cents"].sum()) / 100
    parts = {
        "open": _figure(worlds.open, float(leads.frame["expected"].sum())),
        "to_come": _figure(worlds.to_come, float(by_source.sum())),
        "existing": _figure(worlds.existing),
    }
    value = round(closed_money + sum(part["value"] for part in parts.values()), 2)
    total = _figure(closed_money + worlds.total, value)
    gap = None if goal is None else round(max(goal - value, 0.0), 2)
    months = calendar.months_between(max(today, first), last)
    unowned = parts["to_come"]["value"] + parts["existing"]["value"]
    reps, _ = rep_forecast(company, max(as_of, start), end, as_of)
    share, share_note = _marketing(company, ways, closed, leads, by_source, came, goal, marketing_share)
    return {
        "company": params.company,
        "currency": params.currency,
        "timezone": zone,
        "as_of": iso(as_of),
        "goal": goal,
        "from": first.isoformat(),
        "until": last.isoformat(),
        "closed": closed_money,
        **parts,
        "total": total,
        "probability": None
        if goal is None or leads.is_cut_off
        else round(float((closed_money + worlds.total >= goal).mean()), 4),
        "gap": gap,
        "needed": needed(came, gap, [(calendar.name(month), month) for month in months], end, zone),
        "marketing_share": share,
        "levers": levers(
            came, leads, counts, worlds, closed_money, goal, (days, year), params.horizons_days, forecast[0]
        ),
        "owners": owner_lines(company, closed, leads.frame, unowned, first, last),
        "reps": reps,
        "to_come_by_source": [
            {"source": name, "expected": round(float(money), 2)}
            for name, money in zip(came.names, by_source, strict=True)
        ],
        "backtest": None,
        "notes": _notes(leads, came, counts, len(without), reps, share_note, goal),
    }


def _figure(drawn: NDArray[np.float64], value: float | None = None) -> dict[str, float]:
    low, high = np.quantile(drawn, [LOW, HIGH])
    value = float(drawn.mean()) if value is None else value
    return {"value": round(value, 2), "low": round(float(low), 2), "high": round(float(high), 2)}


def _marketing(
    company: LoadedCompany, ways: Journeys, closed: Any, leads: OpenLeads, by_source: NDArray[np.float64],
    came: Arrivals, goal: float | None, share: float | None,
) -> tuple[dict[str, float | None] | None, str | None]:  # fmt: skip
    """Say what marketing's own sources brought in a year, what the goal asks of them, where they stand."""
    own = set(company.params.plan.marketing_sources)
    share = company.params.plan.marketing_share if share is None else share
    if not own:
        return None, "marketing's share: plan.marketing_sources does not say which sources are its own"
    source_of = named_sources(ways.frame)
    year = won_deals(company, ways.as_of - timedelta(days=365), ways.as_of)
    mine = year["lead_id"].map(source_of).isin(own)
    whole = int(year["cents"].sum())
    now = int(closed.loc[closed["lead_id"].map(source_of).isin(own), "cents"].sum()) / 100
    now += float(leads.frame.loc[leads.frame["lead_id"].map(source_of).isin(own), "expected"].sum())
    now += float(sum(money for name, money in zip(came.names, by_source, strict=True) if name in own))
    asked = None if goal is None or share is None else round(share * goal, 2)
    history = round(int(year.loc[mine, "cents"].sum()) / whole, 4) if whole else None
    return {"history": history, "asked": asked, "now": round(now, 2)}, None


def _notes(
    leads: OpenLeads, came: Arrivals, counts: WeeklyCounts, without: int, reps: Any, share: str | None,
    goal: float | None,
) -> list[str]:  # fmt: skip
    found = [leads.said]
    if goal is None:
        found.append("no goal is given (--goal, or plan.goal): no gap, and no chance to reach it")
    if came.left_out:
        found.append(f"{came.left_out:,} leads were imported or came as names on a list: no arrivals")
    if not counts.has_season:
        found.append("arrivals have no season: two years of them are needed to see one")
    if not without:
        found.append("existing business: no deal without a lead was won in three years")
    if reps is None:
        found.append("the reps' own forecast: no open deal has a closing date in the period")
    found += [share] if share else []
    return found
