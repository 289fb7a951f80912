"""Columns of the feature matrix gathered into what a reader takes for one thing: signals, and their themes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import catalogue
from features.catalogue import THEMES, Feature
from features.spec import FeatureSpec
from pipeline.common.degradation import Degradation

FloatArray = NDArray[np.float64]


class Signals:
    """Which columns tell the same signal (windows of one count, codes of one category), and which theme it has.

    Parts that add up over columns add up over signals and over themes as well.

    Parameters
    ----------
    entries : sequence of Feature
        An entry for every column.
    columns : sequence of str
        Columns of the attributions, in their order.
    currency : str
        Of amounts among the features.

    Attributes
    ----------
    entries : list of Feature
        The entry of each column.
    groups : list of str
        The signals' codes, in alphabetical order.
    members : list of ndarray of int
        The columns of each signal.
    """

    def __init__(self, entries: Sequence[Feature], columns: Sequence[str], currency: str = "") -> None:
        self.currency = currency
        known = {entry.name: entry for entry in entries}
        self.entries = [known[column] for column in columns]
        self.groups = sorted({entry.group for entry in self.entries})
        group_of = np.array([self.groups.index(entry.group) for entry in self.entries], dtype=int)
        self.members = [np.flatnonzero(group_of == group) for group in range(len(self.groups))]
        theme_of = np.array([THEMES.index(entry.theme) for entry in self.entries], dtype=int)
        self._themes = [np.flatnonzero(theme_of == theme) for theme in range(len(THEMES))]

    def by_group(self, parts: pd.DataFrame) -> FloatArray:
        """Sum (n, columns) over the columns of each signal: (n, signals)."""
        return _sums(parts, self.members)

    def by_theme(self, parts: pd.DataFrame) -> FloatArray:
        """Sum (n, columns) over the columns of each theme, in the order of ``THEMES``: (n, 6)."""
        return _sums(parts, self._themes)


def reliable_entries(spec: FeatureSpec, degraded: Iterable[Degradation] = ()) -> list[Feature]:
    """Give the catalogue of a model; of a source that cannot be relied on, no feature is a reason."""
    entries = catalogue.entries(spec)
    return [
        replace(entry, is_reason=False) if any(one.reaches(entry.provenance) for one in degraded) else entry
        for entry in entries
    ]


def _sums(parts: pd.DataFrame, members: Sequence[NDArray[np.intp]]) -> FloatArray:
    """Sum sets of columns, one column after the other: a matrix product may add in another order on other threads."""
    values = parts.to_numpy(float)
    result = np.zeros((len(values), len(members)))
    for place, columns in enumerate(members):
        for column in columns:
            result[:, place] += values[:, column]
    return result
