"""What real exports hold: the same company, as two systems with people in between write it down.

The clean records of a territory are corrupted, and every row that was touched is noted, so that a loader can be held to
it. No row of a table is corrupted in two ways (*lost_by_status* spoils nothing, *pushed* adds to *planned_close*).
`pipeline.simulation.field_histories` then adds what a CRM keeps beside its rows, and
`pipeline.simulation.crm_exports` gives the second system its own ids and writes both down.

- Leads of the source ``call_centre`` live in a second system, with their accounts, deals and events; those of people
  whom the CRM has had a lead of within `REMEMBERED_DAYS` are entered there.
- *same_person*: some who came by the web also ring up, and the call centre opens a record of its own, spelt its own way
  (`pipeline.simulation.typos`), with no account, and the calls that follow. Nobody ever closes it.
- *shared_contact*: the company's mailbox or switchboard, or a placeholder, stands for the person's own.
- Dates: *broken_date* (no such day, or no date at all), *date_only* (the time is missing).
- Ids: *duplicate* (a row exported twice), *orphan* (points at a row that is not there), *found_by_account* (a deal
  without its lead, whose account has just that one lead), *deal_without_lead* (of a company that never was a lead).
- Deals: *unknown_outcome* (closed, nobody can read how), *planned_close* (open, with its planned date in the column of
  the closing date), *split_deal* (one purchase booked as two deals within 60 days, the amounts adding up to the cent),
  *closed_on_arrival* (the lead entered minutes before it was closed), *entered_after_closing* (days after it).
- Leads: *lost_by_status* (no deal at all), *reopened* (a first deal was lost before the one that counts was opened),
  *placeholder* in an account's industry ("Select").
- Columns that know the future: ``contract_number`` (written only when won), ``lifecycle`` (overwritten at the end),
  ``activity_count`` (a roll-up that keeps counting, after the end as well).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.simulation.corruption import CALL_CENTRE, CRM, KEYS, KNOWN_UNTIL, CorruptedTables
from pipeline.simulation.crm_records import Records
from pipeline.simulation.field_histories import tell_histories
from pipeline.simulation.typos import shared_contacts, write_again

BROKEN_DATES = ["2024-02-31", "0000-00-00", "31.13.2024", "2025-00-10", "n/a?", "next week"]
UNREADABLE_OUTCOMES = ["On hold (legal)", "???", "Merged", "see notes"]
REMEMBERED_DAYS = 180
HAPPENED = {"leads": "created_at", "deals": "closed_at", "events": "occurred_at"}


def spoil(rng: np.random.Generator, records: Records) -> CorruptedTables:
    """Spoil a territory's records, which are not changed.

    Parameters
    ----------
    rng : numpy Generator
        Apart from the one that drew the territory: the company under the mess stays the same.
    records : Records
    """
    tables = {name: table.assign(system=CRM, date_as=None) for name, table in vars(records).items()}
    corrupted = CorruptedTables(rng, tables)
    _write_leaks(corrupted)
    _enter_late(corrupted)
    _reopen(corrupted)
    _split(corrupted)
    _plan(corrupted)
    _move_to_second_system(corrupted)
    _ring_up(corrupted)
    _share_contacts(corrupted)
    _lose_leads_of_deals(corrupted)
    _blur_outcomes(corrupted)
    _blur_dates(corrupted)
    _point_nowhere(corrupted)
    _repeat(corrupted)
    tell_histories(corrupted)
    leads = corrupted.tables["leads"]
    by_status = (leads["status"] == "lost") & ~leads["lead_id"].isin(records.deals["lead_id"])
    corrupted.note("leads", leads.loc[by_status, "lead_id"].drop_duplicates(), "lost_by_status")
    return corrupted


def _write_leaks(corrupted: CorruptedTables) -> None:
    leads, deals, events = (corrupted.tables[name] for name in ("leads", "deals", "events"))
    won = leads["lead_id"].isin(deals.loc[deals["outcome"] == "won", "lead_id"])
    leads["contract_number"] = ("V-" + leads["lead_id"].str[1:]).where(won, None)
    leads["lifecycle"] = np.where(won, "customer", np.where(leads["status"] == "lost", "archived", "prospect"))
    counted = leads["lead_id"].map(events["lead_id"].value_counts()).fillna(0).astype(np.int64)
    leads["activity_count"] = counted + np.where(won, corrupted.rng.poisson(15, len(leads)), 0)


def _enter_late(corrupted: CorruptedTables) -> None:
    leads, deals = corrupted.tables["leads"], corrupted.tables["deals"]
    closings = deals[deals["outcome"] != "open"].set_index("lead_id")["closed_at"]
    closed = leads["lead_id"].map(closings)
    early = (closed < KNOWN_UNTIL - pd.Timedelta(days=10)).to_numpy()
    arrival = corrupted.take("leads", 0.004, early)
    # Nothing closes within an hour of midnight.
    leads.loc[arrival, "created_at"] = closed[arrival] - pd.Timedelta(minutes=20)
    corrupted.note("leads", leads.loc[arrival, "lead_id"], "closed_on_arrival")
    at = deals.index[deals["lead_id"].isin(leads.loc[arrival, "lead_id"])]
    deals.loc[at, "opened_at"] = deals.loc[at, "closed_at"] - pd.Timedelta(minutes=10)
    late = corrupted.take("leads", 0.003, early)
    days = pd.to_timedelta(corrupted.rng.integers(1, 6, len(late)), unit="D")
    leads.loc[late, "created_at"] = closed[late] + days
    corrupted.note("leads", leads.loc[late, "lead_id"], "entered_after_closing")
    corrupted.touched["deals"] = set(deals.loc[deals["lead_id"].isin(corrupted.touched["leads"]), "deal_id"])


def _reopen(corrupted: CorruptedTables) -> None:
    leads, deals = corrupted.tables["leads"], corrupted.tables["deals"]
    waited = leads["lead_id"].map(deals.set_index("lead_id")["opened_at"]) - leads["created_at"]
    chosen = corrupted.take("leads", 0.01, waited > pd.Timedelta(days=45))
    corrupted.note("leads", leads.loc[chosen, "lead_id"], "reopened")
    first = deals[deals["lead_id"].isin(leads.loc[chosen, "lead_id"])].copy()
    created = first["lead_id"].map(leads.set_index("lead_id")["created_at"])
    wait = first["opened_at"] - created
    first["deal_id"] = "DF" + first["deal_id"].str[1:]
    first["opened_at"] = (created + wait * 0.2).dt.round("s")
    first["closed_at"] = (created + wait * corrupted.rng.uniform(0.4, 0.7, len(first))).dt.round("s")
    first["outcome"], first["stage"], first["amount"] = "lost", "closed lost", np.nan
    # The two deals belong together, so neither is corrupted further.
    corrupted.touched["deals"].update(first["deal_id"], "D" + first["deal_id"].str[2:])
    corrupted.add("deals", first)


def _split(corrupted: CorruptedTables) -> None:
    deals = corrupted.tables["deals"]
    settled = (deals["outcome"] == "won") & (deals["closed_at"] < KNOWN_UNTIL - pd.Timedelta(days=61))
    chosen = corrupted.take("deals", 0.02, settled)
    second = deals.loc[chosen].copy()
    cents = (deals.loc[chosen, "amount"] * 100).round().astype(np.int64)
    part = (cents * corrupted.rng.uniform(0.2, 0.6, len(chosen))).astype(np.int64)
    deals.loc[chosen, "amount"] = (cents - part) / 100
    second["amount"] = part / 100
    second["deal_id"] = "DS" + second["deal_id"].str[1:]
    second["opened_at"] = deals.loc[chosen, "closed_at"]
    second["closed_at"] += pd.to_timedelta(corrupted.rng.integers(1, 60, len(chosen)), unit="D")
    corrupted.note("deals", pd.concat([deals.loc[chosen, "deal_id"], second["deal_id"]]), "split_deal")
    corrupted.add("deals", second)


def _plan(corrupted: CorruptedTables) -> None:
    deals = corrupted.tables["deals"]
    planned = (deals["outcome"] == "open") & deals["expected_close_at"].notna()
    deals.loc[planned, "closed_at"] = deals.loc[planned, "expected_close_at"]
    corrupted.note("deals", deals.loc[planned, "deal_id"], "planned_close")
    corrupted.tables["deals"] = deals.drop(columns="expected_close_at")


def _move_to_second_system(corrupted: CorruptedTables) -> None:
    leads, accounts = corrupted.tables["leads"], corrupted.tables["accounts"]
    leads.loc[(leads["source"] == CALL_CENTRE) & ~_is_return(leads), "system"] = CALL_CENTRE
    system = leads.set_index("lead_id")["system"]
    for name in ("deals", "events"):
        corrupted.tables[name]["system"] = corrupted.tables[name]["lead_id"].map(system)
    there = accounts["account_id"].isin(leads.loc[leads["system"] == CALL_CENTRE, "account_id"])
    here = accounts["account_id"].isin(leads.loc[leads["system"] == CRM, "account_id"])
    copies = accounts[there].assign(system=CALL_CENTRE)
    kept = accounts[here | ~there].reset_index(drop=True)
    chosen = kept.index[corrupted.rng.random(len(kept)) < 0.03]
    kept.loc[chosen, "industry"] = "Select"
    corrupted.tables["accounts"] = pd.concat([kept, copies], ignore_index=True)
    corrupted.note("accounts", kept.loc[chosen, "account_id"], "placeholder")


def _is_return(leads: pd.DataFrame) -> pd.Series:
    """Whether a lead's person has another lead within `REMEMBERED_DAYS`, before or after."""
    by_person = leads.sort_values(["contact_id", "created_at"]).groupby("contact_id")["created_at"]
    remembered = pd.Timedelta(days=REMEMBERED_DAYS)
    return ((by_person.diff() < remembered) | (by_person.diff(-1) > -remembered)).reindex(leads.index)


def _share_contacts(corrupted: CorruptedTables) -> None:
    leads = corrupted.tables["leads"]
    chosen = corrupted.take("leads", 0.05, leads["email"].notna() | leads["phone"].notna())
    shared = shared_contacts(corrupted.rng, leads.loc[chosen])
    leads.loc[chosen, shared.columns] = shared
    corrupted.note("leads", leads.loc[chosen, "lead_id"], "shared_contact")


def _ring_up(corrupted: CorruptedTables) -> None:
    leads, events = corrupted.tables["leads"], corrupted.tables["events"]
    end = leads["closed_at"].fillna(KNOWN_UNTIL)
    lasting = (end - leads["created_at"] > pd.Timedelta(days=25)) & (leads["system"] == CRM)
    reachable = leads["email"].notna() & leads["phone"].notna() & (leads["entry"] == "hand_raised")
    chosen = corrupted.take("leads", 0.04, lasting & reachable & ~_is_return(leads))
    twins = leads.loc[chosen].copy()
    twins["lead_id"] = "LT" + twins["lead_id"].str[1:]
    # Within three weeks, at an hour when people are at their desks.
    twins["created_at"] += pd.to_timedelta(corrupted.rng.integers(1, 22, len(chosen)), unit="D")
    spelt = write_again(corrupted.rng, twins)
    twins[spelt.columns] = spelt
    twins["source"], twins["system"], twins["status"] = CALL_CENTRE, CALL_CENTRE, "open"
    twins["activity_count"], twins["lifecycle"] = 1, "prospect"
    empty = [
        "account_id",
        "contact_id",
        "campaign",
        "landing_page",
        "product",
        "timeframe",
        "contract_number",
        "closed_at",
    ]
    twins[empty] = None
    twins["closed_at"] = pd.to_datetime(twins["closed_at"])
    corrupted.note("leads", twins["lead_id"], "same_person", leads.loc[chosen, "lead_id"])
    began = events["lead_id"].map(twins.set_index(leads.loc[chosen, "lead_id"])["created_at"])
    moved = (events["kind"] == "call_in") & (events["occurred_at"] >= began)
    events.loc[moved, "lead_id"] = "LT" + events.loc[moved, "lead_id"].str[1:]
    events.loc[moved, "system"] = CALL_CENTRE
    calls = pd.DataFrame(
        {"event_id": "ET" + twins["lead_id"].str[2:], "lead_id": twins["lead_id"], "occurred_at": twins["created_at"]}
    ).assign(kind="call_in", direction="inbound", channel="phone", system=CALL_CENTRE)
    corrupted.add("leads", twins)
    corrupted.add("events", calls.reindex(columns=events.columns))


def _lose_leads_of_deals(corrupted: CorruptedTables) -> None:
    leads, deals = corrupted.tables["leads"], corrupted.tables["deals"]
    only_one = leads.loc[~leads.duplicated(["system", "account_id"], keep=False), "lead_id"]
    chosen = corrupted.take("deals", 0.02, deals["lead_id"].isin(only_one) & ~deals.duplicated("lead_id", keep=False))
    corrupted.note("deals", deals.loc[chosen, "deal_id"], "found_by_account", deals.loc[chosen, "lead_id"])
    deals.loc[chosen, "lead_id"] = None
    closed = corrupted.take("deals", 0.01, (deals["outcome"] != "open") & (deals["system"] == CRM))
    strangers = deals.loc[closed].copy()
    strangers["deal_id"] = "DX" + strangers["deal_id"].str[1:]
    strangers["account_id"] = "AX" + strangers["deal_id"].str[2:]
    strangers["lead_id"] = None
    accounts = corrupted.tables["accounts"]
    companies = accounts[accounts["system"] == CRM].iloc[: len(strangers)].copy()
    companies["account_id"] = strangers["account_id"].to_numpy()[: len(companies)]
    corrupted.note("deals", strangers["deal_id"], "deal_without_lead")
    corrupted.add("accounts", companies)
    corrupted.add("deals", strangers)


def _blur_outcomes(corrupted: CorruptedTables) -> None:
    deals = corrupted.tables["deals"]
    chosen = corrupted.take("deals", 0.006, deals["outcome"] != "open")
    corrupted.note("deals", deals.loc[chosen, "deal_id"], "unknown_outcome", deals.loc[chosen, "lead_id"])
    deals.loc[chosen, "outcome"] = corrupted.rng.choice(np.array(UNREADABLE_OUTCOMES, dtype=object), len(chosen))


def _blur_dates(corrupted: CorruptedTables) -> None:
    for name, column in HAPPENED.items():
        table = corrupted.tables[name]
        dated = table[column].notna()
        broken = corrupted.take(name, 0.003, dated)
        table.loc[broken, "date_as"] = corrupted.rng.choice(np.array(BROKEN_DATES, dtype=object), len(broken))
        corrupted.note(name, table.loc[broken, KEYS[name]], "broken_date")
        day = corrupted.take(name, 0.1, dated & (table["system"] == CRM))
        table.loc[day, "date_as"] = "day"
        corrupted.note(name, table.loc[day, KEYS[name]], "date_only")


def _point_nowhere(corrupted: CorruptedTables) -> None:
    for name, column, share in (
        ("events", "lead_id", 0.004),
        ("deals", "lead_id", 0.003),
        ("leads", "account_id", 0.004),
    ):
        table = corrupted.tables[name]
        chosen = corrupted.take(name, share, table[column].notna())
        corrupted.note(name, table.loc[chosen, KEYS[name]], "orphan")
        table.loc[chosen, column] = table.loc[chosen, column].str[0] + "Z" + table.loc[chosen, column].str[1:]
        if name == "deals":
            table.loc[chosen, "account_id"] = None


def _repeat(corrupted: CorruptedTables) -> None:
    for name, share in (("leads", 0.004), ("deals", 0.005), ("events", 0.006)):
        table = corrupted.tables[name]
        chosen = corrupted.take(name, share)
        corrupted.note(name, table.loc[chosen, KEYS[name]], "duplicate")
        corrupted.tables[name] = pd.concat([table, table.loc[chosen]], ignore_index=True)
