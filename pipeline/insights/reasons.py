"""From exact attributions to at most four sentences for a lead and four against it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Feature
from pipeline.insights.contact_cadence import ContactCadence
from pipeline.insights.feature_groups import FloatArray, Signals
from pipeline.insights.sentences import as_lists, heads, weighed

MOST = 4
LEAST_MONEY = 0.01
LEAST_SHARE = 0.01  # of what all reasons of a lead weigh together: less than that nobody repeats on the phone
LEAST_POINTS = 0.05  # less is printed as no points at all
SIDES = {"reasons_positive": 1, "reasons_negative": -1}
AS_USUAL = 0.05
"""So near to 1, a ratio is as usual."""
FRESH_DAYS, OURS_FRESH_DAYS = 190, 60
"""How long ago something may lie and still speak for a lead by its date: what the lead did, what we did."""
VAGUE = ("other", "another department", "unknown", "misc", "n/a")
"""Words that tell a reader nothing."""
BIGGER = "; a bigger deal, but less likely"
LIKELIER = "; more likely, but a smaller deal"


def reasons(
    signals: Signals,
    X: pd.DataFrame,
    points: pd.DataFrame,
    money: pd.DataFrame | None,
    typical: Mapping[str, float],
    cadence: ContactCadence | None = None,
) -> pd.DataFrame:
    """Say why each lead ranks where it does: the strongest signals for it and against it, with their weight.

    Columns of one signal count as one reason. What ranks decides which reasons are strongest: money where the company
    has amounts, else percentage points. The column that speaks for its signal is the one that moves the forecast most
    in the reason's direction, of those that make sense to a person (`makes_sense`); a signal without such a column is
    not told.

    Parameters
    ----------
    signals : Signals
        Of the attributions' columns.
    X : data frame of shape (n_leads, n_features)
        The leads' features, as the forecaster saw them.
    points, money : data frame of shape (n_leads, n_features)
        Shapley values of the win probability and of the expected revenue, both within the primary horizon; None for
        `money` where there are no amounts.
    typical : mapping of str to float
        The typical lead's value of columns of numbers.
    cadence : ContactCadence, optional
        What won leads of the same segment are used to, to be added to a sentence that speaks against a lead.

    Returns
    -------
    data frame of shape (n_leads, 2)
        ``reasons_positive`` and ``reasons_negative``: JSON lists of at most four
        ``{code, text, feature, value, money, points}``.
    """
    ranked_by = points if money is None else money
    weights = ranked_by.to_numpy(float)
    by_group, points_by_group = signals.by_group(ranked_by), signals.by_group(points)
    least = np.maximum(LEAST_SHARE * np.abs(by_group).sum(axis=1), LEAST_POINTS if money is None else LEAST_MONEY)
    found = {}
    for name, sign in SIDES.items():
        signed, speaker = spoken_for(signals, X, sign * by_group, sign * weights, sign, typical)
        strongest = np.argsort(-signed, axis=1, kind="stable")[:, :MOST]
        rows = np.arange(len(X))[:, None]
        is_shown = signed[rows, strongest] >= least[:, None]
        at = (np.broadcast_to(rows, is_shown.shape)[is_shown], strongest[is_shown])
        tradeoff = np.zeros(len(at[0]), bool) if money is None else -sign * points_by_group[at] >= LEAST_POINTS
        begun = heads(signals, X, at[0], speaker[at], sign, (tradeoff, BIGGER if sign > 0 else LIKELIER), cadence)
        listed = weighed(begun, None if money is None else by_group[at], points_by_group[at])
        found[name] = as_lists(listed, is_shown.sum(axis=1))
    return pd.DataFrame(found, index=X.index)


def spoken_for(
    signals: Signals,
    X: pd.DataFrame,
    by_group: FloatArray,
    weights: FloatArray,
    sign: int,
    typical: Mapping[str, float],
    *,
    moves: bool = True,
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Find the column that speaks for each lead's signals in one direction.

    Parameters
    ----------
    signals, X, typical
        As in `reasons`.
    by_group : ndarray of shape (n_leads, signals)
        What each signal weighs, positive in the direction asked for.
    weights : ndarray of shape (n_leads, columns)
        The same of each column.
    sign : int
        1: for the lead, −1: against it.
    moves : bool
        Whether the column must itself move the forecast in that direction.

    Returns
    -------
    weight : ndarray of shape (n_leads, signals)
        `by_group`, −inf where no column of the signal can be told.
    column : ndarray of int, shape (n_leads, signals)
        The column that speaks.
    """
    column = np.zeros(by_group.shape, dtype=np.intp)
    weight = by_group.copy()
    for group, members in enumerate(signals.members):
        own = np.full((len(X), len(members)), -np.inf)
        for place, member in enumerate(members):
            entry = signals.entries[member]
            fit = makes_sense(entry, X[entry.name], sign, typical.get(entry.name, np.nan))
            own[:, place] = np.where(fit, weights[:, member], -np.inf)
        own = _with_better_words(signals, members, own, weights[:, members], sign)
        best = own.argmax(axis=1)
        column[:, group] = members[best]
        weight[~(own[np.arange(len(X)), best] > (0 if moves else -np.inf)), group] = -np.inf
    return weight, column


def _with_better_words(
    signals: Signals, members: NDArray[np.intp], own: FloatArray, weights: FloatArray, sign: int
) -> FloatArray:
    """Let another column of the signal speak for one that is hard to retell, or that fits not, where the other fits."""
    names = [signals.entries[member].name for member in members]
    spoken = own.copy()
    for place, member in enumerate(members):
        entry = signals.entries[member]
        silent = np.isneginf(own[:, place]) if entry.unit == "days" else np.ones(len(own), dtype=bool)
        for other in entry.clearer_columns[::sign]:
            if other in names:
                there = silent & (own[:, names.index(other)] > -np.inf)
                spoken[there, names.index(other)] = np.maximum(own[there, names.index(other)], weights[there, place])
                spoken[there, place] = -np.inf
                silent = silent & ~there
    return spoken


def makes_sense(entry: Feature, values: pd.Series, sign: int, typical: float) -> NDArray[np.bool_]:
    """Whether a person would take each value for a point in the lead's favour, or against it.

    What a model has learnt may be right for all of a signal and still sound absurd of one column: a missing phone
    number as a strength, or being in touch more than others as a weakness. Such a column does not speak.

    Parameters
    ----------
    entry : Feature
    values : series of length n
    sign : int
        1: in favour, −1: against.
    typical : float
        The typical lead's value; NaN where it has none.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if not entry.is_reason:
        return np.zeros(len(values), dtype=bool)
    known = values.notna().to_numpy()
    if entry.is_category:
        return ~values.isin(VAGUE).to_numpy() & (known | (sign < 0))
    number = values.to_numpy(float, na_value=np.nan)
    if entry.sense == 0:
        return known & ~(bool(entry.none) & (number == 0)) if sign > 0 else np.ones(len(values), dtype=bool)
    if entry.sense == 1 and entry.unit == "days":  # a setback, which speaks for nobody however long ago it was
        return known & (sign < 0)
    if entry.sense == -1 and entry.unit == "days" and sign > 0:
        known = known & (number < (FRESH_DAYS if entry.theme == "engagement" else OURS_FRESH_DAYS))
    if np.isnan(typical):
        return known if sign > 0 else np.ones(len(values), dtype=bool)
    if entry.unit == "ratio":  # about as usual is neither strength nor weakness
        return known & (number > max(1 + AS_USUAL, typical)) if sign > 0 else ~known | (number < 1 - AS_USUAL)
    if entry.unit == "share" and entry.low and sign < 0:
        return ~known | (number < entry.low_below)
    better = (entry.sense * (number - typical) > 0) & ~(bool(entry.low) & (number < entry.low_below))
    if sign > 0:
        return known & better
    return ~known | (entry.sense * (number - typical) < 0) | ((entry.sense == 1) & (number == 0))
