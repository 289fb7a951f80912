"""Aalen–Johansen: the chance to leave a state for one cause within a time, while another cause competes.

F(t) = Σ over times s ≤ t of S(s−) · d₁(s) / n(s), with n(s) still watched just before s, d₁(s) leaving then for the
first cause, and S the chance to have left for no cause. Who is still there when the data end is censored then, never a
failure. Where several things share a time, those who leave come before those who are censored. (Aalen and Johansen
1978, *An empirical transition matrix for non-homogeneous Markov chains based on censored observations*.)

Intervals come from a bootstrap over clusters (the people of one company decide together): every cluster weighs a
Poisson(1) number of times, and the curves of all groups and replicates are worked out together, over a grid of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import beta

CENSORED, LEFT, COMPETING = 0, 1, 2
GRID_TIMES = 48
"""Times at which replicates are worked out, besides the horizons; the estimate itself uses every time."""
WATCHED_LEAST = 10
"""The curve is followed as far as so many were still watched."""
CELLS_LIMIT = 12_000_000
"""Replicates are worked out for as many groups at a time as have so many cells together."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def aalen_johansen(duration: Floats, event: Integers) -> tuple[Floats, Floats, Integers]:
    """Estimate the cumulative incidence of `LEFT`.

    Parameters
    ----------
    duration : ndarray of shape (n,)
        Time watched.
    event : ndarray of shape (n,)
        `CENSORED`, `LEFT` or `COMPETING`.

    Returns
    -------
    times : ndarray of shape (n_times,)
        The different durations, rising.
    incidence : ndarray of shape (n_times,)
        The chance to have left by each.
    at_risk : ndarray of shape (n_times,)
        How many were watched just before each.
    """
    order = np.argsort(duration, kind="stable")
    times, first = np.unique(duration[order], return_index=True)
    if not len(times):
        return times, times.copy(), np.zeros(0, dtype=np.int64)
    at_risk = len(order) - first
    sorted_events = event[order]
    left, competing = (np.add.reduceat(sorted_events == cause, first) for cause in (LEFT, COMPETING))
    still_there = np.r_[1.0, np.cumprod(1.0 - (left + competing) / at_risk)[:-1]]
    return times, np.minimum(np.cumsum(still_there * left / at_risk), 1.0), at_risk


@dataclass(frozen=True)
class Interval:
    """Estimates with a lower and an upper bound, one per group; NaN where nothing can be said."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class GroupCurves:
    """What is known of each group's curve.

    Parameters
    ----------
    chances : dict of float to Interval
        The chance to have left within each horizon; NaN where nobody was watched for so long while somebody was left.
    ever : Interval
        The same by the last time at which `WATCHED_LEAST` were watched, or by the longest horizon that is known.
    median : Interval
        The time by which half of those who ever leave had left.
    replicates : ndarray of shape (n_groups, n_replicates)
        ``ever`` in every replicate.
    """

    chances: dict[float, Interval]
    ever: Interval
    median: Interval
    replicates: Floats


def poisson_weights(clusters_count: int, replicates: int, seed: int) -> NDArray[np.float32]:
    """Draw how often each cluster counts in each replicate, of shape (n_clusters, n_replicates)."""
    rng = np.random.default_rng(seed)
    return rng.poisson(1.0, (clusters_count, replicates)).astype(np.float32)


def group_curves(
    duration: Floats,
    event: Integers,
    group: Integers,
    groups_count: int,
    cluster: Integers,
    weights: NDArray[np.float32],
    horizons: Sequence[float],
    level: float = 0.9,
) -> GroupCurves:
    """Estimate every group's curve, with intervals from a bootstrap over clusters.

    A chance's interval is Jeffreys' for the number of independent leads that the bootstrap's variance is worth (Korn
    and Graubard 1998): with few of them, or none that left, the bootstrap's own percentiles are too narrow.

    Parameters
    ----------
    duration, event
        As for `aalen_johansen`.
    group : ndarray of shape (n,)
        The group of each, from 0.
    groups_count : int
    cluster : ndarray of shape (n,)
        Rows of `weights`.
    weights : ndarray of shape (n_clusters, n_replicates)
    horizons : sequence of float
        Rising.
    level : float, default=0.9
        Share of intervals that should hold the truth.
    """
    order = np.lexsort((duration, group))
    duration, event, group, cluster = duration[order], event[order], group[order], cluster[order]
    bounds = np.searchsorted(group, np.arange(groups_count + 1))
    shown, reached = _figures(duration, event, bounds, horizons)
    edges = _grid(duration[event == LEFT], horizons)
    boot = _replicates(duration, event, group, groups_count, cluster, weights, edges, horizons, reached)
    counts = np.diff(bounds)
    columns = []
    for place, horizon in enumerate([*(np.full(groups_count, h) for h in horizons), reached]):
        worth = _worth(shown[:, place], boot[:, place], counts)
        if (bare := np.isfinite(shown[:, place]) & np.isnan(worth)).any():
            worth[bare] = _known_count(duration, event, group, cluster, groups_count, horizon, bare)[bare]
        columns.append(_jeffreys(shown[:, place], worth, level))
    ones = _replicates(
        duration, event, group, groups_count, cluster, np.ones((len(weights), 1), np.float32), edges, horizons, reached
    )
    median = shown[:, -1]
    medians = boot[:, -1] + (median - ones[:, -1, 0])[:, None]
    low, high = percentiles(medians, level)
    return GroupCurves(
        dict(zip(horizons, columns, strict=False)),
        columns[-1],
        Interval(median, np.fmin(np.maximum(low, 0.0), median), np.fmax(high, median)),
        boot[:, -2] + (shown[:, -2] - ones[:, -2, 0])[:, None],
    )


def group_figures(
    duration: Floats, event: Integers, group: Integers, groups_count: int, horizons: Sequence[float]
) -> tuple[Floats, Floats]:
    """Estimate every group's figures without intervals.

    Returns
    -------
    figures : ndarray of shape (n_groups, n_horizons + 2)
        The chance by each horizon, ever, and the median time; NaN where unknown.
    reached : ndarray of shape (n_groups,)
        How far each curve is followed for ``ever``.
    """
    order = np.lexsort((duration, group))
    bounds = np.searchsorted(group[order], np.arange(groups_count + 1))
    return _figures(duration[order], event[order], bounds, horizons)


def _figures(duration: Floats, event: Integers, bounds: Integers, horizons: Sequence[float]) -> tuple[Floats, Floats]:
    shown = np.full((len(bounds) - 1, len(horizons) + 2), np.nan)
    reached = np.zeros(len(bounds) - 1)
    for index, (start, stop) in enumerate(pairwise(bounds)):
        if stop > start:
            shown[index], reached[index] = _group_figures(duration[start:stop], event[start:stop], horizons)
    return shown, reached


def _group_figures(duration: Floats, event: Integers, horizons: Sequence[float]) -> tuple[list[float], float]:
    """Give the chances by each horizon, ever, and the median time; and how far the curve is followed."""
    times, incidence, at_risk = aalen_johansen(duration, event)
    stays = int(event[duration == times[-1]].min()) == CENSORED
    chances = []
    reached = float(times[-1])
    known = -np.inf
    for horizon in horizons:
        place = np.searchsorted(times, horizon, side="right") - 1
        is_known = not stays or times[-1] >= horizon
        chances.append((float(incidence[place]) if place >= 0 else 0.0) if is_known else np.nan)
        known = max(known, horizon) if is_known else known
    if stays:
        last = np.searchsorted(-at_risk, -WATCHED_LEAST, side="right") - 1
        reached = max(known, float(times[last]) if last >= 0 else -np.inf)
    longest_known = not np.isnan(chances[-1])
    place = np.searchsorted(times, reached, side="right") - 1
    ever = (float(incidence[place]) if place >= 0 else 0.0) if longest_known else np.nan
    so_far = float(incidence[place]) if place >= 0 else 0.0
    median = float(times[np.searchsorted(incidence, so_far / 2)]) if longest_known and so_far > 0 else np.nan
    return [*chances, ever, median], reached


def _grid(left_at: Floats, horizons: Sequence[float]) -> Floats:
    inner = np.quantile(left_at, np.linspace(0, 1, GRID_TIMES)) if len(left_at) else np.zeros(0)
    return np.unique(np.r_[0.0, inner, np.asarray(horizons, dtype=float)])


def _replicates(
    duration: Floats,
    event: Integers,
    group: Integers,
    groups_count: int,
    cluster: Integers,
    weights: NDArray[np.float32],
    edges: Floats,
    horizons: Sequence[float],
    reached: Floats,
) -> Floats:
    """Give every replicate's chances by each horizon, ever, and median, of shape (n_groups, n_horizons + 2, B)."""
    bins = len(edges) + 1
    place = np.searchsorted(edges, duration, side="left")
    replicates = weights.shape[1]
    found = np.full((groups_count, len(horizons) + 2, replicates), np.nan)
    at_once = max(1, CELLS_LIMIT // (bins * 3 * replicates))
    bounds = np.searchsorted(group, np.arange(0, groups_count + at_once, at_once))
    at = np.searchsorted(edges, np.asarray(horizons, dtype=float), side="left")
    end = np.clip(np.searchsorted(edges, reached, side="left"), 0, len(edges) - 1)
    for chunk, (start, stop) in enumerate(pairwise(bounds)):
        first = chunk * at_once
        many = min(at_once, groups_count - first)
        if many <= 0 or stop == start:
            continue
        rows = ((group[start:stop] - first) * bins + place[start:stop]) * 3 + event[start:stop]
        ones = np.ones(stop - start, dtype=np.float32)
        counts = csr_matrix((ones, (rows, cluster[start:stop])), shape=(many * bins * 3, len(weights)))
        cells = (counts @ weights).reshape(many, bins, 3, replicates)
        exits = cells.sum(axis=2)
        at_risk = np.maximum(exits[:, ::-1].cumsum(axis=1)[:, ::-1], 1e-9)
        gone = (cells[:, :, LEFT] + cells[:, :, COMPETING]) / at_risk
        still_there = np.cumprod(1.0 - np.minimum(gone, 1.0), axis=1)
        before = np.concatenate([np.ones((many, 1, replicates), still_there.dtype), still_there[:, :-1]], axis=1)
        incidence = np.cumsum(before * cells[:, :, LEFT] / at_risk, axis=1)
        part = found[first : first + many]
        part[:, : len(horizons)] = incidence[:, at]
        ever = np.take_along_axis(incidence, end[first : first + many, None, None], axis=1)[:, 0]
        part[:, -2] = ever
        half = (incidence >= ever[:, None] / 2) & (ever[:, None] > 0)
        part[:, -1] = np.where(half.any(axis=1), edges[np.minimum(half.argmax(axis=1), len(edges) - 1)], np.nan)
    return found


def percentiles(replicates: Floats, level: float = 0.9) -> tuple[Floats, Floats]:
    """Give between what bounds the middle of each row's replicates lies; NaN for a row that has none."""
    low, high = np.full(len(replicates), np.nan), np.full(len(replicates), np.nan)
    has = np.isfinite(replicates).any(axis=1)
    if has.any():
        low[has], high[has] = np.nanquantile(replicates[has], ((1 - level) / 2, (1 + level) / 2), axis=1)
    return low, high


def spread(replicates: Floats) -> Floats:
    """Give the standard deviation of each row's replicates; NaN for a row that has fewer than two."""
    found = np.full(len(replicates), np.nan)
    has = np.isfinite(replicates).sum(axis=1) > 1
    found[has] = np.nanstd(replicates[has], axis=1, ddof=1)
    return found


def _known_count(
    duration: Floats,
    event: Integers,
    group: Integers,
    cluster: Integers,
    groups_count: int,
    horizon: Floats,
    wanted: NDArray[np.bool_],
) -> Integers:
    """Count the clusters of some groups of which somebody is known to have left by the horizon, or not to have."""
    is_known = wanted[group] & ((event != CENSORED) | (duration >= horizon[group]))
    many = int(cluster.max(initial=0)) + 1
    pairs = np.unique(group[is_known] * many + cluster[is_known])
    return np.bincount(pairs // many, minlength=groups_count)


def _worth(value: Floats, boot: Floats, counts: Integers) -> Floats:
    """Say how many independent leads the replicates' variance is worth; NaN where they do not vary."""
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = value * (1 - value) / spread(boot) ** 2
    return np.where(np.isfinite(worth) & (worth > 0), np.minimum(worth, counts), np.nan)


def _jeffreys(value: Floats, worth: Floats, level: float) -> Interval:
    tail = (1 - level) / 2
    has = np.isfinite(value) & (worth > 0)
    low, high = np.full(len(value), np.nan), np.full(len(value), np.nan)
    left, stayed = value[has] * worth[has] + 0.5, (1 - value[has]) * worth[has] + 0.5
    low[has] = np.where(value[has] <= 0, 0.0, beta.ppf(tail, left, stayed))
    high[has] = np.where(value[has] >= 1, 1.0, beta.ppf(1 - tail, left, stayed))
    low[has], high[has] = np.minimum(low[has], value[has]), np.maximum(high[has], value[has])
    return Interval(value, low, high)
