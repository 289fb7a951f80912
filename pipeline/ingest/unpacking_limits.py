"""How much a compressed source may unpack to: a small file that becomes a huge one is not data."""

from __future__ import annotations

import gzip
import lzma
import struct
import zipfile
import zlib
from pathlib import Path

from pipeline.common.errors import UserError

RATIO_LIMIT = 200
"""Tables shrink to a tenth, very repetitive ones to a hundredth; deflate itself can do a thousandth."""
FREE_BYTES = 100 << 20
"""What any file may unpack to, however small it is."""
_CHUNK_BYTES = 1 << 20
DAMAGED = (
    OSError, EOFError, ValueError, OverflowError, NotImplementedError, zlib.error, lzma.LZMAError, struct.error,
    zipfile.BadZipFile,
)  # fmt: skip
"""What Python's own readers of archives raise where one is damaged or packed in a way they do not know."""


def check_expansion(path: Path, key: str, out_of: Path | None = None) -> None:
    """Refuse a gzip or zip file (a workbook is one too) that unpacks to far more than tables do.

    Parameters
    ----------
    path : Path
        Any file; one that is not compressed passes.
    key : str
        The dotted params key that names it, for the message.
    out_of : Path, optional
        The archive that it was taken out of: what counts is how large that was.

    Raises
    ------
    UserError
        It unpacks to more than 100 MiB and more than 200 times its size, or it is damaged.
    """
    with open(path, "rb") as file:
        start = file.read(4)
    try:
        if start[:2] == b"\x1f\x8b":
            with gzip.open(path) as file:
                _count(file, path, key, allowed_unpacked_bytes(out_of or path))
        elif start == b"PK\x03\x04" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                # Python reads no more of an entry than it declares, so what is declared is what can come.
                if sum(entry.file_size for entry in packed.infolist()) > allowed_unpacked_bytes(out_of or path):
                    raise _refusal(path, key)
    except DAMAGED as error:
        raise UserError(f"{key}: {path.name} is damaged: it cannot be unpacked to its end ({error})") from None


def allowed_unpacked_bytes(path: Path) -> int:
    """Say how many bytes a file may unpack to."""
    return max(FREE_BYTES, RATIO_LIMIT * path.stat().st_size)


def _count(file: gzip.GzipFile, path: Path, key: str, allowed: int) -> None:
    unpacked = 0
    while chunk := file.read(_CHUNK_BYTES):
        unpacked += len(chunk)
        if unpacked > allowed:
            raise _refusal(path, key)


def _refusal(path: Path, key: str) -> UserError:
    return UserError(
        f"{key}: {path.name} unpacks to more than {RATIO_LIMIT} times its size, as no table does; if it is yours, "
        "unpack it and name the unpacked file"
    )
