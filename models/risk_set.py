"""Who was at risk in which piece of time, what was observed there, and what the rates without features expect.

A Poisson regression with one entry for each (row, piece of time) at risk and log(expected) as its offset has the
likelihood of a piecewise-exponential survival model. Everything that is fitted to time at risk takes a `RiskSet`.

Source: Bender, Rügamer, Scheipl and Bischl (2020), *A general machine learning framework for survival analysis*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from models.exposure import Exposure, OperationalTime
from models.hazards import TimeGrid

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_EXPECTED_FLOOR = 1e-12


@dataclass(frozen=True)
class RiskSet:
    """Entries at risk: outcomes observed, and outcomes expected without features.

    Parameters
    ----------
    row : ndarray of int, shape (entries,)
        The row of the features, never falling.
    piece : ndarray of int, shape (entries,)
        The piece of time.
    observed, expected : ndarray of shape (entries, outcomes), or (entries,) of one outcome
        Outcomes, and those expected at margin 0 (> 0), both before they are weighted.
    weight : ndarray of shape (entries,)
        Weights ≥ 0, in leads: a lead with ten snapshots counts once.
    """

    row: IntArray
    piece: IntArray
    observed: FloatArray
    expected: FloatArray
    weight: FloatArray

    @classmethod
    def from_exposure(cls, exposure: Exposure, time: OperationalTime, at_risk: NDArray, grid: TimeGrid) -> RiskSet:
        """List the pieces of time in which each row was at risk.

        Parameters
        ----------
        exposure : Exposure
            What was observed.
        time : OperationalTime
            What each day, and each outcome, counts.
        at_risk : ndarray of shape (n, bins)
            From `models.exposure.time_at_risk`, on the bins of `grid`.
        grid : TimeGrid
            Bins, pieces and base rates.

        Returns
        -------
        RiskSet
            One entry for each row and piece; an outcome falls in the last piece of its row.
        """
        starts = np.flatnonzero(np.diff(grid.bin_piece, prepend=-1))
        final = grid.bin_piece[grid.bin_of(exposure.stop_days)]
        watched = np.add.reduceat(at_risk, starts, axis=1) > 0
        watched[np.arange(len(final)), final] = True
        row, piece = np.nonzero(watched)
        expected = np.empty((len(row), grid.outcomes_count))
        for k in range(grid.outcomes_count):
            of_k = np.add.reduceat(at_risk * grid.base_rates[k].astype(np.float32), starts, axis=1)
            expected[:, k] = of_k[row, piece]
        happened = exposure.event[row][:, None] == np.arange(1, grid.outcomes_count + 1)
        observed = ((piece == final[row])[:, None] & happened) * time.rate(exposure.stop_days)[row, None]
        return cls(row, piece, observed, np.maximum(expected, _EXPECTED_FLOOR), time.factor[row])

    @classmethod
    def concatenate(cls, parts: Sequence[RiskSet]) -> RiskSet:
        """Return the entries of several risk sets in turn; ``row`` still counts within each part."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def take(self, entries: NDArray) -> RiskSet:
        """Return some of the entries."""
        return RiskSet(*(getattr(self, field.name)[entries] for field in fields(self)))

    def outcome(self, k: int) -> RiskSet:
        """Return one outcome alone, by its index: ``observed`` and ``expected`` of shape (entries,)."""
        return replace(self, observed=self.observed[:, k], expected=self.expected[:, k])

    def weighted(self, factor: FloatArray) -> RiskSet:
        """Return the entries with their weights multiplied by a factor of shape (entries,)."""
        return replace(self, weight=self.weight * factor)

    def subsample_censored(self, idle_limit: int, seed: int) -> RiskSet:
        """Draw entries: all with an outcome, and as many of the idle ones as say nearly all.

        Parameters
        ----------
        idle_limit : int
            Idle entries that are kept, or twice the others where those are more.
        seed : int
            Of the draw.

        Returns
        -------
        RiskSet
            The weights of idle entries are raised by as many as they stand for.
        """
        happened = np.asarray(self.observed.any(axis=1))
        share = min(1.0, max(idle_limit, 2 * int(happened.sum())) / max(1, int((~happened).sum())))
        drawn = happened | (np.random.default_rng(seed).random(len(happened)) < share)
        return replace(self, weight=np.where(happened, self.weight, self.weight / share)).take(np.flatnonzero(drawn))


def nearness(grid: TimeGrid, near_days: float | None) -> FloatArray:
    """Return what an entry counts in each piece of time, shape (pieces,): 1 up to ``near_days``, half twice as late.

    What happens years later would otherwise drown what features do within the horizon that matters. Rates without
    features are estimated within a bin, where all days count alike: they do not change.
    """
    starts = grid.bin_edges_days[np.flatnonzero(np.diff(grid.bin_piece, prepend=-1))]
    return np.ones(len(starts)) if near_days is None else near_days / np.maximum(starts, near_days)
