import itertools
import math

import lightgbm as lgb
import numpy as np
import pytest

from models import shapley
from models.hazards import TimeGrid
from models.integrated_gradients import NODES_COUNT, ForecastPath
from models.linear import Lines
from models.margin_shapley import MarginShapley
from models.revenue import expected_revenue, mean_days_to_win, p_win
from models.shapley import ForecastExplainer

PIECES = 3


class Model:
    """Random boosters and lines, what their margins are, and the explainer of these."""

    def __init__(self, boosters, calibrations, background, names, grid, lines=(), shares=()):
        self.boosters, self.calibrations, self.background, self.grid = boosters, calibrations, background, grid
        self.lines = [*lines, *[None] * (len(boosters) - len(lines))]
        self.shares = [*shares, *[0.0] * (len(boosters) - len(shares))]
        self.explainer = self.explain_as(names)

    def explain_as(self, names, horizon_days=90.0, ever_days=365.0):
        pieces = self.grid.pieces_count
        parts = [
            MarginShapley(booster, slope, self.background, names, pieces, lines, share)
            for booster, (_, slope), lines, share in zip(
                self.boosters, self.calibrations, self.lines, self.shares, strict=True
            )
        ]
        path = ForecastPath(self.margins(self.background).mean(axis=0), self.grid, horizon_days, ever_days)
        return ForecastExplainer(parts, path)

    def margins(self, X):
        """a + b · ((1 − s) · raw score + s · lines), straight from the definition: (n, boosters, pieces)."""
        result = np.empty((len(X), len(self.boosters), self.grid.pieces_count))
        for k, booster in enumerate(self.boosters):
            (level, slope), share, lines = self.calibrations[k], self.shares[k], self.lines[k]
            for piece in range(self.grid.pieces_count):
                score = booster.predict(np.column_stack([X, np.full(len(X), float(piece))]), raw_score=True)
                if lines is not None:
                    score = (1 - share) * score + share * lines.margins(X)[:, piece]
                result[:, k, piece] = level + slope * score
        return result

    def explain(self, X, check_count=0):
        return self.explainer.explain([X] * len(self.boosters), self.margins(X), check_count=check_count)

    def shown(self, X):
        """Money, points and days of leads."""
        margins = self.margins(X)
        values = margins[:, 2] if margins.shape[1] == 3 else np.zeros_like(margins[:, 0])
        return (
            expected_revenue(margins[:, :2], values, self.grid, [90.0])[:, 0],
            100 * p_win(margins[:, :2], self.grid, [90.0])[:, 0],
            mean_days_to_win(margins[:, :2], self.grid, 365.0),
        )


def make(seed=0, columns=5, has_value=True, missing=0.1, n=1500, trees=25, leaves=8, background=60, slopes=None):
    """A random model and random leads; it never looks at their last column."""
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
    calibrations = np.array([[0.1, 0.8], [-0.2, 1.1], [8.0, 0.9]] if slopes is None else slopes)[: len(boosters)]
    used = np.arange(columns) < columns - 1
    lines = [
        Lines(
            centre=rng.normal(size=columns),
            scale=np.full(columns, 2.0),
            slope=used * rng.normal(size=(2, columns))[[0, 0, 1]],
            missing_effect=used * rng.normal(size=(2, columns))[[0, 0, 1]],
            constant=rng.normal(size=2)[[0, 0, 1]],
        )
        for _ in range(2)
    ]
    names = [f"c{i}" for i in range(columns)]
    return Model(boosters, calibrations, X[-background:], names, grid, lines, [0.4, 0.7]), X


def split(margin, design, by_shap=False):
    """Shapley values of the trees of one margin: (pieces, n, columns)."""
    result = np.zeros((PIECES, *design.shape))
    for pieces, parts in (margin.of_trees_by_shap if by_shap else margin.of_trees)(design):
        for column, part in parts:
            result[pieces, :, column] += part
    return result


def brute_force(model, lead):
    """Shapley values of each margin, straight from the definition: (boosters, pieces, columns)."""
    count = len(lead)
    value = {}
    for members in itertools.chain.from_iterable(itertools.combinations(range(count), k) for k in range(count + 1)):
        mixed = model.background.copy()
        mixed[:, list(members)] = lead[list(members)]
        value[members] = model.margins(mixed).mean(axis=0)
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
    model, X = make(seed)
    reasons = model.explain(X[:400])
    for base, parts, number in zip(
        (reasons.base_money, reasons.base_points, reasons.base_days),
        (reasons.money, reasons.points, reasons.days),
        model.shown(X[:400]),
        strict=True,
    ):
        np.testing.assert_allclose(base + parts.to_numpy().sum(axis=1), number, rtol=1e-6, atol=1e-9)
    assert reasons.largest_gap < 1e-6


def test_a_column_that_no_model_uses_gets_nothing():
    model, X = make()
    reasons = model.explain(X[:50])
    for parts in (reasons.money, reasons.points, reasons.days):
        assert (parts["c4"] == 0).all()
        assert "piece" not in parts


def test_reasons_are_brute_force_shapley_values_carried_along_the_path():
    model, X = make(columns=4, n=600, trees=8, background=15)
    leads = X[:4]
    reasons = model.explain(leads)
    weights = model.explainer.path.weights_at(model.margins(leads), NODES_COUNT)
    for row, lead in enumerate(leads):
        expected = np.einsum("ukp,kpj->uj", weights[:, row], brute_force(model, lead))
        for unit, frame in enumerate((reasons.money, reasons.points, reasons.days)):
            np.testing.assert_allclose(
                frame.iloc[row], expected[unit], rtol=1e-6, atol=1e-8 * abs(expected[unit]).max()
            )


def test_columns_that_play_the_same_part_get_the_same():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (800, 3)).astype(float)
    # Fitted nearly to the last digit: a·b + 0.3 c, in which a and b play the same part.
    seen = np.column_stack([X, np.zeros(len(X))])
    settings = {"objective": "l2", "num_leaves": 4, "learning_rate": 0.5, "verbosity": -1, "num_threads": 1,
                "min_data_in_leaf": 1, "boost_from_average": False, "lambda_l2": 0.0}  # fmt: skip
    label = X[:, 0] * X[:, 1] + 0.3 * X[:, 2]
    booster = lgb.train(settings, lgb.Dataset(seen, label), 40)
    grid = TimeGrid(np.array([0, 100.0]), np.array([0]), np.full((1, 1), 0.005))
    background = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    model = Model([booster], np.array([[0.0, 1.0]]), background, list("abc"), grid)
    points = model.explain(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).points
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
    model, X = make(seed, columns=4, n=600, trees=10, missing=0.0)
    leads, half = X[:40].copy(), X[-30:]
    leads[:, 2] = leads[:, 1]
    background = np.concatenate([half, half[:, [0, 2, 1, 3]]])
    both = (model.boosters[0], with_columns_swapped(model.boosters[0], 1, 2))
    together = sum(split(MarginShapley(booster, 1.0, background, list("abcd"), PIECES), leads) for booster in both)
    assert np.abs(together[..., 1]).max() > 0.1
    np.testing.assert_allclose(together[..., 1], together[..., 2], atol=1e-5)


def test_two_hundred_leads_against_a_hundred_as_interventional_shap_has_them():
    model, X = make(seed=3, n=1200, trees=20, background=100)
    for margin in model.explainer.margins:
        np.testing.assert_allclose(split(margin, X[:200]), split(margin, X[:200], by_shap=True), rtol=1e-4, atol=1e-5)


def test_margins_far_from_the_typical_lead_still_add_up():
    """Where six nodes do not close the path, more are taken: relative to the difference from the typical lead."""
    model, X = make(seed=5, slopes=[[0.5, 6.0], [-0.2, 7.0], [8.0, 3.0]])
    leads = X[:300]
    assert np.abs(model.margins(leads) - model.explainer.path.base_margins).max() > 5
    reasons = model.explain(leads)
    bases = (reasons.base_money, reasons.base_points, reasons.base_days)
    frames = (reasons.money, reasons.points, reasons.days)
    for base, parts, number in zip(bases, frames, model.shown(leads), strict=True):
        scale = np.maximum(np.abs(number), abs(base))
        assert (np.abs(base + parts.to_numpy().sum(axis=1) - number) <= 1e-3 * scale).all()


def test_blocks_are_what_one_piece_is(monkeypatch):
    model, X = make(n=900, trees=10)
    whole = model.explain(X[:130])
    monkeypatch.setattr(shapley, "_LEADS_AT_ONCE", 40)
    margins = model.margins(X[:130])
    blocks = list(model.explainer.explain_in_blocks(lambda rows: [X[:130][rows]] * 3, margins, check_count=0))
    assert [len(block.points) for block in blocks] == [40, 40, 40, 10]
    for unit in ("money", "points", "days"):
        parts = [getattr(block, unit) for block in blocks]
        assert [index for part in parts for index in part.index] == list(range(130))
        np.testing.assert_allclose(np.concatenate(parts), getattr(whole, unit), rtol=1e-9, atol=1e-12)


def test_several_encoded_columns_of_one_original_are_summed():
    model, X = make()
    apart = model.explain(X[:20])
    model.explainer = model.explain_as(["x", "y", "x", "y", "z"])
    joined = model.explain(X[:20])
    np.testing.assert_allclose(joined.money["x"], apart.money["c0"] + apart.money["c2"], rtol=1e-9)
    assert list(joined.money.columns) == ["x", "y", "z"]


def test_without_amounts_there_is_no_money_and_the_rest_stands():
    model, X = make(has_value=False)
    reasons = model.explain(X[:30])
    assert reasons.money is None
    assert math.isnan(reasons.base_money)
    assert reasons.largest_gap < 1e-6


@pytest.mark.filterwarnings("error::models.shapley.ShapleyWarning")
def test_agrees_with_shap_also_on_missing_values_that_training_never_had():
    model, X = make()
    leads = X[:20].copy()
    leads[0, 0] = np.nan
    reasons = model.explain(leads, check_count=20)
    assert reasons.method == "woodelf"
    assert reasons.largest_gap < 1e-6


def test_falls_back_to_shap_with_a_warning(monkeypatch):
    model, X = make(n=800, trees=8)
    right = model.explain(X[:10])
    truth = MarginShapley.of_trees

    def wrong(self, design):
        for pieces, parts in truth(self, design):
            yield pieces, [(column, part * 1.01) for column, part in parts]

    monkeypatch.setattr(MarginShapley, "of_trees", wrong)
    for check_count in (0, 4):  # found by the sum of each lead's parts, and by the comparison with shap
        with pytest.warns(shapley.ShapleyWarning, match=r"shap\.TreeExplainer takes over"):
            slow = model.explain(X[:10], check_count)
        assert slow.method == "shap"
        np.testing.assert_allclose(slow.money, right.money, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", ["order", "error", "one lead"])
def test_woodelf_wrong_on_purpose_is_found_out(monkeypatch, wrong):
    """Parts that add up but stand on the wrong columns; a library that fails; one lead of many that misses."""
    model, X = make(n=800, trees=8)
    right = model.explain(X[:60])
    truth = MarginShapley.of_trees

    def spoilt(self, design):
        if wrong == "error":
            raise RuntimeError("out of order")
        for pieces, parts in truth(self, design):
            if wrong == "order":
                columns = [column for column, _ in parts]
                parts = [(column, part) for column, (_, part) in zip(columns[::-1], parts, strict=True)]
            elif len(design) > 8:
                parts = [(column, np.where(np.arange(len(part)) == 37, part + 0.01, part)) for column, part in parts]
            yield pieces, parts

    monkeypatch.setattr(MarginShapley, "of_trees", spoilt)
    with pytest.warns(shapley.ShapleyWarning):
        found = model.explain(X[:60], check_count=8)
    assert found.method == "shap"
    assert found.largest_gap < 1e-3
    np.testing.assert_allclose(found.money, right.money, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("check_count", [0, 4])
def test_where_trees_cannot_be_read_at_all_the_reasons_are_the_same(monkeypatch, check_count):
    model, X = make(n=800, trees=8)
    right = model.explain(X[:20])
    assert right.method == "woodelf"

    def fails(*_):
        raise ImportError("no such library")

    monkeypatch.setattr("models.margin_shapley.trees_by_pieces", fails)
    without, _ = make(n=800, trees=8)
    with pytest.warns(shapley.ShapleyWarning, match=r"shap\.TreeExplainer takes over"):
        found = without.explain(X[:20], check_count)
    assert found.method == "shap"
    for unit in ("money", "points", "days"):
        np.testing.assert_allclose(getattr(found, unit), getattr(right, unit), rtol=1e-4, atol=1e-4)
