"""One forecast per open lead: how likely, when, for how much, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from models.deal_value import ValueBooster
from models.exposure import calendar_days
from models.follow_up import ever_is_shorter, observed_days
from models.forecast_columns import ForecastColumns
from models.forecast_explainer import forecast_explainer
from models.grading import Grading, recent_rows
from models.hazards import cumulative_incidence
from models.incidence import IncidenceBooster
from models.level_uncertainty import level_sd
from models.outcome_codes import LOST, WON
from models.revenue import expected_revenue, total_quantiles
from models.serialization import float_array, to_json_types
from models.shapley import ForecastExplainer, ShapleyValues
from models.small_samples import FEW_WINS, few_wins_note, fit_incidence

FloatArray = NDArray[np.float64]

_BACKGROUND_ROWS = 200
_ROWS_AT_ONCE = 100_000


class LeadForecaster(BaseEstimator):
    """Forecast open leads: chance, time and amount of winning, composed into expected revenue.

    Estimand: for a lead with features x, open at ``as_of``, F_won(t | x) and F_lost(t | x), the probability that it is
    won (lost) within t days; V(x, t), the expected amount given that it is won at t; and what follows from them,
    foremost E(h | x) = Σ over time up to h of ΔF_won(t | x) · V(x, t), the expected revenue within h days, which ranks.

    `IncidenceBooster` gives F, `ValueBooster` V, both from the same snapshots. Everything shown is a smooth function of
    their margins, so `explain` can split it exactly. What the past does not support is left empty, and `absent_` says
    why: a horizon longer than any lead was followed, money without amounts, losing without lost leads.

    The complexity of the boosters grows with the wins in the training data, up to the parameters below at 1500 wins.
    With fewer than 120 the model is smoothed rates of groups of leads and one line per number, and `notes_` says so.

    Parameters
    ----------
    horizons_days : sequence of int, default=(30, 90, 180, 365)
        Horizons that are forecast. "Ever" is the longest of them that some lead was followed for.
    primary_horizon_days : int, default=90
        The horizon that ranks, scores and is explained; one of ``horizons_days``.
    trees, leaves, learning_rate, pieces, half_life_days
        As in `IncidenceBooster`, with 1500 wins or more.
    monotone_increasing, early_features, threads
        As in `IncidenceBooster`; columns that X lacks are ignored.
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
        Won leads in the training data.
    level_sd_ : float
        How far the level of all leads wanders from one period to the next, relative to it.
    observed_days_ : float
        The longest time that the past supports (`models.follow_up`); chances stay what they are at the longest
        follow-up.
    ever_days_ : float
        What "ever" means: the longest horizon that some lead was followed for, or else the longest follow-up.
    rank_days_ : float
        The horizon that ranks: the primary one, or ``ever_days_`` where that is shorter.
    rank_key_ : str
        The forecast column that ranks leads: expected revenue, or the win probability where there are no amounts.
    absent_ : dict of str to str
        Columns that stay empty, and why.
    notes_ : dict of str to str
        What a reader of the forecasts should know, by code.
    grading_ : Grading
        Scores and grades of values of ``rank_key_``, frozen on recent training snapshots.
    background_ : list of ndarray of shape (≤ 200, encoded columns)
        Recent training snapshots as `incidence_`, and `value_`, encode them: the typical lead that reasons compare
        with.

    See Also
    --------
    models.incidence.IncidenceBooster : chances and times alone.
    models.deal_value.ValueBooster : amounts alone.

    Examples
    --------
    Leads with a demo booked are won five times as often; each is seen once, and followed for up to 120 days.

    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"is_demo_booked": np.arange(2000) % 2, "employees": rng.lognormal(4, 1, 2000)})
    >>> days = rng.exponential(1 / np.where(X["is_demo_booked"] == 1, 0.005, 0.001))
    >>> y = pd.DataFrame({
    ...     "event": np.where(days <= 120, 1, 0),
    ...     "duration": np.minimum(days, 120.0),
    ...     "amount": np.where(days <= 120, 1000.0, np.nan),
    ...     "as_of": pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(2000) % 365, unit="D"),
    ...     "lead_id": [f"L{i}" for i in range(2000)],
    ... })
    >>> forecaster = LeadForecaster(horizons_days=(30, 90), trees=20, random_state=0, threads=1).fit(X, y)
    >>> forecast = forecaster.predict(X.head(2))
    >>> bool(forecast["p_win_90d"][1] > 2 * forecast["p_win_90d"][0])
    True
    >>> forecaster.absent_
    {'p_lost_ever': 'no lead was lost in the data that the model is trained on'}

    Reasons add up to the forecast, in money, percentage points and days:

    >>> reasons = forecaster.explain(X.head(2), check_count=0)
    >>> bool(np.allclose(reasons.base_money + reasons.money.sum(axis=1), forecast["expected_revenue_90d"]))
    True

    A fitted forecaster is plain JSON:

    >>> import json
    >>> again = LeadForecaster.from_dict(json.loads(json.dumps(forecaster.to_dict())))
    >>> again.predict(X.head(2)).equals(forecast)
    True
    """

    _explainer: ForecastExplainer | None
    ever_days_: float
    rank_days_: float
    rank_key_: str

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
        early_features: Sequence[str] = (),
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
        self.early_features = early_features
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: pd.DataFrame, y: pd.DataFrame, sample_weight: ArrayLike | None = None) -> LeadForecaster:
        """Fit to snapshots: leads as they looked on dates on which they were open.

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
            raise ValueError("the columns of X must have strings as names: reasons refer to them")
        self.incidence_, seed = self.fit_incidence(X, y, sample_weight), self.random_state or 0
        self.value_ = self._fit_value(X, y, y["event"].to_numpy() == WON, seed)
        self.level_sd_ = level_sd(self.incidence_, X, y, sample_weight, self.primary_horizon_days / 3)
        self.observed_days_ = observed_days(y)
        self._set_columns()

        recent = recent_rows(calendar_days(y["as_of"]), sample_weight, seed)
        spread = np.linspace(0, len(recent) - 1, min(len(recent), _BACKGROUND_ROWS)).astype(int)
        self.background_ = self._encoded(X.iloc[recent[spread]])
        population = X.iloc[recent]
        quarters = np.full((len(recent), 2), np.nan)
        reference = self._forecast(self.margins(population), quarters, population.index)
        self.grading_ = Grading.of_population(reference[self.rank_key_])
        return self

    def fit_incidence(self, X: pd.DataFrame, y: pd.DataFrame, sample_weight: Any = None) -> IncidenceBooster:
        """Fit chances and times alone, as `fit` does before amounts; X, y and `sample_weight` as there."""
        self.wins_count_ = int(y.loc[y["event"] == WON, "lead_id"].nunique())
        if self.wins_count_ == 0:
            raise ValueError("no lead was won: there is nothing to learn from")
        names = ("trees", "leaves", "learning_rate", "pieces", "half_life_days", "threads")
        settings = {name: getattr(self, name) for name in names}
        columns = ("monotone_increasing", "early_features")
        settings |= {n: tuple(c for c in getattr(self, n) if c in X.columns) for n in columns}
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
            The columns of training, in any order; others are ignored.
        quarter_ends_days : pair of float or of array-like of shape (n,), optional
            Days from ``as_of`` to the end of the fiscal quarter and of the next one; without it the quarters' columns
            are empty.
        margins : ndarray of shape (n, margins, pieces), optional
            `margins` of X, to save computing them again.

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
        """Return the columns that stay empty with these quarters, and why; see `predict`."""
        quarters = self._columns.absent_quarters(quarter_ends_days)
        return self.absent_ | {name: why for name, why in quarters.items() if name not in self.absent_}

    def curves(self, X: pd.DataFrame, times: ArrayLike) -> tuple[FloatArray, FloatArray | None]:
        """Forecast leads over time: each outcome's probability by each time (in days), and the revenue expected by it.

        Returns
        -------
        incidence : ndarray of shape (n, outcomes + 1, t)
            Index 0: still open.
        revenue : ndarray of shape (n, t) or None
            None where there are no amounts.
        """
        margins, grid = self.margins(X), self.incidence_.grid_
        outcomes, times = margins[:, : grid.outcomes_count], self._columns.reached(times)
        revenue = None if self.value_ is None else expected_revenue(outcomes, margins[:, -1], grid, times)
        return cumulative_incidence(outcomes, grid, times), revenue

    def total(self, p_win: ArrayLike, expected_revenue: ArrayLike) -> FloatArray:
        """Estimate the bounds that hold 80% of such totals.

        The level of all leads together may wander as it did in the past, and few wins leave it uncertain as well.

        Parameters
        ----------
        p_win, expected_revenue : array-like of shape (n,)
            Chance and money of each lead, within the same time.

        Returns
        -------
        ndarray of shape (2,)
            The 10% and 90% quantiles of the total, in the unit of the amounts.
        """
        assert self.value_ is not None
        spread = self.value_.amount_spread_
        level = float(np.hypot(self.level_sd_, np.sqrt(spread / self.value_.wins_count_)))
        return total_quantiles(p_win, expected_revenue, spread, level)

    def margins(self, X: pd.DataFrame) -> FloatArray:
        """Return what forecasts and reasons are made from.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The columns of training.

        Returns
        -------
        ndarray of shape (n, outcomes, pieces), or (n, outcomes + 1, pieces) with amounts
            The margins of `incidence_`, then those of `value_`.
        """
        blocks = (X.iloc[start : start + _ROWS_AT_ONCE] for start in range(0, max(len(X), 1), _ROWS_AT_ONCE))
        return np.concatenate([self._margins(self._encoded(block)) for block in blocks])

    def explain(self, X: pd.DataFrame, check_count: int = 8) -> ShapleyValues:
        """Split each lead's expected revenue, chance and days over the columns of X.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The columns of training.
        check_count : int, default=8
            Leads on which the fast Shapley values are compared with ``shap.TreeExplainer``; 0 leaves shap alone.

        Returns
        -------
        ShapleyValues
            Money and points within ``rank_days_``, days given that the lead is won within ``ever_days_``.
        """
        encoded = self._encoded(X)
        return self.explainer().explain(self._for_each_margin(encoded), self._margins(encoded), X.index, check_count)

    def explain_in_blocks(self, X: pd.DataFrame, margins: FloatArray | None = None) -> Iterator[ShapleyValues]:
        """Do as `explain`, block after block of leads, in bounded memory, on all threads; their index counts from 0."""
        made = self.margins(X) if margins is None else margins
        return self.explainer().explain_in_blocks(lambda rows: self._for_each_margin(self._encoded(X.iloc[rows])), made)

    def explainer(self) -> ForecastExplainer:
        """Return what splits forecasts; it parses the trees when it is first used, and is made once."""
        if self._explainer is None:
            self._explainer = forecast_explainer(
                self.incidence_,
                self.value_,
                self.background_,
                self._margins(self.background_),
                float(self._columns.reached(self.rank_days_)),
                float(self._columns.reached(self.ever_days_)),
                self.threads,
            )
        return self._explainer

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted model as JSON holds it; see `models.serialization`."""
        return to_json_types(
            {
                "params": self.get_params(),
                "incidence": self.incidence_.to_dict(),
                "value": None if self.value_ is None else self.value_.to_dict(),
                "wins_count": self.wins_count_,
                "level_sd": self.level_sd_,
                "observed_days": self.observed_days_,
                "grading": self.grading_.to_dict(),
                "background": self.background_,
            }
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LeadForecaster:
        """Return the model that `to_dict` wrote; it predicts the same numbers."""
        params = content["params"]
        self = cls(**params | {"horizons_days": tuple(params["horizons_days"])})
        self.incidence_ = IncidenceBooster.from_dict(content["incidence"])
        self.value_ = None if content["value"] is None else ValueBooster.from_dict(content["value"])
        self.wins_count_, self.level_sd_ = content["wins_count"], content["level_sd"]
        self.observed_days_ = content["observed_days"]
        self.grading_ = Grading.from_dict(content["grading"])
        self.background_ = [float_array(design) for design in content["background"]]
        self._set_columns()
        return self

    def _fit_value(self, X: pd.DataFrame, y: pd.DataFrame, won: NDArray[np.bool_], seed: int) -> ValueBooster | None:
        """Fit amounts to the won leads that have one; None where all amounts are missing or zero."""
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

    def _set_columns(self) -> None:
        """Derive what can be forecast, and what ranks; an explainer of an earlier fit is dropped."""
        self._explainer = None
        self.has_value_ = self.value_ is not None
        self._columns = columns = ForecastColumns(
            tuple(int(days) for days in self.horizons_days),
            int(self.primary_horizon_days),
            self.observed_days_,
            self.incidence_.longest_days_,
            self.has_value_,
            LOST in self.incidence_.outcomes_,
        )
        self.ever_days_, self.rank_days_ = columns.ever_days, columns.rank_days
        self.rank_key_ = columns.rank_key
        self.absent_ = columns.absent()
        self.notes_: dict[str, str] = {}
        if self.wins_count_ < FEW_WINS:
            self.notes_["few_wins"] = few_wins_note(self.wins_count_)
        if self.ever_days_ < max(self.horizons_days):
            self.notes_["ever_is_shorter"] = ever_is_shorter(self.ever_days_, self.horizons_days, self.observed_days_)

    def _encoded(self, X: pd.DataFrame) -> list[FloatArray]:
        """Return leads as `incidence_`, and `value_`, encode them: (n, encoded columns) each."""
        names = list(self.incidence_.feature_names_in_)
        missing = [name for name in names if name not in X.columns]
        if missing:
            raise ValueError(f"X lacks the columns {missing} that the model is trained on")
        encoders = [self.incidence_.encoder_] + ([] if self.value_ is None else [self.value_.encoder_])
        return [encoder.transform(X[names]) for encoder in encoders]

    def _margins(self, encoded: list[FloatArray]) -> FloatArray:
        """Return `margins` of encoded leads."""
        margins = self.incidence_.encoded_margins(encoded[0])
        if self.value_ is None:
            return margins
        return np.concatenate([margins, self.value_.encoded_margins(encoded[1])[:, None]], axis=1)

    def _for_each_margin(self, encoded: list[FloatArray]) -> list[FloatArray]:
        return [encoded[0]] * len(self.incidence_.outcomes_) + encoded[1:]

    def _forecast(self, margins: FloatArray, quarters: FloatArray, index: pd.Index) -> pd.DataFrame:
        """Forecast leads; quarters (n, 2) are days to the ends of two quarters, NaN where not given."""
        interval = None if self.value_ is None else self.value_.interval
        return self._columns.compose(margins, self.incidence_.grid_, quarters, interval, index)
