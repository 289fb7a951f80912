# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Reading a database table through ADBC, as Arrow, without ever showing a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import duckdb

from pipeline.common.errors import UserError
from pipeline.common.masking import without_password
from pipeline.common.sql import quoted

SCHEMES = ("postgresql://", "postgres://", "sqlite:///")
FORMS = "postgresql://user@host/database/schema.table or sqlite:///file.db/table"

# Types that Arrow, and so DuckDB, holds as they are; every other one (numeric, uuid, enum, …) is read as text.
_PLAIN_TYPES = (
    "smallint", "integer", "bigint", "real", "double precision", "boolean", "text", "character varying", "date",
    "timestamp without time zone", "timestamp with time zone",
)  # fmt: skip


def copy_table(connection: duckdb.DuckDBPyConnection, url: str, key: str, folder: Path, relation: str) -> None:
    """Copy a database table into a DuckDB table.

    Parameters
    ----------
    connection : DuckDB connection
        Gets the table `relation`.
    url : str
        ``postgresql://user:password@host:port/database/schema.table`` (what is left out, the password too, comes from
        the usual environment: ``PGPASSWORD``, ``PGHOST``, ``~/.pgpass``, …), or ``sqlite:///file.db/table`` with the
        file's path relative to `folder` (absolute: ``sqlite:////srv/file.db/table``).
    key : str
        The dotted params key, for messages.
    folder : Path
        Folder of the params file.
    relation : str
        Quoted name of the table to make.

    Raises
    ------
    UserError
        The database, the table or the permission is not there.
    """
    with driver_errors(url, f"{key}.from: cannot read"):
        if url.startswith("sqlite:"):
            _copy_sqlite(connection, url, key, folder, relation)
        else:
            _copy_postgresql(connection, url, key, relation)


@contextmanager
def driver_errors(url: str, failed: str) -> Iterator[None]:
    """Tell what a database driver says in one line, without the password of its address.

    Raises
    ------
    UserError
        What `failed` says, the address, and the driver's words.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each driver raises its own kinds
        words = " ".join(str(error).split())
        if password := urlsplit(url).password:
            words = words.replace(password, "***").replace(unquote(password), "***")
        raise UserError(f"{failed} {without_password(url)}: {without_password(words)[:300]}") from None


def _copy_sqlite(connection: duckdb.DuckDBPyConnection, url: str, key: str, folder: Path, relation: str) -> None:
    import adbc_driver_sqlite.dbapi as sqlite

    file, _, table = url.removeprefix("sqlite:///").rpartition("/")
    path = folder / unquote(file)
    if not file or not table:
        raise UserError(f"{key}.from: found {without_password(url)}; a database table is written {FORMS}.")
    if not path.is_file():
        raise UserError(f"{key}.from: no SQLite file at {path}; paths start at the folder of the params file.")
    with closing(sqlite.connect(str(path))) as database, closing(database.cursor()) as cursor:
        # SQLite values have types, its columns do not: as text nothing is lost, and nothing refused halfway.
        cursor.execute("SELECT name FROM pragma_table_info(?)", parameters=[table])
        names = [name for (name,) in cursor.fetchall()]
        if not names:
            raise UserError(f"{key}.from: {path} has no table '{table}'.")
        columns = ", ".join(f"CAST({quoted(name)} AS TEXT) AS {quoted(name)}" for name in names)
        cursor.execute(f"SELECT {columns} FROM {quoted(table)}")
        _copy(connection, cursor, relation)


def _copy_postgresql(connection: duckdb.DuckDBPyConnection, url: str, key: str, relation: str) -> None:
    import adbc_driver_postgresql.dbapi as postgresql

    parts = urlsplit(url)
    database_name, _, named = parts.path.strip("/").rpartition("/")
    schema, _, table = unquote(named).rpartition(".")
    if not table:
        raise UserError(f"{key}.from: found {without_password(url)}; a database table is written {FORMS}.")
    user, _, host = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    # A password with an @ or a / in it would otherwise be taken for part of the host's name, and shown as such.
    user = f"{name}{colon}{quote(unquote(password), safe='')}@" if user else ""
    address = f"postgresql://{user}{host}/{database_name}" + (f"?{parts.query}" if parts.query else "")
    with closing(postgresql.connect(address)) as database, closing(database.cursor()) as cursor:
        cursor.execute(
            "SELECT column_name::text, data_type::text FROM information_schema.columns "
            "WHERE table_schema = coalesce(nullif($1::text, ''), current_schema()) AND table_name = $2::text "
            "ORDER BY ordinal_position",
            parameters=[schema, table],
        )
        types = cursor.fetchall()
        if not types:
            raise UserError(f"{key}.from: {without_password(url)}: no such table, or no right to read it.")
        columns = ", ".join(
            quoted(name) if type_ in _PLAIN_TYPES else f"{quoted(name)}::text AS {quoted(name)}"
            for name, type_ in types
        )
        place = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
        cursor.execute(f"SELECT {columns} FROM {place}")
        _copy(connection, cursor, relation)


def _copy(connection: duckdb.DuckDBPyConnection, cursor, relation: str) -> None:
    """Stream the cursor's record batches into a DuckDB table, so that memory stays bounded."""
    batches = cursor.fetch_record_batch()
    connection.register("arriving", batches)
    connection.execute(f"CREATE TABLE {relation} AS SELECT * FROM arriving")
    connection.unregister("arriving")
