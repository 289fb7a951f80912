"""What the point-in-time rule is applied to: histories as spans in which a value was known."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import ibis
import ibis.expr.types as ir

from features.point_in_time import ALWAYS, NEVER, instant, spans
from features.schema import MONEY, TIME, Tables


def change_spans(tables: Tables, table: str, field: str) -> ir.Table:
    """Give the values that a column went through, by its history in ``changes``, and the span over which each held.

    Before the first change that is known of a row, the value is that change's old one. A change learnt late, after a
    newer one, never takes the newer one's place.

    Returns
    -------
    ibis table
        ``row_id, value`` (text; see `as_they_were`), ``changed_at`` (null for what it was at first), ``known_from,
        known_until``; only rows that have changed.
    """
    changes = tables.changes
    changes = changes.filter((changes["table"] == table) & (changes.field == field))
    newest = changes.changed_at.max().over(
        ibis.window(
            group_by="row_id",
            order_by=[
                changes.known_at.asc(),
                changes.changed_at.asc(),
                changes.old_value.asc(),
                changes.new_value.asc(),
            ],
            rows=(None, 0),
        )
    )
    changes = changes.mutate(newest=newest)
    changes = changes.filter(changes.changed_at == changes.newest)
    after = changes.select("row_id", "changed_at", "old_value", value="new_value", known_from="known_at")
    in_order = ibis.window(
        group_by="row_id", order_by=[after.known_from, after.changed_at, after.old_value, after.value]
    )
    first = after.mutate(place=ibis.row_number().over(in_order))
    first = first.filter(first.place == 0)
    before = first.select(
        "row_id",
        "old_value",
        value="old_value",
        changed_at=ibis.null(TIME),
        known_from=instant(ALWAYS),
    )
    versions = after.union(before.select(after.columns))
    return spans(versions, ["row_id"], ["changed_at", "old_value", "value"]).drop("old_value")


def as_they_were(rows: ir.Table, tables: Tables, table: str, key: str, as_of: str = "as_of") -> ir.Table:
    """Put the columns of a table that have a history back to what was known of them at each row's own date.

    Parameters
    ----------
    rows : ibis table
        With `key`, the date `as_of`, and columns of the table under their own names, as they stand now.
    tables : Tables
    table : str
        ``leads``, ``deals`` or ``accounts``.
    key : str
        The column of `rows` that holds the table's id.
    as_of : str, default="as_of"
        The column of `rows` that holds the date.

    Returns
    -------
    ibis table
        `rows`, the same columns in the same order. A column without a history, and a row that never changed, stay as
        they are.
    """
    names = list(rows.columns)
    for field in sorted(tables.tracked(table) & set(names) - {key}):
        past = change_spans(tables, table, field)
        past = past.select(
            past_row="row_id", past_value=past.value.cast(rows[field].type()), past_from="known_from",
            past_until="known_until",
        )  # fmt: skip
        joined = rows.left_join(
            past,
            [rows[key] == past.past_row, past.past_from <= rows[as_of], rows[as_of] < past.past_until],
        )
        was = ibis.ifelse(joined.past_row.notnull(), joined.past_value, joined[field])
        rows = joined.mutate(**{field: was}).select(names)
    return rows


def as_they_were_first(rows: ir.Table, tables: Tables, table: str, key: str) -> ir.Table:
    """Put the columns of a table that have a history back to the first value known of them; see `as_they_were`."""
    names = list(rows.columns)
    dated = rows.mutate(first_date=instant(ALWAYS)) if tables.tracked(table) & set(names) else None
    return rows if dated is None else as_they_were(dated, tables, table, key, as_of="first_date").select(names)


DEAL_HISTORY = ("amount", "stage", "expected_close_at", "probability", "owner_id", "product", "kind", "outcome")
"""Columns of deals whose history in ``changes`` makes versions."""


def deal_versions(tables: Tables) -> ir.Table:
    """Give what was known of each deal, and over which span: the deals as known at any date.

    The deals as known at a date are ``versions.filter(current_at(versions, as_of))``, one row a deal; a deal's changes
    of amount or pushed dates by a date are its versions with ``known_from`` up to it, in that order
    (`lifecycle.lead_deal_versions` is the same with each deal's lead).

    What is said of an *open* deal may have been written at any time, so it is used only where its history is known.
    Either the deal comes in rows with ``recorded_at``, each a version from then on (a closing: not before
    ``closed_at``); or its columns have a history in ``changes``: then there is a version from its opening and one from
    each change (``stage`` may have a history and ``amount`` none), and an end is known since the change that tells it,
    whatever its closing date. Otherwise a row tells two things at their dates, that the deal was opened and how it
    closed, and amount, stage, probability and planned date are null while it is open.

    An amount is in the company's currency: of a closed deal at the rate of the closing date, of an open one at each
    date's own rate, so that a version ends where the rate does. ``written_amount`` is in the deal's own currency: it
    moves only when somebody changes it.

    Returns
    -------
    ibis table
        ``deal_id, system, lead_id, account_id, outcome`` ('open', 'won', 'lost', or 'unknown': closed, nobody can read
        how), ``opened_at, closed_at, amount, written_amount, product, stage, expected_close_at, probability, owner_id,
        kind, has_history, known_from, known_until``.
    """
    return tables.memoize("deal_versions", lambda: _deal_versions(tables))


def _deal_versions(tables: Tables) -> ir.Table:
    deals = _with_known_dates(tables.deals, tables)
    ended = deals.outcome != "open"
    dated = deals.recorded_at.notnull()
    tracked = tables.tracked("deals") & set(DEAL_HISTORY)
    common = ("deal_id", "system", "lead_id", "account_id", "opened_at", "product", "owner_id", "kind")
    closed_at = ibis.ifelse(ended, ibis.coalesce(deals.closed_at, deals.recorded_at), ibis.null(TIME))
    begun_at = ibis.ifelse(ended, ibis.least(deals.opened_at, deals.closed_at), deals.opened_at)
    money = ("currency", "is_foreign")
    as_written = deals.filter(dated | ended).select(
        *common,
        *money,
        "outcome",
        "amount",
        "written_amount",
        "stage",
        "expected_close_at",
        "probability",
        closed_at=closed_at,
        has_history=dated,
        known_from=ibis.greatest(deals.recorded_at, closed_at, deals.end_known_at, deals.row_known_at),
    )
    opening = deals.filter(~dated & (~ended | deals.opened_at.notnull())).select(
        *common,
        *money,
        outcome=ibis.literal("open", "string"),
        # The history of an amount is in the deal's own currency.
        amount=deals.written_amount if "amount" in tracked else ibis.null(MONEY),
        written_amount=ibis.null(MONEY),
        stage=deals.stage if "stage" in tracked else ibis.null("string"),
        expected_close_at=deals.expected_close_at if "expected_close_at" in tracked else ibis.null(TIME),
        probability=deals.probability if "probability" in tracked else ibis.null("float64"),
        closed_at=ibis.null(TIME),
        has_history=ibis.literal(bool(tracked)),
        known_from=ibis.greatest(begun_at, deals.row_known_at),
    )
    if tracked:
        opening = _through_changes(opening, as_written, tables, tracked)
    versions = as_written.union(opening.select(as_written.columns))
    versions = spans(versions, ["deal_id", "system"], ["closed_at", "outcome", "amount"])
    if tables.has("rates"):
        versions = _at_rates(versions, tables)
    return versions.drop(*money)


def _with_known_dates(deals: ir.Table, tables: Tables) -> ir.Table:
    """Add since when each deal's end is known (``end_known_at``), and the deal itself (null: no history says so)."""
    if not (known := tables.tracked("deals") & {"outcome", "recorded_at"}):
        return deals.mutate(end_known_at=ibis.null(TIME), row_known_at=ibis.null(TIME))
    changes = tables.changes.filter((tables.changes["table"] == "deals") & tables.changes.field.isin(sorted(known)))
    dates = changes.group_by("row_id").agg(
        turned_at=changes.known_at.max(where=changes.field == "outcome"),
        turned_to=changes.new_value.argmax(changes.known_at, where=changes.field == "outcome"),
        row_known_at=changes.known_at.min(where=changes.field == "recorded_at"),  # it was entered late
    )
    found = deals.left_join(dates, deals.deal_id == dates.row_id)
    is_end = (found.turned_to == found.outcome) & (found.outcome != "open") & found.recorded_at.isnull()
    return found.mutate(end_known_at=ibis.ifelse(is_end, found.turned_at, ibis.null(TIME)))


def _through_changes(opening: ir.Table, closing: ir.Table, tables: Tables, tracked: AbstractSet[str]) -> ir.Table:
    """Add to each deal's opening a version from each change of it before it closed, all as they were then."""
    changes = tables.changes
    changes = changes.filter((changes["table"] == "deals") & changes.field.isin(sorted(tracked)))
    last = changes.filter(changes.field == "outcome").group_by("row_id").agg(last_turn=ibis._.known_at.max())
    ends = closing.group_by("deal_id").agg(end=ibis._.known_from.min())
    moments = changes.select("row_id", moment="known_at").distinct()
    later = opening.join(moments, [opening.deal_id == moments.row_id]).drop("row_id")
    later = later.left_join(ends, "deal_id").drop("deal_id_right")
    start = ibis.coalesce(later.known_from, instant(ALWAYS))
    later = later.filter(later.moment > start, later.moment < ibis.coalesce(later.end, instant(NEVER)))
    later = later.mutate(known_from=later.moment).select(opening.columns)
    rows = opening.union(later).mutate(as_of=ibis.coalesce(ibis._.known_from, instant(ALWAYS)))
    rows = as_they_were(rows, tables, "deals", "deal_id")
    rows = rows.left_join(last, rows.deal_id == last.row_id).drop("row_id")
    rows = rows.mutate(outcome=ibis.coalesce(rows.outcome, "open"))
    # How it ended in the end is the row's own story, told at its closing date.
    rows = rows.filter((rows.outcome == "open") | (rows.as_of < rows.last_turn))
    in_money = ~ibis.coalesce(rows.is_foreign, False)
    return rows.mutate(
        written_amount=rows.amount,
        amount=ibis.ifelse(in_money, rows.amount, ibis.null(MONEY)),
        closed_at=ibis.ifelse(rows.outcome == "open", ibis.null(TIME), rows.as_of),
    ).drop("as_of", "last_turn")


def _at_rates(versions: ir.Table, tables: Tables) -> ir.Table:
    """Split the versions of open deals in another currency where its rate changes, each with the amount at its rate."""
    rates = tables.rates.select("currency", "rate", known_from="valid_from")
    # Before its first rate an amount in another currency is unknown.
    before = rates.select("currency").distinct()
    before = before.mutate(rate=ibis.null(rates.rate.type()), known_from=instant(ALWAYS)).select(rates.columns)
    rates = spans(rates.union(before), ["currency"], ["rate"])
    rates = rates.select(rate_currency="currency", rate="rate", rate_from="known_from", rate_until="known_until")
    abroad = ibis.coalesce(versions.is_foreign, False) & (versions.outcome == "open")
    pairs = versions.filter(abroad).left_join(
        rates,
        [
            versions.currency == rates.rate_currency,
            rates.rate_from < versions.known_until,
            versions.known_from < rates.rate_until,
        ],
    )
    split = pairs.mutate(
        # An engine may give a product no more digits than its factors have.
        amount=(pairs.written_amount.cast("decimal(38, 4)") * pairs.rate.cast("decimal(38, 10)")).round(2).cast(MONEY),
        known_from=ibis.coalesce(ibis.greatest(pairs.rate_from, pairs.known_from), pairs.known_from),
        known_until=ibis.coalesce(ibis.least(pairs.rate_until, pairs.known_until), pairs.known_until),
    )
    return versions.filter(~abroad).union(split.select(versions.columns))


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
    facts = sorted(set(accounts.columns) - {"account_id", "valid_from", "known_from", "starts_at", "newest_start"})
    return spans(accounts, ["account_id"], ["starts_at", *facts]).drop("starts_at", "newest_start")


def happened_events(tables: Tables, excluded_kinds: Sequence[str] = (), excluded_links: Sequence[str] = ()) -> ir.Table:
    """Give the events with ``visible_at``: when each was known *and* had happened (a planned call is no call yet).

    Parameters
    ----------
    tables : Tables
    excluded_kinds : sequence of str
        Kinds that may not be looked at.
    excluded_links : sequence of str
        Columns of leads that may not be looked at: events that found their lead by one of them are left out.
    """
    events = tables.events
    events = events.filter(events.kind.notin(list(excluded_kinds))) if excluded_kinds else events
    if excluded_links:
        events = events.filter(ibis.coalesce(events.found_by, "").notin(list(excluded_links)))
    return events.mutate(visible_at=ibis.greatest(events.known_at, events.occurred_at))


def closing_dates(tables: Tables) -> ir.Table:
    """Give the closings that say how a lead itself ended, each over the span in which that was known and stood.

    Returns
    -------
    ibis table
        ``lead_id, outcome`` ('lost' by its status, 'unknown' where nobody can read it, 'joined' where the lead is a
        further contact of another lead's deal), ``closed_at, known_from,
        known_until`` (`NEVER`, unless the history of the status says that the lead was taken up again).
    """
    leads = tables.leads
    lost = leads.filter((leads.status == "lost") & leads.closed_at.notnull()).select(
        "lead_id",
        "closed_at",
        outcome=ibis.literal("lost", "string"),
        known_from=ibis.greatest(leads.closed_at, leads.known_at),
        known_until=instant(NEVER),
    )
    if "status" in tables.tracked("leads"):
        past = change_spans(tables, "leads", "status")
        lost = lost.anti_join(past, lost.lead_id == past.row_id)
        past = past.filter(past["value"] == "lost", past.known_from < past.known_until)
        past = past.join(leads.select("lead_id", "known_at", last_closed_at="closed_at"), past.row_id == leads.lead_id)
        # The date that stands in the row is that of its last end.
        is_last = (past.known_until == instant(NEVER)) & past.last_closed_at.notnull()
        closed_at = ibis.ifelse(is_last, past.last_closed_at, ibis.coalesce(past.changed_at, past.known_at))
        past = past.mutate(closed_at=closed_at, outcome=ibis.literal("lost", "string"))
        past = past.mutate(known_from=ibis.greatest(past.known_from, past.closed_at, past.known_at))
        lost = lost.union(past.filter(past.known_from < past.known_until).select(lost.columns))
    closings = tables.closings
    unknown = closings.select(
        "lead_id",
        "closed_at",
        outcome=ibis.coalesce(closings.outcome, "unknown"),
        known_from=ibis.greatest(closings.closed_at, closings.known_at),
        known_until=instant(NEVER),
    )
    return lost.union(unknown)
