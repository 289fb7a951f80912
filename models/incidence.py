"""How likely each outcome is, and when: a piecewise-exponential model of competing outcomes on boosted trees."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from joblib import cpu_count
from numpy.typing import ArrayLike, NDArray
from pandas.api.types import is_numeric_dtype
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from models.encoding import FrameEncoder
from models.exposure import exposure_of
from models.feature_frame import feature_frame
from models.hazards import TimeGrid, cumulative_incidence, quantile_days
from models.incidence_calibration import calibrated, held_out_share_and_slope, recent_levels, sample_rows
from models.linear import Lines
from models.log_rates import LogRates, LogRateSettings, fit_log_rates
from models.serialization import float_array, to_json_types

FloatArray = NDArray[np.float64]

_IDLE_LIMIT = 60_000  # entries without an outcome; more of them hardly add anything


class IncidenceBooster(BaseEstimator):
    """Estimate F_k(t | x): the probability that outcome k happens within t days from ``as_of``.

    Outcomes compete, and a lead that is still open when last observed is censored: it adds time at risk, never a
    failure.

    The rate of outcome k at t days after ``as_of`` is r_k(t) · exp(m_k(x, piece(t))). r_k is the rate without features,
    on bins that hold about equally many outcomes. m_k is a Poisson regression per outcome, on one entry for each (row,
    piece of time) at risk, with log(∫ r_k over the time at risk) as its offset. A piece is a few bins within which
    features act in one way. Two such regressions are fitted separately: gradient-boosted trees, which find steps and
    interactions, and straight lines (`Lines`), which follow a slope with far fewer outcomes. Their blend, m_k =
    (1 − s_k) · trees + s_k · lines, then becomes a_k + b_k · m_k. Share and slope are fitted on held-out exposure: of
    the time after a date, by a model of what was known by then (with ``as_of``), else of leads left out. The level a_k
    follows drift: what features do lasts longer than how much is won overall, so effects are fitted to all exposure,
    the level to recent outcomes over expected ones. Every prediction is a smooth function of these margins.

    Parameters
    ----------
    trees : int, default=150
        Trees per outcome. More follow finer detail, and noise; with 1 there are only lines.
    leaves : int, default=16
        Leaves per tree: how many features can interact.
    learning_rate : float, default=0.05
        Step of each tree. Lower is smoother and needs more trees.
    pieces : int, default=8
        Pieces of time in which features can act differently. Time and memory grow in proportion.
    bins : int, default=32
        Bins of the rates without features. More follow sharper deadlines.
    bagging_share : float, default=0.5
        Share of the entries that each tree sees; drawn again every five trees.
    min_leaf_outcomes : float, default=5
        Outcomes, in leads, that a leaf must expect. Higher values shrink small companies' scores to the base rate.
    clocks : sequence of str, default=()
        Columns of numbers that count days up to ``as_of`` and go on counting after it, such as a lead's age. Trees see
        them a second time at their value in the middle of the piece, and so find what happens 30 days after the last
        mail, whatever the date of the snapshot. Finds deadlines; reasons take longer, since no two pieces then share
        their trees.
    monotone_increasing : sequence of str, default=()
        Columns of numbers that can only raise the rate of outcome 1.
    early_features : sequence of str, default=()
        Columns of numbers that, with the piece, are the only ones that the first twenty trees split on, such as a
        lead's age: what rates depend on most is then fitted in full, where many small steps among many columns would
        shrink its extremes.
    near_days : float or None, default=None
        Outcomes and exposure later than this after ``as_of`` count less in the effects of features: half at twice the
        days. None: all count alike.
    half_life_days : float or None, default=180
        Of the level: exposure this much older, by the calendar, counts half. Shorter follows drift, and chance. Needs
        ``as_of``.
    recalibrate : bool, default=True
        Fit share and slope on held-out exposure, which takes further fits; without, trees and lines count half each.
    random_state : int, RandomState or None, default=None
        Seed of bagging and folds; the same seed gives the same bytes.
    threads : int or None, default=None
        Threads; None: all cores.

    Attributes
    ----------
    log_rates_ : LogRates
        Trees and lines before calibration; its parts are the next four attributes.
    outcomes_ : ndarray of int, shape (outcomes,)
        1 … K. At least one, even where none was observed.
    grid_ : TimeGrid
        Bins (days), pieces and rates without features (per day).
    boosters_ : list of lightgbm.Booster
        One per outcome.
    lines_ : list of Lines
        One per outcome.
    line_share_ : ndarray of shape (outcomes,)
        s_k, 0 to 1.
    encoder_ : FrameEncoder
        Numbers from the columns.
    columns_ : list
        Original column of each column that boosters see: all columns, then the clocks, then ``'piece'``.
    calibration_ : ndarray of shape (outcomes, 2)
        a_k and b_k.
    longest_days_ : float
        Longest follow-up in training. Past it, the last rate is continued.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Their names, where all are strings.

    References
    ----------
    Bender, Rügamer, Scheipl and Bischl (2020), *A general machine learning framework for survival analysis*.

    See Also
    --------
    models.deal_value.ValueBooster : what a deal is worth if it is won.
    models.baselines.AalenJohansen : the same curves without features.

    Examples
    --------
    Of two groups of leads one is won at 0.02 per day, the other at 0.002; all are observed for up to 60 days:

    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"is_demo_booked": np.arange(2000) % 2})
    >>> days = rng.exponential(1 / np.where(X["is_demo_booked"] == 1, 0.02, 0.002))
    >>> y = pd.DataFrame({"event": (days <= 60).astype(int), "duration": np.minimum(days, 60.0)})
    >>> model = IncidenceBooster(trees=20, recalibrate=False, random_state=0, threads=1).fit(X, y)
    >>> incidence = model.predict_cumulative_incidence(X.iloc[:2], [0, 30, 60])
    >>> incidence.shape
    (2, 2, 3)
    >>> bool(incidence[1, 1, 1] > 3 * incidence[0, 1, 1])
    True
    """

    def __init__(
        self,
        trees: int = 150,
        leaves: int = 16,
        learning_rate: float = 0.05,
        pieces: int = 8,
        bins: int = 32,
        bagging_share: float = 0.5,
        min_leaf_outcomes: float = 5.0,
        clocks: Sequence[str] = (),
        monotone_increasing: Sequence[str] = (),
        early_features: Sequence[str] = (),
        near_days: float | None = None,
        half_life_days: float | None = 180.0,
        recalibrate: bool = True,
        random_state: Any = None,
        threads: int | None = None,
    ) -> None:
        self.trees = trees
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.pieces = pieces
        self.bins = bins
        self.bagging_share = bagging_share
        self.min_leaf_outcomes = min_leaf_outcomes
        self.clocks = clocks
        self.monotone_increasing = monotone_increasing
        self.early_features = early_features
        self.near_days = near_days
        self.half_life_days = half_life_days
        self.recalibrate = recalibrate
        self.random_state = random_state
        self.threads = threads

    def fit(
        self, X: Any, y: pd.DataFrame, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> IncidenceBooster:
        """Fit rates and margins.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, columns)
            Numbers, booleans, strings or categories; missing values allowed.
        y : DataFrame of shape (n, 2 or 3)
            ``event`` (0 still open when last observed, 1 … K the outcome), ``duration`` (days from ``as_of``, > 0), and
            if known ``as_of`` (dates, or days as numbers).
        sample_weight : array-like of shape (n,), optional
            Weights ≥ 0; a row of weight 2 counts as two rows.
        groups : array-like of shape (n,), optional
            The lead of each row: a lead's rows count as one lead's evidence, and stand on one side of any fold.

        Returns
        -------
        IncidenceBooster
            Itself.

        Raises
        ------
        ValueError
            If y or the weights are not as described, or X holds infinite values.
        TypeError
            If a column holds neither numbers nor text.
        """
        frame = feature_frame(self, X)
        exposure = exposure_of(y, len(frame), sample_weight)
        for parameter in ("clocks", "monotone_increasing", "early_features"):
            unfit = [n for n in getattr(self, parameter) if n not in frame or not is_numeric_dtype(frame[n].dtype)]
            if unfit:
                raise ValueError(f"{parameter} must name columns of numbers in X, got {unfit}")
        lead = np.arange(len(frame)) if groups is None else pd.factorize(np.asarray(groups))[0]
        if len(lead) != len(frame) or (lead < 0).any():
            raise ValueError(f"groups must have {len(frame)} values, none of them missing; got {(lead >= 0).sum()}")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.outcomes_ = np.arange(1, max(1, int(exposure.event.max())) + 1)
        if not exposure.weight.all():  # a row of weight 0 is no row
            kept = np.flatnonzero(exposure.weight)
            frame, exposure, lead = frame.iloc[kept], exposure.take(kept), pd.factorize(lead[kept])[0]
        self.longest_days_ = float(exposure.stop_days.max())
        self.calibration_ = np.tile([0.0, 1.0], (len(self.outcomes_), 1))
        self.line_share_ = np.full(len(self.outcomes_), 0.5 if self.trees > 1 else 1.0)
        settings = self._settings(seed)
        with warnings.catch_warnings():  # here, because threads share the filters
            warnings.filterwarnings("ignore", message="Cannot add features|Resetting categorical")  # there are none
            warnings.filterwarnings("ignore", category=ConvergenceWarning)  # it goes on with another solver
            rows = sample_rows(frame, exposure, lead, seed)
            # LightGBM releases Python's lock; the small sums of lines would only wait for each other's threads.
            with ThreadPoolExecutor(self.threads or cpu_count()) as pool, threadpool_limits(1, user_api="blas"):
                fitting = pool.submit(fit_log_rates, frame, exposure, lead, settings)
                if self.recalibrate and (found := held_out_share_and_slope(*rows, settings, pool)):
                    self.line_share_, self.calibration_ = found
                self.log_rates_ = fitting.result()
            if self.half_life_days is not None and exposure.as_of_days is not None:
                self.calibration_[:, 0] += recent_levels(
                    self.log_rates_, self.line_share_, self.calibration_, rows, self.half_life_days, self.threads
                )
        return self

    @property
    def grid_(self) -> TimeGrid:
        """Bins, pieces and rates without features."""
        return self.log_rates_.grid

    @property
    def encoder_(self) -> FrameEncoder:
        """Numbers from the columns."""
        return self.log_rates_.encoder

    @property
    def boosters_(self) -> list[lgb.Booster]:
        """One per outcome."""
        return self.log_rates_.boosters

    @property
    def lines_(self) -> list[Lines]:
        """One per outcome."""
        return self.log_rates_.lines

    @property
    def columns_(self) -> list:
        """The original column of each column that boosters see, ``'piece'`` last."""
        return self.log_rates_.columns

    def margins(self, X: Any) -> FloatArray:
        """Return log-multipliers of the base rates, calibrated.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, columns)
            The columns of training.

        Returns
        -------
        ndarray of shape (n, outcomes, pieces)
            a_k + b_k · m_k(x, piece).

        Raises
        ------
        ValueError
            If X lacks columns of training, or holds infinite values.
        """
        check_is_fitted(self)
        return self.encoded_margins(
            self.encoder_.transform(feature_frame(self, X, list(self.encoder_.is_categorical_)))
        )

    def encoded_margins(self, encoded: FloatArray) -> FloatArray:
        """Return `margins`, shape (n, outcomes, pieces), of leads as `encoder_` encodes them."""
        trees, lines = self.log_rates_.trees_and_lines(encoded, self.threads)
        return calibrated(trees, lines, self.line_share_[:, None], self.calibration_[:, None])

    def predict_cumulative_incidence(self, X: Any, times: ArrayLike) -> FloatArray:
        """Return the probability of each outcome by each time.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, columns)
            The columns of training.
        times : array-like of shape (times,)
            Days from ``as_of``, ≥ 0. Past ``longest_days_`` the last rate is continued.

        Returns
        -------
        ndarray of shape (n, outcomes + 1, times)
            Index 0: still open. Rows sum to one; no incidence falls with time.
        """
        return cumulative_incidence(self.margins(X), self.grid_, times)

    def predict_proba(self, X: Any, horizon: float | None = None) -> FloatArray:
        """Return the probability of each outcome within a horizon.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, columns)
            The columns of training.
        horizon : float, optional
            Days from ``as_of``; by default ``longest_days_``.

        Returns
        -------
        ndarray of shape (n, outcomes + 1)
            Index 0: still open.
        """
        margins = self.margins(X)
        return cumulative_incidence(margins, self.grid_, self.longest_days_ if horizon is None else horizon)[:, :, 0]

    def predict_days(
        self, X: Any, quantiles: ArrayLike = (0.1, 0.5, 0.9), until_days: float | None = None
    ) -> FloatArray:
        """Return when outcome 1 happens, given that it does.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, columns)
            The columns of training.
        quantiles : array-like of shape (quantiles,), default=(0.1, 0.5, 0.9)
            Shares of F_1(t) / F_1(until_days).
        until_days : float, optional
            Where its time is cut off; by default ``longest_days_``.

        Returns
        -------
        ndarray of shape (n, quantiles)
            Days from ``as_of``.
        """
        margins = self.margins(X)
        return quantile_days(margins, self.grid_, quantiles, self.longest_days_ if until_days is None else until_days)

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted estimator as JSON holds it; see `models.serialization`.

        Raises
        ------
        TypeError
            If ``random_state`` is neither None nor a number: a generator's state has no form in JSON.
        """
        names = getattr(self, "feature_names_in_", None)
        return to_json_types(
            {
                "params": self.get_params(),
                "log_rates": self.log_rates_.to_dict(),
                "outcomes": self.outcomes_,
                "longest_days": self.longest_days_,
                "calibration": self.calibration_,
                "line_share": self.line_share_,
                "features_count": self.n_features_in_,
                "features": None if names is None else list(names),
            }
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> IncidenceBooster:
        """Return the estimator that `to_dict` wrote; it predicts the same numbers."""
        self = cls(**content["params"])
        self.log_rates_ = LogRates.from_dict(content["log_rates"])
        self.outcomes_ = np.asarray(content["outcomes"], dtype=np.intp)
        self.longest_days_ = content["longest_days"]
        self.calibration_ = float_array(content["calibration"])
        self.line_share_ = float_array(content["line_share"])
        self.n_features_in_ = content["features_count"]
        if content["features"] is not None:
            self.feature_names_in_ = np.asarray(content["features"], dtype=object)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        return tags

    def _settings(self, seed: int) -> LogRateSettings:
        """Return how log-rates are fitted."""
        return LogRateSettings(
            trees=self.trees,
            leaves=self.leaves,
            learning_rate=self.learning_rate,
            pieces=self.pieces,
            bins=self.bins,
            bagging_share=self.bagging_share,
            min_leaf_outcomes=self.min_leaf_outcomes,
            clocks=tuple(self.clocks),
            monotone_increasing=tuple(self.monotone_increasing),
            early_features=tuple(self.early_features),
            near_days=self.near_days,
            threads=self.threads,
            outcomes_count=len(self.outcomes_),
            idle_limit=_IDLE_LIMIT,
            seed=seed,
        )
