"""History: how earlier deals of the lead's company went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.types as ir

from features import clock
from features.asked import Asked
from features.feature import Feature
from features.spec import FeatureSpec
from features.tables import Tables


def _deals_of_companies(tables: Tables) -> ir.Table:
    """Give the versions of closed deals, each with its company; one that names only a lead has that lead's."""
    leads = tables.leads.filter(tables.leads.account_id.notnull())
    versions = clock.deal_versions(tables)
    versions = versions.filter(versions.outcome != "open", versions.known_from < versions.known_until)
    versions = versions.left_join(leads.select("lead_id", lead_account_id="account_id"), "lead_id")
    versions = versions.mutate(company_id=ibis.coalesce(versions.account_id, versions.lead_account_id))
    return versions.filter(versions.company_id.notnull()).select(
        "company_id", "outcome", "amount", "closed_at", "known_from", "known_until"
    )


def features(asked: Asked) -> ir.Table:
    """Give each snapshot what its company had bought and turned down by then.

    Returns
    -------
    ibis table
        ``snapshot, acct_won_count, acct_lost_count, acct_customer_before_lead, acct_last_won_days`` and, where deals
        have amounts, ``acct_revenue``. A lead without a company has no history: unknown.
    """
    tables, spec = asked.tables, asked.spec
    versions = tables.once("deals_of_companies", lambda: _deals_of_companies(tables))
    rows = asked.rows.filter(asked.rows.company_id.notnull()).select("snapshot", "as_of", "created_at", "company_id")
    pairs = rows.select("company_id", "as_of").distinct().join(versions, "company_id")
    pairs = pairs.filter(clock.current_at(pairs, pairs.as_of))
    won = pairs.outcome == "won"
    sums = pairs.group_by("company_id", "as_of").agg(
        won=pairs.count(where=won),
        lost=pairs.count(where=pairs.outcome == "lost"),
        revenue=pairs.amount.sum(where=won),
        last_won=clock.microseconds_between(pairs.closed_at, pairs.as_of).min(where=won),
        first_won_at=pairs.closed_at.min(where=won),
    )
    found = rows.left_join(sums, ["company_id", "as_of"])
    was_customer = ibis.coalesce(found.first_won_at < found.created_at, False)
    values: dict[str, ir.Value] = {
        "acct_won_count": ibis.coalesce(found.won, 0).cast("float64"),
        "acct_lost_count": ibis.coalesce(found.lost, 0).cast("float64"),
        "acct_customer_before_lead": was_customer.cast("float64"),
        "acct_last_won_days": found.last_won.cast("float64") / clock.MICROSECONDS_PER_DAY,
    }
    if spec.has("deals.amount"):
        values["acct_revenue"] = ibis.coalesce(found.revenue.cast("float64"), 0.0)
    return found.select("snapshot", **values)


def entries(spec: FeatureSpec) -> Iterator[Feature]:
    """Describe how earlier deals of the company went."""
    if not spec.has("leads.account_id"):
        return

    def of(name: str, unit: str, meaning: str, text: str, unknown: str, **more: Any) -> Feature:
        return Feature(f"acct_{name}", unit, "history", "deals, leads.account_id", "acct_history", meaning, text,
                       unknown, **more)  # fmt: skip

    yield of("won_count", "count", "Deals the company has won us so far", "Customer with {count} so far",
             "Company not known", none="Not a customer yet", noun="deal")  # fmt: skip
    yield of("lost_count", "count", "Deals with the company lost so far", "{count} with this company so far",
             "Company not known", none="No lost deal with this company", noun="lost deal")  # fmt: skip
    yield of("customer_before_lead", "yes or no", "Whether the company had bought before this lead came in (1: an "
             "expansion; 0: new business)", "Was a customer before this lead came in", "Company not known",
             none="Had not bought before this lead came in")  # fmt: skip
    yield of("last_won_days", "days", "Days since the company last bought", "Last bought {value} ago",
             "Not a customer yet")  # fmt: skip
    if spec.has("deals.amount"):
        yield of("revenue", "money", "Revenue with the company so far", "Has bought for {value} so far",
                 "Company not known", none="No revenue with this company yet")  # fmt: skip
