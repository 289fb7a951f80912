"""Time at risk: who was still open, for how long, in which bin of time, and what a rate without features expects.

Recent time is weighed here. With a half-life, a day of exposure counts 2^(−days before the end of the data /
half-life), by the calendar day on which it was lived. For a row seen at s this is one factor of the row times exp(κu)
at u days after s, which integrates in closed form: weighting the calendar only bends each row's clock, and stays an
exact likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.hazards import TimeGrid

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

    def clock(self, lead: IntArray, half_life_days: float | None = None) -> Clock:
        """Return the clock that counts exposure, by its calendar time where there is a half-life.

        Weights are in leads, so that a limit on outcomes means the same with any number of snapshots a lead.
        """
        weight = self.weight * len(np.unique(lead)) / len(lead)
        if half_life_days is None or self.as_of_days is None:
            return Clock(0.0, weight)
        # e⁶⁰ times as much is all the difference: more would overflow where a row was watched a hundred half-lives.
        growth = min(np.log(2) / half_life_days, 60.0 / self.stop_days.max())
        age = (self.as_of_days + self.stop_days).max() - self.as_of_days
        return Clock(growth, weight * np.exp(-growth * age))


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
        overall = (seen.sum() or 0.5) / days.sum()
        rates[k] = (seen + 1.0) / (days + 1.0 / overall)
    return rates


def pieces_at_risk(exposure: Exposure, at_risk: NDArray, grid: TimeGrid) -> tuple[NDArray, ...]:
    """List the pieces of time in which each row was at risk.

    Parameters
    ----------
    exposure : Exposure
        What was seen.
    at_risk : ndarray of shape (n, bins)
        From `time_at_risk`.
    grid : TimeGrid
        Bins, pieces and base rates.

    Returns
    -------
    row, piece : ndarray of int, shape (entries,)
        One entry for each row and piece.
    expected : ndarray of shape (entries, outcomes)
        Outcomes expected of the entry without features; > 0.
    is_last : ndarray of bool, shape (entries,)
        Whether the row's time ends in this piece, so that its outcome, if any, falls here.
    """
    starts = np.flatnonzero(np.diff(grid.bin_piece, prepend=-1))
    final = grid.bin_piece[grid.bin_of(exposure.stop_days)]
    watched = np.add.reduceat(at_risk, starts, axis=1) > 0
    watched[np.arange(len(final)), final] = True
    row, piece = np.nonzero(watched)
    expected = np.empty((len(row), grid.outcomes_count))
    for k in range(grid.outcomes_count):
        of_k = np.add.reduceat(at_risk * grid.base_rates[k].astype(np.float32), starts, axis=1)
        expected[:, k] = of_k[row, piece]
    return row, piece, np.maximum(expected, 1e-12), piece == final[row]


def nearness(grid: TimeGrid, near_days: float | None) -> FloatArray:
    """Say what an entry counts in each piece of time: 1 up to ``near_days``, twice as late half; (pieces,).

    What happens years on would else drown, in what features do, what they do within the horizon that matters. Rates
    without features are made within a bin, where all counts alike: they are not touched.
    """
    starts = grid.bin_edges_days[np.flatnonzero(np.diff(grid.bin_piece, prepend=-1))]
    return np.ones(len(starts)) if near_days is None else near_days / np.maximum(starts, near_days)


def exposure_of(y: pd.DataFrame, rows: int, sample_weight: ArrayLike | None) -> Exposure:
    """Return labels as exposure, or say what is wrong with them.

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


def subsample_censored(
    happened: NDArray[np.bool_], factor: FloatArray, idle_limit: int, seed: int
) -> tuple[NDArray[np.intp], FloatArray]:
    """Draw entries: all with an outcome, and of the idle ones so many as say nearly all.

    Parameters
    ----------
    happened : ndarray of bool, shape (entries,)
        Which have an outcome.
    factor : ndarray of shape (entries,)
        Weights.
    idle_limit : int
        Idle entries that are kept, or twice the others where those are more.
    seed : int
        Of the draw.

    Returns
    -------
    ndarray of int, ndarray of float
        Entries kept, and their weights: those of idle ones are raised by as many as they stand for.
    """
    share = min(1.0, max(idle_limit, 2 * int(happened.sum())) / max(1, int((~happened).sum())))
    drawn = happened | (np.random.default_rng(seed).random(len(happened)) < share)
    return np.flatnonzero(drawn), np.where(happened, factor, factor / share)[drawn]
