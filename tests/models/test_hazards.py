"""Competing hazards on a time grid: what must hold for any margins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import hazards
from models.hazards import TimeGrid, cumulative_incidence, quantile_days


def _random_case(seed: int, outcomes: int = 2) -> tuple[np.ndarray, TimeGrid]:
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0.0], np.cumsum(rng.exponential(10.0, size=7))])
    grid = TimeGrid(edges, np.array([0, 0, 1, 1, 2, 2, 2]), rng.exponential(0.02, size=(outcomes, 7)))
    return rng.normal(scale=1.5, size=(5, outcomes, 3)), grid


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), outcomes=st.integers(1, 4))
def test_rows_sum_to_one_and_incidence_never_falls(seed: int, outcomes: int) -> None:
    margins, grid = _random_case(seed, outcomes)
    times = np.linspace(0, 3 * grid.bin_edges_days[-1], 200)
    found = cumulative_incidence(margins, grid, times)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    assert (np.diff(found[:, 1:], axis=2) >= -1e-15).all()
    assert (np.diff(found[:, 0], axis=1) <= 0).all()
    np.testing.assert_array_equal(found[:, 1:, 0], 0.0)


def test_agrees_with_fine_numerical_integration() -> None:
    margins, grid = _random_case(3)
    step = 0.002
    until = 1.3 * grid.bin_edges_days[-1]
    middle = np.arange(step / 2, until, step)
    at = grid.bin_of(middle)
    rates = grid.base_rates[:, at] * np.exp(margins)[:, :, grid.bin_piece[at]]
    passed = np.cumsum(rates.sum(axis=1) * step, axis=1)
    still_open = np.exp(-(passed - rates.sum(axis=1) * step / 2))
    expected = (rates * still_open[:, None, :]).sum(axis=2) * step
    found = cumulative_incidence(margins, grid, [len(middle) * step])[:, 1:, 0]
    np.testing.assert_allclose(found, expected, rtol=5e-4)


def test_order_of_times_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    margins, grid = _random_case(5)
    times = np.array([40.0, 0.0, 7.0, 400.0, 7.0])
    whole = cumulative_incidence(margins, grid, times)
    np.testing.assert_array_equal(
        whole[:, :, [1, 2, 0, 3]], cumulative_incidence(margins, grid, [0.0, 7.0, 40.0, 400.0])
    )
    monkeypatch.setattr(hazards, "_CHUNK_FLOATS", 1)
    np.testing.assert_array_equal(whole, cumulative_incidence(margins, grid, times))


def test_rates_of_zero_leave_leads_open() -> None:
    grid = TimeGrid(np.array([0.0, 1.0, 2.0]), np.array([0, 0]), np.zeros((2, 2)))
    found = cumulative_incidence(np.zeros((3, 2, 1)), grid, [0.5, 10.0])
    np.testing.assert_array_equal(found[:, 0], 1.0)
    assert np.isnan(quantile_days(np.zeros((3, 2, 1)), grid, [0.5], until_days=2.0)).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.01, 1.0), stretch=st.floats(0.2, 2.0))
def test_quantiles_invert_the_incidence(seed: int, share: float, stretch: float) -> None:
    margins, grid = _random_case(seed)
    until = stretch * grid.bin_edges_days[-1]
    days = quantile_days(margins, grid, [share], until, outcome=1)[:, 0]
    reached = [cumulative_incidence(margins[i : i + 1], grid, [days[i]])[0, 2, 0] for i in range(len(days))]
    final = cumulative_incidence(margins, grid, [until])[:, 2, 0]
    np.testing.assert_allclose(reached, share * final, rtol=1e-6, atol=1e-12)
    assert (days <= until).all()


@pytest.mark.parametrize(
    ("edges", "piece", "rates"),
    [
        ([1.0, 2.0], [0], [[0.1]]),
        ([0.0, 2.0, 2.0], [0, 0], [[0.1, 0.1]]),
        ([0.0, 2.0], [0, 1], [[0.1]]),
        ([0.0, 2.0], [1], [[0.1]]),
        ([0.0, 2.0], [0], [[-0.1]]),
    ],
)
def test_a_grid_that_cannot_be_is_refused(edges: list, piece: list, rates: list) -> None:
    with pytest.raises(ValueError, match=r"must|make"):
        TimeGrid(np.array(edges), np.array(piece), np.array(rates))


def test_margins_that_do_not_fit_are_refused() -> None:
    margins, grid = _random_case(1)
    with pytest.raises(ValueError, match=r"shape \(n, 2, 3\)"):
        cumulative_incidence(margins[:, :1], grid, [1.0])
    with pytest.raises(ValueError, match="times"):
        cumulative_incidence(margins, grid, [-1.0])
