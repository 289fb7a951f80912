"""Numbers from words: what the encoding must keep, and must not leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.encoding import FrameEncoder


def _words(counts: dict[str, int]) -> pd.Series:
    return pd.Series(np.repeat(list(counts), list(counts.values())))


def test_numbers_pass_and_every_design_column_knows_its_own() -> None:
    X = pd.DataFrame(
        {"a": [1.0, np.nan], "b": ["x", None], "c": [True, False], "d": pd.array([1, None], dtype="Int64")}
    )
    encoder = FrameEncoder()
    design = encoder.fit_transform(X, np.zeros((2, 2)), np.ones((2, 2)))
    assert encoder.columns_ == ["a", "b", "b", "c", "d"]
    np.testing.assert_array_equal(design[:, [0, 3, 4]], [[1, 1, 1], [np.nan, 0, np.nan]])
    assert np.isfinite(design[0, 1:3]).all()
    assert np.isnan(design[1, 1:3]).all()


def test_categories_stand_in_the_order_of_observed_over_expected() -> None:
    X = pd.DataFrame({"source": _words({"good": 300, "poor": 300, "young": 300})})
    observed = np.repeat([0.6, 0.1, 0.02], 300)[:, None]
    expected = np.repeat([0.3, 0.3, 0.02], 300)[:, None]  # the young ones had no time yet
    encoder = FrameEncoder()
    encoder.fit_transform(X, observed, expected)
    good, poor, young = (encoder.categories_["source"][c][0] for c in ("good", "poor", "young"))
    assert good > 0 > poor
    assert young == pytest.approx(0.0)


def test_seldom_seen_categories_lie_nearer_to_the_average() -> None:
    X = pd.DataFrame({"source": _words({"many": 500, "few": 5})})
    encoder = FrameEncoder()
    encoder.fit_transform(X, np.ones((505, 1)), np.full((505, 1), 0.5))
    assert encoder.categories_["source"]["many"][0] > 3 * encoder.categories_["source"]["few"][0] > 0


def test_unseen_is_the_average_and_missing_stays_missing() -> None:
    X = pd.DataFrame({"source": ["a", "b", None] * 20})
    encoder = FrameEncoder()
    encoder.fit_transform(X, np.tile([[1.0], [0.0], [0.0]], (20, 1)), np.full((60, 1), 0.3))
    design = encoder.transform(pd.DataFrame({"source": ["never seen", None, np.nan, "a"]}))
    assert design[0, 0] == 0.0
    assert np.isnan(design[1:3, 0]).all()
    assert design[3, 0] > 0


def test_a_column_that_held_nothing_in_training_may_hold_anything_later() -> None:
    encoder = FrameEncoder()
    nothing = pd.DataFrame({"campaign": [None] * 4, "size": np.arange(4.0)})
    design = encoder.fit_transform(nothing, np.ones((4, 2)), np.ones((4, 2)))
    later = encoder.transform(pd.DataFrame({"campaign": ["autumn", 3.0], "size": [5.0, 6.0]}))
    assert design.shape[1] == later.shape[1] == 2
    assert np.isnan(later[:, 0]).all()
    assert later[:, 1].tolist() == [5, 6]


def test_a_category_of_one_lead_cannot_carry_its_own_outcome() -> None:
    rng = np.random.default_rng(0)
    leads = np.repeat(np.arange(400), 5)
    X = pd.DataFrame({"company": [f"company {i}" for i in leads]})
    won = np.repeat(rng.random(400) < 0.5, 5).astype(float)[:, None]
    design = FrameEncoder().fit_transform(X, won, np.full((2000, 1), 0.5), leads)
    np.testing.assert_array_equal(design, 0.0)


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_the_kind_of_text_column_does_not_matter(dtype: str) -> None:
    words = pd.Series(["a", "b", None, "c"] * 10)
    observed = np.tile([[1.0], [0.0], [0.5], [0.2]], (10, 1))
    expected = np.full((40, 1), 0.4)
    design = FrameEncoder().fit_transform(pd.DataFrame({"w": words.astype(dtype)}), observed, expected)
    plain = FrameEncoder().fit_transform(pd.DataFrame({"w": words}), observed, expected)
    np.testing.assert_array_equal(design, plain)


def test_what_cannot_be_a_feature_is_refused_by_name() -> None:
    y = np.zeros((2, 1))
    with pytest.raises(TypeError, match="'when' holds datetime64"):
        FrameEncoder().fit_transform(pd.DataFrame({"when": pd.to_datetime(["2024-01-01", "2024-01-02"])}), y, y + 1)
    with pytest.raises(ValueError, match="unique"):
        FrameEncoder().fit_transform(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), y, y + 1)
    encoder = FrameEncoder()
    encoder.fit_transform(pd.DataFrame({"size": [1.0, 2.0]}), y, y + 1)
    with pytest.raises(TypeError, match="'size' held numbers"):
        encoder.transform(pd.DataFrame({"size": ["large", "small"]}))
