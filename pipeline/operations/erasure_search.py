"""Searching bytes for a person: plain, inside packed and columnar files and databases, in any way of writing."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import html
import io
import lzma
import re
import sqlite3
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.operations.person import LEAST_PHONE_DIGITS, Person, phone_digits

SQLITE = b"SQLite format 3\0"
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_DEEPEST = 4
APART = "\0"
"""What stands between the cells of a table where they are searched as one text: no name or number spans it."""


def is_telling(text: str) -> bool:
    """Whether an id tells somebody wherever it stands; one of few signs, or of digits alone, may be any number."""
    return len(text) >= 5 and not text.isdigit()


class Searcher:
    """Finds a person in bytes and texts.

    Parameters
    ----------
    person : Person
    """

    def __init__(self, person: Person) -> None:
        self.person = person
        ids = person.leads | person.contacts
        self.short_ids = frozenset(one for one in ids if not is_telling(one))
        exact = [re.escape(one) for one in sorted(ids) if is_telling(one)]
        loose = [re.escape(one) for one in sorted(person.emails)]
        loose += [re.escape(one.replace("@", "%40")) for one in sorted(person.emails)]
        loose += [form for name in sorted(person.names) for form in _name_forms(name)]
        digits = {phone_digits(phone) for phone in person.phones}
        numbers = [r"[ \t\xa0()/.\-]*".join(one) for one in sorted(digits) if len(one) >= LEAST_PHONE_DIGITS]
        parts = [rf"(?<![A-Za-z0-9])(?:{'|'.join(exact)})(?![A-Za-z0-9])"] if exact else []
        parts += [rf"(?<!\w)(?i:{'|'.join(loose)})(?!\w)"] if loose else []
        parts += [rf"(?<![\d.])(?:(?:\+|00)?[\d \t\xa0()/\-]{{0,8}})(?:{'|'.join(numbers)})(?!\d)"] if numbers else []
        self.pattern = re.compile("|".join(parts)) if parts else None
        plain = [*person.emails, *(one for one in ids if is_telling(one)), *(n for n in person.names if " " in n)]
        self._bytes = re.compile(b"|".join(_bounded(one) for one in sorted(plain)), re.IGNORECASE)

    def is_whole(self, value: object) -> bool:
        """Whether a value is an id or an address of the person, and nothing more."""
        if not isinstance(value, str):
            return False
        text = value.strip()
        ids = self.person.leads | self.person.contacts
        return (text in ids and is_telling(text)) or text.lower() in self.person.emails

    def in_text(self, text: str) -> bool:
        """Whether a text names the person, escaped or not."""
        if self.pattern is None:
            return False
        forms = [text]
        if "\\u" in text:
            forms.append(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text))
        if "&" in text:
            forms.append(html.unescape(text))
        if not text.isascii():
            forms += [unicodedata.normalize("NFC", form) for form in forms]
        return any(self.pattern.search(form) for form in forms)

    def without(self, text: str) -> str:
        """Give a text without the person."""
        if self.pattern is None or not self.in_text(text):
            return text
        if not self.pattern.search(text):
            text = unicodedata.normalize("NFC", html.unescape(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)))
        return self.pattern.sub("erased", text)

    def in_bytes(self, content: bytes, depth: int = 0) -> bool:
        """Whether bytes name the person: as they are, unpacked, or read as what they are."""
        if content.startswith((SQLITE, b"PAR1")):  # binary: digits in a row are no telephone number there
            if self._bytes.pattern and self._bytes.search(content):
                return True
        elif any(self.in_text(content.decode(code, errors="replace")) for code in ("utf-8", *_wide(content))):
            return True
        return depth < _DEEPEST and any(self._in_part(part, depth) for part in parts_of(content))

    def _in_part(self, part: bytes | str, depth: int) -> bool:
        if isinstance(part, bytes):
            return self.in_bytes(part, depth + 1)
        return self.in_text(part)

    def in_table_of_ids(self, name: str, value: object) -> bool:
        """Whether a cell of a column of people's ids holds one that tells nobody elsewhere, such as 123."""
        return bool(self.short_ids) and name in ID_COLUMNS and value is not None and str(value) in self.short_ids


ID_COLUMNS = frozenset({"lead_id", "canonical_id", "joined_id", "contact_id", "primary_contact_id"})


def parts_of(content: bytes) -> Iterator[bytes | str]:
    """Give what bytes hold once unpacked: of archives the members, of tables the texts, of databases the cells."""
    if content.startswith(b"PAR1"):
        yield from _parquet_texts(content)
    elif content.startswith(SQLITE):
        yield from _database_texts(content)
    elif content.startswith(b"PK\x03\x04"):
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                yield member.filename
                with contextlib.suppress(RuntimeError, NotImplementedError, zipfile.BadZipFile):
                    yield archive.read(member)
    else:
        for start, unpack in ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ", lzma.decompress)):
            if content.startswith(start):
                with contextlib.suppress(OSError, EOFError, lzma.LZMAError, ValueError):
                    yield unpack(content)


def _parquet_texts(content: bytes) -> Iterator[str]:
    """Give every text of a Parquet file: the cells, the dictionaries with what no row uses any more, the metadata."""
    try:
        file = pq.ParquetFile(io.BytesIO(content))
    except (pa.ArrowException, OSError):
        return
    yield str(file.schema_arrow.metadata or "")
    names = [field.name for field in file.schema_arrow if _holds_text(field.type)]
    if not names:
        return
    plain = [field.name for field in file.schema_arrow if field.type in (pa.string(), pa.large_string())]
    file = pq.ParquetFile(io.BytesIO(content), read_dictionary=plain)
    for group in range(file.num_row_groups):
        for column in file.read_row_group(group, columns=names).itercolumns():
            for chunk in column.chunks:
                yield APART.join(_texts(chunk))


def _texts(chunk: pa.Array) -> Iterator[str]:
    if pa.types.is_dictionary(chunk.type):
        yield from _texts(chunk.dictionary)
    elif pa.types.is_struct(chunk.type):
        for part in chunk.flatten():
            yield from _texts(part)
    elif pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type):
        yield from _texts(chunk.flatten())
    else:
        for value in chunk.unique().to_pylist():
            if value is not None:
                yield value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _holds_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_) or pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _holds_text(type_.value_type)
    if pa.types.is_struct(type_):
        return any(_holds_text(field.type) for field in type_)
    return any(is_(type_) for is_ in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))


def _database_texts(content: bytes) -> Iterator[str]:
    with tempfile.NamedTemporaryFile(prefix="leadrev-search-") as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file.name)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in tables:
                quoted = name.replace('"', '""')
                for row in connection.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608 - its own name, quoted
                    yield APART.join(cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
                                    for cell in row if cell is not None)  # fmt: skip


def _bounded(text: str) -> bytes:
    """Give a pattern for a text among binary data, where cells stand without anything between them."""
    before = r"(?<!\d)" if text[0].isdigit() else ""
    after = r"(?!\d)" if text[-1].isdigit() else ""
    return f"{before}{re.escape(text)}{after}".encode()


def _wide(content: bytes) -> tuple[str, ...]:
    """Name the wide encodings that a file says it is in."""
    return ("utf-16",) if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ()


def _name_forms(name: str) -> list[str]:
    """Give the ways of writing a name of several words; one word alone is anybody's."""
    words = name.replace(",", " ").split()
    if len(words) < 2:
        return []
    gap = r"[ \t\xa0,;+_]+"
    orders = [words, words[::-1], [words[-1], *words[:-1]]]
    return list(dict.fromkeys(gap.join(map(re.escape, order)) for order in orders))


def holds(path: Path, searcher: Searcher) -> bool:
    """Whether a file names the person, in its name or in its bytes."""
    return searcher.in_text(path.name) or searcher.in_bytes(path.read_bytes())
