"""One cutoff of a backtest: what a model trained then said of the leads open then, beside what came."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from models import metrics
from models.baselines import ColumnRanking, LogisticBaseline
from pipeline.learning import Training, open_leads_matrix, what_came
from pipeline.params import Params
from pipeline.stored_model import iso
from pipeline.tables import LoadedCompany

CURVE_STEPS = 20
TOP_SHARE = 0.1
IBS_TIMES = 24
ACTIVITY_COLUMNS = ("touch_recency_days", "lead_age_days")
SIZE_COLUMNS = ("acct_employees", "acct_annual_revenue")


@dataclass(frozen=True)
class Forecaster:
    """What one way of forecasting said of the leads: at least a ranking, and chances and money where it has them."""

    ranking: np.ndarray
    p_win: np.ndarray | None = None
    expected_revenue: np.ndarray | None = None
    incidence: np.ndarray | None = None
    interval: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Evaluation:
    """How good the forecasts of one cutoff were.

    Parameters
    ----------
    cutoff, known_at : str
        When the model was trained and the leads scored; until when it is known what came. ISO 8601, UTC.
    horizon_days : int
        The primary horizon, over which all but ``ibs`` is measured.
    open_count, won_count : int
        Leads open at the cutoff, and those of them won within the horizon.
    actual_revenue : float or None
        What these brought; None without amounts.
    models : dict of str to dict
        For ``leadrev`` and each baseline: its metrics, and ``intervals`` (90%, from draws of leads).
    calibration : list of dict
        leadrev's chances against what came: ``p_mean``, ``observed``, ``count``.
    capture_curves : dict of str to list of float
        Share of the revenue (of the wins, without amounts) in the top 0, 5, … 100% of each ranking.
    absent : dict of str to str
        Baselines and figures that cannot be said, and why.
    """

    cutoff: str
    known_at: str
    horizon_days: int
    open_count: int
    won_count: int
    actual_revenue: float | None
    models: dict[str, dict[str, Any]]
    calibration: list[dict[str, float]]
    capture_curves: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def has_value(self) -> bool:
        """Whether there are amounts to measure money by."""
        return self.actual_revenue is not None

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON can hold it: what cannot be said is null."""
        return _without_nan(asdict(self))


def evaluate(
    company: LoadedCompany,
    params: Params,
    training: Training,
    cutoff: datetime,
    *,
    known_at: datetime,
    truth: pd.DataFrame | None = None,
    baselines: bool = True,
) -> Evaluation:
    """Score what was open at a cutoff and compare with what had come by `known_at`.

    Parameters
    ----------
    training : Training
        Trained as of `cutoff`.
    known_at : datetime
        Nothing later is looked at.
    truth : data frame, optional
        ``lead_id``, ``p_win`` and ``expected_revenue`` within the horizon, where the company is simulated: adds the
        oracle that knows them.
    baselines : bool
        Whether to train and score the baselines too.

    Returns
    -------
    Evaluation
    """
    stored, horizon = training.stored, params.primary_horizon_days
    matrix = open_leads_matrix(company, stored.spec, cutoff)
    X = stored.feature_columns(matrix)
    came = what_came(company, params, matrix, cutoff, known_at)
    won, known = metrics.won_within(came["event"], came["duration"], horizon)
    followed = (known_at - cutoff).days
    times = np.linspace(1, max(2, min(horizon, followed)), IBS_TIMES)
    found = {"leadrev": _own(stored, matrix, X, horizon, times)}
    absent: dict[str, str] = {}
    if baselines:
        others, absent = _baselines(training, X, horizon)
        found |= others
    if truth is not None:
        true = truth.set_index("lead_id").reindex(matrix["lead_id"]).fillna(0.0)
        found["oracle"] = Forecaster(
            true["expected_revenue"].to_numpy(), true["p_win"].to_numpy(), true["expected_revenue"].to_numpy()
        )
    has_value = stored.forecaster.has_value_
    revenue = np.where(won, came["amount"].fillna(0.0), 0.0)
    value = revenue if has_value and revenue.sum() > 0 else won.astype(float)
    measured = {}
    for name, model in found.items():
        figures = _figures(model, came, won, known, revenue if has_value else None, value, times)
        if truth is not None:
            true_revenue = found["oracle"].ranking
            figures["true_capture_at_10"] = metrics.capture_at(true_revenue, model.ranking, TOP_SHARE)
        intervals = _intervals(model, won & known, known, value, revenue, params)
        measured[name] = figures | {"intervals": intervals}
    shares = np.linspace(0, 1, CURVE_STEPS + 1)
    own = found["leadrev"]
    return Evaluation(
        cutoff=iso(cutoff),
        known_at=iso(known_at),
        horizon_days=horizon,
        open_count=len(matrix),
        won_count=int(won.sum()),
        actual_revenue=float(revenue.sum()) if has_value else None,
        models=measured,
        calibration=metrics.calibration_groups(won[known], own.p_win[known]) if own.p_win is not None else [],
        capture_curves={
            name: metrics.capture_curve(value, model.ranking, shares).tolist() for name, model in found.items()
        },
        absent=absent,
    )


def _own(stored: Any, matrix: pd.DataFrame, X: pd.DataFrame, horizon: int, times: np.ndarray) -> Forecaster:
    """Say what leadrev said."""
    forecast = stored.forecast(matrix)
    key = stored.forecaster.rank_key_
    incidence = stored.forecaster.incidence_.predict_cumulative_incidence(X, times)
    money = forecast[key].to_numpy() if stored.forecaster.has_value_ else None
    interval = (forecast["deal_value_p10"].to_numpy(), forecast["deal_value_p90"].to_numpy())
    p_win = forecast[f"p_win_{horizon}d"].to_numpy()
    return Forecaster(
        ranking=forecast[key].to_numpy(),
        p_win=p_win if np.isfinite(p_win).all() else None,
        expected_revenue=money,
        incidence=incidence,
        interval=interval if stored.forecaster.has_value_ else None,
    )


def _baselines(training: Training, X: pd.DataFrame, horizon: int) -> tuple[dict[str, Forecaster], dict[str, str]]:
    """Score what a company would use instead; say which of it the company has no columns for."""
    found: dict[str, Forecaster] = {}
    absent: dict[str, str] = {}
    rankings = {"recent_activity": (ACTIVITY_COLUMNS, False), "biggest_company": (SIZE_COLUMNS, True)}
    for name, (columns, largest_first) in rankings.items():
        column = next((column for column in columns if column in X.columns), None)
        if column is None:
            absent[name] = f"no feature {' or '.join(columns)}: the company's tables have nothing to rank by"
            continue
        ranking = ColumnRanking(column, largest_first).fit(training.X, training.y)
        found[name] = Forecaster(ranking.rank_score(X))
    logistic = LogisticBaseline(horizon).fit(training.X, training.y)
    p_win = logistic.p_win(X)
    found["logistic_regression"] = Forecaster(p_win, p_win)
    return found, absent


def _figures(
    model: Forecaster,
    came: pd.DataFrame,
    won: np.ndarray,
    known: np.ndarray,
    revenue: np.ndarray | None,
    value: np.ndarray,
    times: np.ndarray,
) -> dict[str, Any]:
    """Measure one way of forecasting; NaN where it does not forecast that."""
    nan = float("nan")
    figures: dict[str, Any] = {
        "auc": metrics.auc(won[known], model.ranking[known] if model.p_win is None else model.p_win[known]),
        "brier": nan,
        "ece": nan,
        "ibs": nan,
        "capture_at_10": metrics.capture_at(value, model.ranking, TOP_SHARE),
        "forecast_ratio": nan,
        "interval_coverage": nan,
        "expected_wins": nan,
        "actual_wins": float(won.sum()),
        "wins_ratio": nan,
        "wins_interval": [nan, nan],
    }
    if model.p_win is not None:
        expected = float(model.p_win.sum())
        # Leads are won independently of each other, given the forecast: the spread of their number.
        spread = 1.645 * float(np.sqrt((model.p_win * (1 - model.p_win)).sum()))
        figures |= {
            "brier": metrics.brier(won[known], model.p_win[known]),
            "ece": metrics.ece(won[known], model.p_win[known]),
            "expected_wins": expected,
            "wins_ratio": metrics.forecast_ratio(model.p_win, won),
            "wins_interval": [max(0.0, expected - spread), expected + spread],
        }
    if model.incidence is not None:
        outcomes = [k for k in range(1, model.incidence.shape[1]) if (came["event"] == k).any()]
        scores = [
            metrics.integrated_brier_score(came["event"], came["duration"], model.incidence[:, k], times, k)
            for k in outcomes
        ]
        figures["ibs"] = float(np.mean(scores)) if scores else nan
    if model.expected_revenue is not None and revenue is not None:
        figures["forecast_ratio"] = metrics.forecast_ratio(model.expected_revenue, revenue)
    if model.interval is not None:
        priced = won & came["amount"].notna().to_numpy()
        low, high = (bound[priced] for bound in model.interval)
        figures["interval_coverage"] = metrics.interval_coverage(came["amount"][priced], low, high)
    return figures


def _intervals(
    model: Forecaster, won: np.ndarray, known: np.ndarray, value: np.ndarray, revenue: np.ndarray, params: Params
) -> dict[str, list[float]]:
    """Draw leads again and again: where AUC, capture and the ratios of expected to actual would lie."""
    ranked_by = model.ranking if model.p_win is None else model.p_win
    statistics = {
        "auc": lambda rows: metrics.auc(won[rows][known[rows]], ranked_by[rows][known[rows]]),
        "capture_at_10": lambda rows: metrics.capture_at(value[rows], model.ranking[rows], TOP_SHARE),
    }
    if model.p_win is not None:
        chances = model.p_win
        statistics["wins_ratio"] = lambda rows: metrics.forecast_ratio(chances[rows], won[rows])
    if model.expected_revenue is not None:
        money = model.expected_revenue
        statistics["forecast_ratio"] = lambda rows: metrics.forecast_ratio(money[rows], revenue[rows])
    repeats = params.backtest.bootstrap_count
    return {
        name: list(metrics.bootstrap_interval(statistic, len(won), repeats, params.seed))
        for name, statistic in statistics.items()
    }


def _without_nan(content: Any) -> Any:
    """Turn every NaN into None, so that the JSON is valid and says null."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
