"""Which columns follow the life of a lead: totals up to today, its length, its last event, its closing date."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.audit.outcome_groups import FILLED_LEAST, POST_OUTCOME_LEAST, Finding, Flags, OutcomeGroups, days_since

CORRELATION = 0.9
"""Rank correlation beyond which a number follows another."""
NEAR_SHARE = 0.5
"""Of honest dates fewer lie within a day of the closing."""


def post_outcome_findings(values: pd.Series, filled: Flags, groups: OutcomeGroups) -> Iterator[Finding | None]:
    """Judge whether a number or a date follows the lead's life, and so knew less on any earlier date."""
    if pd.api.types.is_datetime64_any_dtype(values):
        ended = filled & ~np.isnat(groups.ended)
        if ended.sum() >= FILLED_LEAST:
            gap = days_since(values, groups.ended)[ended].abs()
            near = float((gap <= 1).mean())
            # Half of them within a day of the end; those that merely live for a day are not counted.
            lived = (groups.ended - groups.created)[ended] > np.timedelta64(3, "D")
            if lived.sum() >= FILLED_LEAST and near >= NEAR_SHARE and float((gap[lived] <= 1).mean()) >= NEAR_SHARE:
                yield Finding("closing", f"lies within a day of the closing for {near:.0%} of ended {groups.row_noun}")
        if len(groups.last_event):
            yield _follows(days_since(values, groups.created), "the date of the last event", groups.last_event, groups)
        values = days_since(values, groups.created)
    elif not pd.api.types.is_numeric_dtype(values):
        return
    lifetime = (groups.ended - groups.created) / np.timedelta64(1, "D")
    rows = filled & ~np.isnan(lifetime)
    yield _correlates(values, pd.Series(lifetime, index=values.index), rows, "follows how long the lead was open")
    # Lost leads hardly go on; open ones do, and a total of today is no longer the count that was known.
    still = groups.lost if (groups.lost & filled).sum() >= POST_OUTCOME_LEAST else ~groups.won
    for kind in groups.event_counts.columns:
        counts = groups.event_counts[kind]
        what = f"counts {kind}: a total up to today, which knew less on any earlier date"
        yield _correlates(values, counts, filled & still, what)


def _follows(days: pd.Series, what: str, moments: NDArray[np.datetime64], groups: OutcomeGroups) -> Finding | None:
    target = pd.Series((moments - groups.created) / np.timedelta64(1, "D"), index=days.index)
    rows = (days.notna() & target.notna()).to_numpy() & groups.lost
    return _correlates(days, target, rows, f"follows {what}: overwritten since")


def _correlates(values: pd.Series, target: pd.Series, rows: Flags, what: str) -> Finding | None:
    """Judge rank correlation; where it is 0.9 over 30 leads or more, chance is out of the question."""
    if rows.sum() < POST_OUTCOME_LEAST or values[rows].nunique() < 3 or target[rows].nunique() < 3:
        return None
    if values[rows].rank().corr(target[rows].rank()) >= CORRELATION:
        return Finding("counting", what)
    return None
