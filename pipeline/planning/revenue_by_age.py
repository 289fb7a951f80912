"""What a lead brings within so many days of a stage, by segment: competing hazards by age, as seen lately.

Of the episodes at a stage, the time at risk and the wins and losses of the last year are counted by age, as a life
table counts deaths: who began earlier enters at the age that it had then, who is still open leaves at the age that it
has. So young and old leads alike say what they know, and the level is that of the last year. A segment's wins and
losses are those of all leads times one factor each, drawn towards 1 (a gamma prior worth `PRIOR_WINS` events); the same
for its amounts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

AGE_EDGES_DAYS = np.array(
    [0, 1, 3, 7, 14, 21, 30, 45, 60, 75, 90, 120, 150, 180, 240, 300, 365, 450, 540, 730, 1095, 1460, 2190], dtype=float
)
WINDOW_DAYS, WINS_ENOUGH, PRIOR_WINS = 365.0, 60, 10.0


@dataclass(frozen=True)
class RevenueByAge:
    """Chances and money by days since the stage.

    Parameters
    ----------
    won, lost : ndarray of shape (n_segments, n_ages)
        Events a day, by age.
    amount : ndarray of shape (n_segments, n_ages)
        Expected amount of a win at that age.
    spread : float
        Mean of (amount ÷ expected amount)²; 1: no spread.
    wins_count : int
        Wins that it rests on.
    longest_days : float
        Up to which age anybody was watched.
    """

    won: FloatArray
    lost: FloatArray
    amount: FloatArray
    spread: float
    wins_count: int
    longest_days: float

    def by(self, days: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give the chance to have won, and the money expected, by so many days: (n_days, n_segments) each."""
        widths = np.diff(AGE_EDGES_DAYS)
        total = self.won + self.lost
        with np.errstate(invalid="ignore", divide="ignore"):
            ended = np.where(total > 0, -np.expm1(-total * widths) / total, widths)
        open_at = np.exp(
            -np.concatenate([np.zeros((len(total), 1)), np.cumsum(total * widths, axis=1)[:, :-1]], axis=1)
        )
        wins = open_at * self.won * ended
        chance, money = (
            np.concatenate([np.zeros((len(total), 1)), np.cumsum(part, axis=1)], axis=1)
            for part in (wins, wins * self.amount)
        )
        days = np.clip(days, 0.0, AGE_EDGES_DAYS[-1])
        return tuple(  # type: ignore[return-value]
            np.column_stack([np.interp(days, AGE_EDGES_DAYS, row) for row in part]) for part in (chance, money)
        )


def revenue_by_age(
    began: FloatArray, ended: FloatArray, is_won: NDArray[np.bool_], is_open: NDArray[np.bool_], amount: FloatArray,
    segment: NDArray[np.intp], segments_count: int,
) -> RevenueByAge:  # fmt: skip
    """Count a life table.

    Parameters
    ----------
    began, ended : ndarray of shape (n,)
        Days before the date (so 0 is the date itself, and the past is positive) at which each episode reached the
        stage, and at which it ended or, if open, 0.
    is_won, is_open : ndarray of shape (n,)
        How it stands; neither: it ended otherwise.
    amount : ndarray of shape (n,)
        Of the won ones; NaN where nobody wrote one down: such a win counts as the mean.
    segment : ndarray of shape (n,)
        From 0.
    segments_count : int
    """
    ended = np.minimum(ended, began)  # closed before it was created: at no age
    window = WINDOW_DAYS
    while (is_won & (ended <= window)).sum() < min(WINS_ENOUGH, is_won.sum()):
        window *= 2
    enter = np.maximum(began - window, 0.0)
    leave = began - ended
    counts = (ended <= window) & (leave >= enter)
    enter, leave, segment, amount = enter[counts], leave[counts], segment[counts], amount[counts]
    won, lost = is_won[counts], ~is_won[counts] & ~is_open[counts]
    ages = len(AGE_EDGES_DAYS) - 1
    at_risk = np.zeros((segments_count, ages))
    for place in range(ages):
        low, high = AGE_EDGES_DAYS[place], AGE_EDGES_DAYS[place + 1]
        inside = np.clip(np.minimum(leave, high) - np.maximum(enter, low), 0.0, None)
        at_risk[:, place] = np.bincount(segment, inside, segments_count)
    age = np.clip(np.searchsorted(AGE_EDGES_DAYS, leave, side="left") - 1, 0, ages - 1)
    rates = [_rates(segment, age, event, at_risk) for event in (won, lost)]
    priced = won & np.isfinite(amount)
    worth, spread = _amounts(segment[priced], age[priced], amount[priced], at_risk.shape)
    return RevenueByAge(rates[0], rates[1], worth, spread, int(won.sum()), float(leave.max(initial=0.0)))


def _rates(segment: NDArray, age: NDArray, event: NDArray[np.bool_], at_risk: FloatArray) -> FloatArray:
    """Give events a day by segment and age: those of all, times a factor of each segment."""
    segments, ages = at_risk.shape
    events = np.bincount(age[event], minlength=ages)
    # Who ends at the very age of 0 was at risk for no time at all.
    common = events / np.maximum(at_risk.sum(axis=0), np.maximum(events, 1.0))
    own = np.bincount(segment[event], minlength=segments)
    expected = at_risk @ common
    return ((own + PRIOR_WINS) / (expected + PRIOR_WINS))[:, None] * common


def _amounts(segment: NDArray, age: NDArray, amount: FloatArray, shape: tuple[int, int]) -> tuple[FloatArray, float]:
    """Give the expected amount of a win by segment and age, and how amounts spread around it."""
    if not len(amount) or not amount.sum() > 0:
        return np.full(shape, np.nan), 1.0
    segments, ages = shape
    mean = amount.mean()
    count, total = (np.bincount(age, weights, ages) for weights in (None, amount))
    by_age = (total + PRIOR_WINS * mean) / (count + PRIOR_WINS)
    expected = np.bincount(segment, by_age[age], segments)
    factor = (np.bincount(segment, amount, segments) + PRIOR_WINS * mean) / (expected + PRIOR_WINS * mean)
    fitted = factor[segment] * by_age[age]
    spread = float((amount**2).sum() / (fitted**2).sum())
    return factor[:, None] * by_age[None, :], max(1.0, spread)
