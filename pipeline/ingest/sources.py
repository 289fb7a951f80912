# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Reading a source into DuckDB as it is: every row numbered, nothing typed, nothing dropped."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from pipeline.common.errors import UserError
from pipeline.common.masking import without_password
from pipeline.common.sql import literal, quoted
from pipeline.config.params import Source
from pipeline.ingest.csv_dialect import CsvFile, open_csv
from pipeline.ingest.databases import SCHEMES, copy_table
from pipeline.ingest.file_formats import find_part, unpack
from pipeline.ingest.sql_guard import RESULT, run_query

ROW, PLACE = "__row", "__place"
"""Columns that every raw relation has besides its own: the row's number in its file, and that file's name."""

_LONGEST_LINE_BYTES = 1 << 24


@dataclass
class RawTable:
    """A source as DuckDB sees it.

    Parameters
    ----------
    table : str
        The contract's table, such as ``leads``.
    key : str
        The dotted params key, such as ``data.sources.leads``.
    source : Source
        What params say about it.
    label : str
        What people know it by: a file's name, an address without its password, or ``sql``.
    relation : str
        Name of the DuckDB table or view.
    columns : dict of str to str
        The source's own columns and their DuckDB types.
    row_count : int
        Rows in the relation.
    spoiled : list of (place, row, value, reason)
        Rows that could not be split into columns, and so are not in the relation.
    notes : list of str
        What a person should know about how it was read.
    is_copy : bool
        The relation is a copy of the source, not a view of its files.
    named : dict of str to str
        The contract's column to the column of the relation, as params say (`derived_columns`).
    origins : dict of str to tuple of str
        For these, the source's own columns that they are made of.
    splits : dict of str to str
        For a column whose cells hold several values, the mark between them.
    made : frozenset of str
        Columns of the relation that the source does not have.
    has_local_times : bool
        Some of its times say no offset.
    """

    table: str
    key: str
    source: Source
    label: str
    relation: str
    columns: dict[str, str] = field(default_factory=dict)
    row_count: int = 0
    spoiled: list[tuple[str, int, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_copy: bool = True
    named: dict[str, str] = field(default_factory=dict)
    origins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    has_local_times: bool = False

    @property
    def base(self) -> str:
        """The relation without the columns that were made."""
        return self.relation.removesuffix("_and_more") if self.made else self.relation


def read_source(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: str,
    source: Source,
    folder: Path,
    scratch: Path,
    folders: Sequence[str] = (),
) -> RawTable:
    """Make a source readable as one DuckDB relation.

    Text formats come as text throughout, typed ones with their types. Rows are numbered from 1 within their file;
    rows of a query or a database table have no order of their own and are numbered in the order of their content,
    events (too many to sort) in the order of arrival.

    Parameters
    ----------
    connection : DuckDB connection
        Gets the relation; its ``file_search_path`` is `folder`.
    table, key : str
        The contract's table, and the dotted params key for messages.
    source : Source
        What to read.
    folder : Path
        Folder of the params file, where relative paths start.
    scratch : Path
        A folder for temporary files.
    folders : sequence of str
        Further folders in which a query may read files.

    Returns
    -------
    RawTable

    Raises
    ------
    UserError
        The source is missing, unreadable or empty; the message names the key.
    """
    label = "sql" if source.sql is not None else without_password(source.from_ or "")
    raw = RawTable(table, key, source, label, "raw_" + key.removeprefix("data.sources.").replace(".", "_"))
    try:
        if source.sql is not None:
            _copy_query(connection, run_query(source.sql, key, folder, folders, scratch, _timezone(connection)))
            _number_rows(connection, raw)
        elif source.from_ is not None and source.from_.startswith(SCHEMES):
            copy_table(connection, source.from_, key, folder, "arrived")
            _number_rows(connection, raw)
        else:
            _read_files(connection, raw, folder, scratch)
    except duckdb.Error as error:
        where = f"{key}.{'sql' if source.sql is not None else 'from'}"
        raise UserError(f"{where}: cannot read {label}: {_first_words(error)}") from None
    described = connection.execute(f"DESCRIBE {quoted(raw.relation)}").fetchall()
    raw.columns = {name: type_ for name, type_, *_ in described if name not in (ROW, PLACE)}
    raw.row_count = connection.execute(f"SELECT count(*) FROM {quoted(raw.relation)}").fetchall()[0][0]
    if raw.row_count + len(raw.spoiled) == 0:
        hint = "" if table in ("leads", "deals") else f"; take the key {key} out if there are none yet"
        raise UserError(f"{key}: {label} has no rows{hint}.")
    return raw


def _copy_query(connection: duckdb.DuckDBPyConnection, found: Path) -> None:
    connection.execute(f"ATTACH {literal(str(found))} AS queried (READ_ONLY)")
    connection.execute(f"CREATE TABLE arrived AS SELECT * FROM queried.{RESULT}")
    connection.execute("DETACH queried")
    found.unlink()


def _timezone(connection: duckdb.DuckDBPyConnection) -> str:
    return connection.execute("SELECT current_setting('TimeZone')").fetchall()[0][0]


def _number_rows(connection: duckdb.DuckDBPyConnection, raw: RawTable) -> None:
    order = "" if raw.table == "events" else "ORDER BY ALL"
    connection.execute(
        f"CREATE TABLE {quoted(raw.relation)} AS SELECT *, row_number() OVER () AS {ROW}, $label AS {PLACE} "
        f"FROM (SELECT * FROM arrived {order})",
        {"label": raw.label},
    )
    connection.execute("DROP TABLE arrived")


def _read_files(connection: duckdb.DuckDBPyConnection, raw: RawTable, folder: Path, scratch: Path) -> None:
    inside = find_part(folder, raw.source.from_ or "")
    found = [(inside[0], inside[1])] if inside else [(path, "") for path in _paths(raw, folder)]
    unpacked = [unpack(path, part, raw.key, scratch) for path, part in found]
    paths = [file.path for file in unpacked]
    raw.notes += [note for file in unpacked for note in file.notes]
    kinds = {file.kind for file in unpacked}
    if len(kinds) > 1:
        raise UserError(f"{raw.key}.from: {raw.label} matches files of several formats: {', '.join(sorted(kinds))}.")
    kind = kinds.pop()
    if kind == "parquet":
        raw.is_copy = False
        place = "parse_filename(filename)" if len(paths) > 1 else literal(paths[0].name)
        hidden = "file_row_number" + (", filename" if len(paths) > 1 else "")
        connection.execute(
            f"CREATE VIEW {quoted(raw.relation)} AS "
            f"SELECT * EXCLUDE ({hidden}), file_row_number + 1 AS {ROW}, {place} AS {PLACE} "
            f"FROM read_parquet([{', '.join(literal(str(path)) for path in paths)}], "
            f"file_row_number = true, union_by_name = true{', filename = true' if len(paths) > 1 else ''})"
        )
        return
    read = _read_csv if kind == "csv" else _read_json
    parts = [f"part_{number}" for number in range(len(paths))]
    for part, path in zip(parts, paths, strict=True):
        read(connection, raw, path, part, scratch)
    if len(paths) == 1:
        connection.execute(f"ALTER TABLE part_0 RENAME TO {quoted(raw.relation)}")
        return
    union = " UNION ALL BY NAME ".join(f"FROM {part}" for part in parts)
    connection.execute(f"CREATE TABLE {quoted(raw.relation)} AS {union}")
    for part in parts:
        connection.execute(f"DROP TABLE {part}")


def _read_csv(connection: duckdb.DuckDBPyConnection, raw: RawTable, path: Path, part: str, scratch: Path) -> None:
    """Read a CSV file as text; lines with too few or too many columns are kept aside with their reason."""
    found = open_csv(path, raw.key, scratch)
    try:
        rejects = _copy_csv(connection, found, path.name, part)
    except duckdb.Error:  # a stray carriage return stops DuckDB's reader
        found = open_csv(path, raw.key, scratch, straighten=True)
        rejects = _copy_csv(connection, found, path.name, part)
    if found.note:
        raw.notes.append(found.note)
    raw.spoiled += [(path.name, line - 1, text, f"broken line: {why}") for line, text, why in rejects]


def _copy_csv(
    connection: duckdb.DuckDBPyConnection, found: CsvFile, name: str, part: str
) -> list[tuple[int, str, str]]:
    """Copy the lines that split into columns; give line number, text and error of the others."""
    connection.execute("DROP TABLE IF EXISTS spoiled; DROP TABLE IF EXISTS spoiled_scans")
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in found.columns)
    connection.execute(
        f"CREATE TABLE {part} AS SELECT *, row_number() OVER () AS {ROW}, $place AS {PLACE} FROM read_csv("
        f"{literal(str(found.path))}, auto_detect = false, header = true, columns = {{{columns}}}, "
        f"delim = {literal(found.delimiter)}, quote = '\"', escape = '\"', max_line_size = {_LONGEST_LINE_BYTES}, "
        "store_rejects = true, rejects_table = 'spoiled', rejects_scan = 'spoiled_scans')",
        {"place": name},
    )
    return connection.execute(
        "SELECT min(line), any_value(csv_line), string_agg(DISTINCT error_message, '; ' ORDER BY error_message) "
        "FROM spoiled GROUP BY line_byte_position ORDER BY line_byte_position"
    ).fetchall()


def _read_json(connection: duckdb.DuckDBPyConnection, raw: RawTable, path: Path, part: str, scratch: Path) -> None:
    """Read JSON objects as text columns; what is not an object is kept aside."""
    connection.execute(
        f"CREATE TABLE objects AS SELECT json, row_number() OVER () AS {ROW} FROM "
        f"read_json_objects({literal(str(path))}, format = 'auto', ignore_errors = true)"
    )
    broken = connection.execute(
        f"SELECT {ROW}, json::VARCHAR FROM objects WHERE json IS NULL OR json_type(json) <> 'OBJECT'"
    ).fetchall()
    raw.spoiled += [(path.name, row, text or "", "not a JSON object") for row, text in broken]
    keys = connection.execute(
        "SELECT key FROM (SELECT unnest(json_keys(json)) AS key FROM objects WHERE json_type(json) = 'OBJECT') "
        "GROUP BY key ORDER BY key"
    ).fetchall()
    folded: dict[str, list[str]] = {}
    for (key,) in keys:
        folded.setdefault(key.lower(), []).append(key)
    values = "".join(
        "coalesce("
        + ", ".join(f"json ->> {literal('$.' + _json_quoted(name))}" for name in names)
        + f") AS {quoted(names[0])}, "
        for names in folded.values()
        if names[0]
    )
    connection.execute(
        f"CREATE TABLE {part} AS SELECT {values}{ROW}, $place AS {PLACE} FROM objects WHERE json_type(json) = 'OBJECT'",
        {"place": path.name},
    )
    connection.execute("DROP TABLE objects")


def _paths(raw: RawTable, folder: Path) -> list[Path]:
    written = raw.source.from_ or ""
    whole = folder / written
    if whole.is_file():
        return [whole]
    found = sorted(Path(path) for path in glob.glob(str(whole), recursive=True) if Path(path).is_file())
    if found:
        return found
    if whole.is_dir():
        raise UserError(f"{raw.key}.from: {written} is a folder; name its files, e.g. {written.rstrip('/')}/*.parquet.")
    names = [path.name for path in whole.parent.iterdir()] if whole.parent.is_dir() else []
    close = difflib.get_close_matches(whole.name, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "paths start at the folder of the params file."
    raise UserError(f"{raw.key}.from: no file {written} (looked at {whole}); {hint}")


def _json_quoted(name: str) -> str:
    return '"' + name.replace('"', '\\"') + '"'


def _first_words(error: duckdb.Error) -> str:
    """DuckDB's own first sentence and its suggestion, on one line, without the query around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message_lines = [
        line for place, line in enumerate(lines) if place == 0 or line.startswith(("Candidate", "Did you mean"))
    ]
    return " ".join(message_lines)[:300] or type(error).__name__
