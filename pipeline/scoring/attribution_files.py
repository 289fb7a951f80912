"""Each feature's part of each forecast, as files: written block by block, in bounded memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.shapley import ShapleyValues
from pipeline.common.atomic_write import Staging

UNITS = {"money": "", "points": "_points", "days": "_days"}


class AttributionFiles:
    """The three files of attributions, written block by block: ``lead_id``, the base, then a column per feature.

    Parameters
    ----------
    staging : Staging
        Where they are written.
    rows_at_once : int
        Rows that a reader has to take together.
    """

    def __init__(self, staging: Staging, rows_at_once: int) -> None:
        self._staging, self._rows_at_once = staging, rows_at_once
        self._writers: dict[str, pq.ParquetWriter] = {}
        self.bases: dict[str, float | None] = {f"base_{unit}": None for unit in UNITS}
        self.methods: set[str] = set()
        self.largest_gap: float | None = None

    def write(self, lead_ids: pd.Series, attributions: ShapleyValues) -> None:
        """Append one block."""
        for unit in UNITS:
            parts = getattr(attributions, unit)
            if parts is None:
                continue
            base = float(getattr(attributions, f"base_{unit}"))
            self.bases[f"base_{unit}"] = base
            columns = {"lead_id": lead_ids.to_numpy(object), f"base_{unit}": np.full(len(parts), base)}
            self._append(unit, pa.table(columns | {name: parts[name].to_numpy(float) for name in parts.columns}))
        self.methods.add(attributions.method)
        self.largest_gap = max(self.largest_gap or 0.0, attributions.largest_gap)

    def close(self) -> None:
        """Finish the files; a unit of which nothing was written gets a file without rows."""
        for unit in UNITS:
            if unit not in self._writers:
                nothing = {"lead_id": pa.array([], pa.string()), f"base_{unit}": pa.array([], pa.float64())}
                self._append(unit, pa.table(nothing))
            self._writers[unit].close()

    def _append(self, unit: str, table: pa.Table) -> None:
        if unit not in self._writers:
            path = self._staging.path(f"attributions{UNITS[unit]}.parquet")
            self._writers[unit] = pq.ParquetWriter(path, table.schema)
        self._writers[unit].write_table(table, row_group_size=self._rows_at_once)
