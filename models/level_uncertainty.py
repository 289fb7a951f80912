"""How far the level of all forecasts together may be off: what no single lead's probability shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.exposure import OperationalTime, exposure_of, time_at_risk
from models.incidence import IncidenceBooster
from models.risk_set import RiskSet

_PERIODS = 12
_ROWS_LIMIT = 15_000
# Prior: levels wander by 15% from one period to the next. It is worth three periods, so that few periods, or a handful
# of wins in each, do not decide alone.
_PRIOR_SD, _PRIOR_PERIODS = 0.15, 3.0


def level_sd(
    incidence: IncidenceBooster, X: pd.DataFrame, y: pd.DataFrame, sample_weight: Any, period_days: float
) -> float:
    """Estimate how far the level of the wins wanders: the standard deviation of its logarithm over periods of time.

    The past is divided into at most twelve periods, back from its end. In each, the observed wins are compared with
    those that the fitted rates expect. What these ratios differ by, beyond the noise of so many wins, is drift and
    seasons that no feature explains; the next period will have its own (an empirical-Bayes variance of random effects).

    Parameters
    ----------
    incidence : IncidenceBooster
        Fitted on X and y.
    X, y, sample_weight
        As in `models.forecaster.LeadForecaster.fit`.
    period_days : float
        Length of a period.

    Returns
    -------
    float
        0.1 means that the number of wins of a period is off by some 10%, whatever is forecast.
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
    observed, expected, per_lead = [], [], []
    for place in range(_PERIODS):
        rows, part = exposure.between(end - (place + 1) * period_days, end - place * period_days)
        if not rows.any():
            break
        time = OperationalTime(0.0, part.weight)
        at_risk = time_at_risk(part, time, incidence.grid_.bin_edges_days)
        risk = RiskSet.from_exposure(part, time, at_risk, incidence.grid_).outcome(0)
        expected.append(risk.weight @ (risk.expected * np.exp(margins[rows][risk.row, risk.piece])))
        per_lead.append(np.bincount(lead[rows][risk.row], risk.weight * risk.observed))
        observed.append(per_lead[-1].sum())
    # A win weighs by the snapshots of its lead that are at risk: so many wins are worth fewer of equal weight.
    each = float(sum(w @ w for w in per_lead) / max(sum(observed), 1e-12)) or 1.0
    apart = np.log((np.array(observed) + each) / (np.array(expected) + each))
    noise = each / (np.array(expected) + each)
    # Posterior mean of the variance: periods with few wins add little.
    wander = np.geomspace(0.02, 2.0, 100)[:, None] ** 2
    likelihood = -0.5 * (np.log(wander + noise) + apart**2 / (wander + noise)).sum(axis=1)
    prior = -0.5 * _PRIOR_PERIODS * (np.log(wander) + _PRIOR_SD**2 / wander)[:, 0]
    return float(np.sqrt(np.average(wander[:, 0], weights=np.exp(likelihood + prior - (likelihood + prior).max()))))
