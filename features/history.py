"""History: how earlier deals of the lead's company went."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from features import clock
from features.spec import FeatureSpec
from features.tables import Tables

KEYS = ["lead_id", "episode", "as_of"]


def features(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Give each snapshot what its company had bought and turned down by then.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of, acct_won_count, acct_lost_count, acct_last_won_days`` and, where deals have amounts,
        ``acct_revenue``. A lead without a company has no history: unknown.
    """
    leads = tables.leads.filter(tables.leads.account_id.notnull()).select("lead_id", "account_id")
    versions = clock.deal_versions(tables)
    versions = versions.filter(versions.outcome != "open", versions.known_from < versions.known_until)
    # A deal that names only its lead belongs to that lead's company.
    versions = versions.left_join(leads.rename(lead_account_id="account_id"), "lead_id")
    versions = versions.mutate(company_id=ibis.coalesce(versions.account_id, versions.lead_account_id))
    versions = versions.filter(versions.company_id.notnull()).select(
        "company_id", "outcome", "amount", "closed_at", "known_from", "known_until"
    )
    rows = snapshots.select(*KEYS).join(leads, "lead_id")
    dates = rows.select("account_id", "as_of").distinct()
    pairs = dates.join(versions, dates.account_id == versions.company_id)
    pairs = pairs.filter(clock.current_at(pairs, pairs.as_of))
    won = pairs.outcome == "won"
    sums = pairs.group_by("account_id", "as_of").agg(
        won=pairs.count(where=won),
        lost=pairs.count(where=pairs.outcome == "lost"),
        revenue=pairs.amount.sum(where=won),
        last_won=clock.microseconds_between(pairs.closed_at, pairs.as_of).min(where=won),
    )
    found = rows.left_join(sums, ["account_id", "as_of"])
    values: dict[str, ir.Value] = {
        "acct_won_count": ibis.coalesce(found.won, 0).cast("float64"),
        "acct_lost_count": ibis.coalesce(found.lost, 0).cast("float64"),
        "acct_last_won_days": found.last_won.cast("float64") / clock.MICROSECONDS_PER_DAY,
    }
    if spec.has("deals.amount"):
        values["acct_revenue"] = ibis.coalesce(found.revenue.cast("float64"), 0.0)
    return found.select(*KEYS, **values)
