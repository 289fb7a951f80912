"""How much may be learnt from so many wins: measured on companies whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.incidence import IncidenceBooster

FEW_WINS = 120
_MANY_WINS = 1500
_FEW_COUNT_FOR = 1 / 3


def fit_incidence(
    X: pd.DataFrame, y: pd.DataFrame, sample_weight: Any, wins_count: int, settings: dict[str, Any]
) -> IncidenceBooster:
    """Learn chances and times: all that `settings` allow from 1500 wins on, less from fewer.

    With fewer than 120 wins there are no trees, and nothing is held out, as either would only follow noise. What is
    left are lines: each group of leads has its own rate, observed over expected, and each number one slope, all of them
    drawn to the average until some thirty wins speak against it (each win counts a third against the usual prior of
    ten). It stays an `IncidenceBooster`, so that everything made from one is made alike.

    Parameters
    ----------
    X, y, sample_weight
        As in `models.forecaster.LeadForecaster.fit`.
    wins_count : int
        Won leads.
    settings : dict
        Of `IncidenceBooster`: what it may learn from many wins.
    """
    share = min(1.0, wins_count / _MANY_WINS)
    allowed = settings | {
        "trees": min(settings["trees"], 40 + wins_count // 2),
        "leaves": min(settings["leaves"], round(4 + share * max(settings["leaves"] - 4, 0))),
        "learning_rate": min(settings["learning_rate"], 0.03 + 0.07 * share),
        "pieces": min(settings["pieces"], max(2, wins_count // 100)),
        "min_leaf_outcomes": min(20.0, max(5.0, wins_count / 100)),
    }
    seen = y[["event", "duration", "as_of"]]
    if wins_count >= FEW_WINS:
        return IncidenceBooster(**allowed).fit(X, seen, sample_weight, groups=y["lead_id"])
    weight = _FEW_COUNT_FOR * (np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float))
    lines_alone = IncidenceBooster(**allowed | {"trees": 1, "first": (), "recalibrate": False})
    return lines_alone.fit(X, seen, weight, groups=y["lead_id"])


def few_wins_note(wins_count: int) -> str:
    """Say what forecasts from so few wins are."""
    return (
        f"only {wins_count} won leads to learn from (fewer than {FEW_WINS}): forecasts are smoothed rates of groups of "
        "leads, such as their source, and one straight line for each number, all drawn to the average; trust the order "
        "of large groups more than that of single leads"
    )
