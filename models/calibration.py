"""Share, slope and level of log-rates, from what was observed over what was expected."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.exposure import Exposure

FloatArray = NDArray[np.float64]

FOLDS = 4
_YEAR_DAYS, _YEAR_PARTS = 365.0, 2
_EARLIER_SHARE = 0.3  # of the outcomes that must lie before the last year, for its parts to be held out in turn
_STRETCHES = 2  # of recent calendar time, each holding a tenth of the outcomes, where history is shorter
_STRETCH_SHARE = 0.1

_LEVEL_SD = 0.35  # how far levels are believed to wander before an outcome is seen
_SLOPE_SD = 0.25
_SHARE_SD = 0.12


def recent_level(margin: FloatArray, observed: FloatArray, expected: FloatArray, weight: FloatArray) -> float:
    """Fit a so that rows with margin m happen at exp(a + m) times the base rate, a ~ N(0, 0.35²).

    Exponential smoothing of observed over expected, where weights fall with age: Poisson regression with a constant
    alone, that few outcomes leave at 0.

    Parameters
    ----------
    margin : ndarray of shape (rows,)
        Log-multiplier of the base rate.
    observed, expected : ndarray of shape (rows,)
        Outcomes, and outcomes expected at margin 0.
    weight : ndarray of shape (rows,)
        Weights, in leads.

    Returns
    -------
    float
    """
    came, hoped = float(weight @ observed), float(weight @ (expected * np.exp(margin)))
    level = 0.0
    for _ in range(50):
        gradient = hoped * np.exp(level) - came + level * _LEVEL_SD**-2
        step = gradient / (hoped * np.exp(level) + _LEVEL_SD**-2)
        level -= float(np.clip(step, -1.0, 1.0))
    return level


def slope_of(
    margin: FloatArray,
    observed: FloatArray,
    expected: FloatArray,
    weight: FloatArray,
    stretch: NDArray[np.intp],
    learnt_share: float = 1.0,
) -> tuple[float, float]:
    """Fit b so that rows with margin m happen in proportion to exp(b·m); the level stays where outcomes are expected.

    Poisson regression with one slope, b ~ N(1, 0.25²), and a level for each stretch of time, which is that stretch's
    luck. With few outcomes the margins stay as they are. The noise in margins falls with the outcomes learnt from, and
    1/b − 1 with it: the model of all outcomes is drawn together less than the one that was held out.

    Parameters
    ----------
    margin : ndarray of shape (rows,)
        Log-multiplier of the base rate, made without these rows.
    observed, expected : ndarray of shape (rows,)
        Outcomes, and outcomes expected at margin 0.
    weight : ndarray of shape (rows,)
        Weights, in leads: a lead looked at ten times counts once.
    stretch : ndarray of int, shape (rows,)
        Stretch of calendar time, 0 ….
    learnt_share : float, default=1
        Of the outcomes of the model that b is for, those which the model that made the margins had learnt from.

    Returns
    -------
    a, b : float
        Level, and slope of at most 1: margins are drawn together, never apart.
    """
    hoped = weight * expected * np.exp(margin)
    # Around the margin at which outcomes are expected, the level does not hang on the slope.
    centre = float(hoped @ margin / hoped.sum())
    basis = np.vstack([(stretch == s).astype(float) for s in range(int(stretch.max()) + 1)] + [margin - centre])
    theta = _penalised_poisson(basis, weight * observed, weight * expected * np.exp(centre))
    # Stretching margins (b > 1) helps the likelihood of the first hours and hurts the Brier score of the weeks after.
    held_out = min(max(float(theta[-1]), 0.0), 1.0)
    slope = held_out / (held_out + (1.0 - held_out) * learnt_share)
    return (1.0 - slope) * centre, slope


def share_of_lines(
    trees: FloatArray,
    lines: FloatArray,
    observed: FloatArray,
    expected: FloatArray,
    weight: FloatArray,
    stretch: NDArray[np.intp],
) -> float:
    """Say how much of the margin the lines should give: s in (1 − s) · trees + s · lines.

    The share with the highest likelihood of what came, each stretch of time having a level of its own, under the prior
    N(0.5, 0.12²): with few outcomes both count half (stacking; Wolpert 1992).

    Parameters
    ----------
    trees, lines : ndarray of shape (rows,)
        Log-multipliers of the base rate, made without these rows.
    observed, expected, weight, stretch
        As in `slope_of`.

    Returns
    -------
    float
        0 to 1, in steps of 0.05.
    """
    shares = np.linspace(0.0, 1.0, 21)
    came = np.bincount(stretch, weight * observed)
    loss = []
    for share in shares:
        margin = (1.0 - share) * trees + share * lines
        hoped = np.bincount(stretch, weight * expected * np.exp(margin))
        likelihood = (weight * observed) @ margin - came @ np.log(hoped)  # the levels at their best
        loss.append(0.5 * ((share - 0.5) / _SHARE_SD) ** 2 - likelihood)
    return float(shares[int(np.argmin(loss))])


def stretches_of(exposure: Exposure) -> FloatArray:
    """Give the days between which what came is held out, in turn: the last year in halves where history allows.

    A whole year, because a level that is right in spring alone is wrong by the season in summer.

    Parameters
    ----------
    exposure : Exposure
        With ``as_of_days``.

    Returns
    -------
    ndarray of shape (stretches + 1,)
        Rising days on the scale of ``as_of_days``; each stretch lies between two of them.
    """
    assert exposure.as_of_days is not None
    ended = exposure.as_of_days + exposure.stop_days
    happened = ended[exposure.event > 0]
    last = ended.max()
    if len(happened) and np.mean(happened < last - _YEAR_DAYS) >= _EARLIER_SHARE:
        return np.linspace(last - _YEAR_DAYS, last, _YEAR_PARTS + 1)
    shares = 1 - _STRETCH_SHARE * np.arange(_STRETCHES, -1, -1)
    days = np.quantile(happened if len(happened) else ended, shares)
    return np.append(days[:-1], last)


def held_out_parts(
    exposure: Exposure, lead: NDArray[np.intp], seed: int
) -> list[tuple[NDArray, Exposure, NDArray, Exposure, int]]:
    """Cut exposure into what a model may know and what it is then held to, in time order where dates are known.

    Parameters
    ----------
    exposure : Exposure
        All of it.
    lead : ndarray of int, shape (rows,)
        The lead of each row, 0 … leads − 1.
    seed : int
        Of the leads of each fold, where there are no dates.

    Returns
    -------
    list of (rows to learn from, what was known of them, rows held out, what came of them, stretch of time)
    """
    if exposure.as_of_days is not None:
        stretches = enumerate(pairwise(stretches_of(exposure)))
        return [(*exposure.until(day), *exposure.between(day, following), s) for s, (day, following) in stretches]
    fold = np.random.default_rng(seed).permutation(np.arange(lead.max() + 1) % FOLDS)[lead]
    return [(fold != f, exposure.take(fold != f), fold == f, exposure.take(fold == f), 0) for f in range(FOLDS)]


def _penalised_poisson(basis: FloatArray, observed: FloatArray, expected: FloatArray) -> FloatArray:
    """Coefficients: levels ~ N(0, 1); the last, the slope, ~ N(1, 0.25²)."""
    centre = np.append(np.zeros(len(basis) - 1), 1.0)
    prior = np.append(np.ones(len(basis) - 1), _SLOPE_SD**-2)

    def loss(theta: FloatArray) -> float:
        log_ratio = theta @ basis
        fit = expected @ np.exp(log_ratio) - observed @ log_ratio
        return float(fit + 0.5 * prior @ (theta - centre) ** 2)

    theta = centre.copy()
    current = loss(theta)
    for _ in range(50):
        rate = expected * np.exp(theta @ basis)
        gradient = basis @ (rate - observed) + prior * (theta - centre)
        step = np.linalg.solve((basis * rate) @ basis.T + np.diag(prior), gradient)
        while (following := loss(theta - step)) > current and np.abs(step).max() > 1e-12:
            step = step / 2
        theta = theta - step
        if current - following < 1e-10 * abs(current):
            break
        current = following
    return theta
