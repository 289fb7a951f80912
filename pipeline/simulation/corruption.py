"""A territory's tables while they are being corrupted, and the record of what was touched."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.simulation import seasonality

CRM, CALL_CENTRE = "crm", "call_centre"
KEYS = {"leads": "lead_id", "deals": "deal_id", "accounts": "account_id", "events": "event_id"}
KNOWN_UNTIL = (
    pd.Timestamp(seasonality.KNOWN_UNTIL).tz_localize(seasonality.TIME_ZONE).tz_convert("UTC").tz_localize(None)
)


@dataclass
class CorruptedTables:
    """A territory's tables while they are being corrupted; ids are still the clean ones, unique across systems.

    Parameters
    ----------
    tables : dict of str to DataFrame
        As `Records` has them, and ``system``, and ``date_as`` (text that stands instead of the date that matters, or
        "day" for a date without its time).
    notes : list of DataFrame
        Touched rows: ``table``, ``id``, ``mess``, ``lead_id`` (of *same_person*: the lead that it really is).
    """

    rng: np.random.Generator
    tables: dict[str, pd.DataFrame]
    notes: list[pd.DataFrame] = field(default_factory=list)
    touched: dict[str, set[str]] = field(default_factory=dict)

    def note(self, table: str, ids: pd.Series, mess: str, lead_ids: pd.Series | None = None) -> None:
        """Write down that these rows were touched; they are left alone from now on."""
        note = pd.DataFrame({"table": table, "id": ids.to_numpy(), "mess": mess, "lead_id": None}, dtype=object)
        if lead_ids is not None:
            note["lead_id"] = lead_ids.to_numpy()
        self.notes.append(note)
        self.touched.setdefault(table, set()).update(ids)

    def take(self, table: str, share: float, among: NDArray[np.bool_] | pd.Series | None = None) -> pd.Index:
        """Choose about ``share`` of a table's rows (at least one) among those still untouched; labels, in order."""
        rows = self.tables[table]
        free = ~rows[KEYS[table]].isin(self.touched.get(table, set())).to_numpy()
        if among is not None:
            free &= np.asarray(among, dtype=bool)
        count = min(int(free.sum()), max(1, round(share * len(rows))))
        return rows.index[np.sort(self.rng.choice(np.flatnonzero(free), count, replace=False))]

    def add(self, table: str, rows: pd.DataFrame) -> None:
        """Append rows to a table."""
        own = self.tables[table]
        self.tables[table] = pd.concat([own, rows[own.columns].astype(own.dtypes)], ignore_index=True)
