"""A PostgreSQL server of this machine, started for the tests that need one, and skipped with a reason where none is."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECRET = "s3cret-of-the-server"


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


def _user() -> str | None:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = [entry.pw_name for entry in pwd.getpwall()]
    return next((name for name in ("postgres", "nobody") if name in names), None)


def free_port() -> int:
    """Give a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Give ``127.0.0.1:port`` of a server with the user loader, the password `SECRET` and the database dwh."""
    programs, user = _programs(), _user()
    if programs is None or (os.geteuid() == 0 and user is None):
        pytest.skip("no PostgreSQL server is installed")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="leadrev-postgresql-"))
    (folder / "password").write_text(SECRET)
    if user:
        shutil.chown(folder, user)
        shutil.chown(folder / "password", user)

    def run(*words: str | Path) -> None:
        subprocess.run(words, check=True, user=user, cwd=folder, env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip

    data = folder / "data"
    try:
        run(programs / "initdb", "-D", data, "-U", "loader", "-A", "scram-sha-256", "--pwfile", folder / "password",
            "-E", "UTF8", "--no-sync")  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories= -c fsync=off"
        run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            execute(f"127.0.0.1:{port}", "CREATE DATABASE dwh", database="postgres", autocommit=True)
            yield f"127.0.0.1:{port}"
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def execute(place: str, *statements: str, database: str = "dwh", autocommit: bool = False) -> list[tuple]:
    """Run SQL as the server's owner, and give the rows of the last."""
    import adbc_driver_postgresql.dbapi as postgresql

    address = f"postgresql://loader:{SECRET}@{place}/{database}"
    with postgresql.connect(address, autocommit=autocommit) as connection, connection.cursor() as cursor:
        for statement in statements:
            for one in statement.split("; ") if "$$" not in statement else [statement]:
                cursor.execute(one)
        rows = cursor.fetchall() if statements[-1].startswith("SELECT") else []
        if not autocommit:
            connection.commit()
    return rows
