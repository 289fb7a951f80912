# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""The rows that cannot be used: kept with where they stood and why, counted, and too many of them refused."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import duckdb
import pandas as pd

from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.masking import shape
from pipeline.common.sql import quoted
from pipeline.config.data_contract import WORDS as WORD_LISTS
from pipeline.config.outcome_words import likely_outcome, likely_status
from pipeline.ingest.outcome_flags import FALSE_WORDS, TRUE_WORDS
from pipeline.ingest.sources import PLACE, ROW, RawTable
from pipeline.ingest.staging import BAD_COLUMN, BAD_VALUE, LEFT_OUT, REASON, Staged

WORDS = ("outcome", "status", "kind", "entry", "currency", "direction")
"""Columns whose unreadable words a reader must see, to say in the params what they mean."""


WORDS_SHOWN = 40


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


def quarantined(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Give the quarantine: ``table, source, system, row, column, value, reason, amount``."""
    # By way of Arrow: an amount stays a decimal, to the cent.
    return connection.sql("FROM quarantine").to_arrow_table().to_pandas()


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
        kinds = {
            "left_out": [n for reason, n in reasons if is_left_out(reason)],
            "deleted": [n for reason, n in reasons if ": deleted" in reason],
            "merged": [n for reason, n in reasons if ": merged" in reason],
            "erased": [n for reason, n in reasons if ": erased" in reason],
            "copies": [n for reason, n in reasons if ": exact copy" in reason],
        }
        counts[table] = {
            "rows": rows,
            "loaded": loaded,
            "quarantined": quarantined,
            "reasons": dict(reasons),
            "unreadable": {name: n for name, n in zip(unreadable, blanked, strict=True) if n},
            **{kind: sum(found) for kind, found in kinds.items() if found},
        }
    return counts


def is_left_out(reason: str) -> bool:
    """Whether a reason as `count_rows` gives it says that a row is out of use rightly."""
    return reason.partition(": ")[2].startswith(LEFT_OUT)


LIKELY = {"outcome": likely_outcome, "status": likely_status}


_ONE_FLAG = (
    "A flag does not tell open from lost: give both in data.sources.deals, e.g. columns: {outcome: {closed: IsClosed, "
    'won: IsWon}}; where every deal is closed, say values: {outcome: {won: ["true"], lost: ["false"]}}.'
)


def unreadable_words(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    """Name every word that nobody can read, column by column, ready to paste into params with the likely reading.

    Returns
    -------
    list of (column, sentence)
    """
    found_words = []
    for (of_table, column), known in WORD_LISTS.items():
        if of_table != table:
            continue
        written = quoted("was:" + column)
        rows = connection.execute(
            f"SELECT {written} AS word, count(*) AS n FROM staged_{table} WHERE {written} IS NOT NULL "
            f"AND ({REASON} IS NULL OR {REASON} LIKE 'unreadable%') "
            f"GROUP BY word ORDER BY n DESC, word LIMIT {WORDS_SHOWN}"
        ).fetchall()
        if not rows:
            continue
        likely = LIKELY.get(column)
        pasted: dict[str, list[str]] = {}
        default = "open" if "open" in known else next(iter(known))
        for word, _ in rows:
            pasted.setdefault((likely(word) if likely else None) or default, []).append(word)
        listed = ", ".join(f"{word} ({n:,})" for word, n in rows)
        if column == "outcome" and {word.lower() for word, _ in rows} <= {*TRUE_WORDS, *FALSE_WORDS}:
            found_words.append((column, f"{table}.outcome: is read from a column of flags: {listed}. {_ONE_FLAG}"))
            continue
        values = ", ".join(f"{ours}: {json.dumps(words, ensure_ascii=False)}" for ours, words in pasted.items())
        found_words.append((
            column,
            f"{table}.{column}: nobody knows these words: {listed}. Say in data.sources.{table} what they mean, "
            f"e.g. values: {{{column}: {{{values}}}}} (allowed: {', '.join(known)}; words that say nothing "
            f"by themselves stand under {default}).",
        ))  # fmt: skip
    return found_words


def check_shares(connection: duckdb.DuckDBPyConnection, counts: dict[str, dict[str, Any]], limit: float) -> None:
    """Stop where more than `limit` of a table's rows, or all of them, cannot be used."""
    for table, count in counts.items():
        unusable = count["quarantined"] - count.get("left_out", 0)
        if unusable > limit * count["rows"] or not count["loaded"]:
            reasons = {reason: n for reason, n in count["reasons"].items() if not is_left_out(reason)} or count[
                "reasons"
            ]
            reason, n = next(iter(reasons.items()))
            column = re.sub(r":.*", "", reason) if ": " in reason else None
            example = connection.execute(
                'SELECT source, row, value FROM quarantine WHERE "table" = $1 AND ("column" = $2 OR $2 IS NULL) '
                "ORDER BY value IS NULL LIMIT 1",
                [table, column],
            ).fetchall()
            value = example[0][2] if example else None
            if isinstance(value, str) and not (column in WORDS or (column or "").endswith("_id")):
                value = shape(value)  # a line that slipped may hold a name where a date should stand
            where = f" (e.g. {value!r} in {example[0][0]}, row {example[0][1]})" if example else ""
            unreadable = unreadable_words(connection, table)
            rows = counted(count["rows"], "row", "rows")
            raise TooManyQuarantinedError(
                f"data.sources.{table}: {unusable or count['quarantined']:,} of {rows} "
                f"cannot be used, more than "
                f"data.quarantined_share_limit ({limit:.0%}) allows; {n:,} of them: {reason}{where}. "
                f"{''.join(f'{text} ' for _, text in unreadable)}Mend the source or its mapping, or raise the limit.",
                quarantined(connection),
            )
