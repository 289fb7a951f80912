"""Time at risk: who was still open, for how long, in which bin of time, and what a rate without features expects.

Drift is met here. With a half-life, a day of exposure counts 2^(−days before the end of the data / half-life), by the
calendar day on which it was lived. For a row seen at s this is one factor of the row times exp(κu) at u days after
s, which integrates in closed form: weighting the calendar only bends each row's clock, and stays an exact likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Exposure:
    """What was seen of each row after its ``as_of``.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        0: still open when last seen; 1 … K: the outcome.
    stop_days : ndarray of shape (n,)
        Days from ``as_of`` until the outcome, or until last seen open; > 0.
    weight : ndarray of shape (n,)
        The row's weight, ≥ 0.
    as_of_days : ndarray of shape (n,) or None
        Calendar day of ``as_of``, as a number of days since any fixed day; None where it is not known.
    start_days : ndarray of shape (n,) or None
        Days from ``as_of`` at which watching began; None: from 0 on.
    """

    event: IntArray
    stop_days: FloatArray
    weight: FloatArray
    as_of_days: FloatArray | None = None
    start_days: FloatArray | None = None

    def take(self, rows: NDArray) -> Exposure:
        """Return the exposure of some rows."""
        return Exposure(
            self.event[rows],
            self.stop_days[rows],
            self.weight[rows],
            None if self.as_of_days is None else self.as_of_days[rows],
            None if self.start_days is None else self.start_days[rows],
        )

    def until(self, day: float) -> tuple[NDArray[np.bool_], Exposure]:
        """Return which rows were seen before a calendar day, and what was known of them on that day."""
        assert self.as_of_days is not None
        before = self.as_of_days < day
        part = self.take(before)
        left = day - self.as_of_days[before]
        event = np.where(part.stop_days > left, 0, part.event)
        return before, Exposure(event, np.minimum(part.stop_days, left), part.weight, part.as_of_days)

    def between(self, day: float, following: float) -> tuple[NDArray[np.bool_], Exposure]:
        """Return which rows were watched between two calendar days, and what happened to them in that time."""
        assert self.as_of_days is not None
        during = (self.as_of_days + self.stop_days > day) & (self.as_of_days < following)
        part = self.take(during)
        assert part.as_of_days is not None
        start = np.maximum(day - part.as_of_days, 0.0)
        left = following - part.as_of_days
        event = np.where(part.stop_days > left, 0, part.event)
        return during, Exposure(event, np.minimum(part.stop_days, left), part.weight, part.as_of_days, start)

    def with_half_life(self, half_life_days: float | None) -> Clock:
        """Return the clock that counts exposure by its calendar time."""
        if half_life_days is None or self.as_of_days is None:
            return Clock(0.0, self.weight)
        growth = np.log(2) / half_life_days
        age = (self.as_of_days + self.stop_days).max() - self.as_of_days
        return Clock(growth, self.weight * np.exp(-growth * age))


@dataclass(frozen=True)
class Clock:
    """A row's clock: u days after ``as_of`` count ``factor · exp(growth · u)`` each."""

    growth: float
    factor: FloatArray

    def passed(self, days: FloatArray) -> FloatArray:
        """∫₀^days exp(growth · u) du."""
        return days if self.growth == 0 else np.expm1(self.growth * days) / self.growth

    def speed(self, days: FloatArray) -> FloatArray:
        """exp(growth · days): what an outcome on that day counts."""
        return np.exp(self.growth * days)


def event_quantile_edges(exposure: Exposure, clock: Clock, bins: int) -> FloatArray:
    """Edges of bins that hold about equally many outcomes each.

    Parameters
    ----------
    exposure : Exposure
        What was seen.
    clock : Clock
        What an outcome counts.
    bins : int
        The most bins there may be; fewer where there are few outcomes, or many at the same time.

    Returns
    -------
    ndarray of shape (≤ bins + 1,)
        From 0 to the longest time anything was watched.
    """
    longest = float(exposure.stop_days.max())
    happened = (exposure.event > 0) & (clock.factor > 0)
    if not happened.any():
        return np.array([0.0, longest])
    days = exposure.stop_days[happened]
    counted = (clock.factor * clock.speed(exposure.stop_days))[happened]
    order = np.argsort(days, kind="stable")
    share = np.cumsum(counted[order])
    # A bin needs a few outcomes, or its rate is noise.
    count = int(np.clip(happened.sum() // 5, 1, bins))
    wanted = share[-1] * np.arange(1, count) / count
    inner = days[order][np.searchsorted(share, wanted * (1 - 1e-12))]
    return np.unique(np.concatenate([[0.0], inner[inner < longest], [longest]]))


def time_at_risk(exposure: Exposure, clock: Clock, edges: FloatArray) -> NDArray[np.float32]:
    """Weighted days that each row was watched in each bin.

    Parameters
    ----------
    exposure : Exposure
        What was seen.
    clock : Clock
        What each day counts.
    edges : ndarray of shape (bins + 1,)
        Days; the last bin goes on for ever.

    Returns
    -------
    ndarray of float32, shape (n, bins)
        The row's factor is left out: a rate times this is what the row is expected to count, at weight ``factor``.
    """
    start = exposure.start_days
    result = np.empty((len(exposure.event), len(edges) - 1), dtype=np.float32)
    for b in range(len(edges) - 1):
        # The last bin goes on for ever, as in TimeGrid.
        upper = exposure.stop_days if b == len(edges) - 2 else np.minimum(exposure.stop_days, edges[b + 1])
        lower = edges[b] if start is None else np.maximum(start, edges[b])
        result[:, b] = np.maximum(clock.passed(upper) - clock.passed(np.asarray(lower)), 0.0)
    return result


def base_rates(exposure: Exposure, clock: Clock, edges: FloatArray, at_risk: NDArray, outcomes: int) -> FloatArray:
    """Outcomes per day at risk in each bin, without features.

    Each bin's rate is drawn to the outcome's rate over all time by the weight of one lead's outcome. An outcome never
    seen gets a rate near zero: half an outcome in all the time that was watched.

    Parameters
    ----------
    exposure : Exposure
        What was seen.
    clock : Clock
        What it counts; factors in leads, so that 1 is one lead's evidence.
    edges : ndarray of shape (bins + 1,)
        Days.
    at_risk : ndarray of shape (n, bins)
        From `time_at_risk`.
    outcomes : int
        K.

    Returns
    -------
    ndarray of shape (outcomes, bins)
        Events per day.
    """
    bins = len(edges) - 1
    days = clock.factor @ at_risk
    at = np.clip(np.searchsorted(edges, exposure.stop_days, side="left") - 1, 0, bins - 1)
    counted = clock.factor * clock.speed(exposure.stop_days)
    rates = np.empty((outcomes, bins))
    for k in range(outcomes):
        of_k = exposure.event == k + 1
        seen = np.bincount(at[of_k], weights=counted[of_k], minlength=bins)
        overall = max(seen.sum(), 0.5) / days.sum()
        rates[k] = (seen + 1.0) / (days + 1.0 / overall)
    return rates


def calendar_days(as_of: pd.Series) -> FloatArray:
    """Return dates or numbers as days (float) since 1970."""
    if pd.api.types.is_numeric_dtype(as_of.dtype):
        return as_of.to_numpy(dtype=float)
    stamps = pd.to_datetime(as_of)
    if stamps.dt.tz is not None:
        stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    return (stamps - pd.Timestamp(0)).dt.total_seconds().to_numpy() / 86400
