"""Why a forecast is what it is: each column's share of what is shown, in money, percentage points and days.

Two exact steps. First each booster's raw score is split over its columns: interventional Shapley values φ against a
background of training leads at the same piece of time, so that the time itself gets nothing. Then the split is carried
to what is shown, E(margins), along the straight line from the background's mean margins m0 to the lead's m::

    money_j = Σ_k φ_{k,j} · ∫₀¹ ∂E/∂m_k (m0 + s (m − m0)) ds            Σ_j money_j = E(m) − E(m0)

The integral is taken at 16 Gauss-Legendre nodes; E is smooth, so that the sum is right to about 1e-8.

A booster's piece column is fixed before anything is split: trees then lose their splits on it, and the pieces for which
a tree comes out the same share its Shapley values. Most trees never look at the piece, so that eight pieces cost little
more than one.

Source: Chen, Lundberg and Lee (2022), *Explaining a series of models by propagating Shapley values*; Nadel and
Wettenstein (2025), *From decision trees to Boolean logic: a fast and unified SHAP algorithm* (WOODELF).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.hazards import TimeGrid
from models.revenue import expected_revenue, gradients, mean_days_to_win, p_win

if TYPE_CHECKING:
    import lightgbm as lgb

FloatArray = NDArray[np.float64]

NODES_COUNT = 16
_PATH_ROWS = 32  # leads times nodes make the columns of an array that stays in the processor's cache
_LEADS_AT_ONCE = 50_000
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


@dataclass(frozen=True)
class _SharedTrees:
    """The trees of a booster that come out the same for some pieces: their Shapley values serve all of these."""

    pieces: NDArray[np.intp]
    ensemble: Any


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
        self.names = list(dict.fromkeys(column for names in columns for column in names))
        self._owners = [[self.names.index(column) for column in names] for names in columns]
        self.base_margins_ = self.margins(background).mean(axis=0)
        self._trees = [
            _trees_by_pieces(booster, len(names), grid.pieces_count)
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
            a + b · raw score.
        """
        result = np.empty((len(designs[0]), len(self.boosters), self.grid.pieces_count))
        for index, (booster, design) in enumerate(zip(self.boosters, designs, strict=True)):
            seen = np.column_stack([design, np.zeros(len(design))])
            for piece in range(self.grid.pieces_count):
                seen[:, -1] = piece
                result[:, index, piece] = booster.predict(seen, raw_score=True, num_threads=self.threads or 0)
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
        margins = self.margins(designs) if margins is None else margins
        index = pd.RangeIndex(len(margins)) if index is None else index
        method = "woodelf"
        units = np.empty((3, len(self.names), len(margins)))
        trouble = self._disagreement_with_shap(designs, check_count)
        if trouble is None:
            for rows in _slices(len(margins), _LEADS_AT_ONCE):
                gap = self._split([d[rows] for d in designs], margins[rows], units[..., rows], self._fast)
                if not gap <= _TOLERANCE:
                    trouble = f"the parts of a score miss it by {gap:.1e}"
                    break
        if trouble is not None:
            warnings.warn(
                f"the fast Shapley values were not used, because {trouble}: shap.TreeExplainer takes over, slower",
                AttributionWarning,
                stacklevel=2,
            )
            method = "shap"
            for rows in _slices(len(margins), 2_000):
                self._split([d[rows] for d in designs], margins[rows], units[..., rows], self._slow)

        base = self._shown(self.base_margins_[None])[:, 0]
        shown = self._shown(margins)
        size = np.maximum(np.maximum(np.abs(shown), np.abs(base)[:, None]), np.abs(units).sum(axis=1))
        gaps = np.abs(base[:, None] + units.sum(axis=1) - shown) / np.maximum(size, 1e-300)
        frames = [pd.DataFrame(unit.T, index=index, columns=self.names) for unit in units]
        return Attributions(
            money=frames[0] if self.has_value else None,
            points=frames[1],
            days=frames[2],
            base_money=float(base[0]) if self.has_value else float("nan"),
            base_points=float(base[1]),
            base_days=float(base[2]),
            largest_gap=float(gaps[0 if self.has_value else 1 :].max(initial=0.0)),
            method=method,
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

    def path_weights(self, margins: FloatArray) -> FloatArray:
        """∫₀¹ ∂E/∂m (m0 + s (m − m0)) ds for each unit, booster and piece.

        Parameters
        ----------
        margins : ndarray of shape (n, boosters, pieces)
            Where each lead's path ends; it starts at `base_margins_`.

        Returns
        -------
        ndarray of shape (3, n, boosters, pieces)
            Money, percentage points and days.
        """
        knots, weights = np.polynomial.legendre.leggauss(NODES_COUNT)
        along, share = (knots + 1.0) / 2.0, weights / 2.0
        boosters, pieces = margins.shape[1:]
        result = np.empty((3, *margins.shape))
        for rows in _slices(len(margins), _PATH_ROWS):
            ends = np.moveaxis(margins[rows] - self.base_margins_, 0, -1)
            path = self.base_margins_[:, :, None, None] + ends[..., None] * along
            flat = path.reshape(boosters, pieces, -1)
            outcomes = flat[: self.grid.outcomes_count]
            values = flat[-1] if self.has_value else np.zeros_like(flat[0])
            slopes = gradients(outcomes, values, self.grid, self.horizon_days, self.ever_days)
            for unit, slope in enumerate(slopes):
                mean = slope[:boosters].reshape(boosters, pieces, -1, NODES_COUNT) @ share
                result[unit, rows] = np.moveaxis(mean, -1, 0)
        result[1] *= 100.0
        return result

    def _split(self, designs: list[FloatArray], margins: FloatArray, units: FloatArray, method: Any) -> float:
        """Fill (3, names, n) with each column's share; returns the largest gap between a margin and its parts."""
        weights = self.path_weights(margins) * self.calibrations[:, 1, None]
        missing = margins - self.base_margins_
        scale = 1.0 + np.abs(missing)
        units[:] = 0.0
        for booster in range(len(self.boosters)):
            for pieces, parts in method(booster, designs[booster]):
                together = weights[:, :, booster, pieces].sum(axis=-1)
                whole = np.zeros(len(margins))
                for column, part in parts:
                    units[:, self._owners[booster][column]] += together * part
                    whole += part
                missing[:, booster, pieces] -= self.calibrations[booster, 1] * whole[:, None]
        return float(np.max(np.abs(missing) / scale, initial=0.0))

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
        import shap

        seen = [
            np.column_stack([rows, np.full(len(rows), float(piece))]) for rows in (design, self.background[booster])
        ]
        # LightGBM reads a gap as 0 in a column that had none in training; shap does not know.
        never = ~_columns_with_gaps(self.boosters[booster])
        for rows in seen:
            rows[:, never] = np.nan_to_num(rows[:, never], nan=0.0)
        masker = shap.maskers.Independent(seen[1], max_samples=len(seen[1]))
        explainer = shap.TreeExplainer(self.boosters[booster], masker, feature_perturbation="interventional")
        return np.asarray(explainer.shap_values(seen[0], check_additivity=False))[:, :-1]

    def _disagreement_with_shap(self, designs: Sequence[FloatArray], check_count: int) -> str | None:
        """Say what is wrong with the fast values of a few leads, or None."""
        count = len(designs[0])
        if count == 0 or check_count == 0:
            return None
        rows = np.unique(np.linspace(0, count - 1, check_count).astype(int))
        for booster in range(len(self.boosters)):
            leads = designs[booster][rows]
            piece = booster % self.grid.pieces_count
            fast = np.zeros(leads.shape)
            try:
                for pieces, parts in self._fast(booster, leads):
                    if piece in pieces:
                        for column, part in parts:
                            fast[:, column] += part
            except Exception as error:  # whatever a young library may raise, the forecast must be explained
                return f"woodelf-explainer failed ({type(error).__name__}: {error})"
            gap = float(np.abs(fast - self._shap(booster, piece, leads)).max(initial=0.0))
            if not gap <= 1e-4:
                return f"woodelf-explainer and shap.TreeExplainer differ by {gap:.1e}"
        return None


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)


def _columns_with_gaps(booster: lgb.Booster) -> NDArray[np.bool_]:
    """Which columns had missing values in training, as the splits on them say."""
    result = np.zeros(booster.num_feature(), dtype=bool)
    frame = booster.trees_to_dataframe()
    splits = frame[frame["missing_type"].eq("NaN")]
    names = {name: column for column, name in enumerate(booster.feature_name())}
    result[[names[name] for name in splits["split_feature"].unique()]] = True
    return result


def _trees_by_pieces(booster: lgb.Booster, piece_column: int, pieces_count: int) -> list[_SharedTrees]:
    """Trees without their splits on the piece, gathered by the pieces for which they come out the same."""
    from woodelf.core.trees.decision_trees_ensemble import DecisionTreesEnsemble
    from woodelf.core.trees.parse_models import load_decision_tree_ensemble_model

    if booster.num_trees() == 0:
        return []
    names = [str(column) for column in range(booster.num_feature())]
    gathered: dict[tuple[int, ...], list] = {}
    for tree in load_decision_tree_ensemble_model(booster, names).trees:
        cuts = sorted(
            {node.value for node in tree.bfs(including_leaves=False) if node.feature_name == str(piece_column)}
        )
        stretch = np.searchsorted(cuts, np.arange(pieces_count), side="left")
        for which in np.unique(stretch):
            pieces = tuple(int(piece) for piece in np.flatnonzero(stretch == which))
            pruned = _without(tree, str(piece_column), float(pieces[0])) if cuts else tree
            if not pruned.is_leaf():
                pruned.depth = pruned.get_depth()
                gathered.setdefault(pieces, []).append(pruned)
    return [_SharedTrees(np.array(pieces), DecisionTreesEnsemble(trees)) for pieces, trees in gathered.items()]


def _without(node: Any, name: str, value: float) -> Any:
    """Return a copy of a tree in which the column ``name`` has this value: its splits are gone."""
    if node.is_leaf():
        return type(node)(None, node.value, None, None, index=node.index, cover=node.cover)
    if node.feature_name == name:
        return _without(node.left if value <= node.value else node.right, name, value)
    left, right = _without(node.left, name, value), _without(node.right, name, value)
    copy = type(node)(node.feature_name, node.value, right, left, node.nan_go_left, index=node.index, cover=node.cover)
    left.parent = right.parent = copy
    return copy
