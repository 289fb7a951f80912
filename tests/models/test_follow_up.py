"""What the past can tell of long horizons: all of it where nobody was open any more, nothing beyond where some were."""

import numpy as np
import pandas as pd
import pytest

from models.follow_up import observed_days
from models.forecaster import LeadForecaster


def snapshots(longest_days, *, decided=True, history_days=400, n=400):
    """Leads seen once each, decided within so many days; or open until the data end where they take longer."""
    rng = np.random.default_rng(0)
    seen = np.sort(rng.integers(0, history_days, n)).astype(float)
    duration = rng.uniform(0.5, longest_days, n)
    event = rng.integers(1, 3, n)
    if not decided:
        event[::4] = 0
        duration[::4] = np.maximum(history_days - seen[::4], 0.5)
    open_ = seen + duration > history_days
    event[open_], duration[open_] = 0, np.maximum(history_days - seen[open_], 0.5)
    amount = np.where(event == 1, 100.0, np.nan)
    y = pd.DataFrame({"event": event, "duration": duration, "amount": amount, "as_of": seen})
    y["lead_id"] = [f"L{i}" for i in range(n)]
    return pd.DataFrame({"x": rng.normal(size=n)}), y


def test_a_span_over_which_all_were_decided_was_observed():
    assert observed_days(snapshots(20)[1]) > 300


def test_a_span_longer_than_the_history_was_not():
    y = snapshots(20, history_days=60)[1]
    assert observed_days(y) < 60


def test_open_leads_bound_what_was_observed():
    y = snapshots(20, decided=False)[1]
    assert observed_days(y) == pytest.approx(y["duration"].max(), abs=40)


def test_a_horizon_after_the_last_decision_equals_that_at_it():
    X, y = snapshots(20)
    model = LeadForecaster(horizons_days=(10, 30, 90), primary_horizon_days=30, trees=2, random_state=0).fit(X, y)
    shown = model.predict(X, (15.0, 80.0))
    assert model.ever_days_ == 90
    assert "ever_is_shorter" not in model.notes_
    assert shown["p_win_30d"].notna().all()
    assert np.array_equal(shown["p_win_30d"], shown["p_win_90d"])
    assert (shown["p_win_10d"] < shown["p_win_30d"]).all()
    at_the_end, later = (model.curves(X, [days])[0] for days in (float(y["duration"].max()), 500.0))
    assert np.array_equal(at_the_end, later)
    quarters = shown["expected_revenue_this_quarter"] + shown["expected_revenue_next_quarter"]
    assert (shown["expected_revenue_ever"] >= quarters - 1e-9).all()
    again = LeadForecaster.from_dict(model.to_dict())
    assert again.predict(X, (15.0, 80.0)).equals(shown)


def test_a_quarter_that_ends_after_ever_is_left_out_and_says_so():
    X, y = snapshots(20)
    model = LeadForecaster(horizons_days=(10, 30), primary_horizon_days=30, trees=2, random_state=0).fit(X, y)
    shown, absent = model.predict(X, (20.0, 110.0)), model.absent((20.0, 110.0))
    assert shown["expected_revenue_this_quarter"].notna().all()
    assert shown["expected_revenue_next_quarter"].isna().all()
    assert "110 days, after 'ever' (30 days)" in absent["expected_revenue_next_quarter"]
    assert "expected_revenue_this_quarter" not in absent


def test_what_ever_means_does_not_contradict_itself():
    X, y = snapshots(20, history_days=60)
    model = LeadForecaster(horizons_days=(10, 30, 365), primary_horizon_days=30, trees=2, random_state=0).fit(X, y)
    assert "within 30 days here, the longest of horizons_days that was observed" in model.notes_["ever_is_shorter"]
