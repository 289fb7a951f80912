"""How leads live and end: as known on one date, and as a scoring job would have seen them day by day.

A lead is won at its first won deal; it is lost when its status is lost, or when all its deals are lost and none is
open; it has ended with nobody knowing how where its closing, or that of one of its deals, cannot be read. A lead that
is one of several contacts of a deal, and not the one whose deal it is, has *joined*: it ends without money, once the
deal is there, so that the deal is won once. A renewal that names only a company is no lead's, and no lead of new
business takes an expansion so: what customers buy again is a stream of its own.

A lead seen open again after it was seen lost begins a new *episode* (1, 2, …): a deal was opened after its status was
lost, a lost deal or a deal after lost ones stands open, or the history of its status says so. Each episode has an
outcome of its own. Episodes are counted by what was seen at the time, so that nothing learnt later renumbers them.
"""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir

from features import point_in_time
from features.schema import TIME, Tables
from features.versions import as_they_were, closing_dates, deal_versions

WITHOUT_DEAL = ("unknown", "joined")
"""Closings of leads that are neither won nor lost."""
DEAL_COLUMNS = ("deal_id", "system", "account_id", "outcome", "opened_at", "closed_at", "amount", "owner_id", "kind")


def _attached(tables: Tables) -> ir.Table:
    """Give each version of a deal its lead; one that names only a company gets the newest of its leads made by then.

    Where such a lead becomes known only during the version's span, the span is split there.
    """
    versions, leads = deal_versions(tables), tables.leads
    named = versions.filter(versions.lead_id.notnull() | versions.account_id.isnull())
    unnamed = versions.filter(versions.lead_id.isnull() & versions.account_id.notnull()).drop("lead_id")
    candidates = leads.filter(leads.account_id.notnull()).select(
        "lead_id", "account_id", made_at="created_at", heard_at="known_at", lead_kind="kind"
    )
    version = ["deal_id", "system", "known_from", "known_until"]
    pairs = unnamed.join(candidates, "account_id")
    # A customer who renews, or buys more, was not won by a lead of new business.
    of_customer = (pairs.kind == "renewal") | ((pairs.kind == "expansion") & (pairs.lead_kind == "new_business"))
    pairs = pairs.filter(~ibis.coalesce(of_customer, False))
    heard_at = ibis.coalesce(pairs.heard_at, point_in_time.instant(point_in_time.ALWAYS))
    pairs = pairs.mutate(start=ibis.greatest(pairs.known_from, heard_at))
    pairs = pairs.filter(
        pairs.made_at <= ibis.coalesce(pairs.opened_at, pairs.closed_at), pairs.start < pairs.known_until
    )
    by_age = ibis.window(group_by=version, order_by=[pairs.made_at, pairs.lead_id])
    pairs = pairs.mutate(place=ibis.row_number().over(by_age))
    so_far = ibis.window(group_by=version, order_by=[pairs.start, pairs.place], rows=(None, 0))
    pairs = pairs.mutate(best=pairs.place.max().over(so_far))
    pairs = pairs.filter(pairs.place == pairs.best)
    in_order = ibis.window(group_by=version, order_by=[pairs.start, pairs.place])
    found = pairs.mutate(
        following=ibis.coalesce(pairs.start.lead().over(in_order), pairs.known_until),
        first=pairs.start.min().over(ibis.window(group_by=version)),
    )
    attached = found.filter(found.start < found.following)
    attached = attached.mutate(known_from=attached.start, known_until=attached.following).select(named.columns)
    starts = found.select(*version, "first").distinct()
    alone = unnamed.left_join(
        starts,
        [
            unnamed.deal_id == starts.deal_id,
            unnamed.system.identical_to(starts.system),
            unnamed.known_from == starts.known_from,
            unnamed.known_until == starts.known_until,
        ],
    )
    alone = alone.mutate(
        lead_id=ibis.null("string"), known_until=ibis.coalesce(alone["first"], alone.known_until)
    ).select(named.columns)
    # A version that held over no time at all has nothing to be split.
    alone = alone.filter((alone.known_from < alone.known_until) | alone.known_until.isnull())
    return named.union(attached, alone)


def lead_deal_versions(tables: Tables) -> ir.Table:
    """Give what was known of each deal, over which span, and the lead it belonged to by what was known then.

    The deals as known at a date, each with its lead: ``versions.filter(point_in_time.current_at(versions, as_of))``.

    Returns
    -------
    ibis table
        As `versions.deal_versions`; ``lead_id`` is null for a deal without a lead. A deal that names only a company
        belongs to the newest of its leads created by the time the deal was opened (else closed); what happens to a
        company without such a lead is told by `unattached_deals`.
    """
    return tables.memoize("deal_versions_of_leads", lambda: _attached(tables))


def unattached_deals(tables: Tables, known_at: datetime) -> ir.Table:
    """Give the deals known at ``known_at`` that belong to no lead known then, so that no revenue goes missing."""
    versions = lead_deal_versions(tables)
    deals = versions.filter(point_in_time.current_at(versions, known_at))
    leads = tables.leads
    leads = leads.filter(point_in_time.known_by(leads.known_at, known_at))
    return deals.anti_join(leads, "lead_id").select("lead_id", *DEAL_COLUMNS)


def _counting_deals(tables: Tables) -> ir.Table:
    """Give the versions of deals that count for a lead: a lost one no more once the lead's status is opened again."""
    deals = lead_deal_versions(tables)
    deals = deals.filter(deals.lead_id.notnull())
    if "status" not in tables.tracked("leads"):
        return deals
    closings = closing_dates(tables)
    taken_up = closings.filter(
        (closings.outcome == "lost") & (closings.known_until < point_in_time.instant(point_in_time.NEVER))
    )
    taken_up = taken_up.select("lead_id", taken_up_at="known_until")
    pairs = deals.filter(deals.outcome == "lost").join(taken_up, "lead_id")
    pairs = pairs.filter(pairs.taken_up_at > pairs.known_from)
    first = pairs.group_by("lead_id", "deal_id", "known_from").agg(taken_up_at=pairs.taken_up_at.min())
    names = list(deals.columns)
    deals = deals.left_join(first, ["lead_id", "deal_id", "known_from"])
    over = ibis.ifelse(deals.outcome == "lost", deals.taken_up_at, ibis.null(TIME))
    return deals.mutate(known_until=ibis.least(deals.known_until, ibis.coalesce(over, deals.known_until))).select(names)


def _closings(tables: Tables) -> ir.Table:
    """Give the closings of leads, and the spans over which a lost status counts no more, as a deal was opened after it.

    Returns
    -------
    ibis table
        As `clock.closing_dates`; ``outcome`` is also 'reopened', at most over the span of the closing it lifts.
    """
    closings = closing_dates(tables)
    deals = lead_deal_versions(tables)
    deals = deals.select("lead_id", "opened_at", deal_from="known_from", deal_until="known_until")
    later = closings.filter(closings.outcome == "lost").join(deals, "lead_id")
    later = later.filter(later.opened_at > later.closed_at)
    later = later.mutate(
        outcome=ibis.literal("reopened", "string"),
        known_from=ibis.greatest(later.known_from, later.deal_from),
        known_until=ibis.least(later.known_until, later.deal_until),
    )
    every = closings.union(later.select(closings.columns))
    return every.filter(every.known_from < every.known_until)


def _facts(tables: Tables) -> tuple[ir.Table, ir.Table]:
    """Give the versions of deals and the closings that say how leads stand, over the spans in which they count."""
    return (
        tables.memoize("counting_deals", lambda: _counting_deals(tables)),
        tables.memoize("closings", lambda: _closings(tables)),
    )


def standings(tables: Tables, known_at: datetime, amount_window_days: int = 90) -> ir.Table:
    """Say how each lead stood at ``known_at``, by what was known then: its last episode.

    Parameters
    ----------
    tables : Tables
    known_at : datetime
    amount_window_days : int, default=90
        The amount of a lead is the sum of its deals won within so many days of the first one.

    Returns
    -------
    ibis table
        One row per lead known then, with the columns of `outcomes`.
    """
    leads = tables.leads
    leads = leads.filter(point_in_time.known_by(leads.known_at, known_at)).select("lead_id")
    spells = open_spells(tables)
    spells = spells.filter(point_in_time.known_by(spells.known_from, known_at))
    last = spells.group_by("lead_id").agg(episode=spells.episode.max(), started_at=spells.episode_started_at.max())
    last = leads.left_join(last, "lead_id").drop("lead_id_right")
    last = last.mutate(episode=ibis.coalesce(last.episode, 1), moment=point_in_time.instant(known_at))
    return _outcomes_at(tables, last, amount_window_days)


def outcomes(tables: Tables, known_at: datetime, amount_window_days: int = 90) -> ir.Table:
    """Say how each lead stood at ``known_at``, and how each of its earlier episodes ended, by what was known then.

    Parameters
    ----------
    tables, known_at, amount_window_days
        As for `standings`.

    Returns
    -------
    ibis table
        One row per episode of a lead known then: ``lead_id, episode, episode_started_at`` (seen open from then on; null
        where it never was), ``account_id, owner_id, created_at, lead_known_at, outcome`` ('open', 'won', 'lost',
        'joined', 'unknown'), ``ended_at, end_known_at, amount`` (float64; null where nobody wrote one down),
        ``won_deals_count, closed_before_created`` (by more than its day: entered after the fact).
    """
    spells = open_spells(tables)
    spells = spells.filter(point_in_time.known_by(spells.known_from, known_at))
    ended = spells.group_by("lead_id", "episode").agg(
        moment=spells.known_until.max(), started_at=spells.episode_started_at.max()
    )
    last = ended.episode.max().over(ibis.window(group_by="lead_id"))
    ended = ended.mutate(last=last)
    earlier = ended.filter(ended.episode < ended["last"]).drop("last")
    earlier = _outcomes_at(tables, earlier, amount_window_days)
    return standings(tables, known_at, amount_window_days).union(earlier)


def _outcomes_at(tables: Tables, moments: ir.Table, amount_window_days: int) -> ir.Table:
    """Say how leads stood, each at a moment of its own (``lead_id, episode, started_at, moment``)."""
    keys = ["lead_id", "episode"]
    moments = moments.mutate(moment=moments.moment.cast(TIME))
    deals, closings = _facts(tables)
    when = moments.select(*keys, "moment")
    closings = closings.join(when, "lead_id")
    closings = closings.filter(point_in_time.current_at(closings, closings.moment))
    by_status = closings.group_by(keys).agg(
        reopened_count=(closings.outcome == "reopened").sum(),
        status_lost_at=closings.closed_at.min(where=closings.outcome == "lost"),
        status_lost_known_at=closings.known_from.min(where=closings.outcome == "lost"),
        lead_unknown_at=closings.closed_at.min(where=closings.outcome.isin(WITHOUT_DEAL)),
        lead_unknown_known_at=closings.known_from.min(where=closings.outcome.isin(WITHOUT_DEAL)),
        unreadable_count=(closings.outcome == "unknown").sum(),
    )
    deals = deals.join(when, "lead_id")
    deals = deals.filter(point_in_time.current_at(deals, deals.moment))
    won, lost, unknown = (deals.outcome == word for word in ("won", "lost", "unknown"))
    by_deals = deals.group_by(keys).agg(
        won_at=deals.closed_at.min(where=won),
        won_deals_count=won.sum(),
        lost_deals_count=lost.sum(),
        open_deals_count=(deals.outcome == "open").sum(),
        deals_lost_at=deals.closed_at.max(where=lost),
        deals_lost_known_at=deals.known_from.max(where=lost),
        deal_unknown_at=deals.closed_at.min(where=unknown),
        deal_unknown_known_at=deals.known_from.min(where=unknown),
    )
    won_deals = deals.filter(won).select(*keys, "closed_at", "amount", "known_from")
    won_deals = won_deals.join(by_deals.select(*keys, "won_at"), keys)
    in_window = won_deals.closed_at <= won_deals.won_at + ibis.interval(days=amount_window_days)
    amounts = won_deals.group_by(keys).agg(
        amount=won_deals.amount.sum(where=in_window).cast("float64"),
        won_known_at=won_deals.known_from.min(where=won_deals.closed_at == won_deals.won_at),
    )
    leads = tables.leads.select(
        "lead_id", "account_id", "owner_id", "created_at", lead_known_at="known_at",
    )  # fmt: skip
    state = moments.join(leads, "lead_id")
    state = as_they_were(state, tables, "leads", "lead_id", as_of="moment")
    for facts in (by_deals, by_status, amounts):
        state = state.left_join(facts, keys).drop("lead_id_right", "episode_right")
    never = point_in_time.instant(point_in_time.NEVER)
    is_reopened = ibis.coalesce(state.reopened_count, 0) > 0
    state = state.mutate(status_lost_at=ibis.ifelse(is_reopened, ibis.null(TIME), state.status_lost_at))
    lost_by_deals = (ibis.coalesce(state.lost_deals_count, 0) > 0) & (state.open_deals_count == 0)
    deals_lost_at = ibis.ifelse(lost_by_deals, state.deals_lost_at, never)
    lost_at = ibis.least(ibis.coalesce(state.status_lost_at, never), deals_lost_at)
    unknown_at = ibis.least(ibis.coalesce(state.lead_unknown_at, never), ibis.coalesce(state.deal_unknown_at, never))
    state = state.mutate(lost_at=lost_at, unknown_at=unknown_at)
    # Whose deal another lead's is has no end of its own, whatever is said of it besides.
    is_joined = (ibis.coalesce(state.unreadable_count, 0) == 0) & (state.lead_unknown_at < never)
    is_joined &= state.deal_unknown_at.isnull()
    outcome = ibis.cases(
        (state.won_at.notnull(), "won"), (is_joined, "joined"), (state.unknown_at < never, "unknown"),
        (state.lost_at < never, "lost"), else_="open",
    )  # fmt: skip
    lost_known_at = ibis.ifelse(
        state.status_lost_at == state.lost_at, state.status_lost_known_at, state.deals_lost_known_at
    )
    unknown_known_at = ibis.ifelse(
        state.lead_unknown_at == state.unknown_at, state.lead_unknown_known_at, state.deal_unknown_known_at
    )
    state = state.mutate(outcome=outcome)
    ended_at = ibis.cases(
        (state.outcome == "won", state.won_at),
        (state.outcome.isin(WITHOUT_DEAL), state.unknown_at),
        (state.outcome == "lost", state.lost_at),
    )
    end_known_at = ibis.cases(
        (state.outcome == "won", state.won_known_at),
        (state.outcome.isin(WITHOUT_DEAL), unknown_known_at),
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
        episode=state.episode.cast("int64"),
        episode_started_at=state.started_at,
        amount=ibis.ifelse(state.outcome == "won", state.amount, ibis.null("float64")),
        won_deals_count=ibis.coalesce(state.won_deals_count, 0).cast("int64"),
        # A date without a time stands at its day's end: closed on the day of creation is less than a day before it.
        closed_before_created=ibis.coalesce(point_in_time.days_between(state.ended_at, state.created_at) >= 1, False),
    )


def open_spells(tables: Tables) -> ir.Table:
    """Give the times over which a lead was seen open: what a scoring job, run every instant, would have seen.

    Returns
    -------
    ibis table
        ``lead_id, episode, episode_started_at, created_at, known_from, known_until`` (`clock.NEVER` while it is still
        open), ``outcome`` (how it was seen to end: 'won', 'lost', 'unknown'; 'open' while it has not). A lead never
        seen open has no row; one whose records were corrected may have several in one episode.
    """
    return tables.memoize("open_spells", lambda: _open_spells(tables))


def _open_spells(tables: Tables) -> ir.Table:
    leads = tables.leads
    deals, closings = _facts(tables)
    deals = deals.filter(deals.known_from < deals.known_until)
    never, zero = point_in_time.instant(point_in_time.NEVER), ibis.literal(0, "int64")
    counts = ("won", "open", "lost", "unknown", "status_lost", "reopened")
    of_deals = deals.select(
        "lead_id",
        "known_from",
        "known_until",
        **{word: (deals.outcome == word).cast("int64") for word in ("won", "open", "lost", "unknown")},
        status_lost=zero,
        reopened=zero,
    )
    of_leads = closings.select(
        "lead_id",
        "known_from",
        "known_until",
        won=zero,
        open=zero,
        lost=zero,
        unknown=closings.outcome.isin(WITHOUT_DEAL).cast("int64"),
        status_lost=(closings.outcome == "lost").cast("int64"),
        reopened=(closings.outcome == "reopened").cast("int64"),
    )
    signs = of_deals.union(of_leads.select(of_deals.columns))
    starts = signs.select("lead_id", *counts, at="known_from", known=zero)
    ends = signs.filter(signs.known_until < never)
    ends = ends.select("lead_id", *((-ends[name]).name(name) for name in counts), at="known_until", known=zero)
    births = leads.select("lead_id", **dict.fromkeys(counts, zero), at="known_at", known=ibis.literal(1, "int64"))
    changes = starts.union(ends.select(starts.columns), births.select(starts.columns))
    names = [*counts, "known"]
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
        known_until=ibis.coalesce(turns["at"].lead().over(in_order), never),
        outcome=ibis.coalesce(turns.state.lead().over(in_order), "open"),
        reopens=ibis.coalesce((turns.before == "lost") & (turns.state == "open"), False).cast("int64"),
    )
    turns = turns.filter(turns.state == "open")
    turns = turns.mutate(episode=(turns.reopens.sum().over(so_far) + 1).cast("int64"))
    started_at = turns["at"].min().over(ibis.window(group_by=["lead_id", "episode"]))
    turns = turns.mutate(episode_started_at=started_at)
    return turns.join(leads.select("lead_id", "created_at"), "lead_id").select(
        "lead_id", "created_at", "known_until", "outcome", "episode", "episode_started_at", known_from="at"
    )
