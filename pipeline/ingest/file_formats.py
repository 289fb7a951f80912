"""Files as people export them, whatever they are called: workbooks, archives, HTML named xls, pages of an API.

What a file is, its first bytes say. Each is written out as CSV or JSON lines in a temporary folder, and read as such.
"""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.ingest.report_layout import footer_length, header_row
from pipeline.ingest.unpacking_limits import DAMAGED, check_expansion
from pipeline.ingest.workbook_rows import sheets_with_rows, workbook_rows

TEXT_FORMATS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "json", ".ndjson": "json", ".json": "json",
}  # fmt: skip
WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
OTHER_FORMATS = (*WORKBOOKS, ".zip", ".html", ".htm")
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_PAGE_KEYS = ("results", "data", "value", "records", "items", "rows", "entries", "result", "objects")
_INNER_KEYS = ("properties", "fields", "attributes")
PAGE_BYTES_LIMIT = 1 << 30


class Unpacked:
    """A file as it is read.

    Parameters
    ----------
    path : Path
        The file itself, or what it was written out as.
    kind : str
        ``csv``, ``json`` or ``parquet``.
    notes : list of str
        What a person should know about how it was read.
    """

    def __init__(self, path: Path, kind: str, notes: Sequence[str] = ()):
        self.path, self.kind, self.notes = path, kind, list(notes)


def unpack(path: Path, part: str, key: str, scratch: Path, out_of: Path | None = None) -> Unpacked:
    """Make a file readable as CSV, JSON lines or Parquet.

    Parameters
    ----------
    path : Path
        An existing file.
    part : str
        A member of an archive, or a sheet of a workbook; empty: the only member, the first sheet with rows.
    key : str
        The dotted params key, for messages.
    scratch : Path
        A folder for temporary files.
    out_of : Path, optional
        The archive that the file was taken out of.

    Raises
    ------
    UserError
        The file is damaged, or of no format that is read; or an archive holds several tables and none is named.
    """
    check_expansion(path, f"{key}.from", out_of)
    with open(path, "rb") as file:
        start = file.read(4096)
    suffix = path.suffix.lower()
    if start[:4] == _ZIP and _is_workbook(path):
        return _workbook(path, part, key, scratch)
    if start[:4] == _ZIP and out_of is not None:  # one may hold itself
        raise UserError(f"{key}.from: {path.name} lies packed in {out_of.name}; unpack that, and name the file.")
    if start[:4] == _ZIP:
        return _archive(path, part, key, scratch)
    if start[:4] == _OLE:
        return _workbook(path, part, key, scratch)
    text = start.decode("utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="ignore")
    text = text.lstrip("\ufeff \r\n\t").lower()
    if text.startswith(("<html", "<table", "<!doctype html", "<meta", "<body", "<head")):
        return _html(path, key, scratch)
    if text.startswith(("<?xml", "<workbook")) or (suffix in (".xls", ".xml") and text.startswith("<")):
        raise UserError(f"{key}.from: {path.name} is XML; save it as .xlsx or as CSV (UTF-8), and name that file.")
    inner = Path(path.name.removesuffix(".gz")).suffix.lower()
    kind = TEXT_FORMATS.get(inner)
    if kind is None and suffix in OTHER_FORMATS and b"\x00" not in start.replace(b"\xff\xfe", b"") and text:
        kind = "csv"  # text that is only named like a workbook
    if kind is None:
        raise UserError(
            f"{key}.from: cannot tell the format of {path.name}; it may end in "
            f"{', '.join([*TEXT_FORMATS, *OTHER_FORMATS])} (text also in .gz)."
        )
    if kind == "json" and suffix != ".gz" and path.stat().st_size <= PAGE_BYTES_LIMIT:
        return _pages(path, key, scratch)
    return Unpacked(path, kind)


def find_part(folder: Path, written: str) -> tuple[Path, str] | None:
    """Find the archive or workbook in a path that goes on inside it: ``export.zip/Lead.csv``, ``a.xlsx/Sheet 2``."""
    parts = PurePosixPath(written).parts
    for place in range(len(parts) - 1, 0, -1):
        outer = folder / PurePosixPath(*parts[:place])
        if outer.is_file():
            return outer, "/".join(parts[place:])
    return None


def members(path: Path) -> list[str]:
    """Name the tables that an archive or a workbook holds; nothing of any other file."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if start == _ZIP and not _is_workbook(path):
            return sorted(_tables_of(zipfile.ZipFile(path)))
        if start in (_ZIP, _OLE):
            check_expansion(path, "")
            return sheets_with_rows(path)
    except (UserError, *DAMAGED):  # a damaged file is told of where it is read
        return []
    return []


def _tables_of(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {
        entry.filename: entry
        for entry in archive.infolist()
        if not entry.is_dir() and not entry.filename.startswith("__MACOSX/") and _is_table(entry.filename)
    }


def _is_workbook(path: Path) -> bool:
    try:
        names = set(zipfile.ZipFile(path).namelist())
    except DAMAGED:  # said where it is unpacked
        return False
    return "[Content_Types].xml" in names or ("mimetype" in names and "content.xml" in names)


def _archive(path: Path, part: str, key: str, scratch: Path) -> Unpacked:
    try:
        target, name = _extracted(path, part, key, scratch)
    except DAMAGED as error:
        raise UserError(
            f"{key}.from: {path.name} cannot be unpacked ({error}); unpack it yourself, and name the unpacked file."
        ) from None
    found = unpack(target, "", key, scratch, out_of=path)
    found.notes.append(f"{path.name}: {name} was read")
    return found


def _extracted(path: Path, part: str, key: str, scratch: Path) -> tuple[Path, str]:
    """Take a table out of an archive; give where it lies and its name there."""
    with zipfile.ZipFile(path) as archive:
        tables = _tables_of(archive)
        folded = {Path(name).name.lower(): name for name in tables} | {name.lower(): name for name in tables}
        if not tables:
            raise UserError(f"{key}.from: {path.name} holds no table ({', '.join([*TEXT_FORMATS, '.xlsx'])}).")
        if not part and len(tables) > 1:
            some = ", ".join(sorted(tables)[:12])
            raise UserError(
                f"{key}.from: {path.name} holds {counted(len(tables), 'table', 'tables')}: {some}. Say which one, e.g. "
                f"{path.name}/{sorted(tables)[0]}."
            )
        name = folded.get(part.lower()) if part else next(iter(tables))
        if name is None:
            raise UserError(f"{key}.from: {path.name} holds no {part}; it holds {', '.join(sorted(tables)[:12])}.")
        if tables[name].flag_bits & 1:
            raise UserError(f"{key}.from: {path.name} is encrypted; unpack it, and name the unpacked file.")
        target = _free(scratch, Path(name).name)
        with archive.open(name) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file)
    return target, name


def _is_table(name: str) -> bool:
    inner = Path(name.lower().removesuffix(".gz")).suffix
    return inner in TEXT_FORMATS or inner in OTHER_FORMATS


def _free(scratch: Path, name: str) -> Path:
    """Give a new path of that name: what a row is listed under is the name of its file."""
    folder = scratch / f"unpacked-{len(list(scratch.iterdir()))}"
    folder.mkdir()
    return folder / name


def _workbook(path: Path, part: str, key: str, scratch: Path) -> Unpacked:
    name, names, rows = workbook_rows(path, part, key, scratch)
    notes = [] if len(names) == 1 else [f"{path.name}: the sheet '{name}' was read, of {', '.join(names)}"]
    return _written(path, rows, scratch, notes)


def _html(path: Path, key: str, scratch: Path) -> Unpacked:
    raw = path.read_bytes()
    for encoding in ("utf-8-sig", "utf-16") if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252"):
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = raw.decode("latin-1")
    reader = _TableReader()
    reader.feed(text)
    rows = [["".join(cell) for cell in row] for row in max(reader.tables, key=len, default=[])]
    if len(rows) < 2:
        raise UserError(
            f"{key}.from: {path.name} is an HTML page, and its table has no rows; export the report as CSV (UTF-8)."
        )
    return _written(path, rows, scratch, [f"{path.name} is an HTML page; its table was read"])


class _TableReader(HTMLParser):
    """Collects the cells of every table of a page, each as the pieces of its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[list[str]]]] = []
        self._is_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables:
            if not self.tables[-1]:
                self.tables[-1].append([])
            self.tables[-1][-1].append([])
            self._is_cell = True
        elif tag == "br" and self._is_cell:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr", "table"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.tables[-1][-1][-1].append(data)


def _written(path: Path, rows: list[list[str]], scratch: Path, notes: Sequence[str]) -> Unpacked:
    """Write rows as CSV, from their header on."""
    notes = list(notes)
    header = header_row(rows)
    names = [cell.strip() for cell in rows[header]] if rows else []
    while names and not names[-1]:
        names.pop()
    body = rows[header + 1 :]
    end = len(body) - footer_length(body[-20:], len(names))
    if header:
        notes.append(f"{path.name}: the header was read in row {header + 1}; what stands above it are titles")
    if end < len(body):
        notes.append(f"{path.name}: {counted(len(body) - end, 'row', 'rows')} at its end are no rows of the table")
    target = _free(scratch, f"{path.name}.csv" if path.suffix.lower() != ".csv" else path.name)
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in body[:end]:
            if any(cell.strip() for cell in row):
                cells = [cell.replace("\x00", "") for cell in row[: len(names)]]
                writer.writerow([*cells, *[""] * (len(names) - len(cells))])
    return Unpacked(target, "csv", notes)


def _pages(path: Path, key: str, scratch: Path) -> Unpacked:
    """Take the records out of pages of an API, and their properties out of what wraps them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return Unpacked(path, "json")
    try:
        whole = json.loads(text)
        things = whole if isinstance(whole, list) else [whole]
    except ValueError:
        first = text.lstrip().partition("\n")[0]
        try:
            if not _is_wrapped(json.loads(first)):
                return Unpacked(path, "json")
            things = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return Unpacked(path, "json")
    except RecursionError:
        raise UserError(f"{key}.from: {path.name} is nested too deeply to be a table.") from None
    if not any(_is_wrapped(thing) for thing in things[:20]):
        return Unpacked(path, "json")
    target = _free(scratch, path.name + "l" if path.suffix.lower() == ".json" else path.name)
    count = 0
    with open(target, "w", encoding="utf-8") as file:
        for record in _records(things):
            file.write(json.dumps(_flat(record) if isinstance(record, dict) else record, ensure_ascii=False) + "\n")
            count += 1
    if not count:
        raise UserError(f"{key}.from: {path.name} is a page of an API that holds no records.")
    return Unpacked(target, "json", [f"{path.name}: {count:,} records were taken out of the pages of an API"])


def _is_wrapped(thing: Any) -> bool:
    return isinstance(thing, dict) and (_page_key(thing) is not None or _inner_key(thing) is not None)


def _page_key(thing: dict[str, Any]) -> str | None:
    for name in _PAGE_KEYS:
        inner = thing.get(name)
        if isinstance(inner, list) and all(isinstance(item, dict) for item in inner):
            return name
    lists = [name for name, value in thing.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    scalars = [value for value in thing.values() if not isinstance(value, dict | list)]
    return lists[0] if len(lists) == 1 and len(scalars) <= 1 else None


def _inner_key(record: dict[str, Any]) -> str | None:
    for name in _INNER_KEYS:
        inner = record.get(name)
        # Salesforce's attributes hold only the record's type and address.
        if isinstance(inner, dict) and set(inner) != {"type", "url"}:
            return name
    return None


def _records(things: Iterable[Any]) -> Iterator[Any]:
    for thing in things:
        name = _page_key(thing) if isinstance(thing, dict) and _inner_key(thing) is None else None
        if name is not None:
            yield from thing[name]
        else:
            yield thing


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Bring the properties of a record up to it, and give of a linked record its id."""
    name = _inner_key(record)
    outer = {key: value for key, value in record.items() if key != name}
    taken = {key.lower() for key in outer}
    inner = record[name] if name else {}
    flat = outer | {(key if key.lower() not in taken else f"{name}.{key}"): value for key, value in inner.items()}
    return {
        key: value
        for written, found in flat.items()
        for key, value in (_links(found) if written == "associations" else [(written, _plain(found))])
    }


def _links(found: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(found, dict):
        yield "associations", found
        return
    for name, linked in found.items():
        results = linked.get("results", []) if isinstance(linked, dict) else linked
        ids = [str(item.get("id", item.get("toObjectId"))) for item in results if isinstance(item, dict)]
        yield f"associations.{name}", ";".join(dict.fromkeys(ids)) or None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        for name in ("value", "id"):
            if name in value and not isinstance(value[name], dict | list):
                return value[name]
    return value
