"""How likely each outcome is, and when: a piecewise-exponential model of competing outcomes on boosted trees."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count
from numpy.typing import ArrayLike, NDArray
from pandas.api.types import is_numeric_dtype
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from models.boosting import poisson_boosters
from models.calibration import FOLDS, held_out_parts, recent_level, share_of_lines, slope_of
from models.encoding import FrameEncoder, refuse_infinite
from models.exposure import (
    Exposure,
    base_rates,
    event_quantile_edges,
    exposure_of,
    nearness,
    pieces_at_risk,
    subsample_censored,
    time_at_risk,
)
from models.hazards import TimeGrid, cumulative_incidence, quantile_days
from models.linear import Lines

FloatArray = NDArray[np.float64]

_CALIBRATION_ROWS_LIMIT = 30_000
_TREES_A_BAG = 5  # drawing rows anew for each tree takes a third of the time and says no more
_IDLE_LIMIT, _CALIBRATION_IDLE_LIMIT = 60_000, 20_000  # entries without an outcome; more of them hardly say more


class IncidenceBooster(BaseEstimator):
    """Estimate F_k(t | x): the probability that outcome k happens within t days from ``as_of``.

    Outcomes compete, and whoever is still open when last seen is censored: it adds time at risk, never a failure.

    The rate of outcome k at t days after ``as_of`` is r_k(t) · exp(m_k(x, piece(t))): r_k is the rate without features
    on bins that hold about equally many outcomes, and m_k a Poisson regression an outcome, on one row for each (row,
    piece of time) at risk, with log(∫ r_k over the time at risk) as its offset. A piece is a few bins together, within
    which features act in one way. There are two such regressions, made apart: gradient-boosted trees, which find steps
    and what acts only together, and straight lines (`Lines`), which follow a slope with far fewer outcomes. Their
    mean, m_k = (1 − s_k) · trees + s_k · lines, then becomes a_k + b_k · m_k. Share and slope are fitted where the
    model had not looked: on exposure after a date, by a model that knew only what was known by then (with ``as_of``),
    else on leads left out. The level a_k follows drift: what features do lasts longer than how much is won at all, so
    effects are learnt from all exposure, the level from what recently came over what was expected of it. Every
    prediction is a smooth function of these margins.

    Parameters
    ----------
    trees : int, default=150
        Trees an outcome. More follow finer detail, and noise; with 1 there are lines alone.
    leaves : int, default=16
        Leaves a tree: how many features may act together.
    learning_rate : float, default=0.05
        Step of each tree. Lower is smoother and wants more trees.
    pieces : int, default=8
        Pieces of time in which features may act differently. More cost time and memory in proportion.
    bins : int, default=32
        Bins of the rates without features. More follow sharper deadlines.
    bagging_share : float, default=0.5
        Share of the rows that each tree sees; drawn anew every five trees.
    min_leaf_outcomes : float, default=5
        Outcomes, in leads, that a leaf must expect. Raising it draws small companies' scores to the base rate.
    clocks : sequence of str, default=()
        Columns of numbers that count days up to ``as_of`` and go on counting after it, such as a lead's age. Trees see
        them a second time as they will stand in the middle of the piece, and so learn what happens 30 days after the
        last mail, whenever the lead is looked at. Finds deadlines; reasons take longer, since no two pieces then share
        their trees.
    monotone_increasing : sequence of str, default=()
        Columns of numbers that can only raise the rate of outcome 1.
    first : sequence of str, default=()
        Columns of numbers that the first trees see alone with the piece, such as a lead's age: what rates hang on most
        is then fitted whole, where many small steps among many columns would draw its ends to the average.
    near_days : float or None, default=None
        In what features do, what happens later after ``as_of`` counts less: twice as late, half. None: all alike.
    half_life_days : float or None, default=180
        Of the level: exposure this much older, by the calendar, counts half. Shorter follows drift, and luck. Needs
        ``as_of``.
    recalibrate : bool, default=True
        Fit share and slope on held-out exposure; without, trees and lines count half each. Costs second fits.
    random_state : int, RandomState or None, default=None
        Seed of bagging and folds; the same seed gives the same bytes.
    threads : int or None, default=None
        Threads; None: all cores.

    Attributes
    ----------
    outcomes_ : ndarray of int, shape (outcomes,)
        1 … K. At least one, even where none was seen.
    grid_ : TimeGrid
        Bins, pieces and rates without features; also as ``bin_edges_days_`` (bins + 1,), ``bin_piece_`` (bins,) and
        ``base_rates_`` (outcomes, bins) per day.
    boosters_ : list of lightgbm.Booster
        One an outcome.
    lines_ : list of Lines
        One an outcome.
    line_share_ : ndarray of shape (outcomes,)
        s_k, 0 to 1.
    encoder_ : FrameEncoder
        Numbers from the columns.
    columns_ : list
        Original column of each design column: all columns, then the clocks, then ``'piece'``.
    calibration_ : ndarray of shape (outcomes, 2)
        a_k and b_k.
    longest_days_ : float
        Longest follow-up seen in training. Past it, the last rate is only continued.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Their names, where all are strings.

    References
    ----------
    Bender, Rügamer, Scheipl and Bischl (2020), *A general machine learning framework for survival analysis*.
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
        first: Sequence[str] = (),
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
        self.first = first
        self.near_days = near_days
        self.half_life_days = half_life_days
        self.recalibrate = recalibrate
        self.random_state = random_state
        self.threads = threads

    def fit(
        self, X: Any, y: pd.DataFrame, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> IncidenceBooster:
        """Learn rates and margins.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, columns)
            Numbers, booleans, strings or categories; missing values allowed.
        y : DataFrame of shape (n, 2 or 3)
            ``event`` (0 still open when last seen, 1 … K the outcome), ``duration`` (days from ``as_of``, > 0), and if
            known ``as_of`` (dates, or days as numbers).
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
            If a column holds neither numbers nor words.
        """
        frame = self._check_frame(X, reset=True)
        exposure = exposure_of(y, len(frame), sample_weight)
        for parameter in ("clocks", "monotone_increasing", "first"):
            unfit = [n for n in getattr(self, parameter) if n not in frame or not is_numeric_dtype(frame[n].dtype)]
            if unfit:
                raise ValueError(f"{parameter} must name columns of numbers in X, got {unfit}")
        lead = np.arange(len(frame)) if groups is None else pd.factorize(np.asarray(groups))[0]
        if len(lead) != len(frame) or (lead < 0).any():
            raise ValueError(f"groups must have {len(frame)} values, none of them missing; got {(lead >= 0).sum()}")
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.outcomes_ = np.arange(1, max(1, int(exposure.event.max())) + 1)
        if not exposure.weight.all():  # a row of weight 0 is no row
            kept = np.flatnonzero(exposure.weight)
            frame, exposure, lead = frame.iloc[kept], exposure.take(kept), pd.factorize(lead[kept])[0]
        self.longest_days_ = float(exposure.stop_days.max())
        with warnings.catch_warnings():  # here, because threads share the filters
            warnings.filterwarnings("ignore", message="Cannot add features|Resetting categorical")  # there are none
            warnings.filterwarnings("ignore", category=ConvergenceWarning)  # it goes on with another solver
            self.calibration_ = np.tile([0.0, 1.0], (len(self.outcomes_), 1))
            self.line_share_ = np.full(len(self.outcomes_), 0.5 if self.trees > 1 else 1.0)
            # LightGBM lets go of Python's lock; the small sums of lines would only wait for each other's threads.
            with ThreadPoolExecutor(self.threads or cpu_count()) as pool, threadpool_limits(1, user_api="blas"):
                fitting = pool.submit(self._fit_part, frame, exposure, lead)
                if self.recalibrate:
                    self._calibrate(frame, exposure, lead, pool)
                fitting.result()
            self._follow_drift(frame, exposure, lead)
        return self

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
        """
        check_is_fitted(self)
        trees, lines = self._both_margins(self._check_frame(X))
        share, (level, slope) = self.line_share_[:, None], self.calibration_.T[..., None]
        return level + slope * ((1.0 - share) * trees + share * lines)

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        return tags

    def _check_frame(self, X: Any, reset: bool = False) -> pd.DataFrame:
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, skip_check_array=True, reset=reset)
            for count, what in ((X.shape[1], "feature"), (len(X), "sample")):
                if reset and not count:
                    raise ValueError(f"0 {what}(s) (shape={X.shape}) while a minimum of 1 is required.")
        else:
            X = pd.DataFrame(validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan"))
            X = X.infer_objects()
        learnt = X.columns if reset else list(self.encoder_._is_words)
        if not set(learnt) <= set(X.columns):  # an array where there was a frame, or the other way round: by place
            X = X.set_axis(learnt, axis=1)
        refuse_infinite(X)
        return X

    def _design(self, numbers: FloatArray) -> FloatArray:
        """Return what boosters see, all but `_shifts`: numbers, clocks at ``as_of``, and 0 for the piece."""
        return np.column_stack([numbers, numbers[:, self._clock_columns()], np.zeros(len(numbers))])

    def _clock_columns(self) -> list[int]:
        return [self.encoder_.columns_.index(name) for name in self.clocks]

    def _shifts(self) -> FloatArray:
        """Return what pieces add to `_design` (pieces, design columns): their middle to clocks, their number last."""
        middle = (self.grid_.bin_edges_days[1:] + self.grid_.bin_edges_days[:-1]) / 2
        bins = np.bincount(self.grid_.bin_piece)
        shifts = np.zeros((self.grid_.pieces_count, len(self.encoder_.columns_) + len(self.clocks) + 1))
        shifts[:, len(self.encoder_.columns_) : -1] = (np.bincount(self.grid_.bin_piece, middle) / bins)[:, None]
        shifts[:, -1] = np.arange(self.grid_.pieces_count)
        return shifts

    def _both_margins(self, frame: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """Return what trees say and what lines say: (n, outcomes, pieces) each."""
        numbers = self.encoder_.transform(frame)
        design = self._design(numbers)
        trees = np.empty((len(design), len(self.outcomes_), self.grid_.pieces_count))
        for piece, shift in enumerate(self._shifts()):
            seen = design + shift
            for k, booster in enumerate(self.boosters_):
                trees[:, k, piece] = booster.predict(seen, raw_score=True, num_threads=self.threads or 0)
        return trees, np.stack([lines.margins(numbers) for lines in self.lines_], axis=1)

    def _fit_part(
        self, frame: pd.DataFrame, exposure: Exposure, lead: NDArray[np.intp], idle_limit: int = _IDLE_LIMIT
    ) -> None:
        """Learn grid, encoder and boosters; margins are left uncalibrated."""
        outcomes = len(self.outcomes_)
        clock = exposure.clock(lead)
        edges = event_quantile_edges(exposure, clock, self.bins)
        at_risk = time_at_risk(exposure, clock, edges)
        rates = base_rates(exposure, clock, edges, at_risk, outcomes)
        bins, pieces = len(edges) - 1, min(self.pieces, len(edges) - 1)
        self.grid_ = TimeGrid(edges, np.arange(bins) * pieces // bins, rates)
        self.bin_edges_days_, self.bin_piece_, self.base_rates_ = edges, self.grid_.bin_piece, rates
        observed = (exposure.event[:, None] == self.outcomes_).astype(float)
        self.encoder_ = FrameEncoder(random_state=self._seed)
        weight = clock.factor[:, None]
        numbers = self.encoder_.fit_transform(frame, weight * observed, weight * (at_risk @ rates.T), lead)
        names = [*self.encoder_.columns_, *self.clocks]
        self.columns_ = [*names, "piece"]
        row, piece, expected, is_last = pieces_at_risk(exposure, at_risk, self.grid_)
        near = nearness(self.grid_, self.near_days)[piece]
        rises = self.monotone_increasing
        mono = np.array([name in rises for name in self.encoder_.columns_])
        came, hoped = near[:, None] * observed[row] * is_last[:, None], near[:, None] * expected
        self.lines_ = [
            Lines.fit(numbers, row, piece, came[:, k], hoped[:, k], clock.factor, pieces, mono & (k == 0), self._seed)
            for k in range(outcomes)
        ]
        ends = observed[row].any(axis=1) & is_last
        kept, factor = subsample_censored(ends, clock.factor[row], idle_limit, self._seed)
        row, piece, expected, is_last = (values[kept] for values in (row, piece, expected, is_last))
        clocks = numbers[:, self._clock_columns()]
        self.boosters_ = poisson_boosters(
            numbers,
            row,
            [clocks[row, c] + self._shifts()[piece, numbers.shape[1] + c] for c in range(len(self.clocks))]
            + [piece.astype(float)],
            observed=observed[row] * is_last[:, None],
            expected=expected,
            weight=factor * near[kept],
            monotone_increasing=[[*(int(k == 0 and n in rises) for n in names), 0] for k in range(outcomes)],
            first=[*(j for j, name in enumerate(names) if name in self.first), len(names)] if self.first else [],
            trees=self.trees,
            threads=self.threads,
            num_leaves=self.leaves,
            learning_rate=self.learning_rate,
            min_sum_hessian_in_leaf=self.min_leaf_outcomes,
            bagging_fraction=self.bagging_share,
            bagging_freq=_TREES_A_BAG * (len(row) * self.bagging_share >= 1),
            seed=self._seed,
        )

    def _calibrate(
        self, frame: pd.DataFrame, exposure: Exposure, lead: NDArray[np.intp], pool: ThreadPoolExecutor
    ) -> None:
        """Share of the lines, and slope, from exposure that models, trained for this alone, had not seen."""
        frame, exposure, lead = self._some(frame, exposure, lead)
        parts = [part for part in held_out_parts(exposure, lead, self._seed) if part[0].any() and part[2].any()]
        if not parts or lead.max() + 1 < 2 * FOLDS:
            return

        def held_out_by_an_earlier_model(part: tuple[Any, ...]) -> tuple[Any, ...]:
            training, known, held_out, came, stretch = part
            earlier = IncidenceBooster(**self.get_params()).set_params(threads=1)
            earlier.outcomes_, earlier._seed = self.outcomes_, self._seed
            earlier._fit_part(frame[training], known, pd.factorize(lead[training])[0], _CALIBRATION_IDLE_LIMIT)
            return (*earlier._held_out(frame[held_out], came, lead[held_out]), stretch)

        scored = list(pool.map(held_out_by_an_earlier_model, parts))
        stretches = np.repeat([part[-1] for part in scored], [len(part[0]) for part in scored])
        stretches = np.unique(stretches, return_inverse=True)[1]
        trees, lines, observed, expected, weight = (np.concatenate(v) for v in list(zip(*scored, strict=True))[:-1])
        for k, outcome in enumerate(self.outcomes_):
            came = (observed[:, k], expected[:, k], weight, stretches)
            share = share_of_lines(trees[:, k], lines[:, k], *came) if self.trees > 1 else 1.0
            self.line_share_[k] = share
            learnt = np.mean([(known.event == outcome).sum() for _, known, *_ in parts])
            learnt_share = max(1.0, learnt) / max(1, (exposure.event == outcome).sum())
            self.calibration_[k] = slope_of((1.0 - share) * trees[:, k] + share * lines[:, k], *came, learnt_share)

    def _follow_drift(self, frame: pd.DataFrame, exposure: Exposure, lead: NDArray[np.intp]) -> None:
        """Add to each level what recently came over what was expected of the fitted model."""
        if self.half_life_days is None or exposure.as_of_days is None:
            return
        some = self._some(frame, exposure, lead)
        trees, lines, *came = self._held_out(*some, self.half_life_days)
        for k, (level, slope) in enumerate(self.calibration_):
            margin = level + slope * ((1.0 - self.line_share_[k]) * trees[:, k] + self.line_share_[k] * lines[:, k])
            self.calibration_[k, 0] += recent_level(margin, came[0][:, k], came[1][:, k], came[2])

    def _some(self, frame: pd.DataFrame, exposure: Exposure, lead: NDArray[np.intp]) -> tuple[Any, Any, Any]:
        """Draw single rows, where there are more than share, slope and level need: whole leads would be fewer leads."""
        drawn = np.random.default_rng(self._seed).random(len(frame)) < _CALIBRATION_ROWS_LIMIT / len(frame)
        kept = np.flatnonzero(drawn)
        return frame.iloc[kept], exposure.take(kept), pd.factorize(lead[kept])[0]

    def _held_out(
        self, frame: pd.DataFrame, came: Exposure, lead: NDArray[np.intp], half_life_days: float | None = None
    ) -> tuple[FloatArray, ...]:
        """Both margins, outcomes, expected outcomes and weights of what came, a row for each (row, piece) at risk."""
        clock = came.clock(lead, half_life_days)
        at_risk = time_at_risk(came, clock, self.grid_.bin_edges_days)
        row, piece, expected, last = pieces_at_risk(came, at_risk, self.grid_)
        trees, lines = (margins[row, :, piece] for margins in self._both_margins(frame))
        observed = last[:, None] & (came.event[row][:, None] == self.outcomes_)
        return trees, lines, observed * clock.speed(came.stop_days)[row, None], expected, clock.factor[row]
