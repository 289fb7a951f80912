"""Whether a campaign earned more or less than leads of its time do, beyond chance: the prize draw, the quiet winner."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEVEL = 0.05
"""Chance that any campaign of a company is named although all are alike."""
LITTLE, MUCH = 0.5, 1.5
"""Revenue per lead, over that of leads of the same time, that is worth a word."""
EXPECTED_WINS_LEAST = 5.0
"""Fewer wins than this, expected of leads of the same time, and nothing can be said yet."""
CELLS, SLACK, TINY = 8192, 2, 1e-13
"""Of the grid on which sums of amounts are worked out; how exact it is to place; the least tail that it resolves."""


def campaign_verdicts(leads: pd.DataFrame) -> pd.DataFrame:
    """Compare the revenue of each campaign's leads with that of all leads created in the same quarter.

    Under the null hypothesis each lead of a campaign brings what a lead drawn at random from its quarter does. The
    distribution of that sum is worked out, not approximated, as revenue is mostly nothing and sometimes much: by the
    fast Fourier transform of the amounts of each quarter, as for aggregate claims in insurance (Embrechts and Frei
    2009, *Panjer recursion versus FFT for compound distributions*). The number of wins is held against chance in the
    same way. Holm's procedure keeps the chance of naming any campaign wrongly below `LEVEL` for the whole table.

    Parameters
    ----------
    leads : DataFrame
        One row a lead: ``campaign`` (null: none), ``cohort`` (its quarter), ``revenue`` (won so far; 0 or more),
        ``is_won``.

    Returns
    -------
    DataFrame
        Indexed by campaign: ``leads``, ``revenue``, ``expected_revenue`` and ``expected_wins`` (of as many leads of the
        same quarters), ``ratio`` (NaN where nothing is expected), ``p_value`` (of revenue or wins, two-sided),
        ``verdict``
        (``much_counted_little_earned``, ``little_counted_much_earned``, ``as_expected``, ``too_early``).
    """
    codes, quarters = pd.factorize(leads["cohort"].to_numpy(), sort=True)
    money, won = leads["revenue"].to_numpy(float), leads["is_won"].to_numpy(float)
    size = np.bincount(codes, minlength=len(quarters)).astype(float)
    mean, win_share = (np.bincount(codes, part, len(quarters)) / size for part in (money, won))
    named = leads["campaign"].notna().to_numpy()
    campaigns, names = pd.factorize(leads["campaign"].to_numpy()[named], sort=True)
    drawn = np.zeros((len(names), len(quarters)))
    np.add.at(drawn, (campaigns, codes[named]), 1.0)
    revenue = np.bincount(campaigns, money[named], len(names))
    expected, wins = drawn @ mean, drawn @ win_share
    # Wins as well as revenue, Bonferroni: a few large deals hide in revenue what many wins show.
    tails = [
        _two_sided(np.bincount(campaigns, part[named], len(names)).astype(float), drawn, part, codes, size)
        for part in (money, won)
    ]
    p_value = np.minimum(2 * np.minimum(*tails), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(expected > 0, revenue / expected, np.nan)
    found = pd.DataFrame(
        {
            "leads": drawn.sum(axis=1).astype(int),
            "revenue": revenue,
            "expected_revenue": expected,
            "expected_wins": wins,
            "ratio": ratio,
            "p_value": p_value,
        },
        index=pd.Index(names, name="campaign"),
    )
    by_leads, by_revenue = (found[name].rank(ascending=False, method="min") for name in ("leads", "revenue"))
    is_beyond_chance = holm(p_value) <= LEVEL
    little = is_beyond_chance & (ratio <= LITTLE) & (by_leads < by_revenue).to_numpy()
    much = is_beyond_chance & (ratio >= MUCH) & (by_revenue < by_leads).to_numpy()
    early = ~is_beyond_chance & (wins < EXPECTED_WINS_LEAST)
    found["verdict"] = np.select(
        [little, much, early],
        ["much_counted_little_earned", "little_counted_much_earned", "too_early"],
        "as_expected",
    )
    return found


def holm(p_values: FloatArray) -> FloatArray:
    """Adjust p-values for how many there are, by Holm's step-down procedure (1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    raised = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(raised)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return adjusted


def _two_sided(
    total: FloatArray, drawn: FloatArray, money: FloatArray, codes: NDArray[np.intp], size: FloatArray
) -> FloatArray:
    """Give twice the smaller tail of each campaign's total; 1 where nothing varies.

    Parameters
    ----------
    total : ndarray of shape (n_campaigns,)
    drawn : ndarray of shape (n_campaigns, n_quarters)
        Leads of each campaign by quarter.
    money, codes : ndarray of shape (n_leads,)
        What each lead brought, and its quarter.
    size : ndarray of shape (n_quarters,)
        Leads of each quarter.
    """
    p_value = np.ones(len(total))
    largest = money.max(initial=0.0)
    if largest == 0:
        return p_value
    mean, square = (np.bincount(codes, money**power, len(size)) / size for power in (1, 2))
    spread = np.sqrt(drawn @ (square - mean**2))
    reach = np.maximum(drawn @ mean + 12 * spread, total) + largest
    # Ranges are powers of two, so that campaigns of like size share the transforms of the quarters.
    scale = np.exp2(np.ceil(np.log2(reach / largest))) * largest
    for width in np.unique(scale):
        step = width / CELLS
        quarters = np.array([_transform(money[codes == quarter] / step) for quarter in range(len(size))])
        for place in np.flatnonzero((scale == width) & (spread > 0)):
            held = drawn[place] > 0
            product = np.prod(quarters[held] ** drawn[place][held][:, None], axis=0)
            below = np.cumsum(np.maximum(np.fft.irfft(product, CELLS), 0.0))
            at = round(total[place] / step)
            # Amounts are spread over neighbouring cells: a total counts half to each side within so many of them.
            lower, upper = below[min(at + SLACK, CELLS - 1)], below[-1] - (below[at - SLACK - 1] if at > SLACK else 0.0)
            p_value[place] = min(1.0, 2 * max(min(lower, upper), TINY))
    return p_value


def _transform(amounts: FloatArray) -> NDArray[np.complex128]:
    """Give the Fourier transform of what one lead brings, amounts in cells; between two cells the mean is kept."""
    whole = np.floor(amounts).astype(np.intp)
    part = amounts - whole
    share = np.bincount(whole, 1 - part, CELLS)[:CELLS] + np.bincount(whole + 1, part, CELLS + 1)[:CELLS]
    return np.fft.rfft(share / len(amounts))
