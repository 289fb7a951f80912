"""Won leads that a model keeps: how they looked while open, what was done until they were won, and what it took.

As known at training: ids, counts and days, nothing of a person.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

WON_LEAD_FILES = ("won_leads.parquet", "won_leads.json")


@dataclass(frozen=True)
class WonLeadProfiles:
    """Leads that were won, and what winning took.

    Parameters
    ----------
    rows : data frame
        Snapshots of won leads while they were open: ``lead_id``, ``days_to_win`` from there, ``amount``, ``did`` (what
        happened until then, in words).
    groups : list of str
        The feature groups of `parts`.
    parts : ndarray of shape (rows, 2 · groups)
        What each group of features added to the chance (percentage points) and to the expected revenue (0 without
        amounts).
    habits : dict
        ``touches_from_us`` and ``touches_from_lead``: quartiles of the touches until winning; ``gap_days``: the median
        days between two of our touches, by kind of event, and of all under ""; ``gap_days_of`` the same by segment
        (`contact_cadence.segments`, of the column ``segment``).
    """

    rows: pd.DataFrame
    groups: list[str]
    parts: NDArray[np.float64]
    habits: dict[str, Any]

    def to_files(self) -> dict[str, bytes]:
        """Give the content of the model's files."""
        columns = {name: self.rows[name].to_numpy() for name in self.rows}
        columns |= {f"part {place}": self.parts[:, place].astype(np.float32) for place in range(self.parts.shape[1])}
        held = io.BytesIO()
        pq.write_table(pa.table(columns), held)
        described = {"groups": self.groups, "habits": self.habits}
        return {
            "won_leads.parquet": held.getvalue(),
            "won_leads.json": json.dumps(described, ensure_ascii=False).encode(),
        }

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> WonLeadProfiles:
        """Read what `to_files` gave."""
        frame = pq.read_table(io.BytesIO(files["won_leads.parquet"])).to_pandas()
        described = json.loads(files["won_leads.json"])
        parts = [name for name in frame if name.startswith("part ")]
        return cls(frame.drop(columns=parts), described["groups"], frame[parts].to_numpy(float), described["habits"])
