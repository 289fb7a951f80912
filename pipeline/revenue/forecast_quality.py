"""How good forecasts were for leads that sales worked and for those that it did not, told apart.

Sales works leads that look good, so that the two groups differ before anything is done. Each lead is weighted by one
over the chance to be in its group given what was known then (inverse-probability weights; Robins, Rotnitzky and Zhao
1994), so that both groups look like all leads: what is left of a difference is what working them went along with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEADS_LEAST, WINS_LEAST = 30, 5
"""Leads and wins in a group below which its quality is not told."""
CHANCE_LIMITS = (0.02, 0.98)
"""Chances to be worked beyond which a weight says little but chance."""
DRAWS, LEVEL = 300, 0.9


def working_chance(facts: Floats, was_worked: NDArray[np.bool_]) -> Floats:
    """Estimate each lead's chance to be worked from what was known then.

    Parameters
    ----------
    facts : ndarray of shape (n_leads, n_facts)
    was_worked : ndarray of shape (n_leads,)

    Returns
    -------
    ndarray of shape (n_leads,)
        Within `CHANCE_LIMITS`; the share of all where nobody or everybody was worked.
    """
    share = float(was_worked.mean()) if len(was_worked) else 0.0
    if share in (0.0, 1.0):
        return np.full(len(was_worked), share)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    chance = model.fit(facts, was_worked).predict_proba(facts)[:, 1]
    return np.asarray(np.clip(chance, *CHANCE_LIMITS), dtype=np.float64)


def quality(
    expected: Floats, is_won: NDArray[np.bool_], weight: Floats, account: NDArray[np.int64], seed: int
) -> dict[str, Any] | None:
    """Hold forecasts against outcomes in one group.

    Parameters
    ----------
    expected, is_won, weight : ndarray of shape (n_leads,)
        Win probability within the horizon; whether it was won within it; how many leads it stands for.
    account : ndarray of shape (n_leads,)
        A number per account: what is drawn again and again for the range.
    seed : int

    Returns
    -------
    dict or None
        ``leads``, ``expected`` and ``won`` (wins), ``ratio`` (expected ÷ observed, with the range of `LEVEL`), ``auc``;
        and the same, ``weighted``, with ``leads_effective``. None with fewer than `LEADS_LEAST` leads.
    """
    if len(expected) < LEADS_LEAST:
        return None
    plain = np.ones(len(expected))
    return {
        "leads": len(expected),
        **_figures(expected, is_won, plain, account, seed),
        "weighted": {
            "leads_effective": round(float(weight.sum() ** 2 / (weight**2).sum()), 1),
            **_figures(expected, is_won, weight * len(expected) / weight.sum(), account, seed),
        },
    }


def _figures(
    expected: Floats, is_won: NDArray[np.bool_], weight: Floats, account: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    hoped, won = float((weight * expected).sum()), float((weight * is_won).sum())
    figures: dict[str, Any] = {"expected": round(hoped, 2), "won": round(won, 2), "ratio": None, "auc": None}
    if is_won.sum() < WINS_LEAST:
        return figures
    groups = np.unique(account, return_inverse=True)[1]
    sums = [np.bincount(groups, weight * values) for values in (expected, is_won)]
    times = np.random.default_rng(seed).poisson(1.0, (DRAWS, len(sums[0])))
    drawn = (times @ sums[0]) / np.maximum(times @ sums[1], 1e-9)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    figures["ratio"] = {"value": round(hoped / won, 4), "low": round(float(low), 4), "high": round(float(high), 4)}
    if not is_won.all():
        from sklearn.metrics import roc_auc_score

        figures["auc"] = round(float(roc_auc_score(is_won, expected, sample_weight=weight)), 4)
    return figures
