"""Files without a person: rows that are theirs go, mentions in others' rows are cut out, all else stays as it is."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.suppressed_rows import ERASED
from pipeline.operations.erasure_search import ID_COLUMNS, Searcher

DEALS = ("raw_deals", "state_deals")
"""Tables whose rows stay without the person: a deal is the company's, and its money must not go missing."""


def rewrite(path: Path, searcher: Searcher, own_columns: Collection[str] = ()) -> bytes | None:
    """Give a file's bytes without the person.

    Parameters
    ----------
    path : Path
    searcher : Searcher
    own_columns : collection of str
        Further names of columns that hold ids of people, in lower case.

    Returns
    -------
    bytes or None
        None where the file cannot be without them but by being removed: a page, an archive, a format nobody knows.
    """
    content, kind = path.read_bytes(), _kind(path)
    if content.startswith(b"PAR1"):
        return _parquet(content, path.stem.startswith(DEALS), searcher, ID_COLUMNS | frozenset(own_columns))
    if kind == ".csv":
        return _csv(content, searcher)
    if kind == ".jsonl":
        return _json_lines(content, searcher)
    if kind == ".json":
        return _json(content, searcher)
    if kind in (".txt", ".log", ".yaml", ".yml", ".md"):
        return searcher.without(content.decode("utf-8", errors="surrogateescape")).encode(errors="surrogateescape")
    return None


def _kind(path: Path) -> str:
    name = path.name
    while name.rpartition(".")[2].isdigit():  # rotated logs
        name = name.rpartition(".")[0]
    return Path(name).suffix.lower()


def without_in_json(value: Any, searcher: Searcher) -> Any:
    """Give what JSON holds without the person: elements of lists that are theirs go, mentions elsewhere are cut out."""
    if isinstance(value, list) and not all(isinstance(one, str | dict) for one in value):  # places have a meaning
        return [ERASED if searcher.is_whole(one) else without_in_json(one, searcher) for one in value]
    if isinstance(value, list):
        return [without_in_json(one, searcher) for one in value if not _is_theirs(one, searcher)]
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if not searcher.is_whole(key)}
        return {searcher.without(key): without_in_json(one, searcher) for key, one in kept.items()}
    return searcher.without(value) if isinstance(value, str) else value


def _is_theirs(one: Any, searcher: Searcher) -> bool:
    if isinstance(one, dict):
        return any(searcher.is_whole(value) or searcher.in_table_of_ids(key, value) for key, value in one.items())
    return searcher.is_whole(one)


def _parquet(content: bytes, keeps_rows: bool, searcher: Searcher, id_columns: frozenset[str]) -> bytes:
    """Write a Parquet file again as it was: its columns, compression and groups of rows; statistics are made anew."""
    file = pq.ParquetFile(io.BytesIO(content))
    schema, held = file.schema_arrow, io.BytesIO()
    compression, encodings = "NONE", {}
    if file.num_row_groups and file.metadata.num_columns:
        group = file.metadata.row_group(0)
        compression = group.column(0).compression
        for place in range(group.num_columns):
            column = group.column(place)
            encodings[column.path_in_schema] = column.encodings
    flat = [field.name for field in schema if not pa.types.is_nested(field.type)]
    dictionary = [name for name in flat if any("DICTIONARY" in one for one in encodings.get(name, ()))]
    split = {name: "BYTE_STREAM_SPLIT" for name in flat if "BYTE_STREAM_SPLIT" in encodings.get(name, ())}
    options: dict[str, Any] = {"use_dictionary": dictionary} if split else {}
    if split:
        options["column_encoding"] = split
    metadata = {
        key: searcher.without(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        for key, value in (schema.metadata or {}).items()
    }
    schema = schema.with_metadata(metadata or None)
    with pq.ParquetWriter(
        held, schema, compression="NONE" if compression == "UNCOMPRESSED" else compression, **options
    ) as writer:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            rows = table.num_rows
            table = _table(table, keeps_rows, searcher, id_columns)
            writer.write_table(table.cast(schema), row_group_size=max(rows, 1))
    return held.getvalue()


def _table(table: pa.Table, keeps_rows: bool, searcher: Searcher, id_columns: frozenset[str]) -> pa.Table:
    theirs = [False] * table.num_rows
    for place, name in enumerate(table.column_names):
        column = table.column(place)
        is_ids = name.lower() in id_columns and bool(searcher.short_ids)
        is_text = _is_text(column.type)
        if not (is_text or is_ids or pa.types.is_nested(column.type)):
            continue
        values = column.to_pylist()
        changed: dict[Any, Any] = {}
        for row, value in enumerate(values):
            if value is None:
                continue
            key = value if isinstance(value, str | int) else repr(value)
            if key not in changed:
                changed[key] = _cell(value, is_ids, searcher)
            found = changed[key]
            if found is _OWN:
                theirs[row] = True
                values[row] = ERASED if is_text else None
            elif found is not _SAME:
                values[row] = found
        if any(one is not _SAME for one in changed.values()):
            type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
            array = pa.array(values, type=type_)
            array = array.dictionary_encode() if pa.types.is_dictionary(column.type) else array
            table = table.set_column(place, table.field(place), array.cast(column.type))
        elif pa.types.is_dictionary(column.type):  # a category that no row has any more goes too
            encoded = pa.array(values, type=column.type.value_type).dictionary_encode()
            table = table.set_column(place, table.field(place), encoded.cast(column.type))
    return table if keeps_rows or not any(theirs) else table.filter(pa.array([not one for one in theirs]))


_OWN, _SAME = object(), object()


def _cell(value: Any, is_ids: bool, searcher: Searcher) -> Any:
    """Say of a cell whether its row is the person's (`_OWN`), it does not name them (`_SAME`), or what it becomes."""
    if searcher.is_whole(value) or (is_ids and str(value) in searcher.short_ids):
        return _OWN
    if isinstance(value, str):
        if not searcher.in_text(value) and not (searcher.short_ids and "lead_id" in value):
            return _SAME
        if value.lstrip()[:1] in ("[", "{"):
            try:
                parsed = json.loads(value)
            except ValueError:
                return searcher.without(value)
            cleaned = without_in_json(parsed, searcher)
            return _SAME if cleaned == parsed else _dumped_as(value, parsed, cleaned)
        return searcher.without(value)
    if isinstance(value, list | dict):
        cleaned = without_in_json(value, searcher)
        return _SAME if cleaned == value else cleaned
    return _SAME


def _is_text(type_: pa.DataType) -> bool:
    type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _csv(content: bytes, searcher: Searcher) -> bytes:
    """Leave out the lines of a CSV file that are the person's; all others stay to the byte."""
    text = content.decode("utf-8", errors="surrogateescape")
    kept: list[str] = []
    taken: list[str] = []
    header: list[str] = []

    def lines() -> Any:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    for cells in csv.reader(lines()):
        line = "".join(taken)
        taken.clear()
        named = list(zip(header, cells, strict=False))
        header = header or cells
        if any(searcher.is_whole(cell) for cell in cells):
            continue
        if any(searcher.in_table_of_ids(name, cell) for name, cell in named):
            continue
        if searcher.in_text(line):
            held = io.StringIO(newline="")
            end = "\r\n" if line.endswith("\r\n") else "\n"
            csv.writer(held, lineterminator=end).writerow([_csv_cell(cell, searcher) for cell in cells])
            line = held.getvalue()
        kept.append(line)
    return "".join(kept).encode("utf-8", errors="surrogateescape")


def _csv_cell(cell: str, searcher: Searcher) -> str:
    found = _cell(cell, False, searcher)
    return cell if found is _SAME else found


def _json_lines(content: bytes, searcher: Searcher) -> bytes:
    """Cut the person out of each line; no line goes, as logs count them."""
    lines = []
    for line in content.decode("utf-8", errors="surrogateescape").splitlines(keepends=True):
        try:
            parsed = json.loads(line)
        except ValueError:
            lines.append(searcher.without(line))
            continue
        cleaned = _named_erased(without_in_json(parsed, searcher), searcher)
        lines.append(line if cleaned == parsed else _dumped_as(line, parsed, cleaned))
    return "".join(lines).encode("utf-8", errors="surrogateescape")


def _named_erased(value: Any, searcher: Searcher) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: ERASED if searcher.in_table_of_ids(key, one) else one for key, one in value.items()}


def _json(content: bytes, searcher: Searcher) -> bytes:
    """Cut the person out of a JSON file, written as it was; one that holds its own seal is sealed again."""
    text = content.decode("utf-8")
    parsed = json.loads(text)
    cleaned = without_in_json(parsed, searcher)
    if cleaned == parsed:
        return content
    if isinstance(cleaned, dict) and (sealed := parsed.get("sha256")) is not None:
        own = {key: value for key, value in parsed.items() if key != "sha256"}
        if _digest(own) == sealed:
            cleaned["sha256"] = _digest({key: value for key, value in cleaned.items() if key != "sha256"})
    return _dumped_as(text, parsed, cleaned).encode()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _dumped_as(text: str, parsed: Any, changed: Any) -> str:
    """Write JSON in the manner in which a text was written."""
    body, end = text.rstrip("\r\n"), text[len(text.rstrip("\r\n")) :]
    for indent, sort, plain, tight in itertools.product((None, 1, 2, 4), (False, True), (False, True), (False, True)):
        options: dict[str, Any] = {"indent": indent, "sort_keys": sort, "ensure_ascii": plain}
        options |= {"separators": (",", ":")} if tight else {}
        if json.dumps(parsed, **options) == body:
            return json.dumps(changed, **options) + end
    return json.dumps(changed, ensure_ascii=False) + end


def rewrite_database(path: Path, searcher: Searcher) -> int:
    """Take the person out of a SQLite file, free pages and write-ahead log included; give how many rows they were in.

    Rows whose id or address is theirs go; in others the mention is cut out. Triggers that keep rows from being changed
    stand aside for the one transaction.
    """
    touched = 0
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {_quoted(name)}")
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (table,) in tables:
            touched += _database_table(connection, table, searcher)
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return touched


def _database_table(connection: sqlite3.Connection, table: str, searcher: Searcher) -> int:
    described = connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
    columns = [row[1] for row in described]
    keys = [row[1] for row in sorted(described, key=lambda row: row[5]) if row[5]] or ["rowid"]
    where = " AND ".join(f"{_quoted(key)} IS ?" for key in keys)
    asked = ", ".join(_quoted(key) for key in keys)
    found = 0
    for row in connection.execute(f"SELECT {asked}, * FROM {_quoted(table)}").fetchall():  # noqa: S608 - quoted names
        key, named = row[: len(keys)], list(zip(columns, row[len(keys) :], strict=True))
        if any(searcher.is_whole(cell) or searcher.in_table_of_ids(name, cell) for name, cell in named):
            connection.execute(f"DELETE FROM {_quoted(table)} WHERE {where}", key)  # noqa: S608 - quoted names
            found += 1
            continue
        changed = {}
        for name, cell in named:
            text = cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell
            if isinstance(text, str) and (new := _cell(text, False, searcher)) is not _SAME:
                changed[name] = new.encode("utf-8", "surrogateescape") if isinstance(cell, bytes) else new
        if changed:
            sets = ", ".join(f"{_quoted(name)} = ?" for name in changed)
            connection.execute(
                f"UPDATE {_quoted(table)} SET {sets} WHERE {where}",  # noqa: S608 - quoted names
                [*changed.values(), *key],
            )
            found += 1
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
