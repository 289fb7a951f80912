"""How long winning takes, and whether the horizons of the forecast fit it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ibis
import numpy as np

from features import lifecycle
from pipeline.common.formatting import count, days, percent
from pipeline.ingest.company import LoadedCompany

WINS_LEAST = 30
"""Fewer wins say nothing of how long winning takes."""
HORIZONS = (7, 14, 30, 60, 90, 180, 365, 730, 1095)
"""Spans that people plan by."""
MOSTLY, HARDLY = 0.9, 0.25


def sales_cycle(loaded: LoadedCompany, as_of: datetime) -> dict[str, Any]:
    """Give the days from creation to winning, and a better primary horizon where the one of the params does not fit.

    A horizon is too long where nine in ten wins come within a third of it: each forecast would be of leads not yet
    there. It is too short where it sees less than a quarter of the wins.

    Parameters
    ----------
    loaded : LoadedCompany
    as_of : datetime
        Naive UTC.

    Returns
    -------
    dict
        ``won``, ``median_days``, ``most_days`` (nine in ten), ``within_primary`` (share of wins), ``fitting``
        (days, or None where the horizon fits or too few are won); ``text``.
    """
    rows = lifecycle.outcomes(loaded.tables, as_of, loaded.params.data.amount_window_days)
    won = rows.filter(rows.outcome == "won").select(
        "ended_at",
        began_at=ibis.ifelse(
            rows.episode == 1, rows.created_at, ibis.coalesce(rows.episode_started_at, rows.created_at)
        ),
    )
    won = won.to_pandas()
    waited = ((won["ended_at"] - won["began_at"]).dt.total_seconds() / 86_400).clip(lower=0).to_numpy()
    if len(waited) < WINS_LEAST:
        text = f"{count(len(waited), 'won lead', 'won leads')}: too few to say how long winning takes"
        return {"won": len(waited), "median_days": None, "most_days": None, "within_primary": None, "fitting": None,
                "text": text}  # fmt: skip
    median, most = (float(value) for value in np.quantile(waited, [0.5, MOSTLY]))
    primary = loaded.params.primary_horizon_days
    within = float((waited <= primary).mean())
    fitting = None
    if most <= primary / 3:
        fitting = next(horizon for horizon in HORIZONS if horizon >= most or horizon == HORIZONS[-1])
    elif within < HARDLY:
        fitting = next(horizon for horizon in HORIZONS if horizon >= median or horizon == HORIZONS[-1])
    text = f"half of the won leads are won within {days(median)}, nine in ten within {days(most)}"
    text += f"; {percent(within)} within primary_horizon_days: {primary}"
    if fitting is not None and fitting != primary:
        text += (
            f", which is too {'long' if fitting < primary else 'short'} for it: try {fitting} (also in horizons_days)"
        )
    return {"won": len(waited), "median_days": round(median, 2), "most_days": round(most, 2),
            "within_primary": round(within, 4), "fitting": fitting, "text": text}  # fmt: skip
