"""Interventional Shapley values of one margin: of the trees by WOODELF, checked against shap, and of the lines exactly.

A booster's piece column is fixed before anything is split: trees then lose their splits on it, and the pieces for which
a tree becomes the same share its Shapley values. Most trees never split on the piece, so eight pieces cost little more
than one.

Source: Nadel and Wettenstein (2025), *From decision trees to Boolean logic: a fast and unified SHAP algorithm*
(WOODELF).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.linear import Lines
from models.tree_pruning import interventional_by_shap, trees_by_pieces
from models.tree_shapley import TreeShapley

if TYPE_CHECKING:
    import lightgbm as lgb

FloatArray = NDArray[np.float64]
Parts = Iterator[tuple[NDArray[np.intp], list[tuple[int, FloatArray]]]]
"""For sets of pieces: (pieces, [(encoded column, Shapley values of shape (n,)), …])."""

_SHAP_TOLERANCE = 1e-4


class MarginShapley:
    """Splits the margin a + b · ((1 − s) · trees + s · lines) over the columns that it is made from.

    Parameters
    ----------
    booster : lightgbm.Booster
        The trees; sees the encoded columns and, last, the piece.
    slope : float
        b. (The level a is the same for all leads: it has no part in a split.)
    background : ndarray of shape (m, encoded columns)
        Training leads that a lead is compared with, without the piece column.
    columns : sequence of str
        The original column of each encoded column; several may come from one.
    pieces_count : int
        Pieces of time.
    lines : Lines, optional
        Straight lines on the encoded columns; by default there are none.
    line_share : float, default=0
        s.
    """

    def __init__(
        self,
        booster: lgb.Booster,
        slope: float,
        background: FloatArray,
        columns: Sequence[str],
        pieces_count: int,
        lines: Lines | None = None,
        line_share: float = 0.0,
    ) -> None:
        self.booster = booster
        self.slope = slope
        self.background = background
        self.columns = list(columns)
        self.pieces_count = pieces_count
        self.lines = lines
        self.line_share = line_share if lines is not None else 0.0

    @cached_property
    def explained_trees(self) -> list[tuple[NDArray[np.intp], TreeShapley]]:
        """The trees without their splits on the piece, held against the background when first needed."""
        return [
            (shared.pieces, TreeShapley(shared.trees, self.background))
            for shared in trees_by_pieces(self.booster, len(self.columns), self.pieces_count)
        ]

    def parts(self, design: FloatArray, by_shap: bool = False) -> Iterator[tuple[float, Parts]]:
        """Yield (weight in the margin, Shapley values) of the trees and of the lines.

        Parameters
        ----------
        design : ndarray of shape (n, encoded columns)
            Leads, without the piece column.
        by_shap : bool, default=False
            Whether shap splits the trees, slowly.
        """
        trees = self.of_trees_by_shap if by_shap else self.of_trees
        for weight, split in ((1.0 - self.line_share, trees), (self.line_share, self.of_lines)):
            if weight:
                yield self.slope * weight, split(design)

    def of_lines(self, design: FloatArray) -> Parts:
        """Yield Shapley values of the lines: each column's part less its mean in the background."""
        assert self.lines is not None
        for (pieces, parts), (_, typical) in zip(
            self.lines.parts(design), self.lines.parts(self.background), strict=True
        ):
            yield pieces, list(enumerate((parts - typical.mean(axis=0)).T))

    def of_trees(self, design: FloatArray) -> Parts:
        """Yield Shapley values of the trees, exact and fast (`TreeShapley`)."""
        for pieces, trees in self.explained_trees:
            yield pieces, list(trees.values(design))

    def of_trees_by_shap(self, design: FloatArray) -> Parts:
        """Yield the same by shap, piece after piece; its cost grows with leads times background."""
        for piece in range(self.pieces_count):
            values = interventional_by_shap(self.booster, piece, design, self.background)
            yield np.array([piece]), list(enumerate(values.T))

    def disagreement_with_shap(self, design: FloatArray, piece: int) -> str | None:
        """Return what is wrong with the fast Shapley values of a few leads in one piece, or None."""
        fast = np.zeros(design.shape)
        try:
            for pieces, parts in self.of_trees(design):
                if piece in pieces:
                    for column, part in parts:
                        fast[:, column] += part
        except Exception as error:  # whatever is wrong with them, the forecast must be explained
            return f"they failed ({type(error).__name__}: {error})"
        exact = interventional_by_shap(self.booster, piece, design, self.background)
        gap = float(np.abs(fast - exact).max(initial=0.0))
        return None if gap <= _SHAP_TOLERANCE else f"they and shap.TreeExplainer differ by {gap:.1e}"
