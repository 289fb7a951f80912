"""Straight lines: slopes found again, drawn to nothing where nothing is known, and a share of them that fits."""

import numpy as np
import pytest

from models.calibration import share_of_lines, slope_of
from models.linear import Lines
from models.risk_set import RiskSet

PIECES = 4


def drawn(n=20_000, seed=0, soon=0.7, later=0.0):
    """Outcomes whose log-rate hangs on the first column, in the first half of the pieces otherwise than after it."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=(n, 3))
    numbers = np.sign(logs) * np.expm1(np.abs(logs))
    numbers[rng.random(n) < 0.2, 2] = np.nan
    row, piece = np.repeat(np.arange(n), PIECES), np.tile(np.arange(PIECES), n)
    expected = np.full(len(row), 0.02)
    effect = np.where(piece < PIECES // 2, soon, later) * logs[row, 0] + 0.5 * np.isnan(numbers[row, 2])
    return numbers, row, piece, rng.poisson(expected * np.exp(effect)).astype(float), expected


def fit(data, weight=None, monotone_increasing=(False, False, False)):
    numbers, row, piece, observed, expected = data
    weight = np.ones(len(numbers)) if weight is None else weight
    risk = RiskSet(row, piece, observed, expected, weight[row])
    return Lines.fit(numbers, weight, risk, PIECES, np.array(monotone_increasing), seed=0)


def entries(observed, expected, weight):
    """A risk set of one entry per row, all in one piece of time."""
    return RiskSet(np.arange(len(observed)), np.zeros(len(observed), dtype=int), observed, expected, weight)


def test_slopes_and_gaps_are_found_again_soon_and_later():
    lines = fit(drawn())
    np.testing.assert_allclose(lines.slope[:, 0] / lines.scale[0], [0.7, 0.7, 0.0, 0.0], atol=0.06)
    np.testing.assert_allclose(lines.slope[:, 1], 0.0, atol=0.06)
    np.testing.assert_allclose(lines.missing_effect[:, 2], 0.5, atol=0.12)
    assert [pieces.tolist() for pieces in lines.phases()] in ([[0, 1], [2, 3]], [[2, 3], [0, 1]])


def test_parts_add_up_and_come_back_from_json_bit_for_bit():
    numbers = drawn(500)[0]
    lines = fit(drawn(500))
    again = Lines.from_dict(lines.to_dict())
    np.testing.assert_array_equal(lines.margins(numbers), again.margins(numbers))
    for pieces, parts in lines.parts(numbers):
        whole = lines.constant[pieces[0]] + parts.sum(axis=1)
        np.testing.assert_array_equal(lines.margins(numbers)[:, pieces], np.column_stack([whole] * len(pieces)))


def test_expected_outcomes_add_up_to_the_observed_ones():
    data = drawn(4000)
    numbers, row, piece, observed, expected = data
    fitted = expected * np.exp(fit(data).margins(numbers)[row, piece])
    for half in (piece < PIECES // 2, piece >= PIECES // 2):
        assert fitted[half].sum() == pytest.approx(observed[half].sum(), rel=1e-3)


def test_few_outcomes_say_little_and_none_nothing():
    numbers, row, piece, observed, expected = drawn(4000)
    few = np.where(np.cumsum(observed) <= 3, observed, 0.0)
    few_lines, all_lines = fit((numbers, row, piece, few, expected * few.sum() / observed.sum())), fit(drawn(4000))
    assert np.abs(few_lines.slope).max() < np.abs(all_lines.slope).max() / 2
    assert not fit((numbers, row, piece, 0 * observed, expected)).margins(numbers).any()


def test_a_weight_of_two_is_two_rows_and_a_constant_column_says_nothing():
    numbers, row, piece, observed, expected = drawn(1000)
    numbers = np.column_stack([numbers[:, :2], np.full(len(numbers), 7.0)])
    once = fit((numbers, row, piece, observed, expected), np.full(1000, 2.0))
    twice = fit(
        (np.tile(numbers, (2, 1)), np.r_[row, row + 1000], *(np.tile(v, 2) for v in (piece, observed, expected)))
    )
    np.testing.assert_allclose(once.margins(numbers), twice.margins(numbers), atol=1e-6)
    assert not once.slope[:, 2].any()


def test_a_rising_column_never_lowers():
    assert (fit(drawn(2000, soon=-0.7), monotone_increasing=(True, False, False)).slope[:2, 0] == 0).all()


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_the_share_goes_to_what_foretold_and_half_where_nothing_was_observed(truth):
    rng = np.random.default_rng(0)
    trees, lines = rng.normal(size=(2, 20_000))
    expected = np.full(20_000, 0.1)
    observed = rng.poisson(expected * np.exp((1 - truth) * trees + truth * lines)).astype(float)
    ones, period = np.ones(20_000), np.arange(20_000) // 10_000
    assert share_of_lines(trees, lines, entries(observed, expected, ones), period) == truth
    assert share_of_lines(trees, lines, entries(observed, expected, ones * 1e-6), period) == 0.5


def test_the_slope_is_that_of_a_model_that_learns_from_all_outcomes() -> None:
    """Half of the outcomes leave twice the noise in margins: the slope is fitted on those, and used on the others."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=40_000)
    observed = (rng.random(40_000) < np.minimum(0.05 * np.exp(signal), 1.0)).astype(float)
    of_all, of_half = (signal + rng.normal(scale=scale, size=40_000) for scale in (0.5, 0.5 * np.sqrt(2)))
    risk, period = entries(observed, np.full(40_000, 0.05), np.ones(40_000)), np.zeros(40_000, dtype=int)
    wanted = slope_of(of_all, risk, period)[1]
    assert wanted < 0.9
    assert slope_of(of_half, risk, period)[1] < wanted - 0.08
    assert slope_of(of_half, risk, period, 0.5)[1] == pytest.approx(wanted, abs=0.03)
