"""What a forecast has to beat, beaten here only by its own definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.baselines import AalenJohansen, ColumnRanking, LogisticBaseline


def _company(rows: int = 4000, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"size": rng.normal(size=rows), "source": rng.choice(["web", "fair", None], size=rows)})
    won = rng.exponential(80 * np.exp(-X["size"]))
    lost, seen = rng.exponential(100, size=rows), rng.uniform(5, 200, size=rows)
    first = np.stack([seen, won, lost], axis=1)
    as_of = pd.Timestamp("2026-01-01") - pd.to_timedelta(seen, unit="D")
    return X, pd.DataFrame({"event": first.argmin(axis=1), "duration": first.min(axis=1), "as_of": as_of})


def test_a_lead_without_the_column_comes_last() -> None:
    X = pd.DataFrame({"days": [3.0, np.nan, 1.0]})
    np.testing.assert_array_equal(np.argsort(-ColumnRanking("days").fit(X, X).rank_score(X)), [0, 2, 1])
    np.testing.assert_array_equal(np.argsort(-ColumnRanking("days", largest_first=False).rank_score(X)), [2, 0, 1])
    with pytest.raises(ValueError, match="'size'"):
        ColumnRanking("size").fit(X, X)


def test_logistic_regression_ranks_what_is_known_and_takes_new_words() -> None:
    X, y = _company()
    model = LogisticBaseline(horizon_days=60).fit(X, y)
    large, small = pd.DataFrame({"size": [2.0, -2.0], "source": ["web", "never seen"]}).pipe(model.p_win)
    assert large > 2 * small
    assert model.fit(X, y.assign(event=2)).p_win(X).max() == 0.0


def test_logistic_regression_does_not_learn_that_young_leads_always_win() -> None:
    X, y = _company()
    old_enough = pd.Timestamp("2026-01-01") - y["as_of"] >= pd.Timedelta(days=60)
    share_won = ((y["event"] == 1) & (y["duration"] <= 60))[old_enough].mean()
    assert LogisticBaseline(horizon_days=60).fit(X, y).p_win(X).mean() == pytest.approx(share_won, abs=0.01)


def test_aalen_johansen_without_censoring_is_the_share_that_ended() -> None:
    _, y = _company()
    y = y[y["event"] > 0]
    found = AalenJohansen().fit(y, y).predict_cumulative_incidence(y.iloc[:1], np.array([10.0, 60.0]))[0]
    for place, time in enumerate((10.0, 60.0)):
        for k in (1, 2):
            assert found[k, place] == pytest.approx(((y["event"] == k) & (y["duration"] <= time)).mean())
    np.testing.assert_allclose(found.sum(axis=0), 1.0)


def test_aalen_johansen_agrees_with_lifelines() -> None:
    lifelines = pytest.importorskip("lifelines")
    X, y = _company(500)
    theirs = lifelines.AalenJohansenFitter(calculate_variance=False).fit(y["duration"], y["event"], event_of_interest=1)
    curve = theirs.cumulative_density_.iloc[:, 0]
    ours = AalenJohansen().fit(X, y).p_win(X, 60.0)[0]
    assert ours == pytest.approx(curve[curve.index <= 60.0].iloc[-1], abs=1e-6)
