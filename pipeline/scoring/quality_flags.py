"""What a reader of one lead's forecast should know about the data behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from features import catalogue, lifecycle, point_in_time
from features.schema import Tables
from pipeline.common.degradation import Degradation, is_unreliable
from pipeline.model_registry.model_artifact import StoredModel

FLAGS = {
    "no_company_facts": "nothing is known about the company",
    "never_touched": "no contact is on record",
    "closed_before_created": "a deal of it closed before the lead was created",
}
"""The codes of single leads, and what they say; notes of the model and unreliable sources have codes of their own."""


def quality_flags(
    tables: Tables,
    stored: StoredModel,
    matrix: pd.DataFrame,
    as_of: datetime,
    degraded: Sequence[Degradation] = (),
) -> list[str]:
    """Say of each lead what its reader should know about the data behind its forecast.

    Parameters
    ----------
    tables : Tables
    stored : StoredModel
    matrix : data frame of shape (n, features + 3)
        The features of open leads.
    as_of : datetime
        Naive UTC; what became known later flags nothing.
    degraded : sequence of Degradation
        Sources that cannot be relied on: nothing is concluded from what they do not hold.

    Returns
    -------
    list of str, n
        JSON lists of codes: the model's own notes, unreliable sources, and those of `FLAGS`.
    """
    everywhere = [*stored.forecaster.notes_, *notices(degraded)]
    entries = {entry.name: entry for entry in catalogue.entries(stored.spec)}
    own = [name for name, entry in entries.items() if entry.theme == "fit" and name.startswith("acct_")]
    facts = [name for name in own if name in matrix and name != "acct_filled_share"]
    raised: dict[str, np.ndarray] = {}
    if facts and not is_unreliable("accounts", degraded):
        raised["no_company_facts"] = matrix[facts].isna().all(axis=1).to_numpy()
    if "touch_count" in matrix and not is_unreliable("events", degraded):
        raised["never_touched"] = ~(matrix["touch_count"].to_numpy(float, na_value=0.0) > 0)
    if tables.has("deals") and not is_unreliable("deals", degraded):
        raised["closed_before_created"] = matrix["lead_id"].isin(_closed_before_created(tables, as_of)).to_numpy()
    return [
        json.dumps([*everywhere, *(code for code, leads in raised.items() if leads[place])])
        for place in range(len(matrix))
    ]


def notices(degraded: Sequence[Degradation]) -> dict[str, str]:
    """Say what readers should know of sources that cannot be relied on, by its code."""
    found: dict[str, list[str]] = {}
    for one in degraded:
        found.setdefault(f"unreliable_{one.table}", []).append(f"{one.source}: {one.why}")
    return {
        code: f"some of today's data cannot be relied on, and no reason is drawn from it ({'; '.join(texts)})"
        for code, texts in found.items()
    }


def _closed_before_created(tables: Tables, as_of: datetime) -> set[str]:
    """Find leads with a deal that, by what was known, closed a day or more before the lead was created."""
    deals = lifecycle.lead_deal_versions(tables)
    deals = deals.filter(point_in_time.current_at(deals, as_of), deals.outcome != "open", deals.closed_at.notnull())
    both = deals.select("lead_id", "closed_at").join(tables.leads.select("lead_id", "created_at"), "lead_id")
    early = both.filter(point_in_time.days_between(both.closed_at, both.created_at) >= 1)
    return set(early.lead_id.to_pandas())
