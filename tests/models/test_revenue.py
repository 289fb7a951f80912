import numpy as np
import pytest

from models.hazards import TimeGrid, cumulative_incidence
from models.revenue import Gradients, expected_revenue, gradients, mean_days_to_win, p_win, total_quantiles

HORIZON, EVER = 90.0, 365.0


def make(seed, outcomes=2, bins=12, pieces=4, n=6, speed=0.01):
    """A random grid, margins and value margins; one bin without winning, one without anything."""
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0.0], np.sort(rng.uniform(1, 400, bins))])
    piece = np.sort(np.concatenate([np.arange(pieces), rng.integers(0, pieces, bins - pieces)]))
    rates = rng.gamma(1.0, speed, (outcomes, bins))
    rates[0, 2] = 0.0
    rates[:, 5] = 0.0
    return TimeGrid(edges, piece, rates), rng.normal(0, 1, (n, outcomes, pieces)), rng.normal(8, 1, (n, pieces))


def simulated(margins, values, grid, until, size=400_000):
    """Money, days and winning of one lead that is drawn many times."""
    rng = np.random.default_rng(1)
    draws = rng.exponential(size=size)
    times = np.linspace(0, until, 20_001)
    rates = (grid.base_rates * np.exp(margins)[:, grid.bin_piece])[:, grid.bin_of(times[1:])]
    hazard = np.concatenate([[0.0], np.cumsum(rates.sum(axis=0) * np.diff(times))])
    ended = np.interp(draws, hazard, times, right=np.inf)
    inside = np.isfinite(ended)
    at = grid.bin_of(np.where(inside, ended, 0.0))
    here = grid.base_rates[:, at] * np.exp(margins)[:, grid.bin_piece[at]]
    won = inside & (rng.uniform(size=size) * here.sum(axis=0) < here[0])
    return np.where(won, np.exp(values)[grid.bin_piece[at]], 0.0), ended, won


def shown(margins, values, grid):
    return (
        expected_revenue(margins, values, grid, [HORIZON])[:, 0],
        p_win(margins, grid, [HORIZON])[:, 0],
        mean_days_to_win(margins, grid, EVER),
    )


def lead_last(array):
    return np.ascontiguousarray(np.moveaxis(array, 0, -1))


@pytest.mark.parametrize("outcomes", [1, 2, 4])
def test_the_chance_to_be_won_is_the_cumulative_incidence_of_winning(outcomes):
    grid, margins, _ = make(0, outcomes)
    times = np.array([0.0, 1.0, 33.3, 90.0, 400.0, 900.0])
    np.testing.assert_allclose(
        p_win(margins, grid, times), cumulative_incidence(margins, grid, times)[:, 1], rtol=1e-12, atol=1e-15
    )


def test_expected_revenue_and_days_are_those_of_leads_that_are_drawn():
    grid, margins, values = make(3, n=1)
    money, ended, won = simulated(margins[0], values[0], grid, EVER)
    for horizon in (HORIZON, EVER):
        inside = np.where(won & (ended <= horizon), money, 0.0)
        expected = expected_revenue(margins, values, grid, [horizon])[0, 0]
        assert abs(inside.mean() - expected) < 5 * inside.std() / np.sqrt(len(inside))
    days = ended[won]
    assert abs(days.mean() - mean_days_to_win(margins, grid, EVER)[0]) < 5 * days.std() / np.sqrt(len(days)) + 0.01


def test_each_lead_may_have_its_own_day():
    grid, margins, values = make(4)
    days = np.linspace(0, 500, len(margins))
    together = expected_revenue(margins, values, grid, days[:, None])[:, 0]
    alone = [expected_revenue(margins[[i]], values[[i]], grid, [days[i]])[0, 0] for i in range(len(margins))]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_revenue_never_falls_with_time_and_starts_at_nothing():
    grid, margins, values = make(5)
    revenue = expected_revenue(margins, values, grid, np.linspace(0, 800, 200))
    assert (revenue[:, 0] == 0).all()
    assert (np.diff(revenue, axis=1) >= -1e-9).all()


def test_leads_do_not_depend_on_who_else_is_scored():
    grid, margins, values = make(6, n=20_000)
    together = expected_revenue(margins, values, grid, [HORIZON])
    np.testing.assert_array_equal(together[-5:], expected_revenue(margins[-5:], values[-5:], grid, [HORIZON]))
    days = mean_days_to_win(margins, grid, EVER)
    np.testing.assert_allclose(days[-5:], mean_days_to_win(margins[-5:], grid, EVER), rtol=1e-13)


@pytest.mark.parametrize("outcomes", [1, 2, 3])
@pytest.mark.parametrize("speed", [1e-9, 1e-3, 0.3])
def test_gradients_are_those_of_finite_differences(outcomes, speed):
    grid, margins, values = make(outcomes, outcomes, speed=speed)
    exact = gradients(lead_last(margins), lead_last(values), grid, HORIZON, EVER)
    step = 1e-4
    for margin in range(outcomes + 1):
        for piece in range(grid.pieces_count):
            ends = []
            for side in (2, 1, -1, -2):
                m, v = margins.copy(), values.copy()
                if margin < outcomes:
                    m[:, margin, piece] += side * step
                else:
                    v[:, piece] += side * step
                ends.append(shown(m, v, grid))
            for name, two, one, less, lesser, slope, level in zip(
                Gradients._fields, *ends, exact, shown(margins, values, grid), strict=True
            ):
                finite = (8 * (one - less) - (two - lesser)) / (12 * step)
                np.testing.assert_allclose(
                    slope[margin, piece], finite, atol=1e-9 * np.abs(level).max(), rtol=1e-7, err_msg=name
                )


def test_nothing_breaks_down_where_there_is_no_hazard():
    grid, margins, values = make(7, speed=1e-200)
    slopes = gradients(lead_last(margins), lead_last(values), grid, HORIZON, EVER)
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert np.isfinite(mean_days_to_win(margins, grid, EVER)).all()


@pytest.mark.parametrize(("count", "chance"), [(1, 0.02), (1, 0.3), (3, 0.3), (50, 0.02), (300, 0.1)])
def test_bounds_of_a_total_hold_however_few_leads_there_are(count, chance):
    rng = np.random.default_rng(count)
    p, amount = np.full(count, chance), rng.lognormal(7, 0.5, count)
    low, high = total_quantiles(p, p * amount, np.exp(0.5**2), 0.0)
    won = rng.random((20_000, count)) < p
    total = (won * amount * np.exp(0.5 * rng.normal(size=won.shape) - 0.125)).sum(axis=1)
    assert np.mean(total < low) < 0.11, "where none is often won, nothing lies within the bounds"
    assert np.mean(total > high) == pytest.approx(0.1, abs=0.04) if chance * count > 0.1 else high == 0


def test_shapes_that_do_not_fit_are_named():
    grid, margins, values = make(8)
    with pytest.raises(ValueError, match="value_margins must have shape"):
        expected_revenue(margins, values[:, :2], grid, [30])
    with pytest.raises(ValueError, match="until_days must be days"):
        expected_revenue(margins, values, grid, [-1.0])
    with pytest.raises(ValueError, match="horizon_days"):
        gradients(lead_last(margins), lead_last(values), grid, 90.0, 30.0)
