# ruff: noqa: S608 (SQL here is made of quoted identifiers and numbers)
"""Forecasts into a table of PostgreSQL, by its key: rows are copied beside it and put in by one statement.

Where the statement is refused for a row's sake, the server puts each row in by itself: those at fault are told, all
others stay. What concerns no single row (no such column, no right, no room) fails the sink, and nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from pipeline.common.sql import quoted
from pipeline.delivery.database_table import DatabaseTable, arrow_rows, batches
from pipeline.delivery.outbox import Item
from pipeline.delivery.payload import SinkField
from pipeline.delivery.sink import REFUSED, Answer, SinkError

TYPES = {
    "string": "text", "double": "double precision", "int64": "bigint", "timestamp[us, tz=UTC]": "timestamptz",
}  # fmt: skip
_ROWS, _REFUSED, _PLACE = "leadrev_rows", "leadrev_refused", "leadrev_place"
_OF_A_ROW = ("22", "23", "44")
"""Classes of SQLSTATE that are about a value: data exceptions, constraints, a view's condition."""
_CONDITIONS = "data_exception OR integrity_constraint_violation OR with_check_option_violation"
"""The same, by name."""
_LIMITS = {"connect_timeout": "10", "tcp_user_timeout": "30000", "application_name": "leadrev"}
_STATEMENT_SECONDS = 120
_COLUMNS = """
    SELECT attname::text, format_type(atttypid, NULL)::text,
           attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = ''
    FROM pg_attribute WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped
"""


class PostgreSQLSink:
    """A table of a PostgreSQL database.

    Parameters
    ----------
    to : str
        ``postgresql://user@host/database/schema.table``; the password comes from ``PGPASSWORD`` or ``~/.pgpass``.
        Unless it, or ``PGSSLMODE``, says otherwise (``?sslmode=…``), the certificate of another machine is verified.
    key : str
        A column with a unique index.
    fields : sequence of SinkField
    is_new : bool
        Nothing was ever delivered there: the table is made if it is not there.
    """

    is_keyed = True

    def __init__(self, to: str, key: str, fields: Sequence[SinkField], *, is_new: bool) -> None:
        parts = urlsplit(to)
        database, _, named = parts.path.strip("/").rpartition("/")
        schema, _, name = unquote(named).rpartition(".")
        place = f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)
        self.address = f"postgresql://{parts.netloc}/{database}?{_settings(parts.netloc, parts.query)}"
        self.table, self.is_new = DatabaseTable(place, key, fields), is_new

    def send(self, items: Sequence[Item], begin: Callable[[Item], None]) -> Iterator[list[Answer]]:
        """Put rows in; one that the table refuses is answered with its words, and the others stay."""
        import adbc_driver_postgresql.dbapi as postgresql

        try:
            with (
                # The driver's own transactions end with the first refusal: ours are begun by hand.
                closing(postgresql.connect(self.address, autocommit=True)) as database,
                closing(database.cursor()) as cursor,
            ):
                cursor.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
                casts = self._check(cursor)
                for batch in batches(items):
                    yield self._send(cursor, batch, casts)
        except postgresql.Error as error:
            raise SinkError(_words(error)) from None

    def _check(self, cursor: Any) -> dict[str, str]:
        """Hold the table against what is delivered, and give the types of its columns."""
        if self.is_new:
            cursor.execute("SELECT to_regclass($1::text) IS NULL", parameters=[self.table.place])
            if cursor.fetchone()[0]:
                cursor.execute(self.table.create(TYPES))
        cursor.execute(_COLUMNS, parameters=[self.table.place])
        found = cursor.fetchall()
        self.table.check([name for name, _, _ in found], [name for name, _, needed in found if needed])
        return {name: type_ for name, type_, _ in found}

    def _send(self, cursor: Any, batch: Sequence[Item], casts: dict[str, str]) -> list[Answer]:
        rows = arrow_rows(self.table, [self.table.values(item.row, item.content) for item in batch])
        number = "leadrev_row"
        while number in self.table.names:
            number += "_"
        rows = rows.append_column(number, [list(range(len(batch)))])
        import adbc_driver_postgresql.dbapi as postgresql

        cursor.execute("BEGIN")
        cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{_ROWS}")
        cursor.adbc_ingest(_ROWS, rows, mode="create", temporary=True)
        # To the column's type, but not to its length: a text that is too long is refused, not cut.
        columns = ", ".join(f"CAST({quoted(name)} AS {casts[name]})" for name in self.table.names)
        source = f"SELECT {columns} FROM pg_temp.{_ROWS}"
        refused: dict[int, str] = {}
        cursor.execute("SAVEPOINT here")
        try:
            cursor.execute(self.table.upsert(source))
        except postgresql.Error as error:
            if not (error.sqlstate or "").startswith(_OF_A_ROW):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT here")
            refused = self._send_each(
                cursor, self.table.upsert(f"{source} WHERE {number} = {_PLACE}"), number, len(batch)
            )
        cursor.execute("COMMIT")
        return [Answer(item, REFUSED, refused[n]) if n in refused else Answer(item) for n, item in enumerate(batch)]

    def _send_each(self, cursor: Any, upsert: str, number: str, count: int) -> dict[int, str]:
        """Put each row in by itself, on the server, and give the words for those that are refused."""
        tag = "$leadrev$"
        while tag in upsert:
            tag = f"{tag[:-1]}_$"
        cursor.execute(f"CREATE UNIQUE INDEX ON pg_temp.{_ROWS} ({number})")
        cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{_REFUSED}")
        cursor.execute(f"CREATE TEMPORARY TABLE {_REFUSED} (place int, words text)")
        cursor.execute(
            f"""
            DO {tag} BEGIN
                FOR {_PLACE} IN 0..{count - 1} LOOP
                    BEGIN
                        {upsert};
                    EXCEPTION WHEN {_CONDITIONS} THEN
                        INSERT INTO pg_temp.{_REFUSED} VALUES ({_PLACE}, SQLERRM);
                    END;
                END LOOP;
            END {tag}
            """
        )
        cursor.execute(f"SELECT place, words FROM pg_temp.{_REFUSED}")
        return dict(cursor.fetchall())


def _words(error: Exception) -> str:
    """Give what the server said, without what the driver says around it, and without the row's values."""
    text = str(error).replace("\n", " ").partition("DETAIL:")[0]
    return text.rpartition("ERROR:")[2].strip() or text


def _settings(host: str, query: str) -> str:
    """Give the address's own settings, and those without which a silent or a false server would not be noticed."""
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    settings = dict(_LIMITS)
    name = given.get("host", host.rpartition("@")[2].rpartition(":")[0] or host.rpartition("@")[2]).strip("[]")
    is_here = not name or name.startswith(("/", "%2F", "127.")) or name in ("localhost", "::1")
    if not is_here and "PGSSLMODE" not in os.environ:
        settings["sslmode"] = "verify-full"
        if "PGSSLROOTCERT" not in os.environ and not (Path.home() / ".postgresql" / "root.crt").exists():
            settings["sslrootcert"] = "system"
    if "sslmode" in given:
        settings.pop("sslrootcert", None)
    return urlencode({**settings, **given})
