"""Shapley values of trees are those of the definition: the mean over all orders in which columns come in."""

from itertools import permutations

import lightgbm as lgb
import numpy as np
import pytest

from models import tree_shapley
from models.tree_pruning import interventional_by_shap, trees_by_pieces
from models.tree_shapley import TreeShapley


def booster(columns, seed, rows=400, trees=4, leaves=6, gaps=True, integers=False, **settings):
    """A booster whose last column is a piece that it splits on."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, (rows, columns)).astype(float) if integers else rng.normal(size=(rows, columns))
    if gaps:
        X[rng.random(X.shape) < 0.15] = np.nan
    piece = rng.integers(0, 4, rows)
    y = np.nan_to_num(X) @ rng.normal(size=columns) + piece * np.nan_to_num(X[:, 0]) + rng.normal(size=rows)
    settings = {"num_leaves": leaves, "min_data_in_leaf": 3, "verbose": -1, "seed": seed, "num_threads": 1} | settings
    return lgb.train(settings, lgb.Dataset(np.column_stack([X, piece]), y), trees), X


def ours(trained, piece, X, Z, pieces=4):
    result = np.zeros(X.shape)
    for shared in trees_by_pieces(trained, X.shape[1], pieces):
        if piece in shared.pieces:
            for column, values in TreeShapley(shared.trees, Z).values(X):
                result[:, column] += values
    return result


def by_definition(trained, piece, x, Z):
    """Let the columns come in one after the other, in every order, for every lead of the background."""
    columns = len(x)
    total, orders = np.zeros(columns), list(permutations(range(columns)))
    mixtures = []
    for order in orders:
        for z in Z:
            mixed = z.copy()
            mixtures.append(mixed.copy())
            for column in order:
                mixed[column] = x[column]
                mixtures.append(mixed.copy())
    seen = np.column_stack([np.array(mixtures), np.full(len(mixtures), float(piece))])
    said = trained.predict(seen, raw_score=True).reshape(len(orders), len(Z), columns + 1)
    for order, steps in zip(orders, said, strict=True):
        for place, column in enumerate(order):
            total[column] += (steps[:, place + 1] - steps[:, place]).mean()
    return total / len(orders)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("integers", [False, True])
def test_values_are_those_of_the_definition(seed, integers):
    trained, X = booster(4, seed, integers=integers)
    Z, leads = X[:7], X[7:12]
    for piece in range(4):
        found = ours(trained, piece, leads, Z)
        for lead, row in zip(leads, found, strict=True):
            np.testing.assert_allclose(row, by_definition(trained, piece, lead, Z), atol=1e-12)


@pytest.mark.parametrize(("cube", "table"), [(8, 12), (2, 12), (2, 2)])
def test_values_are_those_of_shap_on_deep_trees_too(monkeypatch, cube, table):
    trained, X = booster(14, 5, rows=1_500, trees=6, leaves=40)
    monkeypatch.setattr(tree_shapley, "CUBE_COLUMNS", cube)
    monkeypatch.setattr(tree_shapley, "TABLE_COLUMNS", table)
    monkeypatch.setattr(tree_shapley, "ROWS_AT_ONCE", 17)
    found, truth = ours(trained, 2, X[:60], X[60:160]), interventional_by_shap(trained, 2, X[:60], X[60:160])
    np.testing.assert_allclose(found, truth, atol=1e-5)


def test_values_add_up_to_what_the_trees_say_and_a_column_without_a_split_gets_nothing():
    trained, X = booster(6, 9, gaps=False)
    Z, leads = X[:50], X[50:90].copy()
    leads[3, 1] = np.nan  # a gap where training had none
    for piece in range(4):
        said = [trained.predict(np.column_stack([of, np.full(len(of), piece)]), raw_score=True) for of in (leads, Z)]
        np.testing.assert_allclose(ours(trained, piece, leads, Z).sum(axis=1), said[0] - said[1].mean(), atol=1e-10)
    constant, X = booster(3, 1, min_data_in_leaf=10_000)
    assert not ours(constant, 0, X[:5], X[5:9]).any()


def test_a_split_on_words_is_refused():
    rng = np.random.default_rng(0)
    X, y = np.column_stack([rng.integers(0, 8, 500), rng.integers(0, 4, 500)]), rng.normal(size=500)
    settings = {"verbose": -1, "min_data_in_leaf": 3, "min_data_per_group": 3, "cat_smooth": 0.1, "num_threads": 1}
    trained = lgb.train(settings, lgb.Dataset(X, y + X[:, 0] % 3, categorical_feature=[0]), 3)
    with pytest.raises(ValueError, match="cannot be explained"):
        trees_by_pieces(trained, 1, 4)
