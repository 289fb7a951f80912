"""Boosters piece by piece of time: trees without their splits on the piece, each kept once where possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import lightgbm as lgb

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SharedTrees:
    """The trees of a booster that are the same for some pieces: their Shapley values serve all of these.

    Parameters
    ----------
    pieces : ndarray of int
        The pieces.
    ensemble : woodelf's DecisionTreesEnsemble
        The trees, without their splits on the piece.
    """

    pieces: NDArray[np.intp]
    ensemble: Any


def columns_with_missing(booster: lgb.Booster) -> NDArray[np.bool_]:
    """Return which columns had missing values in training, shape (columns,), as the splits on them tell."""
    result = np.zeros(booster.num_feature(), dtype=bool)
    frame = booster.trees_to_dataframe()
    splits = frame[frame["missing_type"].eq("NaN")]
    names = {name: column for column, name in enumerate(booster.feature_name())}
    result[[names[name] for name in splits["split_feature"].unique()]] = True
    return result


def trees_by_pieces(booster: lgb.Booster, piece_column: int, pieces_count: int) -> list[SharedTrees]:
    """Return trees without their splits on the piece, grouped by the pieces for which they become the same."""
    from woodelf.core.trees.decision_trees_ensemble import DecisionTreesEnsemble
    from woodelf.core.trees.parse_models import load_decision_tree_ensemble_model

    if booster.num_trees() == 0:
        return []
    names = [str(column) for column in range(booster.num_feature())]
    gathered: dict[tuple[int, ...], list] = {}
    for tree in load_decision_tree_ensemble_model(booster, names).trees:
        cuts = sorted(
            {node.value for node in tree.bfs(including_leaves=False) if node.feature_name == str(piece_column)}
        )
        interval = np.searchsorted(cuts, np.arange(pieces_count), side="left")
        for which in np.unique(interval):
            pieces = tuple(int(piece) for piece in np.flatnonzero(interval == which))
            pruned = _without(tree, str(piece_column), float(pieces[0])) if cuts else tree
            if not pruned.is_leaf():
                pruned.depth = pruned.get_depth()
                gathered.setdefault(pieces, []).append(pruned)
    return [SharedTrees(np.array(pieces), DecisionTreesEnsemble(trees)) for pieces, trees in gathered.items()]


def _without(node: Any, name: str, value: float) -> Any:
    """Return a copy of a tree in which the column ``name`` has this value: its splits are gone."""
    if node.is_leaf():
        return type(node)(None, node.value, None, None, index=node.index, cover=node.cover)
    if node.feature_name == name:
        return _without(node.left if value <= node.value else node.right, name, value)
    left, right = _without(node.left, name, value), _without(node.right, name, value)
    copy = type(node)(node.feature_name, node.value, right, left, node.nan_go_left, index=node.index, cover=node.cover)
    left.parent = right.parent = copy
    return copy


def interventional_by_shap(booster: lgb.Booster, piece: int, design: FloatArray, background: FloatArray) -> FloatArray:
    """Return interventional Shapley values in one piece of time by ``shap.TreeExplainer``.

    Parameters
    ----------
    booster : lightgbm.Booster
        Its last column is the piece.
    piece : int
        The piece of time.
    design, background : ndarray of shape (n, design columns) and (m, design columns)
        Leads, and those that they are compared with, without the piece.

    Returns
    -------
    ndarray of shape (n, design columns)
    """
    import shap

    seen = [np.column_stack([rows, np.full(len(rows), float(piece))]) for rows in (design, background)]
    # LightGBM reads a missing value as 0 in a column that had none in training; shap does not.
    never = ~columns_with_missing(booster)
    for rows in seen:
        rows[:, never] = np.nan_to_num(rows[:, never], nan=0.0)
    masker = shap.maskers.Independent(seen[1], max_samples=len(seen[1]))
    explainer = shap.TreeExplainer(booster, masker, feature_perturbation="interventional")
    return np.asarray(explainer.shap_values(seen[0], check_additivity=False))[:, :-1]
