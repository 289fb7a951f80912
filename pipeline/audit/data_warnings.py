# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What a person should know about the data before trusting a forecast built on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from features import lifecycle, point_in_time
from features.empty_words import NO_CHOICE
from features.versions import happened_events
from models.small_samples import FEW_WINS
from pipeline.audit.closing_dates import closing_warnings
from pipeline.audit.crowding import crowding_warnings
from pipeline.audit.decisions import Judged
from pipeline.audit.drift import drift_warning, shifts
from pipeline.audit.reading_warnings import reading_warnings
from pipeline.audit.reconciliation import Reconciliation
from pipeline.common.formatting import count as counted
from pipeline.common.masking import masked
from pipeline.identity.contact_keys import email_key_sql, phone_key_sql
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.quarantine import doubtful

DOUBTS_SHOWN = 20
"""So many doubtful rows are named one by one."""
STALE_DAYS, SILENT_DAYS = 365, 180
SENTINEL_NUMBERS = frozenset({-999.0, -99.0, -1.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0})
SENTINEL_DATES = frozenset({"1899-12-30", "1900-01-01", "1970-01-01", "1999-12-31", "2099-12-31", "9999-12-31"})
SENTINEL_SHARE = 0.01


def data_warnings(
    loaded: LoadedCompany,
    as_of: datetime,
    counts: dict[str, int],
    columns: list[Judged],
    drift: dict[str, Any],
    reconciliation: Reconciliation,
) -> list[dict[str, Any]]:
    """List what is missing, odd or doubtful.

    Parameters
    ----------
    loaded : LoadedCompany
    as_of : datetime
    counts : dict
        Leads per outcome at `as_of`.
    columns : list of Judged
        What the audit looked at.
    drift : dict
        As `drift.conversion_drift` gives it.
    reconciliation : Reconciliation

    Returns
    -------
    list of dict
        ``code``, ``text``, and where it applies ``table``, ``column``, ``count``.
    """
    found: list[dict[str, Any]] = []

    def warn(code: str, text: str, **where: Any) -> None:
        found.append({"code": code, "text": text, **where})

    if counts["won"] < FEW_WINS:
        warn(
            "few_won",
            f"only {counted(counts['won'], 'lead is', 'leads are')} won; below {FEW_WINS} a model learns little",
            count=counts["won"],
        )
    if not counts["lost"]:
        warn(
            "no_lost",
            "no lead is known to be lost: each stays open, however old, and nothing is said of losing",
        )
    reading_warnings(loaded, warn)
    crowding_warnings(loaded, as_of, warn)
    _missing_parts(loaded, warn)
    _reading(loaded, counts, reconciliation, warn)
    _stale(loaded, as_of, counts, warn)
    _duplicates(loaded, warn)
    _sentinels(columns, warn)
    _personal(loaded, columns, warn)
    found += closing_warnings(loaded, as_of)
    moved = drift_warning(drift)
    return [*found, *([moved] if moved else []), *shifts(columns, as_of)]


def _missing_parts(loaded: LoadedCompany, warn: Any) -> None:
    tables = loaded.tables
    if not tables.has("deals", "amount"):
        warn(
            "no_amounts",
            "deals have no amount: leads are ranked by their win probability, and no money is forecast",
            table="deals",
        )
    if not tables.has("events"):
        warn("no_events", "there are no events: nothing is known of what leads and salespeople do", table="events")
    if not tables.has("accounts"):
        warn(
            "no_accounts", "there are no accounts: nothing is known of the companies behind the leads", table="accounts"
        )


def _reading(loaded: LoadedCompany, counts: dict[str, int], reconciliation: Reconciliation, warn: Any) -> None:
    """Warn of what was lost or bent in reading."""
    for mapping in loaded.mappings:
        for note in mapping.raw.notes:
            warn("reading", note, table=mapping.raw.table)
    for column, n in loaded.counts.get("changes", {}).get("unread", {}).items():
        warn(
            "unread_changes",
            f"changes: {counted(n, 'is', 'are')} of {column}, which nobody reads",
            table="changes",
            count=n,
        )
    for table, count in loaded.counts.items():
        for column, n in count["unreadable"].items():
            warn(
                "unreadable",
                f"{table}.{column}: {counted(n, 'value that cannot be read is', 'values that cannot be read are')} "
                "left empty",
                table=table,
                column=column,
                count=n,
            )
        if unusable := count["quarantined"] - count.get("left_out", 0):
            share = unusable / count["rows"]
            row_count_text = f"{unusable:,} row{'' if unusable == 1 else 's'} ({share:.1%})"
            text = f"{table}: {row_count_text} {'is' if unusable == 1 else 'are'} in quarantine"
            warn("quarantined", text, table=table, count=unusable)
    for (column, reason), rows in doubtful(loaded.connection, loaded.staged["deals"], loaded.known_until).groupby(
        ["column", "reason"], sort=True
    ):
        named = [
            f"row {row.row} of {row.source}" + (f" ('{row.value}')" if isinstance(row.value, str) else "")
            for row in rows.head(DOUBTS_SHOWN).itertuples()
        ]
        more = f" and {len(rows) - DOUBTS_SHOWN:,} more" if len(rows) > DOUBTS_SHOWN else ""
        text = f"deals.{column}: {len(rows):,} {reason}: {', '.join(named)}{more}"
        warn("doubtful", text, table="deals", column=column, count=len(rows))
    foreign = reconciliation.total.deals["unconverted"]
    if foreign:
        text = (
            f"{counted(foreign, 'won deal is', 'won deals are')} in another currency than {loaded.params.currency} and "
            f"{'counts' if foreign == 1 else 'count'} without an amount"
        )
        warn("currency", text, table="deals", count=foreign)
    if n := counts["unknown"]:
        warn(
            "ended_unknown",
            f"{counted(n, 'lead has', 'leads have')} ended with nobody knowing how or when: not scored",
            table="leads",
            count=n,
        )
    lines = loaded.counts.get("deal_lines", {}).get("sums") or {}
    if n := lines.get("deals", 0) - lines.get("equal", 0):
        first = lines["differing"][0]
        example = f"{first['deal_id']}: {first['lines']:,.2f} of {first['amount']:,.2f}"
        text = (
            f"the lines of {n:,} of {lines['deals']:,} deals do not add up to the deal (together "
            f"{lines['difference']:,.2f} {loaded.params.currency}; e.g. {example}): the deal's own amount counts"
        )
        warn("lines_differ", text, table="deal_lines", count=n)
    if n := lines.get("orphans"):
        warn("lines_without_deal", f"{n:,} lines of deals lead to no deal", table="deal_lines", count=n)
    late = _one(loaded, f"SELECT count(*) FROM leads WHERE created_at > TIMESTAMP '{loaded.known_until}'")
    if late:
        warn(
            "future",
            f"{counted(late, 'lead is', 'leads are')} created after data.known_until and not known yet",
            table="leads",
            count=late,
        )


def _stale(loaded: LoadedCompany, as_of: datetime, counts: dict[str, int], warn: Any) -> None:
    leads = lifecycle.standings(loaded.tables, as_of)
    old = leads.filter((leads.outcome == "open") & (point_in_time.days_between(leads.created_at, as_of) > STALE_DAYS))
    if loaded.tables.has("events"):
        events = happened_events(loaded.tables)
        events = events.filter(point_in_time.known_by(events.visible_at, as_of))
        recent = events.filter(point_in_time.days_between(events.occurred_at, as_of) < SILENT_DAYS)
        old = old.anti_join(recent, "lead_id")
    n = int(old.count().execute())
    if n:
        silent = f" and silent for {SILENT_DAYS}" if loaded.tables.has("events") else ""
        among = counted(counts["open"], "open lead", "open leads")
        text = f"{n:,} of {among} {'is' if n == 1 else 'are'} older than {STALE_DAYS} days{silent}: who closes them?"
        warn("stale_open", text, table="leads", count=n)


def _duplicates(loaded: LoadedCompany, warn: Any) -> None:
    for column, same in (("email", email_key_sql("email")), ("phone", phone_key_sql("phone"))):
        if not loaded.tables.has("leads", column):
            continue
        n = _one(
            loaded,
            f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM leads WHERE length({same}) >= 6 "
            f"GROUP BY {same} HAVING count(*) > 1)",
        )
        if n:
            warn(
                "duplicates",
                f"{counted(n, 'lead shares its', 'leads share their')} {column} with an earlier one",
                table="leads",
                column=column,
                count=int(n),
            )


def _personal(loaded: LoadedCompany, columns: list[Judged], warn: Any) -> None:
    """Say where personal data are, so that nobody has to look for them."""
    fields = [f"leads.{name}" for name in ("name", "email", "phone") if loaded.tables.has("leads", name)]
    own = [item.key for item in columns if item.code == "personal"]
    if fields:
        text = (
            f"{', '.join(fields)} hold personal data: used is only whether they are filled, and the kind of mail domain"
        )
        warn("personal", text, table="leads", count=len(fields))
    if own:
        warn(
            "personal",
            f"{', '.join(own)}: personal data in columns of your own; list them under ignore",
            count=len(own),
        )


def _sentinels(columns: list[Judged], warn: Any) -> None:
    """Warn of values that stand for nothing: words always, numbers where they are suspiciously frequent."""
    for item in columns:
        if item.column is None or item.column.filled_only or item.code == "personal":
            continue
        key, values = item.key, item.column.values.dropna()
        if not len(values):
            continue
        if pd.api.types.is_numeric_dtype(values):
            counts = values[values.isin(SENTINEL_NUMBERS)].value_counts()
            counts = counts[counts >= SENTINEL_SHARE * len(values)]
            # A range that goes well beyond it makes 99 a number like any other.
            others = values[~values.isin(SENTINEL_NUMBERS)]
            highest, lowest = (others.quantile(0.99), others.min()) if len(others) else (0.0, 0.0)
            counts = counts[[value >= highest if value > 0 else lowest >= 0 for value in counts.index]]
        elif pd.api.types.is_datetime64_any_dtype(values):
            days = values.dt.strftime("%Y-%m-%d")
            counts = days[days.isin(SENTINEL_DATES)].value_counts()
        else:
            counts = values[values.str.lower().isin(NO_CHOICE)].value_counts()
        for value, n in sorted(counts.items(), key=lambda item: str(item[0])):
            shown = f"{value:g}" if isinstance(value, float) else f"'{masked(str(value))}'"
            warn(
                "sentinel",
                f"{key}: {counted(n, 'value is', 'values are')} {shown}, which seems to stand for nothing; "
                "it is left as it is",
                column=key,
                count=int(n),
            )


def _one(loaded: LoadedCompany, query: str) -> int:
    return loaded.connection.execute(query).fetchall()[0][0]
