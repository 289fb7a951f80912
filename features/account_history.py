"""History: how earlier deals of the lead's company went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.types as ir

from features import point_in_time
from features.feature import Feature
from features.schema import Tables
from features.snapshot_context import SnapshotContext, account_memberships
from features.spec import FeatureSpec
from features.versions import account_versions, as_they_were, deal_versions

FAMILY = ("accounts.account_id", "accounts.parent_id")
"""Columns that tell which companies belong together."""


def _deals_of_companies(tables: Tables) -> ir.Table:
    """Give the versions of closed deals, each with its company: one that names only a lead has that lead's of then."""
    versions = deal_versions(tables)
    versions = versions.filter(versions.outcome != "open", versions.known_from < versions.known_until)
    columns = ("outcome", "amount", "closed_at", "known_from", "known_until")
    named = versions.filter(versions.account_id.notnull()).select("account_id", *columns)
    unnamed = versions.filter(versions.account_id.isnull()).select("lead_id", *columns)
    members = account_memberships(tables).rename(member_from="known_from", member_until="known_until")
    unnamed = unnamed.join(members, "lead_id")
    unnamed = unnamed.mutate(
        known_from=ibis.greatest(unnamed.known_from, unnamed.member_from),
        known_until=ibis.least(unnamed.known_until, unnamed.member_until),
    )
    unnamed = unnamed.filter(unnamed.known_from < unnamed.known_until)
    return named.union(unnamed.select(named.columns)).rename(company_id="account_id")


def _parents(rows: ir.Table, tables: Tables) -> ir.Table:
    """Say what was known of the parent of the companies in `rows`, with all its columns; unknown ones fall away."""
    versions = tables.memoize("account_versions", lambda: account_versions(tables))
    versions = versions.select("account_id", "parent_id", "known_from", "known_until")
    known = rows.join(versions, [("company_id", "account_id")])
    known = as_they_were(known.filter(point_in_time.current_at(known, known.as_of)), tables, "accounts", "account_id")
    return known.select(*rows.columns, parent_id=known.parent_id.nullif(known.account_id))


def _links(tables: Tables) -> ir.Table:
    """Give each company with each parent that it has ever had."""
    ever = tables.accounts.select(company_id="account_id", head="parent_id")
    changes = tables.changes.filter(tables.changes["table"] == "accounts", tables.changes.field == "parent_id")
    for value in ("old_value", "new_value"):
        ever = ever.union(changes.select(company_id="row_id", head=value))
    return ever.filter(ever["head"].notnull()).distinct()


def _sums(members: ir.Table, deals: ir.Table, by: str) -> ir.Table:
    """Count and add up the deals of `members` (``company_id, as_of``) as known at ``as_of``, for each of `by`."""
    pairs = members.join(deals, "company_id")
    pairs = pairs.filter(point_in_time.current_at(pairs, pairs.as_of))
    won = pairs.outcome == "won"
    return pairs.group_by(by, "as_of").agg(
        won=pairs.count(where=won),
        lost=pairs.count(where=pairs.outcome == "lost"),
        revenue=pairs.amount.sum(where=won),
        last_won=point_in_time.microseconds_between(pairs.closed_at, pairs.as_of).min(where=won),
        first_won_at=pairs.closed_at.min(where=won),
    )


def _families(companies: ir.Table, deals: ir.Table, tables: Tables) -> ir.Table:
    """Sum up the deals of whole families: a parent and its children, as known by each date.

    Parameters
    ----------
    companies : ibis table
        ``company_id, as_of``, none twice.
    deals : ibis table
        `_deals_of_companies`.
    tables : Tables

    Returns
    -------
    ibis table
        ``company_id, as_of, family_won, family_lost, family_revenue``.
    """
    own = companies.left_join(_parents(companies, tables), ["company_id", "as_of"])
    own = own.select("company_id", "as_of", head=ibis.coalesce(own.parent_id, own.company_id))
    heads = own.select("head", "as_of").distinct()
    children = _parents(heads.join(tables.memoize("account_links", lambda: _links(tables)), "head"), tables)
    children = children.filter(children.parent_id == children["head"]).select("head", "as_of", "company_id")
    members = heads.mutate(company_id=heads["head"]).select(children.columns).union(children)
    sums = _sums(members, deals, "head")
    sums = sums.select("head", "as_of", family_won="won", family_lost="lost", family_revenue="revenue")
    # The sums come from `own` itself: to be joined to them, it needs a name of its own.
    return own.view().left_join(sums, ["head", "as_of"]).drop("head", "head_right", "as_of_right")


def features(context: SnapshotContext) -> ir.Table:
    """Give each snapshot what its company, and the family of companies around it, had bought and turned down by then.

    Returns
    -------
    ibis table
        ``snapshot, acct_won_count, acct_lost_count, acct_customer_before_lead, acct_last_won_days`` and, where deals
        have amounts, ``acct_revenue``; where companies have parents, the same counts and sum as ``acct_family_…``. A
        lead without a company has no history: unknown.
    """
    tables, spec = context.tables, context.spec
    versions = tables.memoize("deals_of_companies", lambda: _deals_of_companies(tables))
    rows = context.rows.filter(context.rows.account_id.notnull())
    rows = rows.select("snapshot", "as_of", "created_at", company_id="account_id")
    companies = rows.select("company_id", "as_of").distinct()
    found = rows.left_join(_sums(companies, versions, "company_id"), ["company_id", "as_of"]).drop(
        "company_id_right", "as_of_right"
    )
    counted = {"acct_won_count": "won", "acct_lost_count": "lost"}
    money = {"acct_revenue": "revenue"} if spec.has("deals.amount") else {}
    if spec.has(*FAMILY):
        found = found.left_join(_families(companies, versions, tables), ["company_id", "as_of"])
        counted |= {"acct_family_won_count": "family_won", "acct_family_lost_count": "family_lost"}
        money |= {"acct_family_revenue": "family_revenue"} if money else {}
    was_customer = ibis.coalesce(found.first_won_at < found.created_at, False)
    return found.select(
        "snapshot",
        acct_customer_before_lead=was_customer.cast("float64"),
        acct_last_won_days=found.last_won.cast("float64") / point_in_time.MICROSECONDS_PER_DAY,
        **{name: ibis.coalesce(found[column], 0).cast("float64") for name, column in counted.items()},
        **{name: ibis.coalesce(found[column].cast("float64"), 0.0) for name, column in money.items()},
    )


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
    if spec.has(*FAMILY):
        yield from _family(spec)


def _family(spec: FeatureSpec) -> Iterator[Feature]:
    def of(name: str, unit: str, meaning: str, text: str, none: str, **more: Any) -> Feature:
        return Feature(f"acct_family_{name}", unit, "history", "deals, accounts.parent_id", "acct_family", meaning,
                       text, "Company not known", none=none, **more)  # fmt: skip

    whole = "with the company, its parent and the parent's other companies"
    yield of("won_count", "count", f"Deals won so far {whole}", "{count} won with its group so far",
             "No company of its group is a customer yet", noun="deal")  # fmt: skip
    yield of("lost_count", "count", f"Deals lost so far {whole}", "{count} with its group so far",
             "No lost deal with its group", noun="lost deal")  # fmt: skip
    if spec.has("deals.amount"):
        yield of("revenue", "money", f"Revenue so far {whole}", "Its group has bought for {value} so far",
                 "No revenue with its group yet")  # fmt: skip
