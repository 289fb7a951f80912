"""Level and slope of log-rates, from what was observed over what was expected on rows the model has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEVEL_PRIOR_SD = 0.5
SLOPE_PRIOR_SD = 0.25


def poisson_level_and_slope(
    margin: FloatArray, observed: FloatArray, expected: FloatArray, weight: FloatArray
) -> tuple[float, float]:
    """Fit a and b so that rows with margin m happen at exp(a + b·m) times the base rate.

    Poisson regression with normal priors, a ~ N(0, 0.5²) and b ~ N(1, 0.25²): with few outcomes the margins stay as
    they are; where the held-out outcomes say that margins spread too far, b falls below 1.

    Parameters
    ----------
    margin : ndarray of shape (rows,)
        Log-multiplier of the base rate, made without these rows.
    observed, expected : ndarray of shape (rows,)
        Outcomes, and outcomes expected at margin 0.
    weight : ndarray of shape (rows,)
        Weights, in leads: a lead looked at ten times counts once.

    Returns
    -------
    a, b : float
        Level and slope.
    """
    prior = np.array([LEVEL_PRIOR_SD**-2, SLOPE_PRIOR_SD**-2])
    centre = np.array([0.0, 1.0])
    basis = np.stack([np.ones_like(margin), margin])

    def loss(theta: FloatArray) -> float:
        log_ratio = theta @ basis
        fit = weight @ (expected * np.exp(log_ratio) - observed * log_ratio)
        return float(fit + 0.5 * prior @ (theta - centre) ** 2)

    theta = centre.copy()
    current = loss(theta)
    for _ in range(50):
        rate = weight * expected * np.exp(theta @ basis)
        slope = basis @ (rate - weight * observed) + prior * (theta - centre)
        step = np.linalg.solve((basis * rate) @ basis.T + np.diag(prior), slope)
        while (following := loss(theta - step)) > current and np.abs(step).max() > 1e-12:
            step = step / 2
        theta = theta - step
        if current - following < 1e-10 * abs(current):
            break
        current = following
    return float(theta[0]), float(theta[1])
