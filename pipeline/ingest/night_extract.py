# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Sources through a night's extract: read once, kept as read, and given back to every run of that night."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline.archive.chain import Entry
from pipeline.archive.extracts import SOURCES
from pipeline.common.atomic_write import replace_file
from pipeline.common.errors import RunFailedError, UserError
from pipeline.common.sql import literal, quoted
from pipeline.config.params import Params, Source
from pipeline.ingest.sources import RawTable, read_source
from pipeline.ingest.suppressed_rows import reading_without

_KEPT = ("key", "table", "label", "relation", "columns", "row_count", "spoiled", "notes")
_OTHER_TYPES = {"HUGEINT": "DECIMAL(38, 0)", "UHUGEINT": "DECIMAL(38, 0)"}
_AS_TEXT = ("TIME WITH TIME ZONE", "BIT", "BIGNUM", "INTERVAL")
"""Types that Parquet does not give back as they were."""


@dataclass
class NightExtract:
    """The sources of one night.

    Parameters
    ----------
    folder : Path
        The extract's folder.
    taken_at : datetime
        When the sources were read: UTC, without a zone.
    is_sealed : bool
        Whether they have been read: then nothing but the extract is looked at.
    before : Entry, optional
        The extract before it.
    carried : dict of str to str
        Sources that could not be read and are those of the extract before, by their key, and what was wrong; only
        tables in `may_carry`.
    may_carry : frozenset of str
    """

    folder: Path
    taken_at: datetime
    is_sealed: bool
    before: Entry | None = None
    may_carry: frozenset[str] = frozenset()
    carried: dict[str, str] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, entry: Entry, taken_at: datetime, before: Entry | None = None) -> NightExtract:
        """Open a sealed extract.

        Raises
        ------
        UserError
            If its sources were removed since, or the list of them was changed.
        """
        found = json.loads((entry.folder / SOURCES).read_bytes()) if entry.is_whole() else None
        if found is None:
            raise UserError(f"{entry.folder}: the sources of this extract are no longer kept; only its changes are")
        return cls(entry.folder, taken_at, True, before, sources=found, carried=entry.seal.get("carried", {}))

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        key: str,
        source: Source,
        folder: Path,
        scratch: Path,
        folders: Sequence[str] = (),
    ) -> RawTable:
        """Do as `pipeline.ingest.sources.read_source`, out of the extract; what is not in it yet is put there first.

        Raises
        ------
        UserError
            If the source cannot be read and never was; `RunFailedError` if it was, and may not be missed.
        """
        if self.is_sealed:
            return self._given_back(connection, key, source)
        try:
            read = reading_without(read_source, self.folder.parents[1])
            raw = read(connection, table, key, source, folder, scratch, folders)
        except UserError as error:
            if "write" in str(error.__context__ or "").lower():  # the disk is full: no word about the source
                raise RunFailedError(str(error)) from None
            known = self._read_before(key)
            if known is None:
                raise
            if table not in self.may_carry:
                raise RunFailedError(f"{error} It was read on {self.before_night}; the last results stay.") from None
            _drop_leftovers(connection, known["relation"])
            self._carry(key, known, error)
            return self._given_back(connection, key, source)
        path = self.folder / f"{raw.relation}.parquet"
        columns = ", ".join(_kept_column(name, type_) for name, type_, *_ in connection.execute(
            f"DESCRIBE {quoted(raw.relation)}").fetchall())  # fmt: skip
        connection.execute(
            f"COPY (SELECT {columns} FROM {quoted(raw.relation)}) TO {literal(str(path))} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
        connection.execute(f"DROP {'TABLE' if raw.is_copy else 'VIEW'} {quoted(raw.relation)}")
        self.sources.append({name: getattr(raw, name) for name in _KEPT})
        return self._given_back(connection, key, source)

    def write_list(self) -> None:
        """Write down how each source was read; the rest of what a later run needs."""
        replace_file(self.folder / SOURCES, (json.dumps(self.sources, indent=1, ensure_ascii=False) + "\n").encode())

    @property
    def before_night(self) -> str:
        """The night of the extract before."""
        return "" if self.before is None else str(self.before.seal["night"])

    def _read_before(self, key: str) -> dict[str, Any] | None:
        if self.before is None or not self.before.is_whole():
            return None
        known = json.loads((self.before.folder / SOURCES).read_bytes())
        return next((source for source in known if source["key"] == key), None)

    def _carry(self, key: str, known: dict[str, Any], error: UserError) -> None:
        """Take a source from the extract before."""
        assert self.before is not None
        name = f"{known['relation']}.parquet"
        shutil.copyfile(self.before.folder / name, self.folder / name)
        self.carried[key] = str(error).rstrip(".")
        self.sources.append(known)

    def _given_back(self, connection: duckdb.DuckDBPyConnection, key: str, source: Source) -> RawTable:
        found = next((kept for kept in self.sources if kept["key"] == key), None)
        if found is None:
            raise UserError(
                f"{key}: is not in the extract of {self.folder.name}, which was taken before the params named it; it "
                "is read with the next night, or at once with `leadrev nightly --from freshness`"
            )
        values = {name: found[name] for name in _KEPT} | {"spoiled": [tuple(row) for row in found["spoiled"]]}
        raw = RawTable(source=source, is_copy=False, **values)
        path = self.folder / f"{raw.relation}.parquet"
        connection.execute(f"CREATE VIEW {quoted(raw.relation)} AS FROM read_parquet({literal(str(path))})")
        described = connection.execute(f"DESCRIBE {quoted(raw.relation)}").fetchall()
        raw.columns = {name: type_ for name, type_, *_ in described if name in raw.columns}
        return raw


def _drop_leftovers(connection: duckdb.DuckDBPyConnection, relation: str) -> None:
    """Drop what a reading that failed midway has made."""
    made = connection.execute(
        "SELECT 'VIEW', view_name FROM duckdb_views() WHERE NOT internal "
        "UNION ALL SELECT 'TABLE', table_name FROM duckdb_tables()"
    ).fetchall()
    for kind, name in made:
        if name in (relation, "arrived", "objects") or name.startswith("part_"):
            connection.execute(f"DROP {kind} {quoted(name)}")


def _kept_column(name: str, type_: str) -> str:
    other = _OTHER_TYPES.get(type_) or ("VARCHAR" if type_ in _AS_TEXT else None)
    return f"CAST({quoted(name)} AS {other}) AS {quoted(name)}" if other else quoted(name)


def reading_fingerprint(params: Params) -> str:
    """SHA-256 of everything in the params that decides how sources are read: another one, other values of a field."""
    settings = params.data.model_dump(mode="json", include={"timezone", "sources"})
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
