"""Reasons for any number of leads in bounded memory: block after block, each written before many more are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.shapley import ShapleyValues
from pipeline.common.degradation import Degradation
from pipeline.insights.contact_cadence import contact_cadence
from pipeline.insights.feature_groups import Signals, reliable_entries
from pipeline.insights.reasons import reasons
from pipeline.model_registry.model_artifact import StoredModel


@dataclass(frozen=True)
class Block:
    """Some leads in the order of their rank, and why they rank there.

    Parameters
    ----------
    rows : slice
        Their places in the ranking, from 0.
    X : data frame of shape (n, features)
        What the forecaster saw of them.
    attributions : ShapleyValues
        One row a lead.
    reasons : data frame of shape (n, 2)
        ``reasons_positive``, ``reasons_negative``.
    """

    rows: slice
    X: pd.DataFrame
    attributions: ShapleyValues
    reasons: pd.DataFrame


def explained_blocks(
    stored: StoredModel, X: pd.DataFrame, margins: np.ndarray, degraded: Sequence[Degradation] = ()
) -> Iterator[Block]:
    """Explain leads, block after block.

    Parameters
    ----------
    stored : StoredModel
        The model.
    X : data frame of shape (n, features)
        The leads to explain, by rank.
    margins : ndarray
        The forecaster's, of these leads.
    degraded : sequence of Degradation
        Sources that cannot be relied on: nothing that is read from them is a reason.

    Yields
    ------
    Block
    """
    signals = Signals(reliable_entries(stored.spec, degraded), list(X.columns), stored.facts.currency)
    typical = stored.typical()
    for attributions in stored.forecaster.explain_in_blocks(X, margins):
        index = attributions.points.index
        rows = slice(int(index[0]), int(index[-1]) + 1)
        seen = X.iloc[rows]
        cadence = contact_cadence(stored.won_leads, stored.spec, seen) if stored.won_leads else None
        why = reasons(signals, seen, attributions.points, attributions.money, typical, cadence)
        yield Block(rows, seen, attributions, why)
