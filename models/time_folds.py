"""Folds in time order: train on what was known on a day, test on leads open in the period after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.exposure import calendar_days
from models.metrics import won_within
from models.outcome_codes import WON

FloatArray = NDArray[np.float64]
_CHANCE_FLOOR = 1e-6


@dataclass(frozen=True)
class Fold:
    """A day in the past, and what is known on both sides of it.

    Parameters
    ----------
    day : float
        Days since 1970.
    train : ndarray of int
        Rows seen before the day.
    y_train : data frame
        Their labels as known on the day: what happened after it had not happened yet.
    test : ndarray of int
        Rows seen from the day on, for a horizon, all of them followed for a horizon.
    """

    day: float
    train: NDArray[np.intp]
    y_train: pd.DataFrame
    test: NDArray[np.intp]


def time_folds(y: pd.DataFrame, horizon_days: float, count: int = 3, wins_least: int = 50) -> list[Fold]:
    """Cut training snapshots into folds in time order, a horizon apart, the last one ending with what is known.

    Parameters
    ----------
    y : data frame of shape (n, …)
        ``event``, ``duration`` in days, ``as_of``, ``lead_id``.
    horizon_days : float
        How long each test row must have been followed, and how long rows are tested.
    count : int, default=3
        At most so many folds.
    wins_least : int, default=50
        A fold needs so many leads won before its day; it also needs wins to be tested on.

    Returns
    -------
    list of Fold
        From the oldest to the newest; fewer, or none, where the history is short.
    """
    seen = calendar_days(y["as_of"])
    duration = y["duration"].to_numpy(dtype=float)
    end = float((seen + duration).max())
    folds = []
    for back in range(count + 1, 1, -1):
        day = end - back * horizon_days
        train = np.flatnonzero(seen < day)
        test = np.flatnonzero((seen >= day) & (seen < day + horizon_days) & (seen + horizon_days <= end))
        left = day - seen[train]
        known = y.iloc[train].assign(
            event=np.where(duration[train] > left, 0, y["event"].to_numpy()[train]),
            duration=np.minimum(duration[train], left),
        )
        wins = known.loc[known["event"] == WON, "lead_id"].nunique()
        won = won_within(y["event"].to_numpy()[test], duration[test], horizon_days)[0]
        if wins >= wins_least and won.any():
            folds.append(Fold(day, train, known, test))
    return folds


def log_losses(y: pd.DataFrame, p_win: FloatArray, times: FloatArray) -> FloatArray:
    """Give each row's mean logarithmic loss of the chances to be won by each time.

    Parameters
    ----------
    y : data frame of shape (n, …)
        ``event``, ``duration`` in days.
    p_win : ndarray of shape (n, t)
        Chance to be won by each time.
    times : ndarray of shape (t,)
        Days. A row that was not followed so long does not count at that time.

    Returns
    -------
    ndarray of shape (n,)
        Lower is better; a proper score (Good 1952).
    """
    found = np.zeros(len(y))
    counted = np.zeros(len(y))
    for place, days in enumerate(times):
        won, known = won_within(y["event"], y["duration"], days)
        p = np.clip(p_win[:, place], _CHANCE_FLOOR, 1 - _CHANCE_FLOOR)
        found += np.where(known, -np.log(np.where(won, p, 1 - p)), 0.0)
        counted += known
    return found / np.maximum(counted, 1)
