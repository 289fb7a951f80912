"""Share, slope and level of log-rates, estimated from observed and expected outcomes that the model has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.linear import blend
from models.risk_set import RiskSet

FloatArray = NDArray[np.float64]

_LEVEL_SD = 0.35  # prior: how far levels wander before an outcome is observed
_SLOPE_SD = 0.25
_SHARE_SD = 0.12


def recent_level(margin: FloatArray, risk: RiskSet) -> float:
    """Estimate a so that entries with margin m happen at exp(a + m) times the base rate, a ~ N(0, 0.35²).

    With weights that fall with age this is exponential smoothing of observed over expected: a Poisson regression with
    a constant alone, which few outcomes leave near 0.

    Parameters
    ----------
    margin : ndarray of shape (entries,)
        Log-multiplier of the base rate.
    risk : RiskSet
        Observed and expected outcomes, of one outcome.

    Returns
    -------
    float

    Examples
    --------
    A thousand leads of which 100 were expected to be won, and 150 were:

    >>> import numpy as np
    >>> observed = np.r_[np.ones(150), np.zeros(850)]
    >>> risk = RiskSet(np.arange(1000), np.zeros(1000, int), observed, np.full(1000, 0.1), np.ones(1000))
    >>> round(recent_level(np.zeros(1000), risk), 2)
    0.38
    """
    observed, expected = float(risk.weight @ risk.observed), float(risk.weight @ (risk.expected * np.exp(margin)))
    level = 0.0
    for _ in range(50):
        gradient = expected * np.exp(level) - observed + level * _LEVEL_SD**-2
        step = gradient / (expected * np.exp(level) + _LEVEL_SD**-2)
        level -= float(np.clip(step, -1.0, 1.0))
    return level


def slope_of(
    margin: FloatArray, risk: RiskSet, period: NDArray[np.intp], learnt_share: float = 1.0
) -> tuple[float, float]:
    """Estimate b so that entries with margin m happen in proportion to exp(b·m); the level stays where outcomes are.

    Poisson regression with one slope, b ~ N(1, 0.25²), and a level for each period, which takes up that period's luck.
    With few outcomes the margins stay as they are. The noise in margins falls with the outcomes that a model is trained
    on, and 1/b − 1 with it: the model of all outcomes is shrunk less than the one that was held out.

    Parameters
    ----------
    margin : ndarray of shape (entries,)
        Log-multiplier of the base rate, from a model that has not seen these entries.
    risk : RiskSet
        Observed and expected outcomes, of one outcome.
    period : ndarray of int, shape (entries,)
        Period of calendar time, 0 ….
    learnt_share : float, default=1
        Outcomes that the model behind the margins was trained on, as a share of those of the model that b is for.

    Returns
    -------
    a, b : float
        Level, and slope in [0, 1]: margins are drawn together, never apart.
    """
    expected = risk.weight * risk.expected * np.exp(margin)
    # Around the margin at which outcomes are expected, the level does not depend on the slope.
    centre = float(expected @ margin / expected.sum())
    basis = np.vstack([(period == p).astype(float) for p in range(int(period.max()) + 1)] + [margin - centre])
    theta = _penalised_poisson(basis, risk.weight * risk.observed, risk.weight * risk.expected * np.exp(centre))
    # Spreading margins (b > 1) helps the likelihood of the first hours and hurts the Brier score of the weeks after.
    held_out = min(max(float(theta[-1]), 0.0), 1.0)
    slope = held_out / (held_out + (1.0 - held_out) * learnt_share)
    return (1.0 - slope) * centre, slope


def share_of_lines(trees: FloatArray, lines: FloatArray, risk: RiskSet, period: NDArray[np.intp]) -> float:
    """Estimate how much of the margin the lines give: s in (1 − s) · trees + s · lines.

    The share with the highest likelihood of the observed outcomes, with a level for each period, under the prior
    N(0.5, 0.12²): with few outcomes both count half (stacking; Wolpert 1992).

    Parameters
    ----------
    trees, lines : ndarray of shape (entries,)
        Log-multipliers of the base rate, from models that have not seen these entries.
    risk, period
        As in `slope_of`.

    Returns
    -------
    float
        0 to 1, in steps of 0.05.
    """
    shares = np.linspace(0.0, 1.0, 21)
    observed = np.bincount(period, risk.weight * risk.observed)
    loss = []
    for share in shares:
        margin = blend(trees, lines, share)
        expected = np.bincount(period, risk.weight * risk.expected * np.exp(margin))
        likelihood = (risk.weight * risk.observed) @ margin - observed @ np.log(expected)  # each level at its best
        loss.append(0.5 * ((share - 0.5) / _SHARE_SD) ** 2 - likelihood)
    return float(shares[int(np.argmin(loss))])


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
