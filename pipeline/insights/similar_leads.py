"""Won leads that the model remembers: how they looked while open, what was done until they were won, and what it took.

Kept with the model, as known at training: ids, counts and days, nothing of a person.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features import wording
from features.spec import FeatureSpec, slugs
from models.shapley import Attributions
from pipeline.insights.feature_groups import FloatArray, Signals

PER_LEAD = 2
LIKE = 3
WON_LEADS = ("won_leads.parquet", "won_leads.json")
ROWS_AT_ONCE = 2_000


SEGMENTS = {
    "acct_employees": "won leads of this size",
    "lead_product": "won leads for this product",
    "acct_industry": "won leads of this industry",
    "lead_source": "won leads from this source",
}
"""By what won leads are like another one: the first of these columns that there is, and what they are called then."""
SIZE_LIMITS = (10, 50, 250, 1000)


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
class Habits:
    """What won leads are used to, by segment.

    Parameters
    ----------
    segment : ndarray of int, shape (n_leads,)
        Each lead's place in the lists of `said`.
    said : mapping of str to list of ((float, str) or None)
        By column and segment: the value from which on it is worth saying, and what to add to the sentence.
    """

    segment: NDArray[np.intp]
    said: Mapping[str, Sequence[tuple[float, str] | None]]

    def of(self, column: str) -> Sequence[tuple[float, str] | None]:
        """Give what to add to a column's sentence, by segment; one entry alone where that does not matter."""
        return self.said.get(column, [None])


@dataclass(frozen=True)
class WonLeads:
    """Leads that were won, and what winning took.

    Parameters
    ----------
    rows : data frame
        Snapshots of won leads while they were open: ``lead_id``, ``days_to_win`` from there, ``amount``, ``did`` (what
        happened until then, in words).
    groups : list of str
        The signals of `parts`.
    parts : ndarray of shape (rows, 2 · signals)
        What each signal added to the chance (percentage points) and to the expected revenue (0 without amounts).
    habits : dict
        ``touches_from_us`` and ``touches_from_lead``: quartiles of the touches until winning; ``gap_days``: the median
        days between two of our touches, by kind of event, and of all under ""; ``gap_days_of`` the same by segment
        (`segments`, of the column ``segment``).
    """

    rows: pd.DataFrame
    groups: list[str]
    parts: FloatArray
    habits: dict[str, Any]

    def files(self) -> dict[str, bytes]:
        """Give the content of the model's files."""
        columns = {name: self.rows[name].to_numpy() for name in self.rows}
        columns |= {f"part {place}": self.parts[:, place].astype(np.float32) for place in range(self.parts.shape[1])}
        held = io.BytesIO()
        pq.write_table(pa.table(columns), held)
        said = {"groups": self.groups, "habits": self.habits}
        return {"won_leads.parquet": held.getvalue(), "won_leads.json": json.dumps(said, ensure_ascii=False).encode()}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> WonLeads:
        """Read what `files` gave."""
        frame = pq.read_table(io.BytesIO(files["won_leads.parquet"])).to_pandas()
        said = json.loads(files["won_leads.json"])
        parts = [name for name in frame if name.startswith("part ")]
        return cls(frame.drop(columns=parts), said["groups"], frame[parts].to_numpy(float), said["habits"])

    def like(self, signals: Signals, lead_ids: pd.Series, attributions: Attributions) -> list[str]:
        """Find the won leads whose forecast came about in the most similar way: nearest by contributions.

        Distances are taken over the signals' contributions to chance and to revenue, each in units of the spread that
        the won leads' totals have.

        Returns
        -------
        list of str
            For each lead a JSON list of at most three ``{lead_id, days_to_win, amount, did}``, nearest first.
        """
        if not len(self.rows) or signals.groups != self.groups:
            return ["[]"] * len(lead_ids)
        own = contributions(signals, attributions)
        half = len(self.groups)
        scale = np.ones(2 * half)
        for place in (slice(0, half), slice(half, 2 * half)):
            scale[place] = max(float(self.parts[:, place].sum(axis=1).std()), 1e-9)
        won, asked = (self.parts / scale).astype(np.float32), (own / scale).astype(np.float32)
        lengths = (won**2).sum(axis=1)
        code, distinct = pd.factorize(self.rows["lead_id"])
        told = [json.dumps(row, ensure_ascii=False) for row in self._rows_told()]
        known = pd.Index(distinct).get_indexer(pd.Index(lead_ids))
        found = []
        most = min(LIKE * PER_LEAD + PER_LEAD, len(won))
        for start in range(0, len(asked), ROWS_AT_ONCE):
            distance = lengths - 2.0 * asked[start : start + ROWS_AT_ONCE] @ won.T
            nearest = np.argpartition(distance, most - 1, axis=1)[:, :most]
            # A matrix product may differ in its last digits from machine to machine: the order is taken from sums.
            apart = own[start : start + ROWS_AT_ONCE, None] / scale - self.parts[nearest] / scale
            order = np.lexsort((nearest, (apart**2).sum(axis=2).round(9)), axis=1)
            nearest = np.take_along_axis(nearest, order, axis=1)
            for lead, rows in enumerate(nearest.tolist(), start):
                picked: dict[int, str] = {}
                for row in rows:
                    if code[row] != known[lead] and code[row] not in picked and len(picked) < LIKE:
                        picked[code[row]] = told[row]
                found.append(f"[{', '.join(picked.values())}]")
        return found

    def _rows_told(self) -> list[dict[str, Any]]:
        columns = (self.rows[name].tolist() for name in ("lead_id", "days_to_win", "amount", "did"))
        return [
            {
                "lead_id": lead_id,
                "days_to_win": round(days, 1),
                "amount": None if amount != amount else round(amount, 2),
                "did": did,
            }
            for lead_id, days, amount, did in zip(*columns, strict=True)
        ]

    def reminders(self, spec: FeatureSpec, X: pd.DataFrame) -> Habits:
        """Say what won leads like each of some leads are used to, where our last touch is long ago.

        Too few won leads of a segment are no rule: then it is said of all.
        """
        gaps, gaps_of = self.habits.get("gap_days", {}), self.habits.get("gap_days_of", {})
        column, segment = segments(X)
        if column != self.habits.get("segment"):
            gaps_of = {}
        known = sorted(gaps_of)
        columns = {kind: f"touch_{name}_recency_days" for kind, name in slugs(spec.event_kinds).items()}
        columns[""] = "touch_outbound_recency_days"
        said = {}
        for kind in [kind for kind in gaps if kind in columns]:
            heard = "heard from us" if kind == "" else "got one"
            told = [(gaps_of[name].get(kind), SEGMENTS.get(column, "")) for name in known]
            said[columns[kind]] = [
                (2.0 * gap, f"; {who} {heard} {wording.every(gap)}")
                for gap, who in [
                    (gaps[kind], "won leads"),
                    *((g or gaps[kind], w if g else "won leads") for g, w in told),
                ]
            ]
        places = {name: place for place, name in enumerate(known, 1)}
        return Habits(np.array([places.get(name, 0) for name in segment], dtype=np.intp), said)


def contributions(signals: Signals, attributions: Attributions) -> FloatArray:
    """Give each lead's signals' contributions to chance and revenue beside each other: (n, 2 · signals)."""
    points = signals.by_group(attributions.points)
    money = np.zeros_like(points) if attributions.money is None else signals.by_group(attributions.money)
    return np.concatenate([points, money], axis=1)
