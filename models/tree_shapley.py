"""Interventional Shapley values of trees: exact, for many leads against a background, leaf by leaf.

What a tree says of a mixture of two leads, x on some columns and z on the others, is the value of the one leaf whose
path neither of the two fails where it stands in. For a leaf whose path asks d columns, x meets the conditions of some
of them (a pattern of d bits), and so does z. The leaf counts only where together they meet all; with A the columns
that x alone meets and B those that z alone meets, the Shapley value of a column in A is

    value · (|A| − 1)! |B|! / (|A| + |B|)!            and in B            − value · |A|! (|B| − 1)! / (|A| + |B|)!

These depend on the two patterns alone. How often each pattern occurs in the background is counted once, so that a leaf
has one row of d numbers for each pattern of x: a lead costs its pattern and a look into that table, whatever the size
of the background.

Source: Nadel and Wettenstein (2025), *From decision trees to Boolean logic: a fast and unified SHAP algorithm*
(WOODELF), whose cube of patterns this is; Lundberg and others (2020), *From local explanations to global understanding
with explainable AI for trees*, for the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CUBE_COLUMNS = 8
"""For paths of so many columns, what any two patterns give is worked out once for all leaves: 4 MB for 8 columns."""
TABLE_COLUMNS = 12
"""Paths of so many columns have a table of all patterns; of longer ones, only those that occur are worked out."""
MOST_COLUMNS = 62
ROWS_AT_ONCE = 8_192  # leads whose patterns stay in the processor's cache


@dataclass(frozen=True)
class Cut:
    """A split: whether a lead goes left.

    Parameters
    ----------
    column : int
    threshold : float
        Up to it, a lead goes left.
    gaps_left : bool
        So does a lead without a value.
    """

    column: int
    threshold: float
    gaps_left: bool

    def goes_left(self, columns: FloatArray) -> BoolArray:
        """Tell of leads, given as their columns: (design columns, n)."""
        values = columns[self.column]
        left = values <= self.threshold
        return left | np.isnan(values) if self.gaps_left else left


@dataclass(frozen=True)
class Leaf:
    """A leaf and its path: by column, the splits on it and whether the path goes left there."""

    value: float
    path: dict[int, list[tuple[Cut, bool]]]


class TreeShapley:
    """Shapley values of trees against a background.

    Parameters
    ----------
    trees : sequence of sequence of Leaf
        The leaves of each tree.
    background : ndarray of shape (m, design columns)
        What leads are compared with.

    Raises
    ------
    ValueError
        If a path asks more than 62 columns.
    """

    def __init__(self, trees: Sequence[Sequence[Leaf]], background: FloatArray):
        columns = np.ascontiguousarray(background.T)
        self._trees: list[list[tuple[Leaf, _Patterns]]] = []
        for leaves in trees:
            met = _Met(columns)
            self._trees.append([(leaf, _Patterns(leaf, met)) for leaf in leaves if leaf.path])
        self.columns = sorted({column for leaves in trees for leaf in leaves for column in leaf.path})

    def values(self, design: FloatArray) -> Iterator[tuple[int, FloatArray]]:
        """Give each column that the trees look at, with its Shapley values.

        Parameters
        ----------
        design : ndarray of shape (n, design columns)

        Yields
        ------
        (int, ndarray of shape (n,))
            Over all columns they add up to the trees' sum less its mean in the background.
        """
        place = {column: row for row, column in enumerate(self.columns)}
        result = np.zeros((len(self.columns), len(design)))
        for start in range(0, len(design), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            columns = np.ascontiguousarray(design[rows].T)
            for leaves in self._trees:
                met = _Met(columns)
                for leaf, patterns in leaves:
                    found = met.pattern(leaf)
                    table, found = patterns.table_for(found)
                    for row, column in enumerate(leaf.path):
                        result[place[column], rows] += table[row][found]
        yield from zip(self.columns, result, strict=True)


class _Met:
    """Which conditions some leads meet; what a split says of them is worked out once a tree."""

    def __init__(self, columns: FloatArray):
        self._columns = columns
        self._left: dict[Cut, BoolArray] = {}

    def pattern(self, leaf: Leaf) -> NDArray[Any]:
        """Give one bit a column of the leaf's path: whether the lead meets what it asks of that column."""
        kind: Any = np.uint8 if len(leaf.path) <= 8 else np.uint16 if len(leaf.path) <= 16 else np.int64
        result: NDArray[Any] = np.zeros(self._columns.shape[1], dtype=kind)
        for bit, cuts in enumerate(leaf.path.values()):
            met: BoolArray | None = None
            for cut, is_left in cuts:
                if cut not in self._left:
                    self._left[cut] = cut.goes_left(self._columns)
                here = self._left[cut] if is_left else ~self._left[cut]
                met = here if met is None else met & here
            if met is not None:
                result |= met.astype(kind) << kind(bit)
        return result


class _Patterns:
    """What a leaf adds to the columns of its path, by the pattern of a lead."""

    def __init__(self, leaf: Leaf, met: _Met):
        self.count, self.value = len(leaf.path), leaf.value
        if self.count > MOST_COLUMNS:
            raise ValueError(f"a path asks {self.count} columns, {MOST_COLUMNS} at most can be told apart")
        patterns, times = np.unique(met.pattern(leaf).astype(np.int64), return_counts=True)
        self._background, self._shares = patterns, times / max(times.sum(), 1)
        self._whole: FloatArray | None = None
        if self.count <= CUBE_COLUMNS:
            shares = np.zeros(1 << self.count)
            shares[patterns] = self._shares
            self._whole = self.value * (shares @ _cube(self.count)).reshape(self.count, -1)
        elif self.count <= TABLE_COLUMNS:
            self._whole = self._worked_out(np.arange(1 << self.count))

    def table_for(self, found: NDArray[Any]) -> tuple[FloatArray, NDArray[Any]]:
        """Give a table of shape (path columns, patterns), and each lead's place in it."""
        if self._whole is not None:
            return self._whole, found
        patterns, places = np.unique(found.astype(np.int64), return_inverse=True)
        return self._worked_out(patterns), places

    def _worked_out(self, patterns: NDArray[np.int64]) -> FloatArray:
        whole = (1 << self.count) - 1
        inside, outside = _weights(self.count)
        result = np.zeros((self.count, len(patterns)))
        for pattern, share in zip(self._background.tolist(), self._shares.tolist(), strict=True):
            counts = (patterns | pattern) == whole
            here = patterns[counts]
            only_x, only_z = here & ~pattern, pattern & ~here
            a, b = np.bitwise_count(only_x), np.bitwise_count(only_z)
            of_x, of_z = share * self.value * inside[a, b], share * self.value * outside[a, b]
            for bit in range(self.count):
                result[bit, counts] += np.where(only_x >> bit & 1, of_x, 0.0) - np.where(only_z >> bit & 1, of_z, 0.0)
        return result


@cache
def _cube(count: int) -> FloatArray:
    """Give what a leaf of value 1 adds, of shape (patterns of z, columns · patterns of x)."""
    x, z = np.arange(1 << count)[None], np.arange(1 << count)[:, None]
    only_x, only_z = x & ~z, z & ~x
    inside, outside = _weights(count)
    a, b = np.bitwise_count(only_x), np.bitwise_count(only_z)
    whole = (x | z) == (1 << count) - 1
    of_x, of_z = np.where(whole, inside[a, b], 0.0), np.where(whole, outside[a, b], 0.0)
    bits = [np.where(only_x >> bit & 1, of_x, 0.0) - np.where(only_z >> bit & 1, of_z, 0.0) for bit in range(count)]
    return np.concatenate(bits, axis=1)


def _weights(count: int) -> tuple[FloatArray, FloatArray]:
    """Give (a − 1)! b! / (a + b)! and a! (b − 1)! / (a + b)! for all a, b; 0 where there is no such column."""
    inside, outside = np.zeros((count + 1, count + 1)), np.zeros((count + 1, count + 1))
    for a in range(count + 1):
        for b in range(count + 1 - a):
            if a:
                inside[a, b] = factorial(a - 1) * factorial(b) / factorial(a + b)
            if b:
                outside[a, b] = factorial(a) * factorial(b - 1) / factorial(a + b)
    return inside, outside
