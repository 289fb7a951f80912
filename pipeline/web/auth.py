"""Who may see what: tokens, of which only a digest is kept, log-ins of browsers, and requests from other sites."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from starlette.requests import HTTPConnection

from pipeline.common.errors import UserError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
COOKIE = "leadrev"
SESSION_SECONDS = 12 * 3600
SESSIONS_LIMIT = 10_000
TOKEN_LIMIT = 200


@dataclass(frozen=True)
class Person:
    """Who asks, and what they may see: every lead, or only those of one owner.

    Parameters
    ----------
    name : str
        What their answers are signed with.
    owner_id : str or None
        The owner whose leads they see; None: all leads.
    """

    name: str
    owner_id: str | None = None


def this_machine() -> Person:
    """Give the person who started the server, and sees every lead on the machine it runs on."""
    try:
        return Person(getpass.getuser())
    except (OSError, KeyError):  # an account without a name, as in some containers
        return Person("this machine")


def digest(secret: str) -> str:
    """Give what is kept of a secret: its SHA-256. The secrets are random and long, so that nobody can try them all."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Tokens:
    """The people who may ask, by the digests of their tokens."""

    def __init__(self, people: dict[str, Person]):
        self.people = people

    def person(self, token: str) -> Person | None:
        """Find whose token it is, in a time that does not tell how much of it was right."""
        asked = digest(token[:TOKEN_LIMIT])
        found = None
        for kept, person in self.people.items():  # to the end, whoever was found
            if hmac.compare_digest(kept, asked):
                found = person
        return found


def read_tokens(path: Path) -> Tokens:
    """Read a file of tokens, as `add_token` writes it.

    Raises
    ------
    UserError
        If it is not there, nobody is in it, or an entry is not as it must be.
    """
    entries = _entries(path)
    if not entries:
        raise UserError(f"{path}: nobody is in it; add somebody with `leadrev token NAME --tokens {path}`")
    people = {}
    for number, entry in enumerate(entries, 1):
        told = entry if isinstance(entry, dict) else {}
        kept, name, owner_id = str(told.get("sha256", "")), told.get("name"), told.get("owner_id")
        if len(kept) != 64 or not name or set(told) - {"name", "owner_id", "sha256"}:
            raise UserError(
                f"{path}: entry {number} must have name, sha256 (64 hexadecimal digits) and, for somebody who sees "
                "only their own leads, owner_id; make one with `leadrev token NAME`"
            )
        people[kept] = Person(str(name), None if owner_id is None else str(owner_id))
    return Tokens(people)


def add_token(path: Path, name: str, owner_id: str | None) -> str:
    """Make a token for somebody, and keep its digest.

    Parameters
    ----------
    path : Path
        The file of tokens; made if it is not there, readable by its owner alone.
    name : str
        Whose it is.
    owner_id : str, optional
        They see only this owner's leads.

    Returns
    -------
    str
        The token: it is written nowhere else.

    Raises
    ------
    UserError
        If the name is empty or taken.
    """
    if not name.strip():
        raise UserError("NAME: found nothing; say whose token it is")
    if path.exists() and any(isinstance(entry, dict) and entry.get("name") == name for entry in _entries(path)):
        raise UserError(f"NAME: {name} has a token in {path} already; take that entry out of the file first")
    token = secrets.token_urlsafe(32)
    entry = {"name": name} | ({} if owner_id is None else {"owner_id": owner_id}) | {"sha256": digest(token)}
    line = yaml.safe_dump([entry], default_flow_style=None, sort_keys=False, width=1000, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a", encoding="utf-8") as file:
        file.write(line)
    return token


def _entries(path: Path) -> list[Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no file of tokens at {path}: make one with `leadrev token NAME --tokens {path}`") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise UserError(f"{path}: cannot be read as a list of tokens") from None
    if found is not None and not isinstance(found, list):
        raise UserError(f"{path}: must be a list of tokens, as `leadrev token NAME` writes it")
    return found or []


class Sessions:
    """Browsers that are logged in. A browser holds a random key, never the token; a restart logs everybody out."""

    def __init__(self) -> None:
        self._people: dict[str, tuple[Person, float]] = {}
        self._changing = threading.Lock()

    def start(self, person: Person) -> str:
        """Log a browser in; give its key."""
        key = secrets.token_urlsafe(32)
        with self._changing:
            while len(self._people) >= SESSIONS_LIMIT:
                del self._people[next(iter(self._people))]
            self._people[digest(key)] = person, time.monotonic() + SESSION_SECONDS
        return key

    def person(self, key: str) -> Person | None:
        """Find whose browser it is; None once it was logged out, or half a day went by."""
        person, until = self._people.get(digest(key[:TOKEN_LIMIT]), (None, 0.0))
        return person if time.monotonic() < until else None

    def end(self, key: str) -> None:
        """Log a browser out."""
        with self._changing:
            self._people.pop(digest(key[:TOKEN_LIMIT]), None)


class Access:
    """Tells who asks.

    Parameters
    ----------
    tokens : Tokens or None
        Who may ask; None: whoever sits at this machine, by its own names only.
    """

    def __init__(self, tokens: Tokens | None):
        self.tokens = tokens
        self.sessions = Sessions()
        self.nobody_else = this_machine()

    def person(self, request: HTTPConnection) -> Person | None:
        """Find who asks, by the token in the header or the browser's key; None: unknown."""
        if self.tokens is None:
            return self.nobody_else
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.tokens.person(token.strip())
        return self.sessions.person(request.cookies.get(COOKIE, ""))

    def knows_host(self, request: HTTPConnection) -> bool:
        """Whether the request names this machine: without tokens, no other site's name may be pointed here."""
        return self.tokens is not None or host_of(f"//{request.headers.get('host', '')}") in LOOPBACK


def host_of(address: str) -> str | None:
    """Give the host that an address names."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def from_this_site(request: HTTPConnection) -> bool:
    """Whether a request that changes something comes from our own pages, or from no browser at all."""
    came_from = request.headers.get("sec-fetch-site")
    if came_from is not None:
        return came_from in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    except ValueError:
        return False
