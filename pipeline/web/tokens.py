"""Tokens: who may ask, by the digests of random secrets, in a file that is read again whenever it changes."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import hmac
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from pipeline.common.errors import UserError
from pipeline.config.yaml_loader import parse_yaml

TOKEN_LENGTH = 200
FILE_BYTES = 1 << 20
KEYS = {"name", "owner_id", "sha256", "expires"}


@dataclass(frozen=True)
class Person:
    """Who asks, and what they may see: every lead, or only those of one owner.

    Parameters
    ----------
    name : str
        What their answers are signed with.
    owner_id : str or None
        The owner whose leads they see; None: all leads.
    expires : datetime or None
        When their token stops; None: never.
    """

    name: str
    owner_id: str | None = None
    expires: datetime | None = None


def this_machine() -> Person:
    """Give the person who started the server, and sees every lead."""
    try:
        return Person(getpass.getuser())
    except (OSError, KeyError):  # an account without a name, as in some containers
        return Person("this machine")


def new_secret() -> str:
    """Make a secret that nobody can guess."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Give what is kept of a secret: its SHA-256. The secrets are random and long, so that nobody can try them all."""
    return hashlib.sha256(secret[:TOKEN_LENGTH].encode("utf-8", "surrogatepass")).hexdigest()


class Tokens:
    """The people who may ask, by the digests of their tokens.

    Parameters
    ----------
    people : dict of str to Person
    """

    def __init__(self, people: dict[str, Person]):
        self._people = people

    @property
    def people(self) -> dict[str, Person]:
        """Everybody who has a token, expired or not."""
        return self._people

    def find(self, token: str) -> tuple[str, Person] | None:
        """Find whose token it is, in a time that does not tell how much of it was right.

        Returns
        -------
        (str, Person) or None
            The token's digest and its person; None for one that is unknown or expired.
        """
        asked = digest(token)
        found = None
        for kept, person in self.people.items():  # to the end, whoever was found
            if hmac.compare_digest(kept, asked):
                found = kept, person
        return found if found and _is_valid(found[1]) else None

    def holder(self, kept: str) -> Person | None:
        """Give the person of a digest, as long as their token stands in the file and has not expired."""
        person = self.people.get(kept)
        return person if person and _is_valid(person) else None


class TokenFile(Tokens):
    """The tokens of a file, read again when it changes: what was taken out of it opens nothing any more.

    Parameters
    ----------
    path : Path
        As `add_token` writes it.

    Raises
    ------
    UserError
        If the file is not there, nobody is in it, an entry is not as it must be, or others could write it.
    """

    def __init__(self, path: Path):
        super().__init__(read_people(path))
        self.path = path
        self._reading = threading.Lock()
        self._seen = _signature(path)

    @property
    def people(self) -> dict[str, Person]:
        """Everybody who is in the file now; nobody while it cannot be read."""
        with self._reading:
            seen = _signature(self.path)
            if seen != self._seen:
                self._seen = seen
                try:
                    self._people = read_people(self.path)
                except UserError as error:
                    self._people = {}
                    print(f"nobody is let in: {error}", flush=True)
            return self._people


def read_people(path: Path) -> dict[str, Person]:
    """Read a file of tokens.

    Raises
    ------
    UserError
        As `TokenFile` says.
    """
    entries = _entries(path)
    if not entries:
        raise UserError(f"{path}: nobody is in it; add somebody with `leadrev token NAME --tokens {path}`")
    people: dict[str, Person] = {}
    by_name: dict[str, str | None] = {}
    for number, entry in enumerate(entries, 1):
        kept, person = _read_entry(entry, f"{path}: entry {number}")
        if kept in people:
            raise UserError(f"{path}: entry {number} has the same sha256 as one before it")
        if by_name.setdefault(person.name, person.owner_id) != person.owner_id:
            raise UserError(f"{path}: entry {number}: {person.name} stands there before, with other leads to see")
        people[kept] = person
    return people


def add_token(path: Path, name: str, owner_id: str | None, valid_days: int = 365) -> str:
    """Make a token for somebody, and keep its digest.

    Parameters
    ----------
    path : Path
        The file of tokens; made if it is not there, readable by its owner alone.
    name : str
        Whose it is.
    owner_id : str, optional
        They see only this owner's leads.
    valid_days : int
        After so many days it opens nothing any more.

    Returns
    -------
    str
        The token: it is written nowhere else.

    Raises
    ------
    UserError
        If the name is empty or taken, or the owner's id is empty.
    """
    if not name.strip():
        raise UserError("NAME: found nothing; say whose token it is")
    if owner_id is not None and not owner_id.strip():
        raise UserError("--owner: found nothing; name an owner, or leave it out for somebody who sees all leads")
    token = new_secret()
    expires = (datetime.now(UTC) + timedelta(days=valid_days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = {"name": name} | ({} if owner_id is None else {"owner_id": owner_id})
    entry |= {"expires": expires, "sha256": digest(token)}
    with _locked(path) as descriptor:
        before = _entries(path) if os.fstat(descriptor).st_size else []
        if any(isinstance(one, dict) and one.get("name") == name for one in before):
            raise UserError(f"NAME: {name} has a token in {path} already; `--revoke` takes it away first")
        size = os.fstat(descriptor).st_size
        start = "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""
        os.write(descriptor, (start + _written([entry])).encode())  # one write at the end, whoever else has it open
        os.fsync(descriptor)
    return token


def revoke_tokens(path: Path, name: str) -> int:
    """Take every token of somebody out of a file; who is logged in with one is logged out.

    Returns
    -------
    int
        How many there were.

    Raises
    ------
    UserError
        If there is none.
    """
    with _locked(path):
        entries = _entries(path)
        left = [one for one in entries if not (isinstance(one, dict) and one.get("name") == name)]
        if len(left) == len(entries):
            raise UserError(f"NAME: {name} has no token in {path}")
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
                file.write(_written(left) if left else "")
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path.resolve())
        finally:
            fresh.unlink(missing_ok=True)
    return len(entries) - len(left)


def _read_entry(entry: Any, where: str) -> tuple[str, Person]:
    fields = entry if isinstance(entry, dict) else {}
    kept, name = fields.get("sha256"), fields.get("name")
    if (
        not (isinstance(kept, str) and re.fullmatch("[0-9a-f]{64}", kept))
        or not isinstance(name, str)
        or set(fields) - KEYS
    ):
        raise UserError(
            f"{where} must have name, sha256 (64 hexadecimal digits), expires (a date) and, for somebody who sees only "
            "their own leads, owner_id; make one with `leadrev token NAME`"
        )
    if not name.strip():
        raise UserError(f"{where}: name is empty")
    owner_id = fields.get("owner_id")
    if "owner_id" in fields and not (isinstance(owner_id, str) and owner_id.strip()):
        raise UserError(
            f"{where}: owner_id must be text (a number in quotes); leave the key out for somebody who sees all leads"
        )
    return kept, Person(name, owner_id, _instant(fields["expires"], where) if "expires" in fields else None)


def _instant(text: Any, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise UserError(f"{where}: expires must be a date, such as 2027-01-31") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_valid(person: Person) -> bool:
    return person.expires is None or datetime.now(UTC) < person.expires


def _written(entries: list[Any]) -> str:
    return yaml.safe_dump(entries, default_flow_style=None, sort_keys=False, width=1000, allow_unicode=True)


def _entries(path: Path) -> list[Any]:
    try:
        with open(path, encoding="utf-8") as file:
            _refuse_foreign_hands(path, os.fstat(file.fileno()))
            found = parse_yaml(file.read(FILE_BYTES))
    except FileNotFoundError:
        raise UserError(f"no file of tokens at {path}: make one with `leadrev token NAME --tokens {path}`") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        raise UserError(f"{path}: cannot be read as a list of tokens") from None
    if found is not None and not isinstance(found, list):
        raise UserError(f"{path}: must be a list of tokens, as `leadrev token NAME` writes it")
    return found or []


def _refuse_foreign_hands(path: Path, found: os.stat_result) -> None:
    """Refuse a file that another account could change: it says who sees what."""
    folder = path.resolve().parent.stat()
    loose = found.st_mode & 0o022 or (folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX)
    if loose or found.st_uid not in (os.geteuid(), 0):
        raise UserError(
            f"{path}: other accounts can write it, and so let themselves in: chmod go-w {path} {path.resolve().parent}"
        )


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode, found.st_uid


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file to append to, made for its owner alone, while nobody else does."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one of this name: while we waited, another may have taken its place."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
