"""From margins to what is shown: how much of money, points and days each margin's difference from typical accounts for.

Along the straight line from the typical lead's margins m0 to a lead's margins m, the gradient theorem gives for any
smooth E::

    E(m) − E(m0) = Σ_k (m_k − m0_k) · ∫₀¹ ∂E/∂m_k (m0 + s (m − m0)) ds

The integrals are the weights of `ForecastPath`. They are taken at 6 Gauss-Legendre nodes. E is smooth, so for most
leads the sum is right to 1e-9; leads for whom it is not right to 1e-7 get 32 nodes.

Source: Sundararajan, Taly and Yan (2017), *Axiomatic attribution for deep networks* (integrated gradients).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.hazards import TimeGrid
from models.revenue import expected_revenue, gradients, mean_days_to_win, p_win

FloatArray = NDArray[np.float64]

NODES_COUNT, MOST_NODES_COUNT = 6, 32
_PATH_COLUMNS = 512  # leads times nodes: the columns of an array that stays in the processor's cache
_PATH_TOLERANCE = 1e-7


@dataclass(frozen=True, eq=False)
class ForecastPath:
    """The way from the typical lead's forecast to a lead's own, in money, percentage points and days.

    Parameters
    ----------
    base_margins : ndarray of shape (margins, pieces)
        The typical lead's: those of the outcomes in the grid's order (won first), then that of the value where there
        are amounts.
    grid : TimeGrid
        Bins, pieces and base rates.
    horizon_days, ever_days : float
        Money and points are those within the first, the mean days those of leads won within the second.
    """

    base_margins: FloatArray
    grid: TimeGrid
    horizon_days: float
    ever_days: float

    @property
    def has_value(self) -> bool:
        """Whether the last margin is the value's."""
        return len(self.base_margins) > self.grid.outcomes_count

    @property
    def base(self) -> FloatArray:
        """Money, percentage points and days of the typical lead: (3,)."""
        return self.shown(self.base_margins[None])[:, 0]

    def shown(self, margins: FloatArray) -> FloatArray:
        """Return money, percentage points and days of leads: (3, n) from (n, margins, pieces).

        Without amounts money is that of deals worth one.
        """
        outcomes = margins[:, : self.grid.outcomes_count]
        values = margins[:, -1] if self.has_value else np.zeros_like(margins[:, 0])
        horizon = [self.horizon_days]
        return np.stack(
            [
                expected_revenue(outcomes, values, self.grid, horizon)[:, 0],
                100.0 * p_win(outcomes, self.grid, horizon)[:, 0],
                mean_days_to_win(outcomes, self.grid, self.ever_days),
            ]
        )

    def weights(self, margins: FloatArray, shown: FloatArray) -> FloatArray:
        """Return weights with which the parts of the margins add up to what is shown: (3, n, margins, pieces).

        Parameters
        ----------
        margins : ndarray of shape (n, margins, pieces)
            Of the leads.
        shown : ndarray of shape (3, n)
            From `shown`.
        """
        base, result = self.base, self.weights_at(margins, NODES_COUNT)
        closed = np.einsum("unkp,nkp->un", result, margins - self.base_margins)
        rough = np.abs(base[:, None] + closed - shown) > _PATH_TOLERANCE * relative_to(base, shown)
        again = np.flatnonzero(rough.any(axis=0))
        if len(again):
            result[:, again] = self.weights_at(margins[again], MOST_NODES_COUNT)
        return result

    def weights_at(self, margins: FloatArray, nodes_count: int) -> FloatArray:
        """Return ∫₀¹ ∂E/∂m (m0 + s (m − m0)) ds for each unit, margin and piece.

        Parameters
        ----------
        margins : ndarray of shape (n, margins, pieces)
            Where each lead's path ends; it starts at ``base_margins``.
        nodes_count : int
            Points of the path at which the gradient is taken.

        Returns
        -------
        ndarray of shape (3, n, margins, pieces)
            Money, percentage points and days.
        """
        knots, weights = np.polynomial.legendre.leggauss(nodes_count)
        along, share = (knots + 1.0) / 2.0, weights / 2.0
        count, pieces = margins.shape[1:]
        result = np.empty((3, *margins.shape))
        for rows in slices(len(margins), max(1, _PATH_COLUMNS // nodes_count)):
            ends = np.moveaxis(margins[rows] - self.base_margins, 0, -1)
            path = self.base_margins[:, :, None, None] + ends[..., None] * along
            flat = path.reshape(count, pieces, -1)
            outcomes = flat[: self.grid.outcomes_count]
            values = flat[-1] if self.has_value else np.zeros_like(flat[0])
            slopes = gradients(outcomes, values, self.grid, self.horizon_days, self.ever_days)
            for unit, slope in enumerate(slopes):
                mean = slope[:count].reshape(count, pieces, -1, nodes_count) @ share
                result[unit, rows] = np.moveaxis(mean, -1, 0)
        result[1] *= 100.0
        return result


def relative_to(base: FloatArray, shown: FloatArray) -> FloatArray:
    """Return what a gap is measured against: the larger of the shown number and the typical lead's, (3, n)."""
    return np.maximum(np.maximum(np.abs(shown), np.abs(base)[:, None]), 1e-300)


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover 0 … count − 1."""
    for start in range(0, count, size):
        yield slice(start, start + size)
