"""One forecast per open lead: how likely, when, for how much, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from models.deal_value import ValueBooster
from models.exposure import calendar_days
from models.follow_up import ever_is_shorter, observed_days, quarter_too_far, too_long
from models.grading import Grading, recent_rows
from models.hazards import cumulative_incidence, quantile_days
from models.incidence import IncidenceBooster
from models.level_uncertainty import level_sd
from models.revenue import expected_revenue, mean_days_to_win, p_win, total_quantiles
from models.serialization import (
    State,
    array_bytes,
    array_from,
    booster_bytes,
    booster_from,
    incidence_facts,
    incidence_from,
    value_facts,
    value_from,
)
from models.shapley import Attributions, Attributor
from models.small_samples import FEW_WINS, few_wins_note, fit_incidence

FloatArray = NDArray[np.float64]

WON, LOST = 1, 2
_BACKGROUND_ROWS = 200
_ROWS_AT_ONCE = 100_000


class LeadForecaster(BaseEstimator):
    """Forecast open leads: chance, time and amount of winning, composed into expected revenue.

    Estimand: for a lead with facts x, open at ``as_of``, F_won(t | x) and F_lost(t | x), the probability that it is won
    (lost) within t days; V(x, t), the expected amount given that it is won at t; and what follows from them, foremost
    E(h | x) = Σ over time up to h of ΔF_won(t | x) · V(x, t), the expected revenue within h days, which ranks.

    `IncidenceBooster` gives F, `ValueBooster` V, both from the same snapshots. Everything shown is a smooth function of
    their margins, so that `explain` can split it exactly. What the past cannot tell is left empty, and `absent_` says
    why: a horizon longer than any lead was ever followed, money without amounts, losing without lost leads.

    What the boosters may learn grows with the wins there are to learn from, up to the settings below at 1500 wins. With
    fewer than 120 it is smoothed rates of groups of leads and one line a number, and `notes_` says so.

    Parameters
    ----------
    horizons_days : sequence of int, default=(30, 90, 180, 365)
        Horizons that are forecast. "Ever" is the longest of them that was ever observed.
    primary_horizon_days : int, default=90
        The horizon that ranks, scores and is explained; one of the horizons.
    trees, leaves, learning_rate, pieces, half_life_days
        As in `IncidenceBooster`, with 1500 wins or more.
    monotone_increasing, first, threads
        As in `IncidenceBooster`; columns that X lacks are left aside.
    random_state : int or None, default=None
        Seed; None is 0.

    Attributes
    ----------
    incidence_ : IncidenceBooster
        Chances and times.
    value_ : ValueBooster or None
        Amounts; None where no won lead has one.
    has_value_ : bool
        Whether there are amounts.
    wins_count_ : int
        Won leads.
    level_sd_ : float
        How far the level of all leads wanders from one stretch of time to the next, relative to it.
    observed_days_ : float
        How far the past can tell (`models.follow_up`); chances stay what they were at the longest follow-up.
    ever_days_ : float
        What "ever" means: the longest horizon that was ever observed, or else the longest follow-up.
    rank_days_ : float
        The horizon that ranks: the primary one, or ``ever_days_`` where that is shorter.
    rank_key_ : str
        The forecast column that ranks leads: expected revenue, or the chance to be won where there are no amounts.
    absent_ : dict of str to str
        Columns that cannot be said, and why.
    notes_ : dict of str to str
        What a reader of the forecasts should know, by code.
    grading_ : Grading
        Scores and grades of values of ``rank_key_``, frozen on recent training snapshots.
    background_ : list of ndarray of shape (≤ 200, design columns)
        Recent training snapshots as the boosters of `incidence_`, and of `value_`, see them: what reasons compare with.
    """

    def __init__(
        self,
        horizons_days: tuple[int, ...] = (30, 90, 180, 365),
        primary_horizon_days: int = 90,
        trees: int = 150,
        leaves: int = 16,
        learning_rate: float = 0.05,
        pieces: int = 8,
        half_life_days: float | None = 180.0,
        monotone_increasing: Sequence[str] = (),
        first: Sequence[str] = (),
        random_state: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.horizons_days = horizons_days
        self.primary_horizon_days = primary_horizon_days
        self.trees = trees
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.pieces = pieces
        self.half_life_days = half_life_days
        self.monotone_increasing = monotone_increasing
        self.first = first
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: pd.DataFrame, y: pd.DataFrame, sample_weight: ArrayLike | None = None) -> LeadForecaster:
        """Learn from snapshots: leads as they looked on dates on which they were open.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            Numbers, booleans, strings or categories; missing values allowed; column names are strings.
        y : DataFrame of shape (n, 5)
            ``event`` (0 still open, 1 won, 2 lost), ``duration`` (days from ``as_of``), ``amount`` (NaN where not known
            or not won), ``as_of`` (dates) and ``lead_id``.
        sample_weight : array-like of shape (n,), optional
            Weights of the snapshots for chances and times.

        Returns
        -------
        LeadForecaster
            Itself.

        Raises
        ------
        ValueError
            If no lead was won, y is not as described, or a column of X has no name.
        """
        missing = {"event", "duration", "amount", "as_of", "lead_id"} - set(y.columns)
        if missing:
            raise ValueError(f"y lacks {sorted(missing)}")
        if self.primary_horizon_days not in self.horizons_days:
            raise ValueError(f"primary_horizon_days {self.primary_horizon_days} is none of {self.horizons_days}")
        if not all(isinstance(name, str) for name in X.columns):
            raise ValueError("the columns of X must have strings as names: reasons are told by them")
        self.incidence_, seed = self.fit_incidence(X, y, sample_weight), self.random_state or 0
        self.value_ = self._fit_value(X, y, y["event"].to_numpy() == WON, seed)
        self.level_sd_ = level_sd(self.incidence_, X, y, sample_weight, self.primary_horizon_days / 3)
        self.observed_days_ = observed_days(y)
        self._settle()

        recent = recent_rows(calendar_days(y["as_of"]), sample_weight, seed)
        spread = np.linspace(0, len(recent) - 1, min(len(recent), _BACKGROUND_ROWS)).astype(int)
        self.background_ = self._encoded(X.iloc[recent[spread]])
        self._prepare()
        seen = X.iloc[recent]
        shown = self._forecast(self.margins(seen), np.full((len(recent), 2), np.nan), seen.index)
        self.grading_ = Grading.of_population(shown[self.rank_key_])
        return self

    def fit_incidence(self, X: pd.DataFrame, y: pd.DataFrame, sample_weight: Any = None) -> IncidenceBooster:
        """Learn chances and times alone, as `fit` does before it learns amounts."""
        self.wins_count_ = int(y.loc[y["event"] == WON, "lead_id"].nunique())
        if self.wins_count_ == 0:
            raise ValueError("no lead was won: there is nothing to learn from")
        names = ("trees", "leaves", "learning_rate", "pieces", "half_life_days", "threads")
        settings = {name: getattr(self, name) for name in names}
        settings |= {n: tuple(c for c in getattr(self, n) if c in X.columns) for n in ("monotone_increasing", "first")}
        settings |= {"random_state": self.random_state or 0, "near_days": self.primary_horizon_days}
        return fit_incidence(X, y, sample_weight, self.wins_count_, settings)

    def predict(
        self,
        X: pd.DataFrame,
        quarter_ends_days: tuple[ArrayLike, ArrayLike] | None = None,
        margins: FloatArray | None = None,
    ) -> pd.DataFrame:
        """Forecast leads.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The columns of training, in any order; others are left aside.
        quarter_ends_days : pair of float or of array-like of shape (n,), optional
            Days from ``as_of`` to the end of the fiscal quarter and of the next one; without it the quarters' columns
            are empty.
        margins : ndarray of shape (n, boosters, pieces), optional
            `margins` of X where they are at hand.

        Returns
        -------
        DataFrame of shape (n, columns of the forecast)
            ``p_win_{h}d``, ``p_win_ever``, ``p_lost_ever``, ``p_win_this_quarter``, ``days_to_win_p10/p50/p90/mean``,
            ``deal_value`` with ``_p10`` and ``_p90``, ``expected_revenue_{h}d``, ``_ever``, ``_this_quarter``,
            ``_next_quarter``; then ``score`` (int, 1–99) and ``grade`` (A–D). NaN where `absent` says so. X's index.

        Raises
        ------
        ValueError
            If X lacks columns of training.
        """
        quarters = np.full((len(X), 2), np.nan)
        if quarter_ends_days is not None:
            for place, days in enumerate(quarter_ends_days):
                quarters[:, place] = days
        margins = self.margins(X) if margins is None else margins
        blocks = [
            self._forecast(margins[rows], quarters[rows], X.index[rows])
            for rows in (slice(start, start + _ROWS_AT_ONCE) for start in range(0, max(len(X), 1), _ROWS_AT_ONCE))
        ]
        forecast = pd.concat(blocks) if len(blocks) > 1 else blocks[0]
        forecast["score"] = self.grading_.score(forecast[self.rank_key_])
        forecast["grade"] = self.grading_.grade(forecast[self.rank_key_])
        return forecast

    def absent(self, quarter_ends_days: tuple[ArrayLike, ArrayLike] | None = None) -> dict[str, str]:
        """Return the columns that cannot be said for these quarters, and why; see `predict`."""
        result = dict(self.absent_)
        names = (["p_win_this_quarter", "expected_revenue_this_quarter"], ["expected_revenue_next_quarter"])
        for place, columns in enumerate(names):
            for column in columns:
                if quarter_ends_days is None:
                    result.setdefault(column, "the ends of the fiscal quarters were not given")
                elif (last := np.max(np.asarray(quarter_ends_days[place], dtype=float), initial=0.0)) > self.ever_days_:
                    result.setdefault(column, quarter_too_far(last, self.observed_days_, self.ever_days_))
        return result

    def curves(self, X: pd.DataFrame, times: ArrayLike) -> tuple[FloatArray, FloatArray | None]:
        """Forecast leads over time: each outcome's probability by each time (in days), and the revenue expected by it.

        Returns
        -------
        incidence : ndarray of shape (n, outcomes + 1, t), the first outcome being: still open
        revenue : ndarray of shape (n, t), or None without amounts
        """
        margins, grid = self.margins(X), self.incidence_.grid_
        outcomes, times = margins[:, : grid.outcomes_count], self._reached(times)
        revenue = None if self.value_ is None else expected_revenue(outcomes, margins[:, -1], grid, times)
        return cumulative_incidence(outcomes, grid, times), revenue

    def total(self, p_win: ArrayLike, expected_revenue: ArrayLike) -> FloatArray:
        """Estimate between what two bounds 80% of such totals lie, from the chance and the money of each of the leads.

        The level of all of them may wander as it did in the past, and wins tell it only as far as there are many.
        """
        assert self.value_ is not None
        spread = self.value_.amount_spread_
        level = float(np.hypot(self.level_sd_, np.sqrt(spread / self.value_.wins_count_)))
        return total_quantiles(p_win, expected_revenue, spread, level)

    def margins(self, X: pd.DataFrame) -> FloatArray:
        """Return what the forecast and its reasons are made from: (n, boosters, pieces), calibrated."""
        blocks = (X.iloc[start : start + _ROWS_AT_ONCE] for start in range(0, max(len(X), 1), _ROWS_AT_ONCE))
        return np.concatenate([self._attributor.margins(self._for_each_booster(self._encoded(b))) for b in blocks])

    def explain(self, X: pd.DataFrame, check_count: int = 8) -> Attributions:
        """Split each lead's expected revenue, chance and days over the columns of X.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The columns of training.
        check_count : int, default=8
            Leads on which the fast Shapley values are compared with ``shap.TreeExplainer``; 0 leaves shap alone.

        Returns
        -------
        Attributions
            Money and points within ``rank_days_``, days given that the lead is won within ``ever_days_``.
        """
        return self._attributor.explain(
            self._for_each_booster(self._encoded(X)), index=X.index, check_count=check_count
        )

    def explain_in_blocks(self, X: pd.DataFrame, margins: FloatArray | None = None) -> Iterator[Attributions]:
        """Do as `explain`, block after block of leads, in bounded memory, on all threads; their index counts from 0."""
        made = self.margins(X) if margins is None else margins
        return self._attributor.explain_in_blocks(lambda b: self._for_each_booster(self._encoded(X.iloc[b])), made)

    def to_state(self) -> State:
        """Return the fitted model as files: name to content, JSON, NumPy and LightGBM's text."""
        facts = {
            "params": {**self.get_params(), "horizons_days": list(self.horizons_days)},
            "wins_count": self.wins_count_,
            "level_sd": self.level_sd_,
            "observed_days": self.observed_days_,
            "score_cuts": self.grading_.score_cuts.tolist(),
            "grade_cuts": self.grading_.grade_cuts,
            "incidence": incidence_facts(self.incidence_),
            "value": None if self.value_ is None else value_facts(self.value_),
        }
        state = {"forecaster.json": json.dumps(facts, ensure_ascii=False, default=np.generic.item).encode()}
        for outcome, booster in zip(self.incidence_.outcomes_, self.incidence_.boosters_, strict=True):
            state[f"outcome_{outcome}.txt"] = booster_bytes(booster)
        if self.value_ is not None:
            state["value.txt"] = booster_bytes(self.value_.booster_)
        for place, design in enumerate(self.background_):
            state[f"background_{place}.npy"] = array_bytes(design)
        return state

    @classmethod
    def from_state(cls, state: State) -> LeadForecaster:
        """Return the model that `to_state` wrote: it gives the same numbers."""
        facts = json.loads(state["forecaster.json"])
        self = cls(**{**facts["params"], "horizons_days": tuple(facts["params"]["horizons_days"])})
        outcomes = facts["incidence"]["outcomes"]
        boosters = [booster_from(state[f"outcome_{outcome}.txt"]) for outcome in outcomes]
        self.incidence_ = incidence_from(facts["incidence"], boosters)
        valued = facts["value"] is not None
        self.value_ = value_from(facts["value"], booster_from(state["value.txt"])) if valued else None
        self.background_ = [array_from(state[f"background_{place}.npy"]) for place in range(1 + valued)]
        self.wins_count_, self.level_sd_ = facts["wins_count"], facts["level_sd"]
        self.observed_days_ = facts["observed_days"]
        self.grading_ = Grading(np.asarray(facts["score_cuts"]), facts["grade_cuts"])
        self._settle()
        self._prepare()
        return self

    def _fit_value(self, X: pd.DataFrame, y: pd.DataFrame, won: NDArray[np.bool_], seed: int) -> ValueBooster | None:
        """Learn amounts from the won leads that have one; None where there is nothing to learn."""
        amount = y["amount"].to_numpy(float)
        known = won & np.isfinite(amount)
        per_lead = pd.Series(amount[known]).groupby(y.loc[known, "lead_id"].to_numpy()).first()
        if not per_lead.sum() > 0:
            return None
        duration = y["duration"].to_numpy(float)[known]
        return ValueBooster(random_state=seed, threads=self.threads).fit(
            X[known],
            amount[known],
            duration,
            self.incidence_.grid_,
            groups=y.loc[known, "lead_id"],
            won_at=calendar_days(y["as_of"])[known] + duration,
        )

    def _settle(self) -> None:
        """Derive what can be said, and what ranks."""
        self._longest_days = self.incidence_.longest_days_
        self.has_value_ = self.value_ is not None
        self._said = said = [days for days in self.horizons_days if days <= self.observed_days_]
        self.ever_days_ = float(max(said, default=self._longest_days))
        self.rank_days_ = float(min(self.primary_horizon_days, self.ever_days_))
        name = f"{self.primary_horizon_days}d" if self.primary_horizon_days in said else "ever"
        self.rank_key_ = f"expected_revenue_{name}" if self.has_value_ else f"p_win_{name}"

        self.absent_: dict[str, str] = {}
        for days in self.horizons_days:
            if days not in said:
                for column in (f"p_win_{days}d", f"expected_revenue_{days}d"):
                    self.absent_[column] = too_long(f"for {days} days", self.observed_days_)
        if LOST not in self.incidence_.outcomes_:
            self.absent_["p_lost_ever"] = "no lead was lost in the data that the model learnt from"
        if not self.has_value_:
            for column in self._columns():
                if column.startswith(("deal_value", "expected_revenue")):
                    self.absent_[column] = "no won lead has an amount"
        self.notes_: dict[str, str] = {}
        if self.wins_count_ < FEW_WINS:
            self.notes_["few_wins"] = few_wins_note(self.wins_count_)
        if self.ever_days_ < max(self.horizons_days):
            self.notes_["ever_is_shorter"] = ever_is_shorter(self.ever_days_, self.horizons_days, self.observed_days_)

    def _reached(self, days: ArrayLike) -> FloatArray:
        """Return the times up to which anything can happen: after the longest follow-up nobody was open any more."""
        days = np.asarray(days, dtype=float)
        return np.minimum(days, self._longest_days) if self.observed_days_ > self._longest_days else days

    def _prepare(self) -> None:
        """Set up what splits forecasts, and makes margins for them."""
        value = [] if self.value_ is None else [self.value_]
        outcomes = len(self.incidence_.outcomes_)
        self._attributor = Attributor(
            boosters=[*self.incidence_.boosters_, *(v.booster_ for v in value)],
            calibrations=np.vstack([self.incidence_.calibration_, *(v.calibration_ for v in value)]),
            lines=[*self.incidence_.lines_, *(v.lines_ for v in value)],
            line_share=[*self.incidence_.line_share_, *(v.line_share_ for v in value)],
            background=self._for_each_booster(self.background_),
            columns=[*[self.incidence_.columns_[:-1]] * outcomes, *(v.columns_[:-1] for v in value)],
            grid=self.incidence_.grid_,
            horizon_days=float(self._reached(self.rank_days_)),
            ever_days=float(self._reached(self.ever_days_)),
            threads=self.threads,
        )

    def _encoded(self, X: pd.DataFrame) -> list[FloatArray]:
        """Return leads as the boosters of `incidence_`, and of `value_`, see them, without the piece."""
        names = list(self.incidence_.feature_names_in_)
        missing = [name for name in names if name not in X.columns]
        if missing:
            raise ValueError(f"X lacks the columns {missing} that the model learnt from")
        encoders = [self.incidence_.encoder_] + ([] if self.value_ is None else [self.value_.encoder_])
        return [encoder.transform(X[names]) for encoder in encoders]

    def _for_each_booster(self, encoded: list[FloatArray]) -> list[FloatArray]:
        return [encoded[0]] * len(self.incidence_.outcomes_) + encoded[1:]

    def _columns(self) -> list[str]:
        horizons = [f"{days}d" for days in self.horizons_days]
        return [
            *(f"p_win_{name}" for name in (*horizons, "ever")),
            "p_lost_ever",
            "p_win_this_quarter",
            *(f"days_to_win_{name}" for name in ("p10", "p50", "p90", "mean")),
            *(f"deal_value{name}" for name in ("", "_p10", "_p90")),
            *(f"expected_revenue_{name}" for name in (*horizons, "ever", "this_quarter", "next_quarter")),
        ]

    def _forecast(self, margins: FloatArray, quarters: FloatArray, index: pd.Index) -> pd.DataFrame:
        """Forecast leads; quarters (n, 2) are days to the ends of two quarters, NaN where not given."""
        grid = self.incidence_.grid_
        outcomes = margins[:, : grid.outcomes_count]
        names = [*(f"{days}d" for days in self._said), "ever"]
        times = self._reached([*self._said, self.ever_days_])
        beyond = ~(quarters <= self.ever_days_)
        until_quarters = self._reached(np.where(beyond, 0.0, quarters))

        result: dict[str, FloatArray] = {}
        incidence = cumulative_incidence(outcomes, grid, times)
        for place, name in enumerate(names):
            result[f"p_win_{name}"] = incidence[:, WON, place]
        if LOST in self.incidence_.outcomes_:
            result["p_lost_ever"] = incidence[:, LOST, -1]
        this_quarter = p_win(outcomes, grid, until_quarters[:, :1])[:, 0]
        result["p_win_this_quarter"] = np.where(beyond[:, 0], np.nan, this_quarter)
        days = quantile_days(outcomes, grid, [0.1, 0.5, 0.9], times[-1])
        for place, name in enumerate(("p10", "p50", "p90")):
            result[f"days_to_win_{name}"] = days[:, place]
        result["days_to_win_mean"] = mean_days_to_win(outcomes, grid, times[-1])
        if self.value_ is not None:
            until = np.column_stack([np.broadcast_to(times, (len(index), len(times))), until_quarters])
            revenue = expected_revenue(outcomes, margins[:, -1], grid, until)
            for place, name in enumerate(names):
                result[f"expected_revenue_{name}"] = revenue[:, place]
            result["expected_revenue_this_quarter"] = np.where(beyond[:, 0], np.nan, revenue[:, -2])
            result["expected_revenue_next_quarter"] = np.where(
                beyond.any(axis=1), np.nan, revenue[:, -1] - revenue[:, -2]
            )
            result["deal_value"] = result["expected_revenue_ever"] / result["p_win_ever"]
            result["deal_value_p10"], result["deal_value_p90"] = self.value_.interval(result["deal_value"])
        return pd.DataFrame(result, index=index).reindex(columns=self._columns())
