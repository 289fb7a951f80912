"""How often won leads like these hear from a company, said where its last touch is long ago."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import wording
from features.spec import FeatureSpec, slugs
from pipeline.common.company_size import SIZE_LIMITS
from pipeline.model_registry.won_lead_profiles import WonLeadProfiles

SEGMENTS = {
    "acct_employees": "won leads of this size",
    "lead_product": "won leads for this product",
    "acct_industry": "won leads of this industry",
    "lead_source": "won leads from this source",
}
"""By what won leads are like another one: the first of these columns that there is, and what they are called then."""


def segments(X: pd.DataFrame) -> tuple[str, NDArray[np.object_]]:
    """Tell which leads are like each other.

    Returns
    -------
    column : str
        One of `SEGMENTS`; empty where the company has none of these columns.
    segment : ndarray of text, shape (n,)
        Empty where it is unknown.
    """
    column = next((name for name in SEGMENTS if name in X), "")
    if not column:
        return "", np.full(len(X), "", dtype=object)
    known = X[column].notna().to_numpy()
    if column == "acct_employees":
        named = np.digitize(X[column].to_numpy(float, na_value=0.0), SIZE_LIMITS).astype(str)
    else:
        named = X[column].astype(str).to_numpy(object)
    return column, np.where(known, named, "").astype(object)


@dataclass(frozen=True)
class ContactCadence:
    """How often won leads hear from us, by segment, as something to say beside a lead that has not.

    Parameters
    ----------
    segment : ndarray of int, shape (n_leads,)
        Each lead's place in the lists of `typical_gaps`.
    said : mapping of str to list of ((float, str) or None)
        By column and segment: the value from which on it is worth saying, and what to add to the sentence.
    """

    segment: NDArray[np.intp]
    typical_gaps: Mapping[str, Sequence[tuple[float, str] | None]]

    def of(self, column: str) -> Sequence[tuple[float, str] | None]:
        """Give what to add to a column's sentence, by segment; one entry alone where that does not matter."""
        return self.typical_gaps.get(column, [None])


def contact_cadence(profiles: WonLeadProfiles, spec: FeatureSpec, X: pd.DataFrame) -> ContactCadence:
    """Say what won leads like each of some leads are used to, where our last touch is long ago.

    Too few won leads of a segment are no rule: then it is said of all.
    """
    gaps, gaps_of = profiles.habits.get("gap_days", {}), profiles.habits.get("gap_days_of", {})
    column, segment = segments(X)
    if column != profiles.habits.get("segment"):
        gaps_of = {}
    known = sorted(gaps_of)
    columns = {kind: f"touch_{name}_recency_days" for kind, name in slugs(spec.event_kinds).items()}
    columns[""] = "touch_outbound_recency_days"
    typical_gaps = {}
    for kind in [kind for kind in gaps if kind in columns]:
        heard = "heard from us" if kind == "" else "got one"
        told = [(gaps_of[name].get(kind), SEGMENTS.get(column, "")) for name in known]
        typical_gaps[columns[kind]] = [
            (2.0 * gap, f"; {who} {heard} {wording.every(gap)}")
            for gap, who in [
                (gaps[kind], "won leads"),
                *((g or gaps[kind], w if g else "won leads") for g, w in told),
            ]
        ]
    places = {name: place for place, name in enumerate(known, 1)}
    return ContactCadence(np.array([places.get(name, 0) for name in segment], dtype=np.intp), typical_gaps)
