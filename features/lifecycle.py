"""How leads live and end: as known on one date, and as a scoring job would have seen them day by day.

A lead is won at its first won deal; it is lost when its status is lost, or when all its deals are lost and none is
open; it has ended with nobody knowing how where its closing cannot be read. A deal opened later makes it open again.
"""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir

from features import clock
from features.tables import Tables

DEAL_COLUMNS = ("deal_id", "system", "account_id", "outcome", "opened_at", "closed_at", "amount", "owner_id", "kind")


def _attached(versions: ir.Table, leads: ir.Table) -> ir.Table:
    """Give each version of a deal its lead; one that names only a company gets the newest of `leads` made by then."""
    named = versions.filter(versions.lead_id.notnull() | versions.account_id.isnull())
    unnamed = versions.filter(versions.lead_id.isnull() & versions.account_id.notnull()).drop("lead_id")
    candidates = leads.filter(leads.account_id.notnull()).select(
        "lead_id", "account_id", lead_created_at="created_at", lead_known_at="known_at"
    )
    pairs = unnamed.join(candidates, "account_id")
    pairs = pairs.filter(
        pairs.lead_created_at <= ibis.coalesce(pairs.opened_at, pairs.closed_at),
        clock.known_by(pairs.lead_known_at, pairs.known_from),
    )
    order = [pairs.lead_created_at.desc(), pairs.lead_id.desc()]
    version = ["deal_id", "system", "known_from", "known_until"]
    pairs = pairs.mutate(place=ibis.row_number().over(ibis.window(group_by=version, order_by=order)))
    newest = pairs.filter(pairs.place == 0).select(*version, "lead_id")
    found = unnamed.left_join(
        newest,
        [
            unnamed.deal_id == newest.deal_id,
            unnamed.system.identical_to(newest.system),
            unnamed.known_from == newest.known_from,
            unnamed.known_until == newest.known_until,
        ],
    )
    return named.union(found.select(named.columns))


def deal_versions(tables: Tables, known_at: datetime | None = None) -> ir.Table:
    """Give what was known of each deal, over which span, and the lead it belongs to.

    Parameters
    ----------
    tables : Tables
    known_at : datetime, optional
        Give only the version known then, attached among the leads known then. Without it: every version, attached
        among the leads known when the version became known.

    Returns
    -------
    ibis table
        As `clock.deal_versions`; ``lead_id`` is null for a deal without a lead.
    """
    versions, leads = clock.deal_versions(tables), tables.leads
    if known_at is None:
        return _attached(versions, leads)
    leads = leads.filter(clock.known_by(leads.known_at, known_at)).mutate(known_at=clock.instant(clock.ALWAYS))
    return _attached(versions.filter(clock.current_at(versions, known_at)), leads)


def unattached_deals(tables: Tables, known_at: datetime) -> ir.Table:
    """Give the deals known at ``known_at`` that belong to no lead known then, so that no revenue goes missing."""
    deals = deal_versions(tables, known_at)
    leads = tables.leads
    leads = leads.filter(clock.known_by(leads.known_at, known_at))
    return deals.anti_join(leads, "lead_id").select("lead_id", *DEAL_COLUMNS)


def outcomes(tables: Tables, known_at: datetime, amount_window_days: int = 90) -> ir.Table:
    """Say how each lead stood at ``known_at``, by what was known then.

    Parameters
    ----------
    tables : Tables
    known_at : datetime
    amount_window_days : int, default=90
        The amount of a lead is the sum of its deals won within so many days of the first one.

    Returns
    -------
    ibis table
        One row per lead known then: ``lead_id, episode, account_id, owner_id, created_at, lead_known_at, outcome``
        ('open', 'won', 'lost', 'unknown'), ``ended_at, end_known_at, amount`` (float64; null where nobody wrote one
        down), ``won_deals_count, closed_before_created`` (by more than its day: entered after the fact).
    """
    leads = tables.leads
    leads = leads.filter(clock.known_by(leads.known_at, known_at))
    closings = clock.closing_dates(tables)
    closings = closings.filter(clock.known_by(closings.known_from, known_at))
    closings = closings.group_by("lead_id").agg(
        status_lost_at=closings.closed_at.min(where=closings.outcome == "lost"),
        status_lost_known_at=closings.known_from.min(where=closings.outcome == "lost"),
        unknown_at=closings.closed_at.min(where=closings.outcome == "unknown"),
        unknown_known_at=closings.known_from.min(where=closings.outcome == "unknown"),
    )
    deals = deal_versions(tables, known_at)
    deals = deals.filter(deals.lead_id.notnull())
    with_status = deals.left_join(closings, "lead_id").drop("lead_id_right")
    won, lost, open_ = (with_status.outcome == word for word in ("won", "lost", "open"))
    by_deals = with_status.group_by("lead_id").agg(
        won_at=with_status.closed_at.min(where=won),
        won_deals_count=won.sum(),
        lost_deals_count=lost.sum(),
        open_deals_count=open_.sum(),
        reopened_count=(with_status.opened_at > with_status.status_lost_at).sum(),
        deals_lost_at=with_status.closed_at.max(where=lost),
        deals_lost_known_at=with_status.known_from.max(where=lost),
    )
    won_deals = deals.filter(deals.outcome == "won").select("lead_id", "closed_at", "amount", "known_from")
    won_deals = won_deals.join(by_deals.select("lead_id", "won_at"), "lead_id")
    in_window = won_deals.closed_at <= won_deals.won_at + ibis.interval(days=amount_window_days)
    amounts = won_deals.group_by("lead_id").agg(
        amount=won_deals.amount.sum(where=in_window).cast("float64"),
        won_known_at=won_deals.known_from.min(where=won_deals.closed_at == won_deals.won_at),
    )
    state = leads.select(
        "lead_id", "account_id", "owner_id", "created_at", lead_known_at="known_at",
    )  # fmt: skip
    for facts in (by_deals, closings, amounts):
        state = state.left_join(facts, "lead_id").drop("lead_id_right")
    is_won = state.won_at.notnull()
    by_status = state.status_lost_at.notnull() & (ibis.coalesce(state.reopened_count, 0) == 0)
    by_its_deals = (ibis.coalesce(state.lost_deals_count, 0) > 0) & (state.open_deals_count == 0)
    lost_at = ibis.least(
        ibis.ifelse(by_status, state.status_lost_at, clock.instant(clock.NEVER)),
        ibis.ifelse(by_its_deals, state.deals_lost_at, clock.instant(clock.NEVER)),
    )
    outcome = ibis.cases(
        (is_won, "won"), (state.unknown_at.notnull(), "unknown"), (by_status | by_its_deals, "lost"), else_="open"
    )
    state = state.mutate(outcome=outcome, lost_at=lost_at)
    ended_at = ibis.cases(
        (state.outcome == "won", state.won_at),
        (state.outcome == "unknown", state.unknown_at),
        (state.outcome == "lost", state.lost_at),
    )
    lost_known_at = ibis.ifelse(
        by_status & (state.status_lost_at == state.lost_at), state.status_lost_known_at, state.deals_lost_known_at
    )
    end_known_at = ibis.cases(
        (state.outcome == "won", state.won_known_at),
        (state.outcome == "unknown", state.unknown_known_at),
        (state.outcome == "lost", lost_known_at),
    )
    state = state.mutate(ended_at=ended_at, end_known_at=end_known_at)
    return state.select(
        "lead_id",
        "account_id",
        "owner_id",
        "created_at",
        "lead_known_at",
        "outcome",
        "ended_at",
        "end_known_at",
        episode=ibis.literal(1, "int64"),
        amount=ibis.ifelse(state.outcome == "won", state.amount, ibis.null("float64")),
        won_deals_count=ibis.coalesce(state.won_deals_count, 0).cast("int64"),
        # A date without a time stands at its day's end: closed on the day of creation is less than a day before it.
        closed_before_created=ibis.coalesce(clock.days_between(state.ended_at, state.created_at) >= 1, False),
    )


def open_spells(tables: Tables) -> ir.Table:
    """Give the times over which a lead was seen open: what a scoring job, run every instant, would have seen.

    Returns
    -------
    ibis table
        ``lead_id, episode, created_at, known_from, known_until`` (`clock.NEVER` while it is still open), ``outcome``
        (how it was seen to end: 'won', 'lost', 'unknown'; 'open' while it has not). A lead never seen open has no row.
    """
    leads = tables.leads
    closings = clock.closing_dates(tables)
    status = closings.filter(closings.outcome == "lost").select("lead_id", status_lost_at="closed_at")
    deals = deal_versions(tables)
    deals = deals.filter(deals.lead_id.notnull(), deals.known_from < deals.known_until)
    deals = deals.left_join(status, "lead_id").drop("lead_id_right")
    signs = deals.select(
        "lead_id",
        "known_from",
        "known_until",
        won=(deals.outcome == "won").cast("int64"),
        open=(deals.outcome == "open").cast("int64"),
        lost=(deals.outcome == "lost").cast("int64"),
        reopened=ibis.coalesce(deals.opened_at > deals.status_lost_at, False).cast("int64"),
    )
    counts = ("won", "open", "lost", "reopened")
    starts = signs.select("lead_id", *counts, at="known_from")
    ends = signs.filter(signs.known_until < clock.instant(clock.NEVER))
    ends = ends.select("lead_id", *((-ends[name]).name(name) for name in counts), at="known_until")
    zero = ibis.literal(0, "int64")
    changes = starts.union(ends).mutate(status_lost=zero, unknown=zero, known=zero)
    by_closing = closings.select(
        "lead_id", won=zero, open=zero, lost=zero, reopened=zero, at="known_from",
        status_lost=(closings.outcome == "lost").cast("int64"),
        unknown=(closings.outcome == "unknown").cast("int64"),
        known=zero,
    )  # fmt: skip
    births = leads.select(
        "lead_id", won=zero, open=zero, lost=zero, reopened=zero, at="known_at",
        status_lost=zero, unknown=zero, known=ibis.literal(1, "int64"),
    )  # fmt: skip
    changes = changes.union(by_closing.select(changes.columns), births.select(changes.columns))
    names = [*counts, "status_lost", "unknown", "known"]
    changes = changes.group_by("lead_id", "at").agg(**{name: changes[name].sum() for name in names})
    so_far = ibis.window(group_by="lead_id", order_by="at", rows=(None, 0))
    changes = changes.mutate(**{name: changes[name].sum().over(so_far) for name in names})
    state = ibis.cases(
        (changes.known == 0, "unheard"),
        (changes.won > 0, "won"),
        (changes.unknown > 0, "unknown"),
        ((changes.status_lost > 0) & (changes.reopened == 0), "lost"),
        ((changes.lost > 0) & (changes.open == 0), "lost"),
        else_="open",
    )
    changes = changes.mutate(state=state)
    in_order = ibis.window(group_by="lead_id", order_by="at")
    turns = changes.mutate(before=changes.state.lag().over(in_order))
    turns = turns.filter(turns.before.isnull() | (turns.before != turns.state))
    turns = turns.mutate(
        known_until=ibis.coalesce(turns["at"].lead().over(in_order), clock.instant(clock.NEVER)),
        outcome=ibis.coalesce(turns.state.lead().over(in_order), "open"),
    )
    turns = turns.filter(turns.state == "open")
    return turns.join(leads.select("lead_id", "created_at"), "lead_id").select(
        "lead_id", "created_at", "known_until", "outcome", episode=ibis.literal(1, "int64"), known_from="at"
    )
