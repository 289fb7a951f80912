# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""One line per source: its rows, how many were loaded, and which of them are outside of time or without a lead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from features import lifecycle
from pipeline.common.sql import literal
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.sources import PLACE
from pipeline.ingest.staging import REASON

NAMES = (
    "rows", "leads", "won", "lost", "open", "unknown", "deleted", "merged", "repeated", "unusable", "without a lead",
    "outside time",
)  # fmt: skip
_TIMES = {"leads": "created_at", "deals": "closed_at", "events": "occurred_at", "accounts": "valid_from"}


def source_counts(loaded: LoadedCompany, as_of: datetime) -> list[dict[str, Any]]:
    """Count, for every file or query, what its rows are.

    Parameters
    ----------
    loaded : LoadedCompany
    as_of : datetime
        When leads stood as they are counted.

    Returns
    -------
    list of dict
        ``table, source``, and of `NAMES` those that the table has: ``rows`` as in the source, ``leads`` and how they
        stand (of deals: the newest version of each), ``deleted``, ``merged``, ``repeated`` (copies, older versions and
        duplicates), ``unusable`` (the rest of the quarantine), ``without a lead``, ``outside time`` (after the data
        end).
    """
    connection = loaded.connection
    standing = lifecycle.standings(loaded.tables, as_of, loaded.params.data.amount_window_days)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE __standing AS {loaded.backend.compile(standing.select('lead_id', 'outcome'))}"
    )
    counted: list[dict[str, Any]] = []
    for table in loaded.staged:
        places = {
            place: dict(zip(("loaded", "deleted", "merged", "repeated", "unusable"), found, strict=True))
            for place, *found in connection.execute(
                f"SELECT {PLACE}, count(*) FILTER ({REASON} IS NULL), "
                f"count(*) FILTER (starts_with({REASON}, 'deleted')), "
                f"count(*) FILTER (starts_with({REASON}, 'merged')), count(*) FILTER ({_REPEATED}), "
                f"count(*) FILTER ({REASON} IS NOT NULL AND NOT {_LEFT}) FROM staged_{table} GROUP BY ALL ORDER BY ALL"
            ).fetchall()
        }
        for mapping in loaded.mappings:
            if mapping.raw.table == table:
                for place, *_ in mapping.raw.spoiled:
                    if place in places:
                        places[place]["unusable"] += 1
        for place, counts in places.items():
            counts["rows"] = sum(counts.values())
            counts |= _more(loaded, table, place)
            present = {name: counts[name] for name in NAMES if name in counts}
            counted.append({"table": table, "source": place, **present})
    connection.execute("DROP TABLE __standing")
    return counted


_REPEATED = " OR ".join(f"starts_with({REASON}, '{start}')" for start in ("exact copy", "older version", "duplicate"))
_LEFT = f"({_REPEATED} OR starts_with({REASON}, 'deleted') OR starts_with({REASON}, 'merged'))"


def _more(loaded: LoadedCompany, table: str, place: str) -> dict[str, int]:
    connection = loaded.connection
    mine = f"{PLACE} = {literal(place)} AND {REASON} IS NULL"
    found: dict[str, int] = {}
    if table == "leads":
        rows = connection.execute(
            f"SELECT outcome, count(*) FROM staged_leads JOIN __standing USING (lead_id) WHERE {mine} GROUP BY outcome"
        ).fetchall()
        found |= {"leads": sum(n for _, n in rows), **dict.fromkeys(("won", "lost", "open"), 0), **dict(rows)}
    if table == "deals":
        newest = (
            f"(SELECT * FROM staged_deals WHERE {mine} QUALIFY recorded_at IS NULL OR deal_id IS NULL OR "
            "row_number() OVER (PARTITION BY deal_id ORDER BY recorded_at DESC) = 1)"
        )
        rows = connection.execute(
            f"SELECT coalesce(outcome, 'open') AS word, count(*) FROM {newest} GROUP BY word"
        ).fetchall()
        found |= dict.fromkeys(("won", "lost", "open"), 0) | dict(rows)
        attached = "SELECT deal_id FROM (" + loaded.backend.compile(
            lifecycle.lead_deal_versions(loaded.tables).filter(lambda deals: deals.lead_id.notnull())
        ) + ") JOIN leads USING (lead_id)"  # fmt: skip
        key = f"coalesce(deal_id, {PLACE} || ' row ' || __row)"
        found["without a lead"] = connection.execute(
            f"SELECT count(*) FROM {newest} WHERE {key} NOT IN ({attached})"
        ).fetchall()[0][0]
    if table == "events":
        found["without a lead"] = connection.execute(
            f"SELECT count(*) FROM staged_events WHERE {PLACE} = {literal(place)} AND {REASON} = 'leads to no lead'"
        ).fetchall()[0][0]
    if time := _TIMES.get(table):
        ended = "AND outcome IN ('won', 'lost')" if table == "deals" else ""
        found["outside time"] = connection.execute(
            f"SELECT count(*) FROM staged_{table} WHERE {mine} {ended} AND {time} > {literal(str(loaded.known_until))}"
        ).fetchall()[0][0]
    return found


def counts_table(counted: list[dict[str, Any]]) -> list[str]:
    """Lay the counts out as lines of text; a column of nothing is left out."""
    names = [name for name in NAMES if name == "rows" or any(line.get(name) for line in counted)]
    labels = [f"{line['table']} from {line['source']}" for line in counted]
    width = max(map(len, labels), default=0)
    lines = ["  " + " " * width + "".join(f"{name:>{max(len(name), 9) + 2}}" for name in names)]
    for label, line in zip(labels, counted, strict=True):
        cells = ["" if line.get(name) is None else f"{line[name]:,}" for name in names]
        lines.append(f"  {label:<{width}}" + "".join(
            f"{cell:>{max(len(name), 9) + 2}}" for cell, name in zip(cells, names, strict=True)
        ))  # fmt: skip
    return lines
