"""Where revenue leaks: segments that leave a stage less often than all leads do, beyond what chance does.

Every segment of every stage is compared with all leads there, by the chance ever to reach the next stage. Those that
stand out after all comparisons (Benjamini and Hochberg 1995: of those that are shown, at most one in twenty is expected
to be chance) are told in money: what its leads would have brought had they advanced as often as all do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from models.aalen_johansen import GroupCurves, percentiles, spread
from pipeline.funnel.journeys import NOT_KNOWN
from pipeline.revenue.stage_rates import LEVEL, OTHERS, Figures, figure, segment_codes

COMPARED = ("source", "campaign", "size", "industry", "country")
"""What leaks are looked for in; not salespeople: scores guide, and do not police."""
ENTERED_LEAST = 30
Floats = NDArray[np.float64]
Brings = tuple[NDArray[np.int64], Floats, Floats]
"""How many leads a segment has, what each brings, and that in every replicate."""
FALSE_SHARE = 0.05
PRIOR_LEADS = 20.0
"""So many leads with the revenue of all are added to a segment's, before its revenue per lead is used."""


@dataclass(frozen=True)
class Compared:
    """A segment at a stage, beside all leads there."""

    stage: str
    following: str
    by: str
    value: str
    entered: int
    chance: float
    average: float
    p_value: float
    revenue: tuple[float, float, float] | None


def leaks(figures: Figures, among: NDArray[np.bool_]) -> tuple[list[dict[str, Any]], int]:
    """Find where revenue leaks.

    Returns
    -------
    leaks : list of dict
        ``stage, next, segment, entered, chance, average, p_value, revenue`` (lost by it, with its interval; null
        without amounts), the largest first.
    comparisons : int
        How many were made.
    """
    zeros = np.zeros(len(figures.ways), dtype=np.int64)
    steps = range(len(figures.ways.stages.names) - 1)
    overall = [figures.curves(place, place + 1, among, zeros, 1) for place in steps]
    brings = [_brings(figures, among, place + 1, zeros, 1) for place in steps]
    compared = [
        one for by in COMPARED if by not in figures.ways.absent
        for one in _compare(figures, among, by, overall, brings)
    ]  # fmt: skip
    standing_out = benjamini_hochberg([one.p_value for one in compared], FALSE_SHARE)
    found = [one for one, stands in zip(compared, standing_out, strict=True) if stands and one.chance < one.average]
    found.sort(key=lambda one: (-(one.revenue[0] if one.revenue else one.entered), one.stage, one.by, one.value))
    return [
        {
            "stage": one.stage, "next": one.following, "segment": {"by": one.by, "value": one.value},
            "entered": one.entered, "chance": one.chance, "average": one.average, "p_value": one.p_value,
            "revenue": figure(*one.revenue) if one.revenue else None,
        }
        for one in found
    ], len(compared)  # fmt: skip


def benjamini_hochberg(p_values: Sequence[float], false_share: float) -> NDArray[np.bool_]:
    """Say which of many comparisons stand out, so that at most a share of those said to is expected to be chance."""
    p = np.asarray(p_values, dtype=float)
    if not len(p):
        return np.zeros(0, dtype=bool)
    ranked = np.sort(p)
    passing = np.flatnonzero(ranked <= false_share * np.arange(1, len(p) + 1) / len(p))
    return p <= ranked[passing[-1]] if len(passing) else np.zeros(len(p), dtype=bool)


def _compare(
    figures: Figures, among: NDArray[np.bool_], by: str, overall: Sequence[GroupCurves], brings: Sequence[Brings | None]
) -> list[Compared]:
    ways = figures.ways
    codes, names = segment_codes(ways.frame[by])
    found = []
    for place, every in enumerate(overall):
        entered = np.bincount(codes[among & figures.is_in[:, place]], minlength=len(names))
        own = figures.curves(place, place + 1, among, codes, len(names))
        average = float(every.ever.value[0])
        if not np.isfinite(average):
            continue
        gap = average - own.ever.value
        gaps = every.replicates - own.replicates
        spreads = spread(gaps)
        worth = _shrunk(_brings(figures, among, place + 1, codes, len(names)), brings[place])
        for index, value in enumerate(names):
            if (
                value in (NOT_KNOWN, OTHERS) or entered[index] < ENTERED_LEAST
                or not np.isfinite(gap[index]) or not spreads[index] > 0
            ):  # fmt: skip
                continue
            revenue = None
            if worth is not None:
                lost = entered[index] * gap[index] * worth[0][index]
                drawn = entered[index] * gaps[index] * worth[1][index]
                low, high = (float(bound[0]) for bound in percentiles(drawn[None], LEVEL))
                revenue = (lost, min(low, lost), max(high, lost))
            p_value = float(2 * norm.sf(abs(gap[index]) / spreads[index]))
            found.append(
                Compared(
                    ways.stages.names[place], ways.stages.names[place + 1], by, value, int(entered[index]),
                    float(own.ever.value[index]), average, p_value, revenue,
                )
            )  # fmt: skip
    return found


def _brings(
    figures: Figures, among: NDArray[np.bool_], place: int, codes: NDArray[np.int64], many: int
) -> Brings | None:
    """Give what a lead that enters a stage brings, by segment: won so far, and expected."""
    if not figures.has_amounts:
        return None
    values = figures.won_amount if figures.expected is None else figures.won_amount + figures.expected
    rows = np.flatnonzero(among & figures.is_in[:, place])
    mean, boot = figures.means(values, rows, codes, many)
    return np.bincount(codes[rows], minlength=many), np.nan_to_num(mean), np.nan_to_num(boot)


def _shrunk(own: Brings | None, every: Brings | None) -> tuple[Floats, Floats] | None:
    """Draw what leads of each segment bring toward what all bring."""
    if own is None or every is None:
        return None
    counts, mean, boot = own
    share = counts / (counts + PRIOR_LEADS)
    return share * mean + (1 - share) * every[1], share[:, None] * boot + (1 - share)[:, None] * every[2]
