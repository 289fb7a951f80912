"""Who was erased, as keyed hashes: enough to know the person when a source brings them again, and no more.

``archive/suppression/suppressed.jsonl`` holds a line for each id, contact and mail address of a person who was erased:
its kind and its HMAC-SHA-256 under a secret key, with the number of the erasure. Without the key, which only its owner
may read, nobody can try addresses against the list; with it, a row can be recognised, and no value read back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from pipeline.common.atomic_write import flush, replace_file
from pipeline.common.errors import UserError

FOLDER, KEY, FILE, PENDING = "suppression", "key", "suppressed.jsonl", "pending.json"
LEAD, CONTACT, EMAIL = "lead", "contact", "email"


class Suppression:
    """The suppression list of a company.

    Parameters
    ----------
    archive : Path
        The company's archive.
    """

    def __init__(self, archive: Path) -> None:
        self.folder = archive / FOLDER

    def lines(self) -> list[dict[str, str | int]]:
        """Give the list: ``kind``, ``hash`` and ``erasure``.

        Raises
        ------
        UserError
            It was changed and cannot be read: nobody may be loaded who should not.
        """
        path = self.folder / FILE
        if not path.is_file():
            return []
        try:
            found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            return [{"kind": line["kind"], "hash": line["hash"], "erasure": line["erasure"]} for line in found]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}: was changed and cannot be read; restore it from a backup") from None

    def key(self, make: bool = False) -> bytes:
        """Give the secret key.

        Parameters
        ----------
        make : bool
            Make it from the machine's randomness if there is none.

        Raises
        ------
        UserError
            It is gone although people were erased, or others than its owner may read it.
        """
        path = self.folder / KEY
        if not path.is_file():
            if not make or self.lines():
                raise UserError(
                    f"{path}: is gone; without it people who were erased would be loaded again. Restore it from a "
                    "backup"
                )
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(secrets.token_hex(32).encode())
                file.flush()
                os.fsync(file.fileno())
            flush(self.folder)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UserError(f"{path}: others may read the key of the suppression list; chmod 600 it")
        return path.read_bytes()

    def holds(self, kind: str, value: str) -> bool:
        """Whether an id or address, in its plain form, is one of a person who was erased."""
        lines = self.lines()
        if not lines:
            return False
        digest = hashed(self.key(), kind, value)
        return any(line["kind"] == kind and line["hash"] == digest for line in lines)

    def add(self, values: Iterable[tuple[str, str]]) -> int:
        """Put a person on the list, by kinds and values in their plain form; give the number of the erasure.

        What is on it already is not put there again.
        """
        lines, key = self.lines(), self.key(make=True)
        known = {(line["kind"], line["hash"]): int(line["erasure"]) for line in lines}
        hashes = sorted({(kind, hashed(key, kind, value)) for kind, value in values})
        before = [known[one] for one in hashes if one in known]
        number = min(before) if before else max([0, *known.values()]) + 1
        lines += [
            {"kind": kind, "hash": digest, "erasure": number} for kind, digest in hashes if (kind, digest) not in known
        ]
        replace_file(self.folder / FILE, "".join(json.dumps(line) + "\n" for line in lines).encode())
        return number


def hashed(key: bytes, kind: str, value: str) -> str:
    """Give the keyed hash of a value in its plain form."""
    return hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()
