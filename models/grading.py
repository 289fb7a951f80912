"""A score from 1 to 99 and a grade from A to D that mean the same every night: places in a frozen population."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.serialization import float_array

FloatArray = NDArray[np.float64]

GRADES = {"A": 0.9, "B": 0.7, "C": 0.4}  # the share of the population that ranks below the grade; D is the rest
_REFERENCE_DAYS = 90
_REFERENCE_ROWS = 5_000


@dataclass(frozen=True, eq=False)
class Grading:
    """Where a ranking value stands in a reference population.

    Parameters
    ----------
    score_cuts : ndarray of shape (98,)
        Values that part the population into 99 equal shares, increasing.
    grade_cuts : dict of str to float
        The least value of each grade, best grade first; below the last one is D.

    Examples
    --------
    >>> import numpy as np
    >>> grading = Grading.of_population(np.arange(1000.0))
    >>> grading.score([0.0, 500.0, 999.0])
    array([ 1, 50, 99])
    >>> grading.grade([0.0, 500.0, 750.0, 950.0])
    array(['D', 'C', 'B', 'A'], dtype=object)
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

    def to_dict(self) -> dict[str, Any]:
        """Return the frozen population as JSON holds it; see `models.serialization`."""
        return {"score_cuts": self.score_cuts.tolist(), "grade_cuts": dict(self.grade_cuts)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Grading:
        """Return the population that `to_dict` wrote."""
        return cls(float_array(content["score_cuts"]), dict(content["grade_cuts"]))

    def score(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return the percentile of ranking values, 1 to 99, equal ones in their middle: (n,) from (n,)."""
        below, up_to = (np.searchsorted(self.score_cuts, values, side=side) for side in ("left", "right"))
        return 1 + (below + up_to + 1) // 2

    def grade(self, values: ArrayLike) -> NDArray[np.object_]:
        """Return the grade of ranking values: A the best tenth, B the next fifth, C the next 30%, D; (n,) from (n,).

        Where so many are equal that they would fill several grades, they get the lowest of these.
        """
        values = np.asarray(values, dtype=float)
        cuts = list(self.grade_cuts.values())
        reached = [
            values > cut if cut == lower else values >= cut for cut, lower in zip(cuts, [*cuts[1:], None], strict=True)
        ]
        return np.select(reached, list(self.grade_cuts), "D").astype(object)


def recent_rows(as_of_days: FloatArray, weight: ArrayLike | None, seed: int) -> NDArray[np.intp]:
    """Draw rows of the last 90 days by their weight: what the population to be scored looks like.

    Parameters
    ----------
    as_of_days : ndarray of shape (n,)
        The day of each snapshot.
    weight : array-like of shape (n,), optional
        Of each snapshot; equal where there is none.
    seed : int
        Of the draw.

    Returns
    -------
    ndarray of int
        At most 5,000 rows, in ascending order.
    """
    counted = np.ones(len(as_of_days)) if weight is None else np.asarray(weight, dtype=float)
    recent = np.flatnonzero((as_of_days >= as_of_days[counted > 0].max() - _REFERENCE_DAYS) & (counted > 0))
    rng = np.random.default_rng(seed)
    if weight is not None:
        share = counted[recent]
        recent = recent[rng.random(len(recent)) * share.max() < share]
    if len(recent) > _REFERENCE_ROWS:
        recent = np.sort(rng.choice(recent, _REFERENCE_ROWS, replace=False))
    return recent
