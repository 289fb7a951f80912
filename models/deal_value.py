"""What a deal is worth if it is won: expected amount given won, by the time it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from models.amount_score import AmountScore, Settings, Wins, fit_amount_score, quantile
from models.encoding import FrameEncoder
from models.hazards import TimeGrid
from models.linear import Lines
from models.serialization import float_array, float_or_nan, to_json_types

FloatArray = NDArray[np.float64]

_BLOCKS = 5  # wins in time order: the first two are training only, each later one is forecast by those before it
_SLOPE_SD = 0.5  # prior: how far below 1 the slope is; above 1 it never is
_LEVEL_SD = 0.1  # prior: how far amounts drift between training and scoring
_INTERVAL = (0.1, 0.9)
_SEGMENTS, _WINS_A_SEGMENT = 3, 60
_WINS_AN_INTERVAL, _WIDE = 9, (0.17, 2.2)  # the quantiles of a log-normal whose logarithm has a spread of 1
_ZEROS_LEAST = 0.05
_FITTED = (
    "calibration", "interval_factors", "interval_edges", "pieces_count", "wins_count", "amount_spread", "follows_days",
    "in_two_parts", "held_out_ratio",
)  # fmt: skip


class ValueBooster(BaseEstimator):
    """Expected deal amount given that a lead is won, for each piece of the time to winning.

    Estimand: V(x, p) = E[amount | x, won in piece p of the time from ``as_of``], on the scale of the amounts, with a
    log link: V = exp(a + b · m(x, p)), where m is half the raw score of a LightGBM booster that sees the piece as one
    more column, and half straight lines. It is fitted to all snapshots of won leads, each lead weighing one (a lead
    that took long has more snapshots, not more deals).

    Wins held out in time order decide the rest: each later fifth is forecast by a model that saw only those before it.
    These forecasts test whether amounts depend on the time to winning, and, where at least one in twenty is zero,
    whether the chance of any amount and its size are better fitted separately (their scores add up). They give level
    and slope, on uncapped amounts: b is shrunk towards 0 as far as these deals leave it uncertain, so few deals, or
    features without information, give the mean amount; a moves the level by the share of the held-out drift that stands
    out of its noise. They give the 80% interval as well: the quantiles of amount ÷ V by thirds of V, with the
    finite-sample correction of conformal prediction; with fewer than 60 held-out wins a third, by halves, or over all;
    with fewer than nine no narrower than log-normal amounts are.

    Parameters
    ----------
    trees : int, default=100
        Boosting rounds; more follow finer differences and need more deals.
    leaves : int, default=4
        Leaves of a tree; more let features interact.
    learning_rate : float, default=0.06
        Step of each tree; larger fits faster and with more noise.
    tweedie_power : float, default=1.8
        Variance grows as mean to this power: 1 weighs money, 2 weighs relative error (and bears no zeros).
    random_state : int or None, default=None
        Seed of row and column sampling.
    threads : int or None, default=None
        Threads of LightGBM; None leaves it to LightGBM.

    Attributes
    ----------
    amount_score_ : AmountScore
        Gives m; its parts are ``encoder_``, ``booster_`` (last column the piece), ``lines_`` and ``line_share_``.
    calibration_ : ndarray of shape (2,)
        a and b: the log of the expected amount is a + b · m.
    interval_factors_ : ndarray of shape (segments, 2)
        The 10% and 90% quantiles of amount ÷ expected amount, a row a segment of expected amounts.
    interval_edges_ : ndarray of shape (segments - 1,)
        Expected amounts that separate the segments.
    amount_spread_ : float
        Mean of (amount ÷ expected amount)² over held-out wins, each weighing its expected amount squared; 1: no spread.
    follows_days_, in_two_parts_ : bool
        Whether amounts depend on the time to winning, and whether zero amounts are fitted separately.
    columns_ : list of str
        The original column of each column that the booster sees, ``piece`` last.
    pieces_count_ : int
        Pieces of the time to winning.
    wins_count_ : int
        Won leads with an amount.
    held_out_ratio_ : float
        Expected ÷ actual amount over the held-out wins, before a moves the level; NaN with too few wins.

    Notes
    -----
    Source: Jørgensen (1997), *The Theory of Dispersion Models* (Tweedie); Romano, Patterson and Candès (2019),
    *Conformalized quantile regression* (the correction).

    See Also
    --------
    models.incidence.IncidenceBooster : whether and when a lead is won.
    models.revenue.expected_revenue : both together, as money.

    Examples
    --------
    Deals of large accounts are worth four times as much:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from models.hazards import TimeGrid
    >>> X = pd.DataFrame({"size": ["large", "small"] * 100})
    >>> amount = np.where(X["size"] == "large", 4000.0, 1000.0)
    >>> grid = TimeGrid([0, 90], [0], [[0.01]])
    >>> value = ValueBooster(random_state=0, threads=1).fit(X, amount, np.full(200, 30.0), grid)
    >>> expected = np.exp(value.margins(pd.DataFrame({"size": ["large", "small"]})))
    >>> expected.shape
    (2, 1)
    >>> bool(expected[0, 0] > 2 * expected[1, 0])
    True
    """

    def __init__(
        self,
        trees: int = 100,
        leaves: int = 4,
        learning_rate: float = 0.06,
        tweedie_power: float = 1.8,
        random_state: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.trees = trees
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.tweedie_power = tweedie_power
        self.random_state = random_state
        self.threads = threads

    def fit(
        self,
        X: pd.DataFrame,
        amount: ArrayLike,
        days_to_win: ArrayLike,
        grid: TimeGrid,
        groups: ArrayLike | None = None,
        won_at: ArrayLike | None = None,
    ) -> ValueBooster:
        """Fit to snapshots of won leads.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The features of each snapshot.
        amount : array-like of shape (n,)
            Amount of the snapshot's lead, in any currency. Amounts below 0 (refunds) count as 0 in the order of leads,
            and in full in the level.
        days_to_win : array-like of shape (n,)
            Days from the snapshot to winning.
        grid : TimeGrid
            Its pieces divide the time to winning.
        groups : array-like of shape (n,), optional
            The lead of each snapshot; by default each snapshot is a lead.
        won_at : array-like of shape (n,), optional
            When the lead was won, in any sortable unit; by default rows are in time order.

        Returns
        -------
        ValueBooster
            Itself.

        Raises
        ------
        ValueError
            If an amount is not finite, or all of them together are not above 0.
        """
        amount = np.asarray(amount, dtype=float)
        if not np.isfinite(amount).all():
            raise ValueError("amount must be finite in every row: leave out won leads whose amount is not known")
        lead = pd.factorize(np.arange(len(amount)) if groups is None else np.asarray(groups), sort=True)[0]
        weight = 1.0 / np.bincount(lead)[lead]
        if len(amount) == 0 or weight @ amount <= 0:
            raise ValueError("the amounts of the won leads must add up to more than 0")
        won_at = np.arange(len(amount)) if won_at is None else np.asarray(won_at)
        self.pieces_count_ = grid.pieces_count
        self.wins_count_ = int(lead.max()) + 1
        piece = grid.bin_piece[grid.bin_of(np.asarray(days_to_win, dtype=float))]
        wins = Wins(X, amount, weight, lead, piece)

        settings, rows, forecast = self._select_settings(wins, won_at)
        self.follows_days_, self.in_two_parts_ = settings.by_days, settings.in_two_parts
        self.amount_score_ = fit_amount_score(wins, self.pieces_count_, settings)
        self._calibrate(self.amount_score_.scores(X, piece), wins, rows, forecast)
        return self

    @property
    def encoder_(self) -> FrameEncoder:
        """Turns frames into numbers, a category into the log of its amounts over the average."""
        return self.amount_score_.encoder

    @property
    def booster_(self) -> lgb.Booster:
        """The trees of m."""
        return self.amount_score_.booster

    @property
    def lines_(self) -> Lines:
        """The lines of m."""
        return self.amount_score_.lines

    @property
    def line_share_(self) -> float:
        """Share of the lines in m."""
        return self.amount_score_.line_share

    @property
    def columns_(self) -> list:
        """The original column of each column that the booster sees, ``piece`` last."""
        return [*self.encoder_.columns_, "piece"]

    def margins(self, X: pd.DataFrame) -> FloatArray:
        """Return the log of the expected amount, given that the lead is won in each piece.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The columns of training.

        Returns
        -------
        ndarray of shape (n, pieces)
            a + b · m; exp of it is in the unit of the amounts.
        """
        return self.encoded_margins(self.encoder_.transform(X))

    def encoded_margins(self, encoded: FloatArray) -> FloatArray:
        """Return `margins`, shape (n, pieces), of leads as `encoder_` encodes them."""
        level, slope = self.calibration_
        return level + slope * self.amount_score_.in_pieces(encoded, self.threads)

    def interval(self, expected: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return bounds that hold 80% of the amounts with this expectation.

        Parameters
        ----------
        expected : array-like of shape (n,)
            Expected amounts.

        Returns
        -------
        low, high : ndarray of shape (n,), ndarray of shape (n,)
            In the unit of the amounts.
        """
        expected = np.asarray(expected, dtype=float)
        factors = self.interval_factors_[np.searchsorted(self.interval_edges_, expected)]
        return factors[:, 0] * expected, factors[:, 1] * expected

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted estimator as JSON holds it; see `models.serialization`."""
        fitted = {name: getattr(self, f"{name}_") for name in _FITTED}
        params = {"params": self.get_params(), "amount_score": self.amount_score_.to_dict()}
        return to_json_types(params | fitted)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> ValueBooster:
        """Return the estimator that `to_dict` wrote; it predicts the same numbers."""
        self = cls(**content["params"])
        self.amount_score_ = AmountScore.from_dict(content["amount_score"])
        for name in ("calibration", "interval_factors", "interval_edges"):
            setattr(self, f"{name}_", float_array(content[name]))
        for name in ("pieces_count", "wins_count", "amount_spread", "follows_days", "in_two_parts"):
            setattr(self, f"{name}_", content[name])
        self.held_out_ratio_ = float_or_nan(content["held_out_ratio"])
        return self

    def _select_settings(self, wins: Wins, won_at: NDArray) -> tuple[Settings, NDArray[np.intp], FloatArray]:
        """Choose by held-out wins whether time and zeros matter; also returns their rows, and their forecasts."""
        settings = Settings(
            self.trees, self.leaves, self.learning_rate, self.tweedie_power, self.random_state or 0, self.threads or 0
        )
        rows, forecast = self._held_out(wins, won_at, settings)
        if not wins.weight[rows] @ wins.amount[rows] > 0:
            return settings, rows, forecast
        if wins.weight @ (wins.amount <= 0) >= _ZEROS_LEAST * wins.weight.sum():
            apart = replace(settings, in_two_parts=True)
            _, by_parts = self._held_out(wins, won_at, apart)
            if self._is_better(by_parts, forecast, wins, rows):
                settings, forecast = apart, by_parts
        timeless = replace(settings, by_days=False)
        _, without_days = self._held_out(wins, won_at, timeless)
        if not self._is_better(forecast, without_days, wins, rows):
            settings, forecast = timeless, without_days
        return settings, rows, forecast

    def _is_better(self, richer: FloatArray, plain: FloatArray, wins: Wins, rows: NDArray[np.intp]) -> bool:
        """Whether held-out wins lie nearer to the richer forecast, by more than a standard error of the difference.

        Measured by Tweedie deviance, once the total of each forecast is right.
        """
        actual, share, power = np.maximum(wins.amount[rows], 0.0), wins.weight[rows], self.tweedie_power
        unit = share @ actual / share.sum()

        def deviance(forecast: FloatArray) -> FloatArray:
            mean = np.exp(forecast + _level(forecast, actual, share)) / unit
            return mean ** (2 - power) / (2 - power) - actual / unit * mean ** (1 - power) / (1 - power)

        gain = np.bincount(wins.lead[rows], share * (deviance(plain) - deviance(richer)))
        return bool(gain.sum() > np.sqrt((gain**2).sum()))

    def _held_out(self, wins: Wins, won_at: NDArray, settings: Settings) -> tuple[NDArray[np.intp], FloatArray]:
        """Rows that were forecast by wins before theirs, and the scores they got, each on its model's own level."""
        order = np.lexsort((wins.lead, won_at))
        first_place = np.full(self.wins_count_, len(order))
        np.minimum.at(first_place, wins.lead[order], np.arange(len(order)))
        block = (np.argsort(np.argsort(first_place)) * _BLOCKS // self.wins_count_)[wins.lead]
        rows, scores = [], []
        for later in range(2, _BLOCKS):
            past, now = wins.take(block < later), np.flatnonzero(block == later)
            if len(past.amount) == 0 or len(now) == 0 or past.weight @ past.amount <= 0:
                continue
            earlier = fit_amount_score(past, self.pieces_count_, settings)
            level = _level(earlier.scores(past.X, past.piece), past.amount, past.weight)
            rows.append(now)
            scores.append(earlier.scores(wins.X.iloc[now], wins.piece[now]) + level)
        if not rows:
            return np.empty(0, dtype=np.intp), np.empty(0)
        return np.concatenate(rows), np.concatenate(scores)

    def _calibrate(self, score: FloatArray, wins: Wins, rows: NDArray[np.intp], forecast: FloatArray) -> None:
        """Set level and slope, and how far amounts lie from their expectation, by the held-out wins."""
        amount, weight = wins.amount, wins.weight
        actual, share = amount[rows], weight[rows]
        slope, drift = 0.0, 0.0
        self.held_out_ratio_ = float("nan")
        if len(rows) and share @ actual > 0:
            middle = share @ forecast / share.sum()
            slope, error = _slope(forecast - middle, actual, share)
            slope = float(np.clip(1.0 + (slope - 1.0) / (1.0 + (error / _SLOPE_SD) ** 2), 0.0, 1.0))
            flat = np.exp(middle + slope * (forecast - middle))
            expected = flat * (share @ np.exp(forecast)) / (share @ flat)
            ratio = (share @ actual) / (share @ expected)
            self.held_out_ratio_ = float(1.0 / ratio)
            # The sum hangs on its large deals. One deal more, off by its own size: the few held-out ones there may be
            # seldom show how they scatter.
            off = np.bincount(wins.lead[rows], share * (actual - ratio * expected))
            noise = (off @ off + (share @ (ratio * expected) ** 2) / share.sum()) / (share @ actual) ** 2
            drift = float(np.log(ratio) * _LEVEL_SD**2 / (_LEVEL_SD**2 + noise))
            expected *= np.exp(drift)
        else:
            actual, share = amount, weight
            expected = np.full(len(amount), weight @ amount / weight.sum())
        self.calibration_ = np.array([_level(slope * score, amount, weight) + drift, slope])
        self.amount_spread_ = max(1.0, float((share @ actual**2) / (share @ expected**2)))
        self._set_intervals(actual / expected, expected, share)

    def _set_intervals(self, residual: FloatArray, expected: FloatArray, share: FloatArray) -> None:
        """Take the quantiles of amount ÷ expected amount, by segments of expected amounts."""
        segments = int(np.clip(share.sum() // _WINS_A_SEGMENT, 1, _SEGMENTS))
        edges = [quantile(expected, share, k / segments) for k in range(1, segments)]
        self.interval_edges_ = np.unique(np.array(edges, dtype=float))
        segment = np.searchsorted(self.interval_edges_, expected)
        factors = []
        for k in range(len(self.interval_edges_) + 1):
            mine = segment == k if (segment == k).any() else np.ones(len(segment), dtype=bool)
            leads = max(share[mine].sum(), 1.0)
            levels = np.floor(_INTERVAL[0] * (leads + 1)) / leads, np.ceil(_INTERVAL[1] * (leads + 1)) / leads
            factors.append([quantile(residual[mine], share[mine], min(level, 1.0)) for level in levels])
        self.interval_factors_ = np.array(factors)
        if share.sum() < _WINS_AN_INTERVAL:  # so few hold less than 80% between their least and their most
            low, high = self.interval_factors_.T
            self.interval_factors_ = np.column_stack([np.minimum(low, _WIDE[0]), np.maximum(high, _WIDE[1])])


def _level(score: FloatArray, amount: FloatArray, weight: FloatArray) -> float:
    """Return what must be added to scores so that expected amounts add up to the actual ones."""
    return float(np.log(weight @ amount) - np.log(weight @ np.exp(score)))


def _slope(score: FloatArray, amount: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Quasi-Poisson regression log E[amount] = a + b · score: b and its standard error, robust to any variance.

    A pseudo-observation keeps b finite where scores hardly differ, and its error large.
    """
    design = np.column_stack([np.ones_like(score), score])
    amount = amount / (weight @ amount / weight.sum())
    beta = np.zeros(2)
    prior = np.diag([1e-6, 1e-2])
    for _ in range(50):
        mean = np.exp(np.clip(design @ beta, -30, 30))
        hessian = (design * (weight * mean)[:, None]).T @ design + prior
        step = np.linalg.solve(hessian, design.T @ (weight * (amount - mean)) - prior @ beta)
        beta += np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    # Snapshots of one lead share its amount: their weights add up to one, so the lead counts once, not n times.
    inverse = np.linalg.inv(hessian)
    meat = (design * (weight * (amount - mean) ** 2)[:, None]).T @ design + prior
    return float(beta[1]), float(np.sqrt((inverse @ meat @ inverse)[1, 1]))
