# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""The rows that cannot be used: kept with where they stood and why, counted, and too many of them refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import duckdb
import pandas as pd

from pipeline.common.errors import UserError
from pipeline.common.masking import outline
from pipeline.common.sql import quoted
from pipeline.ingest.sources import PLACE, ROW, RawTable
from pipeline.ingest.staging import BAD_COLUMN, BAD_VALUE, REASON, Staged

WORDS = ("outcome", "status", "kind", "entry", "currency", "direction")
"""Columns whose unreadable words a reader must see, to say in the params what they mean."""


DELETED_REASON = "deleted in the source, and left out"


class TooManyQuarantinedError(UserError):
    """More rows of a table cannot be used than params allow; `quarantine` holds them."""

    def __init__(self, message: str, quarantine: pd.DataFrame):
        super().__init__(message)
        self.quarantine = quarantine


def collect(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], raws: list[RawTable]) -> None:
    """Make the table ``quarantine`` of every row that could not be split into columns, or could not be used."""
    connection.execute(
        'CREATE TABLE quarantine ("table" VARCHAR, source VARCHAR, system VARCHAR, row BIGINT, "column" VARCHAR, '
        "value VARCHAR, reason VARCHAR, amount DECIMAL(18, 4))"
    )
    for table in staged:
        spoiled = [
            [table, place, raw.source.system, row, value, reason]
            for raw in raws
            if raw.table == table
            for place, row, value, reason in raw.spoiled
        ]
        if spoiled:
            connection.executemany("INSERT INTO quarantine VALUES ($1, $2, $3, $4, NULL, $5, $6, NULL)", spoiled)
        amount = "amount" if table == "deals" else "NULL"
        connection.execute(
            f"INSERT INTO quarantine SELECT '{table}', {PLACE}, system, {ROW}, {BAD_COLUMN}, "
            f"{BAD_VALUE}, {REASON}, {amount} FROM staged_{table} WHERE {REASON} IS NOT NULL ORDER BY rowid"
        )
    connection.execute(
        'CREATE TABLE IF NOT EXISTS deleted_rows ("table" VARCHAR, source VARCHAR, system VARCHAR, row BIGINT)'
    )


def quarantined(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Give the quarantine: ``table, source, system, row, column, value, reason, amount``."""
    # By way of Arrow: an amount stays a decimal, to the cent.
    deleted = f"SELECT \"table\", source, system, row, NULL, NULL, '{DELETED_REASON}', NULL FROM deleted_rows"
    return connection.sql(f"FROM quarantine UNION ALL {deleted}").to_arrow_table().to_pandas()


def doubtful(connection: duckdb.DuckDBPyConnection, deals: Staged, known_until: datetime) -> pd.DataFrame:
    """List deals that are loaded as they stand, but hardly can be meant so; of a deal in versions the newest.

    Returns
    -------
    DataFrame
        As `quarantined`: won for no or a negative amount, an amount left empty as it cannot be read, closed after the
        data end.
    """
    ended = "outcome IN ('won', 'lost')"
    doubts = [("closed_at", f"{ended} AND closed_at > $end", "CAST(closed_at AS VARCHAR)", "closed after the data end")]
    if "amount" in deals.present:
        was = quoted("was:amount")
        doubts += [
            ("amount", "outcome = 'won' AND amount < 0", "CAST(amount AS VARCHAR)", "won for a negative amount"),
            ("amount", f"outcome = 'won' AND amount IS NULL AND {was} IS NULL", "NULL", "won for no amount"),
            ("amount", f"{was} IS NOT NULL", was, "unreadable amount, left empty"),
        ]
    newest = (
        f"SELECT *, rowid AS place FROM {deals.relation} WHERE {REASON} IS NULL QUALIFY recorded_at IS NULL OR "
        "row_number() OVER (PARTITION BY deal_id ORDER BY recorded_at DESC, rowid) = 1"
    )
    listed = " UNION ALL ".join(
        f"SELECT 'deals' AS \"table\", {PLACE} AS source, system, {ROW} AS row, '{column}' AS \"column\", "
        f"{value} AS value, '{reason}' AS reason, amount, place FROM newest WHERE {condition}"
        for column, condition, value, reason in doubts
    )
    query = f"WITH newest AS ({newest}) SELECT * EXCLUDE (place) FROM ({listed}) ORDER BY reason, place"
    found = connection.execute(query, {"end": known_until}).fetchall()
    return pd.DataFrame(found, columns=["table", "source", "system", "row", "column", "value", "reason", "amount"])


def count_rows(
    connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], raws: list[RawTable]
) -> dict[str, dict[str, Any]]:
    """Count per table the rows in its sources, loaded and quarantined, why, and the values left empty as unreadable."""
    counts: dict[str, dict[str, Any]] = {}
    for table, made in staged.items():
        rows = sum(raw.row_count + len(raw.spoiled) for raw in raws if raw.table == table)
        unreadable = [name for name in made.readable if name in made.present]
        asked = ", ".join(["count(*)", *(f"count({quoted('was:' + name)})" for name in unreadable)])
        deleted = connection.execute('SELECT count(*) FROM deleted_rows WHERE "table" = $1', [table]).fetchall()[0][0]
        usable = connection.execute(f"SELECT {asked} FROM {made.relation} WHERE {REASON} IS NULL")
        loaded, *blanked = usable.fetchall()[0]
        reasons = connection.execute(
            "SELECT coalesce(\"column\" || ': ', '') || reason AS why, count(*) AS n FROM quarantine "
            'WHERE "table" = $1 '
            "GROUP BY why ORDER BY n DESC, why",
            [table],
        ).fetchall()
        quarantined = sum(n for _, n in reasons)
        if loaded + quarantined != rows:
            raise RuntimeError(f"{table}: {loaded} rows loaded and {quarantined} quarantined, but {rows} in the source")
        counts[table] = {
            "rows": rows + deleted,
            "loaded": loaded,
            "quarantined": quarantined,
            **({"deleted": deleted} if deleted else {}),
            "reasons": dict(reasons),
            "unreadable": {name: n for name, n in zip(unreadable, blanked, strict=True) if n},
        }
    return counts


def check_shares(connection: duckdb.DuckDBPyConnection, counts: dict[str, dict[str, Any]], limit: float) -> None:
    """Stop where more than `limit` of a table's rows, or all of them, cannot be used."""
    for table, count in counts.items():
        if count["quarantined"] > limit * count["rows"] or not count["loaded"]:
            reason, n = next(iter(count["reasons"].items()))
            column = re.sub(r":.*", "", reason) if ": " in reason else None
            example = connection.execute(
                'SELECT source, row, value FROM quarantine WHERE "table" = $1 AND ("column" = $2 OR $2 IS NULL) '
                "ORDER BY value IS NULL LIMIT 1",
                [table, column],
            ).fetchall()
            value = example[0][2] if example else None
            if isinstance(value, str) and not (column in WORDS or (column or "").endswith("_id")):
                value = outline(value)  # a line that slipped may hold a name where a date should stand
            where = f" (e.g. {value!r} in {example[0][0]}, row {example[0][1]})" if example else ""
            raise TooManyQuarantinedError(
                f"data.sources.{table}: {count['quarantined']:,} of {count['rows']:,} rows cannot be used, more than "
                f"data.quarantined_share_limit ({limit:.0%}) allows; {n:,} of them: {reason}{where}. "
                "Mend the source or its mapping, or raise the limit.",
                quarantined(connection),
            )
