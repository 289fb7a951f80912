import itertools
import math

import lightgbm as lgb
import numpy as np
import pytest

from models import shapley
from models.hazards import TimeGrid
from models.linear import Lines
from models.revenue import expected_revenue, mean_days_to_win, p_win
from models.shapley import Attributor

PIECES = 3


def make(seed=0, columns=5, has_value=True, missing=0.1, n=1500, trees=25, leaves=8):
    """Random boosters on random leads; the last column of the leads is never looked at."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns))
    X[:, 1] = np.round(X[:, 1])
    X[:, 2:][rng.uniform(size=X[:, 2:].shape) < missing] = np.nan
    known = np.nan_to_num(X)
    piece = rng.integers(0, PIECES, n).astype(float)
    seen = np.column_stack([X[:, :-1], np.zeros(n), piece])
    boosters = []
    for k in range(2 + has_value):
        log_rate = 0.6 * known[:, k] + 0.5 * known[:, 1] * known[:, 2] + 0.4 * (piece > 1) * known[:, 3] - 0.5
        settings = {
            "objective": "poisson", "num_leaves": leaves, "learning_rate": 0.2, "verbosity": -1, "num_threads": 1,
            "seed": seed, "deterministic": True,
        }  # fmt: skip
        boosters.append(lgb.train(settings, lgb.Dataset(seen, rng.poisson(np.exp(log_rate))), trees))
    grid = TimeGrid(np.array([0, 10, 30, 60, 120, 200, 400.0]), np.array([0, 0, 1, 1, 2, 2]), np.full((2, 6), 0.004))
    calibrations = np.array([[0.1, 0.8], [-0.2, 1.1], [8.0, 0.9]])[: len(boosters)]
    names = [f"c{i}" for i in range(columns)]
    ignored = np.arange(columns) < columns - 1
    lines = [
        Lines(
            centre=rng.normal(size=columns),
            scale=np.full(columns, 2.0),
            slope=ignored * rng.normal(size=(2, columns))[[0, 0, 1]],
            gap=ignored * rng.normal(size=(2, columns))[[0, 0, 1]],
            constant=rng.normal(size=2)[[0, 0, 1]],
        )
        for _ in range(2)
    ]
    background, owners = [X[-60:]] * len(boosters), [names] * len(boosters)
    settings = {"lines": lines, "line_share": [0.4, 0.7]}
    return Attributor(boosters, calibrations, background, owners, grid, 90.0, 365.0, **settings), X


def shown(attributor, margins):
    """Money, points and days of margins (n, boosters, pieces)."""
    outcomes = margins[:, :2]
    values = margins[:, 2] if attributor.has_value else np.zeros_like(margins[:, 0])
    return (
        expected_revenue(outcomes, values, attributor.grid, [90.0])[:, 0],
        100 * p_win(outcomes, attributor.grid, [90.0])[:, 0],
        mean_days_to_win(outcomes, attributor.grid, 365.0),
    )


def brute_force(attributor, lead):
    """Shapley values of each booster's margin, straight from the definition: (boosters, pieces, columns)."""
    count = len(lead)
    value = {}
    for members in itertools.chain.from_iterable(itertools.combinations(range(count), k) for k in range(count + 1)):
        mixed = attributor.background[0].copy()
        mixed[:, list(members)] = lead[list(members)]
        value[members] = attributor.margins([mixed] * 3).mean(axis=0)
    result = np.zeros((*value[()].shape, count))
    for column in range(count):
        for members in value:
            if column not in members:
                weight = math.factorial(len(members)) * math.factorial(count - len(members) - 1) / math.factorial(count)
                joined = tuple(sorted((*members, column)))
                result[..., column] += weight * (value[joined] - value[members])
    return result


@pytest.mark.parametrize("seed", range(4))
def test_reasons_add_up_for_every_lead(seed):
    attributor, X = make(seed)
    reasons = attributor.explain([X[:400]] * 3, check_count=0)
    numbers = shown(attributor, attributor.margins([X[:400]] * 3))
    for base, parts, number in zip(
        (reasons.base_money, reasons.base_points, reasons.base_days),
        (reasons.money, reasons.points, reasons.days),
        numbers,
        strict=True,
    ):
        np.testing.assert_allclose(base + parts.to_numpy().sum(axis=1), number, rtol=1e-6, atol=1e-9)
    assert reasons.largest_gap < 1e-6


def test_what_no_booster_looks_at_gets_nothing():
    attributor, X = make()
    reasons = attributor.explain([X[:50]] * 3, check_count=0)
    for parts in (reasons.money, reasons.points, reasons.days):
        assert (parts["c4"] == 0).all()
        assert "piece" not in parts


def test_reasons_are_brute_force_shapley_values_carried_along_the_path():
    attributor, X = make(columns=4, n=600, trees=8)
    attributor.background = [X[-15:]] * 3
    attributor.base_margins_ = attributor.margins(attributor.background).mean(axis=0)
    leads = X[:4]
    margins = attributor.margins([leads] * 3)
    reasons = attributor.explain([leads] * 3, margins, check_count=0)
    weights = attributor.path_weights(margins)
    for row, lead in enumerate(leads):
        parts = brute_force(attributor, lead)
        expected = np.einsum("ukp,kpj->uj", weights[:, row], parts)
        for unit, frame in enumerate((reasons.money, reasons.points, reasons.days)):
            np.testing.assert_allclose(
                frame.iloc[row], expected[unit], rtol=1e-6, atol=1e-8 * abs(expected[unit]).max()
            )


def test_columns_that_play_the_same_part_get_the_same():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (800, 3)).astype(float)
    # Learnt nearly to the last digit: a·b + 0.3 c, in which a and b play the same part.
    seen = np.column_stack([X, np.zeros(len(X))])
    settings = {"objective": "l2", "num_leaves": 4, "learning_rate": 0.5, "verbosity": -1, "num_threads": 1,
                "min_data_in_leaf": 1, "boost_from_average": False, "lambda_l2": 0.0}  # fmt: skip
    label = X[:, 0] * X[:, 1] + 0.3 * X[:, 2]
    booster = lgb.train(settings, lgb.Dataset(seen, label), 40)
    grid = TimeGrid(np.array([0, 100.0]), np.array([0]), np.full((1, 1), 0.005))
    background = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    attributor = Attributor([booster], np.array([[0.0, 1.0]]), [background], [["a", "b", "c"]], grid, 50.0, 90.0)
    points = attributor.explain([np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])], check_count=0).points
    np.testing.assert_allclose(points["a"], points["b"], rtol=1e-3)


def with_columns_swapped(booster, one, other):
    """A booster whose trees ask the one column what they asked the other."""
    swap = {str(one): str(other), str(other): str(one)}

    def swapped(line):
        columns = line.removeprefix("split_feature=").split(" ")
        return "split_feature=" + " ".join(swap.get(column, column) for column in columns)

    lines = booster.model_to_string().split("\n")
    return lgb.Booster(model_str="\n".join(swapped(x) if x.startswith("split_feature=") else x for x in lines))


@pytest.mark.parametrize("seed", range(3))
def test_random_boosters_that_treat_two_columns_alike_give_them_the_same(seed):
    """A booster and its mirror image add up to a symmetric one; leads and background are symmetric as well."""
    attributor, X = make(seed, columns=4, n=600, trees=10, missing=0.0)
    leads, half = X[:40].copy(), X[-30:]
    leads[:, 2] = leads[:, 1]
    background = np.concatenate([half, half[:, [0, 2, 1, 3]]])
    together = np.zeros((3, *leads.shape))
    for booster in (attributor.boosters[0], with_columns_swapped(attributor.boosters[0], 1, 2)):
        one = Attributor(
            [booster] * 3, attributor.calibrations, [background] * 3, [list("abcd")] * 3, attributor.grid, 90.0, 365.0
        )
        for pieces, parts in one._fast(0, leads):
            for column, part in parts:
                together[pieces, :, column] += part
    assert np.abs(together[..., 1]).max() > 0.1
    np.testing.assert_allclose(together[..., 1], together[..., 2], atol=1e-5)


def test_two_hundred_leads_against_a_hundred_as_interventional_shap_has_them():
    attributor, X = make(seed=3, n=1200, trees=20)
    attributor = Attributor(
        attributor.boosters,
        attributor.calibrations,
        [X[-100:]] * 3,
        [attributor.names] * 3,
        attributor.grid,
        90.0,
        365.0,
    )
    leads = X[:200]
    fast = np.zeros((PIECES, *leads.shape))
    for booster in range(3):
        fast[:] = 0.0
        for pieces, parts in attributor._fast(booster, leads):
            for column, part in parts:
                fast[pieces, :, column] += part
        for piece in range(PIECES):
            slow = attributor._shap(booster, piece, leads)
            np.testing.assert_allclose(fast[piece], slow, rtol=1e-4, atol=1e-5)


def test_margins_far_from_the_typical_lead_still_add_up():
    """Where six nodes do not close the path, more are taken: relative to the difference from the typical lead."""
    attributor, X = make(seed=5)
    attributor.calibrations = np.array([[0.5, 6.0], [-0.2, 7.0], [8.0, 3.0]])
    attributor.base_margins_ = attributor.margins(attributor.background).mean(axis=0)
    leads = X[:300]
    margins = attributor.margins([leads] * 3)
    assert np.abs(margins - attributor.base_margins_).max() > 5
    reasons = attributor.explain([leads] * 3, check_count=0)
    numbers = shown(attributor, margins)
    bases = (reasons.base_money, reasons.base_points, reasons.base_days)
    for base, parts, number in zip(bases, (reasons.money, reasons.points, reasons.days), numbers, strict=True):
        scale = np.maximum(np.abs(number), abs(base))
        assert (np.abs(base + parts.to_numpy().sum(axis=1) - number) <= 1e-3 * scale).all()


def test_blocks_are_what_one_piece_is(monkeypatch):
    attributor, X = make(n=900, trees=10)
    whole = attributor.explain([X[:130]] * 3, check_count=0)
    monkeypatch.setattr(shapley, "_LEADS_AT_ONCE", 40)
    margins = attributor.margins([X[:130]] * 3)
    blocks = list(attributor.explain_in_blocks(lambda rows: [X[:130][rows]] * 3, margins, check_count=0))
    assert [len(block.points) for block in blocks] == [40, 40, 40, 10]
    for unit in ("money", "points", "days"):
        parts = [getattr(block, unit) for block in blocks]
        assert [index for part in parts for index in part.index] == list(range(130))
        np.testing.assert_allclose(np.concatenate(parts), getattr(whole, unit), rtol=1e-9, atol=1e-12)


def test_several_design_columns_of_one_original_are_summed():
    attributor, X = make()
    apart = attributor.explain([X[:20]] * 3, check_count=0)
    joined = Attributor(
        attributor.boosters, attributor.calibrations, attributor.background, [["x", "y", "x", "y", "z"]] * 3,
        attributor.grid, 90.0, 365.0, lines=attributor.lines, line_share=attributor.line_share[:2],
    ).explain([X[:20]] * 3, check_count=0)  # fmt: skip
    np.testing.assert_allclose(joined.money["x"], apart.money["c0"] + apart.money["c2"], rtol=1e-9)
    assert list(joined.money.columns) == ["x", "y", "z"]


def test_without_amounts_there_is_no_money_and_the_rest_stands():
    attributor, X = make(has_value=False)
    reasons = attributor.explain([X[:30]] * 2, check_count=0)
    assert reasons.money is None
    assert math.isnan(reasons.base_money)
    assert reasons.largest_gap < 1e-6


@pytest.mark.filterwarnings("error::models.shapley.AttributionWarning")
def test_agrees_with_shap_also_on_gaps_that_training_never_saw():
    attributor, X = make()
    leads = X[:20].copy()
    leads[0, 0] = np.nan
    reasons = attributor.explain([leads] * 3, check_count=20)
    assert reasons.method == "woodelf"
    assert reasons.largest_gap < 1e-6


def test_falls_back_to_shap_with_a_warning(monkeypatch):
    attributor, X = make(n=800, trees=8)
    right = attributor.explain([X[:10]] * 3, check_count=0)
    truth = Attributor._fast

    def wrong(self, booster, design):
        for pieces, parts in truth(self, booster, design):
            yield pieces, [(column, part * 1.01) for column, part in parts]

    monkeypatch.setattr(Attributor, "_fast", wrong)
    for check_count in (0, 4):  # found by the sum of each lead's parts, and by the comparison with shap
        with pytest.warns(shapley.AttributionWarning, match=r"shap\.TreeExplainer takes over"):
            slow = attributor.explain([X[:10]] * 3, check_count=check_count)
        assert slow.method == "shap"
        np.testing.assert_allclose(slow.money, right.money, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", ["order", "error", "one lead"])
def test_woodelf_wrong_on_purpose_is_found_out(monkeypatch, wrong):
    """Parts that add up but stand on the wrong columns; a library that fails; one lead of many that misses."""
    attributor, X = make(n=800, trees=8)
    right = attributor.explain([X[:60]] * 3, check_count=0)
    truth = Attributor._fast

    def spoilt(self, booster, design):
        if wrong == "error":
            raise RuntimeError("out of order")
        for pieces, parts in truth(self, booster, design):
            if wrong == "order":
                columns = [column for column, _ in parts]
                parts = [(column, part) for column, (_, part) in zip(columns[::-1], parts, strict=True)]
            elif len(design) > 8:
                parts = [(column, np.where(np.arange(len(part)) == 37, part + 0.01, part)) for column, part in parts]
            yield pieces, parts

    monkeypatch.setattr(Attributor, "_fast", spoilt)
    with pytest.warns(shapley.AttributionWarning):
        found = attributor.explain([X[:60]] * 3, check_count=8)
    assert found.method == "shap"
    assert found.largest_gap < 1e-3
    np.testing.assert_allclose(found.money, right.money, rtol=1e-4, atol=1e-4)
