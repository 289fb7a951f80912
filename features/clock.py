"""The one time rule: a fact may be used at ``as_of`` only if it was known by then.

Nothing outside this module compares a fact's date with ``as_of``. A fact is known from the instant it was recorded, or,
where that was not written down, from the instant it happened; and never before it happened: a closing date in the
future closes nothing yet.

Facts that change come as *versions*. Each version holds over a *span* [``known_from``, ``known_until``): from the
instant it became known until the next version of the same thing did. Whatever is learnt after ``as_of`` moves an
upper end that lies after ``as_of`` anyway, so that it cannot change what was current at ``as_of``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import ibis
import ibis.expr.types as ir

from features.tables import MONEY, TIME, Tables

ALWAYS = datetime(1900, 1, 1)
"""Known since ever: for facts without any date."""
NEVER = datetime(2200, 1, 1)
"""The upper end of a span that nothing has ended yet."""
MICROSECONDS_PER_DAY = 86_400_000_000


def instant(moment: datetime | ir.TimestampValue) -> ir.TimestampValue:
    """Give a moment as a timestamp in UTC without a zone.

    Parameters
    ----------
    moment : datetime or ibis timestamp
        A datetime with a zone is converted; one without is taken as UTC.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return ibis.literal(moment, TIME)
    return moment


def known_by(known_at: ir.TimestampValue, as_of: datetime | ir.TimestampValue) -> ir.BooleanValue:
    """Say whether a fact that became known at ``known_at`` (null: always known) may be used at ``as_of``."""
    return ibis.coalesce(known_at, instant(ALWAYS)) <= instant(as_of)


def current_at(versions: ir.Table, as_of: datetime | ir.TimestampValue) -> ir.BooleanValue:
    """Say which rows of ``versions`` (with ``known_from`` and ``known_until``) were the known ones at ``as_of``."""
    return (versions.known_from <= instant(as_of)) & (instant(as_of) < versions.known_until)


def microseconds_between(earlier: ir.TimestampValue, later: datetime | ir.TimestampValue) -> ir.IntegerValue:
    """Whole microseconds from ``earlier`` to ``later``; an integer, so that sums of it are the same in any order."""
    return instant(later).delta(earlier, unit="microsecond")


def days_between(earlier: ir.TimestampValue, later: datetime | ir.TimestampValue) -> ir.FloatingValue:
    """Days, with their fraction, from ``earlier`` to ``later``."""
    return microseconds_between(earlier, later).cast("float64") / MICROSECONDS_PER_DAY


def spans(versions: ir.Table, keys: Sequence[str], ties: Sequence[str]) -> ir.Table:
    """Give each version the span over which it was the latest one known.

    Parameters
    ----------
    versions : ibis table
        With ``known_from`` (null: always known).
    keys : sequence of str
        The columns that name the thing a row is a version of.
    ties : sequence of str
        Columns that put versions known at the same instant in order; the last one holds, the others over no time at
        all.

    Returns
    -------
    ibis table
        ``versions`` with ``known_from`` (never null) and ``known_until`` (`NEVER` for the last version).
    """
    versions = versions.mutate(known_from=ibis.coalesce(versions.known_from, instant(ALWAYS)))
    order = [versions.known_from.asc(), *(versions[name].asc(nulls_first=True) for name in ties)]
    following = versions.known_from.lead().over(ibis.window(group_by=list(keys), order_by=order))
    return versions.mutate(known_until=ibis.coalesce(following, instant(NEVER)))


def deal_versions(tables: Tables) -> ir.Table:
    """Give what was known of each deal, and over which span.

    A row with ``recorded_at`` is one version, known from then on (a closing: not before ``closed_at``). A row without
    tells only two things at their dates: that the deal was opened, and how it closed. What it says of a deal while
    that is open (amount, stage, planned date) may have been written at any time, and is therefore left out.

    Returns
    -------
    ibis table
        ``deal_id, system, lead_id, account_id, outcome, opened_at, closed_at, amount, product, stage,
        expected_close_at, owner_id, kind, has_history, known_from, known_until``.
    """
    deals = tables.deals
    ended = deals.outcome != "open"
    dated = deals.recorded_at.notnull()
    common = ("deal_id", "system", "lead_id", "account_id", "opened_at", "product", "owner_id", "kind")
    closed_at = ibis.ifelse(ended, ibis.coalesce(deals.closed_at, deals.recorded_at), ibis.null(TIME))
    as_written = deals.filter(dated | ended).select(
        *common,
        "outcome",
        "amount",
        "stage",
        "expected_close_at",
        closed_at=closed_at,
        has_history=dated,
        known_from=ibis.greatest(deals.recorded_at, closed_at),
    )
    opening = deals.filter(~dated & (~ended | deals.opened_at.notnull())).select(
        *common,
        outcome=ibis.literal("open", "string"),
        amount=ibis.null(MONEY),
        stage=ibis.null("string"),
        expected_close_at=ibis.null(TIME),
        closed_at=ibis.null(TIME),
        has_history=ibis.literal(False),
        known_from=ibis.ifelse(ended, ibis.least(deals.opened_at, deals.closed_at), deals.opened_at),
    )
    versions = as_written.union(opening.select(as_written.columns))
    return spans(versions, ["deal_id", "system"], ["closed_at", "outcome", "amount"])


def account_versions(tables: Tables) -> ir.Table:
    """Give what was known of each company, and over which span: its rows by ``valid_from``, each from ``known_at`` on.

    A version that became known late, after a newer one, never takes the newer one's place.
    """
    accounts = tables.accounts.rename(known_from="known_at")
    start = ibis.coalesce(accounts.valid_from, instant(ALWAYS))
    newest = start.max().over(
        ibis.window(
            group_by="account_id",
            order_by=[ibis.coalesce(accounts.known_from, instant(ALWAYS)).asc(), start.asc()],
            rows=(None, 0),
        )
    )
    accounts = accounts.mutate(starts_at=start, newest_start=newest)
    accounts = accounts.filter(accounts.starts_at == accounts.newest_start)
    ties = ["starts_at", *tables.present.get("accounts", frozenset()) & {"employees", "annual_revenue", "industry"}]
    return spans(accounts, ["account_id"], sorted(ties)).drop("starts_at", "newest_start")


def happened_events(tables: Tables) -> ir.Table:
    """Give the events with ``visible_at``: when each was known *and* had happened (a planned call is no call yet)."""
    events = tables.events
    return events.mutate(visible_at=ibis.greatest(events.known_at, events.occurred_at))


def seen(snapshots: ir.Table, happened: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Pair each snapshot with what had happened to its lead, and was known, by its ``as_of``.

    Parameters
    ----------
    snapshots : ibis table
        With `keys`, ``lead_id`` and ``as_of`` among them.
    happened : ibis table
        ``lead_id, visible_at, occurred_at`` and more.
    keys : sequence of str

    Returns
    -------
    ibis table
        `keys`, the other columns of `happened`, and ``age``: whole microseconds from ``occurred_at`` to ``as_of``.
    """
    dates = snapshots.select(*keys)
    pairs = dates.join(happened, ["lead_id", dates.as_of >= happened.visible_at])
    return pairs.mutate(age=microseconds_between(pairs.occurred_at, pairs.as_of)).drop("occurred_at", "visible_at")


def within_days(
    visible_at: ir.TimestampValue, occurred_at: ir.TimestampValue, as_of: ir.TimestampValue, days: int
) -> ir.BooleanValue:
    """Say whether something that was known by ``as_of`` happened within so many days before it."""
    return known_by(visible_at, as_of) & (microseconds_between(occurred_at, as_of) < days * MICROSECONDS_PER_DAY)


def closing_dates(tables: Tables) -> ir.Table:
    """Give the closings that say how a lead itself ended, each with the instant from which that was known.

    Returns
    -------
    ibis table
        ``lead_id, outcome`` ('lost' by its status, 'unknown' where nobody can read it), ``closed_at, known_from``.
    """
    leads = tables.leads
    lost = leads.filter((leads.status == "lost") & leads.closed_at.notnull()).select(
        "lead_id",
        "closed_at",
        outcome=ibis.literal("lost", "string"),
        known_from=ibis.greatest(leads.closed_at, leads.known_at),
    )
    closings = tables.closings
    unknown = closings.select(
        "lead_id",
        "closed_at",
        outcome=ibis.literal("unknown", "string"),
        known_from=ibis.greatest(closings.closed_at, closings.known_at),
    )
    return lost.union(unknown)
