"""Why a forecast is what it is: each column's share of what is shown, in money, percentage points and days.

Two exact steps. First each booster's raw score is split over its columns: interventional Shapley values φ against a
background of training leads at the same piece of time, so that the time itself gets nothing; those of straight lines
are each column's part less the background's mean. Then the split is carried
to what is shown, E(margins), along the straight line from the background's mean margins m0 to the lead's m::

    money_j = Σ_k φ_{k,j} · ∫₀¹ ∂E/∂m_k (m0 + s (m − m0)) ds            Σ_j money_j = E(m) − E(m0)

The integral is taken at 6 Gauss-Legendre nodes. E is smooth, so that for most leads the sum is right to 1e-9; those for
whom it is not right to 1e-7 get 32 nodes.

A booster's piece column is fixed before anything is split: trees then lose their splits on it, and the pieces for which
a tree comes out the same share its Shapley values. Most trees never look at the piece, so that eight pieces cost little
more than one.

Source: Chen, Lundberg and Lee (2022), *Explaining a series of models by propagating Shapley values*; Nadel and
Wettenstein (2025), *From decision trees to Boolean logic: a fast and unified SHAP algorithm* (WOODELF).
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.hazards import TimeGrid
from models.linear import Lines
from models.revenue import expected_revenue, gradients, mean_days_to_win, p_win
from models.tree_pruning import interventional_by_shap, trees_by_pieces

if TYPE_CHECKING:
    import lightgbm as lgb

FloatArray = NDArray[np.float64]

NODES_COUNT, MOST_NODES_COUNT = 6, 32
_PATH_COLUMNS = 512  # leads times nodes: the columns of an array that stays in the processor's cache
_PATH_TOLERANCE = 1e-7
_LEADS_AT_ONCE = 50_000
_LEADS_AT_ONCE_BY_SHAP = 2_000
_TOLERANCE = 1e-6


class AttributionWarning(UserWarning):
    """The fast Shapley values did not stand up to the check; the slow ones were used."""


@dataclass(frozen=True)
class Attributions:
    """What each column adds to a lead's forecast, compared with the typical lead.

    For every lead, ``base_*`` plus the sum of its row is the number that is shown.

    Parameters
    ----------
    money : DataFrame of shape (n, columns) or None
        Expected revenue within the primary horizon; None where there are no amounts.
    points : DataFrame of shape (n, columns)
        Chance to be won within the primary horizon, in percentage points.
    days : DataFrame of shape (n, columns)
        Mean days to winning, given that the lead is won.
    base_money : float
        Expected revenue of the typical lead; NaN where there are no amounts.
    base_points, base_days : float
        The same in percentage points and days.
    largest_gap : float
        The largest amount by which any lead's reasons miss its number, relative to the largest of that number, the
        base and the reasons' own size, over all three units.
    method : {"woodelf", "shap"}
        What split the boosters' scores.
    """

    money: pd.DataFrame | None
    points: pd.DataFrame
    days: pd.DataFrame
    base_money: float
    base_points: float
    base_days: float
    largest_gap: float
    method: str


class Attributor:
    """Splits forecasts over the columns that they were made from.

    Parameters
    ----------
    boosters : sequence of lightgbm.Booster
        One for each outcome in the grid's order (won first), then that of the value where there are amounts. Each sees
        the design columns and, last, the piece.
    calibrations : array-like of shape (boosters, 2)
        a and b of each: its margin is a + b · raw score.
    background : sequence of ndarray of shape (m, design columns)
        Training leads that a lead is compared with, as each booster sees them, without the piece column.
    columns : sequence of sequence of str
        The original column of each design column, for each booster; several design columns may come from one.
    grid : TimeGrid
        Bins, pieces and base rates.
    lines : sequence of Lines, optional
        Of the first so many boosters: what is added to their raw scores.
    line_share : array-like of shape (lines,), optional
        s of each: what is calibrated is (1 − s) · raw score + s · lines.
    horizon_days, ever_days : float
        Money and points are those within the first, the mean days those of leads won within the second.
    threads : int, optional
        Threads of LightGBM; by default all cores.

    Attributes
    ----------
    base_margins_ : ndarray of shape (boosters, pieces)
        The background's mean margins: the typical lead.
    """

    def __init__(
        self,
        boosters: Sequence[lgb.Booster],
        calibrations: FloatArray,
        background: Sequence[FloatArray],
        columns: Sequence[Sequence[str]],
        grid: TimeGrid,
        horizon_days: float,
        ever_days: float,
        threads: int | None = None,
        lines: Sequence[Lines] = (),
        line_share: ArrayLike = (),
    ) -> None:
        if len(boosters) not in (grid.outcomes_count, grid.outcomes_count + 1):
            raise ValueError(f"{grid.outcomes_count} outcomes need as many boosters or one more, got {len(boosters)}")
        for design, names in zip(background, columns, strict=True):
            if design.shape[1] != len(names):
                raise ValueError(f"background has {design.shape[1]} columns, but {len(names)} are named")
        self.boosters = boosters
        self.calibrations = np.asarray(calibrations, dtype=float)
        self.background = background
        self.grid = grid
        self.horizon_days, self.ever_days = horizon_days, ever_days
        self.threads = threads
        self.lines = list(lines)
        self.line_share = np.zeros(len(boosters))
        self.line_share[: len(self.lines)] = line_share
        self.names = list(dict.fromkeys(column for names in columns for column in names))
        self._owners = [[self.names.index(column) for column in names] for names in columns]
        self.base_margins_ = self.margins(background).mean(axis=0)
        self._trees = [
            trees_by_pieces(booster, len(names), grid.pieces_count)
            for booster, names in zip(boosters, columns, strict=True)
        ]

    @property
    def has_value(self) -> bool:
        """Whether the last booster is the value's."""
        return len(self.boosters) > self.grid.outcomes_count

    def margins(self, designs: Sequence[FloatArray]) -> FloatArray:
        """Calibrated margins of each booster in each piece.

        Parameters
        ----------
        designs : sequence of ndarray of shape (n, design columns)
            Leads, as each booster sees them, without the piece column.

        Returns
        -------
        ndarray of shape (n, boosters, pieces)
            a + b · ((1 − s) · raw score + s · lines), or a + b · raw score.
        """
        result = np.empty((len(designs[0]), len(self.boosters), self.grid.pieces_count))
        for index, (booster, design) in enumerate(zip(self.boosters, designs, strict=True)):
            seen = np.column_stack([design, np.zeros(len(design))])
            for piece in range(self.grid.pieces_count):
                seen[:, -1] = piece
                result[:, index, piece] = booster.predict(seen, raw_score=True, num_threads=self.threads or 0)
            if index < len(self.lines):
                share = self.line_share[index]
                result[:, index] = (1.0 - share) * result[:, index] + share * self.lines[index].margins(design)
        return self.calibrations[:, 0, None] + self.calibrations[:, 1, None] * result

    def explain(
        self,
        designs: Sequence[FloatArray],
        margins: FloatArray | None = None,
        index: pd.Index | None = None,
        check_count: int = 8,
    ) -> Attributions:
        """Split the forecast of each lead.

        Every lead's split is compared with its margins, and that of a few leads with ``shap.TreeExplainer`` besides.
        Where either does not agree, all are split by the latter, with an `AttributionWarning`.

        Parameters
        ----------
        designs : sequence of ndarray of shape (n, design columns)
            Leads, as each booster sees them, without the piece column.
        margins : ndarray of shape (n, boosters, pieces), optional
            `margins` of the designs where they are at hand.
        index : Index of length n, optional
            Of the frames that are returned.
        check_count : int, default=8
            Leads compared with ``shap.TreeExplainer``, spread over the rows; 0 leaves shap alone (it takes seconds to
            import).

        Returns
        -------
        Attributions
            One row a lead, one column an original column.
        """
        count = len(designs[0])
        margins = self.margins(designs) if margins is None else margins
        index = pd.RangeIndex(count) if index is None else index
        blocks = list(self.explain_in_blocks(lambda rows: [d[rows] for d in designs], margins, check_count))
        if any(block.method == "shap" for block in blocks):  # one method for all
            blocks = [self._explain(designs, margins, "what was found above")]

        def joined(unit: str) -> pd.DataFrame:
            return pd.concat([getattr(block, unit) for block in blocks]).set_axis(index)

        return replace(
            blocks[0],
            money=joined("money") if self.has_value else None,
            points=joined("points"),
            days=joined("days"),
            largest_gap=max(block.largest_gap for block in blocks),
        )

    def explain_in_blocks(
        self,
        designs_of: Callable[[slice | NDArray[np.intp]], Sequence[FloatArray]],
        margins: FloatArray,
        check_count: int = 8,
    ) -> Iterator[Attributions]:
        """Split the forecasts of many leads in bounded memory, on all threads.

        Parameters
        ----------
        designs_of : callable
            Gives the designs of some rows.
        margins : ndarray of shape (n, boosters, pieces)
            Of all leads.
        check_count : int, default=8
            As in `explain`.

        Yields
        ------
        Attributions
            Of one block of leads after the other, at least one; the index counts the leads from 0.
        """
        count = len(margins)
        checked = np.unique(np.linspace(0, max(count - 1, 0), check_count).astype(int))[: count or 0]
        trouble = self._disagreement_with_shap(designs_of(checked)) if len(checked) else None
        blocks = list(_slices(count, _LEADS_AT_ONCE)) or [slice(0, 0)]

        def explain(rows: slice) -> Attributions:
            return self._explain(designs_of(rows), margins[rows], trouble, first=rows.start)

        workers = min(self.threads or os.cpu_count() or 1, len(blocks))
        with ThreadPoolExecutor(workers) as pool:
            # A few blocks ahead of the reader, and no more: what is waiting is held in memory.
            waiting: deque[Future[Attributions]] = deque()
            for rows in blocks:
                waiting.append(pool.submit(explain, rows))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _explain(
        self, designs: Sequence[FloatArray], margins: FloatArray, trouble: str | None, first: int = 0
    ) -> Attributions:
        """Split the forecasts of one block of leads, by shap where there was trouble, or is."""
        units = np.empty((3, len(self.names), len(margins)))
        base, shown = self._shown(self.base_margins_[None])[:, 0], self._shown(margins)
        weights = self._weights(margins, base, shown)
        if trouble is None:
            gap = self._split(designs, margins, weights, units, self._fast)
            if not gap <= _TOLERANCE:
                trouble = f"the parts of a score miss it by {gap:.1e}"
                _warn(trouble)
        if trouble is not None:
            for rows in _slices(len(margins), _LEADS_AT_ONCE_BY_SHAP):
                block = [design[rows] for design in designs]
                self._split(block, margins[rows], weights[:, rows], units[..., rows], self._slow)
        size = np.maximum(_size(base, shown), np.abs(units).sum(axis=1))
        gaps = np.abs(base[:, None] + units.sum(axis=1) - shown) / size
        index = pd.RangeIndex(first, first + len(margins))
        frames = [pd.DataFrame(unit.T, index=index, columns=self.names) for unit in units]
        return Attributions(
            money=frames[0] if self.has_value else None,
            points=frames[1],
            days=frames[2],
            base_money=float(base[0]) if self.has_value else float("nan"),
            base_points=float(base[1]),
            base_days=float(base[2]),
            largest_gap=float(gaps[0 if self.has_value else 1 :].max(initial=0.0)),
            method="woodelf" if trouble is None else "shap",
        )

    def _shown(self, margins: FloatArray) -> FloatArray:
        """Money, percentage points and days of leads: (3, n)."""
        outcomes, values = self._parts(margins)
        horizon = [self.horizon_days]
        return np.stack(
            [
                expected_revenue(outcomes, values, self.grid, horizon)[:, 0],
                100.0 * p_win(outcomes, self.grid, horizon)[:, 0],
                mean_days_to_win(outcomes, self.grid, self.ever_days),
            ]
        )

    def _parts(self, margins: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Margins of the outcomes and of the value, which is 0 where there are no amounts."""
        outcomes = margins[:, : self.grid.outcomes_count]
        return outcomes, margins[:, -1] if self.has_value else np.zeros_like(margins[:, 0])

    def _weights(self, margins: FloatArray, base: FloatArray, shown: FloatArray) -> FloatArray:
        """Return path weights with which the margins' parts add up to what is shown: (3, n, boosters, pieces)."""
        weights = self.path_weights(margins)
        closed = np.einsum("unkp,nkp->un", weights, margins - self.base_margins_)
        rough = np.abs(base[:, None] + closed - shown) > _PATH_TOLERANCE * _size(base, shown)
        again = np.flatnonzero(rough.any(axis=0))
        if len(again):
            weights[:, again] = self.path_weights(margins[again], MOST_NODES_COUNT)
        return weights

    def path_weights(self, margins: FloatArray, nodes_count: int = NODES_COUNT) -> FloatArray:
        """∫₀¹ ∂E/∂m (m0 + s (m − m0)) ds for each unit, booster and piece.

        Parameters
        ----------
        margins : ndarray of shape (n, boosters, pieces)
            Where each lead's path ends; it starts at `base_margins_`.
        nodes_count : int
            Points of the path at which the gradient is taken.

        Returns
        -------
        ndarray of shape (3, n, boosters, pieces)
            Money, percentage points and days.
        """
        knots, weights = np.polynomial.legendre.leggauss(nodes_count)
        along, share = (knots + 1.0) / 2.0, weights / 2.0
        boosters, pieces = margins.shape[1:]
        result = np.empty((3, *margins.shape))
        for rows in _slices(len(margins), max(1, _PATH_COLUMNS // nodes_count)):
            ends = np.moveaxis(margins[rows] - self.base_margins_, 0, -1)
            path = self.base_margins_[:, :, None, None] + ends[..., None] * along
            flat = path.reshape(boosters, pieces, -1)
            outcomes = flat[: self.grid.outcomes_count]
            values = flat[-1] if self.has_value else np.zeros_like(flat[0])
            slopes = gradients(outcomes, values, self.grid, self.horizon_days, self.ever_days)
            for unit, slope in enumerate(slopes):
                mean = slope[:boosters].reshape(boosters, pieces, -1, nodes_count) @ share
                result[unit, rows] = np.moveaxis(mean, -1, 0)
        result[1] *= 100.0
        return result

    def _split(
        self, designs: Sequence[FloatArray], margins: FloatArray, weights: FloatArray, units: FloatArray, method: Any
    ) -> float:
        """Fill (3, names, n) with each column's share; returns the largest gap between a margin and its parts."""
        weights = weights * self.calibrations[:, 1, None]
        missing = margins - self.base_margins_
        scale = 1.0 + np.abs(missing)
        units[:] = 0.0
        for booster in range(len(self.boosters)):
            share = self.line_share[booster]
            for weight, split in ((1.0 - share, method), (share, self._straight)):
                for pieces, parts in split(booster, designs[booster]) if weight else ():
                    together = weight * weights[:, :, booster, pieces].sum(axis=-1)
                    whole = np.zeros(len(margins))
                    for column, part in parts:
                        units[:, self._owners[booster][column]] += together * part
                        whole += part
                    missing[:, booster, pieces] -= self.calibrations[booster, 1] * weight * whole[:, None]
        return float(np.max(np.abs(missing) / scale, initial=0.0))

    def _straight(self, booster: int, design: FloatArray) -> Iterator[tuple[NDArray[np.intp], list]]:
        """Shapley values of a booster's lines: each column's part less its mean in the background."""
        lines = self.lines[booster]
        for (pieces, parts), (_, typical) in zip(
            lines.parts(design), lines.parts(self.background[booster]), strict=True
        ):
            yield pieces, list(enumerate((parts - typical.mean(axis=0)).T))

    def _fast(self, booster: int, design: FloatArray) -> Iterator[tuple[NDArray[np.intp], list]]:
        """Shapley values of one booster by WOODELF: for sets of pieces, (design column, values of shape (n,))."""
        from woodelf.explainer import WoodelfExplainer

        names = [str(column) for column in range(design.shape[1])]
        leads, background = pd.DataFrame(design, columns=names), pd.DataFrame(self.background[booster], columns=names)
        for shared in self._trees[booster]:
            values = WoodelfExplainer(shared.ensemble, background).shap_values(
                leads, as_df=True, exclude_zero_contribution_features=True, verbose=False
            )
            yield shared.pieces, [(int(name), values[name].to_numpy()) for name in values.columns]

    def _slow(self, booster: int, design: FloatArray) -> Iterator[tuple[NDArray[np.intp], list]]:
        """Do the same by shap, whose cost grows with leads times background, piece after piece."""
        for piece in range(self.grid.pieces_count):
            values = self._shap(booster, piece, design)
            yield np.array([piece]), list(enumerate(values.T))

    def _shap(self, booster: int, piece: int, design: FloatArray) -> FloatArray:
        """Interventional Shapley values by shap: (n, design columns)."""
        return interventional_by_shap(self.boosters[booster], piece, design, self.background[booster])

    def _disagreement_with_shap(self, designs: Sequence[FloatArray]) -> str | None:
        """Warn and say what is wrong with the fast values of a few leads, or return None."""
        for booster in range(len(self.boosters)):
            leads = designs[booster]
            piece = booster % self.grid.pieces_count
            fast = np.zeros(leads.shape)
            try:
                for pieces, parts in self._fast(booster, leads):
                    if piece in pieces:
                        for column, part in parts:
                            fast[:, column] += part
            except Exception as error:  # whatever a young library may raise, the forecast must be explained
                return _warn(f"woodelf-explainer failed ({type(error).__name__}: {error})")
            gap = float(np.abs(fast - self._shap(booster, piece, leads)).max(initial=0.0))
            if not gap <= 1e-4:
                return _warn(f"woodelf-explainer and shap.TreeExplainer differ by {gap:.1e}")
        return None


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)


def _size(base: FloatArray, shown: FloatArray) -> FloatArray:
    """Return what a gap is measured against: the larger of the shown number and the typical lead's, (3, n)."""
    return np.maximum(np.maximum(np.abs(shown), np.abs(base)[:, None]), 1e-300)


def _warn(trouble: str) -> str:
    warnings.warn(
        f"the fast Shapley values were not used, because {trouble}: shap.TreeExplainer takes over, slower",
        AttributionWarning,
        stacklevel=2,
    )
    return trouble
