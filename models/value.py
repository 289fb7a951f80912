"""What a deal is worth if it is won: expected amount given won, by the time it takes."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from models.encoding import FrameEncoder
from models.hazards import TimeGrid

FloatArray = NDArray[np.float64]

_BLOCKS = 5  # wins in time order: the first two only teach, each later one is forecast by those before it
_SLOPE_SD = 0.5  # how far from 0 a slope is believed before any deal is seen
_SLOPE_LIMIT = 1.5
_LEVEL_SD = 0.2  # how far amounts are believed to drift between learning and scoring
_CAP_SHARE = 0.99
_INTERVAL = (0.1, 0.9)


class ValueBooster(BaseEstimator):
    """Expected deal amount given that a lead is won, for each piece of the time to winning.

    Estimand: V(x, p) = E[amount | x, won in piece p of the time from ``as_of``], on the scale of the amounts, with a
    log link: V = exp(a + b · m(x, p)), m the raw score of a LightGBM booster that sees the piece as one more column.
    Learnt from all snapshots of won leads, each lead weighing one (a lead that took long has many snapshots, not more
    deals).

    The order of leads comes from a Tweedie likelihood with amounts capped at their 99th percentile, because one giant
    deal would otherwise draw a whole leaf; zeros need no second model. The level does not: wins are laid out in time,
    each later fifth is forecast by a booster that saw only those before it, and a and b come from there, on uncapped
    amounts. b is drawn towards 0 as far as these deals leave it uncertain, so that few deals, or features that say
    nothing, give the mean amount; a moves the level by the share of the held-out drift that stands out of its noise.
    The same forecasts give the 80% interval: the quantiles of amount ÷ V, with the finite-sample correction of
    conformal prediction.

    Parameters
    ----------
    trees : int, default=100
        Boosting rounds; more follows finer differences and needs more deals.
    leaves : int, default=4
        Leaves of a tree; more lets features act together.
    learning_rate : float, default=0.06
        Step of each tree; larger learns faster and noisier.
    tweedie_power : float, default=1.8
        Variance grows as mean to this power: 1 weighs money, 2 weighs relative error (and bears no zeros).
    random_state : int or None, default=None
        Seed of row and column sampling.
    threads : int or None, default=None
        Threads of LightGBM; None leaves it to LightGBM.

    Attributes
    ----------
    booster_ : lightgbm.Booster
        Its raw score is m.
    calibration_ : ndarray of shape (2,)
        a and b: the log of the expected amount is a + b · m.
    interval_factors_ : ndarray of shape (2,)
        The 10% and 90% quantiles of amount ÷ expected amount.
    encoder_ : FrameEncoder
        Turns frames into numbers, a category into the log of its amounts over the average.
    columns_ : list of str
        The original column of each design column, ``piece`` last.
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
        """Learn from snapshots of won leads.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            What each snapshot looked like.
        amount : array-like of shape (n,)
            Amount of the snapshot's lead. Amounts below 0 (refunds) count as 0 in the order and in full in the level.
        days_to_win : array-like of shape (n,)
            Days from the snapshot to winning.
        grid : TimeGrid
            Whose pieces the time to winning is cut into.
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
        lead = np.unique(np.arange(len(amount)) if groups is None else np.asarray(groups), return_inverse=True)[1]
        weight = 1.0 / np.bincount(lead)[lead]
        if len(amount) == 0 or weight @ amount <= 0:
            raise ValueError("the amounts of the won leads must add up to more than 0")
        won_at = np.arange(len(amount)) if won_at is None else np.asarray(won_at)
        self.pieces_count_ = grid.pieces_count
        self.wins_count_ = int(lead.max()) + 1
        piece = grid.bin_piece[grid.bin_of(np.asarray(days_to_win, dtype=float))]
        wins = _Wins(X, amount, weight, lead, piece)

        self.encoder_, booster, score = self._learn(wins)
        self.booster_ = lgb.Booster(model_str=booster.model_to_string())  # lets go of the training data
        self.columns_ = [*self.encoder_.columns_, "piece"]
        self._calibrate(score, wins, *self._held_out(wins, won_at))
        return self

    def design(self, X: pd.DataFrame, piece: int | NDArray[np.intp]) -> FloatArray:
        """Return what the booster sees: float64 of shape (n, columns + 1), the last column the piece."""
        return _with_piece(self.encoder_.transform(X), piece)

    def margins(self, X: pd.DataFrame) -> FloatArray:
        """Log of the expected amount, given that the lead is won in each piece.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            Leads.

        Returns
        -------
        ndarray of shape (n, pieces)
            exp of it is an amount.
        """
        design = self.design(X, 0)
        result = np.empty((len(design), self.pieces_count_))
        for piece in range(self.pieces_count_):
            design[:, -1] = piece
            result[:, piece] = self.booster_.predict(design, raw_score=True)
        return self.calibration_[0] + self.calibration_[1] * result

    def _learn(self, wins: _Wins) -> tuple[FrameEncoder, lgb.Booster, FloatArray]:
        """Learn the order of amounts; also returns the raw scores of the wins it was learnt from.

        Labels are capped, and have a mean of 1 so that the settings mean the same in any currency.
        """
        cap = max(_quantile(wins.amount, wins.weight, _CAP_SHARE), 0.0)
        label = np.clip(wins.amount, 0.0, cap)
        label /= (wins.weight @ label / wins.weight.sum()) or 1.0
        encoder = FrameEncoder(prior_outcomes=20.0, random_state=self.random_state or 0)
        encoded = encoder.fit_transform(wins.X, label[:, None], np.ones((len(label), 1)), wins.lead)
        design = _with_piece(encoded, wins.piece)
        settings = {
            "objective": "tweedie",
            "tweedie_variance_power": self.tweedie_power,
            "boost_from_average": False,
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            # With labels of mean 1 a hessian is about the number of leads: no leaf speaks for fewer than this.
            "min_sum_hessian_in_leaf": float(np.clip(wins.weight.sum() / 12, 8, 20)),
            "min_data_in_leaf": 1,
            "lambda_l2": 5.0,
            "bagging_fraction": 0.7 if len(label) >= 20 else 1.0,  # a sample of nothing is an error
            "bagging_freq": 1,
            "feature_fraction": 0.8,
            "seed": self.random_state or 0,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads or 0,
            "verbosity": -1,
        }
        booster = lgb.train(settings, lgb.Dataset(design, label, weight=wins.weight), self.trees)
        return encoder, booster, np.asarray(booster.predict(design, raw_score=True))

    def _held_out(self, wins: _Wins, won_at: NDArray) -> tuple[NDArray[np.intp], FloatArray]:
        """Rows that were forecast by wins before theirs, and the scores they got, each on its booster's own level."""
        order = np.lexsort((wins.lead, won_at))
        first_place = np.full(self.wins_count_, len(order))
        np.minimum.at(first_place, wins.lead[order], np.arange(len(order)))
        block = (np.argsort(np.argsort(first_place)) * _BLOCKS // self.wins_count_)[wins.lead]
        rows, scores = [], []
        for later in range(2, _BLOCKS):
            past, now = wins.take(block < later), np.flatnonzero(block == later)
            if len(past.amount) == 0 or len(now) == 0 or past.weight @ past.amount <= 0:
                continue
            encoder, booster, score = self._learn(past)
            design = _with_piece(encoder.transform(wins.X.iloc[now]), wins.piece[now])
            rows.append(now)
            scores.append(np.asarray(booster.predict(design, raw_score=True)) + _level(score, past.amount, past.weight))
        if not rows:
            return np.empty(0, dtype=np.intp), np.empty(0)
        return np.concatenate(rows), np.concatenate(scores)

    def _calibrate(self, score: FloatArray, wins: _Wins, rows: NDArray[np.intp], forecast: FloatArray) -> None:
        amount, weight = wins.amount, wins.weight
        actual, share = amount[rows], weight[rows]
        slope, drift = 0.0, 0.0
        self.held_out_ratio_ = float("nan")
        if len(rows) and share @ actual > 0:
            middle = share @ forecast / share.sum()
            slope, error = _slope(forecast - middle, actual, share)
            slope = float(np.clip(slope / (1.0 + (error / _SLOPE_SD) ** 2), 0.0, _SLOPE_LIMIT))
            flat = np.exp(middle + slope * (forecast - middle))
            expected = flat * (share @ np.exp(forecast)) / (share @ flat)
            ratio = (share @ actual) / (share @ expected)
            self.held_out_ratio_ = float(1.0 / ratio)
            # One deal more, off by its own size: the few held-out deals there may be seldom show how they scatter.
            noise = (share @ (actual / expected / ratio - 1.0) ** 2 + 1.0) / share.sum() ** 2
            drift = float(np.log(ratio) * _LEVEL_SD**2 / (_LEVEL_SD**2 + noise))
            residual = actual / (expected * np.exp(drift))
        else:
            residual, share = amount / (weight @ amount / weight.sum()), weight
        self.calibration_ = np.array([_level(slope * score, amount, weight) + drift, slope])
        leads = max(share.sum(), 1.0)
        levels = np.floor(_INTERVAL[0] * (leads + 1)) / leads, np.ceil(_INTERVAL[1] * (leads + 1)) / leads
        self.interval_factors_ = np.array([_quantile(residual, share, min(level, 1.0)) for level in levels])


@dataclass(frozen=True)
class _Wins:
    """Snapshots of won leads; a lead's weights add up to one."""

    X: pd.DataFrame
    amount: FloatArray
    weight: FloatArray
    lead: NDArray[np.intp]
    piece: NDArray[np.intp]

    def take(self, rows: NDArray[np.bool_]) -> _Wins:
        """Return some of them, leads numbered from 0 again."""
        lead = np.unique(self.lead[rows], return_inverse=True)[1]
        return _Wins(self.X[rows], self.amount[rows], self.weight[rows], lead, self.piece[rows])


def _with_piece(encoded: FloatArray, piece: int | NDArray[np.intp]) -> FloatArray:
    return np.column_stack([encoded, np.broadcast_to(np.asarray(piece, dtype=float), len(encoded))])


def _level(score: FloatArray, amount: FloatArray, weight: FloatArray) -> float:
    """Return what must be added to scores so that expected amounts add up to the actual ones."""
    return float(np.log(weight @ amount) - np.log(weight @ np.exp(score)))


def _quantile(values: FloatArray, weight: FloatArray, level: float) -> float:
    """Smallest value with at least this share of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    return float(values[order[min(np.searchsorted(reached, level * reached[-1] - 1e-9), len(order) - 1)]])


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
