"""Boosters piece by piece of time: trees without their splits on the piece, each kept once where possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.tree_shapley import Cut, Leaf

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
    trees : list of list of Leaf
        The leaves of each tree, without its splits on the piece.
    """

    pieces: NDArray[np.intp]
    trees: list[list[Leaf]]


def columns_with_missing(booster: lgb.Booster) -> NDArray[np.bool_]:
    """Return which columns had missing values in training, shape (columns,), as the splits on them tell."""
    result = np.zeros(booster.num_feature(), dtype=bool)
    frame = booster.trees_to_dataframe()
    splits = frame[frame["missing_type"].eq("NaN")]
    names = {name: column for column, name in enumerate(booster.feature_name())}
    result[[names[name] for name in splits["split_feature"].unique()]] = True
    return result


def trees_by_pieces(booster: lgb.Booster, piece_column: int, pieces_count: int) -> list[SharedTrees]:
    """Return trees without their splits on the piece, grouped by the pieces for which they become the same.

    Raises
    ------
    ValueError
        If a tree splits on words, or reads zeros as gaps: boosters here do neither.
    """
    gathered: dict[tuple[int, ...], list[list[Leaf]]] = {}
    for tree_info in booster.dump_model()["tree_info"]:
        tree = tree_info["tree_structure"]
        cuts = sorted({node["threshold"] for node in _splits(tree) if node["split_feature"] == piece_column})
        interval = np.searchsorted(cuts, np.arange(pieces_count), side="left")
        for which in np.unique(interval):
            pieces = tuple(int(piece) for piece in np.flatnonzero(interval == which))
            leaves = list(_leaves(tree, piece_column, float(pieces[0]), {}))
            if len(leaves) > 1:
                gathered.setdefault(pieces, []).append(leaves)
    return [SharedTrees(np.array(pieces), trees) for pieces, trees in gathered.items()]


def _splits(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "split_feature" in node:
        yield node
        yield from _splits(node["left_child"])
        yield from _splits(node["right_child"])


def _leaves(
    node: dict[str, Any], piece_column: int, piece: float, path: dict[int, list[tuple[Cut, bool]]]
) -> Iterator[Leaf]:
    """Give the leaves below a node that a lead of this piece can reach."""
    if "split_feature" not in node:
        yield Leaf(float(node["leaf_value"]), path)
        return
    if node["decision_type"] != "<=" or node["missing_type"] not in ("None", "NaN"):
        raise ValueError(f"a split of kind {node['decision_type']}, {node['missing_type']} cannot be explained")
    column, threshold = int(node["split_feature"]), float(node["threshold"])
    if column == piece_column:
        yield from _leaves(node["left_child" if piece <= threshold else "right_child"], piece_column, piece, path)
        return
    # LightGBM reads a gap as 0 in a column that had none in training.
    gaps_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
    cut = Cut(column, threshold, gaps_left)
    for child, is_left in (("left_child", True), ("right_child", False)):
        below = path | {column: [*path.get(column, []), (cut, is_left)]}
        yield from _leaves(node[child], piece_column, piece, below)


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
