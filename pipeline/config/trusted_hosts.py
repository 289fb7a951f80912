"""Which hosts a params file may send this company's credentials to: those that ``data.hosts`` names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from pipeline.common.errors import UserError

# A driver would read these from the address, and go where they lead: to a file of other hosts, or of other passwords.
_ELSEWHERE = ("service", "servicefile", "passfile")


def require_named_host(url: str, key: str, hosts: Sequence[str]) -> None:
    """Refuse an address on a host that ``data.hosts`` does not name.

    Drivers send passwords from the environment (``PGPASSWORD``, ``~/.pgpass``, ``MLFLOW_TRACKING_TOKEN``, …) to
    whatever host an address names, so that a host has to be named by the person who runs it.

    Parameters
    ----------
    url : str
        What params say; an address without a host (a file, a socket of this machine) passes.
    key : str
        The dotted params key that says it.
    hosts : sequence of str
        ``data.hosts``: names, each with or without a port.

    Raises
    ------
    UserError
        Naming the key and the host, and what to add where.
    """
    if "://" not in url:
        return
    try:
        parts = urlsplit(url)
        asked = parse_qs(parts.query, keep_blank_values=True)
        places = [*_places(parts.netloc.rpartition("@")[2]), *_places(",".join(asked.get("host", [])))]
        places += _places(",".join(asked.get("hostaddr", [])))
    except ValueError:
        raise UserError(f"{key}: cannot be read as an address") from None
    # What two readers of an address could take for two hosts is no address.
    if parts.netloc and ("@" in parts.path or re.search(r"[^\x21-\x7e]|\\", parts.netloc)):
        raise UserError(
            f"{key}: cannot be read as an address; / ? # @ in a password are written %2F %3F %23 %40, or the "
            "password is left to the environment"
        )
    for name in _ELSEWHERE:
        if name in asked:
            raise UserError(f"{key}: may not say {name}; set it in the environment of the person who runs this")
    ports = asked.get("port", [])
    for host, port in places:
        port = ports[-1] if ports else port
        if host and not host.startswith("/") and not any(_is(host, port, named) for named in hosts):
            raise UserError(
                f"{key}: host {host} is not in data.hosts; passwords and tokens go to hosts that are named there only "
                f"(data: {{hosts: [{host}]}})"
            )


def _places(text: str) -> list[tuple[str, str]]:
    """Split ``host:port,[::1]:port`` into hosts and ports."""
    found = []
    for one in text.split(","):
        one = unquote(one.strip())
        if one.startswith("["):
            host, _, rest = one[1:].partition("]")
            found.append((host.lower(), rest.removeprefix(":")))
        elif one.count(":") > 1:  # an IPv6 address without its brackets
            found.append((one.lower(), ""))
        else:
            host, _, port = one.partition(":")
            found.append((host.lower(), port))
    return found


def _is(host: str, port: str, named: str) -> bool:
    (known, only), *_ = _places(named)
    return host.rstrip(".") == known.rstrip(".") and only in ("", port)
