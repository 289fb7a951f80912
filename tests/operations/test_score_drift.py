"""Drift of inputs: equal shares are 0, what changed is named, and chance seldom is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.encoding import FrameEncoder
from pipeline.operations.score_drift import feature_drift, rejected, score_shift, stability_index


class Stored:
    """A model that keeps 200 of its training leads."""

    def __init__(self, training: pd.DataFrame) -> None:
        encoder = FrameEncoder()
        ones = np.ones((len(training), 1))
        encoder.fit_transform(training, np.random.default_rng(0).integers(0, 2, (len(training), 1)), ones)
        self.forecaster = self.incidence_ = self
        self.encoder_, self.feature_names_in_ = encoder, list(training.columns)
        self.background_ = [encoder.transform(training.iloc[:200])]


def leads(rng, count: int) -> pd.DataFrame:
    frame = pd.DataFrame({f"number_{k}": rng.normal(size=count) for k in range(20)})
    frame["source"] = rng.choice(["web", "fair", "call"], count)
    frame["constant"] = 1.0
    frame.loc[rng.random(count) < 0.3, "number_0"] = np.nan
    return frame


def test_the_same_population_seldom_drifts_and_a_changed_one_is_named():
    rng = np.random.default_rng(1)
    stored = Stored(leads(rng, 2000))
    same = [feature_drift(Stored(leads(rng, 200)), leads(rng, 500)) for _ in range(12)]
    assert sum(any(row["drifted"] for row in rows) for rows in same) <= 3
    changed = leads(rng, 1000)
    changed["number_5"] += 1.5
    changed["number_0"] = np.nan
    changed["constant"] = 2.0
    changed.loc[:399, "source"] = "podcast"
    rows = {row["feature"]: row for row in feature_drift(stored, changed)}
    assert {name for name, row in rows.items() if row["drifted"]} >= {"number_5", "number_0", "constant", "source"}
    assert rows["source"]["unseen_share"] == 0.4
    assert rows["number_0"]["missing_share"] == 1
    assert rows["number_5"]["unseen_share"] == 0


def test_false_discoveries_are_controlled():
    assert rejected(np.full(100, 0.03)).sum() == 100
    assert rejected(np.r_[0.03, np.full(99, 0.9)]).sum() == 0
    assert rejected([]).size == 0


def test_stability_is_symmetric_and_grows():
    assert stability_index([10, 20], [20, 10]) == pytest.approx(stability_index([20, 10], [10, 20]))
    assert stability_index([50, 50], [10, 90]) > stability_index([50, 50], [40, 60])


def test_scores_are_compared_with_the_night_before():
    tonight = pd.DataFrame({"lead_id": list("abcd"), "episode": 1, "rank": [1, 2, 3, 4], "score": [90, 60, 30, 10]})
    same = score_shift(tonight, tonight)
    assert (same["rank_correlation"], same["moved_share"]) == (1, 0)
    assert score_shift(tonight, None)["rank_correlation"] is None
