"""A score from 1 to 99 and a grade from A to D that mean the same every night: places in a frozen population."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

GRADES = {"A": 0.9, "B": 0.7, "C": 0.4}  # the share of the population that ranks below the grade; D is the rest


@dataclass(frozen=True, eq=False)
class Grading:
    """Where a ranking value stands in a reference population.

    Parameters
    ----------
    score_cuts : ndarray of shape (98,)
        Values that part the population into 99 equal shares, increasing.
    grade_cuts : dict of str to float
        The least value of each grade, best grade first; below the last one is D.
    """

    score_cuts: FloatArray
    grade_cuts: dict[str, float]

    @classmethod
    def of_population(cls, values: ArrayLike) -> Grading:
        """Freeze a population.

        Parameters
        ----------
        values : array-like of shape (n,)
            Ranking values of its leads, at least one.
        """
        values = np.asarray(values, dtype=float)
        cuts = np.quantile(values, np.arange(1, 99) / 99)
        return cls(cuts, {grade: float(np.quantile(values, share)) for grade, share in GRADES.items()})

    def score(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return the percentile of ranking values, 1 to 99: (n,) from (n,)."""
        return 1 + np.searchsorted(self.score_cuts, np.asarray(values, dtype=float), side="right")

    def grade(self, values: ArrayLike) -> NDArray[np.object_]:
        """Return the grade of ranking values: A the best tenth, B the next fifth, C the next 30%, D; (n,) from (n,)."""
        values = np.asarray(values, dtype=float)
        return np.select([values >= cut for cut in self.grade_cuts.values()], list(self.grade_cuts), "D").astype(object)
