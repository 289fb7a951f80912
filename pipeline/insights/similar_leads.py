"""Won leads whose forecast came about in the most similar way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from models.shapley import ShapleyValues
from pipeline.insights.feature_groups import FloatArray, Signals
from pipeline.model_registry.won_lead_profiles import WonLeadProfiles

PER_LEAD = 2
LIKE = 3
ROWS_AT_ONCE = 2_000


def similar_won_leads(
    profiles: WonLeadProfiles, signals: Signals, lead_ids: pd.Series, attributions: ShapleyValues
) -> list[str]:
    """Find the won leads whose forecast came about in the most similar way: nearest by contributions.

    Distances are taken over the signals' contributions to chance and to revenue, each in units of the spread that
    the won leads' totals have.

    Returns
    -------
    list of str
        For each lead a JSON list of at most three ``{lead_id, days_to_win, amount, did}``, nearest first.
    """
    if not len(profiles.rows) or signals.groups != profiles.groups:
        return ["[]"] * len(lead_ids)
    own = contributions(signals, attributions)
    half = len(profiles.groups)
    scale = np.ones(2 * half)
    for place in (slice(0, half), slice(half, 2 * half)):
        scale[place] = max(float(profiles.parts[:, place].sum(axis=1).std()), 1e-9)
    won, asked = (profiles.parts / scale).astype(np.float32), (own / scale).astype(np.float32)
    lengths = (won**2).sum(axis=1)
    code, distinct = pd.factorize(profiles.rows["lead_id"])
    described = [json.dumps(row, ensure_ascii=False) for row in _described(profiles)]
    known = pd.Index(distinct).get_indexer(pd.Index(lead_ids))
    found = []
    most = min(LIKE * PER_LEAD + PER_LEAD, len(won))
    for start in range(0, len(asked), ROWS_AT_ONCE):
        distance = lengths - 2.0 * asked[start : start + ROWS_AT_ONCE] @ won.T
        nearest = np.argpartition(distance, most - 1, axis=1)[:, :most]
        # A matrix product may differ in its last digits from machine to machine: the order is taken from sums.
        apart = own[start : start + ROWS_AT_ONCE, None] / scale - profiles.parts[nearest] / scale
        order = np.lexsort((nearest, (apart**2).sum(axis=2).round(9)), axis=1)
        nearest = np.take_along_axis(nearest, order, axis=1)
        for lead, rows in enumerate(nearest.tolist(), start):
            picked: dict[int, str] = {}
            for row in rows:
                if code[row] != known[lead] and code[row] not in picked and len(picked) < LIKE:
                    picked[code[row]] = described[row]
            found.append(f"[{', '.join(picked.values())}]")
    return found


def _described(profiles: WonLeadProfiles) -> list[dict[str, Any]]:
    columns = (profiles.rows[name].tolist() for name in ("lead_id", "days_to_win", "amount", "did"))
    return [
        {
            "lead_id": lead_id,
            "days_to_win": round(days, 1),
            "amount": None if amount != amount else round(amount, 2),
            "did": did,
        }
        for lead_id, days, amount, did in zip(*columns, strict=True)
    ]


def contributions(signals: Signals, attributions: ShapleyValues) -> FloatArray:
    """Give each lead's signals' contributions to chance and revenue beside each other: (n, 2 · signals)."""
    points = signals.by_group(attributions.points)
    money = np.zeros_like(points) if attributions.money is None else signals.by_group(attributions.money)
    return np.concatenate([points, money], axis=1)
