"""How far the level of all forecasts together may be off: what no lead's own chance tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.exposure import Clock, exposure_of, pieces_at_risk, time_at_risk
from models.incidence import IncidenceBooster

_STRETCHES = 12
_ROWS_LIMIT = 15_000
# Before anything is seen, levels are taken to wander by 15% from one stretch of time to the next; that is worth three
# stretches, so that few of them, or a handful of wins in each, do not speak alone.
_PRIOR_SD, _PRIOR_STRETCHES = 0.15, 3.0


def level_sd(
    incidence: IncidenceBooster, X: pd.DataFrame, y: pd.DataFrame, sample_weight: Any, stretch_days: float
) -> float:
    """Estimate how far the level of the wins wanders: the standard deviation of its logarithm over stretches of time.

    The past is cut into at most twelve stretches, back from its end. In each, wins are counted against those that the
    fitted rates expect there. What these ratios differ by, beyond what so many wins differ by anyhow, is drift and
    seasons that no feature knows; the next stretch will have its own (an empirical-Bayes variance of random effects).

    Parameters
    ----------
    incidence : IncidenceBooster
        Fitted on X and y.
    X, y, sample_weight
        As in `models.forecaster.LeadForecaster.fit`.
    stretch_days : float
        Length of a stretch.
    """
    exposure = exposure_of(y[["event", "duration", "as_of"]], len(X), sample_weight)
    drawn = np.random.default_rng(0).random(len(X)) < _ROWS_LIMIT / len(X)
    X, exposure = X[drawn], exposure.take(drawn)
    if not len(X):
        return _PRIOR_SD
    assert exposure.as_of_days is not None
    margins = incidence.margins(X[list(incidence.feature_names_in_)])[:, 0]
    lead = pd.factorize(y["lead_id"].to_numpy()[drawn])[0]
    end = float((exposure.as_of_days + exposure.stop_days).max())
    came, hoped, weights = [], [], []
    for place in range(_STRETCHES):
        rows, part = exposure.between(end - (place + 1) * stretch_days, end - place * stretch_days)
        if not rows.any():
            break
        at_risk = time_at_risk(part, Clock(0.0, part.weight), incidence.grid_.bin_edges_days)
        row, piece, expected, is_last = pieces_at_risk(part, at_risk, incidence.grid_)
        weight = part.weight[row]
        hoped.append(weight @ (expected[:, 0] * np.exp(margins[rows][row, piece])))
        weights.append(np.bincount(lead[rows][row], weight * (is_last & (part.event[row] == 1))))
        came.append(weights[-1].sum())
    # A win weighs by the snapshots of its lead that were at risk: so many wins are worth fewer of equal weight.
    each = float(sum(w @ w for w in weights) / max(sum(came), 1e-12)) or 1.0
    apart = np.log((np.array(came) + each) / (np.array(hoped) + each))
    noise = each / (np.array(hoped) + each)
    # Posterior mean of the variance: stretches in which little happens say little.
    wander = np.geomspace(0.02, 2.0, 100)[:, None] ** 2
    likelihood = -0.5 * (np.log(wander + noise) + apart**2 / (wander + noise)).sum(axis=1)
    prior = -0.5 * _PRIOR_STRETCHES * (np.log(wander) + _PRIOR_SD**2 / wander)[:, 0]
    return float(np.sqrt(np.average(wander[:, 0], weights=np.exp(likelihood + prior - (likelihood + prior).max()))))
