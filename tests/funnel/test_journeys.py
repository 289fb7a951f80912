"""Leads on their way through the stages: dates, skipped stages, episodes, and sums that hold."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from company_files import load_company

from pipeline.common.errors import UserError
from pipeline.funnel.journeys import NOT_REACHED, journeys
from pipeline.funnel.stages import stages_of

LEADS = [
    {"lead_id": "won", "created_at": "2024-01-01 09:00", "status": "open", "closed_at": ""},
    {"lead_id": "lost", "created_at": "2024-01-02 09:00", "status": "lost", "closed_at": "2024-02-01 09:00"},
    {"lead_id": "open", "created_at": "2024-01-03 09:00", "status": "open", "closed_at": ""},
    {"lead_id": "again", "created_at": "2024-01-04 09:00", "status": "open", "closed_at": ""},
]
DEALS = [
    {"deal_id": "D1", "lead_id": "won", "outcome": "won", "opened_at": "2024-01-20 09:00",
     "closed_at": "2024-02-20 09:00", "amount": "100"},
    {"deal_id": "D2", "lead_id": "again", "outcome": "lost", "opened_at": "2024-01-10 09:00",
     "closed_at": "2024-01-20 09:00", "amount": ""},
    {"deal_id": "D3", "lead_id": "again", "outcome": "open", "opened_at": "2024-03-01 09:00", "closed_at": "",
     "amount": ""},
]  # fmt: skip
EVENTS = [
    {"lead_id": "won", "occurred_at": "2024-01-05 09:00", "kind": "call", "direction": "outbound"},
    {"lead_id": "won", "occurred_at": "2024-01-04 09:00", "kind": "visit", "direction": "inbound"},
    {"lead_id": "lost", "occurred_at": "2024-01-05 09:00", "kind": "visit", "direction": "inbound"},
    {"lead_id": "lost", "occurred_at": "2024-01-06 09:00", "kind": "call", "direction": "outbound"},
    {"lead_id": "lost", "occurred_at": "2024-01-07 09:00", "kind": "visit", "direction": "inbound"},
    {"lead_id": "lost", "occurred_at": "2024-03-07 09:00", "kind": "visit", "direction": "inbound"},
    {"lead_id": "open", "occurred_at": "2024-01-04 10:00", "kind": "visit", "direction": "inbound"},
    {"lead_id": "open", "occurred_at": "2024-03-01 10:00", "kind": "visit", "direction": "inbound"},
    {"lead_id": "open", "occurred_at": "2024-03-20 10:00", "kind": "visit", "direction": "inbound"},
]
AS_OF = datetime(2024, 4, 1)


def ways_of(tmp_path, as_of=AS_OF, **company):
    given = {"leads": LEADS, "deals": DEALS, "events": EVENTS, **company}
    return journeys(load_company(tmp_path, **given), as_of)


def days(ways, lead_id, episode=1):
    """The days of January 2024 (1 is the first; 32 is 1 February) on which a lead entered each stage."""
    row = np.flatnonzero((ways.frame["lead_id"] == lead_id) & (ways.frame["episode"] == episode))[0]
    start = np.datetime64("2023-12-31").astype("datetime64[us]").astype(np.int64)
    found = [None if at == NOT_REACHED else int((at - start) // 86_400_000_000) for at in ways.entered[row]]
    return dict(zip(ways.stages.names, found, strict=True)), dict(
        zip(ways.stages.names, ways.skipped[row].tolist(), strict=True)
    )


def test_default_stages_and_what_is_skipped(tmp_path):
    ways = ways_of(tmp_path)
    assert ways.stages.names == ("inquiry", "touched", "engaged", "opportunity", "won")
    reached, skipped = days(ways, "won")
    # The visit came before the touch, so nobody saw it engaged before the deal was opened.
    assert reached == {"inquiry": 1, "touched": 5, "engaged": 20, "opportunity": 20, "won": 51}
    assert [name for name, was in skipped.items() if was] == ["engaged"]
    assert days(ways, "lost")[0] == {"inquiry": 2, "touched": 6, "engaged": 7, "opportunity": None, "won": None}
    assert days(ways, "open")[0] == {"inquiry": 3, "touched": None, "engaged": None, "opportunity": None, "won": None}


def test_each_episode_goes_its_own_way(tmp_path):
    ways = ways_of(tmp_path)
    assert days(ways, "again", 1)[0]["opportunity"] == 10
    assert days(ways, "again", 2)[0] == {
        "inquiry": 61, "touched": 61, "engaged": 61, "opportunity": 61, "won": None,
    }  # fmt: skip
    outcomes = ways.frame.set_index(["lead_id", "episode"])["outcome"]
    assert outcomes["again", 1] == "lost"
    assert outcomes["again", 2] == "open"
    assert ways.frame["is_last"].sum() == len(LEADS)


RULES = {
    "came": {"created": True},
    "warm": {"any": [
        {"event": {"kind": "visit", "count": 2, "within_days": 30}},
        {"all": [{"event": {"kind": "call"}}, {"event": {"kind": "visit"}}]},
    ]},
    "deal": {"deal": "opened"},
    "bought": {"deal": "won"},
}  # fmt: skip


def test_rules_nest_and_count_within_a_window(tmp_path):
    ways = ways_of(tmp_path, stages=RULES)
    assert ways.stages.names == ("came", "warm", "deal", "bought")
    assert days(ways, "won")[0]["warm"] == 5  # a visit and a call
    assert days(ways, "lost")[0]["warm"] == 6
    assert days(ways, "open")[0]["warm"] == 80  # visits of 1 and 20 March: the earlier one lies 57 days before


def test_an_event_that_was_recorded_late_counts_from_then(tmp_path):
    events = [
        {"lead_id": "open", "occurred_at": f"2024-01-{day:02d} 10:00", "kind": "visit",
         "recorded_at": f"2024-{month}-{day:02d} 11:00"}
        for day, month in ((4, "01"), (5, "03"), (6, "01"))
    ]  # fmt: skip
    stages = {"came": {"created": True}, "warm": {"event": {"kind": "visit", "count": 2, "within_days": 5}},
              "hot": {"event": {"kind": "visit", "count": 3}}}  # fmt: skip
    ways = ways_of(tmp_path, events=events, stages=stages)
    assert days(ways, "open")[0] == {"came": 3, "warm": 6, "hot": 65}


def changes(*rows):
    return [
        {"table": "leads", "row_id": row[0], "field": row[1], "changed_at": row[2], "old_value": row[3],
         "new_value": row[4]}
        for row in rows
    ]  # fmt: skip


def test_a_field_is_dated_by_its_history_in_the_source_s_own_words(tmp_path):
    leads = [{**lead, "lifecycle": "Subscriber"} for lead in LEADS]
    leads[0] |= {"status": "Qualifiziert", "lifecycle": "MQL"}
    leads[2] |= {"status": "In Arbeit", "lifecycle": "mql "}
    history = changes(
        ("won", "status", "2024-01-08 09:00", "Neu", "In Arbeit"),
        ("won", "status", "2024-01-12 09:00", "In Arbeit", "Qualifiziert"),
        ("won", "lifecycle", "2024-01-03 09:00", "Subscriber", "MQL"),
    )
    stages = {
        "came": {"created": True},
        "mql": {"field": {"column": "lifecycle", "value": "MQL"}},
        "working": {"field": {"column": "status", "value": ["in arbeit"]}},
        "won": {"deal": "won"},
    }
    ways = ways_of(tmp_path, leads=leads, changes=history, stages=stages)
    assert days(ways, "won")[0] == {"came": 1, "mql": 3, "working": 8, "won": 51}
    assert days(ways, "open")[0] == {"came": 3, "mql": 3, "working": 3, "won": None}  # so since it was created
    assert days(ways, "lost")[0] == {"came": 2, "mql": None, "working": None, "won": None}


def test_a_column_of_dates_and_the_stage_of_a_deal(tmp_path):
    leads = [{**lead, "became_mql_at": "2024-01-10 12:00" if lead["lead_id"] != "open" else ""} for lead in LEADS]
    deals = [
        {"deal_id": "D1", "lead_id": "open", "outcome": "open", "opened_at": "2024-01-09 09:00", "closed_at": "",
         "stage": stage, "recorded_at": at}
        for stage, at in (("Call", "2024-01-09 09:00"), ("Proposal", "2024-01-15 09:00"))
    ]  # fmt: skip
    stages = {
        "came": {"created": True},
        "mql": {"date": "became_mql_at"},
        "offer": {"deal": {"stage": ["proposal", "negotiation"]}},
    }
    ways = ways_of(tmp_path, leads=leads, deals=deals, stages=stages)
    assert days(ways, "lost")[0] == {"came": 2, "mql": 10, "offer": None}
    assert days(ways, "open")[0] == {"came": 3, "mql": 15, "offer": 15}
    assert days(ways, "open")[1] == {"came": False, "mql": True, "offer": False}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"field": {"column": "status", "value": "open"}}, "stages.two.field: leads.status has no history"),
        ({"any": [{"created": True}, {"date": "status"}]}, "stages.two.any.1.date: leads.status does not hold dates"),
        ({"deal": {"stage": "Offer"}}, "stages.two.deal: deals have no column stage"),
        ({"field": {"column": "statsu", "value": "open"}}, "did you mean 'status'"),
        ({"score": {"grade": "A"}}, "stages.two.score: no forecast is archived yet"),
    ],
)
def test_a_rule_that_nothing_dates_is_refused_with_what_would(tmp_path, rule, said):
    with pytest.raises(UserError) as error:
        ways_of(tmp_path, stages={"one": {"created": True}, "two": rule})
    assert said in str(error.value)


def test_what_the_tables_do_not_date_is_absent_and_said_to_be(tmp_path):
    deals = [{key: value for key, value in deal.items() if key != "opened_at"} for deal in DEALS]
    stages = stages_of(load_company(tmp_path, leads=LEADS, deals=deals))
    assert stages.names == ("inquiry", "won")
    assert set(stages.absent) == {"touched", "engaged", "opportunity"}
    assert "opened_at" in stages.absent["opportunity"]


def test_a_won_lead_has_come_through_stages_that_nobody_saw(tmp_path):
    stages = {"came": {"created": True}, "demo": {"event": {"kind": "demo"}}, "offer": {"event": {"kind": "offer"}}}
    ways = ways_of(tmp_path, stages=stages)
    assert days(ways, "won")[0] == {"came": 1, "demo": 51, "offer": 51}
    assert days(ways, "won")[1] == {"came": False, "demo": True, "offer": True}
