"""Files that are what they were when they were written: a digest of each is kept, and checked before it is read."""

from __future__ import annotations

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
