"""Which columns know the future: what a column's values, and their absence, tell of how leads ended.

A field that is written because of the outcome stands only with that outcome; an honest one, however telling, also
stands with leads that are still open. Shares are compared with what leads created in the same months would show, so
that a field that was only kept years ago, when every lead has ended since, is not mistaken for one written at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CHANCE = 1e-6
"""A pattern that leads of the same months would show by chance less often than this is none."""
NEARLY_ALL = 0.98
COMMON_SHARE = 0.8
"""Where this share of all leads ended so anyway, nothing can be told."""
VALUE_COUNT_LEAST = 20
VALUE_SHARE_LEAST = 0.05
FILLED_OFTEN, FILLED_RARELY = 0.9, 0.1
TELLING_AUC = 0.95
TELLING_COUNT_LEAST = 30
COUNTING_CORRELATION = 0.9
DISTINCT_SHARE = 0.9
DISTINCT_COUNT_LEAST = 50
TEXT_LENGTH = 60
FOLDS, BINS = 2, 20


@dataclass(frozen=True)
class Endings:
    """How leads stood when the audit looked, one entry a lead.

    Parameters
    ----------
    won, lost, ended : ndarray of bool, shape (n,)
    month : ndarray of int, shape (n,)
        When it was created.
    fold : ndarray of int, shape (n,)
        0 or 1, at random but always the same.
    event_counts : DataFrame, shape (n, kinds)
        Events so far, all and of each kind; no columns where there are none.
    """

    won: np.ndarray
    lost: np.ndarray
    ended: np.ndarray
    month: np.ndarray
    fold: np.ndarray
    event_counts: pd.DataFrame

    def usual_share(self, flag: np.ndarray, rows: np.ndarray) -> float:
        """Share of `flag` that leads of the same months as `rows` have."""
        rates = pd.Series(flag).groupby(self.month).transform("mean").to_numpy()
        return float(rates[rows].mean())


def leak(values: pd.Series, endings: Endings) -> str | None:
    """Say why a column must stay out of the model, if it must.

    Parameters
    ----------
    values : Series, shape (n,)
        Numbers or texts, missing where there is none.
    endings : Endings

    Returns
    -------
    str or None
        The reason, in plain words.
    """
    filled = values.notna().to_numpy()
    if not filled.any():
        return None
    distinct = values[filled].nunique()
    if distinct == 1 and filled.all():
        return "has one value only"
    if reason := _stands_only(filled, endings, "filled"):
        return reason
    if reason := _filled_by_outcome(filled, endings):
        return reason
    is_text = not pd.api.types.is_numeric_dtype(values)
    if is_text and (reason := _pure_value(values, endings)):
        return reason
    if is_text and filled.sum() >= DISTINCT_COUNT_LEAST:
        if distinct > DISTINCT_SHARE * filled.sum():
            return f"nearly every value is different ({distinct:,} of {filled.sum():,}): an id or free text"
        if values[filled].str.len().median() > TEXT_LENGTH:
            return "holds free text"
    if not is_text and (reason := _keeps_counting(values, endings)):
        return reason
    return _tells_too_well(values, endings)


def _stands_only(rows: np.ndarray, endings: Endings, what: str) -> str | None:
    """Judge rows that nearly all ended alike, where leads of the same months did not."""
    count = int(rows.sum())
    for flag, words in (
        (endings.won, "that are won"),
        (endings.lost, "that are lost"),
        (endings.ended, "that have ended"),
    ):
        together = int((flag & rows).sum())
        usual = endings.usual_share(flag, rows) if count else 1.0
        if (
            together >= NEARLY_ALL * count
            and usual <= COMMON_SHARE
            and count * np.log(max(usual, 1e-12)) < np.log(CHANCE)
        ):
            share = f"{together:,} of {count:,}; usual would be {usual:.0%}"
            return f"{what} only for leads {words} ({share}): written afterwards"
    return None


def _filled_by_outcome(filled: np.ndarray, endings: Endings) -> str | None:
    won = endings.won
    if won.sum() < TELLING_COUNT_LEAST or (~won).sum() < TELLING_COUNT_LEAST:
        return None
    of_won, of_others = filled[won].mean(), filled[~won].mean()
    if of_won >= FILLED_OFTEN and of_others <= FILLED_RARELY:
        return f"filled for {of_won:.0%} of won leads, but for {of_others:.0%} of the others: written with the outcome"
    return None


def _pure_value(values: pd.Series, endings: Endings) -> str | None:
    counts = values.value_counts().sort_index(kind="stable")
    for flag in (endings.won, endings.lost):
        least = max(VALUE_COUNT_LEAST, VALUE_SHARE_LEAST * flag.sum())
        for value in counts.index[counts.to_numpy() >= least]:
            if reason := _stands_only((values == value).to_numpy(dtype=bool), endings, f"has '{value}'"):
                return reason
    return None


def _keeps_counting(values: pd.Series, endings: Endings) -> str | None:
    """Judge a number that follows how many events a lead has had: a total up to today, whatever date is asked."""
    rows = values.notna().to_numpy() & ~endings.won
    if rows.sum() < TELLING_COUNT_LEAST or values[rows].nunique() < 3:
        return None
    ranks = values[rows].rank()
    for kind in endings.event_counts.columns:
        counts = endings.event_counts[kind][rows]
        if counts.nunique() > 2 and ranks.corr(counts.rank()) >= COUNTING_CORRELATION:
            return f"counts {kind}: a total up to today, which knew less on any earlier date"
    return None


def _tells_too_well(values: pd.Series, endings: Endings) -> str | None:
    if endings.won.sum() < TELLING_COUNT_LEAST or (~endings.won).sum() < TELLING_COUNT_LEAST:
        return None
    auc = single_column_auc(values, endings.won, endings.fold)
    if auc > TELLING_AUC:
        return f"alone tells won leads from the others too well to be true (AUC {auc:.2f})"
    return None


def single_column_auc(values: pd.Series, won: np.ndarray, fold: np.ndarray) -> float:
    """Area under the ROC curve of one column for being won, out of fold.

    The column is cut into `BINS` quantiles (texts: their values), missing is a value of its own, and each row is
    scored by the rate of won leads of its value in the other fold.

    Parameters
    ----------
    values : Series, shape (n,)
    won : ndarray of bool, shape (n,)
    fold : ndarray of int, shape (n,)

    Returns
    -------
    float
        0.5 tells nothing, 1 everything.
    """
    if pd.api.types.is_numeric_dtype(values):
        edges = np.unique(values.quantile(np.linspace(0, 1, BINS + 1)).dropna())
        # From the left, so that a value in which many rows agree has a bin of its own.
        level = pd.Series(np.searchsorted(edges, values.to_numpy(dtype=float), side="left"), index=values.index)
        level = level.where(values.notna(), -1)
    else:
        level = pd.Series(pd.factorize(values)[0], index=values.index)
    score = np.full(len(values), won.mean())
    for part in range(FOLDS):
        other = fold != part
        rates = pd.Series(won[other]).groupby(level[other].to_numpy()).agg(["sum", "count"])
        smoothed = (rates["sum"] + won.mean()) / (rates["count"] + 1)
        score[~other] = level[~other].map(smoothed).fillna(won.mean()).to_numpy()
    ranks = pd.Series(score).rank().to_numpy()
    n_won = int(won.sum())
    return float((ranks[won].sum() - n_won * (n_won + 1) / 2) / (n_won * (len(won) - n_won)))
