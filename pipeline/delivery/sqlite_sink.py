"""Forecasts into a table of a SQLite file, by its key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from pipeline.common.sql import quoted
from pipeline.delivery.database_table import DatabaseTable, batches
from pipeline.delivery.outbox import Item
from pipeline.delivery.payload import SinkField
from pipeline.delivery.sink import REFUSED, Answer, SinkError

TYPES = {"string": "TEXT", "double": "REAL", "int64": "INTEGER", "timestamp[us, tz=UTC]": "TEXT"}
_OF_A_ROW = (sqlite3.IntegrityError, sqlite3.DataError)


class SQLiteSink:
    """A table of a SQLite file.

    Parameters
    ----------
    to : str
        ``sqlite:///file.db/table``.
    folder : Path
        What a relative path starts at.
    key : str
    fields : sequence of SinkField
    is_new : bool
        Nothing was ever delivered there: file and table are made if they are not there.
    """

    is_keyed = True

    def __init__(self, to: str, folder: Path, key: str, fields: Sequence[SinkField], *, is_new: bool) -> None:
        file, _, name = to.removeprefix("sqlite:///").rpartition("/")
        self.path, self.name, self.is_new = folder / unquote(file), unquote(name), is_new
        self.table = DatabaseTable(quoted(self.name), key, fields)

    def send(self, items: Sequence[Item], begin: Callable[[Item], None]) -> Iterator[list[Answer]]:
        """Put rows in; one that the table refuses is answered with its words, and the others stay."""
        if not self.is_new and not self.path.is_file():
            raise SinkError(f"no SQLite file at {self.path}")
        try:
            with closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as database:
                self._check(database)
                for batch in batches(items):
                    yield self._send(database, batch)
        except (sqlite3.Error, OSError) as error:
            raise SinkError(error) from None

    def _check(self, database: sqlite3.Connection) -> None:
        if self.is_new:
            database.execute(self.table.create(TYPES))
        query = 'SELECT name, "notnull" AND dflt_value IS NULL AND pk = 0 FROM pragma_table_info(?)'
        found = dict(database.execute(query, (self.name,)).fetchall())
        self.table.check(found.keys(), [name for name, needed in found.items() if needed])

    def _send(self, database: sqlite3.Connection, batch: Sequence[Item]) -> list[Answer]:
        sql = self.table.upsert(f"VALUES ({', '.join('?' * len(self.table.names))})")
        answers = []
        database.execute("BEGIN IMMEDIATE")
        for item in batch:
            try:
                database.execute(sql, self.table.values(item.row, item.content))
            except _OF_A_ROW as error:
                answers.append(Answer(item, REFUSED, str(error)))
            else:
                answers.append(Answer(item))
        database.execute("COMMIT")
        return answers
