"""What sales did with the list: counted by hand, blind to the future, and quality told apart without favour."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from company_files import load_company
from html_checks import assert_alone
from random_company import random_frames, to_tables, with_another_future

from pipeline.archive.forecasts import Forecasts
from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.reporting.selection_page import render_selection, sentences
from pipeline.revenue.forecast_quality import quality, working_chance
from pipeline.revenue.selection import selection

AS_OF = datetime(2023, 11, 10)
NIGHT = datetime(2024, 3, 1)
LEADS = [{"lead_id": f"L{n}", "created_at": "2024-02-01 09:00", "owner_id": f"U{n % 2}"} for n in range(1, 7)]
DEALS = [
    {"deal_id": "1", "lead_id": "L1", "outcome": "won", "closed_at": "2024-03-20 09:00", "amount": "100.01"},
    {"deal_id": "2", "lead_id": "L4", "outcome": "won", "closed_at": "2024-03-21 09:00", "amount": "50.50"},
    {"deal_id": "3", "lead_id": "L5", "outcome": "won", "closed_at": "2024-06-30 09:00", "amount": "7.00"},
]
EVENTS = [
    {"lead_id": "L1", "occurred_at": "2024-03-02 09:00", "kind": "call", "direction": "outbound"},
    {"lead_id": "L1", "occurred_at": "2024-03-12 09:00", "kind": "call", "direction": "outbound"},
    {"lead_id": "L3", "occurred_at": "2024-02-20 09:00", "kind": "call", "direction": "outbound"},
    {"lead_id": "L4", "occurred_at": "2024-03-05 09:00", "kind": "mail", "direction": "outbound"},
    {"lead_id": "L2", "occurred_at": "2024-03-05 09:00", "kind": "visit", "direction": "inbound"},
]
GRADES = dict(zip([f"L{n}" for n in range(1, 7)], "AAADDC", strict=True))


def archived(folder, night, leads, grades, chances, money):
    """Seal a night's forecasts, made up."""
    Forecasts(folder).append(night.date(), {"scores": pa.table({
        "lead_id": leads, "episode": pa.array([1] * len(leads), pa.int64()),
        "as_of": pa.array([night] * len(leads), pa.timestamp("us")), "grade": grades,
        "account_id": pa.array([None] * len(leads), pa.string()), "owner_id": [f"U{n % 2}" for n in range(len(leads))],
        "p_win_90d": np.array(chances, float), "expected_revenue_90d": np.array(money, float),
    })}, {})  # fmt: skip


@pytest.fixture
def company(tmp_path):
    made = load_company(tmp_path, leads=LEADS, deals=DEALS, events=EVENTS, data={"known_until": "2024-08-01"})
    leads = list(GRADES)
    archived(made.params.archive_folder, NIGHT, leads, list(GRADES.values()), [0.5] * 6, [60, 50, 40, 30, 20, 10])
    upgraded = ["A"] * 6
    archived(
        made.params.archive_folder, NIGHT + timedelta(days=7), leads, upgraded, [0.9] * 6, [60, 50, 40, 30, 20, 10]
    )
    return made


def test_each_lead_counts_by_its_first_forecast(company):
    content = selection(company, datetime(2024, 4, 1))
    rows = {row["grade"]: row for row in content["grades"]}
    assert [rows[grade]["leads"] for grade in "ABCD"] == [3, 0, 1, 2]
    assert [rows[grade]["worked"] for grade in "ABCD"] == [1, 0, 0, 1]
    assert (rows["A"]["touches"], rows["A"]["won"], rows["A"]["revenue"]) == (round(2 / 3, 4), 1, 100.01)
    against = content["against_score"]
    assert (against["leads"], against["won"], against["revenue"]) == (1, 1, 50.5)
    assert [row["lead_id"] for row in against["examples"]] == ["L4"]
    assert (against["left"]["leads"], against["left"]["revenue_expected"]) == (2, 90.0)
    untouched = content["untouched"]  # of those still open by then
    assert (untouched["hot"], untouched["leads"], untouched["never_touched"]) == (4, 4, 3)
    assert untouched["revenue"] == 120.0 == sum(row["revenue"] for row in untouched["owners"])
    assert "worth €120" in sentences(content)[0]
    assert_alone(render_selection(content))


def test_what_comes_after_the_horizon_is_not_the_forecast_s(company):
    content = selection(company, datetime(2024, 8, 1))
    assert sum(row["won"] for row in content["grades"]) == 2
    assert content["quality"]["leads"] == 6
    assert content["quality"]["worked"] is None  # too few


def test_without_an_archive_it_is_said_what_makes_one(tmp_path):
    made = load_company(tmp_path, leads=LEADS, deals=DEALS, events=EVENTS)
    with pytest.raises(UserError, match="leadrev nightly"):
        selection(made, datetime(2024, 4, 1))


def test_without_touches_it_says_so(tmp_path):
    made = load_company(tmp_path, leads=LEADS, deals=DEALS)
    archived(made.params.archive_folder, NIGHT, ["L1"], ["A"], [0.5], [float("nan")])
    content = selection(made, datetime(2024, 4, 1))
    assert content["against_score"] is None
    assert "direction" in content["notes"][0]
    assert_alone(render_selection(content))


def test_nothing_learnt_later_changes_a_figure(tmp_path):
    frames = random_frames(4, leads_count=150)
    leads = frames["leads"]["lead_id"].tolist()
    contents = []
    for place, one in enumerate((frames, with_another_future(frames, 4, AS_OF))):
        params = Params.model_validate({
            "company": "random", "data": {"sources": {"leads": {"from": "x"}, "deals": {"from": "x"}}},
            "artifacts": str(tmp_path / str(place)),
        })  # fmt: skip
        for back in (200, 120, 30, -5):
            there = leads if back > -5 or place else leads[:3]
            draw = np.random.default_rng(back + 300)
            grades = draw.choice(list("ABCD"), len(there)).tolist()
            night = AS_OF - timedelta(days=back)
            archived(params.archive_folder, night, there, grades, draw.random(len(there)), draw.random(len(there)))
        tables = to_tables(one)
        contents.append(selection(SimpleNamespace(tables=tables, params=params), AS_OF))
    assert contents[0]["quality"]["leads"] > 100
    assert sum(row["worked"] for row in contents[0]["grades"]) > 3
    assert sum(row["won"] for row in contents[0]["grades"]) > 0
    assert json.dumps(contents[0]) == json.dumps(contents[1])


def test_where_the_forecast_is_right_both_groups_say_so_once_weighted():
    rng = np.random.default_rng(0)
    looks = rng.normal(size=20_000)
    chance = 1 / (1 + np.exp(2 - looks))
    worked = rng.random(20_000) < 1 / (1 + np.exp(-looks))
    known = 1 / (1 + np.exp(2 - 0.5 * looks))  # a forecast that says too little of good leads
    won = rng.random(20_000) < chance
    found = working_chance(looks[:, None], worked)
    groups = [(worked, found), (~worked, 1 - found)]
    rows = [quality(known[of], won[of], 1 / own[of], np.flatnonzero(of), 0) for of, own in groups]
    apart = [row["ratio"]["value"] for row in rows]
    together = [row["weighted"]["ratio"]["value"] for row in rows]
    assert abs(apart[0] - apart[1]) > 0.15
    assert abs(together[0] - together[1]) < 0.1
    assert all(row["weighted"]["ratio"]["low"] < together[0] < row["weighted"]["ratio"]["high"] for row in rows[:1])
    assert all(0.6 < row["auc"] < 0.9 for row in rows)
