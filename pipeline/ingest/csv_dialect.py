"""Making sense of a CSV file before it is read: its encoding, delimiter and header."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.common.errors import UserError
from pipeline.ingest.report_layout import LOOKED_AT, footer_length, header_row

DELIMITERS = ",;\t|"
_CHUNK_BYTES, _TAIL_BYTES = 1 << 20, 1 << 13


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that can be read as UTF-8 text.

    Parameters
    ----------
    path : Path
        The file itself, or its copy in UTF-8.
    columns : list of str
        Names from the header, made unique without regard to case; a nameless one is called ``column_3``.
    delimiter : str
        The one of ``, ; tab |`` that splits the header into most columns.
    note : str or None
        What a person should know about how it was read.
    """

    path: Path
    columns: list[str]
    delimiter: str
    note: str | None


def open_csv(path: Path, key: str, scratch: Path, *, straighten: bool = False) -> CsvFile:
    """Find out how to read a CSV file, copying it to UTF-8 in the `scratch` folder where it is in another encoding.

    With `straighten`, it is copied in any case, and every carriage return becomes a plain end of line.

    Raises
    ------
    UserError
        The file is empty.
    """
    encoding = _encoding(path)
    readable, note = path, None
    if encoding != "utf-8" or straighten:
        readable = scratch / f"{len(list(scratch.iterdir()))}.csv"
        with _open(path) as source, open(readable, "w", encoding="utf-8", newline="") as target:
            text = io.TextIOWrapper(source, encoding=encoding, newline=None if straighten else "")
            while chunk := text.read(_CHUNK_BYTES):
                target.write(chunk)
        if encoding != "utf-8":
            note = f"{path.name} is not UTF-8; it was read as {encoding}, so look at its accented letters"
    with _open(readable) as file:
        start = codecs.getincrementaldecoder("utf-8-sig")().decode(file.read(_CHUNK_BYTES))
    if not start.strip():
        raise UserError(f"{key}.from: {path} is empty: it needs a header and rows.")
    header, delimiter = _header(start)
    titles, titled = _titles(start)
    footer = _footer_bytes(readable, titled or delimiter, len(header))
    if titles or footer:
        readable, header, delimiter = _without(readable, scratch, titles, footer), *_header(start, titles)
        above = f"{path.name}: the header was read in row {titles + 1}; what stands above it are titles"
        below = f"{path.name}: what stands below its rows is no part of the table"
        note = "; ".join([*([note] if note else []), *([above] if titles else []), *([below] if footer else [])])
    return CsvFile(readable, _unique(header), delimiter, note)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def _encoding(path: Path) -> str:
    """UTF-8 where the whole file is; else UTF-16 by its mark, Windows-1252, or Latin-1, which takes any byte."""
    possible = {"utf-8": codecs.getincrementaldecoder("utf-8")(), "cp1252": codecs.getincrementaldecoder("cp1252")()}
    with _open(path) as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            if chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and file.tell() <= _CHUNK_BYTES:
                return "utf-16"
            for encoding, decoder in list(possible.items()):
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError:
                    del possible[encoding]
            if not chunk or not possible:
                return next(iter(possible), "latin-1")


def _titles(start: str) -> tuple[int, str]:
    """Count the lines above the header of a report, by the delimiter that splits most rows most finely."""
    lines = start.splitlines()[:LOOKED_AT]
    if len(start.splitlines()) <= LOOKED_AT and not start.endswith(("\n", "\r")):
        lines = lines[:-1] or lines
    best: tuple[int, int, str] = (0, len(_header(start)[0]), "")
    for delimiter in DELIMITERS:
        try:
            rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
        except csv.Error:
            continue
        place = header_row(rows)
        if place and rows[place] and len(rows[place]) > best[1]:
            first = next((row for row in rows if any(row)), [])
            if len(first) < len(rows[place]):
                best = (place, len(rows[place]), delimiter)
    return best[0], best[2]


def _footer_bytes(path: Path, delimiter: str, width: int) -> int:
    """Measure what stands below the rows of a report: totals and disclaimers."""
    if path.suffix == ".gz" or path.stat().st_size == 0:
        return 0
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().splitlines(keepends=True)[1:]
    try:
        rows = [next(csv.reader([line.decode("utf-8", "replace")], delimiter=delimiter), []) for line in lines]
    except csv.Error:
        return 0
    count = footer_length(rows, max(width, *(len(row) for row in rows))) if rows else 0
    return sum(len(line) for line in lines[len(lines) - count :]) if count else 0


def _without(path: Path, scratch: Path, titles: int, footer: int) -> Path:
    """Copy a file without its first lines and its last bytes."""
    target = scratch / f"{len(list(scratch.iterdir()))}.csv"
    with _open(path) as source, open(target, "wb") as file:
        for _ in range(titles):
            source.readline()
        if not footer:
            shutil.copyfileobj(source, file)
        else:
            left = path.stat().st_size - footer - source.tell()
            while left > 0 and (chunk := source.read(min(_CHUNK_BYTES, left))):
                file.write(chunk)
                left -= len(chunk)
    return target


def _header(start: str, titles: int = 0) -> tuple[list[str], str]:
    """Names in the first line that is not blank, split at the delimiter that gives most of them."""
    splits = []
    if titles:
        start = "".join(start.splitlines(keepends=True)[titles:])
    for delimiter in DELIMITERS:
        rows = csv.reader(io.StringIO(start.lstrip("\r\n"), newline=""), delimiter=delimiter)
        try:
            splits.append(next(rows, []))
        except csv.Error:
            splits.append([])
    best = max(range(len(DELIMITERS)), key=lambda place: len(splits[place]))
    return splits[best] or [start.strip().splitlines()[0]], DELIMITERS[best]


def _unique(names: list[str]) -> list[str]:
    taken: set[str] = set()
    unique = []
    for place, name in enumerate(names, start=1):
        stem = name.strip() or f"column_{place}"
        name, again = stem, 2
        while name.lower() in taken:
            name, again = f"{stem}_{again}", again + 1
        taken.add(name.lower())
        unique.append(name)
    return unique
