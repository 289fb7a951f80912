"""Figures of merit: against definitions written out, and against the libraries that have them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from models import metrics


def _outcomes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.exponential([40.0, 60.0, 50.0], size=(rows, 3))
    return first.argmin(axis=1) % 3, first.min(axis=1)  # column 0: censored


def test_leads_censored_before_the_horizon_are_not_known() -> None:
    won, known = metrics.won_within([0, 0, 1, 1, 2], [10, 90, 30, 120, 5], 90)
    np.testing.assert_array_equal(known, [False, True, True, True, True])
    np.testing.assert_array_equal(won, [False, False, True, False, False])


def test_integrated_brier_score_agrees_with_hazardous() -> None:
    theirs = pytest.importorskip("hazardous.metrics").integrated_brier_score_incidence
    event, duration = _outcomes(600)
    event_before, duration_before = _outcomes(900, seed=1)
    times = np.linspace(1, 40, 40)
    incidence = np.random.default_rng(2).random((600, 1)) * (1 - np.exp(-times / 30))
    for outcome in (1, 2):
        ours = metrics.integrated_brier_score(
            event, duration, incidence, times, outcome, reference=(event_before, duration_before)
        )
        expected = theirs(
            pd.DataFrame({"event": event_before, "duration": duration_before}),
            pd.DataFrame({"event": event, "duration": duration}),
            incidence,
            times=times,
            event_of_interest=outcome,
        )
        assert ours == pytest.approx(expected, abs=1e-6)


def test_integrated_brier_score_is_least_for_the_truth() -> None:
    event, duration = _outcomes(20_000)
    times = np.linspace(1, 40, 20)
    ending = 1 / 60 + 1 / 50  # per day; censoring takes no part in the truth
    truth = np.tile(1 / 60 / ending * -np.expm1(-ending * times), (20_000, 1))
    scores = [metrics.integrated_brier_score(event, duration, f * truth, times, 1) for f in (0.7, 0.9, 1.0, 1.1, 1.3)]
    assert np.argmin(scores) == 2


def test_capture_does_not_hang_on_the_order_of_ties() -> None:
    value = np.array([10.0, 0.0, 0.0, 0.0, 30.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert metrics.capture_at(value, np.arange(10)[::-1], 0.1) == pytest.approx(0.25)
    assert metrics.capture_at(value, np.zeros(10), 0.3) == pytest.approx(0.3)
    assert metrics.capture_at(value, value, 1.0) == pytest.approx(1.0)
    assert np.isnan(metrics.capture_at(np.zeros(10), value, 0.1))


def test_concordance_counts_pairs_as_written_out() -> None:
    event, duration = _outcomes(60, seed=4)
    risk = np.random.default_rng(5).integers(0, 8, size=60).astype(float)
    right = pairs = 0.0
    for i in range(60):
        for j in range(60):
            if event[i] == 1 and i != j and (duration[j] > duration[i] or event[j] == 2):
                pairs += 1
                right += (risk[j] < risk[i]) + 0.5 * (risk[j] == risk[i])
    assert metrics.concordance(event, duration, risk) == pytest.approx(right / pairs)
    assert metrics.concordance((event == 1).astype(int), duration, -duration) == 1.0
    assert np.isnan(metrics.concordance([0, 0], [1.0, 2.0], [1.0, 2.0]))


def test_probabilities_that_hold_have_next_to_no_calibration_error() -> None:
    rng = np.random.default_rng(6)
    p = rng.beta(1, 6, size=20_000)
    won = rng.random(20_000) < p
    assert metrics.ece(won, p) < 0.01 < 0.1 < metrics.ece(won, p**0.5)
    assert metrics.brier(won, p) < metrics.brier(won, p**0.5)
    p_mean, observed, count = metrics.calibration_curve(won, p)
    assert count.sum() == 20_000
    np.testing.assert_allclose(p_mean, observed, atol=0.03)


def test_what_cannot_be_said_is_nan() -> None:
    assert np.isnan(metrics.auc([True, True], [1.0, 2.0]))
    assert np.isnan(metrics.forecast_ratio([1.0], [0.0]))
    assert np.isnan(metrics.interval_coverage([], [], []))


def test_auc_agrees_with_scikit_learn_with_ties_and_weights() -> None:
    rng = np.random.default_rng(8)
    won, ranking, weight = rng.random(300) < 0.2, rng.integers(0, 20, 300), rng.integers(0, 4, 300)
    assert metrics.auc(won, ranking) == pytest.approx(roc_auc_score(won, ranking))
    assert metrics.auc(won, ranking, weight) == pytest.approx(roc_auc_score(won, ranking, sample_weight=weight))
    assert metrics.brier(won, ranking / 20, weight) == pytest.approx(
        brier_score_loss(won, ranking / 20, sample_weight=weight)
    )


def test_concordance_agrees_with_scikit_survival() -> None:
    theirs = pytest.importorskip("sksurv.metrics").concordance_index_censored
    event, duration = _outcomes(300, seed=4)
    risk = np.random.default_rng(5).normal(size=300)
    single = (event == 1).astype(int)
    assert metrics.concordance(single, duration, risk) == pytest.approx(theirs(single == 1, duration, risk)[0])


def test_half_of_the_chance_has_come_by_the_median_day() -> None:
    times = np.array([10.0, 20.0, 40.0])
    curves = np.array([[0.1, 0.2, 0.4], [0.0, 0.3, 0.3], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(metrics.median_days(curves, times), [20.0, 15.0, np.nan])
    assert metrics.median([3.0, 1.0, 2.0]) == 2.0
    assert metrics.median([3.0, 1.0, 2.0], [5, 1, 1]) == 3.0
    assert np.isnan(metrics.median([]))


def test_a_lead_that_ranks_last_of_all_has_a_place_too() -> None:
    won = np.array([True, False, True, False])
    assert metrics.auc(won, [3.0, 1.0, 2.0, -np.inf]) == 1.0
    assert metrics.auc(won, [3.0, -np.inf, -np.inf, 1.0]) == pytest.approx(0.625)
