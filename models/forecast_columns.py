"""The columns of a forecast: which of them the past supports, and how they follow from a lead's margins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.follow_up import quarter_too_far, too_long
from models.hazards import TimeGrid, cumulative_incidence, quantile_days
from models.outcome_codes import LOST, WON
from models.revenue import expected_revenue, mean_days_to_win, p_win

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ForecastColumns:
    """What can be forecast from a history of this length, with or without amounts and lost leads.

    Parameters
    ----------
    horizons_days : tuple of int
        Horizons that are asked for.
    primary_horizon_days : int
        The one that ranks.
    observed_days : float
        The longest time that the past supports (`models.follow_up.observed_days`).
    longest_days : float
        Longest follow-up in training; `observed_days` may be longer, where all leads were decided by then.
    has_value : bool
        Whether there are amounts.
    has_lost : bool
        Whether leads were lost.
    """

    horizons_days: tuple[int, ...]
    primary_horizon_days: int
    observed_days: float
    longest_days: float
    has_value: bool
    has_lost: bool

    @property
    def supported_days(self) -> list[int]:
        """The horizons that the past supports."""
        return [days for days in self.horizons_days if days <= self.observed_days]

    @property
    def ever_days(self) -> float:
        """What "ever" means: the longest supported horizon, or else the longest follow-up."""
        return float(max(self.supported_days, default=self.longest_days))

    @property
    def rank_days(self) -> float:
        """The horizon that ranks: the primary one, or `ever_days` where that is shorter."""
        return float(min(self.primary_horizon_days, self.ever_days))

    @property
    def rank_key(self) -> str:
        """The column that ranks: expected revenue, or the win probability where there are no amounts."""
        name = f"{self.primary_horizon_days}d" if self.primary_horizon_days in self.supported_days else "ever"
        return f"expected_revenue_{name}" if self.has_value else f"p_win_{name}"

    @property
    def names(self) -> list[str]:
        """All columns, in their order, supported or not."""
        horizons = [f"{days}d" for days in self.horizons_days]
        return [
            *(f"p_win_{name}" for name in (*horizons, "ever")),
            "p_lost_ever",
            "p_win_this_quarter",
            *(f"days_to_win_{name}" for name in ("p10", "p50", "p90", "mean")),
            *(f"deal_value{name}" for name in ("", "_p10", "_p90")),
            *(f"expected_revenue_{name}" for name in (*horizons, "ever", "this_quarter", "next_quarter")),
        ]

    def absent(self) -> dict[str, str]:
        """Return the columns that stay empty for every lead, and why."""
        reasons: dict[str, str] = {}
        for days in self.horizons_days:
            if days not in self.supported_days:
                for column in (f"p_win_{days}d", f"expected_revenue_{days}d"):
                    reasons[column] = too_long(f"for {days} days", self.observed_days)
        if not self.has_lost:
            reasons["p_lost_ever"] = "no lead was lost in the data that the model is trained on"
        if not self.has_value:
            for column in self.names:
                if column.startswith(("deal_value", "expected_revenue")):
                    reasons[column] = "no won lead has an amount"
        return reasons

    def absent_quarters(self, quarter_ends_days: tuple[ArrayLike, ArrayLike] | None) -> dict[str, str]:
        """Return the columns of quarters that stay empty for some lead, and why."""
        reasons: dict[str, str] = {}
        names = (["p_win_this_quarter", "expected_revenue_this_quarter"], ["expected_revenue_next_quarter"])
        for place, columns in enumerate(names):
            for column in columns:
                if quarter_ends_days is None:
                    reasons[column] = "the ends of the fiscal quarters were not given"
                elif (last := np.max(np.asarray(quarter_ends_days[place], dtype=float), initial=0.0)) > self.ever_days:
                    reasons[column] = quarter_too_far(last, self.observed_days, self.ever_days)
        return reasons

    def reached(self, days: ArrayLike) -> FloatArray:
        """Return times, of any shape, cut off where nothing can happen any more: after the longest follow-up."""
        days = np.asarray(days, dtype=float)
        return np.minimum(days, self.longest_days) if self.observed_days > self.longest_days else days

    def compose(
        self,
        margins: FloatArray,
        grid: TimeGrid,
        quarters_days: FloatArray,
        interval: Callable[[FloatArray], tuple[FloatArray, FloatArray]] | None,
        index: pd.Index,
    ) -> pd.DataFrame:
        """Return the forecast of each lead.

        Parameters
        ----------
        margins : ndarray of shape (n, outcomes, pieces), or (n, outcomes + 1, pieces) with that of the amounts
            Of the leads.
        grid : TimeGrid
            Bins, pieces and base rates.
        quarters_days : ndarray of shape (n, 2)
            Days to the ends of two quarters, NaN where not given.
        interval : callable or None
            Returns the bounds of an expected amount; None where there are no amounts.
        index : Index of length n
            Of the frame.

        Returns
        -------
        DataFrame of shape (n, len(names))
            Probabilities, days, and money in the unit of the amounts; NaN where `absent` and `absent_quarters` say so.
        """
        outcomes = margins[:, : grid.outcomes_count]
        names = [*(f"{days}d" for days in self.supported_days), "ever"]
        times = self.reached([*self.supported_days, self.ever_days])
        beyond = ~(quarters_days <= self.ever_days)
        until_quarters = self.reached(np.where(beyond, 0.0, quarters_days))

        result: dict[str, FloatArray] = {}
        incidence = cumulative_incidence(outcomes, grid, times)
        for place, name in enumerate(names):
            result[f"p_win_{name}"] = incidence[:, WON, place]
        if self.has_lost:
            result["p_lost_ever"] = incidence[:, LOST, -1]
        this_quarter = p_win(outcomes, grid, until_quarters[:, :1])[:, 0]
        result["p_win_this_quarter"] = np.where(beyond[:, 0], np.nan, this_quarter)
        days = quantile_days(outcomes, grid, [0.1, 0.5, 0.9], times[-1])
        for place, name in enumerate(("p10", "p50", "p90")):
            result[f"days_to_win_{name}"] = days[:, place]
        result["days_to_win_mean"] = mean_days_to_win(outcomes, grid, times[-1])
        if interval is not None:
            until = np.column_stack([np.broadcast_to(times, (len(index), len(times))), until_quarters])
            revenue = expected_revenue(outcomes, margins[:, -1], grid, until)
            for place, name in enumerate(names):
                result[f"expected_revenue_{name}"] = revenue[:, place]
            result["expected_revenue_this_quarter"] = np.where(beyond[:, 0], np.nan, revenue[:, -2])
            result["expected_revenue_next_quarter"] = np.where(
                beyond.any(axis=1), np.nan, revenue[:, -1] - revenue[:, -2]
            )
            result["deal_value"] = result["expected_revenue_ever"] / result["p_win_ever"]
            result["deal_value_p10"], result["deal_value_p90"] = interval(result["deal_value"])
        return pd.DataFrame(result, index=index).reindex(columns=self.names)
