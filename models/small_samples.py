"""How complex a model so many wins support: measured on companies whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.incidence import IncidenceBooster

FEW_WINS = 120
"""Fewer are too few for trees."""
FEW_WINS_TO_JUDGE, LEAST_WINS_TO_JUDGE, FEW_WINS_OF_SEGMENT = 100, 10, 20
"""Wins at past dates: fewer than the first judge with doubt, than the second nothing, than the third no segment."""
_MANY_WINS = 1500
_FEW_COUNT_FOR = 1 / 3


def fit_incidence(
    X: pd.DataFrame, y: pd.DataFrame, sample_weight: Any, wins_count: int, settings: dict[str, Any]
) -> IncidenceBooster:
    """Fit chances and times: as complex as `settings` allow from 1500 wins on, less so from fewer.

    With fewer than 120 wins there are no trees, and nothing is held out, because both would only follow noise. What
    remains are lines: each group of leads has its own rate, observed over expected, and each number one slope, all of
    them shrunk to the average until some thirty wins speak against it (each win counts a third against the usual prior
    of ten). The result is an `IncidenceBooster` all the same, so everything built on one works alike.

    Parameters
    ----------
    X, y, sample_weight
        As in `models.forecaster.LeadForecaster.fit`.
    wins_count : int
        Won leads.
    settings : dict
        Parameters of `IncidenceBooster` for many wins.

    Returns
    -------
    IncidenceBooster
    """
    share = min(1.0, wins_count / _MANY_WINS)
    allowed = settings | {
        "trees": min(settings["trees"], 40 + wins_count // 2),
        "leaves": min(settings["leaves"], round(4 + share * max(settings["leaves"] - 4, 0))),
        "learning_rate": min(settings["learning_rate"], 0.03 + 0.07 * share),
        "pieces": min(settings["pieces"], max(2, wins_count // 100)),
        "min_leaf_outcomes": min(20.0, max(5.0, wins_count / 100)),
    }
    labels = y[["event", "duration", "as_of"]]
    if wins_count >= FEW_WINS:
        return IncidenceBooster(**allowed).fit(X, labels, sample_weight, groups=y["lead_id"])
    weight = _FEW_COUNT_FOR * (np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float))
    lines_alone = IncidenceBooster(**allowed | {"trees": 1, "early_features": (), "recalibrate": False})
    return lines_alone.fit(X, labels, weight, groups=y["lead_id"])


def few_wins_note(wins_count: int) -> str:
    """Return what a reader should know of forecasts from so few wins."""
    return (
        f"only {wins_count} won leads to train on (fewer than {FEW_WINS}): forecasts are smoothed rates of groups of "
        "leads, such as their source, and one straight line for each number, all shrunk to the average; trust the "
        "order of large groups more than that of single leads"
    )
