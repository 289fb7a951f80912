"""What a client may hold of the server, and for how long: connections, half-sent requests, unread answers.

uvicorn waits for ever for the rest of a request, and for a client that does not read. Here every connection has a
deadline for what it is doing, and where there are too many, the one that has waited longest without a whole request
makes room: whoever sends a whole request is served, however many others send half of one.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.common.masking import place_of

CONNECTIONS = 200
HEADER_SECONDS = 10.0
BODY_SECONDS = 20.0
READ_SECONDS = 60.0
"""For a client to read the next bytes of an answer."""
KEEP_ALIVE_SECONDS = 5
SHUTDOWN_SECONDS = 5
LOGGED_A_MINUTE = 30
DEADLINES = {h11.IDLE: HEADER_SECONDS, h11.SEND_BODY: BODY_SECONDS}
"""By what is awaited of the client."""


class LimitedProtocol(H11Protocol):
    """One connection, with deadlines."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start, and make room where there are too many."""
        super().connection_made(transport)
        self._since = time.monotonic()
        self._doing: tuple[Any, ...] = ()
        held = [one for one in self.connections if isinstance(one, LimitedProtocol) and not one.transport.is_closing()]
        if len(held) > CONNECTIONS:
            waiting = [one for one in held if one.is_waiting() and one is not self]
            min(waiting, key=lambda one: one._since, default=self).transport.abort()

    def is_waiting(self) -> bool:
        """Whether the client has yet to send a whole request."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def end_if_late(self, now: float) -> None:
        """Close the connection if the client has taken too long over what it is doing."""
        if self.transport.is_closing():
            return
        unread = self.transport.get_write_buffer_size()
        doing = (self.conn.their_state, id(self.cycle), unread)
        if doing != self._doing:
            self._doing, self._since = doing, now
            return
        allowed = READ_SECONDS if unread else DEADLINES.get(self.conn.their_state)
        if allowed is not None and now - self._since > allowed:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; never as a page."""
        reason = b"Bad Request"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"), (b"content-security-policy", b"default-src 'none'"),
            (b"connection", b"close"),
        ]  # fmt: skip
        for event in (h11.Response(status_code=400, headers=headers, reason=reason), h11.Data(data=msg.encode())):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write(self.conn.send(h11.EndOfMessage()) or b"")
        self.transport.close()


class LimitedServer(uvicorn.Server):
    """A server that looks at its connections every second."""

    async def startup(self, sockets: Any = None) -> None:
        """Listen, with a deadline for the encrypted hand-shake too."""
        if self.config.ssl is not None:
            loop = asyncio.get_running_loop()
            within = {"ssl_handshake_timeout": HEADER_SECONDS, "ssl_shutdown_timeout": SHUTDOWN_SECONDS}
            loop.create_server = functools.partial(loop.create_server, **within)  # type: ignore[method-assign]
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second; every whole one, close who is late."""
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedProtocol):
                    connection.end_if_late(now)
        return await super().on_tick(counter)


def config(app: Any, host: str, port: int, certificate: str | None = None, key: str | None = None) -> uvicorn.Config:
    """Give uvicorn's settings: these limits, no word of the server's name, nobody believed to be a proxy."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_level="warning",
        access_log=False,  # an address may hold what somebody searched for
        server_header=False,
        proxy_headers=False,
        backlog=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=16_384,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


class QuietLog(logging.Filter):
    """Takes out of the log what an error says of the data, and all beyond so many lines a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._counting = threading.Lock()
        self._minute, self._lines = 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a line through, with the kind and the place of an error, and how many lines were not written before."""
        if record.exc_info and record.exc_info[1] is not None:
            record.msg, record.args = place_of(record.exc_info[1]), ()
            record.exc_info = record.exc_text = None
        with self._counting:
            minute = int(time.monotonic() // 60)
            left_out = 0
            if minute != self._minute:
                left_out, self._minute, self._lines = self._lines - LOGGED_A_MINUTE, minute, 0
            self._lines += 1
            if left_out > 0:
                record.msg, record.args = f"{record.getMessage()} ({left_out} lines before were not written)", ()
            return self._lines <= LOGGED_A_MINUTE
