"""Feature matrices in memory, built where the tables are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features import matrix, snapshots
from features.schema import Tables, materialise
from features.snapshot_context import KEYS, snapshot_context
from features.spec import FeatureSpec

ROWS_AT_ONCE = 50_000
"""Snapshots whose features are built together."""


def open_leads_matrix(tables: Tables, spec: FeatureSpec, as_of: datetime, lead_id: str | None = None) -> pd.DataFrame:
    """Build the features of every lead open at `as_of` (or of one lead), a row a lead, in the order of their ids."""
    grid = snapshots.open_leads(tables, as_of)
    if lead_id is not None:
        grid = grid.filter(grid.lead_id == lead_id)
    return build_matrix(tables, materialise(grid), spec)


def build_matrix(tables: Tables, grid: ir.Table, spec: FeatureSpec) -> pd.DataFrame:
    """Build the features of snapshots, in the order of their keys.

    DuckDB builds them block after block, as the wide sums of many snapshots may not fit into memory; the query is
    compiled once, for a table that holds one block after the other.

    Parameters
    ----------
    tables : Tables
    grid : ibis table
        ``lead_id, episode, as_of``, no row twice.
    spec : FeatureSpec

    Returns
    -------
    data frame
        As `features.matrix.feature_matrix`.
    """
    backend: Any = tables.leads.get_backend()
    if backend.name != "duckdb":  # Spark has means of its own
        return to_frame(matrix.feature_matrix(tables, grid, spec))
    context = snapshot_context(tables, grid, spec)
    count = int(context.every.count().execute())
    name = ibis.util.gen_name("leadrev_block")
    columns: dict[str, np.ndarray] = {}
    for start in range(0, max(count, 1), ROWS_AT_ONCE):
        # Snapshots are numbered in the order of their keys, from 0 on.
        rows = context.every.filter(context.every.snapshot >= start, context.every.snapshot < start + ROWS_AT_ONCE)
        block = backend.create_table(name, rows, temp=True, overwrite=True)
        if not columns:
            features = matrix.feature_block(context.block(block)).order_by("snapshot").drop("snapshot")
            sql, schema = backend.compile(features), features.schema().to_pyarrow()
        found = backend.con.sql(sql).to_arrow_table().cast(schema)
        for column in schema.names:
            values = found[column].to_pandas().to_numpy()
            columns.setdefault(column, np.empty(count, values.dtype))[start : start + len(values)] = values
    backend.drop_table(name)
    return pd.DataFrame(columns, copy=False)


def to_frame(table) -> pd.DataFrame:
    """Bring an Ibis table of snapshots into memory, always in the same order."""
    frame = table.order_by(KEYS).to_pandas().reset_index(drop=True)
    return frame.astype({"as_of": "datetime64[us]"})  # Spark gives nanoseconds
