"""One cutoff of a backtest: what a model trained then said of the leads open then, beside the outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from features.labels import WON, observed_outcomes
from features.materialise import open_leads_matrix
from models import metrics
from models.bootstrap import LeadDraws, interval
from models.forecast_metrics import Forecast, Outcomes, scorecard
from pipeline.common.dates import days_between, iso
from pipeline.config.params import Params
from pipeline.evaluation import benchmarks
from pipeline.evaluation.lead_segments import traits
from pipeline.evaluation.model_names import MODELS
from pipeline.ingest.company import LoadedCompany
from pipeline.training.fit import Training

CURVE_STEPS = 20
IBS_TIMES = 24
FIGURES = (
    "auc", "brier", "ece", "ibs", "capture_at_1", "capture_at_5", "capture_at_10", "capture_at_20",
    "capture_at_capacity", "forecast_ratio", "interval_coverage", "wins_ratio", "concordance", "median_days_error",
    "median_days_bias",
)  # fmt: skip
"""Every figure of every model; what a model does not forecast is null."""


@dataclass(frozen=True)
class Evaluation:
    """How good the forecasts of one cutoff were.

    Parameters
    ----------
    cutoff, known_at : str
        When the model was trained and the leads scored; until when outcomes are known. ISO 8601, UTC.
    horizon_days : int
        The primary horizon, over which everything is measured.
    open_count, won_count : int
        Leads open at the cutoff, and those of them won within the horizon.
    actual_revenue : float or None
        What these brought; None without amounts.
    models : dict of str to dict
        For ``leadrev`` and everything it is compared with: `FIGURES`, ``expected_wins``, ``actual_wins``, and
        ``intervals`` (90%, from draws of leads).
    calibration : list of dict
        Forecast probabilities against outcomes: ``p_mean``, ``observed`` with ``low`` and ``high``, ``count``.
    capture_curves : dict of str to list of float
        Share of the revenue (of the wins, without amounts) in the top 0, 5, … 100% of each ranking.
    months : list of dict
        Calendar months within the horizon: ``month``, ``until``, ``expected_wins``, ``actual_wins``,
        ``expected_revenue``, ``actual_revenue``, where 80% of such totals should lie (``low``, ``high``), and
        ``ratios``: of each model that says money by month, expected over actual revenue and its 90% interval.
    absent : dict of str to str
        Models that cannot be compared with, and why.
    notes : dict of str to str
        What the model of then says of itself: that it had few wins to learn from, and the like.
    caveats : dict of str to str
        Models that may know more than was known then; they are shown, and no verdict is built on them.
    outcomes, forecasts, lead_ids, kinds, samples
        What the figures were made from, for those pooled over cutoffs; not part of the file.
    """

    cutoff: str
    known_at: str
    horizon_days: int
    open_count: int
    won_count: int
    actual_revenue: float | None
    models: dict[str, dict[str, Any]]
    calibration: list[dict[str, float]]
    capture_curves: dict[str, list[float]]
    months: list[dict[str, Any]]
    absent: dict[str, str]
    caveats: dict[str, str]
    notes: dict[str, str]
    outcomes: Outcomes = field(repr=False)
    forecasts: dict[str, Forecast] = field(repr=False)
    lead_ids: pd.Series = field(repr=False)
    kinds: pd.DataFrame = field(repr=False)
    samples: dict[str, dict[str, np.ndarray]] = field(repr=False)

    @property
    def has_value(self) -> bool:
        """Whether there are amounts to measure money by."""
        return self.actual_revenue is not None

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON can hold it: what cannot be said is null."""
        inner = ("outcomes", "forecasts", "lead_ids", "kinds", "samples")
        return without_nan({name: value for name, value in vars(self).items() if name not in inner})


def evaluate(
    company: LoadedCompany,
    params: Params,
    training: Training,
    cutoff: datetime,
    *,
    known_at: datetime,
    truth: pd.DataFrame | None = None,
    baselines: bool = True,
    without_asked: Training | None = None,
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
        Whether to compare with baselines, the champion and the company's own scores too.
    without_asked : Training, optional
        The same training without the column that the audit asks about (`AuditResult.dominating`).

    Returns
    -------
    Evaluation
    """
    stored, horizon = training.stored, params.primary_horizon_days
    matrix = open_leads_matrix(company.on_engine, stored.spec, cutoff)
    lead_ids = matrix["lead_id"]
    followed = days_between(cutoff, known_at, params.data.timezone)
    times = np.linspace(1, max(2, min(horizon, followed)), IBS_TIMES)
    months = _month_ends(cutoff, min(horizon, followed), params.data.timezone)
    ends = np.array([days for _, days in months])
    own, wins = benchmarks.own_forecast(stored, matrix, horizon, times, ends)
    forecasts = {"leadrev": own}
    notes = dict(stored.forecaster.notes_)
    if without_asked is not None:
        other = open_leads_matrix(company.on_engine, without_asked.stored.spec, cutoff)
        forecasts["without_asked"] = benchmarks.own_forecast(without_asked.stored, other, horizon, times, ends)[0]
        notes["dominates"] = (
            f"most of the order comes from {training.audit.dominating}; if it was not known before the outcome, the "
            f"forecast is worth what '{MODELS['without_asked']}' is: list the column under ignore then"
        )
    absent: dict[str, str] = {}
    caveats: dict[str, str] = {}
    if baselines:
        for found, missing in (
            benchmarks.champion(params, company, cutoff, horizon, times, ends, lead_ids),
            benchmarks.of_the_company(company, training, lead_ids, cutoff),
            benchmarks.baselines(training, stored.feature_columns(matrix), horizon, times, ends),
        ):
            forecasts |= found
            absent |= missing
        caveats = benchmarks.may_know_more(company, forecasts)
    if truth is not None:
        forecasts["oracle"] = benchmarks.oracle(truth, lead_ids)
    outcomes = _outcomes(company, params, training, matrix, cutoff, known_at, times, forecasts.get("oracle"))
    draws = LeadDraws(lead_ids, params.backtest.bootstrap_count, params.seed)
    samples = {name: scorecard(forecast, outcomes, draws) for name, forecast in forecasts.items()}
    shares = np.linspace(0, 1, CURVE_STEPS + 1)
    return Evaluation(
        cutoff=iso(cutoff),
        known_at=iso(known_at),
        horizon_days=horizon,
        open_count=len(matrix),
        won_count=int(outcomes.won.sum()),
        actual_revenue=float(outcomes.revenue.sum()) if outcomes.has_value else None,
        models={name: figures(sample) | _wins(forecasts[name], outcomes, sample) for name, sample in samples.items()},
        calibration=[] if own.p_win is None else calibration(outcomes.won, own.p_win, outcomes.known, draws),
        capture_curves={
            name: metrics.capture_curve(outcomes.value, forecast.ranking, shares).tolist()
            for name, forecast in forecasts.items()
        },
        months=_months(training, forecasts, outcomes, months, wins, draws),
        absent=absent,
        caveats=caveats,
        notes=notes,
        outcomes=outcomes,
        forecasts={name: replace(forecast, incidence=None, revenue_by=None) for name, forecast in forecasts.items()},
        lead_ids=lead_ids,
        kinds=traits(
            matrix, None if own.expected_revenue is None or own.p_win is None else own.expected_revenue / own.p_win
        ),
        samples=samples,
    )


def figures(samples: dict[str, np.ndarray]) -> dict[str, Any]:
    """Give figures with their intervals: of `FIGURES` all, NaN where not forecast, and what else was measured."""
    found: dict[str, Any] = dict.fromkeys(FIGURES, float("nan"))
    found |= {name: float(values[0]) for name, values in samples.items()}
    return found | {"intervals": {name: list(interval(values)) for name, values in samples.items()}}


def calibration(won: np.ndarray, p_win: np.ndarray, known: np.ndarray, draws: LeadDraws) -> list[dict[str, float]]:
    """Compare probabilities with outcomes, in ten groups of equally many leads, each with its interval."""
    if not known.any():
        return []
    won, p_win = won[known], p_win[known]
    p_mean, _, count = metrics.calibration_curve(won, p_win)
    observed = draws.measure({"observed": lambda w: metrics.calibration_curve(won, p_win, weight=w[:, known])[1]})
    bounds = [interval(observed["observed"][:, group]) for group in range(len(count))]
    return [
        {"p_mean": float(p), "observed": float(share), "count": int(n), "low": low, "high": high}
        for p, share, n, (low, high) in zip(p_mean, observed["observed"][0], count, bounds, strict=True)
    ]


def _outcomes(
    company: LoadedCompany,
    params: Params,
    training: Training,
    matrix: pd.DataFrame,
    cutoff: datetime,
    known_at: datetime,
    times: np.ndarray,
    oracle: Forecast | None,
) -> Outcomes:
    rows = observed_outcomes(
        company.on_engine,
        matrix,
        as_of=cutoff,
        known_at=known_at,
        amount_window_days=params.data.amount_window_days,
        timezone=params.data.timezone,
    )
    truth = None
    if oracle is not None and oracle.p_win is not None:
        truth = oracle.p_win, oracle.ranking
    return Outcomes(
        event=rows["event"].to_numpy(),
        duration=rows["duration"].to_numpy(),
        amount=rows["amount"].to_numpy(),
        horizon_days=float(params.primary_horizon_days),
        times=times,
        has_value=training.stored.forecaster.has_value_,
        capacity=params.backtest.capacity_calls,
        truth=truth,
    )


def _wins(forecast: Forecast, outcomes: Outcomes, samples: dict[str, np.ndarray]) -> dict[str, Any]:
    """Count wins, expected and come, and say where their number would lie by chance alone."""
    nan = float("nan")
    if forecast.p_win is None:
        return {"expected_wins": nan, "actual_wins": float(outcomes.won.sum()), "wins_interval": [nan, nan]}
    expected = float(forecast.p_win.sum())
    # Leads are won independently of each other, given the forecast: the spread of their number.
    spread = 1.645 * float(np.sqrt((forecast.p_win * (1 - forecast.p_win)).sum()))
    return {
        "expected_wins": expected,
        "actual_wins": float(outcomes.won.sum()),
        "wins_interval": [max(0.0, expected - spread), expected + spread],
    }


def _month_ends(cutoff: datetime, days: float, timezone: str) -> list[tuple[str, float]]:
    """Name the calendar months from a cutoff on, each with the days from the cutoff to its end, the last cut short."""
    zone = ZoneInfo(timezone)
    found = []
    local = cutoff.replace(tzinfo=UTC).astimezone(zone)
    year, month = local.year, local.month
    while True:
        following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
        end = days_between(cutoff, following.astimezone(UTC).replace(tzinfo=None), timezone)
        found.append((f"{year}-{month:02}", min(end, days)))
        if end >= days:
            return found
        year, month = following.year, following.month


def _months(
    training: Training,
    forecasts: dict[str, Forecast],
    outcomes: Outcomes,
    months: list[tuple[str, float]],
    wins: np.ndarray,
    draws: LeadDraws,
) -> list[dict[str, Any]]:
    """Compare wins and money month by month, and in total, with where the totals should lie."""
    found: list[dict[str, Any]] = []
    for place in range(len(months) + 1):
        is_total = place == len(months)
        name, end = ("total", months[-1][1]) if is_total else months[place]
        first = is_total or place == 0
        start = 0.0 if first else months[place - 1][1]
        place = -1 if is_total else place
        inside = (outcomes.event == WON) & (outcomes.duration > start) & (outcomes.duration <= end)

        def within(by: np.ndarray, place: int = place, first: bool = first) -> np.ndarray:
            return by[:, place] - (0.0 if first else by[:, place - 1])

        p = within(wins)
        row: dict[str, Any] = {"month": name, "from_days": start, "until_days": end}
        row |= {"expected_wins": float(p.sum()), "actual_wins": int(inside.sum())}
        if (by_month := forecasts["leadrev"].revenue_by) is not None:
            money = within(by_month)
            low, high = training.stored.forecaster.total(p, money)
            row |= {"expected_revenue": float(money.sum()), "low": float(low), "high": float(high)}
            brought = np.where(inside, np.nan_to_num(outcomes.amount), 0.0)
            row["actual_revenue"] = float(brought.sum())
            with_revenue = {
                name: within(one.revenue_by) for name, one in forecasts.items() if one.revenue_by is not None
            }
            samples = draws.measure(
                {name: partial(metrics.forecast_ratio, one, brought) for name, one in with_revenue.items()}
            )
            row["ratios"] = {
                name: {"ratio": float(values[0]), **dict(zip(("low", "high"), interval(values), strict=True))}
                for name, values in samples.items()
            }
        found.append(row)
    return found


def without_nan(content: Any) -> Any:
    """Turn every NaN into None, so that the JSON is valid and says null."""
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
