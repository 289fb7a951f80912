"""How far the level of all forecasts together may be off: what no lead's own chance tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.exposure import Clock, exposure_of, pieces_at_risk, time_at_risk
from models.incidence import IncidenceBooster

_STRETCHES = 12
_ROWS_LIMIT = 8_000
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
    lead = pd.factorize(y["lead_id"])[0]
    drawn = np.random.default_rng(0).random(lead.max() + 1)[lead] < _ROWS_LIMIT / len(X)
    X, exposure = X[drawn], exposure.take(drawn)
    if not len(X):
        return _PRIOR_SD
    assert exposure.as_of_days is not None
    margins = incidence.margins(X[list(incidence.feature_names_in_)])[:, 0]
    # In leads of the whole, because a lead seen ten times is one lead's evidence.
    unit = (lead.max() + 1) / len(lead) * (len(lead) / len(X))
    end = float((exposure.as_of_days + exposure.stop_days).max())
    squares = _PRIOR_STRETCHES * _PRIOR_SD**2
    noise = 0.0
    count = 0
    for place in range(_STRETCHES):
        rows, part = exposure.between(end - (place + 1) * stretch_days, end - place * stretch_days)
        if not rows.any():
            break
        at_risk = time_at_risk(part, Clock(0.0, part.weight), incidence.grid_.bin_edges_days)
        row, piece, expected, is_last = pieces_at_risk(part, at_risk, incidence.grid_)
        weight = unit * part.weight[row]
        hoped = float(weight @ (expected[:, 0] * np.exp(margins[rows][row, piece]))) + 1.0
        came = float(weight @ (is_last & (part.event[row] == 1))) + 1.0
        squares += np.log(came / hoped) ** 2
        noise += 1.0 / hoped
        count += 1
    return float(np.sqrt(max(squares - noise, 0.0) / (count + _PRIOR_STRETCHES)))
