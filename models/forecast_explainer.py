"""The explainer of a fitted forecaster: its margins, and the typical lead that they are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.deal_value import ValueBooster
from models.incidence import IncidenceBooster
from models.integrated_gradients import ForecastPath
from models.margin_shapley import MarginShapley
from models.shapley import ForecastExplainer

FloatArray = NDArray[np.float64]


def forecast_explainer(
    incidence: IncidenceBooster,
    value: ValueBooster | None,
    background: list[FloatArray],
    background_margins: FloatArray,
    horizon_days: float,
    ever_days: float,
    threads: int | None,
) -> ForecastExplainer:
    """Return what splits the forecasts of fitted estimators.

    Parameters
    ----------
    incidence : IncidenceBooster
        Chances and times; without clocks.
    value : ValueBooster or None
        Amounts.
    background : list of ndarray of shape (m, encoded columns)
        Training leads as `incidence`, and `value`, encode them.
    background_margins : ndarray of shape (m, margins, pieces)
        Margins of the same leads; their mean is the typical lead.
    horizon_days, ever_days : float
        Money and points are those within the first, the mean days those of leads won within the second.
    threads : int or None
        Threads; None: all cores.

    Returns
    -------
    ForecastExplainer
        It parses the trees when it first explains.
    """
    grid = incidence.grid_
    of_outcomes = zip(incidence.boosters_, incidence.calibration_, incidence.lines_, incidence.line_share_, strict=True)
    margins = [
        MarginShapley(booster, slope, background[0], incidence.columns_[:-1], grid.pieces_count, lines, share)
        for booster, (_, slope), lines, share in of_outcomes
    ]
    if value is not None:
        (_, slope), lines, share = value.calibration_, value.lines_, value.line_share_
        columns = value.columns_[:-1]
        margins.append(MarginShapley(value.booster_, slope, background[1], columns, grid.pieces_count, lines, share))
    path = ForecastPath(background_margins.mean(axis=0), grid, horizon_days, ever_days)
    return ForecastExplainer(margins, path, threads)
