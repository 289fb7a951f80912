import numpy as np
import pandas as pd
import pytest

from models.deal_value import ValueBooster
from models.hazards import TimeGrid

GRID = TimeGrid(np.array([0, 10, 30, 60, 120, 250.0]), np.array([0, 0, 1, 2, 2]), np.full((1, 5), 0.01))


def won_leads(
    count=600, seed=0, zeros=0.0, sigma=0.8, growth=0.0, unit=1.0, is_noise=False, by_days=0.5, zeros_by_trade=False,
    sigma_of_large=None,
):  # fmt: skip
    """Snapshots of won leads, in the order of winning; slow deals are large, and amounts may grow with the calendar."""
    rng = np.random.default_rng(seed)
    size, trade = rng.lognormal(0, 1, count), rng.integers(0, 3, count)
    days = rng.exponential(30, count) * (1 + size / 4)
    won_at = np.sort(rng.uniform(0, 700, count))
    mean = 1000 * unit * size**0.7 * np.array([0.6, 1.0, 1.8])[trade] * (1 + days / 60) ** by_days
    mean *= np.exp(growth * won_at / 700)
    sigma = np.where(size > 1, sigma if sigma_of_large is None else sigma_of_large, sigma)
    zeros = np.array([0.1, 0.4, 0.8])[trade] if zeros_by_trade else np.full(count, zeros)
    amount = mean * np.exp(sigma * rng.normal(size=count) - sigma**2 / 2) * (rng.uniform(size=count) >= zeros)
    lead = np.repeat(np.arange(count), np.clip(days // 20, 1, 8).astype(int))
    X = pd.DataFrame(
        {
            "acct_size": size[lead],
            "acct_trade": np.array(["bakery", "garage", "hospital"], dtype=object)[trade[lead]],
            "junk": rng.normal(size=len(lead)),
        }
    )
    if is_noise:
        X = X.iloc[rng.permutation(len(X))].reset_index(drop=True)
    left = days[lead] * rng.uniform(0.05, 1, len(lead))
    return X, amount[lead], left, lead, won_at[lead], (mean * (1 - zeros))[lead]


def fit(wins, rows=slice(None), **settings):
    X, amount, days, lead, won_at, _ = wins
    return ValueBooster(random_state=0, threads=1, **settings).fit(
        X[rows], amount[rows], days[rows], GRID, groups=lead[rows], won_at=won_at[rows]
    )


def expected(value, X, days):
    return np.exp(value.margins(X))[np.arange(len(X)), GRID.bin_piece[GRID.bin_of(days)]]


def per_lead(lead):
    return 1 / np.bincount(lead)[lead]


def test_recovers_the_mean_amount_and_its_dependence_on_time():
    wins = won_leads(3000)
    X, _, days, lead, _, mean = wins
    error = np.abs(np.log(expected(fit(wins), X, days) / mean))
    spread = np.abs(np.log(mean) - np.average(np.log(mean), weights=per_lead(lead)))
    assert np.average(error, weights=per_lead(lead)) < 0.4 * np.average(spread, weights=per_lead(lead))
    middle = X.assign(acct_size=1.0).iloc[:200]
    margins = fit(wins).margins(middle)
    assert margins.shape == (200, GRID.pieces_count)
    assert margins[:, -1].mean() > margins[:, 0].mean() + 0.2


@pytest.mark.parametrize("zeros", [0.0, 0.5])
def test_the_total_is_right_on_deals_won_later(zeros):
    ratios = []
    for seed in range(6):
        wins = won_leads(1500, seed, zeros=zeros)
        X, amount, days, lead, won_at, _ = wins
        weight, later = per_lead(lead), won_at > 500
        value = fit(wins, ~later)
        ratios.append((weight * expected(value, X, days))[later].sum() / (weight * amount)[later].sum())
    assert abs(np.mean(np.log(ratios))) < 0.08


def test_follows_amounts_that_grow():
    wins = won_leads(2000, growth=1.0)
    X, amount, days, lead, won_at, _ = wins
    weight, later = per_lead(lead), won_at > 500
    value = fit(wins, ~later)
    assert value.held_out_ratio_ < 0.9
    mean = np.average(amount[~later], weights=weight[~later])
    followed = (weight * expected(value, X, days))[later].sum() / (weight * amount)[later].sum()
    stood_still = weight[later].sum() * mean / (weight * amount)[later].sum()
    assert abs(np.log(followed)) < 0.6 * abs(np.log(stood_still))


@pytest.mark.parametrize("sigma_of_large", [0.8, 1.6])
def test_eighty_percent_intervals_hold_eighty_percent_of_deals_won_later_large_or_small(sigma_of_large):
    covered = []
    for seed in range(6):
        wins = won_leads(1500, seed, sigma=0.8 if sigma_of_large == 0.8 else 0.4, sigma_of_large=sigma_of_large)
        X, amount, days, lead, won_at, _ = wins
        later = won_at > 500
        value = fit(wins, ~later)
        assert value.interval_factors_.shape == (3, 2)
        forecast = expected(value, X[later], days[later])
        low, high = value.interval(forecast)
        weight, inside = per_lead(lead)[later], (low <= amount[later]) & (amount[later] <= high)
        large = forecast > np.median(forecast)
        covered.append([np.average(inside[rows], weights=weight[rows]) for rows in (large, ~large)])
    assert (np.abs(np.mean(covered, axis=0) - 0.8) < 0.06).all()


def test_few_wins_share_one_interval():
    assert fit(won_leads(80)).interval_factors_.shape == (1, 2)


@pytest.mark.parametrize("by_days", [0.0, 2.0])
def test_amounts_hang_on_the_time_to_win_only_where_held_out_deals_say_so(by_days):
    wins = won_leads(800, by_days=by_days, sigma=0.4)
    value = fit(wins)
    assert value.follows_days_ == (by_days > 0)
    margins = value.margins(wins[0].iloc[:50])
    assert (np.ptp(margins, axis=1) > 0.1).all() if by_days else (np.ptp(margins, axis=1) == 0).all()


def test_zeros_that_hang_on_something_else_than_amounts_are_learnt_apart():
    wins = won_leads(2000, zeros_by_trade=True, sigma=0.4)
    value = fit(wins)
    assert value.in_two_parts_
    assert not fit(won_leads(600)).in_two_parts_
    total = np.average(expected(value, wins[0], wins[2]), weights=per_lead(wins[3]))
    assert 0.8 < total / np.average(wins[1], weights=per_lead(wins[3])) < 1.25


def test_some_tens_of_deals_tell_segments_apart():
    errors = []
    for seed in range(5):
        X, _, days, lead, _, mean = wins = won_leads(60, seed)
        weight, error = per_lead(lead), np.abs(np.log(expected(fit(wins), X, days) / mean))
        errors.append([np.average(e, weights=weight) for e in (error, np.abs(np.log(mean / (weight @ mean) * 60)))])
    assert np.mean(errors, axis=0)[0] < 0.75 * np.mean(errors, axis=0)[1]


def test_the_unit_of_money_does_not_matter():
    euros, cents = fit(won_leads(400)), fit(won_leads(400, unit=100.0))
    X = won_leads(400)[0]
    np.testing.assert_allclose(cents.margins(X), euros.margins(X) + np.log(100), atol=1e-6)
    np.testing.assert_allclose(cents.interval_factors_, euros.interval_factors_, rtol=1e-6)


def test_snapshots_of_one_lead_count_once():
    X, amount, days, lead, won_at, _ = won_leads(300)
    small = amount < np.median(amount)
    rows = np.concatenate([np.arange(len(X)), np.repeat(np.flatnonzero(small), 9)])
    value = fit((X.iloc[rows].reset_index(drop=True), amount[rows], days[rows], lead[rows], won_at[rows], None))
    once = fit((X, amount, days, lead, won_at, None))
    assert value.wins_count_ == once.wins_count_ == 300
    mean = np.average(expected(value, X, days), weights=per_lead(lead))
    assert 0.85 < mean / np.average(expected(once, X, days), weights=per_lead(lead)) < 1.15


@pytest.mark.parametrize("count", [40, 200, 800])
@pytest.mark.parametrize("seed", range(3))
def test_features_that_say_nothing_leave_the_mean(seed, count):
    wins = won_leads(count, seed, is_noise=True)
    X, _, _, _, _, mean = wins  # the time to winning says something, as in life: one time for all
    assert np.std(np.log(expected(fit(wins), X, np.full(len(X), 20.0)))) < 0.3 * np.std(np.log(mean))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_handful_of_deals_gives_numbers(count):
    wins = won_leads(count)
    value = fit(wins)
    assert np.isfinite(value.margins(wins[0])).all()
    assert np.isfinite(value.interval_factors_).all()
    total = np.average(wins[1], weights=per_lead(wins[3]))
    assert 0.3 < np.exp(value.margins(wins[0])).mean() / total < 3
    low, high = value.interval_factors_.T
    assert (low < 0.2).all()
    assert (high > 2).all(), "a handful tells no narrow interval"


@pytest.mark.parametrize("paid", [0, 150, 299])
def test_amounts_may_be_zero_in_all_wins_but_one(paid):
    X, amount, days, lead, won_at, _ = won_leads(300)
    amount = np.where(lead == paid, amount, 0.0)
    value = fit((X, amount, days, lead, won_at, None))
    total = np.average(expected(value, X, days), weights=per_lead(lead))
    assert total == pytest.approx(np.average(amount, weights=per_lead(lead)), rel=0.05)


def test_a_refund_counts_in_the_level():
    X, amount, days, lead, won_at, _ = won_leads(300)
    refunded = np.where(lead % 30 == 0, -amount, amount)
    value = fit((X, refunded, days, lead, won_at, None))
    total = np.average(expected(value, X, days), weights=per_lead(lead))
    assert total < np.average(amount, weights=per_lead(lead))


def test_what_cannot_be_learnt_from_is_named():
    wins = won_leads(20)
    with pytest.raises(ValueError, match="add up to more than 0"):
        fit((wins[0], np.zeros(len(wins[1])), *wins[2:]))
    with pytest.raises(ValueError, match="must be finite"):
        fit((wins[0], np.full(len(wins[1]), np.nan), *wins[2:]))
