# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""A loaded company: its tables, and how they came to be."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from features.schema import SCHEMAS, Tables
from pipeline.common.sql import quoted
from pipeline.config.params import Params
from pipeline.identity.linkage import Identity
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.parsing import Conventions
from pipeline.ingest.staging import Staged

LOADED = (
    "leads", "deals", "accounts", "events", "changes", "owners", "rates", "campaigns", "contents", "experiments",
    "deal_lines", "quotas", "splits",
)  # fmt: skip


@dataclass(eq=False)
class LoadedCompany:
    """A company's tables, and how they came to be.

    Parameters
    ----------
    params : Params
    backend : ibis DuckDB backend
        Holds the tables, in a temporary file: they may be larger than memory.
    tables : Tables
        What features are built from.
    known_until : datetime
        Where the data end (naive UTC).
    counts : dict
        Per table: ``rows`` in the source, ``loaded``, ``quarantined``, ``reasons``, ``unreadable`` (values left empty);
        of events also ``linked`` (found their lead by another key than ``lead_id``), of changes ``unread`` (columns
        that nobody reads).
    staged : dict of str to Staged
    mappings : list of Mapping
        Every source, with its columns in the contract's terms.
    conventions : list of dict
        For each of them, how its texts are read.
    identity : Identity
        Which records were found to be the same person's.
    """

    params: Params
    backend: Any
    tables: Tables
    known_until: datetime
    counts: dict[str, dict[str, Any]]
    staged: dict[str, Staged]
    mappings: list[Mapping]
    conventions: list[dict[str, Conventions]]
    identity: Identity
    scratch: tempfile.TemporaryDirectory = field(repr=False)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection under the tables."""
        return self.backend.con

    @cached_property
    def on_engine(self) -> Tables:
        """The tables where features are built: in DuckDB, or as handed over to the engine that params name."""
        if self.params.engine == "duckdb":
            return self.tables
        from pipeline.ingest.spark import tables_on_spark

        return tables_on_spark(self.tables, Path(self.scratch.name))

    @cached_property
    def known_at_creation(self) -> frozenset[str]:
        """Attributes which, by a person's word, never change after the row was made."""
        return frozenset(name for mapping in self.mappings for name in mapping.raw.source.known_at_creation)

    @cached_property
    def vouched_columns(self) -> frozenset[str]:
        """The same, each as ``table.column``."""
        return frozenset(
            f"{mapping.raw.table}.{name}" for mapping in self.mappings for name in mapping.raw.source.known_at_creation
        )


def data_fingerprint(company: LoadedCompany) -> str:
    """Give the SHA-256 of what was loaded, whatever the order of the rows: the same data, the same fingerprint."""
    parts = []
    for table in (*LOADED, "closings"):
        names = [*SCHEMAS[table], *company.tables.attributes.get(table, ())]
        columns = ", ".join(f"coalesce(CAST({quoted(name)} AS VARCHAR), '\\0')" for name in names)
        row = company.connection.execute(
            f"SELECT count(*), coalesce(sum(hash({columns})::HUGEINT), 0) FROM {table}"
        ).fetchall()[0]
        parts.append(f"{table} {sorted(company.tables.present.get(table, ()))} {row}")
    return hashlib.sha256("\n".join([*parts, str(company.known_until)]).encode()).hexdigest()
