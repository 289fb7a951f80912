# ruff: noqa: S608 (SQL here is made of quoted identifiers)
"""Which sources write times of day without an offset: in which zone they are meant, no file says."""

from __future__ import annotations

import duckdb

from features.schema import TIME
from pipeline.common.sql import quoted
from pipeline.config.data_contract import TABLES
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.parsing import clean_sql

SAMPLED = 1_000
_CLOCK = r"\d{1,2}[:.h]\d{2}([:.]\d{2}([.,]\d+)?)?( ?[ap]\.? ?m\.?)?( uhr)?$"
_OFFSET = r"[+-]\d{2}:?\d{2}$"
"""A text that ends in a time of day, and one that ends in an offset."""


def has_local_times(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> bool:
    """Say whether a source writes some time of day without saying in which zone, by its first rows.

    Parameters
    ----------
    connection : duckdb connection
        With the source's relation.
    mapping : Mapping
    """
    raw = mapping.raw
    for ours, column in mapping.columns.items():
        if TABLES[raw.table].get(ours) != TIME or column not in raw.columns:
            continue
        type_ = raw.columns[column]
        if type_ == "DATE" or "TIME ZONE" in type_ or type_ == "TIMESTAMPTZ":
            continue
        if type_.startswith("TIMESTAMP"):
            found = f"CAST({quoted(column)} AS TIMESTAMP)::TIME <> TIME '00:00:00'"
        else:
            text = clean_sql(column, type_)
            found = f"regexp_matches({text}, '{_CLOCK}', 'i') AND NOT regexp_matches({text}, '{_OFFSET}')"
        rows = f"SELECT * FROM {quoted(raw.relation)} WHERE {quoted(column)} IS NOT NULL LIMIT {SAMPLED}"
        if connection.execute(f"SELECT coalesce(bool_or({found}), false) FROM ({rows})").fetchall()[0][0]:
            return True
    return False
