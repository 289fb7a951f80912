"""Parquet files that grow territory by territory, the same bytes for the same content."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

INSTANT = pa.timestamp("us", tz="UTC")


def schema_of(frame: pd.DataFrame) -> pa.Schema:
    """Arrow types of a simulated table: text, UTC microseconds, whole and other numbers, flags, lists of days."""
    fields = []
    for name in frame.columns:
        column = frame[name]
        if name.endswith("_days") and column.dtype == object:
            kind = pa.list_(pa.int16())
        elif pd.api.types.is_datetime64_any_dtype(column):
            kind = INSTANT
        elif pd.api.types.is_bool_dtype(column):
            kind = pa.bool_()
        elif pd.api.types.is_integer_dtype(column):
            kind = pa.int64()
        elif pd.api.types.is_float_dtype(column):
            kind = pa.float64()
        else:
            kind = pa.string()
        fields.append(pa.field(str(name), kind))
    return pa.schema(fields)


class ParquetFiles:
    """A folder of Parquet files, one per table, to which frames are appended; a context manager.

    Parameters
    ----------
    folder : Path
        Where ``<table>.parquet`` is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ParquetFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def append(self, table: str, frame: pd.DataFrame) -> None:
        """Append a frame's rows, as a row group of their own; instants are naive UTC and are written as UTC."""
        if table not in self._writers:
            writer = pq.ParquetWriter(self._folder / f"{table}.parquet", schema_of(frame), compression="zstd")
            self._writers[table] = self._stack.enter_context(writer)
        writer = self._writers[table]
        writer.write_table(pa.Table.from_pandas(frame, schema=writer.schema, preserve_index=False))
