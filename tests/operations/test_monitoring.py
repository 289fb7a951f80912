"""Evidence may be looked at every night: at most one on average under the null; it grows where forecasts are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.operations.monitoring import ALARM, delayed, dispersion_of, follow, log_e_value, weight_of

MONTHS = range(0, 360, 30)


@pytest.mark.parametrize("level", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("expected", [0.5, 8.0, 60.0])
def test_the_e_value_is_at_most_one_on_average_at_every_level_allowed(level, expected):
    wins = np.arange(1000)
    mean = np.exp(stats.poisson.logpmf(wins, level * expected) + log_e_value(wins, expected, 0.9, 1.1)).sum()
    assert mean <= 1 + 1e-9


def test_without_tolerance_the_mean_is_exactly_one():
    wins = np.arange(1000)
    assert np.exp(stats.poisson.logpmf(wins, 40) + log_e_value(wins, 40)).sum() == pytest.approx(1)


def test_tolerance_never_adds_evidence_and_signs_agree():
    wins = np.arange(0, 200)
    assert (log_e_value(wins, 80, 0.9, 1.1) <= log_e_value(wins, 80) + 1e-9).all()
    assert log_e_value([10, 200], 80, 0.9, 1.1).min() > np.log(ALARM)
    assert np.isfinite(log_e_value([0, 5_000], [5_000, 100])).all()


def alarms(rates, *, bulk=1, tolerance=0.0, dispersion=None, years=100):
    rng = np.random.default_rng(7)
    found = []
    for _ in range(years):
        wins = bulk * rng.poisson(rates / bulk)
        evidence = follow(wins, np.full(360, 40 / 30), MONTHS, dispersion=dispersion or bulk, tolerance=tolerance)
        found.append(evidence.alarm_day())
    return found


@pytest.mark.parametrize("bulk", [1, 3])
def test_right_forecasts_seldom_alarm_however_the_level_wanders_in_the_tolerance(bulk):
    wandering = 40 / 30 * (1 + 0.1 * np.sign(np.sin(np.arange(360) / 20)))
    found = alarms(wandering, bulk=bulk, tolerance=0.1)
    assert sum(day is not None for day in found) <= 8


def test_wins_in_bulk_would_alarm_without_dispersion():
    rates = np.full(360, 40 / 30)
    assert sum(day is not None for day in alarms(rates, bulk=3, dispersion=1.0)) > 20


def test_a_step_is_found_and_dated_near_where_it_happened():
    rates = np.where(np.arange(360) >= 180, 1.5, 1.0) * 40 / 30
    found = alarms(rates)
    assert np.median([360 if day is None else day for day in found]) - 180 < 60
    evidence = follow(np.where(np.arange(360) >= 180, 4, 2), np.full(360, 2.0), MONTHS)
    assert evidence.since[-1] == 180


def test_days_to_come_change_nothing_said_before():
    wins = np.random.default_rng(0).poisson(1.3, 360)
    whole, part = (follow(wins[:days], np.full(days, 1.3), range(0, days, 30)) for days in (360, 200))
    assert np.allclose(whole.log_e[:200], part.log_e)


def test_delays_keep_wins_and_put_them_later():
    rates = np.full(50, 2.0)
    late = delayed(rates, [10] * 30)
    assert late[:10].sum() == 0
    assert late[10:] == pytest.approx(2.0)
    assert (np.cumsum(delayed(rates, [0, 3, 200])) <= np.cumsum(rates) + 1e-9).all()
    assert delayed(rates, []) == pytest.approx(rates)


def test_dispersion_is_that_of_bulks_and_not_of_weekdays():
    rng = np.random.default_rng(3)
    weekdays = np.tile([2.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0], 600)
    assert dispersion_of(rng.poisson(weekdays)) == pytest.approx(1, abs=0.2)
    assert dispersion_of(4 * rng.poisson(0.3, 7000)) == pytest.approx(4, rel=0.2)
    assert dispersion_of([3, 0, 9]) == 1


def test_weights_of_segments_sum_to_one():
    assert sum(map(weight_of, range(10**5))) == pytest.approx(1, abs=1e-3)
