"""Forecast every lead that is open at a date, and rank them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from features.materialise import open_leads_matrix
from models.outcome_codes import LOST, WON
from pipeline.common.degradation import Degradation
from pipeline.ingest.company import LoadedCompany
from pipeline.insights.reason_blocks import Block, explained_blocks
from pipeline.insights.reasons import SIDES
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.scoring.quality_flags import quality_flags

NO_REASONS = "[]"


@dataclass(frozen=True)
class Scores:
    """The forecasts of one date, and why.

    Parameters
    ----------
    scores : data frame
        A row per open lead, by rank, with the columns of the contract; without reasons until `explain` gave them.
    matrix : data frame
        The leads' features, in the same order.
    margins : ndarray
        The forecaster's margins of the leads to explain: those at the top.
    every_margin : ndarray
        Those of all leads.
    absent : dict of str to str
        The columns that stay empty, and why.
    """

    scores: pd.DataFrame
    matrix: pd.DataFrame
    margins: np.ndarray
    every_margin: np.ndarray
    absent: dict[str, str]

    def explain(self, stored: StoredModel, degraded: Sequence[Degradation] = ()) -> Iterator[Block]:
        """Explain the leads at the top, block after block, and put their reasons into `scores`."""
        if not len(self.margins):
            return
        X = stored.feature_columns(self.matrix.head(len(self.margins)))
        texts = {side: self.scores[side].to_numpy(object, copy=True) for side in SIDES}
        for block in explained_blocks(stored, X, self.margins, degraded):
            for side, column in texts.items():
                column[block.rows] = block.reasons[side].to_numpy(object)
            yield block
        for side, column in texts.items():
            self.scores[side] = column


@dataclass(frozen=True)
class Loaded:
    """What is scored: a company, with a model, at an instant; and which of its sources cannot be relied on."""

    company: LoadedCompany
    stored: StoredModel
    version: str
    as_of: datetime
    degraded: Sequence[Degradation] = ()


def margins_table(result: Scores, stored: StoredModel) -> pa.Table:
    """Give every lead's margins: ``lead_id, episode``, then ``won_1 …``, ``lost_1 …``, ``amount_1 …``, a piece each."""
    words = {WON: "won", LOST: "lost"}
    names = [*(words[int(outcome)] for outcome in stored.forecaster.incidence_.outcomes_), "amount"]
    columns: dict[str, Any] = {name: result.scores[name].to_numpy() for name in ("lead_id", "episode")}
    for place, name in zip(range(result.every_margin.shape[1]), names, strict=False):
        for piece in range(result.every_margin.shape[2]):
            columns[f"{name}_{piece + 1}"] = result.every_margin[:, place, piece]
    return pa.table(columns)


def forecast_leads(
    company: LoadedCompany,
    stored: StoredModel,
    as_of: datetime,
    *,
    version: str,
    explained: int | None,
    lead_id: str | None = None,
    degraded: Sequence[Degradation] = (),
) -> Scores:
    """Forecast the leads open at `as_of` and rank them; `Scores.explain` says why.

    Parameters
    ----------
    company : LoadedCompany
    stored : StoredModel
    as_of : datetime
        UTC, without a zone.
    version : str
        What to call the model in the result.
    explained : int, optional
        How many leads from the top are to be explained; None: all.
    lead_id : str, optional
        Only this lead (its rank is then 1).

    Returns
    -------
    Scores
    """
    matrix = open_leads_matrix(company.on_engine, stored.spec, as_of, lead_id)
    margins = stored.forecaster.margins(stored.feature_columns(matrix))
    forecast = stored.forecast(matrix, margins)
    order = np.lexsort((matrix["lead_id"].to_numpy(str), -forecast[stored.forecaster.rank_key_].to_numpy()))
    matrix, forecast = matrix.iloc[order].reset_index(drop=True), forecast.iloc[order].reset_index(drop=True)
    place = forecast[["score", "grade"]].copy()
    place.insert(0, "rank", np.arange(1, len(matrix) + 1))
    identity = _identity(company, matrix, as_of, version, stored)
    scores = pd.concat([identity, place, forecast.drop(columns=["score", "grade"])], axis=1)
    for side in SIDES:
        scores[side] = NO_REASONS
    scores["data_quality_flags"] = quality_flags(company.tables, stored, matrix, as_of, degraded)
    ranked = margins[order]
    return Scores(scores, matrix, ranked[:explained], ranked, stored.absent(matrix))


def _identity(
    company: LoadedCompany, matrix: pd.DataFrame, as_of: datetime, version: str, stored: StoredModel
) -> pd.DataFrame:
    leads = company.tables.leads.select("lead_id", "account_id", "owner_id", "kind")
    known = leads.semi_join(ibis.memtable(matrix[["lead_id"]]), "lead_id").to_pandas()
    scores = matrix[["lead_id", "episode"]].merge(known, on="lead_id", how="left", validate="many_to_one")
    scores.insert(2, "as_of", pd.Timestamp(as_of))
    scores.insert(3, "model_version", version)
    scores["currency"] = stored.facts.currency
    return scores
