"""Figures on draws of leads: each draw is what the leads it holds would give, written out one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models import metrics
from models.baselines import AalenJohansen
from models.bootstrap import LeadDraws, interval
from models.forecast_metrics import Forecast, Outcomes, scorecard
from models.revenue import total_quantiles

IDS = np.array([f"L{number}" for number in range(400)])


def _came(seed: int = 0, truth: bool = False) -> Outcomes:
    rng = np.random.default_rng(seed)
    days = rng.exponential([400.0, 150.0, 200.0], size=(400, 3))
    event = days.argmin(axis=1)
    return Outcomes(
        event=event,
        duration=days.min(axis=1),
        amount=np.where(event == 1, rng.lognormal(8, 1, 400), np.nan),
        horizon_days=90.0,
        times=np.linspace(1, 90, 24),
        has_value=True,
        capacity=25,
        truth=(rng.random(400), rng.lognormal(5, 1, 400)) if truth else None,
    )


def _forecast(seed: int = 1) -> Forecast:
    rng = np.random.default_rng(seed)
    p, money = rng.beta(2, 6, 400), rng.lognormal(6, 1, 400).round(-2)
    curve = p[:, None] * np.linspace(0.1, 1, 24)
    incidence = np.stack([1 - 2 * curve, curve, curve], axis=1)
    return Forecast(money, p, money, incidence, (np.full(400, 1000.0), np.full(400, 8000.0)))


def test_each_draw_is_what_its_leads_would_give() -> None:
    came, forecast, draws = _came(truth=True), _forecast(), LeadDraws(IDS, 7, seed=3)
    found = scorecard(forecast, came, draws)
    for draw in (0, 3, 7):
        rows = np.repeat(np.arange(400), draws.weights(draw, draw + 1)[0].astype(int))
        known = rows[came.known[rows]]
        won, money = came.won[rows], forecast.ranking[rows]
        expected = {
            "auc": metrics.auc(came.won[known], forecast.p_win[known]),
            "brier": metrics.brier(came.won[known], forecast.p_win[known]),
            "capture_at_10": metrics.capture_at(came.revenue[rows], money, 0.1),
            "capture_at_capacity": metrics.capture_at(came.revenue[rows], money, 25 / 400),
            "wins_ratio": forecast.p_win[rows].sum() / won.sum(),
            "forecast_ratio": money.sum() / came.revenue[rows].sum(),
            "interval_coverage": metrics.interval_coverage(came.amount[rows][won], 1000.0, 8000.0),
            "true_revenue_ratio": money.sum() / came.truth[1][rows].sum(),
            "median_days_error": metrics.median(
                np.abs(metrics.median_days(forecast.incidence[rows, 1], came.times) - came.duration[rows])[won]
            ),
        }
        for name, value in expected.items():
            assert found[name][draw] == pytest.approx(value), name
    assert found["ece"][0] == pytest.approx(metrics.ece(came.won[came.known], forecast.p_win[came.known]))
    assert found["ece"][1:].mean() == pytest.approx(found["ece"][0])
    whole = [
        metrics.integrated_brier_score(came.event, came.duration, forecast.incidence[:, k], came.times, k)
        for k in (1, 2)
    ]
    assert found["ibs"][0] == pytest.approx(np.mean(whole))


def test_a_lead_counts_alike_wherever_it_stands() -> None:
    one, other = LeadDraws(IDS, 50), LeadDraws(IDS[::-2], 50)
    np.testing.assert_array_equal(one.weights(0, 51)[:, ::-2], other.weights(0, 51))
    np.testing.assert_array_equal(one.weights(7, 9), one.weights(0, 51)[7:9])
    drawn = one.weights(1, 51)
    assert drawn.mean() == pytest.approx(1.0, abs=0.03)
    assert drawn.var() == pytest.approx(1.0, abs=0.05)
    assert not np.array_equal(drawn, LeadDraws(IDS, 50, seed=1).weights(1, 51))
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.5


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for repeat in range(80):
        values = rng.normal(size=120)
        draws = LeadDraws(np.arange(120), 200, seed=repeat)
        low, high = interval(draws.measure({"mean": lambda w, values=values: metrics.mean(values, w)})["mean"], 0.8)
        covered += low <= 0 <= high
    assert 0.65 <= covered / 80 <= 0.93


def test_what_cannot_be_said_on_most_draws_has_no_interval() -> None:
    assert np.isnan(interval([1.0, np.nan, np.nan, 2.0])).all()
    assert interval([9.0, 1.0, 1.0, np.nan]) == (1.0, 1.0)


def test_totals_lie_in_their_interval_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    p, amount = rng.beta(1, 15, 800), rng.lognormal(9, 0.5, 800)
    low, high = total_quantiles(p, p * amount, float(np.exp(0.6**2)), 0.0)
    factor = rng.lognormal(-(0.6**2) / 2, 0.6, (400, 800))
    totals = ((rng.random((400, 800)) < p) * amount * factor).sum(axis=1)
    assert ((low <= totals) & (totals <= high)).mean() == pytest.approx(0.8, abs=0.06)
    wide = total_quantiles(p, p * amount, float(np.exp(0.6**2)), 0.3)
    assert wide[0] < low < high < wide[1]
    assert (total_quantiles(np.zeros(3), np.zeros(3), 1.0, 0.1) == 0).all()


def test_rates_by_age_find_the_rates_of_that_age() -> None:
    rng = np.random.default_rng(3)
    age, days = rng.uniform(0, 100, 20_000), rng.exponential(1, 20_000)
    # Won at 2% a day until day 50 of its life, at 0.5% after it; watched for 40 days from the date it was seen.
    until = np.maximum(50 - age, 0)
    first = days / 0.02
    won_in = np.where(first < until, first, until + np.maximum(days - 0.02 * until, 0) / 0.005)
    y = pd.DataFrame({"event": (won_in < 40).astype(int), "duration": np.minimum(won_in, 40)})
    found = AalenJohansen("age").fit(pd.DataFrame({"age": age}), y)
    at = pd.DataFrame({"age": [5.0, 45.0, 80.0]})
    true = 1 - np.exp(-np.array([0.02 * 20, 0.02 * 5 + 0.005 * 15, 0.005 * 20]))
    np.testing.assert_allclose(found.p_win(at, 20.0), true, atol=0.02)
    np.testing.assert_allclose(found.predict_cumulative_incidence(at, [10, 20]).sum(axis=1), 1.0)
