"""Where a project's models lie: always beside its own SQLite file, also after the project was copied or moved.

MLflow writes absolute addresses into its SQLite file. A copied project would read, and write into, the models of the
project that it was copied from: when it is opened, every address whose file lies in its own folder of artifacts is
turned to that folder, and so is the place of what will be written. Only what was left behind is still read from there.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

FOLDER = "mlartifacts"
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def artifact_root(database: Path) -> str:
    """Give the address of the folder in which a SQLite file's artifacts lie."""
    return (database.parent / FOLDER).as_uri()


def turn_to_own_folder(database: Path) -> None:
    """Let every address in MLflow's SQLite file that names another project's artifacts name this one's."""
    if not database.is_file():
        return
    root = artifact_root(database)
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, column in _COLUMNS:
            if table not in tables:
                continue
            found = connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()  # noqa: S608 - constants
            for (address,) in found:
                if address is None:
                    continue
                own = _own(address, root)
                if own != address and (table == "experiments" or _path(own).exists()):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? WHERE {column} = ?",  # noqa: S608 - constants
                        [own, address],
                    )
        connection.commit()


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def _own(address: str, root: str) -> str:
    """Turn an address of a file below some folder of artifacts to the same file below `root`."""
    if not address.startswith("file:") or f"/{FOLDER}" not in address:
        return address
    _, _, below = address.rpartition(f"/{FOLDER}")
    return root + below if not below or below.startswith("/") else address
