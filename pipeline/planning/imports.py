"""Leads that did not arrive: bought lists, and days on which somebody loaded many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IMPORT_LEADS, TIMES_USUAL, YEAR_DAYS = 20, 8, 365
CONTACT = "contact"
"""What ``leads.entry`` says of a name on a list."""


def is_import(days: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which leads came on a day of import: no such day could be expected, and none is.

    A day is one of import where `IMPORT_LEADS` leads or more came on it, and more than `TIMES_USUAL` times as many as
    on the usual day: the median of the days with leads within half a year before and after it, itself left out.

    Parameters
    ----------
    days : ndarray of shape (n,)
        The local day of each lead's arrival, as a number.

    Returns
    -------
    ndarray of shape (n,)
    """
    every, counts = np.unique(days, return_counts=True)
    found = []
    for day, count in zip(every[counts >= IMPORT_LEADS], counts[counts >= IMPORT_LEADS], strict=True):
        near = counts[(np.abs(every - day) <= YEAR_DAYS // 2) & (every != day)]
        if count > TIMES_USUAL * (np.median(near) if len(near) else 1.0):
            found.append(day)
    return np.isin(days, np.array(found, dtype=np.int64))
