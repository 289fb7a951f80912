"""Won revenue as of a date, split so that every cent stands in one line: new business, existing business, no lead."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import ibis

from features import lifecycle, point_in_time
from pipeline.funnel.journeys import NEW_BUSINESS, Journeys
from pipeline.ingest.company import LoadedCompany

CENT = Decimal("0.01")


def won_revenue(company: LoadedCompany, ways: Journeys, as_of: datetime) -> dict[str, Any]:
    """Give the won revenue known at a date, and whose it is.

    Returns
    -------
    dict
        ``counts`` (bookings or arr), ``total``, which the other lines add up to, to the cent: ``new_business`` and
        ``existing_business`` (of leads), ``later_deals`` (won by a lead after ``data.amount_window_days``),
        ``existing_without_lead`` (renewals and expansion of customers) and ``new_without_lead``.
    """
    tables = company.tables
    versions = lifecycle.lead_deal_versions(tables)
    won = versions.filter(point_in_time.current_at(versions, as_of), versions.outcome == "won")
    leads = tables.leads.filter(point_in_time.known_by(tables.leads.known_at, as_of)).select(lead="lead_id")
    rows = won.left_join(leads, won.lead_id == leads.lead)
    is_new = ibis.coalesce(rows.kind, NEW_BUSINESS) == NEW_BUSINESS
    sums = rows.agg(
        total=rows.amount.sum(),
        existing_without_lead=rows.amount.sum(where=rows.lead.isnull() & ~is_new),
        new_without_lead=rows.amount.sum(where=rows.lead.isnull() & is_new),
    ).to_pandas()
    found = {name: _exact(sums[name].iloc[0]) for name in sums.columns}
    of_new = (ways.frame["kind"] == NEW_BUSINESS).to_numpy()
    amounts = [_exact(value) for value in ways.frame["amount"].fillna(0.0)]
    new = sum((value for value, is_own in zip(amounts, of_new, strict=True) if is_own), Decimal(0))
    existing = sum(amounts, Decimal(0)) - new
    rest = found["total"] - new - existing - found["existing_without_lead"] - found["new_without_lead"]
    parts = {"total": found["total"], "new_business": new, "existing_business": existing, "later_deals": rest} | found
    return {"counts": company.params.money.counts} | {name: float(value) for name, value in parts.items()}


def _exact(value: Any) -> Decimal:
    """Give an amount in whole cents; nothing is 0."""
    return Decimal(0) if value is None or value != value else Decimal(str(value)).quantize(CENT)
