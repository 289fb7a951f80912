"""Files that are what they were when they were written: a digest of each is kept, and checked before it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import sha256_of
from pipeline.common.errors import UserError


class SealError(UserError):
    """A file is not the one that was written."""


def check_seal(folder: Path, sealed: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse files that were changed, added or taken away since they were sealed.

    Parameters
    ----------
    folder : Path
    sealed : mapping of str to mapping
        By name of the file its ``sha256``, as ``manifest.json`` has them under ``files``.
    names : iterable of str
        The files that are about to be read; one that is neither there nor sealed is fine.

    Raises
    ------
    SealError
        In one line: the file, and what to do.
    """
    for name in names:
        path, entry = folder / name, sealed.get(name)
        if entry is None and not path.exists():
            continue
        if entry is None:
            raise SealError(f"{path}: was not written by the run beside it (manifest.json does not name it)")
        if not path.is_file():
            raise SealError(f"{path}: is not there, though manifest.json names it: run `leadrev score` again")
        if sha256_of(path) != entry.get("sha256"):
            raise SealError(f"{path}: was changed since it was written (its seal is in manifest.json): score again")


def sealed_json(content: Mapping[str, Any]) -> bytes:
    """Write a file that holds its own seal: the digest of all else in it, under ``sha256``."""
    written = json.loads(json.dumps(content, allow_nan=False))  # keys become text, as a reader finds them
    return (json.dumps({**written, "sha256": _digest_of(written)}, indent=2) + "\n").encode()


def read_sealed_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read what `sealed_json` wrote.

    Parameters
    ----------
    path : Path
    remedy : str
        What to do about a file that is not as it was written: the end of the message.

    Raises
    ------
    SealError
        It was changed since, or never sealed; in one line.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop("sha256", None)
    except (ValueError, AttributeError, TypeError):
        raise SealError(f"{path}: cannot be read, it was changed since it was written: {remedy}") from None
    if digest is None:
        raise SealError(f"{path}: has no seal, an older version of leadrev wrote it: {remedy}")
    if digest != _digest_of(content):
        raise SealError(f"{path}: was changed since it was written: {remedy}")
    return content


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
