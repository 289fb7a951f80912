"""Log-multipliers of base rates before calibration: trees and lines, fitted separately to the same risk set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.boosting import poisson_boosters
from models.encoding import FrameEncoder
from models.exposure import Exposure, base_rates, event_quantile_edges, time_at_risk
from models.hazards import TimeGrid
from models.linear import Lines
from models.risk_set import RiskSet, nearness
from models.serialization import booster_from_text, booster_text

FloatArray = NDArray[np.float64]

_TREES_A_BAG = 5  # drawing rows anew for each tree takes a third of the time and says no more


@dataclass(frozen=True)
class LogRateSettings:
    """How log-rates are fitted; all but the last three as in `models.incidence.IncidenceBooster`.

    Parameters
    ----------
    outcomes_count : int
        K.
    idle_limit : int
        Entries without an outcome that trees are fitted to; more of them add little.
    seed : int
        Of bagging, folds and draws.
    """

    trees: int
    leaves: int
    learning_rate: float
    pieces: int
    bins: int
    bagging_share: float
    min_leaf_outcomes: float
    clocks: tuple[str, ...]
    monotone_increasing: tuple[str, ...]
    early_features: tuple[str, ...]
    near_days: float | None
    threads: int | None
    outcomes_count: int
    idle_limit: int
    seed: int


@dataclass(frozen=True)
class LogRates:
    """What trees and lines say of each outcome in each piece of time.

    Parameters
    ----------
    grid : TimeGrid
        Bins, pieces and base rates.
    encoder : FrameEncoder
        Turns frames into numbers.
    boosters : list of lightgbm.Booster
        One per outcome; each sees the encoded columns, the clocks and, last, the piece.
    lines : list of Lines
        One per outcome, on the encoded columns.
    clocks : tuple of str
        Columns that go on counting after ``as_of``.
    """

    grid: TimeGrid
    encoder: FrameEncoder
    boosters: list[lgb.Booster]
    lines: list[Lines]
    clocks: tuple[str, ...] = ()

    @property
    def columns(self) -> list:
        """The original column of each column that the boosters see, ``'piece'`` last."""
        return [*self.encoder.columns_, *self.clocks, "piece"]

    def trees_and_lines(self, numbers: FloatArray, threads: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Return what trees and what lines say, each of shape (n, outcomes, pieces).

        Parameters
        ----------
        numbers : ndarray of shape (n, encoded columns)
            Leads as `encoder` encodes them.
        threads : int or None
            Threads of LightGBM; None: all cores.
        """
        clocks = numbers[:, clock_columns(self.encoder, self.clocks)]
        design = np.column_stack([numbers, clocks, np.zeros(len(numbers))])
        trees = np.empty((len(design), len(self.boosters), self.grid.pieces_count))
        for piece, shift in enumerate(piece_shifts(self.grid, numbers.shape[1], len(self.clocks))):
            seen = design + shift
            for k, booster in enumerate(self.boosters):
                trees[:, k, piece] = booster.predict(seen, raw_score=True, num_threads=threads or 0)
        return trees, np.stack([lines.margins(numbers) for lines in self.lines], axis=1)

    def held_out(
        self,
        frame: pd.DataFrame,
        exposure: Exposure,
        lead: NDArray[np.intp],
        half_life_days: float | None = None,
        threads: int | None = None,
    ) -> tuple[FloatArray, FloatArray, RiskSet]:
        """Return what trees and lines say of each entry at risk, (entries, outcomes) each, and the entries.

        Parameters
        ----------
        frame : DataFrame of shape (n, columns)
            The features.
        exposure : Exposure
            What is observed of these rows.
        lead : ndarray of int, shape (n,)
            The lead of each row.
        half_life_days : float or None
            Exposure this much older counts half; None: all alike.
        threads : int or None
            Threads of LightGBM.
        """
        time = exposure.operational_time(lead, half_life_days)
        at_risk = time_at_risk(exposure, time, self.grid.bin_edges_days)
        risk = RiskSet.from_exposure(exposure, time, at_risk, self.grid)
        both = self.trees_and_lines(self.encoder.transform(frame), threads)
        trees, lines = (margins[risk.row, :, risk.piece] for margins in both)
        return trees, lines, risk

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted log-rates as JSON holds them; see `models.serialization`."""
        return {
            "grid": self.grid.to_dict(),
            "encoder": self.encoder.to_dict(),
            "boosters": [booster_text(booster) for booster in self.boosters],
            "lines": [lines.to_dict() for lines in self.lines],
            "clocks": list(self.clocks),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LogRates:
        """Return the log-rates that `to_dict` wrote."""
        return cls(
            TimeGrid.from_dict(content["grid"]),
            FrameEncoder.from_dict(content["encoder"]),
            [booster_from_text(text) for text in content["boosters"]],
            [Lines.from_dict(lines) for lines in content["lines"]],
            tuple(content["clocks"]),
        )


def fit_log_rates(
    frame: pd.DataFrame, exposure: Exposure, lead: NDArray[np.intp], settings: LogRateSettings
) -> LogRates:
    """Fit grid, encoder, trees and lines.

    Parameters
    ----------
    frame : DataFrame of shape (n, columns)
        The features; columns of numbers hold no infinite values.
    exposure : Exposure
        What is observed of each row.
    lead : ndarray of int, shape (n,)
        The lead of each row, 0 … leads − 1.
    settings : LogRateSettings
        How.

    Returns
    -------
    LogRates
    """
    time = exposure.operational_time(lead)
    edges = event_quantile_edges(exposure, time, settings.bins)
    at_risk = time_at_risk(exposure, time, edges)
    rates = base_rates(exposure, time, edges, at_risk, settings.outcomes_count)
    bins, pieces = len(edges) - 1, min(settings.pieces, len(edges) - 1)
    grid = TimeGrid(edges, np.arange(bins) * pieces // bins, rates)

    encoder, weight = FrameEncoder(random_state=settings.seed), time.factor[:, None]
    observed = (exposure.event[:, None] == np.arange(1, settings.outcomes_count + 1)).astype(float)
    numbers = encoder.fit_transform(frame, weight * observed, weight * (at_risk @ rates.T), lead)
    risk = RiskSet.from_exposure(exposure, time, at_risk, grid)
    near = nearness(grid, settings.near_days)
    is_monotone = np.array([name in settings.monotone_increasing for name in encoder.columns_])
    lines = [
        Lines.fit(
            numbers, time.factor, risk.weighted(near[risk.piece]).outcome(k), pieces, is_monotone & (k == 0),
            settings.seed,
        )
        for k in range(settings.outcomes_count)
    ]  # fmt: skip
    boosters = _fit_trees(numbers, risk, near, grid, encoder, settings)
    return LogRates(grid, encoder, boosters, lines, settings.clocks)


def _fit_trees(
    numbers: FloatArray,
    risk: RiskSet,
    near: FloatArray,
    grid: TimeGrid,
    encoder: FrameEncoder,
    settings: LogRateSettings,
) -> list[lgb.Booster]:
    """Fit one booster per outcome to the entries with an outcome and a draw of the others."""
    risk = risk.subsample_censored(settings.idle_limit, settings.seed)
    risk = risk.weighted(near[risk.piece])
    names = [*encoder.columns_, *settings.clocks]
    clocks = numbers[:, clock_columns(encoder, settings.clocks)]
    shifts = piece_shifts(grid, numbers.shape[1], len(settings.clocks))
    running = [clocks[risk.row, c] + shifts[risk.piece, numbers.shape[1] + c] for c in range(len(settings.clocks))]
    early = [j for j, name in enumerate(names) if name in settings.early_features]
    return poisson_boosters(
        numbers,
        [*running, risk.piece.astype(float)],
        risk,
        monotone_increasing=[
            [*(int(k == 0 and name in settings.monotone_increasing) for name in names), 0]
            for k in range(settings.outcomes_count)
        ],
        early_features=[*early, len(names)] if settings.early_features else [],
        trees=settings.trees,
        threads=settings.threads,
        num_leaves=settings.leaves,
        learning_rate=settings.learning_rate,
        min_sum_hessian_in_leaf=settings.min_leaf_outcomes,
        bagging_fraction=settings.bagging_share,
        bagging_freq=_TREES_A_BAG * (len(risk.row) * settings.bagging_share >= 1),
        seed=settings.seed,
    )


def clock_columns(encoder: FrameEncoder, clocks: tuple[str, ...]) -> list[int]:
    """Return the places of the clocks among the encoded columns."""
    return [encoder.columns_.index(name) for name in clocks]


def piece_shifts(grid: TimeGrid, columns_count: int, clocks_count: int) -> FloatArray:
    """Return what each piece adds to the columns that boosters see, shape (pieces, columns + clocks + 1).

    Nothing to the encoded columns, the days to the middle of the piece to the clocks, and its number to the last one.
    """
    middle = (grid.bin_edges_days[1:] + grid.bin_edges_days[:-1]) / 2
    bins = np.bincount(grid.bin_piece)
    shifts = np.zeros((grid.pieces_count, columns_count + clocks_count + 1))
    shifts[:, columns_count:-1] = (np.bincount(grid.bin_piece, middle) / bins)[:, None]
    shifts[:, -1] = np.arange(grid.pieces_count)
    return shifts
