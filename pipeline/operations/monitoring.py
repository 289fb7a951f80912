"""Evidence that wins do not come as forecast, which may be looked at every night.

The null: on day t wins become known at ``level_t`` times the number expected, and every ``level_t`` lies between
``low`` and ``high``: no trained model is exactly right, and its level may wander in that range. For a ratio r above
``high`` the product over days of ``r^n · exp(−(r − 1) · high · expected)`` is a supermartingale whatever path the
level takes (r below ``low`` likewise); a mixture of r over a gamma density cut off there is one too (Robbins 1970,
*Statistical methods related to the law of the iterated logarithm*), and has a closed form. Half the weight bets on
too many wins, half on too few: the sum is the least evidence over all levels allowed. A supermartingale that starts
at 1 ever reaches 20 with a chance of at most 1 in 20 (Ville 1939; Howard, Ramdas, McAuliffe and Sekhon 2021,
*Time-uniform, nonparametric, nonasymptotic confidence sequences*).

A process begins at each month's start, as a change after a good year is hidden in that year; the evidence is the
average of a year's twelve processes, which go on after it. So each year of forecasts cries wolf with a chance of at
most 1 in 20. Wins that are booked in bulk of d at a time are counted as ``n / d`` where ``expected / d`` are
expected: exact for bulks of one size, near it for bulks of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

ALARM = 20.0
"""The e-value of an alarm."""
PRIOR_SHAPE = 4.0
"""Of the gamma mixture around the level that is allowed: ratios differ from it by half, give or take."""
STARTS_A_YEAR = 12
SEGMENTS_SPREAD = 12
"""Segments among which half of the weight is divided."""
LEAST_SUMS = 8


@dataclass(frozen=True)
class Evidence:
    """Evidence against a forecast, day by day.

    Parameters
    ----------
    log_e : ndarray of shape (days,)
        Logarithm of the e-value with all that became known by the end of each day.
    since : ndarray of int, shape (days,)
        The day at which the process begins that carries most of it.
    """

    log_e: Floats
    since: NDArray[np.intp]

    def alarm_day(self, weight: float = 1.0) -> int | None:
        """Give the first day on which ``weight`` times the e-value reaches `ALARM`; None: on no day."""
        reached = np.flatnonzero(self.log_e + np.log(weight) >= np.log(ALARM))
        return int(reached[0]) if len(reached) else None


def weight_of(place: int) -> float:
    """Weigh the segment in a place (from 0): the weights of all that there may ever be sum to one.

    Examples
    --------
    >>> round(sum(weight_of(place) for place in range(100_000)), 3)
    1.0
    """
    return SEGMENTS_SPREAD / ((place + SEGMENTS_SPREAD) * (place + SEGMENTS_SPREAD + 1))


def log_e_value(observed: ArrayLike, expected: ArrayLike, low: float = 1.0, high: float = 1.0) -> Floats:
    """Give the logarithm of the e-value of so many wins where so many were expected.

    Parameters
    ----------
    observed, expected : array-like
        Not negative; both divided by the dispersion, so not necessarily whole.
    low, high : float, default=1
        The levels that are allowed.

    Returns
    -------
    ndarray
        At most 0 in the logarithm's sense of "no evidence"; 3 is `ALARM`.

    Examples
    --------
    >>> float(log_e_value(0, 0))
    0.0
    >>> bool(log_e_value(90, 40) > np.log(ALARM)), bool(log_e_value(42, 40, 0.9, 1.1) < 0)
    (True, True)
    """
    n = np.asarray(observed, dtype=float)
    up, down = np.asarray(expected, dtype=float) * high, np.asarray(expected, dtype=float) * low
    a = PRIOR_SHAPE
    with np.errstate(divide="ignore"):
        above = _mixture(n, up) + np.log(special.gammaincc(a + n, a + up) / special.gammaincc(a, a))
        below = _mixture(n, down) + np.log(special.gammainc(a + n, a + down) / special.gammainc(a, a))
    return np.asarray(np.logaddexp(above, below) - np.log(2))


def _mixture(n: Floats, m: Floats) -> Floats:
    """Give the logarithm of the gamma mixture over all ratios, shape and rate `PRIOR_SHAPE`."""
    a = PRIOR_SHAPE
    return np.asarray(m + a * np.log(a) - special.gammaln(a) + special.gammaln(a + n) - (a + n) * np.log(a + m))


def follow(
    observed: ArrayLike,
    expected: ArrayLike,
    starts: Sequence[int],
    *,
    dispersion: float = 1.0,
    tolerance: float = 0.0,
) -> Evidence:
    """Follow wins day by day.

    Parameters
    ----------
    observed, expected : array-like of shape (days,)
        Wins that became known on each day, and the number expected to; the latter settled before the day.
    starts : sequence of int
        The days at which a process begins, rising; the first is day 0.
    dispersion : float, default=1
        Variance of the number of wins over its mean; at least 1.
    tolerance : float, default=0
        The level may be off by this share, up or down.

    Returns
    -------
    Evidence
    """
    wins = np.asarray(observed, dtype=float) / dispersion
    hoped = np.asarray(expected, dtype=float) / dispersion
    n, m = np.concatenate([[0.0], np.cumsum(wins)]), np.concatenate([[0.0], np.cumsum(hoped)])
    places = np.asarray(list(starts), dtype=np.intp)
    parts = np.full((len(places), len(wins)), -np.inf)
    for place, start in enumerate(places):
        parts[place, start:] = log_e_value(
            n[start + 1 :] - n[start], m[start + 1 :] - m[start], 1 - tolerance, 1 + tolerance
        )
    found = np.full(len(wins), -np.inf)
    for first in range(0, len(places), STARTS_A_YEAR):
        of_year = slice(first, first + STARTS_A_YEAR)
        begun = (places[of_year, None] <= np.arange(len(wins))).sum(axis=0)
        with np.errstate(divide="ignore"):
            to_come = np.where(begun > 0, np.log(STARTS_A_YEAR - begun), -np.inf)  # what they start with: 1 each
        together = np.logaddexp(special.logsumexp(parts[of_year], axis=0), to_come)
        found = np.maximum(found, together - np.log(STARTS_A_YEAR))
    return Evidence(found, places[parts.argmax(axis=0)])


def dispersion_of(daily: ArrayLike, width_days: int = 7) -> float:
    """Estimate the variance over the mean of the number of wins from days before the first forecast.

    Sums over successive weeks are compared with each other, so that neither the days of the week nor a trend counts as
    dispersion: the expectation of their squared difference is twice the variance.

    Parameters
    ----------
    daily : array-like of shape (days,)
        Wins that became known on each day.

    Returns
    -------
    float
        At least 1; 1 where there is too little to say.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(dispersion_of(rng.poisson(2, 4000)), 1), round(dispersion_of(3 * rng.poisson(1, 4000)), 1)
    (1.0, 3.0)
    """
    values = np.asarray(daily, dtype=float)
    count = len(values) // width_days
    sums = values[len(values) - count * width_days :].reshape(count, width_days).sum(axis=1)
    if count < LEAST_SUMS or not sums.sum():
        return 1.0
    squares, means = np.diff(sums) ** 2, sums[1:] + sums[:-1]
    return float(max(1.0, squares.sum() / max(means.sum(), 1e-12)))


def delayed(expected: ArrayLike, lags_days: ArrayLike) -> Floats:
    """Say when wins that are expected day by day become known.

    Parameters
    ----------
    expected : array-like of shape (days,)
        Wins on each day.
    lags_days : array-like of int
        Days from a win to its entry, of wins of the past.

    Returns
    -------
    ndarray of shape (days,)

    Examples
    --------
    >>> delayed([2.0, 2.0, 2.0], [0, 1]).tolist()
    [1.0, 2.0, 2.0]
    """
    values = np.asarray(expected, dtype=float)
    lags = np.clip(np.asarray(lags_days, dtype=np.intp), 0, None)
    if not len(lags) or not len(values):
        return values.copy()
    shares = np.bincount(np.minimum(lags, len(values)), minlength=len(values) + 1)[: len(values)] / len(lags)
    return np.convolve(values, shares)[: len(values)]
