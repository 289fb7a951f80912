# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What reading the sources did that a person should know, each with the rows behind it.

Deleted, merged and repeated rows, ids that lead nowhere, words that nobody can read, plans that stood as closings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from pipeline.common.sql import literal, quoted
from pipeline.config.data_contract import WORDS
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.parsing import clean_sql
from pipeline.ingest.quarantine import unreadable_words
from pipeline.ingest.record_links import unmatched
from pipeline.ingest.sources import PLACE, ROW
from pipeline.ingest.staging import REASON

Warn = Callable[..., None]
ROWS_LIMIT = 10_000
"""So many rows behind one warning are kept."""
COLUMNS = ["code", "table", "source", "system", "row", "column", "value", "reason", "amount"]
WORDS_SHOWN = 12


def plural(count: int, thing: str) -> str:
    """Count things: ``1 row``, ``2 rows``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def reading_warnings(loaded: LoadedCompany, warn: Warn) -> None:
    """Warn of what was left out, followed, or read in a way that a person may not expect."""
    for table, count in loaded.counts.items():
        for name, text in (
            ("deleted", "deleted in the source: left out, and counted nowhere"),
            ("merged", "merged into another record: what names them counts for that one"),
            ("copies", "exact copies of another row: each is counted once"),
        ):
            if n := count.get(name, 0):
                warn(name, f"{table}: {plural(n, 'row')} {'is' if n == 1 else 'are'} {text}", table=table, count=n)
        for column, text in unreadable_words(loaded.connection, table):
            warn("words", text, table=table, column=column)
    leads, deals = loaded.counts["leads"], loaded.counts["deals"]
    for name, text in (
        ("short_ids", "ids are found by their other form: Salesforce writes them in 15 or in 18 characters"),
        ("by_lead", "deals find their lead by the deal that the lead names"),
        ("by_contact", "deals name a contact, and find the lead that became it"),
        ("versions", "leads come in versions: the newest is kept, the older ones are its history"),
    ):
        if n := leads.get(name, 0):
            warn("links", f"{n:,} {text}", table="leads", count=n)
    if n := deals.get("planned", 0):
        text = f"deals.closed_at: {plural(n, 'deal')} closed at a date that lay ahead of the record: taken as the plan"
        warn("planned", f"{text}, and as closed when it was recorded", table="deals", column="closed_at", count=n)
    _versions(loaded, warn)
    _unmatched(loaded, warn)
    _found_by_name(loaded, warn)


def _versions(loaded: LoadedCompany, warn: Warn) -> None:
    rows = loaded.connection.execute(
        "SELECT count(*), count(DISTINCT deal_id) FROM staged_deals "
        f"WHERE {REASON} IS NULL AND recorded_at IS NOT NULL "
        "AND deal_id IN (SELECT deal_id FROM staged_deals "
        f"WHERE {REASON} IS NULL GROUP BY deal_id HAVING count(*) > 1)"
    ).fetchall()[0]
    if rows[0] and "recorded_at" not in loaded.staged["deals"].present:
        by = sorted(
            {mapping.changed for mapping in loaded.mappings if mapping.raw.table == "deals" and mapping.changed}
        )
        text = f"deals: {rows[1]:,} come in {rows[0]:,} versions, ordered by {', '.join(by)}: the newest known holds"
        warn("versions", text, table="deals", count=rows[1])


def _unmatched(loaded: LoadedCompany, warn: Warn) -> None:
    for link in unmatched(loaded.connection, loaded.staged):
        table, column, n = link["table"], link["column"], link["count"]
        text = f"{table}.{column}: {n:,} of {link['rows']:,} lead to no row of {link['owner']}"
        if table == "deals":
            by = loaded.connection.execute(
                "SELECT coalesce(outcome, 'open') AS word, count(*), sum(amount) FROM staged_deals "
                f"WHERE {link['where']} GROUP BY word ORDER BY word DESC"
            ).fetchall()
            counts = [
                f"{count:,} {word}" + (f", {amount:,.2f}" if word == "won" and amount else "")
                for word, count, amount in by
            ]
            text += f" ({'; '.join(counts)})"
        examples = loaded.connection.execute(
            f"SELECT DISTINCT {column} FROM staged_{table} WHERE {link['where']} ORDER BY 1 LIMIT 3"
        ).fetchall()
        text += f", such as {', '.join(repr(value) for (value,) in examples)}"
        if link["guess"]:
            text += f"; they look like {link['guess']}"
        warn("unmatched", text, table=table, column=column, count=n)


def _found_by_name(loaded: LoadedCompany, warn: Warn) -> None:
    """Say which columns with a say in outcomes were taken by their names alone, and how their words are read."""
    for mapping in loaded.mappings:
        raw = mapping.raw
        usual = [
            f"{ours} from '{theirs}'"
            for ours, theirs in mapping.columns.items()
            if ours in mapping.by_name and theirs.lower() != ours
        ]
        if usual:
            text = (
                f"{raw.table}: {', '.join(usual)} of {raw.label}, by the usual names; put it under ignore if not meant"
            )
            warn("by_name", text, table=raw.table)
        if raw.table == "leads" and "status" in mapping.columns:
            column = mapping.columns["status"]
            text = clean_sql(column, raw.columns[column])
            rows = loaded.connection.execute(
                f"SELECT {text} AS word, count(*) AS n FROM {quoted(raw.relation)} WHERE {text} IS NOT NULL "
                f"GROUP BY word ORDER BY n DESC, word LIMIT {WORDS_SHOWN}"
            ).fetchall()
            readings = _status_readings(raw.source.values.get("status", {}))
            readings_shown = [
                f"{word} ({n:,}) as {readings.get(word.lower(), 'nothing that is known')}" for word, n in rows
            ]
            if "status" in mapping.by_name and readings_shown:
                text = f"leads.status is read from '{column}' of {raw.label}, by its name: {', '.join(readings_shown)}"
                warn(
                    "by_name",
                    f"{text}; put it under ignore if it is no status of the lead",
                    table="leads",
                    column="status",
                )
        if mapping.timezone:
            text = f"{raw.label}: times without an offset are read in {mapping.timezone}, dates as days in "
            warn("timezone", f"{text}{loaded.params.data.timezone}", table=raw.table)


def _status_readings(values: dict[str, list[str]]) -> dict[str, str]:
    readings = {word.strip().lower(): ours for ours, words in values.items() for word in words}
    for ours, words in WORDS["leads", "status"].items():
        for word in (ours,) if ours in values else words:
            readings.setdefault(word, ours)
    return readings


_BEFORE = (
    "SELECT deals.* FROM staged_deals AS deals JOIN staged_leads AS leads USING (lead_id) "
    f"WHERE deals.{REASON} IS NULL AND leads.{REASON} IS NULL AND deals.outcome IN ('won', 'lost') "
    "AND deals.closed_at + INTERVAL 1 DAY <= leads.created_at"
)


def warning_rows(loaded: LoadedCompany) -> pd.DataFrame:
    """List the rows behind warnings that are loaded all the same: `COLUMNS`, at most `ROWS_LIMIT` a warning."""
    frames = [
        loaded.connection.sql(f"{query} ORDER BY ALL LIMIT {ROWS_LIMIT}").to_arrow_table().to_pandas()
        for query in _row_queries(loaded)
    ]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    return found[COLUMNS]


def _row_queries(loaded: LoadedCompany) -> Iterator[str]:
    def rows(code: str, table: str, column: str, value: str, reason: str, among: str) -> str:
        amount = "amount" if table == "deals" else "CAST(NULL AS DECIMAL(18, 4))"
        return (
            f'SELECT {literal(code)} AS code, {literal(table)} AS "table", {PLACE} AS source, system, {ROW} AS row, '
            f'{literal(column)} AS "column", CAST({value} AS VARCHAR) AS value, {literal(reason)} AS reason, '
            f"{amount} AS amount FROM ({among})"
        )

    for link in unmatched(loaded.connection, loaded.staged):
        among = f"SELECT * FROM staged_{link['table']} WHERE {link['where']}"
        reason = f"leads to no row of {link['owner']}"
        yield rows("unmatched", link["table"], link["column"], link["column"], reason, among)
    yield rows(
        "closed_before_created", "deals", "closed_at", "closed_at", "closed before its lead was created", _BEFORE
    )
    yield (
        "SELECT 'planned' AS code, 'deals' AS \"table\", source, CAST(NULL AS VARCHAR) AS system, row, "
        "'closed_at' AS \"column\", CAST(planned_at AS VARCHAR) AS value, 'planned: closed when it was recorded' AS "
        "reason, CAST(NULL AS DECIMAL(18, 4)) AS amount FROM planned_closings"
    )
    late = (
        f"SELECT * FROM staged_deals WHERE {REASON} IS NULL AND outcome IN ('won', 'lost') AND closed_at > "
        + literal(str(loaded.known_until))
    )
    yield rows("doubtful", "deals", "closed_at", "closed_at", "closed after the data end", late)
    if "amount" in loaded.staged["deals"].present:
        usable = f"SELECT * FROM staged_deals WHERE {REASON} IS NULL"
        was = quoted("was:amount")
        won = f"{usable} AND outcome = 'won'"
        yield rows("doubtful", "deals", "amount", "amount", "won for a negative amount", f"{won} AND amount < 0")
        none = f"{won} AND amount IS NULL AND {was} IS NULL"
        yield rows("doubtful", "deals", "amount", "amount", "won for no amount", none)
        yield rows(
            "doubtful", "deals", "amount", was, "unreadable amount, left empty", f"{usable} AND {was} IS NOT NULL"
        )
    for (table, column), _ in WORDS.items():
        if table in loaded.staged and column in loaded.staged[table].present:
            was = quoted("was:" + column)
            among = f"SELECT * FROM staged_{table} WHERE {REASON} IS NULL AND {was} IS NOT NULL"
            yield rows("words", table, column, was, "a word that nobody can read", among)
