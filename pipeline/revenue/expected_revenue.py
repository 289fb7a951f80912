"""What the open leads are expected to bring, by the forecast of the same date: the one that the scores are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.common.dates import iso, local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import to_instant
from pipeline.common.seals import check_seal
from pipeline.funnel.journeys import Journeys
from pipeline.ingest.company import LoadedCompany
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.scoring.artifacts import MANIFEST
from pipeline.scoring.forecast import forecast_leads

EVER, SOON = "expected_revenue_ever", "expected_revenue_90d"
"""Columns of the scores: by the longest horizon, and within 90 days (where that is a horizon)."""


KEPT = ("lead_id", "episode", "account_id", "owner_id", "deal_value_p10", "deal_value_p90")
"""What is read of written scores, beside chances and money."""

Forecast = tuple[pd.DataFrame | None, str]
"""The scores of a date, or None; and where they come from, or why there are none."""


@dataclass(frozen=True)
class ExpectedRevenue:
    """Expected revenue per episode, or why there is none.

    Parameters
    ----------
    values : ndarray of shape (n_episodes,) or None
        0 for leads that are not open; None where there is no forecast of the date.
    said : str
        Where it comes from, or why there is none.
    soon : ndarray of shape (n_episodes,) or None
        The part of it within 90 days.
    """

    values: NDArray[np.float64] | None
    said: str
    soon: NDArray[np.float64] | None = None


def expected_revenue(company: LoadedCompany, ways: Journeys, folder: Path) -> ExpectedRevenue:
    """Find the forecast of the journeys' date, and what it expects of each episode; see `scores_of`.

    Parameters
    ----------
    company : LoadedCompany
    ways : Journeys
    folder : Path
        Where scores may lie.
    """
    return expected_of_episodes(ways, *scores_of(company, ways.as_of, folder))


def scores_of(company: LoadedCompany, as_of: datetime, folder: Path) -> Forecast:
    """Find the forecast of a date: the scores in a folder, else a new one by the champion.

    A champion that was trained later than the date knows what came after it, and is not asked.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC.
    folder : Path
        Where scores may lie.

    Returns
    -------
    scores : DataFrame or None
        As ``leadrev score`` writes them.
    said : str
        Where they come from, or why there are none.

    Raises
    ------
    SealError
        The scores in the folder are not what was written.
    """
    written = _written(folder, as_of)
    if written is not None:
        return written
    try:
        version, stored = champion_at(company, as_of)
    except UserError as error:
        return None, str(error)
    scores = forecast_leads(company, stored, as_of, version=version, explained=0).scores
    return scores, f"the forecast of {local_iso(as_of, company.params.data.timezone)} by model version {version}"


def champion_at(company: LoadedCompany, as_of: datetime) -> tuple[str, StoredModel]:
    """Give the champion and its version, to forecast a date with.

    Raises
    ------
    UserError
        There is none, it cannot be loaded for these params, or it was trained on what became known after the date.
    """
    params = company.params
    nothing = f"there is no forecast of {local_iso(as_of, params.data.timezone)}"
    file = params.tracking_uri.removeprefix("sqlite:///")
    is_there = file == params.tracking_uri or Path(file).exists()
    registry = Registry(params) if is_there else None
    if registry is None or not registry.versions() or registry.champion() is None:
        raise UserError(f"{nothing}: train and promote a model, or run leadrev score")
    try:
        version, stored = registry.load("champion")
        stored.check_horizons(params, version)
    except UserError as error:
        raise UserError(f"the champion cannot forecast: {error}") from None
    if to_instant(stored.facts.trained_as_of) > as_of:
        raise UserError(f"{nothing}: the champion was trained on what came later")
    return version, stored


def _written(folder: Path, as_of: datetime) -> tuple[pd.DataFrame, str] | None:
    path = folder / MANIFEST
    if not path.exists():
        return None
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("as_of") != iso(as_of):
        return None
    check_seal(folder, manifest.get("files", {}), ["scores.parquet"])
    names = pq.read_schema(folder / "scores.parquet").names
    wanted = [name for name in names if name in KEPT or name.startswith(("expected_revenue_", "p_win_"))]
    scores = pd.read_parquet(folder / "scores.parquet", columns=wanted)
    return scores, f"the scores of the same date, by model version {manifest['model_version']}"


def expected_of_episodes(ways: Journeys, scores: pd.DataFrame | None, said: str) -> ExpectedRevenue:
    """Give what a forecast, as `scores_of` gives it, expects of each episode."""
    if scores is None:
        return ExpectedRevenue(None, said)
    if EVER not in scores or (len(scores) and scores[EVER].isna().all()):
        return ExpectedRevenue(None, f"{said}: it has no amounts")
    keys = ["lead_id", "episode"]
    names = [name for name in (EVER, SOON) if name in scores]
    found = ways.frame[keys].merge(scores[[*keys, *names]], on=keys, how="left", validate="one_to_one")
    values = {name: np.nan_to_num(found[name].to_numpy(float)) for name in names}
    return ExpectedRevenue(values[EVER], said, values.get(SOON))
