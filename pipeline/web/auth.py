"""Who asks: tokens and log-ins of browsers, proxies that may speak for others, and requests from other sites."""

from __future__ import annotations

import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from pipeline.web.tokens import Person, Tokens, digest

LOOPBACK = ("127.0.0.1", "::1", "localhost")
COOKIE = "leadrev"
SESSION_SECONDS = 12 * 3600
FAILURES_A_MINUTE = 10
ADDRESSES_KEPT = 10_000
FORWARDED = ("forwarded", "x-real-ip")  # and all that begin with x-forwarded-


class Sessions:
    """Browsers that are logged in: one a person, so that a new log-in ends the old one and nobody's ends another's.

    A browser holds a random key, never the token; a restart logs everybody out.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[str, str, float]] = {}
        self._of_person: dict[str, str] = {}
        self._changing = threading.Lock()

    def start(self, kept: str, person: Person) -> str:
        """Log a browser in by the digest of a token; give its key."""
        key = secrets.token_urlsafe(32)
        with self._changing:
            self._sessions.pop(self._of_person.get(person.name, ""), None)
            self._of_person[person.name] = digest(key)
            self._sessions[digest(key)] = kept, person.name, time.monotonic() + SESSION_SECONDS
        return key

    def token_of(self, key: str) -> str | None:
        """Give the digest of the token by which a browser logged in; None once logged out, or half a day went by."""
        kept, _, until = self._sessions.get(digest(key), ("", "", 0.0))
        return kept if time.monotonic() < until else None

    def end(self, key: str) -> None:
        """Log a browser out."""
        with self._changing:
            _, name, _ = self._sessions.pop(digest(key), ("", "", 0.0))
            if self._of_person.get(name) == digest(key):
                del self._of_person[name]


class Throttle:
    """Counts what failed lately by address: past a limit, failures are answered shortly, and right tokens as ever."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._counting = threading.Lock()

    def is_too_often(self, address: str) -> bool:
        """Count a failure; whether there were too many of this address within the minute."""
        place, minute = _network(address), int(time.monotonic() // 60)
        with self._counting:
            since, count = self._failures.pop(place, (minute, 0))
            count = count + 1 if since == minute else 1
            self._failures[place] = minute, count
            while len(self._failures) > ADDRESSES_KEPT:
                self._failures.popitem(last=False)
        return count > FAILURES_A_MINUTE


class Access:
    """Tells who asks.

    Parameters
    ----------
    tokens : Tokens
        Who may ask.
    is_local : bool
        Only this machine asks, by its own names.
    proxies : sequence of str
        Addresses of proxies, whose word is taken for where a request came from.
    """

    def __init__(self, tokens: Tokens, *, is_local: bool, proxies: Sequence[str] = ()):
        self.tokens = tokens
        self.is_local = is_local
        self.sessions = Sessions()
        self.failures = Throttle()
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]

    def person(self, request: HTTPConnection) -> Person | None:
        """Find who asks, by the token in the header or the browser's key; None: unknown."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = self.tokens.find(token.strip())
            return found[1] if found else None
        kept = self.sessions.token_of(request.cookies.get(COOKIE, ""))
        return self.tokens.holder(kept) if kept else None

    def log_in(self, token: str) -> tuple[str, Person] | None:
        """Log a browser in; give its key and whose it is, or None for a token that opens nothing."""
        found = self.tokens.find(token)
        return (self.sessions.start(*found), found[1]) if found else None

    def knows_host(self, request: HTTPConnection) -> bool:
        """Whether the request names this machine: where only it asks, no other site's name may be pointed here."""
        return not self.is_local or host_of(f"//{request.headers.get('host', '')}") in LOOPBACK

    def believes(self, request: HTTPConnection) -> bool:
        """Take a named proxy's word for where a request came from; whether nobody else claims to be one."""
        claims = any(name in FORWARDED or name.startswith("x-forwarded-") for name in request.headers)
        if not claims:
            return True
        if not self._is_proxy(address_of(request)):
            return False
        last = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        try:
            request.scope["client"] = str(ipaddress.ip_address(last)), 0
        except ValueError:
            return False
        if request.headers.get("x-forwarded-proto", "").strip().lower() == "https":
            request.scope["scheme"] = "https"
        return True

    def _is_proxy(self, address: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) in proxy for proxy in self._proxies)
        except ValueError:
            return False


def address_of(request: HTTPConnection) -> str:
    """Give the address that a request came from."""
    return request.client.host if request.client else ""


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


def local_path(text: str) -> str:
    """Give a path of this site as it is, and the first page instead of anything that could lead elsewhere."""
    is_plain = text.startswith("/") and all("!" <= sign <= "~" and sign != "\\" for sign in text)
    if not is_plain or text.startswith(("//", "/login", "/logout", "/open/")) or len(text) > 2_000:
        return "/"
    return text


def _network(address: str) -> str:
    """Give what one who has many addresses has in common: of IPv6 the first half."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network(f"{found}/64", strict=False))
