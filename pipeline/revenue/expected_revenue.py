"""What the open leads are expected to bring, by the forecast of the same date: the one that the scores are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.common.dates import iso, local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import to_instant
from pipeline.funnel.journeys import Journeys
from pipeline.ingest.company import LoadedCompany
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.scoring.artifacts import MANIFEST
from pipeline.scoring.forecast import forecast_leads

COLUMN = "expected_revenue_ever"


@dataclass(frozen=True)
class ExpectedRevenue:
    """Expected revenue per episode, or why there is none.

    Parameters
    ----------
    values : ndarray of shape (n_episodes,) or None
        0 for leads that are not open; None where there is no forecast of the date.
    said : str
        Where it comes from, or why there is none.
    """

    values: NDArray[np.float64] | None
    said: str


def expected_revenue(company: LoadedCompany, ways: Journeys, folder: Path) -> ExpectedRevenue:
    """Find the forecast of the journeys' date: the scores in a folder, else a new one by the champion.

    A champion that was trained later than the date knows what came after it, and is not asked.

    Parameters
    ----------
    company : LoadedCompany
    ways : Journeys
    folder : Path
        Where scores may lie.
    """
    scores = _scores_of(folder, ways.as_of)
    if scores is not None:
        return _of_episodes(ways, *scores)
    params = company.params
    date = local_iso(ways.as_of, params.data.timezone)
    file = params.tracking_uri.removeprefix("sqlite:///")
    is_there = file == params.tracking_uri or Path(file).exists()
    registry = Registry(params) if is_there else None
    if registry is None or not registry.versions() or registry.champion() is None:
        return ExpectedRevenue(None, f"there is no forecast of {date}: train and promote a model, or run leadrev score")
    try:
        version, stored = registry.load("champion")
        stored.check_horizons(params, version)
    except UserError as error:
        return ExpectedRevenue(None, f"the champion cannot forecast: {error}")
    if to_instant(stored.facts.trained_as_of) > ways.as_of:
        return ExpectedRevenue(None, f"there is no forecast of {date}: the champion was trained on what came later")
    forecast = forecast_leads(company, stored, ways.as_of, version=version, explained=0).scores
    return _of_episodes(ways, forecast, f"the forecast of {date} by model version {version}")


def _scores_of(folder: Path, as_of: datetime) -> tuple[pd.DataFrame, str] | None:
    path = folder / MANIFEST
    if not path.exists():
        return None
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("as_of") != iso(as_of):
        return None
    scores = pd.read_parquet(folder / "scores.parquet", columns=["lead_id", "episode", COLUMN])
    return scores, f"the scores of the same date, by model version {manifest['model_version']}"


def _of_episodes(ways: Journeys, scores: pd.DataFrame, said: str) -> ExpectedRevenue:
    if COLUMN not in scores or (len(scores) and scores[COLUMN].isna().all()):
        return ExpectedRevenue(None, f"{said}: it has no amounts")
    keys = ["lead_id", "episode"]
    found = ways.frame[keys].merge(scores[[*keys, COLUMN]], on=keys, how="left", validate="one_to_one")
    return ExpectedRevenue(np.nan_to_num(found[COLUMN].to_numpy(float)), said)
