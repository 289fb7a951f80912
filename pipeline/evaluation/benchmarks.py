"""What leadrev is compared with: the rankings, rates and models that a company has, or would use instead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from features import lifecycle, point_in_time, timing
from features.labels import WON
from features.materialise import open_leads_matrix
from features.versions import as_they_were
from models.baselines import AalenJohansen, ColumnRanking, LogisticBaseline
from models.forecast_metrics import Forecast
from pipeline.common.dates import local_iso
from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.ingest.company import LoadedCompany
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.training.fit import Training

ACTIVITY_COLUMNS = ("touch_recency_days", timing.AGE)
SIZE_COLUMNS = ("acct_employees", "acct_annual_revenue")

Found = dict[str, Forecast]
Absent = dict[str, str]


def own_forecast(
    stored: StoredModel, matrix: pd.DataFrame, horizon: float, times: np.ndarray, month_ends: np.ndarray
) -> tuple[Forecast, np.ndarray]:
    """Say what a model of leadrev says of the leads.

    Parameters
    ----------
    stored : StoredModel
    matrix : data frame of shape (n_leads, …)
        Their features.
    horizon : float
        Days.
    times, month_ends : ndarray
        Days at which incidences are wanted, and at which money and wins are.

    Returns
    -------
    forecast, wins : Forecast, ndarray of shape (n, months)
        With the win probability by each month's end.
    """
    forecaster = stored.forecaster
    shown = stored.forecast(matrix)
    incidence, revenue = forecaster.curves(stored.feature_columns(matrix), np.concatenate([times, month_ends]))
    p_win = shown[f"p_win_{horizon:g}d"].to_numpy(float)
    ranking = shown[forecaster.rank_key_].to_numpy(float)
    valued = forecaster.has_value_
    interval = shown["deal_value_p10"].to_numpy(float), shown["deal_value_p90"].to_numpy(float)
    forecast = Forecast(
        ranking=ranking,
        p_win=p_win if np.isfinite(p_win).all() else None,
        expected_revenue=ranking if valued else None,
        incidence=incidence[:, :, : len(times)],
        interval=interval if valued else None,
        revenue_by=None if revenue is None else revenue[:, len(times) :],
    )
    return forecast, incidence[:, 1, len(times) :]


def baselines(
    training: Training, X: pd.DataFrame, horizon: float, times: np.ndarray, month_ends: np.ndarray
) -> tuple[Found, Absent]:
    """Score what a company would use instead; say which of it the company has no columns for.

    Where a baseline has chances, its money is the chance times the mean amount of the deals won so far.
    """
    found: Found = {}
    absent: Absent = {}
    rankings = {"recent_activity": (ACTIVITY_COLUMNS, False), "biggest_company": (SIZE_COLUMNS, True)}
    for name, (columns, largest_first) in rankings.items():
        column = next((column for column in columns if column in X.columns), None)
        if column is None:
            absent[name] = f"no feature {' or '.join(columns)}: the company's tables have nothing to rank by"
            continue
        found[name] = Forecast(ColumnRanking(column, largest_first).fit(training.X, training.y).rank_score(X))
    amount = _mean_amount(training)
    by_age = AalenJohansen(timing.AGE if timing.AGE in X.columns else None).fit(training.X, training.y)
    p_win = by_age.p_win(X, horizon)
    incidence = by_age.predict_cumulative_incidence(X, times)
    by_month = _worth(by_age.predict_cumulative_incidence(X, month_ends)[:, WON], amount)
    found["aalen_johansen"] = Forecast(p_win, p_win, _worth(p_win, amount), incidence, revenue_by=by_month)
    p_win = LogisticBaseline(horizon).fit(training.X, training.y).p_win(X)
    found["logistic_regression"] = Forecast(p_win, p_win, _worth(p_win, amount))
    return found, absent


def of_the_company(
    company: LoadedCompany, training: Training, lead_ids: pd.Series, cutoff: datetime
) -> tuple[Found, Absent]:
    """Score with what the company has already: its existing score, and its salespeople's probabilities, as of then."""
    found: Found = {}
    absent: Absent = {}
    tables = company.tables
    if tables.has("leads", "existing_score"):
        if reason := training.audit.excluded.get("leads.existing_score"):
            absent["existing_score"] = f"the audit keeps it out: {reason}"
        else:
            scores = tables.leads.select("lead_id", "existing_score").mutate(as_of=point_in_time.instant(cutoff))
            scores = as_they_were(scores, tables, "leads", "lead_id").to_pandas().drop_duplicates("lead_id")
            found["existing_score"] = Forecast(_last_where_missing(scores, "existing_score", lead_ids))
    if tables.has("deals", "probability"):
        deals = lifecycle.lead_deal_versions(tables)
        deals = deals.filter(
            point_in_time.current_at(deals, cutoff), deals.outcome == "open", deals.probability.notnull()
        )
        probabilities = deals.group_by("lead_id").agg(probability=deals.probability.max()).to_pandas()
        if probabilities["lead_id"].isin(lead_ids).any():
            found["rep_probability"] = Forecast(_last_where_missing(probabilities, "probability", lead_ids))
        else:
            absent["rep_probability"] = (
                "no open deal had one whose date is known (recorded_at, or a history in changes): as it stands today "
                "it may know the outcome"
            )
    return found, absent


def may_know_more(company: LoadedCompany, forecasts: Found) -> Absent:
    """Say which of the company's own scores stand as they are today, and not as they were then."""
    dated = company.known_at_creation | company.tables.tracked("leads")
    if "existing_score" not in forecasts or "existing_score" in dated:
        return {}
    return {"existing_score": "as it stands today: a score that was changed since may know the outcome"}


def champion(
    params: Params,
    company: LoadedCompany,
    cutoff: datetime,
    horizon: float,
    times: np.ndarray,
    month_ends: np.ndarray,
    lead_ids: pd.Series,
) -> tuple[Found, Absent]:
    """Score with the model that is champion now, if it was trained by the cutoff: a later one knows the outcomes."""
    if params.tracking_uri.startswith("sqlite:///") and not _exists(params.tracking_uri):
        return {}, {}
    from pipeline.model_registry.mlflow_registry import Registry

    registry = Registry(params)
    version = registry.champion()
    if version is None:
        return {}, {}
    try:
        stored = registry.load(version)[1]
    except UserError as reason:
        return {}, {"champion": f"version {version} cannot be read: {reason}"}
    trained = datetime.fromisoformat(stored.facts.trained_as_of).replace(tzinfo=None)
    if trained > cutoff:
        known = local_iso(trained, params.data.timezone)
        return {}, {"champion": f"version {version} was trained on what was known on {known}, after this date"}
    if horizon not in stored.forecaster.horizons_days or stored.forecaster.primary_horizon_days != horizon:
        return {}, {"champion": f"version {version} ranks by another horizon than {horizon:g} days"}
    matrix = open_leads_matrix(company.on_engine, stored.spec, cutoff)
    if not matrix["lead_id"].equals(lead_ids):
        return {}, {"champion": f"version {version} was made of other tables"}
    return {"champion": own_forecast(stored, matrix, horizon, times, month_ends)[0]}, {}


def oracle(truth: pd.DataFrame, lead_ids: pd.Series) -> Forecast:
    """Forecast as one who knows the truth of a simulated company."""
    true = truth.set_index("lead_id").reindex(lead_ids).fillna(0.0)
    money = true["expected_revenue"].to_numpy()
    return Forecast(money, true["p_win"].to_numpy(), money)


def _mean_amount(training: Training) -> float | None:
    """Mean amount of the deals won so far, a lead counting once; None without amounts."""
    per_lead = training.y.dropna(subset="amount").groupby("lead_id")["amount"].first()
    return float(per_lead.mean()) if len(per_lead) and training.stored.forecaster.has_value_ else None


def _worth(p_win: np.ndarray, amount: float | None) -> np.ndarray | None:
    return None if amount is None else p_win * amount


def _last_where_missing(scores: pd.DataFrame, column: str, lead_ids: pd.Series) -> np.ndarray:
    values: Any = scores.set_index("lead_id")[column].reindex(lead_ids).to_numpy(float)
    return np.where(np.isfinite(values), values, -np.inf)


def _exists(uri: str) -> bool:
    from pathlib import Path

    return Path(uri.removeprefix("sqlite:///")).exists()
