# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Loading a company: sources in, canonical tables out, and a record of every row that could not be used."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import ibis

from features.schema import SCHEMAS, Tables
from pipeline.common.dates import local_iso
from pipeline.common.errors import UserError
from pipeline.common.memory_limit import duckdb_settings
from pipeline.common.progress import step
from pipeline.common.scratch import ScratchFolder
from pipeline.common.sql import literal, quoted
from pipeline.config.params import Params
from pipeline.config.trusted_hosts import require_named_host
from pipeline.identity.linkage import link_records
from pipeline.ingest.as_of import _utc, parse_as_of
from pipeline.ingest.company import LOADED, LoadedCompany
from pipeline.ingest.counted_money import count_money
from pipeline.ingest.deal_linking import fill_versions
from pipeline.ingest.event_linking import link_events
from pipeline.ingest.exchange_rates import convert, converted_sql
from pipeline.ingest.field_history import read_changes, tracked
from pipeline.ingest.night_extract import NightExtract
from pipeline.ingest.observed_changes import add_observed
from pipeline.ingest.observed_history import observed_so_far
from pipeline.ingest.planned_dates import close_when_recorded
from pipeline.ingest.quarantine import check_shares, collect, count_rows
from pipeline.ingest.record_links import link_rows
from pipeline.ingest.record_versions import lead_history
from pipeline.ingest.sources import PLACE, ROW, read_source
from pipeline.ingest.stage_sources import several_systems, stage_sources
from pipeline.ingest.staging import REASON, Staged, left_out_sql, sql_type
from pipeline.ingest.suppressed_rows import reading_without

# Merging nested selects takes Ibis longer than it spares the engine: a matrix compiles in two thirds of the time.
ibis.options.sql.fuse_selects = False

SILENT_DAYS = 7
"""An as-of date so many days after the data end would take silence for being open."""
_KNOWN_AT = {
    "leads": "coalesce(recorded_at, created_at)",
    "accounts": "coalesce(recorded_at, valid_from)",
    "events": "coalesce(recorded_at, occurred_at)",
}


def load_tables(
    params: Params,
    night: NightExtract | None = None,
    *,
    without: Collection[str] = (),
    names: Mapping[str, Collection[str]] | None = None,
) -> LoadedCompany:
    """Read every source of a company into canonical tables.

    Nothing is dropped in silence: for each table, rows loaded and rows quarantined together are the rows of its
    sources. What extracts of earlier nights saw to change is part of the histories.

    Parameters
    ----------
    params : Params
        What `load_params` gives.
    night : NightExtract, optional
        The extract that the sources are read through.
    without : collection of str
        Tables that are not read, as if the company had none.
    names : mapping of str to collection of str, optional
        For tables, the company's own columns as a model spells them: another case is the same column.

    Returns
    -------
    LoadedCompany

    Raises
    ------
    UserError
        A source is missing or empty, a column is misspelt or missing, or more rows cannot be used than
        ``data.quarantined_share_limit`` allows.
    """
    end = written_end(params)
    now = datetime.now(UTC).replace(tzinfo=None) if night is None else night.taken_at
    for table in LOADED:  # before any of them is asked, and gets a password
        for source in getattr(params.data.sources, table):
            require_named_host(source.from_ or "", f"data.sources.{table}.from", params.data.hosts)
    scratch = ScratchFolder()
    folder = Path(scratch.name)
    backend = ibis.duckdb.connect(folder / "company.duckdb", temp_directory=str(folder / "spill"), **duckdb_settings())
    connection = backend.con
    with contextlib.suppress(duckdb.InvalidInputException):  # a notebook without widgets has no bar to turn off
        connection.execute("SET enable_progress_bar = false")  # it would land in what commands print
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
        connection.execute(f"SET {setting} = false")  # nothing is fetched from another host, whatever is asked
    connection.execute(f"SET file_search_path = {literal(str(params.folder))}")
    connection.execute(f"SET TimeZone = {literal(params.data.timezone)}")
    read = reading_without(read_source, params.archive_folder) if night is None else night.read
    staged, mappings, conventions = stage_sources(
        connection, params, [table for table in LOADED if table not in without], read, folder, names or {}
    )
    qualify = several_systems(params)
    links = link_rows(connection, staged, mappings, qualify=qualify)
    fill_versions(connection, staged["deals"])
    unread = read_changes(connection, staged, mappings, conventions, qualify=qualify)
    lines = count_money(connection, staged, params)
    versions = lead_history(connection, staged["leads"])
    planned = close_when_recorded(connection, params.data.timezone)
    if (observed := observed_so_far(params, night, folder)) is not None:
        add_observed(connection, staged, observed)
    connection.execute("SET TimeZone = 'UTC'")
    raws = [mapping.raw for mapping in mappings]
    if "events" in staged:
        connection.execute("ALTER TABLE staged_events ADD COLUMN found_by VARCHAR")
    _make_views(connection, staged, params)
    tables = _tables(backend, staged)
    linked = link_events(connection, backend, tables, staged["events"]) if "events" in staged else {}
    for raw in raws:
        if raw.table == "events" and raw.is_copy:  # too many to hold twice
            if raw.made:
                connection.execute(f"DROP VIEW {quoted(raw.relation)}")
            connection.execute(f"DROP TABLE {quoted(raw.base)}")
    collect(connection, staged, raws)
    counts = count_rows(connection, staged, raws)
    for table, name, found in (
        ("events", "linked", linked), ("changes", "unread", unread), ("deals", "planned", planned),
        ("leads", "versions", versions), ("deal_lines", "sums", lines),
    ):  # fmt: skip
        if found:
            counts[table][name] = found
    counts["leads"] |= {name: n for name, n in links.items() if n}
    check_shares(connection, counts, params.data.quarantined_share_limit)
    identity = link_records(
        connection, staged["leads"].present, params.data.identity, params.seed, with_events="events" in staged
    )
    if identity.counts["joined"]:
        tables = _tables(backend, staged)  # anew, as some leads are others now
    known_until = end or _known_until(connection, now)
    return LoadedCompany(params, backend, tables, known_until, counts, staged, mappings, conventions, identity, scratch)


def _tables(backend: Any, staged: dict[str, Staged]) -> Tables:
    present = {table: staged[table].present if table in staged else frozenset() for table in LOADED}
    return Tables(
        **{table: backend.table(table) for table in SCHEMAS},
        present=present | {"changes": tracked(backend.con)},
        attributes={table: tuple(staged[table].attributes) if table in staged else () for table in LOADED},
    )


def _make_views(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], params: Params) -> None:
    """Canonical tables as views of the usable rows, and empty ones for what the company does not have."""
    if "rates" in staged:
        convert(connection, params.currency, params.data.timezone)
    ours = literal(params.currency)
    foreign = f"coalesce(upper(currency), {ours}) <> {ours}"
    # An amount in another currency is no amount in ours without a rate; the reconciliation lists it.
    in_ours = f"CASE WHEN {foreign} THEN {converted_sql() if 'rates' in staged else 'NULL'} ELSE amount END"
    ended = f"({REASON} IS NULL AND outcome <> 'open')"
    special = {
        ("deals", "deal_id"): f"coalesce(deal_id, {PLACE} || ' row ' || {ROW})",
        # Closed, and nobody can read how: the row is in quarantine, but the deal is open no more.
        ("deals", "outcome"): f"CASE WHEN {REASON} IS NULL THEN coalesce(outcome, 'open') ELSE 'unknown' END",
        ("deals", "closed_at"): f"CASE WHEN {ended} THEN closed_at WHEN {REASON} IS NOT NULL THEN "
        "coalesce(closed_at, recorded_at, opened_at) END",
        ("deals", "expected_close_at"): "coalesce(expected_close_at, CASE WHEN outcome = 'open' THEN closed_at END)",
        ("deals", "currency"): f"coalesce(upper(currency), {ours})",
        ("deals", "amount"): f"CASE WHEN {REASON} IS NULL THEN {in_ours} END",
        ("deals", "written_amount"): f"CASE WHEN {REASON} IS NULL THEN amount END",
        ("deals", "is_foreign"): foreign,
    }
    unreadable = (
        f"OR (NOT {left_out_sql()} AND coalesce(closed_at, recorded_at, opened_at) IS NOT NULL "
        "AND (outcome IN ('won', 'lost') OR (outcome IS NULL AND closed_at IS NOT NULL)))"
    )
    for table in LOADED:
        if table == "changes":
            connection.execute("CREATE VIEW changes AS FROM told_changes")
            continue
        if table == "rates" and table in staged:
            connection.execute("CREATE VIEW rates AS FROM told_rates")
            continue
        if table not in staged:
            columns = ", ".join(f"CAST(NULL AS {sql_type(type_)}) AS {name}" for name, type_ in SCHEMAS[table].items())
            connection.execute(f"CREATE VIEW {table} AS SELECT {columns} WHERE false")
            continue
        names = [
            f"{_KNOWN_AT[table] if name == 'known_at' else special.get((table, name), name)} AS {name}"
            for name in SCHEMAS[table]
        ]
        names += [quoted(name) for name in staged[table].attributes]
        usable = f"{REASON} IS NULL {unreadable if table == 'deals' else ''}"
        connection.execute(f"CREATE VIEW {table} AS SELECT {', '.join(names)} FROM staged_{table} WHERE {usable}")
    _make_closings(connection)


def _make_closings(connection: duckdb.DuckDBPyConnection) -> None:
    """Leads that have ended without a deal of their own: nobody knows how, or they joined another lead's deal.

    Nobody knows how where a status cannot be read, or says lost at no date.

    Where there is no date at all, the lead is censored at its creation: it tells nothing, and is not scored.
    """
    connection.execute(
        f"""
        CREATE TABLE closings AS
        SELECT lead_id, closed_at, max(known_at) AS known_at, min(outcome) AS outcome FROM (
            SELECT leads.lead_id, leads.created_at AS closed_at, leads.created_at AS known_at, 'unknown' AS outcome
            FROM staged_deals AS deals JOIN leads ON deals.lead_id = leads.lead_id
            WHERE deals.{REASON} IS NOT NULL AND NOT {left_out_sql("deals.")}
              AND deals.outcome IN ('won', 'lost')
              AND coalesce(deals.closed_at, deals.recorded_at, deals.opened_at) IS NULL
            UNION ALL
            SELECT lead_id, coalesce(closed_at, created_at), coalesce(recorded_at, closed_at, created_at), 'unknown'
            FROM staged_leads
            WHERE {REASON} IS NULL AND ((status = 'lost' AND closed_at IS NULL AND lead_id NOT IN (
                    SELECT row_id FROM told_changes WHERE "table" = 'leads' AND field = 'status'))
                OR ("was:status" IS NOT NULL AND closed_at IS NOT NULL))
              -- What a deal says with a date beats what a status says without one.
              AND (closed_at IS NOT NULL OR lead_id NOT IN (
                    SELECT lead_id FROM staged_deals
                    WHERE {REASON} IS NULL AND lead_id IS NOT NULL AND outcome IN ('won', 'lost')))
            UNION ALL
            -- A deal of several leads is won once: the others join it when it is opened.
            SELECT shared.lead_id, greatest(coalesce(deals.opened_at, deals.closed_at), leads.created_at),
                greatest(coalesce(deals.opened_at, deals.closed_at), leads.created_at, leads.known_at), 'joined'
            FROM shared_deals AS shared JOIN staged_deals AS deals ON deals.rowid = shared.place
            JOIN leads ON leads.lead_id = shared.lead_id
            WHERE deals.{REASON} IS NULL AND coalesce(deals.opened_at, deals.closed_at) IS NOT NULL
              AND (deals.opened_at IS NOT NULL OR deals.outcome IN ('won', 'lost')) AND shared.lead_id <> deals.lead_id
              AND shared.lead_id NOT IN (
                    SELECT lead_id FROM staged_deals WHERE {REASON} IS NULL AND lead_id IS NOT NULL)
        ) GROUP BY lead_id, closed_at ORDER BY lead_id, closed_at
        """
    )


def written_end(params: Params) -> datetime | None:
    """Say where the data end by params, UTC without a zone: a bare date to its end; None where params do not say."""
    if (written := params.data.known_until) is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise UserError(f"data.known_until: '{written}' is no date; write it like 2018-11-14.") from None
    if len(written) <= 10:
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return _utc(moment, params)


def _known_until(connection: duckdb.DuckDBPyConnection, now: datetime) -> datetime:
    """Where the data end: the newest thing that happened by `now`."""
    newest = connection.execute(
        """
        SELECT max(moment) FROM (
            SELECT unnest([created_at, known_at, CASE WHEN status = 'lost' THEN closed_at END]) AS moment FROM leads
            UNION ALL SELECT unnest([opened_at, closed_at, recorded_at]) FROM deals WHERE outcome <> 'unknown'
            UNION ALL SELECT known_at FROM changes
            UNION ALL SELECT max(known_at) FILTER (known_at <= $now) FROM events
            UNION ALL SELECT known_at FROM accounts
        ) WHERE moment <= $now
        """,
        {"now": now},
    ).fetchall()[0][0]
    if newest is None:
        raise UserError(
            "data.known_until: nothing in the data has happened yet; check the dates of data.sources.leads."
        )
    return newest


def company_at(
    params: Params, as_of: str | None, names: Mapping[str, Collection[str]] | None = None
) -> tuple[LoadedCompany, datetime]:
    """Read the company and ``--as-of``: by default where the data end, and never long after, when silence looks open.

    Parameters
    ----------
    params : Params
    as_of : str, optional
        As the user wrote it.
    names : mapping, optional
        As for `load_tables`.

    Raises
    ------
    UserError
        If the date is unreadable, or lies more than a week after the data end.
    """
    instant = None if as_of is None else parse_as_of(as_of, params)  # before anything is read
    with step("reading and checking the sources"):
        company = load_tables(params, names=names)
    if instant is None:
        return company, company.known_until
    if instant > company.known_until + timedelta(days=SILENT_DAYS):
        raise UserError(
            f"--as-of {as_of}: what is known ends at {local_iso(company.known_until, params.data.timezone)}, more than "
            f"{SILENT_DAYS} days before; "
            "load newer data, or choose an earlier date"
        )
    return company, instant
