"""The table of a database that forecasts go into: its SQL, the same for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.common.sql import quoted
from pipeline.delivery.outbox import Item
from pipeline.delivery.payload import SinkField
from pipeline.delivery.sink import SinkError

BATCH_ROWS = 10_000


@dataclass(frozen=True)
class DatabaseTable:
    """A table, its key and the columns that are delivered.

    Parameters
    ----------
    place : str
        Its quoted name.
    key : str
    fields : sequence of SinkField
    """

    place: str
    key: str
    fields: Sequence[SinkField]

    @property
    def names(self) -> list[str]:
        """The key, then the fields."""
        return [self.key, *(field.name for field in self.fields)]

    def create(self, types: Mapping[str, str]) -> str:
        """Return SQL that makes the table; `types` names the database's type for each of Arrow's."""
        columns = ", ".join(f"{quoted(field.name)} {types[str(field.type_)]}" for field in self.fields)
        key = f"{quoted(self.key)} {types['string']} PRIMARY KEY"
        return f"CREATE TABLE IF NOT EXISTS {self.place} ({key}{', ' + columns if columns else ''})"

    def upsert(self, rows: str) -> str:
        """Return SQL that puts rows in: a row whose key is there is changed, and nothing else of it."""
        into = ", ".join(quoted(name) for name in self.names)
        changed = ", ".join(f"{quoted(field.name)} = excluded.{quoted(field.name)}" for field in self.fields)
        action = f"DO UPDATE SET {changed}" if changed else "DO NOTHING"
        return f"INSERT INTO {self.place} ({into}) {rows} ON CONFLICT ({quoted(self.key)}) {action}"

    def check(self, there: Collection[str], needed: Collection[str]) -> None:
        """Refuse a table that lacks a column, or needs one that nobody delivers.

        Parameters
        ----------
        there : collection of str
            The columns that it has.
        needed : collection of str
            Those without a default that may not be null.

        Raises
        ------
        SinkError
        """
        if not there:
            raise SinkError(f"there is no table {self.place}, or no right to write to it")
        if missing := [name for name in self.names if name not in there]:
            raise SinkError(f"{self.place} has no column {', '.join(missing)}")
        if more := [name for name in needed if name not in self.names]:
            raise SinkError(f"{self.place} needs a value for {', '.join(more)}, which is not among the fields")

    def values(self, key: str, content: Mapping[str, Any]) -> list[Any]:
        """Give a row's values, in the order of `names`."""
        return [key, *(content.get(field.name) for field in self.fields)]


def arrow_rows(table: DatabaseTable, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Give rows, as `DatabaseTable.values` does, as an Arrow table."""
    import pyarrow.compute as pc

    columns = list(zip(*rows, strict=True)) or [()] * len(table.names)
    arrays = [pa.array(columns[0], pa.string())]
    for field, column in zip(table.fields, columns[1:], strict=True):
        if pa.types.is_timestamp(field.type_):
            arrays.append(pc.cast(pa.array(column, pa.string()), field.type_))
        else:
            arrays.append(pa.array(column, field.type_))
    return pa.table(arrays, names=table.names)


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Split rows into what one transaction takes."""
    yield from (items[start : start + BATCH_ROWS] for start in range(0, len(items), BATCH_ROWS))
