"""How good a forecast was, once it is known what came: ranking, probability, time and money."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_OPEN_SHARE_FLOOR = 0.05  # no lead stands for more than twenty


def won_within(event: ArrayLike, duration: ArrayLike, horizon_days: float) -> tuple[BoolArray, BoolArray]:
    """Say who was won within a horizon, and of whom that is known.

    Parameters
    ----------
    event : array-like of shape (n,)
        0 still open when last seen, 1 won, other numbers: ended otherwise.
    duration : array-like of shape (n,)
        Days to the end, or to when it was last seen.
    horizon_days : float
        Days.

    Returns
    -------
    won, known : ndarray of bool, shape (n,)
        A lead last seen open before the horizon is not known; the metrics of a horizon leave it out.
    """
    event, duration = np.asarray(event), np.asarray(duration, dtype=float)
    return (event == 1) & (duration <= horizon_days), (event != 0) | (duration >= horizon_days)


def auc(won: ArrayLike, ranking: ArrayLike) -> float:
    """Estimate the chance that a won lead ranks above one that was not: the area under the ROC curve.

    Parameters
    ----------
    won : array-like of bool, shape (n,)
        Whether it was won within the horizon.
    ranking : array-like of shape (n,)
        Higher ranks first; any scale.

    Returns
    -------
    float
        0.5 is chance; NaN where all or none were won.
    """
    won = np.asarray(won, dtype=bool)
    place = np.unique(np.asarray(ranking, dtype=float), return_inverse=True)[1]  # "last of all" may be infinite
    return float("nan") if won.all() or not won.any() else float(roc_auc_score(won, place))


def brier(won: ArrayLike, p_win: ArrayLike) -> float:
    """Estimate the mean squared distance of the chances from what came; lower is better."""
    return float(np.mean((np.asarray(p_win, dtype=float) - np.asarray(won, dtype=float)) ** 2))


def calibration_groups(won: ArrayLike, p_win: ArrayLike, groups: int = 10) -> list[dict[str, float]]:
    """Compare chances with what came, in groups of equally many leads by their chance.

    Returns
    -------
    list of dict
        ``p_mean`` (mean chance), ``observed`` (share won), ``count`` (leads), from the lowest chances to the highest.
    """
    won, p_win = np.asarray(won, dtype=float), np.asarray(p_win, dtype=float)
    order = np.argsort(p_win, kind="stable")
    return [
        {"p_mean": float(p_win[part].mean()), "observed": float(won[part].mean()), "count": len(part)}
        for part in np.array_split(order, groups)
        if len(part)
    ]


def ece(won: ArrayLike, p_win: ArrayLike, groups: int = 10) -> float:
    """Estimate the expected calibration error: the mean distance of chance and share won over `calibration_groups`."""
    found = calibration_groups(won, p_win, groups)
    total = sum(group["count"] for group in found)
    return float(sum(group["count"] * abs(group["p_mean"] - group["observed"]) for group in found) / total)


def capture_curve(value: ArrayLike, ranking: ArrayLike, shares: ArrayLike) -> FloatArray:
    """Say which share of a value sits in the top shares of a ranking.

    Parameters
    ----------
    value : array-like of shape (n,)
        What each lead brought (revenue, or 1 for won), or would bring in truth.
    ranking : array-like of shape (n,)
        Higher ranks first; leads that tie count with the mean of what ties.
    shares : array-like of shape (s,)
        Top shares of the leads, 0 to 1.

    Returns
    -------
    ndarray of shape (s,)
        Shares of the total value; NaN where there is none.
    """
    value, ranking = np.asarray(value, dtype=float), np.asarray(ranking, dtype=float)
    total = value.sum()
    if not total > 0:
        return np.full(np.shape(shares), np.nan)
    _, tied = np.unique(-ranking, return_inverse=True)
    fair = (np.bincount(tied, value) / np.bincount(tied))[tied]
    so_far = np.concatenate([[0.0], np.cumsum(fair[np.argsort(tied, kind="stable")])])
    return np.interp(np.asarray(shares, dtype=float) * len(value), np.arange(len(value) + 1), so_far) / total


def capture_at(value: ArrayLike, ranking: ArrayLike, share: float) -> float:
    """Say which share of a value sits in the top share of a ranking; see `capture_curve`."""
    return float(capture_curve(value, ranking, [share])[0])


def forecast_ratio(expected: ArrayLike, actual: ArrayLike) -> float:
    """Give expected ÷ actual in total: 1 is right, 1.2 promised a fifth too much; NaN where nothing came."""
    came = float(np.sum(actual))
    return float(np.sum(expected)) / came if came > 0 else float("nan")


def interval_coverage(amount: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Give the share of amounts that lie in their interval, ends included; NaN without amounts."""
    amount = np.asarray(amount, dtype=float)
    inside = (np.asarray(low, dtype=float) <= amount) & (amount <= np.asarray(high, dtype=float))
    return float(inside.mean()) if len(amount) else float("nan")


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
    """Estimate the mean squared distance of an outcome's cumulative incidence from what came, over a span of time.

    Leads censored before a time do not count at it; the others are weighted by the inverse of the chance to have been
    seen for so long, at most twentyfold (Graf et al. 1999; Gerds and Schumacher 2006; Kretowska 2018 for competing
    outcomes).

    Parameters
    ----------
    event, duration : array-like of shape (n,)
        What came; event 0 is censored.
    incidence : array-like of shape (n, t)
        Forecast chance to have ended in `outcome` by each time.
    times : array-like of shape (t,)
        Days, rising.
    outcome : int
        Which event.
    reference : pair of array-like, optional
        ``event``, ``duration`` of the leads that the censoring is learned from; by default those scored.

    Returns
    -------
    float
        Lower is better.
    """
    event, duration = np.asarray(event)[:, None], np.asarray(duration, dtype=float)[:, None]
    times = np.asarray(times, dtype=float)
    seen_event, seen_duration = reference if reference is not None else (event[:, 0], duration[:, 0])
    at_end = np.maximum(open_share(seen_event, seen_duration, duration[:, 0], before=True)[:, None], _OPEN_SHARE_FLOOR)
    at_time = np.maximum(open_share(seen_event, seen_duration, times)[None, :], _OPEN_SHARE_FLOOR)
    ended = (duration <= times) & (event != 0)
    weight = np.where(ended, 1 / at_end, np.where(duration > times, 1 / at_time, 0.0))
    distance = ((duration <= times) & (event == outcome)) - np.asarray(incidence, dtype=float)
    score = (weight * distance**2).mean(axis=0)
    return float(np.trapezoid(score, times) / (times[-1] - times[0]))


def concordance(event: ArrayLike, duration: ArrayLike, risk: ArrayLike, outcome: int = 1) -> float:
    """Estimate the chance that of two leads the one that is won first was given the higher risk.

    A pair counts if one lead is won while the other is still being watched and open, or the other has ended otherwise
    (it will never be won): Wolbers et al. 2014, for competing outcomes; without those, Harrell's C.

    Parameters
    ----------
    event, duration : array-like of shape (n,)
        What came; event 0 is censored.
    risk : array-like of shape (n,)
        Higher: expected sooner. Ties count half.
    outcome : int, default=1
        Which event.

    Returns
    -------
    float
        0.5 is chance; NaN where no pair can be compared.
    """
    event, duration = np.asarray(event), np.asarray(duration, dtype=float)
    risk = np.asarray(risk, dtype=float)
    right = pairs = 0.0
    for place in np.flatnonzero(event == outcome):
        later = (duration > duration[place]) | ((event != outcome) & (event != 0))
        later |= (duration == duration[place]) & (event == 0)
        compared = risk[later]
        right += np.count_nonzero(compared < risk[place]) + 0.5 * np.count_nonzero(compared == risk[place])
        pairs += len(compared)
    return right / pairs if pairs else float("nan")


def bootstrap_interval(
    statistic: Callable[[NDArray[np.intp]], float], leads_count: int, repeats: int, seed: int, level: float = 0.9
) -> tuple[float, float]:
    """Estimate where a figure would lie on another draw of leads from the same population.

    Parameters
    ----------
    statistic : callable
        Takes the positions of the drawn leads (a lead may stand there several times).
    leads_count : int
        How many leads there are.
    repeats : int
        How often leads are drawn.
    seed : int
        Of the draws.
    level : float, default=0.9
        Share of draws inside.

    Returns
    -------
    low, high : float, float
        NaN where the figure cannot be said on most draws.
    """
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(0, leads_count, leads_count)) for _ in range(repeats)])
    drawn = drawn[np.isfinite(drawn)]
    if 2 * len(drawn) <= repeats or not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
