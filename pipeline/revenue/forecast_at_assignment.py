"""What each lead of an experiment was expected to bring on the day it was assigned: what outcomes are adjusted by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import lifecycle, point_in_time
from features.materialise import build_matrix
from features.schema import TIME, materialise
from pipeline.archive.forecasts import Forecasts, read_scores
from pipeline.common.errors import UserError
from pipeline.common.formatting import count, percent
from pipeline.ingest.company import LoadedCompany
from pipeline.model_registry.mlflow_registry import Registry

INSTANTS_LIMIT = 400
"""Different instants of assignment that are forecast each: what a company was like is worked out anew for every one."""
STALE_DAYS = 7
"""Days after which an archived forecast says too little of a lead's assignment."""


@dataclass(frozen=True)
class ForecastAtAssignment:
    """The forecasts, or why there are none.

    Parameters
    ----------
    chance, money : ndarray of shape (n_leads,) or None
        Win probability and expected revenue within the primary horizon; NaN for leads without a forecast.
    said : str
        Where they come from, or why there are none.
    """

    chance: NDArray[np.float64] | None
    money: NDArray[np.float64] | None
    said: str

    def covariates(self, *, of_money: bool) -> NDArray[np.float64] | None:
        """Give the columns to adjust by: the forecast, and which leads have none."""
        found = self.money if of_money else self.chance
        if found is None or np.isnan(found).all():
            return None
        missing = np.isnan(found)
        filled = np.where(missing, np.nanmean(found), found)
        return np.column_stack([filled, missing.astype(float)])


def forecast_at_assignment(company: LoadedCompany, leads: pd.DataFrame) -> ForecastAtAssignment:
    """Find what was forecast of leads by the time they were assigned.

    The archived forecast of the last night before each assignment counts; for leads without one, a forecast at the very
    instant by the champion, or else by the newest version, that was trained before any of them was assigned.

    Parameters
    ----------
    company : LoadedCompany
    leads : DataFrame
        ``lead_id, assigned_at``, no lead twice.
    """
    leads = leads.reset_index(drop=True)
    days = company.params.primary_horizon_days
    columns = [f"p_win_{days}d", f"expected_revenue_{days}d"]
    found = _archived(company, leads, columns)
    archived = int(found[columns[0]].notna().sum())
    lines = [f"{percent(archived / max(len(leads), 1))} of the forecasts are archived ones"] if archived else []
    rest = leads[found[columns[0]].isna().to_numpy()]
    if len(rest):
        try:
            version, later = _by_model(company, rest, columns)
            found = found.fillna(later)
            whose = "the others are" if archived else "forecasts at assignment are"
            lines.append(f"{whose} by model version {version}")
        except UserError as error:
            lines.append(f"{count(len(rest), 'lead', 'leads')} without a forecast at assignment: {error}")
    if found[columns[0]].isna().all():
        return ForecastAtAssignment(None, None, f"not adjusted by a forecast: {lines[-1]}")
    money = found[columns[1]].to_numpy(float)
    return ForecastAtAssignment(
        found[columns[0]].to_numpy(float), None if np.isnan(money).all() else money, "; ".join(lines)
    )


def _archived(company: LoadedCompany, leads: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Give each lead its last archived forecast before its assignment, in the order of `leads`."""
    wanted = leads.reset_index(drop=True).sort_values("assigned_at", kind="stable")
    parts = []
    for entry in Forecasts(company.params.archive_folder).nights():
        scores = read_scores(entry).to_pandas()
        if set(columns) <= set(scores):
            own = scores[scores["lead_id"].isin(wanted["lead_id"])]
            parts.append(own[["lead_id", "as_of", *columns]])
    nights = pd.concat(parts) if parts else pd.DataFrame(columns=["lead_id", "as_of", *columns])
    if not len(nights):
        return pd.DataFrame(np.nan, index=range(len(leads)), columns=columns)
    nights["as_of"] = pd.to_datetime(nights["as_of"]).dt.as_unit("us")
    found = pd.merge_asof(
        wanted.assign(assigned_at=wanted["assigned_at"].dt.as_unit("us")).reset_index(names="place"),
        nights.sort_values("as_of", kind="stable"),
        left_on="assigned_at", right_on="as_of", by="lead_id", tolerance=pd.Timedelta(days=STALE_DAYS),
    )  # fmt: skip
    return found.set_index("place")[columns].sort_index().astype(float)


def _by_model(company: LoadedCompany, leads: pd.DataFrame, columns: list[str]) -> tuple[str, pd.DataFrame]:
    """Forecast leads at the instants of their assignment, by a model that knows nothing later."""
    params = company.params
    file = params.tracking_uri.removeprefix("sqlite:///")
    registry = Registry(params) if file == params.tracking_uri or Path(file).exists() else None
    version = None if registry is None else registry.trained_by(leads["assigned_at"].min().to_pydatetime())
    if registry is None or version is None:
        raise UserError("no model was trained before the first of them was assigned")
    version, stored = registry.load(version)
    stored.check_horizons(params, version)
    tables = company.on_engine
    instants = leads["assigned_at"]
    for every_days in (1, 7, 28):
        if instants.nunique() > INSTANTS_LIMIT:
            instants = _day_starts(leads["assigned_at"], every_days, params.data.timezone)
    dated = ibis.memtable(leads[["lead_id"]].assign(as_of=instants)).mutate(as_of=ibis._.as_of.cast(TIME))
    spells = lifecycle.open_spells(tables).select("lead_id", "episode", "known_from", "known_until")
    open_then = dated.join(spells, "lead_id")
    open_then = open_then.filter(point_in_time.current_at(open_then, open_then.as_of))
    matrix = build_matrix(tables, materialise(open_then.select("lead_id", "episode", "as_of")), stored.spec)
    if not len(matrix):
        raise UserError("none of them was open at the dates that they can be forecast at")
    forecast = stored.forecast(matrix)[columns].set_index(matrix["lead_id"])
    return version, forecast.reindex(leads["lead_id"]).set_index(leads.index)


def _day_starts(instants: pd.Series, every_days: int, timezone: str) -> pd.Series:
    """Go back from instants to beginnings of the company's days, a few dates for many instants."""
    local = instants.dt.tz_localize("UTC").dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize()
    back = ((local - local.min()).dt.days % every_days).map(lambda days: pd.Timedelta(days=days))
    starts = (local - back).dt.tz_localize(timezone, ambiguous=True, nonexistent="shift_forward")
    return starts.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]")
