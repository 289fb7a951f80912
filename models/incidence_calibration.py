"""Calibration of log-rates: share and slope from exposure that earlier models have not seen, level from recent time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.calibration import recent_level, share_of_lines, slope_of
from models.exposure import Exposure
from models.held_out import FOLDS, HeldOut, held_out_periods
from models.linear import blend
from models.log_rates import LogRates, LogRateSettings, fit_log_rates
from models.risk_set import RiskSet

FloatArray = NDArray[np.float64]

_ROWS_LIMIT = 30_000
_IDLE_LIMIT = 20_000


def sample_rows(
    frame: pd.DataFrame, exposure: Exposure, lead: NDArray[np.intp], seed: int
) -> tuple[pd.DataFrame, Exposure, NDArray[np.intp]]:
    """Draw single rows where there are more than share, slope and level need: whole leads would be fewer leads."""
    drawn = np.random.default_rng(seed).random(len(frame)) < _ROWS_LIMIT / len(frame)
    kept = np.flatnonzero(drawn)
    return frame.iloc[kept], exposure.take(kept), pd.factorize(lead[kept])[0]


def held_out_share_and_slope(
    frame: pd.DataFrame,
    exposure: Exposure,
    lead: NDArray[np.intp],
    settings: LogRateSettings,
    pool: ThreadPoolExecutor,
) -> tuple[FloatArray, FloatArray] | None:
    """Estimate the share of the lines, and level and slope, from exposure that earlier models have not seen.

    Parameters
    ----------
    frame, exposure, lead, settings
        As in `models.log_rates.fit_log_rates`.
    pool : ThreadPoolExecutor
        Where the earlier models are fitted, each on one thread.

    Returns
    -------
    line_share, calibration : ndarray of shape (outcomes,), ndarray of shape (outcomes, 2)
        s_k, and (a_k, b_k); None where there are too few leads to hold any out.
    """
    splits = [s for s in held_out_periods(exposure, lead, settings.seed) if s.train_rows.any() and s.test_rows.any()]
    if not splits or lead.max() + 1 < 2 * FOLDS:
        return None
    earlier_settings = replace(settings, idle_limit=_IDLE_LIMIT, threads=1)

    def forecast_by_an_earlier_model(split: HeldOut) -> tuple[FloatArray, FloatArray, RiskSet]:
        earlier_lead = pd.factorize(lead[split.train_rows])[0]
        earlier = fit_log_rates(frame[split.train_rows], split.train, earlier_lead, earlier_settings)
        return earlier.held_out(frame[split.test_rows], split.test, lead[split.test_rows], threads=1)

    forecasts = list(pool.map(forecast_by_an_earlier_model, splits))
    trees, lines = (np.concatenate([forecast[place] for forecast in forecasts]) for place in (0, 1))
    risk = RiskSet.concatenate([forecast[2] for forecast in forecasts])
    period = np.repeat([split.period for split in splits], [len(forecast[0]) for forecast in forecasts])
    period = np.unique(period, return_inverse=True)[1]
    line_share, calibration = np.empty(settings.outcomes_count), np.empty((settings.outcomes_count, 2))
    for k in range(settings.outcomes_count):
        of_k, outcome = risk.outcome(k), k + 1
        share = share_of_lines(trees[:, k], lines[:, k], of_k, period) if settings.trees > 1 else 1.0
        learnt = np.mean([(split.train.event == outcome).sum() for split in splits])
        learnt_share = max(1.0, learnt) / max(1, (exposure.event == outcome).sum())
        line_share[k] = share
        calibration[k] = slope_of(blend(trees[:, k], lines[:, k], share), of_k, period, learnt_share)
    return line_share, calibration


def recent_levels(
    rates: LogRates,
    line_share: FloatArray,
    calibration: FloatArray,
    rows: tuple[pd.DataFrame, Exposure, NDArray[np.intp]],
    half_life_days: float,
    threads: int | None,
) -> FloatArray:
    """Estimate what recent outcomes add to the level of each outcome.

    Parameters
    ----------
    rates : LogRates
        Fitted.
    line_share, calibration : ndarray of shape (outcomes,), ndarray of shape (outcomes, 2)
        s_k, and (a_k, b_k) so far.
    rows : (frame, exposure, lead)
        As `sample_rows` returns them.
    half_life_days : float
        Exposure this much older counts half.
    threads : int or None
        Threads of LightGBM.

    Returns
    -------
    ndarray of shape (outcomes,)
    """
    trees, lines, risk = rates.held_out(*rows, half_life_days, threads)
    margins = calibrated(trees, lines, line_share, calibration)
    return np.array([recent_level(margins[:, k], risk.outcome(k)) for k in range(margins.shape[1])])


def calibrated(trees: FloatArray, lines: FloatArray, line_share: FloatArray, calibration: FloatArray) -> FloatArray:
    """Return margins: a + b · ((1 − s) · trees + s · lines).

    Parameters
    ----------
    trees, lines : ndarray
        What each says; their last axes are those of `line_share`.
    line_share : ndarray of shape (…)
        s.
    calibration : ndarray of shape (…, 2)
        a and b.

    Returns
    -------
    ndarray of the shape of `trees`

    Examples
    --------
    >>> import numpy as np
    >>> calibrated(np.array([1.0]), np.array([3.0]), np.array([0.5]), np.array([[0.1, 0.8]]))
    array([1.7])
    """
    return calibration[..., 0] + calibration[..., 1] * blend(trees, lines, line_share)
