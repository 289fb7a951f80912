"""What was forecast on a month's first day, as the archive has it: how much of it within the month, and how surely."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.archive.chain import Entry
from pipeline.archive.forecasts import Forecasts, read_scores
from pipeline.common.dates import iso
from pipeline.common.formatting import local_date, to_instant
from pipeline.ingest.company import LoadedCompany
from pipeline.planning.bridge import UNITS

OLDEST_DAYS = 7
"""Days before the month's first day that a forecast may have been made."""
LEVEL, LEVEL_SD = 0.8, 0.15
"""What the range holds; and how far all leads together may be off, as a share."""
SPREAD_LIMIT = 6.0
"""Logarithm of the ratio of an amount's bounds beyond which it says no more than that nothing is known."""
TENTH_TO_TENTH = 2.5631
"""Standard deviations from the tenth to the ninetieth percentile."""


@dataclass(frozen=True)
class MonthForecast:
    """A forecast of a month, by its open leads.

    Parameters
    ----------
    as_of : datetime
        When it was made; naive UTC.
    model_version : str
    leads : DataFrame
        A row per lead: ``lead_id, owner_id, chance`` (to be won within the month), ``expected`` and ``value`` (units),
        ``spread`` (of the amount, as the standard deviation of its logarithm).
    entry : Entry
    said : list of str
        What a reader should know.
    """

    as_of: datetime
    model_version: str
    leads: pd.DataFrame
    entry: Entry
    said: list[str]

    @property
    def wins(self) -> float:
        """Wins in expectation."""
        return float(self.leads["chance"].sum())

    @property
    def amount(self) -> int:
        """Revenue in expectation, in units."""
        return int(self.leads["expected"].sum())

    def interval(self) -> tuple[float, float] | None:
        """Give the range that holds what these leads bring in the month with `LEVEL`, in units; None without amounts.

        Leads are won one by one, amounts are log-normal around their means, and the level of all is off by `LEVEL_SD`;
        a gamma distribution with the resulting mean and variance gives the bounds.
        """
        mean = float(self.leads["expected"].sum())
        if mean <= 0:
            return None
        value, chance = self.leads["value"].to_numpy(float), self.leads["chance"].to_numpy(float)
        spread = np.exp(self.leads["spread"].to_numpy(float) ** 2)
        variance = float((chance * value**2 * spread - (chance * value) ** 2).sum()) + (LEVEL_SD * mean) ** 2
        from scipy.stats import gamma

        shape = mean**2 / variance
        low, high = gamma.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], shape, scale=variance / mean)
        return float(low), float(high)


def month_forecast(company: LoadedCompany, start: datetime, end: datetime, as_of: datetime) -> MonthForecast | None:
    """Find the archived forecast of a month's first day, else the last one of the week before.

    Parameters
    ----------
    company : LoadedCompany
    start, end : datetime
        The month's first instant, and the first one after it; naive UTC.
    as_of : datetime
        Forecasts made later do not count.

    Returns
    -------
    MonthForecast or None
    """
    found = _entry(company, start, as_of)
    if found is None:
        return None
    entry, made_at = found
    scores = read_scores(entry).to_pandas()
    days = (end - made_at) / timedelta(days=1)
    horizons = [
        h for h in company.params.horizons_days if f"p_win_{h}d" in scores and scores[f"p_win_{h}d"].notna().any()
    ]
    chance = within_days(scores, [f"p_win_{h}d" for h in horizons], horizons, days)
    money = within_days(scores, [f"expected_revenue_{h}d" for h in horizons], horizons, days)
    expected = np.rint(money * 100).astype(np.int64) * (UNITS // 100)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(chance > 0, expected / chance, 0.0)
    bounds = [np.asarray(scores.get(f"deal_value_{end}", np.nan), dtype=np.float64) for end in ("p10", "p90")]
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.log(bounds[1] / bounds[0])
    spread = np.where(np.isfinite(apart), np.clip(apart, 0.0, SPREAD_LIMIT), 0.0) / TENTH_TO_TENTH
    leads = pd.DataFrame({
        "lead_id": scores["lead_id"], "owner_id": scores["owner_id"], "chance": chance, "expected": expected,
        "value": np.rint(value / 100).astype(np.int64) * 100, "spread": spread,
    })  # fmt: skip
    version = str(scores["model_version"].iloc[0]) if len(scores) else ""
    return MonthForecast(made_at, version, leads, entry, _said(start, made_at, horizons, days))


def _entry(company: LoadedCompany, start: datetime, as_of: datetime) -> tuple[Entry, datetime] | None:
    zone = company.params.data.timezone
    first_day = local_date(start, zone)
    earliest = start - timedelta(days=OLDEST_DAYS)
    best = None
    for entry in Forecasts(company.params.archive_folder).nights():
        made_at = _made_at(entry)
        if made_at is None or made_at > as_of or made_at < earliest or local_date(made_at, zone) > first_day:
            continue
        best = entry, made_at
    return best


def _made_at(entry: Entry) -> datetime | None:
    written: Any = entry.seal.get("as_of")
    return None if written is None else to_instant(str(written).replace("Z", "+00:00"))


def within_days(scores: pd.DataFrame, columns: list[str], horizons: list[int], days: float) -> NDArray[np.float64]:
    """Read a cumulative figure at so many days, between the horizons that were forecast; nothing at day 0."""
    known = [scores[name].to_numpy(float) if name in scores else np.full(len(scores), np.nan) for name in columns]
    points = [0.0, *map(float, horizons)]
    values = [np.zeros(len(scores)), *(np.nan_to_num(one) for one in known)]
    place = next((k for k in range(1, len(points)) if days <= points[k]), None)
    if place is None:
        return values[-1]
    part = (days - points[place - 1]) / (points[place] - points[place - 1])
    return np.asarray(values[place - 1] + part * (values[place] - values[place - 1]), dtype=np.float64)


def _said(start: datetime, made_at: datetime, horizons: list[int], days: float) -> list[str]:
    said = []
    if (start - made_at) >= timedelta(days=1):
        said.append(f"the month's first day has no forecast in the archive: that of {iso(made_at)[:10]} counts")
    if not horizons:
        said.append("the forecast has no horizon that it supports")
    elif days < 0.75 * horizons[0] or (len(horizons) == 1 and days > horizons[0]) or math.isnan(days):
        said.append(f"the month is read off the forecast of {horizons[0]} days, the nearest horizon there is")
    return said
