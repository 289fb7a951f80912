"""Time at risk: who was still open, for how long, in which bin of time, and what a rate without features expects.

Recent time weighs more. With a half-life, a day of exposure counts 2^(−days before the end of the data / half-life), by
its calendar day. For a row observed from s on this is one factor of the row times exp(κu) at u days after s, which
integrates in closed form: calendar weights only change each row's operational time, and the likelihood stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Exposure:
    """What is observed of each row after its ``as_of``.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        0: still open when last observed; 1 … K: the outcome.
    stop_days : ndarray of shape (n,)
        Days from ``as_of`` until the outcome, or until last observed open; > 0.
    weight : ndarray of shape (n,)
        The row's weight, ≥ 0.
    as_of_days : ndarray of shape (n,) or None
        Calendar day of ``as_of``, as a number of days since any fixed day; None where it is not known.
    start_days : ndarray of shape (n,) or None
        Days from ``as_of`` at which observation begins; None: from 0 on.
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
        """Return which rows begin before a calendar day, shape (n,), and the exposure of these as known on that day."""
        assert self.as_of_days is not None
        before = self.as_of_days < day
        part = self.take(before)
        left = day - self.as_of_days[before]
        event = np.where(part.stop_days > left, 0, part.event)
        return before, Exposure(event, np.minimum(part.stop_days, left), part.weight, part.as_of_days)

    def between(self, day: float, following: float) -> tuple[NDArray[np.bool_], Exposure]:
        """Return which rows are at risk between two calendar days, shape (n,), and their exposure in that time."""
        assert self.as_of_days is not None
        during = (self.as_of_days + self.stop_days > day) & (self.as_of_days < following)
        part = self.take(during)
        assert part.as_of_days is not None
        start = np.maximum(day - part.as_of_days, 0.0)
        left = following - part.as_of_days
        event = np.where(part.stop_days > left, 0, part.event)
        return during, Exposure(event, np.minimum(part.stop_days, left), part.weight, part.as_of_days, start)

    def operational_time(self, lead: IntArray, half_life_days: float | None = None) -> OperationalTime:
        """Return how exposure is counted: by its calendar time where there is a half-life, else every day alike.

        Weights are in leads, so that a limit on outcomes means the same with any number of snapshots a lead.
        """
        weight = self.weight * len(np.unique(lead)) / len(lead)
        if half_life_days is None or self.as_of_days is None:
            return OperationalTime(0.0, weight)
        # Weights differ by e⁶⁰ at most: more would overflow where a row is at risk for a hundred half-lives.
        growth = min(np.log(2) / half_life_days, 60.0 / self.stop_days.max())
        age = (self.as_of_days + self.stop_days).max() - self.as_of_days
        return OperationalTime(growth, weight * np.exp(-growth * age))


@dataclass(frozen=True)
class OperationalTime:
    """What time counts: a day that lies u days after ``as_of`` counts ``factor · exp(growth · u)``.

    Parameters
    ----------
    growth : float
        Per day; 0 where every day counts alike.
    factor : ndarray of shape (n,)
        Of each row, in leads.
    """

    growth: float
    factor: FloatArray

    def elapsed(self, days: FloatArray) -> FloatArray:
        """Return the operational time from ``as_of`` to some days after it: ∫₀^days exp(growth · u) du."""
        return days if self.growth == 0 else np.expm1(self.growth * days) / self.growth

    def rate(self, days: FloatArray) -> FloatArray:
        """Return what an outcome on that day counts: exp(growth · days)."""
        return np.exp(self.growth * days)


def event_quantile_edges(exposure: Exposure, time: OperationalTime, bins: int) -> FloatArray:
    """Return edges of bins that hold about equally many outcomes each.

    Parameters
    ----------
    exposure : Exposure
        What is observed.
    time : OperationalTime
        What an outcome counts.
    bins : int
        The most bins there may be; fewer where there are few outcomes, or many at the same time.

    Returns
    -------
    ndarray of shape (≤ bins + 1,)
        Days, from 0 to the longest time at risk.
    """
    longest = float(exposure.stop_days.max())
    happened = (exposure.event > 0) & (time.factor > 0)
    if not happened.any():
        return np.array([0.0, longest])
    days = exposure.stop_days[happened]
    counted = (time.factor * time.rate(exposure.stop_days))[happened]
    order = np.argsort(days, kind="stable")
    share = np.cumsum(counted[order])
    # A bin needs a few outcomes, or its rate is noise.
    count = int(np.clip(happened.sum() // 5, 1, bins))
    wanted = share[-1] * np.arange(1, count) / count
    inner = days[order][np.searchsorted(share, wanted * (1 - 1e-12))]
    return np.unique(np.concatenate([[0.0], inner[inner < longest], [longest]]))


def time_at_risk(exposure: Exposure, time: OperationalTime, edges: FloatArray) -> NDArray[np.float32]:
    """Return the operational days that each row was at risk in each bin.

    Parameters
    ----------
    exposure : Exposure
        What is observed.
    time : OperationalTime
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
        result[:, b] = np.maximum(time.elapsed(upper) - time.elapsed(np.asarray(lower)), 0.0)
    return result


def base_rates(
    exposure: Exposure, time: OperationalTime, edges: FloatArray, at_risk: NDArray, outcomes: int
) -> FloatArray:
    """Estimate the outcomes per day at risk in each bin, without features.

    Each bin's rate is shrunk to the outcome's rate over all time by the weight of one lead's outcome. An outcome that
    never happened gets a rate near zero: half an outcome in all the time at risk.

    Parameters
    ----------
    exposure : Exposure
        What is observed.
    time : OperationalTime
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
    days = time.factor @ at_risk
    at = np.clip(np.searchsorted(edges, exposure.stop_days, side="left") - 1, 0, bins - 1)
    counted = time.factor * time.rate(exposure.stop_days)
    rates = np.empty((outcomes, bins))
    for k in range(outcomes):
        of_k = exposure.event == k + 1
        observed = np.bincount(at[of_k], weights=counted[of_k], minlength=bins)
        overall = (observed.sum() or 0.5) / days.sum()
        rates[k] = (observed + 1.0) / (days + 1.0 / overall)
    return rates


def exposure_of(y: pd.DataFrame, rows: int, sample_weight: ArrayLike | None) -> Exposure:
    """Return labels as exposure.

    Parameters
    ----------
    y : DataFrame of shape (rows, 2 or 3)
        ``event``, ``duration`` in days, and perhaps ``as_of``.
    rows : int
        How many rows the features have.
    sample_weight : array-like of shape (rows,), optional
        Weights ≥ 0.

    Returns
    -------
    Exposure
        The same, as arrays.

    Raises
    ------
    ValueError
        If y or the weights are not as described.
    """
    if not isinstance(y, pd.DataFrame) or not {"event", "duration"} <= set(y.columns):
        raise ValueError(f"y must be a data frame with the columns event and duration, got {type(y).__name__}")
    if len(y) != rows:
        raise ValueError(f"y has {len(y)} rows, X has {rows}")
    if pd.api.types.is_timedelta64_dtype(y["duration"].dtype):
        raise ValueError("y['duration'] must be days as numbers, got time differences: divide by pd.Timedelta('1D')")
    event, duration = y["event"].to_numpy(), y["duration"].to_numpy(dtype=float)
    if not np.array_equal(event, event.astype(np.intp)) or (event.astype(np.intp) < 0).any():
        raise ValueError("y['event'] must hold whole numbers: 0 still open, 1 … K the outcome")
    if not (np.isfinite(duration) & (duration > 0)).all():
        raise ValueError("y['duration'] must be finite and above 0 days")
    weight = np.ones(rows) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if weight.shape != (rows,) or not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ValueError(f"sample_weight must be {rows} finite values ≥ 0, not all of them zero")
    as_of = calendar_days(y["as_of"]) if "as_of" in y else None
    if as_of is not None and not np.isfinite(as_of).all():
        raise ValueError("y['as_of'] must have no missing dates")
    return Exposure(event.astype(np.intp), duration, weight, as_of)


def calendar_days(as_of: pd.Series) -> FloatArray:
    """Return dates or numbers as days (float) since 1970."""
    if pd.api.types.is_numeric_dtype(as_of.dtype):
        return as_of.to_numpy(dtype=float)
    stamps = pd.to_datetime(as_of, utc=True)  # a date without a time zone is one in UTC
    return (stamps - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy() / 86400
