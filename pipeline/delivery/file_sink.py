"""Forecasts as files: a folder of Parquet files, one a delivery, and a CSV file for an import wizard."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.atomic_write import replace_file
from pipeline.common.errors import UserError
from pipeline.common.spreadsheet_text import plain_cell
from pipeline.delivery.changes import digest_of
from pipeline.delivery.database_table import DatabaseTable, arrow_rows
from pipeline.delivery.outbox import CLEAR, Item
from pipeline.delivery.payload import SinkField
from pipeline.delivery.sink import Answer, SinkError

CLEARED = "is_cleared"
"""The column of Parquet files that tells a lead that is no longer scored; its other columns are null."""
PARQUET_COLUMNS = ("as_of", CLEARED)
"""What Parquet files have besides the fields; a field may be called so only where it is that."""


class ParquetSink:
    """A folder of Parquet files: each holds what changed; of several rows with a key the newest ``as_of`` counts.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    key : str
    fields : sequence of SinkField
    as_of : str
        Of the scores: it names the files, and is a column of them.
    """

    is_keyed = True

    def __init__(self, folder: Path, key: str, fields: Sequence[SinkField], as_of: str) -> None:
        self.folder, self.as_of = folder, as_of
        self.table = DatabaseTable("", key, [field for field in fields if field.name != "as_of"])

    def send(self, items: Sequence[Item], begin: Callable[[Item], None]) -> Iterator[list[Answer]]:
        """Write one file; the same rows are the same file."""
        rows = arrow_rows(self.table, [self.table.values(item.row, item.content) for item in items])
        as_of = pa.array([self.as_of] * len(items), pa.string()).cast(pa.timestamp("us", "UTC"))
        rows = rows.append_column("as_of", as_of)
        rows = rows.append_column(CLEARED, pa.array([item.kind == CLEAR for item in items]))
        buffer = pa.BufferOutputStream()
        pq.write_table(rows, buffer, compression="zstd")
        content = buffer.getvalue().to_pybytes()
        digest = digest_of([[item.row, item.digest] for item in items])[:12]
        _write(self.folder / f"{self.as_of.replace(':', '-')}-{digest}.parquet", content)
        yield [Answer(item) for item in items]


class CSVSink:
    """A CSV file for an import wizard: what has changed since somebody took the file away.

    While it lies there, what changes is added, and replaces older rows with the same key: nothing is lost between two
    imports, and importing a file twice does no harm. No cell is run by a spreadsheet. A lead that is no longer scored
    has its key and empty cells.

    Parameters
    ----------
    path : Path
    key : str
    fields : sequence of SinkField
    """

    is_keyed = True

    def __init__(self, path: Path, key: str, fields: Sequence[SinkField]) -> None:
        self.path, self.table = path, DatabaseTable("", key, fields)

    def send(self, items: Sequence[Item], begin: Callable[[Item], None]) -> Iterator[list[Answer]]:
        """Write the file anew, with the rows that it holds and these."""
        rows = self._waiting()
        for item in items:
            cells = [_cell(value) for value in self.table.values(item.row, item.content)]
            rows[cells[0]] = cells
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self._header)
        writer.writerows(rows[key] for key in sorted(rows))
        _write(self.path, text.getvalue().encode())
        yield [Answer(item) for item in items]

    @property
    def _header(self) -> list[str]:
        return [plain_cell(name) for name in self.table.names]

    def _waiting(self) -> dict[str, list[str]]:
        """Read the rows that nobody has imported yet."""
        if not self.path.exists():
            return {}
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                header, *rows = [*csv.reader(file)] or [[]]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SinkError(f"{self.path} cannot be read: {error}") from None
        if header != self._header or any(len(row) != len(header) for row in rows):
            raise SinkError(f"{self.path} has other columns than are delivered: import it and move it away")
        return {row[0]: row for row in rows}


def _cell(value: Any) -> str:
    return "" if value is None else plain_cell(value) if isinstance(value, str) else str(value)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except (OSError, UserError) as error:
        raise SinkError(error) from None
