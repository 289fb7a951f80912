"""What a filter would throw away: the leads that do not meet a condition, and their revenue now and later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

from features import point_in_time
from features.lifecycle import standings
from features.versions import account_versions, as_they_were
from pipeline.common.dates import iso
from pipeline.common.errors import UserError
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.sql_guard import one_select
from pipeline.revenue.campaign_touches import won_deals
from pipeline.revenue.expected_revenue import Forecast

LARGEST = 10
SPANS = ("this_quarter", "next_quarter")


def hidden_revenue(company: LoadedCompany, as_of: datetime, condition: str, given: Forecast) -> dict[str, Any]:
    """Say what a filter of the leads would hide.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC.
    condition : str
        A DuckDB expression over the columns of leads and of their companies, as known at the date; where both have a
        column it is the lead's, and the company's is ``account_…``. A lead of which it is not true is hidden.
    given : tuple of DataFrame or None and str
        The forecast of the same date, as `scores_of` gives it.

    Returns
    -------
    dict
        The content of ``filter.json``.

    Raises
    ------
    UserError
        The condition cannot be read, or names a column that there is not.
    """
    rows = _rows(company, as_of)
    hidden = rows.loc[~_meets(rows, condition), "lead_id"]
    state = standings(company.tables, as_of, company.params.data.amount_window_days)
    still_open = state.filter(state.outcome == "open").select("lead_id").to_pandas()["lead_id"]
    deals = won_deals(company, as_of)
    year = (deals["closed_at"] > pd.Timestamp(as_of - timedelta(days=365))) & deals["lead_id"].isin(hidden)
    forecast, said = given
    has_money = forecast is not None and f"expected_revenue_{SPANS[0]}" in forecast
    own = forecast[forecast["lead_id"].isin(hidden)] if forecast is not None and has_money else None
    sums = {f"revenue_hidden_{span}": _sum(own, f"expected_revenue_{span}") for span in SPANS}
    ever = _sum(own, "expected_revenue_ever")
    later = None if ever is None else round(max(ever - sum(value or 0.0 for value in sums.values()), 0.0), 2)
    return {
        "company": company.params.company,
        "currency": company.params.currency,
        "as_of": iso(as_of),
        "filter": condition,
        "leads": len(still_open),
        "leads_hidden": int(still_open.isin(hidden).sum()),
        "won_hidden_past_year": int(year.sum()),
        "revenue_hidden_past_year": int(deals.loc[year, "cents"].sum()) / 100,
        **sums,
        "revenue_hidden_later": later,
        "largest": [] if own is None else _largest(own, rows),
        "notes": [said],
    }


def _sum(rows: pd.DataFrame | None, column: str) -> float | None:
    return None if rows is None or column not in rows else round(float(rows[column].sum()), 2)


def _largest(own: pd.DataFrame, rows: pd.DataFrame) -> list[dict[str, Any]]:
    top = own.sort_values(["expected_revenue_ever", "lead_id"], ascending=[False, True]).head(LARGEST)
    names = rows.set_index("lead_id").get("company_name", pd.Series(dtype=object))
    return [
        {
            "lead_id": str(lead_id),
            "company_name": str(names[lead_id]) if lead_id in names.index and pd.notna(names[lead_id]) else None,
            "revenue_expected": round(float(money), 2),
        }
        for lead_id, money in zip(top["lead_id"], top["expected_revenue_ever"], strict=True)
    ]


def _rows(company: LoadedCompany, as_of: datetime) -> pd.DataFrame:
    """Give each lead known at a date with its columns and its company's, as known then."""
    tables = company.tables
    own = sorted((tables.present["leads"] | set(tables.attributes.get("leads", ()))) & set(tables.leads.columns))
    leads = tables.leads.filter(point_in_time.known_by(tables.leads.known_at, as_of))
    wanted = dict.fromkeys(["lead_id", "account_id", *own])
    leads = leads.select(*wanted).mutate(filtered_at=point_in_time.instant(as_of))
    leads = as_they_were(leads, tables, "leads", "lead_id", as_of="filtered_at").drop("filtered_at")
    versions = account_versions(tables)
    versions = versions.filter(point_in_time.current_at(versions, as_of))
    theirs = (tables.present["accounts"] | set(tables.attributes.get("accounts", ()))) & set(versions.columns)
    renamed = {f"account_{name}" if name in wanted else name: name for name in sorted(theirs - {"account_id"})}
    facts = versions.select(of_account="account_id", **{name: versions[column] for name, column in renamed.items()})
    rows = leads.left_join(facts, leads.account_id == facts.of_account).drop("of_account")
    return rows.order_by("lead_id").to_pandas()


def _meets(rows: pd.DataFrame, condition: str) -> pd.Series:
    """Ask the condition of every row, where nothing but these rows can be read."""
    sql = f"SELECT coalesce(({condition}), false) AS meets FROM leads"  # noqa: S608 (one SELECT, checked, locked away)
    one_select(sql, "--filter", "a condition")
    connection = duckdb.connect(
        config={"enable_external_access": "false", "lock_configuration": "true", "threads": "1"}
    )
    try:
        connection.register("leads", rows)
        return connection.execute(sql).df()["meets"].astype(bool)
    except duckdb.Error as error:
        known = ", ".join(map(str, rows.columns))
        raise UserError(f"--filter: {str(error).splitlines()[0][:200]}. Columns: {known}") from None
    finally:
        connection.close()
