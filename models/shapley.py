"""Why a forecast is what it is: each column's share of what is shown, in money, percentage points and days.

Two exact steps. First each margin is split over its columns: interventional Shapley values φ against a background of
training leads at the same piece of time, so that time itself gets nothing (`models.margin_shapley`). Then the split is
carried to what is shown, E(margins), along the straight line from the background's mean margins m0 to the lead's m
(`models.integrated_gradients`)::

    money_j = Σ_k φ_{k,j} · ∫₀¹ ∂E/∂m_k (m0 + s (m − m0)) ds            Σ_j money_j = E(m) − E(m0)

Source: Chen, Lundberg and Lee (2022), *Explaining a series of models by propagating Shapley values*.
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.integrated_gradients import ForecastPath, relative_to, slices
from models.margin_shapley import MarginShapley

FloatArray = NDArray[np.float64]

_LEADS_AT_ONCE = 50_000
_LEADS_AT_ONCE_BY_SHAP = 2_000
_TOLERANCE = 1e-6


class ShapleyWarning(UserWarning):
    """The fast Shapley values fail the check; the slow ones are used."""


@dataclass(frozen=True)
class ShapleyValues:
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
        What splits the trees' scores.
    """

    money: pd.DataFrame | None
    points: pd.DataFrame
    days: pd.DataFrame
    base_money: float
    base_points: float
    base_days: float
    largest_gap: float
    method: str


class ForecastExplainer:
    """Splits forecasts over the columns that they are made from.

    Parameters
    ----------
    margins : sequence of MarginShapley
        One for each outcome in the grid's order (won first), then that of the value where there are amounts.
    path : ForecastPath
        From the typical lead's margins to what is shown.
    threads : int, optional
        Blocks of leads that are explained at the same time; by default one per core.

    Attributes
    ----------
    names : list of str
        The original columns.
    """

    def __init__(self, margins: Sequence[MarginShapley], path: ForecastPath, threads: int | None = None) -> None:
        self.margins, self.path, self.threads = list(margins), path, threads
        self.names = list(dict.fromkeys(column for margin in margins for column in margin.columns))
        self._places = [[self.names.index(column) for column in margin.columns] for margin in margins]

    def explain(
        self,
        designs: Sequence[FloatArray],
        margins: FloatArray,
        index: pd.Index | None = None,
        check_count: int = 8,
    ) -> ShapleyValues:
        """Split the forecast of each lead.

        Every lead's split is compared with its margins, and that of a few leads with ``shap.TreeExplainer`` as well.
        Where either disagrees, all are split by the latter, with a `ShapleyWarning`.

        Parameters
        ----------
        designs : sequence of ndarray of shape (n, encoded columns)
            Leads, as each margin's model sees them, without the piece column.
        margins : ndarray of shape (n, margins, pieces)
            Of the same leads.
        index : Index of length n, optional
            Of the frames that are returned; by default it counts from 0.
        check_count : int, default=8
            Leads compared with ``shap.TreeExplainer``, spread over the rows; 0 leaves shap alone (it takes seconds to
            import).

        Returns
        -------
        ShapleyValues
            One row per lead, one column per original column.
        """
        index = pd.RangeIndex(len(margins)) if index is None else index
        blocks = list(self.explain_in_blocks(lambda rows: [d[rows] for d in designs], margins, check_count))
        if any(block.method == "shap" for block in blocks):  # one method for all
            blocks = [self._explain(designs, margins, "one of their blocks failed the check")]

        def joined(unit: str) -> pd.DataFrame:
            return pd.concat([getattr(block, unit) for block in blocks]).set_axis(index)

        return replace(
            blocks[0],
            money=joined("money") if self.path.has_value else None,
            points=joined("points"),
            days=joined("days"),
            largest_gap=max(block.largest_gap for block in blocks),
        )

    def explain_in_blocks(
        self,
        designs_of: Callable[[slice | NDArray[np.intp]], Sequence[FloatArray]],
        margins: FloatArray,
        check_count: int = 8,
    ) -> Iterator[ShapleyValues]:
        """Split the forecasts of many leads in bounded memory, on all threads.

        Parameters
        ----------
        designs_of : callable
            Returns the designs of some rows.
        margins : ndarray of shape (n, margins, pieces)
            Of all leads.
        check_count : int, default=8
            As in `explain`.

        Yields
        ------
        ShapleyValues
            Of one block of leads after the other, at least one; the index counts the leads from 0.
        """
        count = len(margins)
        checked = np.unique(np.linspace(0, max(count - 1, 0), check_count).astype(int))[: count or 0]
        trouble = self._disagreement_with_shap(designs_of(checked)) if len(checked) else None
        blocks = list(slices(count, _LEADS_AT_ONCE)) or [slice(0, 0)]

        def explain(rows: slice) -> ShapleyValues:
            return self._explain(designs_of(rows), margins[rows], trouble, start=rows.start)

        workers = min(self.threads or os.cpu_count() or 1, len(blocks))
        with ThreadPoolExecutor(workers) as pool:
            # A few blocks ahead of the reader, and no more: what waits is held in memory.
            waiting: deque[Future[ShapleyValues]] = deque()
            for rows in blocks:
                waiting.append(pool.submit(explain, rows))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _explain(
        self, designs: Sequence[FloatArray], margins: FloatArray, trouble: str | None, start: int = 0
    ) -> ShapleyValues:
        """Split the forecasts of one block of leads, by shap where there is trouble, or was with other leads."""
        units = np.empty((3, len(self.names), len(margins)))
        base, shown = self.path.base, self.path.shown(margins)
        weights = self.path.weights(margins, shown)
        if trouble is None:
            try:
                gap = self._split(designs, margins, weights, units, by_shap=False)
            except Exception as error:  # whatever is wrong with them, the forecast must be explained
                trouble = _warn(f"they failed ({type(error).__name__}: {error})")
            else:
                if not gap <= _TOLERANCE:
                    trouble = _warn(f"the parts of a score miss it by {gap:.1e}")
        if trouble is not None:
            for rows in slices(len(margins), _LEADS_AT_ONCE_BY_SHAP):
                block = [design[rows] for design in designs]
                self._split(block, margins[rows], weights[:, rows], units[..., rows], by_shap=True)
        size = np.maximum(relative_to(base, shown), np.abs(units).sum(axis=1))
        gaps = np.abs(base[:, None] + units.sum(axis=1) - shown) / size
        index = pd.RangeIndex(start, start + len(margins))
        frames = [pd.DataFrame(unit.T, index=index, columns=self.names) for unit in units]
        return ShapleyValues(
            money=frames[0] if self.path.has_value else None,
            points=frames[1],
            days=frames[2],
            base_money=float(base[0]) if self.path.has_value else float("nan"),
            base_points=float(base[1]),
            base_days=float(base[2]),
            largest_gap=float(gaps[0 if self.path.has_value else 1 :].max(initial=0.0)),
            method="woodelf" if trouble is None else "shap",
        )

    def _split(
        self, designs: Sequence[FloatArray], margins: FloatArray, weights: FloatArray, units: FloatArray, by_shap: bool
    ) -> float:
        """Fill (3, names, n) with each column's share; returns the largest gap between a margin and its parts."""
        missing = margins - self.path.base_margins
        scale = 1.0 + np.abs(missing)
        units[:] = 0.0
        for place, (margin, owners) in enumerate(zip(self.margins, self._places, strict=True)):
            for slope, split in margin.parts(designs[place], by_shap):
                for pieces, parts in split:
                    together = slope * weights[:, :, place, pieces].sum(axis=-1)
                    whole = np.zeros(len(margins))
                    for column, part in parts:
                        units[:, owners[column]] += together * part
                        whole += part
                    missing[:, place, pieces] -= slope * whole[:, None]
        return float(np.max(np.abs(missing) / scale, initial=0.0))

    def _disagreement_with_shap(self, designs: Sequence[FloatArray]) -> str | None:
        """Warn and return what is wrong with the fast values of a few leads, or return None."""
        for place, margin in enumerate(self.margins):
            trouble = margin.disagreement_with_shap(designs[place], place % margin.pieces_count)
            if trouble is not None:
                return _warn(trouble)
        return None


def _warn(trouble: str) -> str:
    warnings.warn(
        f"the fast Shapley values are not used, because {trouble}: shap.TreeExplainer takes over, slower",
        ShapleyWarning,
        stacklevel=2,
    )
    return trouble
