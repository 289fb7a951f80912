"""Held-out exposure: what an earlier model may know, and the later outcomes that it is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.exposure import Exposure

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FOLDS = 4
_YEAR_DAYS, _YEAR_PERIODS = 365.0, 2
_EARLIER_SHARE = 0.3  # of the outcomes that must lie before the last year, for its halves to be held out in turn
_PERIODS = 2  # recent ones, each with a tenth of the outcomes, where history is shorter
_PERIOD_SHARE = 0.1


@dataclass(frozen=True)
class HeldOut:
    """A split of exposure into what a model is trained on and what it has not seen.

    Parameters
    ----------
    train_rows, test_rows : ndarray of bool, shape (n,)
        Rows with exposure on either side of the split.
    train, test : Exposure
        Of these rows: as known at the split, and from there on.
    period : int
        The period of calendar time of `test`, 0 ….
    """

    train_rows: BoolArray
    train: Exposure
    test_rows: BoolArray
    test: Exposure
    period: int


def held_out_periods(exposure: Exposure, lead: NDArray[np.intp], seed: int) -> list[HeldOut]:
    """Split exposure in time order where dates are known, else by leads.

    Parameters
    ----------
    exposure : Exposure
        All of it.
    lead : ndarray of int, shape (n,)
        The lead of each row, 0 … leads − 1.
    seed : int
        Of the leads of each fold, where there are no dates.

    Returns
    -------
    list of HeldOut
        One per period, or one per fold, all of period 0.
    """
    if exposure.as_of_days is not None:
        bounds = enumerate(pairwise(period_bounds(exposure)))
        return [HeldOut(*exposure.until(day), *exposure.between(day, end), period) for period, (day, end) in bounds]
    fold = np.random.default_rng(seed).permutation(np.arange(lead.max() + 1) % FOLDS)[lead]
    return [HeldOut(fold != f, exposure.take(fold != f), fold == f, exposure.take(fold == f), 0) for f in range(FOLDS)]


def period_bounds(exposure: Exposure) -> FloatArray:
    """Return the days that bound the held-out periods: the last year in halves where history allows.

    A whole year, because a level that is right in spring alone is wrong by the season in summer.

    Parameters
    ----------
    exposure : Exposure
        With ``as_of_days``.

    Returns
    -------
    ndarray of shape (periods + 1,)
        Increasing days on the scale of ``as_of_days``; each period lies between two of them.
    """
    assert exposure.as_of_days is not None
    ended = exposure.as_of_days + exposure.stop_days
    happened = ended[exposure.event > 0]
    last = ended.max()
    if len(happened) and np.mean(happened < last - _YEAR_DAYS) >= _EARLIER_SHARE:
        return np.linspace(last - _YEAR_DAYS, last, _YEAR_PERIODS + 1)
    shares = 1 - _PERIOD_SHARE * np.arange(_PERIODS, -1, -1)
    days = np.quantile(happened if len(happened) else ended, shares)
    return np.append(days[:-1], last)
