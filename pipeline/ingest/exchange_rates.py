# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Exchange rates: what an amount in another currency is worth in the company's.

``rates`` says what one unit of a currency is worth in the company's own, from ``valid_from`` on (a bare date: from that
day's beginning). A closed deal is converted at the rate of its closing date; one that is open, at each date's own rate
(`features.versions.deal_versions`). Amounts are rounded to cents, each deal by itself, so that sums can be held
to the source's.
"""

from __future__ import annotations

import duckdb

from pipeline.common.sql import literal
from pipeline.ingest.staging import BAD_COLUMN, BAD_VALUE, REASON


def converted_sql(amount: str = "amount", rate: str = "exchange_rate") -> str:
    """Give the SQL of an amount at a rate: null where either is."""
    # DuckDB gives a product no more digits than its factors have.
    return f"CAST(round(CAST({amount} AS DECIMAL(38, 4)) * CAST({rate} AS DECIMAL(38, 10)), 2) AS DECIMAL(18, 4))"


def rates_sql(timezone: str) -> str:
    """Give the SQL of the usable rates: ``currency, valid_from, rate``."""
    # A date without a time was read as its day's end; as the start of a rate it is the day's beginning.
    local = f"timezone({literal(timezone)}, timezone('UTC', valid_from))"
    day = f"timezone('UTC', timezone({literal(timezone)}, date_trunc('day', {local})))"
    start = f"CASE WHEN {local}::TIME = TIME '23:59:59.999999' THEN {day} ELSE valid_from END"
    return f"SELECT upper(currency) AS currency, {start} AS valid_from, rate FROM staged_rates WHERE {REASON} IS NULL"


def at_date_sql(rows: str, currency: str, date: str = "closed_at") -> str:
    """Give the SQL of `rows` with the ``exchange_rate`` at a date of each: 1 for the company's own currency."""
    foreign = f"coalesce(upper(given.currency), {literal(currency)})"
    return (
        f"SELECT given.*, CASE WHEN {foreign} = {literal(currency)} THEN 1 ELSE told.rate END AS exchange_rate "
        f"FROM {rows} AS given ASOF LEFT JOIN told_rates AS told "
        f"ON {foreign} = told.currency AND given.{date} >= told.valid_from"
    )


def convert(connection: duckdb.DuckDBPyConnection, currency: str, timezone: str) -> None:
    """Give every closed deal the rate of its closing; set aside deals won for an amount that has none.

    Makes the table ``told_rates``, and the column ``exchange_rate`` of ``staged_deals`` (null while open).
    """
    connection.execute(f"CREATE TABLE told_rates AS {rates_sql(timezone)} ORDER BY currency, valid_from")
    connection.execute("ALTER TABLE staged_deals ADD COLUMN exchange_rate DECIMAL(18, 10)")
    at_closing = at_date_sql(
        "(SELECT currency, closed_at, rowid AS place FROM staged_deals WHERE outcome IN ('won', 'lost'))", currency
    )
    connection.execute(
        f"UPDATE staged_deals SET exchange_rate = found.exchange_rate FROM ({at_closing}) AS found "
        "WHERE staged_deals.rowid = found.place"
    )
    connection.execute(
        f"UPDATE staged_deals SET {BAD_COLUMN} = 'currency', {BAD_VALUE} = currency, "
        f"{REASON} = 'no exchange rate for ' || upper(currency) || ' at closed_at' "
        f"WHERE {REASON} IS NULL AND outcome = 'won' AND amount IS NOT NULL AND exchange_rate IS NULL"
    )
