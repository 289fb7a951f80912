"""Bootstrap over leads: where a metric lies on other draws, with the same draws for all models, dates and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], Any]

LEVEL = 0.9
_CELLS_AT_ONCE = 2_000_000
_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_POISSON = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])


class LeadDraws:
    """Draws of leads: how often each lead counts in each draw.

    A count is Poisson with mean 1, from a hash of the seed, the draw and the lead's id (the Poisson bootstrap; Chamandy
    et al. 2012). A lead counts alike for every model, at every date and in every segment, so differences between them
    are paired, and several rows of one lead stay together.

    Parameters
    ----------
    lead_ids : array-like of shape (n,)
        The lead of each row.
    repeats : int
        How many draws.
    seed : int, default=0
        Of the draws.

    Examples
    --------
    >>> import numpy as np
    >>> draws = LeadDraws(["L1", "L2", "L1"], repeats=2)
    >>> weights = draws.weights(0, 3)
    >>> weights[0]
    array([1., 1., 1.])
    >>> bool((weights[:, 0] == weights[:, 2]).all())
    True
    """

    def __init__(self, lead_ids: ArrayLike, repeats: int, seed: int = 0):
        self.repeats = repeats
        text = pd.Series(np.asarray(lead_ids), dtype=object).astype(str).to_numpy(dtype=object)
        self._hash = pd.util.hash_array(text, categorize=False)
        self._seed = seed

    def weights(self, first: int, last: int) -> FloatArray:
        """Return the counts of some draws; draw 0 is the data themselves, each lead once.

        Returns
        -------
        ndarray of shape (last - first, n)
        """
        draws = np.arange(first, last, dtype=np.uint64)[:, None]
        with np.errstate(over="ignore"):
            mixed = self._hash[None] + (draws + np.uint64(1) + np.uint64(self._seed) * np.uint64(1 << 20)) * _GOLDEN
            mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1  # splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
            mixed ^= mixed >> np.uint64(31)
        counts = np.searchsorted(_POISSON, mixed / 2.0**64, side="right").astype(float)
        counts[draws[:, 0] == 0] = 1.0
        return counts

    def measure(self, statistics: Mapping[str, Statistic]) -> dict[str, FloatArray]:
        """Compute statistics on the data and on every draw.

        Parameters
        ----------
        statistics : mapping of str to callable
            Each takes weights of shape (draws, n) and returns shape (draws, …).

        Returns
        -------
        dict of str to ndarray of shape (1 + repeats, …)
            First the statistic of the data, then that of each draw.
        """
        at_once = max(1, _CELLS_AT_ONCE // max(1, len(self._hash)))
        found: dict[str, list[FloatArray]] = {name: [] for name in statistics}
        for first in range(0, self.repeats + 1, at_once):
            weight = self.weights(first, min(first + at_once, self.repeats + 1))
            for name, statistic in statistics.items():
                found[name].append(np.asarray(statistic(weight), dtype=float))
        return {name: np.concatenate(parts) for name, parts in found.items()}


def interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return where a statistic lies on most draws.

    Parameters
    ----------
    values : array-like of shape (1 + repeats,)
        From `LeadDraws.measure`; the first one is that of the data and is left out.
    level : float, default=0.9
        Share of the draws inside.

    Returns
    -------
    low, high : float, float
        NaN where the statistic is missing on half of the draws.
    """
    drawn = np.asarray(values, dtype=float)[1:]
    finite = drawn[np.isfinite(drawn)]
    if 2 * len(finite) <= len(drawn) or not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
