"""What a set of leads brings in total, and how far that may be off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]


def revenue_total(
    p_win: FloatArray, expected_revenue: FloatArray, amount_spread: float, level_sd: float, level: float = 0.8
) -> tuple[float, float]:
    """Estimate where the revenue of a set of leads will lie in total.

    Leads are won independently of each other given the forecast, each amount is spread around its expectation, and all
    of them share one unknown error of the level; a gamma distribution of that mean and variance gives the quantiles.

    Parameters
    ----------
    p_win, expected_revenue : ndarray of shape (n,)
        Chance and money within the horizon.
    amount_spread : float
        Mean of (amount ÷ expected amount)² over wins, each weighing its expected amount squared; 1: no spread.
    level_sd : float
        Standard deviation of the level's relative error.
    level : float, default=0.8
        Share of totals inside.

    Returns
    -------
    low, high : float, float
    """
    total = float(expected_revenue.sum())
    if not total > 0:
        return 0.0, 0.0
    chance = np.maximum(p_win, 1e-12)
    variance = float((expected_revenue**2 * (amount_spread / chance - 1)).sum()) + (level_sd * total) ** 2
    variance = max(variance, (1e-6 * total) ** 2)
    low, high = stats.gamma.ppf([(1 - level) / 2, (1 + level) / 2], total**2 / variance, scale=variance / total)
    return float(low), float(high)
