"""Possible courses of a period: one level a world for open and arriving leads, wins by account, amounts that vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.planning.month_forecast import LEVEL_SD
from pipeline.planning.revenue_by_age import RevenueByAge
from pipeline.planning.weekly_counts import WEEK_DAYS, WeeklyCounts

FloatArray = NDArray[np.float64]

WORLDS = 2_000
DRAWN_LEADS = 2_000
"""So many leads are won or not one by one, those that move the sum most; the others as a sum."""


@dataclass(frozen=True)
class Worlds:
    """What each stream brings in each world: arrays of shape (n_worlds,), in money."""

    open: FloatArray
    to_come: FloatArray
    existing: FloatArray

    @property
    def total(self) -> FloatArray:
        """Give the sum of the streams."""
        return self.open + self.to_come + self.existing


def levels(rng: np.random.Generator) -> FloatArray:
    """Draw by how much all leads together are won more or less than forecast; 1 in the mean."""
    return np.exp(rng.normal(-(LEVEL_SD**2) / 2, LEVEL_SD, WORLDS))


def open_worlds(rng: np.random.Generator, leads: pd.DataFrame, level: FloatArray) -> FloatArray:
    """Draw what open leads bring.

    Of one account with several leads one deal is won rather than several: the chances of its leads lie side by side on
    a line on which one number is drawn (systematic sampling), so that each keeps its own.

    Parameters
    ----------
    rng : Generator
    leads : DataFrame
        As `OpenLeads.frame`.
    level : ndarray of shape (n_worlds,)
    """
    if not len(leads):
        return np.zeros(WORLDS)
    chance, value, spread = (leads[name].to_numpy(float) for name in ("chance", "value", "spread"))
    moves = chance * value**2 * spread
    alone = np.zeros(len(leads), dtype=bool)
    alone[np.argsort(-moves, kind="stable")[:DRAWN_LEADS]] = True
    order = np.flatnonzero(alone)[np.argsort(leads["cluster"].to_numpy()[alone], kind="stable")]
    cluster = np.unique(leads["cluster"].to_numpy()[order], return_inverse=True)[1]
    total = np.zeros(WORLDS)
    for world in range(WORLDS):
        p = -np.expm1(level[world] * np.log1p(-np.minimum(chance[order], 1 - 1e-9)))
        upper = np.cumsum(p)
        start = np.concatenate([[0.0], upper[:-1]])[np.searchsorted(cluster, cluster, side="left")]
        drawn = rng.random(cluster[-1] + 1)[cluster] if len(cluster) else np.zeros(0)
        upper, lower = upper - start, upper - p - start
        won = np.floor(upper - drawn) > np.floor(lower - drawn)
        sigma = np.sqrt(np.log(np.maximum(spread[order][won], 1.0)))
        total[world] = (value[order][won] * np.exp(sigma * rng.normal(size=won.sum()) - sigma**2 / 2)).sum()
    rest = ~alone
    if rest.any():
        mean = float((chance[rest] * value[rest]).sum())
        variance = float((moves[rest] - (chance[rest] * value[rest]) ** 2).sum())
        if mean > 0 and variance > 0:
            total += level * rng.gamma(mean**2 / variance, variance / mean, WORLDS)
    return total


def arriving_worlds(
    rng: np.random.Generator, counts: WeeklyCounts, by_age: RevenueByAge, level: FloatArray, days: float, year: float
) -> tuple[FloatArray, FloatArray]:
    """Draw what leads yet to arrive bring by the end, given when they come.

    Returns
    -------
    worlds : ndarray of shape (n_worlds,)
    expected : ndarray of shape (n_segments,)
        The mean, by segment.
    """
    moments, weeks = weeks_ahead(days)
    chance, money = by_age.by(np.maximum(days - moments, 0.0))
    if not len(moments) or not np.isfinite(money).any():
        return np.zeros(WORLDS), np.zeros(counts.segments_count)
    money = np.nan_to_num(money)
    arrived = counts.draw(rng, WORLDS, moments, weeks, year)
    expected = (counts.means(moments, year) * weeks[:, None] * money).sum(axis=0)
    wins = rng.poisson(arrived * chance[None] * level[:, None, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(chance > 0, money / chance, 0.0)
    return _amounts(rng, wins, each[None], by_age.spread).sum(axis=(1, 2)), expected


def existing_worlds(
    rng: np.random.Generator, counts: WeeklyCounts, cents: NDArray, days: float, year: float
) -> FloatArray:
    """Draw what business without leads brings: deals at the rate of the past, amounts as those of the past."""
    moments, weeks = weeks_ahead(days)
    amounts = cents[cents > 0] / 100
    if not len(moments) or not len(amounts):
        return np.zeros(WORLDS)
    deals = counts.draw(rng, WORLDS, moments, weeks, year).sum(axis=(1, 2))
    mean = amounts.mean() * len(amounts) / len(cents)
    spread = max(1.0, float((amounts**2).mean() / mean**2))
    return _amounts(rng, deals, np.full(WORLDS, mean), spread)


def weeks_ahead(days: float) -> tuple[FloatArray, FloatArray]:
    """Give the middles of the weeks until the end, in days ahead, and how much of a week each is."""
    starts = np.arange(0.0, max(days, 0.0), WEEK_DAYS)
    length = np.minimum(WEEK_DAYS, days - starts)
    return starts + length / 2, length / WEEK_DAYS


def _amounts(rng: np.random.Generator, wins: NDArray, each: FloatArray, spread: float) -> FloatArray:
    """Draw the sum of so many amounts with a mean each: a gamma with the mean and variance of the sum."""
    if spread <= 1.0001:
        return wins * each
    shape = wins / (spread - 1)
    return np.where(wins > 0, rng.gamma(np.maximum(shape, 1e-9)) * (spread - 1) * each, 0.0)
