"""The company's calendar: one number per day for everything that depends on the date alone.

Days are counted from `FIRST_DAY` in the company's own time zone, so that quarters end at local midnight.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TIME_ZONE = "Europe/Berlin"
FIRST_DAY = np.datetime64("2023-05-15", "D")
HISTORY_DAYS = 1096
"""Days lived through: the last one ends where the data ends."""
HORIZON_DAYS = 366
"""Days after that which the truth needs to look ahead."""
KNOWN_UNTIL = datetime(2026, 5, 15)
"""Where the data ends, in local time."""

DAY_MICROSECONDS = 86_400_000_000


def _dates() -> pd.DatetimeIndex:
    return pd.date_range(FIRST_DAY, periods=HISTORY_DAYS + HORIZON_DAYS + 1, freq="D")


@cache
def arrivals() -> NDArray[np.float64]:
    """Weight of each day on which a person may come by: growth, weekday, summer and Christmas; (HISTORY_DAYS,)."""
    dates = _dates()[:HISTORY_DAYS]
    growth = 1.0 + 0.35 * np.arange(HISTORY_DAYS) / 365
    weekday = np.array([1.15, 1.1, 1.05, 1.0, 0.85, 0.2, 0.25])[dates.weekday]
    month = np.array([1.05, 1.1, 1.15, 1.0, 1.0, 0.95, 0.8, 0.65, 1.15, 1.2, 1.15, 0.7])[dates.month - 1]
    return growth * weekday * month


@cache
def wins() -> NDArray[np.float64]:
    """Factor on the hazard of being won, per day: drift over the years, season, quarter's end, weekday.

    Returns
    -------
    ndarray, shape (HISTORY_DAYS + HORIZON_DAYS + 1,)
        After the history the drift stays where it is.
    """
    dates = _dates()
    years = np.minimum(np.arange(len(dates)), HISTORY_DAYS) / 365.25
    drift = 0.85 * np.exp(0.15 * years + 0.08 * np.sin(2 * np.pi * (years - 0.3) / 2.1))
    month = np.array([0.85, 1.0, 1.1, 1.0, 1.0, 1.05, 0.9, 0.7, 1.05, 1.1, 1.15, 1.0])[dates.month - 1]
    to_quarter_end = ((dates + pd.offsets.QuarterEnd(0)) - dates).days.to_numpy()
    after_quarter_start = (dates - dates.to_period("Q").start_time).days.to_numpy()
    quarter = 1.0 + 0.9 * (to_quarter_end < 12) - 0.25 * (after_quarter_start < 15)
    weekday = np.where(dates.weekday < 5, 1.38, 0.05)
    return (drift * month * quarter * weekday).astype(np.float64)


@cache
def losses() -> NDArray[np.float64]:
    """Factor on the hazard of being lost, per day: lists are tidied at the beginning of a quarter, on working days."""
    dates = _dates()
    after_quarter_start = (dates - dates.to_period("Q").start_time).days.to_numpy()
    tidying = np.where(after_quarter_start < 14, 1.85, 0.85)
    return tidying * np.where(dates.weekday < 5, 1.38, 0.05)


@cache
def working_time() -> NDArray[np.float64]:
    """Time in which people are at their desks, summed up to each day's beginning; a weekend day counts a fifth."""
    dates = _dates()
    return np.concatenate([[0.0], np.cumsum(np.where(dates.weekday < 5, 1.0, 0.2))])


@cache
def _utc_offsets() -> NDArray[np.int64]:
    noon = (_dates() + pd.Timedelta(hours=12)).tz_localize(TIME_ZONE)
    local = noon.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    utc = noon.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return local - utc


def to_utc(day: NDArray[np.integer], day_share: NDArray[np.floating]) -> NDArray[np.datetime64]:
    """Instant, in UTC and whole seconds, of a time of day; times between midnight and three are not to be trusted.

    Parameters
    ----------
    day : ndarray of int, shape (n,)
        Local day.
    day_share : ndarray of float in [0, 1), shape (n,)
        How much of that day had gone by.
    """
    microseconds = np.floor(np.asarray(day_share, dtype=np.float64) * 86_400).astype(np.int64) * 1_000_000
    start = FIRST_DAY.astype("datetime64[us]").astype(np.int64)
    local = start + np.asarray(day, dtype=np.int64) * DAY_MICROSECONDS + microseconds
    return (local - _utc_offsets()[day]).astype("datetime64[us]")


def to_day(instant: NDArray[np.datetime64] | datetime | pd.Timestamp) -> NDArray[np.int64]:
    """Local day in which an instant in UTC (without a zone) lies; an array of any shape comes back as that shape."""
    local = pd.DatetimeIndex(np.atleast_1d(np.asarray(instant, dtype="datetime64[us]"))).tz_localize("UTC")
    local = local.tz_convert(TIME_ZONE).tz_localize(None)
    return (local.to_numpy().astype("datetime64[D]") - FIRST_DAY).astype(np.int64)


def office_hour(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Shares of a day between 8:00 and 19:00, most around eleven and three; (size,)."""
    return (8.0 + 11.0 * (rng.random(size) + rng.random(size)) / 2.0) / 24.0
