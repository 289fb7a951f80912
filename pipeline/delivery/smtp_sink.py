"""Mails through a mail server: each is sent once, or refused in the server's words, or doubtful."""

from __future__ import annotations

import contextlib
import os
import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.common.errors import UserError
from pipeline.delivery.outbox import Item
from pipeline.delivery.sink import DOUBTFUL, REFUSED, Answer, SinkError

PASSWORD = "LEADREV_SMTP_PASSWORD"
TIMEOUT_SECONDS = 30
_HERE = ("localhost", "127.0.0.1", "::1")


class SMTPSink:
    """A mail server.

    Parameters
    ----------
    to : str
        ``smtp://user@host:587`` (STARTTLS) or ``smtps://user@host:465``. The server's certificate is verified; without
        encryption mails go to a server on this machine only.
    password : str, optional
        Sent where the address names a user, and only encrypted.
    write : callable
        Gives the mail that an item stands for.
    timeout_seconds : float
    """

    is_keyed = False

    def __init__(
        self,
        to: str,
        password: str | None,
        write: Callable[[Item], EmailMessage],
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        parts = urlsplit(to)
        self.host, self.is_encrypted = parts.hostname or "", parts.scheme == "smtps"
        self.port = parts.port or (465 if self.is_encrypted else 587)
        self.user, self.password = unquote(parts.username or ""), password
        self.write, self.timeout_seconds = write, timeout_seconds

    def send(self, items: Sequence[Item], begin: Callable[[Item], None]) -> Iterator[list[Answer]]:
        """Send each mail; whose answer was lost is doubtful, and the connection is made anew for the next."""
        left = list(items)
        while left:
            server = self._connect()
            try:
                while left:
                    answer = self._send(server, left.pop(0), begin)
                    yield [answer]
                    if answer.state == DOUBTFUL:
                        break
            finally:
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    server.quit()

    def _connect(self) -> smtplib.SMTP:
        try:
            context = ssl.create_default_context()
            if self.is_encrypted:
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self.host, self.port, timeout=self.timeout_seconds, context=context
                )
            else:
                server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)
                server.ehlo_or_helo_if_needed()
                if server.has_extn("starttls") or self.host not in _HERE or self.user:
                    server.starttls(context=context)
                    server.ehlo()
            if self.user:
                if self.password is None:
                    raise SinkError(f"the server asks for {self.user}'s password, and {PASSWORD} is not set")
                server.login(self.user, self.password)
        except (smtplib.SMTPException, OSError) as error:
            raise SinkError(self._words(error)) from None
        return server

    def _send(self, server: smtplib.SMTP, item: Item, begin: Callable[[Item], None]) -> Answer:
        message = self.write(item)
        try:
            server.ehlo_or_helo_if_needed()
            for ask, name in ((server.mail, "From"), (server.rcpt, "To")):
                reply = ask(message[name].addresses[0].addr_spec)
                if not 200 <= reply[0] < 300:
                    server.rset()
                    return Answer(item, REFUSED, self._words(reply))
        except (smtplib.SMTPException, OSError) as error:  # nothing of the mail has been sent
            raise SinkError(self._words(error)) from None
        begin(item)
        try:
            reply = server.data(message.as_bytes(policy=SMTP))
        except smtplib.SMTPDataError as error:
            return Answer(item, REFUSED, self._words(error))
        except (smtplib.SMTPException, OSError) as error:
            return Answer(item, DOUBTFUL, f"the answer was lost: {self._words(error)}")
        return Answer(item) if 200 <= reply[0] < 300 else Answer(item, REFUSED, self._words(reply))

    def _words(self, said: object) -> str:
        """Give the server's words; whatever it repeats of the password is made unreadable."""
        if isinstance(said, smtplib.SMTPResponseException):
            said = (said.smtp_code, said.smtp_error)
        if isinstance(said, tuple) and len(said) == 2:
            said = f"{said[0]} {said[1].decode(errors='replace') if isinstance(said[1], bytes) else said[1]}"
        text = str(said)
        return text.replace(self.password, "***") if self.password else text


def read_password(file: str | None, folder: Path, key: str) -> str | None:
    """Give the mail server's password: the first line of a file, else from the environment.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    if file is None:
        return os.environ.get(PASSWORD)
    path = folder / file
    try:
        return path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError):
        raise UserError(f"{key}.password_file: {path} cannot be read, or is empty") from None
