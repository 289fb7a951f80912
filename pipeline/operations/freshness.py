# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Whether tonight's sources are what they should be: new enough, as many rows as ever, all there.

Facts are taken from the sources as they were read and are sealed with the extract; what they mean is judged by the
params of the run, so that another run of the same night may judge the same extract anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from features.schema import TIME
from pipeline.archive.chain import Entry
from pipeline.common.degradation import Degradation
from pipeline.common.errors import RunFailedError, UserError
from pipeline.common.formatting import count as counted
from pipeline.config.params import NightlyParams
from pipeline.ingest.column_mapping import Mapping as Columns
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.databases import quoted
from pipeline.ingest.staging import column_sql

DATES = {
    "leads": ("created_at", "recorded_at"),
    "deals": ("opened_at", "recorded_at", "closed_at"),
    "accounts": ("valid_from", "recorded_at"),
    "events": ("occurred_at", "recorded_at"),
    "changes": ("changed_at", "recorded_at"),
    "rates": ("valid_from",),
    "campaigns": ("started_at",),
}
"""Columns that say when something happened."""


def source_facts(company: LoadedCompany, taken_at: datetime, carried: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Say of each source how many rows it has, its newest date, its columns, and whether it is last night's.

    Returns
    -------
    dict of str to dict
        By the params key without ``data.sources.``: ``table``, ``label``, ``rows``, ``newest`` (ISO 8601, UTC; null
        without dates), ``columns`` (name to type) and ``carried`` (why it could not be read; null where it was).
    """
    facts = {}
    company.connection.execute(f"SET TimeZone = '{company.params.data.timezone}'")
    for mapping, agreed in zip(company.mappings, company.conventions, strict=True):
        raw = mapping.raw
        newest = _newest(company, mapping, agreed, taken_at)
        facts[raw.key.removeprefix("data.sources.")] = {
            "table": raw.table,
            "label": raw.label,
            "rows": raw.row_count + len(raw.spoiled),
            "newest": None if newest is None else newest.isoformat() + "Z",
            "columns": raw.columns,
            "carried": carried.get(raw.key),
        }
    company.connection.execute("SET TimeZone = 'UTC'")
    return facts


def _newest(company: LoadedCompany, mapping: Columns, agreed: Any, taken_at: datetime) -> datetime | None:
    table = mapping.raw.table
    dates = []
    for name in DATES.get(table, ()):
        if name not in mapping.columns:
            continue
        value, _ = column_sql(table, mapping, agreed, name, TIME, prefix=None)
        if (table, name) == ("deals", "closed_at") and "outcome" in mapping.columns:
            outcome, _ = column_sql(table, mapping, agreed, "outcome", "string", prefix=None)
            value = f"CASE WHEN {outcome} <> 'open' THEN {value} END"  # of an open deal it is a plan
        dates.append(
            f"SELECT max({value}) FILTER (({value}) <= $taken_at) AS newest FROM {quoted(mapping.raw.relation)}"
        )
    if not dates:
        return None
    query = f"SELECT max(newest) FROM ({' UNION ALL '.join(dates)})"
    return company.connection.execute(query, {"taken_at": taken_at}).fetchall()[0][0]


def judge(
    facts: Mapping[str, Mapping[str, Any]], nightly: NightlyParams, taken_at: datetime, good: Mapping[str, int]
) -> list[Degradation]:
    """Say which sources are not to be relied on.

    Parameters
    ----------
    facts : mapping
        As `source_facts` gives them.
    nightly : NightlyParams
    taken_at : datetime
        When the sources were read: UTC, without a zone.
    good : mapping of str to int
        Rows of each source on the last night on which it was good.

    Raises
    ------
    RunFailedError
        If one of them may not be missed; the message names all that is wrong with such sources.
    UserError
        If an age is asked for that no column tells.
    """
    found, stops = [], []
    for source, fact in facts.items():
        why = _wrong(source, fact, nightly, taken_at, good.get(source))
        if why is None:
            continue
        if nightly.on_stale(fact["table"]) == "stop":
            stops.append(f"{source} ({fact['label']}): {why}")
        found.append(Degradation(source, why))
    if stops:
        raise RunFailedError(
            f"{'; '.join(stops)}. The last results stay as they are (nightly.sources.TABLE.on_stale: degrade goes on)"
        )
    return found


def _wrong(
    source: str, fact: Mapping[str, Any], nightly: NightlyParams, taken_at: datetime, rows_before: int | None
) -> str | None:
    table = fact["table"]
    if fact["carried"]:
        return f"could not be read, so it is as of the night before: {fact['carried']}"
    limit = nightly.max_age_hours(table)
    if limit is not None:
        if fact["newest"] is None:
            raise UserError(
                f"nightly.sources.{table}.max_age_hours: no column of {fact['label']} says when something happened "
                f"({' or '.join(DATES.get(table, ()) or ('none can',))}): its age cannot be told; take the key out"
            )
        newest = datetime.fromisoformat(fact["newest"]).replace(tzinfo=None)
        hours = (taken_at - newest).total_seconds() / 3600
        if hours > limit:
            return (
                f"stale: its newest row is of {newest:%Y-%m-%d %H:%M} UTC, {hours:,.0f} hours before the night "
                f"(nightly.sources.{table}.max_age_hours: {limit:g})"
            )
    if rows_before and fact["rows"] < rows_before * (1 - nightly.rows_drop_limit):
        return (
            f"shrunken: {counted(fact['rows'], 'row', 'rows')}, {rows_before:,} on the last good night, a drop of "
            f"{1 - fact['rows'] / rows_before:.0%} (nightly.rows_drop_limit: {nightly.rows_drop_limit:g})"
        )
    return None


def changed_columns(facts: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Tell which columns are new, gone or of another type since the extract before, a line a source."""
    lines = []
    for source, fact in facts.items():
        if source not in before:
            lines.append(f"{source}: is read for the first time, {counted(fact['rows'], 'row', 'rows')}")
            continue
        now, then = fact["columns"], before[source]["columns"]
        parts = []
        if new := sorted(set(now) - set(then)):
            parts.append(f"{len(new)} new: {', '.join(new)}")
        if gone := sorted(set(then) - set(now)):
            parts.append(f"{len(gone)} gone: {', '.join(gone)}")
        other = sorted(name for name in set(now) & set(then) if now[name] != then[name])
        if other:
            parts.append(f"{len(other)} of another type: {', '.join(f'{n} {then[n]} to {now[n]}' for n in other)}")
        if parts:
            lines.append(f"{source}: columns {'; '.join(parts)}")
    return lines


def good_rows(entries: Sequence[Entry]) -> dict[str, int]:
    """Give the rows of each source on the last night on which it was good; `entries` the oldest first."""
    found: dict[str, int] = {}
    for entry in entries:
        bad = {one["source"] for one in entry.seal["degraded"]}
        found |= {source: fact["rows"] for source, fact in entry.seal["facts"].items() if source not in bad}
    return found
