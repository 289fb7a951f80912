"""Finding what there is to read: the files of a folder, files by name, or the tables of a database."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.common.errors import UserError
from pipeline.ingest.databases import SCHEMES, driver_errors
from pipeline.ingest.file_formats import OTHER_FORMATS, TEXT_FORMATS, members

OWN_FILES = frozenset({"audit.json", "manifest.json", "backtest.json", "truth.json", "mess.json", "quarantine.parquet"})
"""What leadrev itself writes; a folder that holds an audit or scores is one of results."""
_LISTS = ("results", "value", "data", "records", "items", "rows")
"""Keys under which a page of an interface keeps its rows."""


@dataclass(frozen=True)
class Place:
    """One table to look at.

    Parameters
    ----------
    name : str
        What it is called: a file's name without its endings, a folder's, or a table's.
    written : str
        How params write it after ``from:``.
    """

    name: str
    written: str


def find_places(given: Sequence[str], folder: Path) -> list[Place]:
    """List the tables of what a person names.

    Parameters
    ----------
    given : sequence of str
        Folders, files, or ``postgresql://user@host/database`` and ``sqlite:///file.db``.
    folder : Path
        Where the params will lie: files are written relative to it.

    Returns
    -------
    list of Place
        In the order given, within a folder by name. A folder's own folders count as one table each where they hold
        files of one format (``events/part-0.parquet``).

    Raises
    ------
    UserError
        There is nothing of that name, or nothing in it that can be read.
    """
    places: list[Place] = []
    for written in given:
        if written.startswith(SCHEMES):
            places += _tables(written, folder)
        else:
            places += _files(Path(written), folder)
    if not places:
        raise UserError(
            f"{', '.join(given)}: nothing to read there; tables may end in "
            f"{', '.join([*TEXT_FORMATS, *OTHER_FORMATS])} (text in .gz too)."
        )
    return places


def _files(path: Path, folder: Path) -> list[Place]:
    if path.is_file():
        return _of_file(path, folder)
    if not path.is_dir():
        raise UserError(
            f"{path}: no such file or folder; name a folder of exports, files, or postgresql://user@host/db"
        )
    places = []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith((".", "_", "~")):
            continue
        if entry.is_file() and _is_table(entry):
            places += _of_file(entry, folder)
        elif entry.is_dir():
            places += _parts(entry, folder)
    return places


def _of_file(path: Path, folder: Path) -> list[Place]:
    """Read a file as one table; an archive, or a workbook, as one table for each that it holds."""
    inside = members(path)
    if len(inside) < 2:
        return [Place(_stem(path), _relative(path, folder))]
    return [Place(Path(name).stem, f"{_relative(path, folder)}/{name}") for name in inside]


def _parts(path: Path, folder: Path) -> list[Place]:
    """Read a folder in a folder as one table where its files are of one format, else as one table a file."""
    files = [entry for entry in sorted(path.iterdir()) if entry.is_file() and not entry.name.startswith((".", "_"))]
    if any(entry.name in OWN_FILES for entry in files):
        return []
    tables = [entry for entry in files if _is_table(entry)]
    endings = {"".join(entry.suffixes[-2:]) for entry in tables}
    is_one = len(tables) > 1 and len(endings) == 1 and all("part" in entry.name.lower() for entry in tables)
    if is_one or (len(tables) == 1 and "part" in tables[0].name.lower()):
        return [Place(path.name, f"{_relative(path, folder)}/*{tables[0].suffix}")]
    return [Place(_stem(entry), _relative(entry, folder)) for entry in tables]


def _is_table(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    if path.name in OWN_FILES or Path(name).suffix not in (*TEXT_FORMATS, *OTHER_FORMATS):
        return False
    return Path(name).suffix != ".json" or not _is_lone_object(path)


def _is_lone_object(path: Path) -> bool:
    """Whether a JSON file is one object that keeps no list of rows: settings, not a table."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and not any(isinstance(content.get(key), list) for key in _LISTS)


def _stem(path: Path) -> str:
    return path.name.split(".", 1)[0] if path.suffix == ".gz" else path.stem


def _relative(path: Path, folder: Path) -> str:
    absolute, start = path.resolve(), folder.resolve()
    if absolute.is_relative_to(start.parent):
        return Path(os.path.relpath(absolute, start)).as_posix()
    return absolute.as_posix()


def _tables(url: str, folder: Path) -> list[Place]:
    """List the tables of a database; of PostgreSQL those of every schema that is not its own."""
    with driver_errors(url, "cannot look into"):
        if url.startswith("sqlite:"):
            import adbc_driver_sqlite.dbapi as sqlite

            path = Path(url.removeprefix("sqlite:///"))
            if not path.is_file():
                raise UserError(f"no SQLite file at {path}")
            query = (
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1"
            )
            with closing(sqlite.connect(str(path))) as database, closing(database.cursor()) as cursor:
                cursor.execute(query)
                return [Place(name, f"sqlite:///{_relative(path, folder)}/{name}") for (name,) in cursor.fetchall()]
        import adbc_driver_postgresql.dbapi as postgresql

        with closing(postgresql.connect(url)) as database, closing(database.cursor()) as cursor:
            cursor.execute(
                "SELECT table_schema::text, table_name::text FROM information_schema.tables WHERE table_schema NOT IN "
                "('pg_catalog', 'information_schema') ORDER BY 1, 2"
            )
            shown = without_secret(url).rstrip("/")
            return [Place(name, f"{shown}/{schema}.{name}") for schema, name in cursor.fetchall()]


def hosts_of(given: Sequence[str]) -> list[str]:
    """Name the hosts that a person has named: passwords may be sent to them."""
    hosts = [urlsplit(url).netloc.rpartition("@")[2] for url in given if url.startswith(SCHEMES)]
    return list(dict.fromkeys(host for host in hosts if host))


def without_secret(url: str) -> str:
    """Give the address as params may hold it: without a password, which comes from PGPASSWORD or ~/.pgpass."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl()
