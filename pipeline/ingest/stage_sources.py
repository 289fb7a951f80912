"""Reading the sources of tables and typing them: what loading a company begins with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from collections.abc import Mapping as MappingOf
from pathlib import Path

import duckdb

from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.ingest.attribute_dates import read_dates
from pipeline.ingest.column_mapping import Mapping, map_columns
from pipeline.ingest.company import LOADED
from pipeline.ingest.derived_columns import derive_columns
from pipeline.ingest.left_out import with_deleted
from pipeline.ingest.local_times import has_local_times
from pipeline.ingest.parsing import Conventions
from pipeline.ingest.record_versions import settle_versions
from pipeline.ingest.sources import RawTable
from pipeline.ingest.staging import Staged, agree, stage


def stage_sources(
    connection: duckdb.DuckDBPyConnection,
    params: Params,
    tables: Sequence[str],
    read: Callable[..., RawTable],
    scratch: Path,
    names: MappingOf[str, Collection[str]] | None = None,
) -> tuple[dict[str, Staged], list[Mapping], list[dict[str, Conventions]]]:
    """Read the sources of some tables and type them.

    Parameters
    ----------
    connection : DuckDB connection
        Its session time zone is the company's.
    params : Params
    tables : sequence of str
    read : callable
        `pipeline.ingest.sources.read_source`, or what reads as it does.
    scratch : Path
        A folder for temporary files.
    names : mapping of str to collection of str, optional
        For tables, own columns as they are to be spelt, whatever the case in the source.

    Returns
    -------
    staged : dict of str to Staged
    mappings : list of Mapping
        Every source.
    conventions : list of dict
        For each of them, how its texts are read.
    """
    qualify = several_systems(params)
    staged: dict[str, Staged] = {}
    mappings: list[Mapping] = []
    conventions: list[dict[str, Conventions]] = []
    for table in tables:
        of_table = []
        sources = getattr(params.data.sources, table)
        for place, source in enumerate(sources):
            key = source_key(table, place, len(sources))
            raw = read(connection, table, key, source, params.folder, scratch, params.data.folders)
            derive_columns(connection, raw)
            _spell(raw, (names or {}).get(table, ()))
            is_linked = "leads" in staged and "deal_id" in staged["leads"].present
            of_table.append(with_deleted(connection, map_columns(raw, is_linked=is_linked)))
        if of_table:
            base = Conventions(currency=params.currency, zone=params.data.timezone)
            agreed = [agree(connection, mapping, base) for mapping in of_table]
            for mapping in of_table:
                mapping.raw.has_local_times = has_local_times(connection, mapping)
            staged[table] = stage(connection, table, of_table, agreed, qualify=qualify)
            settle_versions(connection, staged[table])
            read_dates(connection, staged[table], of_table)
            mappings += of_table
            conventions += agreed
    return staged, mappings, conventions


def _spell(raw: RawTable, names: Collection[str]) -> None:
    """Spell a source's own columns as a model does: for the database the case of a name says nothing."""
    spelt = {name.lower(): name for name in names}
    mapped = {name for origins in raw.origins.values() for name in origins}
    raw.columns = {
        name if name in mapped else spelt.get(name.lower(), name): type_ for name, type_ in raw.columns.items()
    }


def source_key(table: str, place: int, count: int) -> str:
    """Give the dotted params key of one of a table's sources."""
    return f"data.sources.{table}" + (f".{place}" if count > 1 else "")


def several_systems(params: Params) -> bool:
    """Say whether ids need their system's name before them: if several are named, each source must name its own.

    Raises
    ------
    UserError
        One does not; the message names it.
    """
    named = {
        source_key(table, place, len(sources)): source.system
        for table in LOADED
        if table not in ("rates", "campaigns")  # words, no ids
        for sources in [getattr(params.data.sources, table)]
        for place, source in enumerate(sources)
    }
    systems = sorted({system for system in named.values() if system})
    if len(systems) > 1:
        for key, system in named.items():
            if system is None:
                raise UserError(
                    f"{key}.system: is missing; as ids come from several systems, say from which: {', '.join(systems)}."
                )
    return len(systems) > 1
