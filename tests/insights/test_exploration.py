"""Exploration: places drawn below the ranks, with the probability that they really have."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.insights.exploration import explore

LEADS = [f"L{n}" for n in range(12)]


@pytest.mark.parametrize("share", [0.25, 0.3, 0.05, 1.0])
def test_leads_are_shown_as_often_as_is_logged(share):
    times, logged = np.zeros(len(LEADS)), np.full(len(LEADS), np.nan)
    drawn = 0
    for night in range(4000):
        shown = explore(LEADS, 4, share, 7, f"ana {night}")
        assert len({one.index for one in shown}) == len(shown) == 4
        drawn += sum(one.explored for one in shown)
        for one in shown:
            times[one.index] += 1
            assert np.isnan(logged[one.index]) or logged[one.index] == pytest.approx(one.probability)
            logged[one.index] = one.probability
    np.testing.assert_allclose(times / 4000, logged, atol=0.035)
    assert drawn / 4000 == pytest.approx(4 * share, abs=0.05)
    assert np.nansum(logged) == pytest.approx(4)


def test_the_same_day_draws_the_same_and_without_a_share_ranks_stay():
    assert explore(LEADS, 5, 0.4, 1, "ana 1") == explore(LEADS, 5, 0.4, 1, "ana 1")
    assert [explore(LEADS, 5, 0.4, 1, f"ana {day}") for day in range(5)].count(explore(LEADS, 5, 0.4, 1, "ana 0")) == 1
    assert [one.index for one in explore(LEADS, 5, 0.0, 1, "x")] == [0, 1, 2, 3, 4]
    assert all(one.probability == 1 and not one.explored for one in explore(LEADS[:3], 5, 0.5, 1, "x"))
    assert explore([], 5, 0.5, 1, "x") == []
