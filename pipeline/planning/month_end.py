"""A month that is over: what was forecast on its first day, what came, and what made the difference, to the cent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.archive.forecasts import Forecasts
from pipeline.audit.reconciliation import reconcile
from pipeline.common.dates import iso, local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import local_date
from pipeline.ingest.company import LoadedCompany
from pipeline.planning.archived_plan import archived_plan
from pipeline.planning.bridge import bridge, from_units, to_units
from pipeline.planning.month_deals import named, sources_of, team_of, with_categories, won_deals
from pipeline.planning.month_forecast import LEVEL, MonthForecast, month_forecast
from pipeline.planning.rep_forecast import rep_forecast

Content = dict[str, Any]


@dataclass(frozen=True)
class MonthSpan:
    """A calendar month of the company's.

    Parameters
    ----------
    name : str
        ``2026-07``.
    start, end : datetime
        Its first instant, and the first one after it; naive UTC.
    """

    name: str
    start: datetime
    end: datetime

    @classmethod
    def of(cls, name: str, timezone: str) -> MonthSpan:
        """Read a month as people write it.

        Raises
        ------
        UserError
            It is none.
        """
        match = re.fullmatch(r"(\d{4})-(\d{2})", name)
        if not match or not 1 <= int(match[2]) <= 12 or not 1900 <= int(match[1]) <= 2199:
            raise UserError(f"'{name}' is no month: write it like 2026-07")
        year, month = int(match[1]), int(match[2])
        following = date(year + month // 12, month % 12 + 1, 1)
        zone = ZoneInfo(timezone)
        first, last = (
            datetime(day.year, day.month, 1, tzinfo=zone).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
            for day in (date(year, month, 1), following)
        )
        return cls(name, first, last)


def month_end(company: LoadedCompany, month: str, as_of: datetime) -> Content:
    """Compare a month with what was forecast of it.

    Parameters
    ----------
    company : LoadedCompany
    month : str
        ``2026-07``.
    as_of : datetime
        Naive UTC; nothing forecast or known later counts.

    Returns
    -------
    dict
        The content of ``month-end.json``.

    Raises
    ------
    UserError
        It is no month, or not over by then.
    """
    zone = company.params.data.timezone
    span = MonthSpan.of(month, zone)
    # Where data end with a day, they hold all of it.
    if as_of < span.end - timedelta(microseconds=1):
        raise UserError(f"{month} is not over where the data end ({local_iso(as_of, zone)}): choose an earlier month")
    forecast = month_forecast(company, span.start, span.end, as_of)
    deals = won_deals(company, span.start, span.end, as_of)
    if forecast is not None:
        deals = with_categories(company, deals, as_of, forecast.as_of, forecast.leads["lead_id"])
    plan, no_plan = (None, None) if forecast is None else archived_plan(forecast.entry, span.start, span.end, zone)
    planned = {} if plan is None else plan.planned
    reps, why = rep_forecast(company, span.start, span.end, as_of)
    notes = [] if forecast is None else list(forecast.said)
    if forecast is None:
        notes.append("the archive has no forecast of the month's first day: `leadrev nightly` keeps one every night")
    if no_plan:
        notes.append(no_plan)
    if why:
        notes.append(f"no forecast by the reps: {why}")
    return {
        "company": company.params.company,
        "currency": company.params.currency,
        "timezone": zone,
        "month": month,
        "as_of": iso(as_of),
        "forecast": None if forecast is None else _forecast(forecast),
        "planned": {name: from_units(amount) for name, amount in planned.items()},
        "actual": {"amount": from_units(int(deals["amount"].sum())), "deals": len(deals)},
        "bridge": [] if forecast is None else bridge(forecast.leads, deals, planned),
        "groups": [] if forecast is None else _groups(company, forecast, deals, as_of),
        "currencies": _currencies(company, deals, span, as_of, notes),
        "reps": reps,
        "last_year": _last_year(company, span, as_of),
        "history": _history(company, span, as_of),
        "notes": notes,
    }


def _forecast(forecast: MonthForecast) -> Content:
    interval = forecast.interval()
    return {
        "amount": from_units(forecast.amount),
        "low": None if interval is None else round(interval[0] / 10_000, 2),
        "high": None if interval is None else round(interval[1] / 10_000, 2),
        "level": LEVEL,
        "wins": round(forecast.wins, 2),
        "leads": len(forecast.leads),
        "as_of": iso(forecast.as_of),
        "model_version": forecast.model_version,
        "entry": forecast.entry.name,
    }


def _groups(company: LoadedCompany, forecast: MonthForecast, deals: pd.DataFrame, as_of: datetime) -> list[Content]:
    """Set forecast beside what came, by owner, team and source: each adds up to the company's."""
    sources = sources_of(company, as_of)
    teams = team_of(company)
    leads = forecast.leads.assign(
        team=forecast.leads["owner_id"].map(teams), source=forecast.leads["lead_id"].map(sources)
    )
    found = []
    for by, column in (("owner", "owner_id"), ("team", "team"), ("source", "source")):
        if leads[column].isna().all() and deals[column].isna().all():
            continue
        hoped = leads["expected"].groupby(named(leads[column])).sum()
        came = deals["amount"].groupby(named(deals[column])).sum()
        counts = deals.groupby(named(deals[column])).size()
        names = sorted({*hoped.index, *came.index}, key=lambda name: (-int(came.get(name, 0)), str(name)))
        found.append({
            "by": by,
            "rows": [
                {
                    "value": str(name), "forecast": from_units(int(hoped.get(name, 0))),
                    "actual": from_units(int(came.get(name, 0))), "deals": int(counts.get(name, 0)),
                }
                for name in names
            ],
        })  # fmt: skip
    return found


def _currencies(
    company: LoadedCompany, deals: pd.DataFrame, span: MonthSpan, as_of: datetime, notes: list[str]
) -> list[Content]:
    """Hold the won revenue of each currency against the sources', in that currency."""
    sums = deals.groupby("currency")[["written", "amount"]].sum()
    is_now = as_of >= company.known_until
    inside = {row.currency: row for row in reconcile(company).month_currencies.get(span.name, [])} if is_now else {}
    if not is_now:
        notes.append("the sources stand as they are now: currencies are held against them where the data end only")
    ours = company.params.currency
    rows = []
    for currency in sorted({*sums.index, *inside}, key=lambda name: (name != ours, name)):
        written = int(sums["written"].get(currency, 0))
        source = inside.get(currency)
        held = source is not None and to_units(source.source - source.quarantined) == written
        has_worth = currency == ours or company.tables.has("rates")
        rows.append({
            "currency": currency,
            "amount": from_units(written),
            "source_amount": None if not is_now else 0.0 if source is None else float(source.source),
            "quarantined_amount": None if not is_now else 0.0 if source is None else float(source.quarantined),
            "is_exact": held if is_now else None,
            "converted_amount": from_units(int(sums["amount"].get(currency, 0))) if has_worth else None,
            "rate": "each deal at the rate of its closing date" if currency != ours and has_worth else None,
        })  # fmt: skip
    return rows


def _last_year(company: LoadedCompany, span: MonthSpan, as_of: datetime) -> Content | None:
    """Give what the same month of the year before brought; None where the data do not reach back."""
    year, month = span.name.split("-")
    before = MonthSpan.of(f"{int(year) - 1}-{month}", company.params.data.timezone)
    first = company.tables.leads.created_at.min().execute()
    if pd.isna(first) or first.to_pydatetime() > before.start:
        return None
    deals = won_deals(company, before.start, before.end, as_of)
    return {"month": before.name, "amount": from_units(int(deals["amount"].sum())), "deals": len(deals)}


def _history(company: LoadedCompany, span: MonthSpan, as_of: datetime) -> Content:
    """Say how right the forecasts of all months up to this one were, of the leads that they were of."""
    rows: list[Content] = []
    for name in _months(company, span):
        one = MonthSpan.of(name, company.params.data.timezone)
        forecast = month_forecast(company, one.start, one.end, as_of)
        if forecast is None:
            continue
        deals = won_deals(company, one.start, one.end, as_of)
        own = deals["lead_id"].isin(forecast.leads["lead_id"]) & ~deals["is_late"].astype(bool)
        came = int(deals.loc[own.to_numpy(bool), "amount"].sum())
        plan, _ = archived_plan(forecast.entry, one.start, one.end, company.params.data.timezone)
        interval = forecast.interval()
        rows.append({
            "month": name,
            "forecast": from_units(forecast.amount),
            "low": None if interval is None else round(interval[0] / 10_000, 2),
            "high": None if interval is None else round(interval[1] / 10_000, 2),
            "actual": from_units(came),
            "inside": None if interval is None else bool(interval[0] <= came <= interval[1]),
            "total": None if plan is None or plan.total is None else _total(plan.total, int(deals["amount"].sum())),
            "total_actual": from_units(int(deals["amount"].sum())),
        })  # fmt: skip
    hoped, came_all = sum(row["forecast"] for row in rows), sum(row["actual"] for row in rows)
    inside = [row["inside"] for row in rows if row["inside"] is not None]
    return {
        "months": rows,
        "bias": round(hoped / came_all, 4) if came_all else None,
        "coverage": round(float(np.mean(inside)), 4) if inside else None,
        "level": LEVEL,
    }


def _total(plan: tuple[int, int, int], came: int) -> Content:
    value, low, high = plan
    return {
        "forecast": from_units(value),
        "low": from_units(low),
        "high": from_units(high),
        "inside": low <= came <= high,
    }


def _months(company: LoadedCompany, span: MonthSpan) -> list[str]:
    """Name the months, up to this one, on whose first days a forecast may have been made."""
    zone = company.params.data.timezone
    nights = [date.fromisoformat(entry.seal["night"]) for entry in Forecasts(company.params.archive_folder).nights()]
    if not nights:
        return []
    last = local_date(span.start, zone)
    months, day = [], min(nights).replace(day=1)
    while day <= last:
        months.append(f"{day:%Y-%m}")
        day = (day + timedelta(days=32)).replace(day=1)
    return months
