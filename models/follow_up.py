"""How far the past can tell: the longest time over which it is known what became of leads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.exposure import calendar_days

LEADS_LEAST = 20
"""So many leads must have been watched for so long, for it to be no luck that all of them were decided."""


def observed_days(y: pd.DataFrame) -> float:
    """Return up to how many days after a date it was seen what becomes of leads.

    A lead still open when the data end was followed up to then; one that was decided is known for good. So a span
    longer than any follow-up was observed too, where at least `LEADS_LEAST` leads were seen that long before the data
    end: all of them were decided by then, and none was open any more.

    Parameters
    ----------
    y : DataFrame of shape (n, …)
        ``duration`` (days from ``as_of``), ``as_of`` (dates) and ``lead_id``.

    Returns
    -------
    float
        Days; at least the longest follow-up.
    """
    seen, duration = calendar_days(y["as_of"]), y["duration"].to_numpy(dtype=float)
    watched = (seen + duration).max() - seen
    per_lead = pd.Series(watched).groupby(y["lead_id"].to_numpy()).max().to_numpy()
    longest = float(duration.max())
    return longest if len(per_lead) < LEADS_LEAST else max(longest, float(np.sort(per_lead)[-LEADS_LEAST]))


def too_long(what: str, observed: float) -> str:
    """Say why nothing is said of so long a time."""
    return f"no lead was followed {what}: the longest follow-up is {observed:.0f} days"


def quarter_too_far(days: float, observed: float, ever: float) -> str:
    """Say why nothing is said of a quarter that ends so many days ahead."""
    if days > observed:
        return too_long("to the quarter's end", observed)
    return f"the quarter ends in {days:.0f} days, after 'ever' ({ever:g} days): add a longer one to horizons_days"


def ever_is_shorter(ever: float, horizons_days: Sequence[int], observed: float) -> str:
    """Say what "ever" means where it is not the longest horizon."""
    why = too_long(f"for {max(horizons_days)} days", observed)
    which = ", the longest of horizons_days that was observed" if ever in horizons_days else ""
    return f"'ever' means within {ever:g} days here{which}: {why}"
