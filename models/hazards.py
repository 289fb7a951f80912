"""From margins to probabilities: competing hazards that are constant within each bin of time.

For outcome k of a lead with margins m, at t days after ``as_of`` in bin b::

    λ_k(t) = base_rates[k, b] · exp(m[k, piece(b)])                      events per day
    F_k(t) = Σ_b S_b · λ_kb · (1 − e^{−λ_b w_b}) / λ_b                   λ_b = Σ_k λ_kb, w_b = days spent in b

S_b is the chance to be still open when b starts. The sums telescope: F_0 + F_1 + … = 1 at every t, and no F_k but F_0
ever falls. Nothing here is fitted, and everything is a smooth function of the margins.

Source: Bender, Rügamer, Scheipl and Bischl (2020), *A general machine learning framework for survival analysis*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.serialization import float_array

FloatArray = NDArray[np.float64]

_CHUNK_FLOATS = 4_000_000  # 32 MB for the largest intermediate array; a handful of such arrays live at once


@dataclass(frozen=True, eq=False)
class TimeGrid:
    """Bins of time, the rate of each outcome in them without any features, and the pieces that bins belong to.

    Parameters
    ----------
    bin_edges_days : ndarray of shape (bins + 1,)
        Days from ``as_of``: starts at 0, strictly increasing. Bin b is the half-open interval (edge b, edge b + 1]; the
        last one goes on for ever, so that the last rate is continued past the last edge.
    bin_piece : ndarray of int, shape (bins,)
        The piece of each bin, 0 … pieces − 1, never decreasing. A margin holds for a whole piece.
    base_rates : ndarray of shape (outcomes, bins)
        Events per day of a lead whose margins are 0.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, the edges do not increase from 0, or a rate is negative or not finite.

    Examples
    --------
    >>> grid = TimeGrid([0, 30, 90], [0, 1], [[0.01, 0.002]])
    >>> grid.bins_count, grid.pieces_count, grid.outcomes_count
    (2, 2, 1)
    >>> grid.bin_of([30, 31, 500])
    array([0, 1, 1])
    """

    bin_edges_days: FloatArray
    bin_piece: NDArray[np.intp]
    base_rates: FloatArray

    def __post_init__(self) -> None:
        edges = np.asarray(self.bin_edges_days, dtype=float)
        piece = np.asarray(self.bin_piece, dtype=np.intp)
        rates = np.asarray(self.base_rates, dtype=float)
        if edges.ndim != 1 or len(edges) < 2 or edges[0] != 0 or not np.all(np.diff(edges) > 0):
            raise ValueError(f"bin_edges_days must increase strictly from 0, got {edges!r}")
        if piece.shape != (len(edges) - 1,) or rates.ndim != 2 or rates.shape[1] != len(piece):
            raise ValueError(
                f"{len(edges)} edges make {len(edges) - 1} bins, but bin_piece has shape {piece.shape} "
                f"and base_rates {rates.shape}"
            )
        if piece[0] != 0 or not np.isin(np.diff(piece), (0, 1)).all():
            raise ValueError(f"bin_piece must go up from 0 in steps of at most 1, got {piece!r}")
        if not np.isfinite(rates).all() or (rates < 0).any():
            raise ValueError("base_rates must be finite and not negative")
        for name, value in (("bin_edges_days", edges), ("bin_piece", piece), ("base_rates", rates)):
            object.__setattr__(self, name, value)

    @property
    def bins_count(self) -> int:
        """Number of bins."""
        return len(self.bin_piece)

    @property
    def pieces_count(self) -> int:
        """Number of pieces."""
        return int(self.bin_piece[-1]) + 1

    @property
    def outcomes_count(self) -> int:
        """Number of competing outcomes."""
        return len(self.base_rates)

    def bin_of(self, times: ArrayLike) -> NDArray[np.intp]:
        """Return the bin that each time (days ≥ 0) lies in; times past the last edge lie in the last bin."""
        found = np.searchsorted(self.bin_edges_days, np.asarray(times, dtype=float), side="left") - 1
        return np.clip(found, 0, self.bins_count - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the grid as JSON holds it; see `models.serialization`."""
        names = ("bin_edges_days", "bin_piece", "base_rates")
        return {name: getattr(self, name).tolist() for name in names}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> TimeGrid:
        """Return the grid that `to_dict` wrote."""
        edges, rates = float_array(content["bin_edges_days"]), float_array(content["base_rates"])
        return cls(edges, np.asarray(content["bin_piece"], dtype=np.intp), rates)


def cumulative_incidence(margins: ArrayLike, grid: TimeGrid, times: ArrayLike) -> FloatArray:
    """Probability that each outcome has happened by each time.

    Parameters
    ----------
    margins : array-like of shape (n, outcomes, pieces)
        Log-multipliers of the base rates.
    grid : TimeGrid
        Bins, pieces and base rates.
    times : array-like of shape (times,)
        Days from ``as_of``, ≥ 0, in any order. Past the last edge the last rate goes on.

    Returns
    -------
    ndarray of shape (n, outcomes + 1, times)
        Index 0 of the second axis: still open. Each (row, time) sums to one.

    Raises
    ------
    ValueError
        If margins do not fit the grid, or a time is negative or not finite.

    See Also
    --------
    quantile_days : the days by which a share of an outcome's probability is used up.

    Examples
    --------
    Two outcomes at 0.01 and 0.02 events per day: after 100 days a third of the ended leads ended in the first.

    >>> grid = TimeGrid([0, 100], [0], [[0.01], [0.02]])
    >>> cumulative_incidence([[[0.0], [0.0]]], grid, [100]).round(3)
    array([[[0.05 ],
            [0.317],
            [0.633]]])
    """
    margins = check_margins(margins, grid)
    times = np.atleast_1d(np.asarray(times, dtype=float))
    if times.ndim != 1 or not np.isfinite(times).all() or (times < 0).any():
        raise ValueError(f"times must be days ≥ 0 in one dimension, got {times!r}")
    at = grid.bin_of(times)
    within = times - grid.bin_edges_days[at]
    result = np.empty((len(margins), grid.outcomes_count + 1, len(times)))
    for rows in _chunks(len(margins), (grid.outcomes_count + 2) * max(grid.bins_count, len(times))):
        rates, total, open_at, reached = _edges(margins[rows], grid)
        passed = total[:, at] * within
        result[rows, 0] = open_at[:, at] * np.exp(-passed)
        ended = open_at[:, at] * _decay_integral(total[:, at], within)
        result[rows, 1:] = reached[:, :, at] + rates[:, :, at] * ended[:, None, :]
    return result


def quantile_days(
    margins: ArrayLike, grid: TimeGrid, quantiles: ArrayLike, until_days: float, outcome: int = 0
) -> FloatArray:
    """Days after which a share of an outcome's chance has been used up, given that it happens by ``until_days``.

    The t at which F_k(t) = q · F_k(until_days), found in closed form within its bin.

    Parameters
    ----------
    margins : array-like of shape (n, outcomes, pieces)
        Log-multipliers of the base rates.
    grid : TimeGrid
        Bins, pieces and base rates.
    quantiles : array-like of shape (quantiles,)
        Shares, each in [0, 1].
    until_days : float
        Where the outcome's time is cut off; days from ``as_of``, > 0.
    outcome : int, default=0
        Which outcome: an index into the first axis of ``base_rates``.

    Returns
    -------
    ndarray of shape (n, quantiles)
        Days from ``as_of``; NaN where the outcome cannot happen by ``until_days``.

    Raises
    ------
    ValueError
        If a quantile is outside [0, 1] or ``until_days`` is not positive.

    Examples
    --------
    >>> grid = TimeGrid([0, 100], [0], [[0.01]])
    >>> quantile_days([[[0.0]]], grid, [0.5], until_days=100.0).round(1)
    array([[38.]])
    """
    margins = check_margins(margins, grid)
    quantiles = np.atleast_1d(np.asarray(quantiles, dtype=float))
    if not ((quantiles >= 0) & (quantiles <= 1)).all() or not until_days > 0:
        raise ValueError(f"quantiles must lie in [0, 1] and until_days above 0, got {quantiles!r} and {until_days!r}")
    result = np.empty((len(margins), len(quantiles)))
    for rows in _chunks(len(margins), (grid.outcomes_count + 2) * max(grid.bins_count, len(quantiles))):
        rates, total, open_at, reached = _edges(margins[rows], grid)
        final = cumulative_incidence(margins[rows], grid, [until_days])[:, outcome + 1, 0]
        target = final[:, None] * quantiles
        # The bin is the last one whose start lies below the target; a target of 0 belongs to the first.
        at = np.maximum((reached[:, outcome, None, :] < target[:, :, None]).sum(axis=2) - 1, 0)
        row = np.arange(len(at))[:, None]
        rate, speed = rates[row, outcome, at], total[row, at]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (target - reached[row, outcome, at]) / (open_at[row, at] * rate)
            within = np.where(speed > 0, -np.log1p(-share * speed) / speed, share)
        # Rounding may carry the largest quantile past the cut-off by some 1e-12 days.
        days = np.minimum(grid.bin_edges_days[at] + np.maximum(within, 0.0), until_days)
        result[rows] = np.where(final[:, None] > 0, np.where(target > 0, days, 0.0), np.nan)
    return result


def check_margins(margins: ArrayLike, grid: TimeGrid) -> FloatArray:
    """Return margins as a float array, or say in which dimension they do not fit the grid."""
    margins = np.asarray(margins, dtype=float)
    expected = (grid.outcomes_count, grid.pieces_count)
    if margins.ndim != 3 or margins.shape[1:] != expected:
        raise ValueError(f"margins must have shape (n, {expected[0]}, {expected[1]}), got {margins.shape}")
    return margins


def _edges(margins: FloatArray, grid: TimeGrid) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Rates (n, K, B), their sum (n, B), and at each bin's start the chance to be open (n, B) and F (n, K, B)."""
    widths = np.diff(grid.bin_edges_days)
    rates = grid.base_rates * np.exp(margins)[:, :, grid.bin_piece]
    total = rates.sum(axis=1)
    passed = np.cumsum(total * widths, axis=1)
    open_at = np.exp(-np.concatenate([np.zeros((len(passed), 1)), passed[:, :-1]], axis=1))
    ended = open_at * _decay_integral(total, widths)
    reached = np.zeros_like(rates)
    np.cumsum((rates * ended[:, None, :])[:, :, :-1], axis=2, out=reached[:, :, 1:])
    return rates, total, open_at, reached


def _decay_integral(rate: FloatArray, width: FloatArray) -> FloatArray:
    """∫₀^width e^{−rate·u} du = (1 − e^{−rate·width}) / rate, which is the width itself where the rate is 0."""
    safe = np.where(rate > 0, rate, 1.0)
    return np.where(rate > 0, -np.expm1(-safe * width) / safe, width)


def _chunks(rows_count: int, floats_per_row: int) -> Iterator[slice]:
    """Slices over rows, so that no intermediate array grows with the number of rows."""
    size = max(1, _CHUNK_FLOATS // floats_per_row)
    for start in range(0, rows_count, size):
        yield slice(start, start + size)
