"""How leads stood when the audit looked, and the signs that it finds against a column."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
FILLED_LEAST, GROUP_LEAST, POST_OUTCOME_LEAST = 10, 10, 30
"""Leads needed: with the pattern; with each ending that is compared; to say that a number follows another."""


@dataclass(frozen=True)
class Finding:
    """A sign that a column knows the future, or is of no use.

    Parameters
    ----------
    code : str
        What sort of sign: ``filled, value, nested, telling, counting, closing, id, text, constant, personal, few``.
    reason : str
        In plain words, personal data masked.
    log_chance : float
        Natural logarithm of the chance that a column that has nothing to do with the outcome shows as much; -inf
        where nothing is left to chance.
    ending : str
        The ending that a pattern stands with: ``won, lost, ended, open``, or none.
    is_sure : bool
        The effect is beyond what honest columns reach; if not, it lies between what they reach and what they do not.
    word : str or None
        The one word of the column that shows it.
    """

    code: str
    reason: str
    log_chance: float = -np.inf
    ending: str = ""
    is_sure: bool = True
    word: str | None = None


@dataclass(frozen=True)
class OutcomeGroups:
    """How leads (or companies) stood when the audit looked, one entry each.

    Parameters
    ----------
    won, lost, open : ndarray of bool, shape (n,)
        None of them: ended with nobody knowing how.
    stratum : ndarray of int, shape (n,)
        Created at about the same time: only such are compared.
    fold : ndarray of int, shape (n,)
        0 or 1, at random but always the same.
    created, ended : ndarray of datetime64, shape (n,)
        ``ended`` is missing for those still open.
    event_counts : DataFrame, shape (n, kinds)
        Events so far, all and of each kind; no columns where there are none.
    last_event : ndarray of datetime64, shape (n,)
    row_noun : str
        What is compared, in the plural.
    """

    won: Flags
    lost: Flags
    open: Flags
    stratum: NDArray[np.int64]
    fold: NDArray[np.int64]
    created: NDArray[np.datetime64]
    ended: NDArray[np.datetime64]
    event_counts: pd.DataFrame = field(default_factory=pd.DataFrame)
    last_event: NDArray[np.datetime64] = field(default_factory=lambda: np.array([], dtype="datetime64[us]"))
    row_noun: str = "leads"

    def take(self, rows: Flags) -> OutcomeGroups:
        """Give some of them."""
        counts, last = self.event_counts, self.last_event
        return OutcomeGroups(
            self.won[rows],
            self.lost[rows],
            self.open[rows],
            self.stratum[rows],
            self.fold[rows],
            self.created[rows],
            self.ended[rows],
            counts[rows].reset_index(drop=True) if len(counts) else counts,
            last[rows] if len(last) else last,
            self.row_noun,
        )

    def usual_share(self, flag: Flags, rows: Flags, among: Flags | None = None) -> float:
        """Share of `flag` that those created with `rows` have, of all or of those `among` them."""
        among = np.ones(len(flag), dtype=bool) if among is None else among
        size = int(self.stratum.max(initial=0)) + 1
        total = np.bincount(self.stratum[among], minlength=size)
        flagged = np.bincount(self.stratum[among & flag], minlength=size)
        rates = flagged / np.maximum(total, 1)
        return float(rates[self.stratum[rows & among]].mean()) if (rows & among).any() else 1.0


def days_since(values: pd.Series, since: NDArray[np.datetime64]) -> pd.Series:
    """Days from an instant of each to a date of each."""
    return pd.Series((values.to_numpy("datetime64[us]") - since) / np.timedelta64(1, "D"), index=values.index)
