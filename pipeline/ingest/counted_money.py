# ruff: noqa: S608 (SQL here is made of our own names)
"""What a deal counts for: bookings or what recurs in a year, by its own columns and by its lines.

A closed deal without an amount is worth its lines, or what recurs over its term and what does not. Lines beside an
amount have to add up to it: what they do not is listed, and the amount stands.
"""

from __future__ import annotations

from typing import Any

import duckdb

from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.ingest.staging import REASON, Staged

PARTS = ("recurring_amount", "one_off_amount", "term_months")
_CENT = "DECIMAL(18, 2)"


def count_money(connection: duckdb.DuckDBPyConnection, staged: dict[str, Staged], params: Params) -> dict[str, Any]:
    """Make each deal's amount what ``money.counts`` says; in place.

    Makes the table ``line_sums`` (``deal_id, total, recurring, rest``), what lines say of each deal.

    Returns
    -------
    dict
        ``deals`` that have lines and an amount, ``equal`` to the cent, ``differing`` (deal, amount, sum of the lines;
        the largest ten), ``difference``, and ``orphans``: lines that lead to no deal. Empty without lines.

    Raises
    ------
    UserError
        Recurring revenue is to be counted, and nothing says what recurs.
    """
    deals = staged["deals"]
    has_lines = "deal_lines" in staged
    columns = "deal_id VARCHAR, total DECIMAL(38, 4), recurring DECIMAL(38, 4), rest DECIMAL(38, 4)"
    connection.execute(f"CREATE TABLE line_sums ({columns})")
    told: dict[str, Any] = {}
    if has_lines:
        recurs = "kind = 'recurring'" if "kind" in staged["deal_lines"].present else "false"
        connection.execute(
            "INSERT INTO line_sums SELECT deal_id, sum(amount), "
            f"sum(CASE WHEN {recurs} THEN amount * 12 / coalesce(nullif(term_months, 0), 12) END), "
            f"sum(CASE WHEN {recurs} THEN NULL ELSE amount END) "
            f"FROM staged_deal_lines WHERE {REASON} IS NULL GROUP BY deal_id"
        )
        told = _compared(connection, deals)
    is_arr = params.money.counts == "arr"
    if is_arr and "recurring_amount" not in deals.present and not has_lines:
        raise UserError(
            "money.counts: arr: nothing says what recurs; give deals a column recurring_amount (a year), or "
            "data.sources.deal_lines with kind and amount, or count bookings"
        )
    if has_lines or set(PARTS) & deals.present:
        connection.execute(
            f"UPDATE {deals.relation} SET amount = counted.amount FROM (SELECT deals.rowid AS place, "
            f"{counted_sql(params.money.counts)} AS amount FROM {deals.relation} AS deals LEFT JOIN line_sums "
            f"USING (deal_id)) AS counted WHERE {deals.relation}.rowid = counted.place"
        )
    if is_arr:
        connection.execute("DELETE FROM told_changes WHERE \"table\" = 'deals' AND field = 'amount'")
        connection.execute(
            "UPDATE told_changes SET field = 'amount' WHERE \"table\" = 'deals' AND field = 'recurring_amount'"
        )
    return told


def counted_sql(counts: str) -> str:
    """Give the SQL of what a row of deals, joined with ``line_sums``, counts for.

    Lines are as they stand now: they speak of closed deals only.
    """
    closed = "outcome IN ('won', 'lost')"
    if counts == "arr":
        amount = (
            f"recurring_amount, CASE WHEN {closed} AND total IS NOT NULL THEN coalesce(recurring, 0) END, "
            "CASE WHEN one_off_amount IS NOT NULL THEN 0 END"
        )
    else:
        amount = (
            f"amount, CASE WHEN {closed} THEN total END, CASE WHEN coalesce(recurring_amount, one_off_amount) IS NOT "
            "NULL THEN coalesce(recurring_amount * coalesce(term_months, 12) / 12, 0) + coalesce(one_off_amount, 0) END"
        )
    return f"CAST(coalesce({amount}) AS DECIMAL(18, 4))"


def _compared(connection: duckdb.DuckDBPyConnection, deals: Staged) -> dict[str, Any]:
    """Hold lines against the amounts that deals have themselves."""
    last = (
        f"SELECT deal_id, arg_max(amount, coalesce(recorded_at, closed_at, opened_at)) AS amount FROM {deals.relation} "
    )
    pairs = (
        f"SELECT deal_id, CAST(amount AS {_CENT}) AS amount, CAST(total AS {_CENT}) AS total FROM ({last} "
        f"WHERE {REASON} IS NULL AND amount IS NOT NULL GROUP BY deal_id) JOIN line_sums USING (deal_id)"
    )
    count, equal, difference = connection.execute(
        f"SELECT count(*), count(*) FILTER (amount = total), coalesce(sum(total - amount), 0) FROM ({pairs})"
    ).fetchall()[0]
    differing = connection.execute(
        f"SELECT deal_id, amount, total FROM ({pairs}) WHERE amount <> total "
        "ORDER BY abs(total - amount) DESC, deal_id LIMIT 10"
    ).fetchall()
    orphans = connection.execute(
        f"SELECT count(*) FROM staged_deal_lines WHERE {REASON} IS NULL AND deal_id NOT IN "
        f"(SELECT deal_id FROM {deals.relation} WHERE deal_id IS NOT NULL)"
    ).fetchall()[0][0]
    return {
        "deals": count,
        "equal": equal,
        "difference": float(difference),
        "differing": [{"deal_id": name, "amount": float(own), "lines": float(sum_)} for name, own, sum_ in differing],
        "orphans": orphans,
    }
