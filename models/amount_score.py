"""Which deals are larger: trees and lines that put amounts in order, before their level is known."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from models.encoding import FrameEncoder
from models.linear import Lines, blend
from models.risk_set import RiskSet
from models.serialization import booster_from_text, booster_text

FloatArray = NDArray[np.float64]

_LINE_SHARE = 0.5
_CAP_SHARE = 0.99


@dataclass(frozen=True)
class Wins:
    """Snapshots of won leads; a lead's weights add up to one.

    Parameters
    ----------
    X : DataFrame of shape (n, columns)
    amount, weight : ndarray of shape (n,)
    lead, piece : ndarray of int, shape (n,)
        Its lead, 0 …, and the piece of time in which it was won.
    """

    X: pd.DataFrame
    amount: FloatArray
    weight: FloatArray
    lead: NDArray[np.intp]
    piece: NDArray[np.intp]

    def take(self, rows: NDArray) -> Wins:
        """Return some of them, leads numbered from 0 again."""
        lead = np.unique(self.lead[rows], return_inverse=True)[1]
        return Wins(self.X[rows], self.amount[rows], self.weight[rows], lead, self.piece[rows])


@dataclass(frozen=True)
class Settings:
    """How amounts are fitted.

    Parameters
    ----------
    trees, leaves, learning_rate, tweedie_power
        As in `models.deal_value.ValueBooster`.
    seed, threads : int
        Of LightGBM; 0 threads: it decides.
    by_days : bool
        Whether amounts may depend on the time to winning.
    in_two_parts : bool
        Whether the chance of any amount, and its size, are fitted separately.
    """

    trees: int
    leaves: int
    learning_rate: float
    tweedie_power: float
    seed: int
    threads: int
    by_days: bool = True
    in_two_parts: bool = False


@dataclass(frozen=True)
class AmountScore:
    """A score of each lead in each piece of time: a blend of trees and lines.

    Trees find steps and interactions, lines follow a slope with a tenth of the deals; their mean is nearer to the truth
    than either.

    Parameters
    ----------
    encoder : FrameEncoder
        Turns frames into numbers.
    booster : lightgbm.Booster
        Sees the encoded columns and, last, the piece.
    lines : Lines
        On the encoded columns.
    line_share : float
        Share of the lines, 0 to 1.
    """

    encoder: FrameEncoder
    booster: lgb.Booster
    lines: Lines
    line_share: float = _LINE_SHARE

    def scores(self, X: pd.DataFrame, piece: NDArray[np.intp]) -> FloatArray:
        """Return each row's score in a piece of its own; shape (n,)."""
        encoded = self.encoder.transform(X)
        trees = np.asarray(self.booster.predict(with_piece(encoded, piece), raw_score=True))
        return blend(trees, self.lines.margins(encoded)[np.arange(len(encoded)), piece], self.line_share)

    def in_pieces(self, encoded: FloatArray, threads: int | None = None) -> FloatArray:
        """Return each encoded row's score in every piece; shape (n, pieces)."""
        lines = self.lines.margins(encoded)
        trees = [
            self.booster.predict(with_piece(encoded, piece), raw_score=True, num_threads=threads or 0)
            for piece in range(lines.shape[1])
        ]
        return blend(np.column_stack(trees), lines, self.line_share)

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted score as JSON holds it; see `models.serialization`."""
        return {
            "encoder": self.encoder.to_dict(),
            "booster": booster_text(self.booster),
            "lines": self.lines.to_dict(),
            "line_share": self.line_share,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> AmountScore:
        """Return the score that `to_dict` wrote."""
        return cls(
            FrameEncoder.from_dict(content["encoder"]),
            booster_from_text(content["booster"]),
            Lines.from_dict(content["lines"]),
            content["line_share"],
        )


def fit_amount_score(wins: Wins, pieces_count: int, settings: Settings) -> AmountScore:
    """Fit the order of amounts.

    Labels are capped at their 99th percentile, because one giant deal would otherwise move a whole leaf, and have a
    mean of 1, so that the settings mean the same in any currency. Where nearly all are zero, nothing is capped.

    Parameters
    ----------
    wins : Wins
        Snapshots of won leads, at least one amount above 0.
    pieces_count : int
        Pieces of time.
    settings : Settings
        How.

    Returns
    -------
    AmountScore
    """
    cap = quantile(wins.amount, wins.weight, _CAP_SHARE)
    cap = cap if cap > 0 else float(wins.amount.max())
    label = np.clip(wins.amount, 0.0, cap)
    label /= (wins.weight @ label / wins.weight.sum()) or 1.0
    encoder = FrameEncoder(prior_outcomes=20.0, random_state=settings.seed)
    encoded = encoder.fit_transform(wins.X, label[:, None], np.ones((len(label), 1)), wins.lead)
    piece = wins.piece if settings.by_days else np.zeros_like(wins.piece)
    design = with_piece(encoded, piece)
    booster = _trees(design, label, wins.weight, settings)
    # With these weights a Poisson regression weighs relative errors as the Tweedie likelihood of the trees does.
    score = np.clip(np.asarray(booster.predict(design, raw_score=True)), -5.0, 5.0)
    weight = wins.weight * np.exp((1.0 - settings.tweedie_power) * score)
    lines = _lines(design, label, weight, pieces_count, settings.seed)
    return AmountScore(encoder, lgb.Booster(model_str=booster.model_to_string()), lines)  # lets go of the training data


def _trees(design: FloatArray, label: FloatArray, weight: FloatArray, settings: Settings) -> lgb.Booster:
    """Boost amounts by a Tweedie likelihood; or in two parts, whose scores add up: any amount, and how much then."""

    def boosted(
        rows: NDArray, label: FloatArray, before: lgb.Booster | None = None, **objective: object
    ) -> lgb.Booster:
        leads = weight[rows].sum()
        params = {
            "boost_from_average": False,
            "num_leaves": settings.leaves,
            "learning_rate": settings.learning_rate,
            # With labels of mean 1 a hessian is about the number of leads: no leaf speaks for fewer than this.
            "min_sum_hessian_in_leaf": float(np.clip(leads / 12, 8, 20)),
            "min_data_in_leaf": 1,
            "lambda_l2": 5.0,
            "bagging_fraction": 0.7 if len(rows) >= 20 else 1.0,  # a sample of nothing is an error
            "bagging_freq": 1,
            "feature_fraction": 0.8,
            "seed": settings.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": settings.threads,
            "verbosity": -1,
            **objective,
        }
        data = lgb.Dataset(design[rows], label[rows], weight=weight[rows], free_raw_data=False)
        return lgb.train(params, data, settings.trees, init_model=before)

    everyone, paid = np.arange(len(label)), np.flatnonzero(label > 0)
    if not settings.in_two_parts:
        return boosted(everyone, label, objective="tweedie", tweedie_variance_power=settings.tweedie_power)
    any_amount = (label > 0) / (weight[paid].sum() / weight.sum())
    chance = boosted(everyone, any_amount, objective="poisson")
    # Further trees start from these scores, so the label for them is what the scores leave of the amount.
    size = label * np.exp(np.asarray(chance.predict(design, raw_score=True)))
    size /= weight[paid] @ label[paid] / weight[paid].sum()
    return boosted(paid, size, before=chance, objective="gamma")


def _lines(design: FloatArray, label: FloatArray, weight: FloatArray, pieces_count: int, seed: int) -> Lines:
    """Fit lines with the piece as a column, and turn its line into a constant for each piece."""
    count, columns = design.shape
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # it goes on with another solver
        risk = RiskSet(np.arange(count), np.zeros(count, dtype=np.intp), label, np.ones(count), weight)
        fitted = Lines.fit(design, weight, risk, 1, np.zeros(columns, dtype=bool), seed)
    empty = np.full((pieces_count, columns), np.nan)
    empty[:, -1] = np.arange(pieces_count)
    ((_, parts),) = fitted.parts(empty)
    return replace(
        fitted,
        centre=fitted.centre[:-1],
        scale=fitted.scale[:-1],
        slope=np.tile(fitted.slope[:, :-1], (pieces_count, 1)),
        missing_effect=np.tile(fitted.missing_effect[:, :-1], (pieces_count, 1)),
        constant=fitted.constant + parts[:, -1],
    )


def with_piece(encoded: FloatArray, piece: int | NDArray[np.intp]) -> FloatArray:
    """Return what the booster sees: the encoded columns and, last, the piece; shape (n, columns + 1)."""
    return np.column_stack([encoded, np.broadcast_to(np.asarray(piece, dtype=float), len(encoded))])


def quantile(values: FloatArray, weight: FloatArray, level: float) -> float:
    """Return the smallest value with at least this share of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    return float(values[order[min(np.searchsorted(reached, level * reached[-1] - 1e-9), len(order) - 1)]])
