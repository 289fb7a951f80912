"""Who disagrees: leads that are one department's and not another's, in money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

EXAMPLES = 10


def sides(
    meets: Mapping[str, NDArray[np.bool_]], won: NDArray[np.float64], expected: NDArray[np.float64] | None
) -> list[dict[str, Any]]:
    """Count each definition's leads, with their money.

    Parameters
    ----------
    meets : mapping of str to ndarray of shape (n_leads,)
        Which leads meet each definition.
    won, expected : ndarray of shape (n_leads,)
        Revenue of each lead; `expected` is None where there is no forecast.
    """
    return [
        {
            "name": name,
            "leads": int(mask.sum()),
            "revenue_won": float(won[mask].sum()),
            "revenue_expected": None if expected is None else float(expected[mask].sum()),
        }
        for name, mask in meets.items()
    ]


def disagreements(
    meets: Mapping[str, NDArray[np.bool_]],
    leads: pd.DataFrame,
    won: NDArray[np.float64],
    expected: NDArray[np.float64] | None,
) -> list[dict[str, Any]]:
    """Give, for each two departments, the leads that one counts and the other does not, with the ten largest.

    Parameters
    ----------
    meets, won, expected
        As for `sides`.
    leads : data frame of n_leads rows
        With ``lead_id`` and ``account_id``.

    Returns
    -------
    list of dict
        ``in, not_in, leads, revenue_won, revenue_expected, examples`` (largest expected revenue first, where there is a
        forecast; else the largest won).
    """
    worth = won if expected is None else expected
    found = []
    for one, ours in meets.items():
        for other, theirs in meets.items():
            apart = np.flatnonzero(ours & ~theirs)
            if one == other or not len(apart):
                continue
            order = apart[np.lexsort((leads["lead_id"].to_numpy(str)[apart], -worth[apart]))][:EXAMPLES]
            found.append({
                "in": one,
                "not_in": other,
                "leads": len(apart),
                "revenue_won": float(won[apart].sum()),
                "revenue_expected": None if expected is None else float(expected[apart].sum()),
                "examples": [
                    {
                        "lead_id": str(leads["lead_id"].iloc[row]),
                        "revenue_won": float(won[row]),
                        "revenue_expected": None if expected is None else float(expected[row]),
                    }
                    for row in order
                ],
            })  # fmt: skip
    return found
