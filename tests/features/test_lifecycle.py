"""The lives of leads, beside a slow and obvious telling of the same rules."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pytest
from random_company import random_frames, random_tables, to_tables

from features import lifecycle, point_in_time

DATES = [datetime(2023, 4, 1), datetime(2023, 8, 15, 12, 30), datetime(2024, 1, 10), datetime(2024, 6, 1)]


def known_deals(frames: dict[str, pd.DataFrame], as_of: datetime) -> list[dict]:
    """What was known of each deal, by going through the rows one at a time."""
    deals: dict[str, tuple] = {}
    for row in frames["deals"].to_dict("records"):
        facts = []
        closed = row["outcome"] != "open"
        if pd.notna(row["recorded_at"]):
            since = max(row["recorded_at"], row["closed_at"]) if closed else row["recorded_at"]
            facts.append((since, row))
        else:
            blank = {**row, "outcome": "open", "amount": None, "closed_at": None}
            if pd.notna(row["opened_at"]):
                facts.append((min(row["opened_at"], row["closed_at"]) if closed else row["opened_at"], blank))
            elif not closed:
                facts.append((point_in_time.ALWAYS, blank))
            if closed:
                facts.append((row["closed_at"], row))
        for since, fact in facts:
            if since <= as_of:
                order = (since, pd.notna(fact["closed_at"]))
                if row["deal_id"] not in deals or order >= deals[row["deal_id"]][0]:
                    deals[row["deal_id"]] = (order, {**fact, "known_from": since})
    return [fact for _, fact in deals.values()]


def slow_outcomes(frames: dict[str, pd.DataFrame], as_of: datetime) -> dict[str, tuple]:
    """(outcome, ended_at, amount) of each lead known at a date."""
    leads = {row["lead_id"]: row for row in frames["leads"].to_dict("records") if row["known_at"] <= as_of}
    of_lead: dict[str, list[dict]] = {lead_id: [] for lead_id in leads}
    for deal in known_deals(frames, as_of):
        lead_id = deal["lead_id"]
        if pd.isna(lead_id):
            began = deal["opened_at"] if pd.notna(deal["opened_at"]) else deal["closed_at"]
            same = [x for x in leads.values() if x["account_id"] == deal["account_id"] and pd.notna(began)]
            same = [x for x in same if x["created_at"] <= began]
            if not same:
                continue
            lead_id = max(same, key=lambda x: (x["created_at"], x["lead_id"]))["lead_id"]
        if lead_id in of_lead:
            of_lead[lead_id].append(deal)
    unknown: dict[str, datetime] = {}
    for row in frames["closings"].to_dict("records"):
        if max(row["known_at"], row["closed_at"]) <= as_of:
            unknown[row["lead_id"]] = min(unknown.get(row["lead_id"], point_in_time.NEVER), row["closed_at"])
    found = {}
    for lead_id, lead in leads.items():
        deals = of_lead[lead_id]
        won = [deal for deal in deals if deal["outcome"] == "won"]
        ends = []
        if lead["status"] == "lost" and pd.notna(lead["closed_at"]) and lead["closed_at"] <= as_of:
            reopened = any(pd.notna(d["opened_at"]) and d["opened_at"] > lead["closed_at"] for d in deals)
            if not reopened:
                ends.append(lead["closed_at"])
        if deals and all(deal["outcome"] == "lost" for deal in deals):
            ends.append(max(deal["closed_at"] for deal in deals))
        if won:
            first = min(deal["closed_at"] for deal in won)
            amounts = [
                d["amount"] for d in won if d["closed_at"] <= first + timedelta(days=90) and pd.notna(d["amount"])
            ]
            found[lead_id] = ("won", first, round(sum(amounts), 4) if amounts else None)
        elif lead_id in unknown:
            found[lead_id] = ("unknown", unknown[lead_id], None)
        elif ends:
            found[lead_id] = ("lost", min(ends), None)
        else:
            found[lead_id] = ("open", None, None)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_outcomes_follow_the_written_rules(seed: int) -> None:
    frames = random_frames(seed)
    tables = to_tables(frames)
    for as_of in DATES[seed % 2 :: 2]:
        rows = lifecycle.standings(tables, as_of).to_pandas()
        assert not rows.lead_id.duplicated().any()
        found = {
            row.lead_id: (
                row.outcome,
                None if pd.isna(row.ended_at) else row.ended_at.to_pydatetime(),
                None if pd.isna(row.amount) else round(row.amount, 4),
            )
            for row in rows.itertuples()
        }
        assert found == slow_outcomes(frames, as_of)
        ended = rows[rows.outcome != "open"]
        assert (ended.ended_at <= as_of).all()
        assert (ended.end_known_at <= as_of).all()
        assert (ended.end_known_at >= ended.ended_at).all()


@pytest.mark.parametrize("seed", range(4))
def test_open_spells_are_the_times_when_outcomes_say_open(seed: int) -> None:
    tables = random_tables(seed)
    spells = lifecycle.open_spells(tables)
    for as_of in DATES:
        seen = spells.filter(point_in_time.current_at(spells, as_of)).lead_id.to_pandas()
        rows = lifecycle.standings(tables, as_of).to_pandas()
        assert sorted(seen) == sorted(rows.lead_id[rows.outcome == "open"])


@pytest.mark.parametrize("seed", range(4))
def test_every_known_deal_has_a_lead_or_stands_in_its_own_line(seed: int) -> None:
    tables = random_tables(seed)
    as_of = DATES[2]
    versions = lifecycle.lead_deal_versions(tables)
    deals = versions.filter(point_in_time.current_at(versions, as_of)).to_pandas()
    left = lifecycle.unattached_deals(tables, as_of).to_pandas()
    leads = set(lifecycle.standings(tables, as_of).lead_id.to_pandas())
    assert sorted(deals.deal_id) == sorted([*left.deal_id, *deals.deal_id[deals.lead_id.isin(leads)]])
    won = deals[(deals.outcome == "won") & deals.lead_id.isin(leads)]
    counted = lifecycle.standings(tables, as_of).won_deals_count.sum().to_pandas()
    assert counted == len(won)


def test_a_lead_closed_on_its_day_took_no_time_and_one_closed_before_was_entered_late() -> None:
    frames = random_frames(0, leads_count=2, events_per_lead=0)
    day_end = datetime(2023, 5, 10, 23, 59, 59, 999_999)
    for column, value in {"created_at": day_end, "known_at": day_end, "status": "open", "closed_at": None}.items():
        frames["leads"][column] = value
    deal = {"outcome": "won", "amount": 10.0}
    frames["deals"] = pd.DataFrame([
        {**deal, "deal_id": "D1", "lead_id": "L0000", "closed_at": datetime(2023, 5, 10, 0, 30)},
        {**deal, "deal_id": "D2", "lead_id": "L0001", "closed_at": datetime(2023, 5, 9, 23, 30)},
    ]).reindex(columns=frames["deals"].columns)  # fmt: skip
    frames["closings"] = frames["closings"].iloc[:0]
    rows = lifecycle.standings(to_tables(frames), DATES[2]).to_pandas().set_index("lead_id")
    assert rows.closed_before_created.to_dict() == {"L0000": False, "L0001": True}
