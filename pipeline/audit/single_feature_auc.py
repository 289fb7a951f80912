"""How well one column alone tells won leads from others: too well, and it was written with the outcome."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from pipeline.audit.outcome_groups import GROUP_LEAST, Finding, Flags, OutcomeGroups, days_since

LEAKING_AUC, LEAKING_AUC_OPEN = 0.95, 0.90
"""Area under the curve of one column, won against lost; and against all that are not won where no loss is recorded."""
FOLDS, BINS = 2, 20


def single_column_findings(values: pd.Series, filled: Flags, groups: OutcomeGroups) -> Iterator[Finding | None]:
    """Judge how well a column tells won leads from lost ones, and from all others."""
    if pd.api.types.is_datetime64_any_dtype(values):
        values = days_since(values, groups.created)
    against = [("lost", groups.lost, LEAKING_AUC)]
    limit = LEAKING_AUC if groups.lost.sum() >= GROUP_LEAST else LEAKING_AUC_OPEN
    against.append(("all others", ~groups.won & (groups.lost | groups.open), limit))
    for name, others, least in against:
        auc, error = single_column_auc(values, groups.won, others, groups)
        if auc is None or auc <= least:
            yield None
            continue
        yield Finding(
            "telling",
            f"alone tells won {groups.row_noun} from {name} too well to be true (AUC {auc:.2f})",
            float(stats.norm.logsf((auc - 0.5) / error)),
        )


def single_column_auc(
    values: pd.Series, won: Flags, others: Flags, groups: OutcomeGroups
) -> tuple[float | None, float]:
    """Area under the ROC curve of one column for being won, within strata and out of fold.

    The column is cut into `BINS` quantiles (texts: their values), missing is a value of its own, and each row is
    scored by the rate of won leads of its value in the other fold; a number is also tried as it is, over those that
    have it, rising and falling. Only pairs created at about the same time are compared.

    Parameters
    ----------
    values : Series, shape (n,)
    won, others : ndarray of bool, shape (n,)
        The two groups.
    groups : OutcomeGroups

    Returns
    -------
    auc : float or None
        0.5 tells nothing, 1 everything; None where there are too few.
    error : float
        Its standard error if it told nothing.
    """
    rows = won | others
    if won.sum() < GROUP_LEAST or others.sum() < GROUP_LEAST:
        return None, np.nan
    inside, is_won = values[rows].reset_index(drop=True), won[rows]
    stratum, fold = groups.stratum[rows], groups.fold[rows]
    is_number = pd.api.types.is_numeric_dtype(inside)
    if is_number:
        number = inside.astype(float)
        edges = np.unique(number.quantile(np.linspace(0, 1, BINS + 1)).dropna())
        # From the left, so that a value in which many rows agree has a bin of its own.
        level = pd.Series(np.searchsorted(edges, number.to_numpy(), side="left")).where(number.notna(), -1)
    else:
        level = pd.Series(pd.factorize(inside)[0])
    base = is_won.mean()
    score = np.full(len(inside), base)
    for part in range(FOLDS):
        other = fold != part
        rates = pd.Series(is_won[other]).groupby(level[other].to_numpy()).agg(["sum", "count"])
        smoothed = (rates["sum"] + base) / (rates["count"] + 1)
        score[~other] = level[~other].map(smoothed).fillna(base).to_numpy()
    results = [_stratified_auc(score, is_won, stratum)]
    if is_number:
        known = inside.notna().to_numpy()
        if (known & is_won).sum() >= GROUP_LEAST and (known & ~is_won).sum() >= GROUP_LEAST:
            auc, error = _stratified_auc(number[known].to_numpy(), is_won[known], stratum[known])
            # What the column tells only of those that have it counts by how many of the won do.
            share = (known & is_won).sum() / is_won.sum()
            results.append((0.5 + (max(auc, 1 - auc) - 0.5) * share, error))
    return max(results)


def _stratified_auc(score: NDArray[np.floating], won: Flags, stratum: NDArray[np.int64]) -> tuple[float, float]:
    """Mann-Whitney over pairs within strata, and its standard error under no difference."""
    frame = pd.DataFrame({"score": score, "won": won, "stratum": stratum})
    frame["rank"] = frame.groupby("stratum")["score"].rank()
    sums = frame.groupby("stratum").agg(n=("won", "size"), ones=("won", "sum"))
    sums["ranks"] = frame[frame["won"]].groupby("stratum")["rank"].sum()
    sums = sums[(sums["ones"] > 0) & (sums["ones"] < sums["n"])]
    pairs = sums["ones"] * (sums["n"] - sums["ones"])
    if not len(sums):
        return 0.5, 1.0
    above = sums["ranks"] - sums["ones"] * (sums["ones"] + 1) / 2
    variance = (pairs * (sums["n"] + 1) / 12).sum()
    return float(above.sum() / pairs.sum()), float(np.sqrt(variance) / pairs.sum())
