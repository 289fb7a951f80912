"""A share of each list drawn at random from lower ranks, so that training also learns where nobody looks.

Every lead of a ranked list gets the probability with which it was to be shown; a lead that was drawn is marked.
Weighted by one over these probabilities, what came of the list says how the whole ranking is doing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shown:
    """A place on a list.

    Parameters
    ----------
    index : int
        Of the lead, in the ranking.
    probability : float
        With which a lead of its rank is shown.
    explored : bool
        Drawn at random rather than by rank.
    """

    index: int
    probability: float
    explored: bool


def explore(lead_ids: Sequence[str], capacity: int, share: float, seed: int, key: str) -> list[Shown]:
    """Fill a list of `capacity` places: by rank, but for a share that is drawn from the leads below.

    Parameters
    ----------
    lead_ids : sequence of str
        The ranking, best first, no lead twice.
    capacity : int
        Places on the list.
    share : float
        Of the places that are drawn, 0 to 1. Where that is no whole number, the last one is drawn for as often as it
        takes to come to the share in the mean.
    seed : int
    key : str
        Whose list, and of which day: the same seed and key draw the same.

    Returns
    -------
    list of Shown
        At most `capacity` places, in the order of the ranking. Of equal chance are all leads below those shown for
        sure.

    Examples
    --------
    >>> [one.index for one in explore(["a", "b", "c", "d"], 2, 0.0, 0, "ana 2026-05-15")]
    [0, 1]
    """
    count = len(lead_ids)
    capacity = min(capacity, count)
    places = capacity * share
    sure, most = capacity - int(np.ceil(places - 1e-9)), count
    if capacity == count or places <= 0:
        return [Shown(index, 1.0, False) for index in range(capacity)]
    digest = hashlib.sha256("\0".join([str(seed), key, *lead_ids]).encode()).digest()
    rng = np.random.default_rng(list(digest))
    # One place more than are drawn for surely goes to the next in rank, or is drawn for, as the fraction says.
    whole = int(np.floor(places + 1e-9))
    fraction = max(places - whole, 0.0)
    drawn_places = capacity - sure
    by_rank = sure
    if fraction > 1e-9 and rng.random() >= fraction:
        by_rank, drawn_places = sure + 1, drawn_places - 1
    drawn = by_rank + np.sort(rng.permutation(most - by_rank)[:drawn_places])
    shown = [Shown(index, _chance(index, sure, whole, fraction, count), False) for index in range(by_rank)]
    return shown + [Shown(int(index), _chance(int(index), sure, whole, fraction, count), True) for index in drawn]


def _chance(index: int, sure: int, whole: int, fraction: float, count: int) -> float:
    """Give the probability with which a rank is shown, over both ways in which the fraction may fall."""
    if index < sure:
        return 1.0
    if fraction <= 1e-9:
        return whole / (count - sure)
    by_draw = (whole + 1) / (count - sure)
    otherwise = 1.0 if index == sure else whole / (count - sure - 1)
    return fraction * by_draw + (1 - fraction) * otherwise
