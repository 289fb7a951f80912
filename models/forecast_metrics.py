"""How good one forecast is: ranking, probability, time and money, on the leads and on draws of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.bootstrap import LeadDraws
from models.outcome_codes import WON

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

TOP_SHARES = {1: 0.01, 5: 0.05, 10: 0.1, 20: 0.2}


@dataclass(frozen=True)
class Outcomes:
    """The observed outcomes of leads after their forecast.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        0 still open when last observed, 1 won, others ended otherwise.
    duration : ndarray of shape (n,)
        Days from the forecast to the outcome, or to the last observation.
    amount : ndarray of shape (n,)
        Of the won ones; NaN where not known.
    horizon_days : float
        The horizon that is measured.
    times : ndarray of shape (t,)
        Days over which incidences are measured, rising to the horizon.
    has_value : bool
        Whether money is measured; without it wins count instead of revenue.
    capacity : int
        Leads that can be called.
    truth : pair of ndarray of shape (n,), optional
        Of a simulated company: the true chance, and the true expected revenue, within the horizon.
    """

    event: NDArray[np.intp]
    duration: FloatArray
    amount: FloatArray
    horizon_days: float
    times: FloatArray
    has_value: bool
    capacity: int
    truth: tuple[FloatArray, FloatArray] | None = None

    @cached_property
    def won(self) -> BoolArray:
        """Whether each lead is won within the horizon."""
        return metrics.won_within(self.event, self.duration, self.horizon_days)[0]

    @cached_property
    def known(self) -> BoolArray:
        """Whether that is known of each lead."""
        return metrics.won_within(self.event, self.duration, self.horizon_days)[1]

    @cached_property
    def revenue(self) -> FloatArray:
        """The revenue of each lead within the horizon."""
        return np.where(self.won, np.nan_to_num(self.amount), 0.0)

    @cached_property
    def value(self) -> FloatArray:
        """What a ranking should put first: revenue, or wins where there is no revenue."""
        return self.revenue if self.has_value and self.revenue.sum() > 0 else self.won.astype(float)


@dataclass(frozen=True)
class Forecast:
    """One forecast of the leads: at least a ranking, and chances, times and money where the model has them.

    Parameters
    ----------
    ranking : ndarray of shape (n,)
        Higher first.
    p_win, expected_revenue : ndarray of shape (n,), optional
        Chance, and money, within the horizon.
    incidence : ndarray of shape (n, outcomes + 1, t), optional
        Cumulative incidence at the times of `Outcomes`; index 0 still open.
    interval : pair of ndarray of shape (n,), optional
        Where 80% of the amounts should lie, if won.
    revenue_by : ndarray of shape (n, months), optional
        Money by the end of each month.
    """

    ranking: FloatArray
    p_win: FloatArray | None = None
    expected_revenue: FloatArray | None = None
    incidence: FloatArray | None = None
    interval: tuple[FloatArray, FloatArray] | None = None
    revenue_by: FloatArray | None = None

    @property
    def risk(self) -> FloatArray:
        """What the order of winning is measured by: the chance, or else the ranking."""
        return self.ranking if self.p_win is None else self.p_win


def scorecard(forecast: Forecast, actual: Outcomes, draws: LeadDraws) -> dict[str, FloatArray]:
    """Measure a forecast on the leads and on every draw of them.

    Parameters
    ----------
    forecast : Forecast
    actual : Outcomes
    draws : LeadDraws
        Of the same leads, in the same order.

    Returns
    -------
    dict of str to ndarray of shape (1 + draws,)
        First the figure, then that of each draw: ``auc``, ``concordance``, ``capture_at_1`` … ``_20`` and
        ``capture_at_capacity`` (shares of the revenue, else of the wins); with chances ``brier``, ``ece``,
        ``wins_ratio`` (expected over actual); with times ``ibs`` (mean over the outcomes that happen),
        ``median_days_error`` and ``median_days_bias`` (of the median day of winning within the horizon, over the leads
        won within it: median distance, and median of expected minus actual); with money ``forecast_ratio``; with
        intervals ``interval_coverage``; on simulated companies ``true_capture_at_10``, ``true_p_error_ratio`` (mean
        distance from the true chances over that of their mean) and ``true_revenue_ratio`` (expected over true).
    """
    known, won = actual.known, actual.won
    statistics: dict[str, Callable[[FloatArray], Any]] = {
        "auc": lambda w: metrics.auc(won[known], forecast.risk[known], w[:, known]),
        "concordance": partial(_concordance, actual, forecast.risk),
    }
    shares = [*TOP_SHARES.values(), min(1.0, actual.capacity / max(1, len(won)))]
    statistics["captures"] = lambda w: metrics.capture_curve(actual.value, forecast.ranking, shares, w)
    if forecast.p_win is not None:
        p = forecast.p_win
        statistics["brier"] = lambda w: metrics.brier(won[known], p[known], w[:, known])
        statistics["ece"] = lambda w: metrics.ece(won[known], p[known], weight=w[:, known])
        statistics["wins_ratio"] = lambda w: metrics.forecast_ratio(p, won, w)
    if forecast.incidence is not None:
        scores = ibs_scores(forecast.incidence, actual)
        statistics["ibs"] = lambda w: metrics.mean(scores, w)
        error = metrics.median_days(forecast.incidence[won, WON], actual.times) - actual.duration[won]
        statistics["median_days_error"] = lambda w: metrics.median(np.abs(error), w[:, won])
        statistics["median_days_bias"] = lambda w: metrics.median(error, w[:, won])
    if forecast.expected_revenue is not None and actual.has_value:
        money = forecast.expected_revenue
        statistics["forecast_ratio"] = lambda w: metrics.forecast_ratio(money, actual.revenue, w)
    if forecast.interval is not None:
        priced = won & np.isfinite(actual.amount)
        low, high = (bound[priced] for bound in forecast.interval)
        amount = actual.amount[priced]
        statistics["interval_coverage"] = lambda w: metrics.interval_coverage(amount, low, high, w[:, priced])
    if actual.truth is not None:
        statistics |= _against_truth(forecast, *actual.truth)
    measured = draws.measure(statistics)
    if "ece" in measured:  # a draw adds noise to every group, which can only add distance: taken off again
        measured["ece"][1:] -= measured["ece"][1:].mean() - measured["ece"][0] if draws.repeats else 0.0
    captures = measured.pop("captures")
    names = [*(f"capture_at_{percent}" for percent in TOP_SHARES), "capture_at_capacity"]
    return measured | {name: captures[:, place] for place, name in enumerate(names)}


def ibs_scores(incidence: FloatArray, actual: Outcomes) -> FloatArray:
    """Give each lead's part in the integrated Brier score, mean over the outcomes that happen; shape (n,)."""
    outcomes = [k for k in range(1, incidence.shape[1]) if (actual.event == k).any()]
    if not outcomes:
        return np.full(len(incidence), np.nan)
    parts = [
        metrics.integrated_brier_scores(actual.event, actual.duration, incidence[:, k], actual.times, k)
        for k in outcomes
    ]
    return np.mean(parts, axis=0)


def _concordance(actual: Outcomes, risk: FloatArray, weight: FloatArray) -> Any:
    """Measure the order of winning within the horizon; leads still open then are watched no longer."""
    beyond = actual.duration > actual.horizon_days
    event = np.where(beyond, 0, actual.event)
    return metrics.concordance(event, np.where(beyond, actual.horizon_days, actual.duration), risk, weight=weight)


def _against_truth(
    forecast: Forecast, p_true: FloatArray, revenue_true: FloatArray
) -> dict[str, Callable[[FloatArray], Any]]:
    """Measure against the true chances and money of a simulated company."""
    found: dict[str, Callable[[FloatArray], Any]] = {
        "true_capture_at_10": lambda w: metrics.capture_at(revenue_true, forecast.ranking, TOP_SHARES[10], w)
    }
    if forecast.p_win is not None:
        apart = np.abs(forecast.p_win - p_true)
        constant = np.abs(p_true - p_true.mean())
        found["true_p_error_ratio"] = lambda w: metrics.forecast_ratio(apart, constant, w)
    if forecast.expected_revenue is not None:
        money = forecast.expected_revenue
        found["true_revenue_ratio"] = lambda w: metrics.forecast_ratio(money, revenue_true, w)
    return found
