"""Aalen–Johansen: by hand, beside scikit-survival, and the properties of its intervals."""

from __future__ import annotations

import numpy as np
import pytest

from models.aalen_johansen import COMPETING, LEFT, aalen_johansen, group_curves, group_figures, poisson_weights


def drawn(n: int, seed: int = 0, *, in_days: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    duration = rng.exponential(60, n)
    return np.ceil(duration) if in_days else duration, rng.choice([0, LEFT, COMPETING], n, p=[0.3, 0.4, 0.3])


def test_by_hand_with_ties_and_a_competing_end():
    duration = np.array([1.0, 2, 2, 2, 3, 4])
    event = np.array([LEFT, LEFT, COMPETING, 0, LEFT, 0])
    times, incidence, at_risk = aalen_johansen(duration, event)
    assert times.tolist() == [1, 2, 3, 4]
    assert at_risk.tolist() == [6, 5, 2, 1]
    # 1/6; then 5/6 still there, of whom 1/5 leave; then 5/6 · 3/5 = 1/2, of whom 1/2.
    np.testing.assert_allclose(incidence, [1 / 6, 1 / 6 + 1 / 6, 1 / 3 + 1 / 4, 1 / 3 + 1 / 4])


def test_agrees_with_scikit_survival():
    nonparametric = pytest.importorskip("sksurv.nonparametric")
    duration, event = drawn(400)
    times, theirs = nonparametric.cumulative_incidence_competing_risks(event, duration)
    ours = aalen_johansen(duration, event)
    np.testing.assert_array_equal(times, ours[0])
    np.testing.assert_allclose(theirs[1], ours[1], atol=1e-12)


def test_agrees_with_a_product_over_every_time_written_out():
    duration, event = drawn(150, seed=3)
    total, still_there = 0.0, 1.0
    for time in sorted(set(duration)):
        watched = (duration >= time).sum()
        total += still_there * ((duration == time) & (event == LEFT)).sum() / watched
        still_there *= 1 - ((duration == time) & (event > 0)).sum() / watched
        place = np.searchsorted(aalen_johansen(duration, event)[0], time)
        assert aalen_johansen(duration, event)[1][place] == pytest.approx(total)


def test_without_censoring_it_is_the_share():
    duration, event = drawn(200)
    event = np.where(event == 0, COMPETING, event)
    figures, _ = group_figures(duration, event, np.zeros(200, dtype=int), 1, (30.0, 90.0, 3650.0))
    shares = [((event == LEFT) & (duration <= h)).mean() for h in (30.0, 90.0, 3650.0)]
    np.testing.assert_allclose(figures[0, :3], shares)
    assert figures[0, 3] == pytest.approx(shares[-1])
    # Half of those who leave have left by the median.
    assert np.quantile(duration[event == LEFT], 0.5, method="inverted_cdf") == pytest.approx(figures[0, 4])


def test_nothing_is_said_of_a_time_for_which_nobody_was_watched():
    duration, event = np.full(50, 20.0), np.zeros(50, dtype=int)
    duration[:5], event[:5] = 10.0, LEFT
    figures, _ = group_figures(duration, event, np.zeros(50, dtype=int), 1, (15.0, 30.0))
    assert figures[0, 0] == pytest.approx(0.1)
    assert np.isnan(figures[0, 1:]).all()
    ended = np.where(event == 0, COMPETING, event)
    known, _ = group_figures(duration, ended, np.zeros(50, dtype=int), 1, (15.0, 30.0))
    np.testing.assert_allclose(known[0, :4], [0.1, 0.1, 0.1, 10.0])  # nobody was left to leave later


@pytest.mark.parametrize("in_days", [True, False])
def test_intervals_hold_the_estimate_and_groups_do_not_touch_each_other(in_days):
    duration, event = drawn(300, in_days=in_days)
    group = np.repeat([0, 1, 2], 100)
    weights = poisson_weights(300, 100, 0)
    cluster = np.arange(300)
    every = group_curves(duration, event, group, 3, cluster, weights, (30.0, 90.0))
    alone = group_curves(duration[:100], event[:100], group[:100], 1, cluster[:100], weights, (30.0, 90.0))
    for found, own in ((every.ever, alone.ever), (every.chances[30.0], alone.chances[30.0])):
        assert (found.low < found.value).all()
        assert (found.value < found.high).all()
        assert found.value[0] == own.value[0]
        assert found.low[0] == pytest.approx(own.low[0], abs=0.02)  # each has its own grid of times
    assert (every.median.low <= every.median.value).all()


def test_leads_of_one_account_are_worth_fewer_than_independent_ones():
    duration, event = drawn(60)
    duration, event = np.tile(duration, 10), np.tile(event, 10)
    group, weights = np.zeros(600, dtype=int), poisson_weights(600, 200, 0)
    apart = group_curves(duration, event, group, 1, np.arange(600), weights, (90.0,)).ever
    together = group_curves(duration, event, group, 1, np.tile(np.arange(60), 10), weights, (90.0,)).ever
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio[0] == pytest.approx(np.sqrt(10), rel=0.25)


def test_where_nobody_left_the_interval_is_that_of_so_many_tries():
    duration, event = np.arange(1.0, 31), np.full(30, COMPETING)
    curves = group_curves(
        duration, event, np.zeros(30, dtype=int), 1, np.arange(30), poisson_weights(30, 50, 0), (90.0,)
    )
    assert curves.ever.value[0] == 0
    assert curves.ever.low[0] == 0
    assert 0.02 < curves.ever.high[0] < 0.10
