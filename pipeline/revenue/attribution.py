"""Which campaign a won deal's amount is credited to: six rules, each of which adds up to the cent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

RULES = ("first", "last", "linear", "position", "time_decay", "model")
"""``model`` takes its weights from `shapley_weights`, the others from `touch_weights`."""
HALF_LIFE_DAYS = 7.0
FIRST_SHARE, LAST_SHARE = 0.4, 0.4
EXACT_PLAYERS = 8
SAMPLED_ORDERS = 200


def touch_weights(
    touches: pd.DataFrame,
    rule: str,
    *,
    half_life_days: float = HALF_LIFE_DAYS,
    first_share: float = FIRST_SHARE,
    last_share: float = LAST_SHARE,
) -> FloatArray:
    """Weight the touches of each deal so that those of a deal sum to one.

    Parameters
    ----------
    touches : DataFrame
        ``deal``, ``touched_at``, ``opened_at`` (of the deal), in the order of ``deal`` and ``touched_at``.
    rule : {"first", "last", "linear", "position", "time_decay"}
        The whole to the first or the last touch; equal shares; `first_share` to the first, `last_share` to the last
        and the rest to those between (with two touches in proportion); or half the weight for every `half_life_days`
        between the touch and the opening of the deal.
    half_life_days : float, default=7
    first_share, last_share : float, default=0.4

    Returns
    -------
    ndarray of shape (n_touches,)

    Raises
    ------
    ValueError
        If the rule is not one of these.

    Examples
    --------
    >>> import pandas as pd
    >>> touches = pd.DataFrame({"deal": ["D1", "D1", "D1"], "touched_at": pd.to_datetime(["2026-01-01"] * 3)})
    >>> touch_weights(touches.assign(opened_at=touches["touched_at"]), "position").round(2).tolist()
    [0.4, 0.2, 0.4]
    """
    count = touches.groupby("deal", sort=False)["deal"].transform("size").to_numpy()
    place = touches.groupby("deal", sort=False).cumcount().to_numpy()
    is_first, is_last = place == 0, place == count - 1
    if rule == "first":
        return is_first.astype(float)
    if rule == "last":
        return is_last.astype(float)
    if rule == "linear":
        weight = np.ones(len(touches))
    elif rule == "position":
        between = (1 - first_share - last_share) / np.maximum(count - 2, 1)
        weight = np.where(is_first, first_share, 0.0) + np.where(is_last, last_share, 0.0)
        weight = np.where(is_first | is_last, weight, between)
    elif rule == "time_decay":
        days = (touches["opened_at"] - touches["touched_at"]).dt.total_seconds().to_numpy() / 86_400
        # Against the deal's last touch, so that old touches alone do not all round to nothing.
        days -= pd.Series(days).groupby(touches["deal"].to_numpy(), sort=False).transform("min").to_numpy()
        weight = 0.5 ** (days / half_life_days)
    else:
        raise ValueError(f"rule: {rule!r} is none of {', '.join(RULES[:-1])}")
    total = pd.Series(weight).groupby(touches["deal"].to_numpy(), sort=False).transform("sum").to_numpy()
    return weight / total


def credit(deals: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """Share the amounts of won deals among campaigns, to the cent.

    Cents that are left over go to the largest remainders (Hamilton's method), among equals by the campaign's name.

    Parameters
    ----------
    deals : DataFrame
        ``deal`` and ``cents`` (whole, of the company's currency), no deal twice.
    weights : DataFrame
        ``deal``, ``campaign`` (null: no campaign) and ``weight``; a campaign may stand several times. A deal without
        a row is all "no campaign".

    Returns
    -------
    DataFrame
        ``deal``, ``campaign``, ``cents``: of each deal the cents sum to the deal's.
    """
    named = weights.assign(campaign=weights["campaign"].astype(object).where(weights["campaign"].notna(), None))
    summed = named.groupby(["deal", "campaign"], dropna=False, sort=True)["weight"].sum().reset_index()
    alone = deals.loc[~deals["deal"].isin(summed["deal"]), ["deal"]].assign(campaign=None, weight=1.0)
    shares = pd.concat([summed, alone] if len(summed) else [alone], ignore_index=True).merge(
        deals[["deal", "cents"]], on="deal"
    )
    shares["campaign"] = shares["campaign"].astype(object).where(shares["campaign"].notna(), None)
    exact = shares["cents"].to_numpy(float) * shares["weight"].to_numpy(float)
    whole = np.floor(np.round(exact, 6))
    shares["rest"], shares["whole"] = np.round(exact - whole, 6), whole
    by_deal = shares.groupby("deal", sort=False)
    left = (shares["cents"] - by_deal["whole"].transform("sum")).round().to_numpy()
    order = shares.sort_values(["deal", "rest", "campaign"], ascending=[True, False, True], kind="stable")
    place = order.groupby("deal", sort=False).cumcount().reindex(shares.index).to_numpy()
    count = by_deal["whole"].transform("size").to_numpy()
    shares["cents"] = (whole + left // count + (place < left % count)).astype("int64")
    return shares[["deal", "campaign", "cents"]]


@cache
def coalitions(count: int, seed: int = 0) -> NDArray[np.bool_]:
    """Give the coalitions of players whose values `shapley_weights` needs.

    Parameters
    ----------
    count : int
        Number of players. Up to `EXACT_PLAYERS` every coalition is valued; with more, those along `SAMPLED_ORDERS`
        random orders and their reverses (Mitchell et al. 2022, *Sampling permutations for Shapley value estimation*).
    seed : int, default=0

    Returns
    -------
    ndarray of bool, shape (n_coalitions, count)
        No row twice; the first is nobody, the last everybody.
    """
    if count <= EXACT_PLAYERS:
        return (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)
    every = np.unique(_steps(count, seed).reshape(-1, count), axis=0)
    return every[np.argsort(every.sum(axis=1), kind="stable")]


def shapley_weights(players: Sequence[str], values: FloatArray, seed: int = 0) -> dict[str | None, float]:
    """Share what a game is worth among its players by their Shapley values, as parts of one.

    Parameters
    ----------
    players : sequence of str
    values : ndarray of shape (n_coalitions,)
        Of `coalitions`. What nobody is worth is the part of nobody (``None``).
    seed : int, default=0
        As given to `coalitions`.

    Returns
    -------
    dict of str or None to float
        Sums to one; parts may be negative. All to nobody where the full game is worth nothing.

    Examples
    --------
    >>> parts = shapley_weights(["fair", "webinar"], 0.1 + coalitions(2) @ [0.3, 0.1])
    >>> {name: round(part, 2) for name, part in parts.items()}
    {None: 0.2, 'fair': 0.6, 'webinar': 0.2}
    """
    count = len(players)
    none, full = float(values[0]), float(values[-1])
    if not full > 0:
        return {None: 1.0}
    if count <= EXACT_PLAYERS:
        parts = _exact(values, count)
    else:
        steps = _steps(count, seed)
        place = {row.tobytes(): number for number, row in enumerate(coalitions(count, seed))}
        walked = np.array([[values[place[step.tobytes()]] for step in order] for order in steps])
        joined = steps[:, 1:] & ~steps[:, :-1]
        parts = (np.diff(walked, axis=1)[:, :, None] * joined).sum(axis=(0, 1)) / len(steps)
    return {None: none / full} | {name: float(part) / full for name, part in zip(players, parts, strict=True)}


@cache
def _steps(count: int, seed: int) -> NDArray[np.bool_]:
    """Give, for each order, who is there after 0, 1, … players joined: shape (n_orders, count + 1, count)."""
    rng = np.random.default_rng([seed, count])
    orders = np.array([rng.permutation(count) for _ in range(SAMPLED_ORDERS)])
    rank = np.argsort(np.concatenate([orders, orders[:, ::-1]]), axis=1)
    return rank[:, None, :] < np.arange(count + 1)[None, :, None]


def _exact(values: FloatArray, count: int) -> FloatArray:
    """Weigh every coalition's gain by the share of orders in which it stands before the player."""
    codes = np.arange(2**count)
    sizes = np.array([int(code).bit_count() for code in codes])
    orders = np.array([math.factorial(s) * math.factorial(count - s - 1) for s in range(count)]) / math.factorial(count)
    parts = np.zeros(count)
    for player in range(count):
        without = codes[(codes >> player & 1) == 0]
        parts[player] = float((orders[sizes[without]] * (values[without | 1 << player] - values[without])).sum())
    return parts
