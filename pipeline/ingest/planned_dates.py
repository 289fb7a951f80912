# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Deals closed at a date that lay ahead when they were closed: that date is the plan, they closed when it was recorded.

CRMs keep the planned date of a deal that is lost early. The day on which its outcome last turned, by the history of
the deal, or the day on which the row was last changed is when it closed.
"""

from __future__ import annotations

import duckdb

from pipeline.common.sql import literal
from pipeline.ingest.sources import PLACE, ROW
from pipeline.ingest.staging import CHANGED, REASON


def close_when_recorded(connection: duckdb.DuckDBPyConnection, timezone: str) -> int:
    """Put the planned dates of closed deals where plans stand, and their closing at the time it was recorded.

    Needs the table ``told_changes``; makes the table ``planned_closings`` (``source, row, deal_id, planned_at``).

    Returns
    -------
    int
        Deals whose date was a plan.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __turns AS SELECT row_id, new_value AS outcome, max(changed_at) AS turned_at "
        "FROM told_changes WHERE \"table\" = 'deals' AND field = 'outcome' GROUP BY row_id, new_value"
    )
    later = is_later_sql("deals.closed_at", "turned_at", timezone)
    by_history = (
        "SELECT deals.rowid AS place, turned_at AS moment FROM staged_deals AS deals JOIN __turns ON row_id = deal_id "
        f"AND __turns.outcome = deals.outcome WHERE deals.outcome = 'lost' AND {later}"
    )
    recorded = f"coalesce(recorded_at, {CHANGED})"
    by_row = (
        f"SELECT rowid AS place, {recorded} AS moment FROM staged_deals AS deals "
        f"WHERE outcome IN ('won', 'lost') AND {is_later_sql('closed_at', recorded, timezone)}"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __recorded AS SELECT place, min(moment) AS moment "
        f"FROM ({by_history} UNION ALL {by_row}) "
        f"WHERE place IN (SELECT rowid FROM staged_deals WHERE {REASON} IS NULL) GROUP BY place"
    )
    connection.execute(
        f"CREATE TABLE planned_closings AS SELECT {PLACE} AS source, {ROW} AS row, deal_id, closed_at AS planned_at "
        f"FROM staged_deals JOIN __recorded ON staged_deals.rowid = place ORDER BY place"
    )
    count = connection.execute(
        "UPDATE staged_deals SET expected_close_at = coalesce(expected_close_at, closed_at), closed_at = moment "
        "FROM __recorded WHERE staged_deals.rowid = place"
    ).fetchall()[0][0]
    connection.execute("DROP TABLE __turns; DROP TABLE __recorded")
    return count


def is_later_sql(closed_at: str, recorded_at: str, timezone: str) -> str:
    """Give the SQL of whether a closing lies on a later local day than the one on which it was recorded."""
    days = [
        f"CAST(timezone({literal(timezone)}, timezone('UTC', {moment})) AS DATE)" for moment in (closed_at, recorded_at)
    ]
    return f"coalesce({days[0]} > {days[1]}, false)"
