"""How good a forecast is against the observed outcomes: ranking, probability, time and money."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Figure = float | FloatArray
"""One number, or one for each draw of leads."""
BoolArray = NDArray[np.bool_]

_OPEN_SHARE_FLOOR = 0.05  # no lead stands for more than twenty


def won_within(event: ArrayLike, duration: ArrayLike, horizon_days: float) -> tuple[BoolArray, BoolArray]:
    """Return which leads are won within a horizon, and of which that is known.

    Parameters
    ----------
    event : array-like of shape (n,)
        0 still open when last observed, 1 won, other numbers: ended otherwise.
    duration : array-like of shape (n,)
        Days to the end, or to the last observation.
    horizon_days : float
        Days.

    Returns
    -------
    won, known : ndarray of bool, shape (n,)
        A lead last observed open before the horizon is not known; the metrics of a horizon leave it out.

    Examples
    --------
    >>> won, known = won_within(event=[1, 1, 0, 0], duration=[20, 200, 50, 100], horizon_days=90)
    >>> won
    array([ True, False, False, False])
    >>> known
    array([ True,  True, False,  True])
    """
    event, duration = np.asarray(event), np.asarray(duration, dtype=float)
    return (event == 1) & (duration <= horizon_days), (event != 0) | (duration >= horizon_days)


def auc(won: ArrayLike, ranking: ArrayLike, weight: ArrayLike | None = None) -> Figure:
    """Estimate the chance that a won lead ranks above one that is not won: the area under the ROC curve.

    Parameters
    ----------
    won : array-like of bool, shape (n,)
        Whether it is won within the horizon.
    ranking : array-like of shape (n,)
        Higher ranks first; any scale.
    weight : array-like of shape (n,) or (draws, n), optional
        How often each lead counts; here as everywhere below.

    Returns
    -------
    float, or ndarray of shape (draws,)
        0.5 is chance; NaN where all or none are won.

    Examples
    --------
    >>> auc([True, False, True, False], [0.9, 0.8, 0.7, 0.1])
    0.75
    """
    won = np.asarray(won, dtype=bool)
    counts = _rows(weight, len(won))
    order, starts = _tied(np.asarray(ranking, dtype=float))
    if not len(order):
        return _answer(np.full(len(counts), np.nan), weight)
    counts, is_won = counts[:, order], won[order]
    above = np.add.reduceat(counts * is_won, starts, axis=1)
    other = np.add.reduceat(counts * ~is_won, starts, axis=1)
    below = other.cumsum(axis=1) - other / 2
    return _answer(_ratio((above * below).sum(axis=1), above.sum(axis=1) * other.sum(axis=1)), weight)


def brier(won: ArrayLike, p_win: ArrayLike, weight: ArrayLike | None = None) -> Figure:
    """Estimate the mean squared distance of the chances from the outcomes; lower is better (Brier 1950).

    Examples
    --------
    >>> round(brier([True, False], [0.8, 0.3]), 3)
    0.065
    """
    return mean((np.asarray(p_win, dtype=float) - np.asarray(won, dtype=float)) ** 2, weight)


def mean(values: ArrayLike, weight: ArrayLike | None = None) -> Figure:
    """Return the mean over leads of values of shape (n,); NaN without leads."""
    values = np.asarray(values, dtype=float)
    counts = _rows(weight, len(values))
    return _answer(_ratio(counts @ values, counts.sum(axis=1)), weight)


def calibration_curve(
    won: ArrayLike, p_win: ArrayLike, groups: int = 10, weight: ArrayLike | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Compare chances with outcomes, in groups of equally many leads by their chance.

    Returns
    -------
    p_mean, observed, count : ndarray of shape (groups,) or (draws, groups)
        Mean chance, share won and leads of each group, from the lowest chances to the highest. The groups are those of
        the leads as they are; draws only weigh them.

    Examples
    --------
    >>> p_mean, observed, count = calibration_curve([False, False, True, True], [0.1, 0.2, 0.7, 0.9], groups=2)
    >>> p_mean.round(2), observed, count
    (array([0.15, 0.8 ]), array([0., 1.]), array([2., 2.]))
    """
    won, p_win = np.asarray(won, dtype=float), np.asarray(p_win, dtype=float)
    order = np.argsort(p_win, kind="stable")
    sizes = [len(part) for part in np.array_split(order, groups) if len(part)]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    counts = _rows(weight, len(won))[:, order]
    size = np.add.reduceat(counts, starts, axis=1)
    found = [_ratio(np.add.reduceat(counts * of[order], starts, axis=1), size) for of in (p_win, won)]
    p_mean, observed, count = (_answer(part, weight) for part in (*found, size))
    return p_mean, observed, count


def ece(won: ArrayLike, p_win: ArrayLike, groups: int = 10, weight: ArrayLike | None = None) -> Figure:
    """Estimate the expected calibration error: the mean distance of chance and share won over `calibration_curve`.

    Examples
    --------
    >>> round(ece([False, False, True, True], [0.1, 0.2, 0.7, 0.9], groups=2), 3)
    0.175
    """
    counts = _rows(weight, len(np.asarray(won)))
    if not counts.shape[1]:
        return _answer(np.full(len(counts), np.nan), weight)
    p_mean, observed, count = calibration_curve(won, p_win, groups, counts)
    distance = np.nan_to_num(np.abs(p_mean - observed))
    return _answer(_ratio((count * distance).sum(axis=1), count.sum(axis=1)), weight)


def capture_curve(
    value: ArrayLike, ranking: ArrayLike, shares: ArrayLike, weight: ArrayLike | None = None
) -> FloatArray:
    """Return which share of a value lies in the top shares of a ranking.

    Parameters
    ----------
    value : array-like of shape (n,)
        The value of each lead: revenue, 1 for won, or a known truth.
    ranking : array-like of shape (n,)
        Higher ranks first; tied leads count with their mean.
    shares : array-like of shape (s,)
        Top shares of the leads, 0 to 1.

    Returns
    -------
    ndarray of shape (s,) or (draws, s)
        Shares of the total value; NaN where there is none.

    Examples
    --------
    >>> capture_curve(value=[100.0, 0.0, 300.0, 0.0], ranking=[0.9, 0.5, 0.8, 0.1], shares=[0.25, 0.5])
    array([0.25, 1.  ])
    """
    value, shares = np.asarray(value, dtype=float), np.asarray(shares, dtype=float)
    counts = _rows(weight, len(value))
    found = np.full((len(counts), len(shares)), np.nan)
    order, starts = _tied(-np.asarray(ranking, dtype=float))
    if len(order):
        counts = counts[:, order]
        none = np.zeros((len(counts), 1))
        leads = np.hstack([none, np.add.reduceat(counts, starts, axis=1).cumsum(axis=1)])
        so_far = np.hstack([none, np.add.reduceat(counts * value[order], starts, axis=1).cumsum(axis=1)])
        for draw in np.flatnonzero(so_far[:, -1] > 0):
            found[draw] = np.interp(shares * leads[draw, -1], leads[draw], so_far[draw]) / so_far[draw, -1]
    return _answer(found, weight)


def capture_at(value: ArrayLike, ranking: ArrayLike, share: float, weight: ArrayLike | None = None) -> Figure:
    """Return which share of a value lies in the top share of a ranking; see `capture_curve`."""
    found = capture_curve(value, ranking, [share], weight)[..., 0]
    return found if found.ndim else float(found)


def forecast_ratio(expected: ArrayLike, actual: ArrayLike, weight: ArrayLike | None = None) -> Figure:
    """Return expected ÷ actual in total: 1.2 is a forecast that is a fifth too high; NaN where the actual total is 0.

    Examples
    --------
    >>> forecast_ratio(expected=[60.0, 60.0], actual=[100.0, 0.0])
    1.2
    """
    expected, actual = np.asarray(expected, dtype=float), np.asarray(actual, dtype=float)
    counts = _rows(weight, len(expected))
    return _answer(_ratio(counts @ expected, counts @ actual), weight)


def interval_coverage(amount: ArrayLike, low: ArrayLike, high: ArrayLike, weight: ArrayLike | None = None) -> Figure:
    """Return the share of amounts that lie in their interval, ends included; NaN without amounts.

    Examples
    --------
    >>> interval_coverage(amount=[100.0, 500.0], low=[80.0, 90.0], high=[200.0, 210.0])
    0.5
    """
    amount = np.asarray(amount, dtype=float)
    return mean((np.asarray(low, dtype=float) <= amount) & (amount <= np.asarray(high, dtype=float)), weight)


def open_share(event: ArrayLike, duration: ArrayLike, times: ArrayLike, before: bool = False) -> FloatArray:
    """Estimate the chance not to be censored yet at given times (Kaplan and Meier 1958, of the censoring).

    Parameters
    ----------
    event, duration : array-like of shape (n,)
        Event 0 is censored.
    times : array-like of shape (t,)
        Days.
    before : bool
        The chance just before each time, instead of at it.

    Returns
    -------
    ndarray of shape (t,)
    """
    event, duration = np.asarray(event), np.asarray(duration, dtype=float)
    at, place = np.unique(duration, return_inverse=True)
    censored = np.bincount(place, weights=event == 0)
    ended = np.bincount(place, weights=event != 0)
    at_risk = len(duration) - np.concatenate([[0], np.cumsum(censored + ended)[:-1]])
    # Whoever ends at an instant was not at risk of being censored at it.
    safe = np.maximum(at_risk - ended, 1)
    share = np.concatenate([[1.0], np.cumprod(1 - censored / safe)])
    return share[np.searchsorted(at, np.asarray(times, dtype=float), side="left" if before else "right")]


def integrated_brier_score(
    event: ArrayLike,
    duration: ArrayLike,
    incidence: ArrayLike,
    times: ArrayLike,
    outcome: int,
    reference: tuple[ArrayLike, ArrayLike] | None = None,
) -> float:
    """Estimate the mean squared distance of an outcome's cumulative incidence from what is observed, over time.

    The mean of `integrated_brier_scores` over the leads; lower is better.

    Examples
    --------
    Two leads, the first won after 30 days; a forecast of no chance at all is off for the last 60 of 90 days.

    >>> incidence = [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    >>> score = integrated_brier_score([1, 0], [30, 120], incidence, times=[0, 30, 60, 90], outcome=1)
    >>> round(score, 3)
    0.417
    """
    return float(integrated_brier_scores(event, duration, incidence, times, outcome, reference).mean())


def integrated_brier_scores(
    event: ArrayLike,
    duration: ArrayLike,
    incidence: ArrayLike,
    times: ArrayLike,
    outcome: int,
    reference: tuple[ArrayLike, ArrayLike] | None = None,
) -> FloatArray:
    """Return each lead's part in the integrated Brier score of an outcome.

    Leads censored before a time do not count at it; the others are weighted by the inverse of the chance to have been
    observed for so long, at most twentyfold (Graf et al. 1999; Gerds and Schumacher 2006; Kretowska 2018 for competing
    outcomes).

    Parameters
    ----------
    event, duration : array-like of shape (n,)
        What is observed; event 0 is censored.
    incidence : array-like of shape (n, t)
        Forecast chance to have ended in `outcome` by each time.
    times : array-like of shape (t,)
        Days, rising.
    outcome : int
        Which event.
    reference : pair of array-like, optional
        ``event``, ``duration`` of the leads that censoring is estimated from; by default those scored.

    Returns
    -------
    ndarray of shape (n,)
        Their mean is the score.
    """
    event, duration = np.asarray(event)[:, None], np.asarray(duration, dtype=float)[:, None]
    times = np.asarray(times, dtype=float)
    seen_event, seen_duration = reference if reference is not None else (event[:, 0], duration[:, 0])
    at_end = np.maximum(open_share(seen_event, seen_duration, duration[:, 0], before=True)[:, None], _OPEN_SHARE_FLOOR)
    at_time = np.maximum(open_share(seen_event, seen_duration, times)[None, :], _OPEN_SHARE_FLOOR)
    ended = (duration <= times) & (event != 0)
    weight = np.where(ended, 1 / at_end, np.where(duration > times, 1 / at_time, 0.0))
    distance = ((duration <= times) & (event == outcome)) - np.asarray(incidence, dtype=float)
    return np.trapezoid(weight * distance**2, times, axis=1) / (times[-1] - times[0])


def concordance(
    event: ArrayLike, duration: ArrayLike, risk: ArrayLike, outcome: int = 1, weight: ArrayLike | None = None
) -> Figure:
    """Estimate the chance that of two leads the one that is won first has the higher risk.

    A pair counts if one lead is won while the other is still observed and open, or the other has ended otherwise
    (it will never be won): Wolbers et al. 2014, for competing outcomes; without those, Harrell's C. Beyond 1000 won
    leads and 10,000 leads, so many are taken evenly.

    Parameters
    ----------
    event, duration : array-like of shape (n,)
        What is observed; event 0 is censored.
    risk : array-like of shape (n,)
        Higher: expected sooner. Ties count half.
    outcome : int, default=1
        Which event.

    Returns
    -------
    float, or ndarray of shape (draws,)
        0.5 is chance; NaN where no pair can be compared.

    Examples
    --------
    >>> concordance(event=[1, 1, 0], duration=[10, 40, 90], risk=[0.9, 0.2, 0.3])
    0.6666666666666666
    """
    event, duration = np.asarray(event), np.asarray(duration, dtype=float)
    risk = np.asarray(risk, dtype=float)
    counts = _rows(weight, len(event))
    first, other = _evenly(np.flatnonzero(event == outcome), 1_000), _evenly(np.arange(len(event)), 10_000)
    right, pairs = np.zeros(len(counts)), np.zeros(len(counts))
    gone = (event[other] != outcome) & (event[other] != 0)
    for part in np.array_split(first, max(1, len(first) // 100)):
        days = duration[part][:, None]
        later = (duration[other] > days) | gone | ((duration[other] == days) & (event[other] == 0))
        above = (risk[other] < risk[part][:, None]) + 0.5 * (risk[other] == risk[part][:, None])
        pairs += ((counts[:, part] @ later) * counts[:, other]).sum(axis=1)
        right += ((counts[:, part] @ (later * above)) * counts[:, other]).sum(axis=1)
    return _answer(_ratio(right, pairs), weight)


def median(values: ArrayLike, weight: ArrayLike | None = None) -> Figure:
    """Return the lower median over leads of values of shape (n,); NaN without leads."""
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, kind="stable")
    reached = _rows(weight, len(values))[:, order].cumsum(axis=1)
    if not len(values):
        return _answer(np.full(len(reached), np.nan), weight)
    place = (reached >= reached[:, -1:] / 2).argmax(axis=1)
    return _answer(np.where(reached[:, -1] > 0, values[order][place], np.nan), weight)


def median_days(incidence: ArrayLike, times: ArrayLike) -> FloatArray:
    """Return the days by which half of the win probability until the last time is used up.

    Parameters
    ----------
    incidence : array-like of shape (n, t)
        Chance to be won by each time.
    times : array-like of shape (t,)
        Days, rising.

    Returns
    -------
    ndarray of shape (n,)
        NaN where there is no chance at all.
    """
    curve = np.hstack([np.zeros((len(np.asarray(incidence)), 1)), np.asarray(incidence, dtype=float)])
    days = np.concatenate([[0.0], np.asarray(times, dtype=float)])
    half = curve[:, -1:] / 2
    upper = np.clip((curve < half).sum(axis=1), 1, len(days) - 1)
    rows = np.arange(len(curve))
    low, high = curve[rows, upper - 1], curve[rows, upper]
    share = _ratio(half[:, 0] - low, high - low)
    return np.where(curve[:, -1] > 0, days[upper - 1] + share * (days[upper] - days[upper - 1]), np.nan)


def _rows(weight: ArrayLike | None, leads_count: int) -> FloatArray:
    """Return weights as one row per draw; without weights one row of ones."""
    return np.ones((1, leads_count)) if weight is None else np.atleast_2d(np.asarray(weight, dtype=float))


def _answer(values: FloatArray, weight: ArrayLike | None) -> Any:
    """Return one number where weights are (n,) or None; else a row for each draw."""
    if weight is not None and np.ndim(weight) == 2:
        return values
    return float(values[0]) if values.ndim == 1 else values[0]


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _tied(values: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order of values from the smallest, and where each group of equal ones starts in it."""
    order = np.argsort(values, kind="stable")
    place = values[order]
    return order, np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]])) if len(order) else order


def _evenly(rows: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(int)]
