"""Lists under capacity: no person twice, nobody who opted out, and what is left out adds up."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from test_next_steps import AS_OF, company

from pipeline.insights.call_lists import call_lists, lists_file

DAY = date(2026, 5, 15)


def leads_of(seed: int, rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    steps = rng.choice(["call_now", "keep_working", "nurture", "wait", "no_contact"], rows)
    return pd.DataFrame({
        "lead_id": [f"L{place}" for place in range(rows)], "owner_id": rng.choice(["ana", "ben", "chi", None], rows),
        "person": rng.integers(0, 300, rows), "next_step": steps, "next_step_text": [f"do {step}" for step in steps],
        "money": np.sort(rng.gamma(1, 900, rows))[::-1], "may_call": rng.random(rows) < 0.9,
    })  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_no_person_is_on_two_lists_and_what_is_left_out_adds_up(share):
    leads = leads_of(1)
    lists = call_lists(leads, DAY, 10, explore_share=share, seed=3)
    assert [one["owner_id"] for one in lists] == ["ana", "ben", "chi", None]
    items = [item for one in lists for item in one["items"]]
    listed = leads.set_index("lead_id").loc[[item["lead_id"] for item in items]]
    assert listed["person"].is_unique
    assert listed["may_call"].all()
    assert set(listed["next_step"]) <= {"call_now", "keep_working"}
    assert all(len(one["items"]) == 10 for one in lists[:-1])
    assert not lists[-1]["items"]
    assert listed["owner_id"].tolist() == [one["owner_id"] for one in lists for _ in one["items"]]
    due = leads[leads["next_step"].isin(["call_now", "keep_working"])]
    assert len(items) + sum(one["left_out"]["leads"] for one in lists) == len(due)
    money = sum(item["money"] for item in items) + sum(one["left_out"]["revenue"] for one in lists)
    assert money == pytest.approx(due["money"].sum(), abs=1)
    assert any(item["explored"] for item in items) == (share > 0)
    assert lists == call_lists(leads, DAY, 10, explore_share=share, seed=3)


def test_calls_come_before_other_work_and_the_larger_before_the_smaller():
    for one in call_lists(leads_of(2), DAY, 20):
        order = [(item["next_step"] != "call_now", -item["money"]) for item in one["items"]]
        assert order == sorted(order)
        assert all(item["probability"] == 1 for item in one["items"])


def test_without_amounts_money_is_unknown_and_not_nothing():
    lists = call_lists(leads_of(3).assign(money=np.nan), DAY, 5)
    assert {one["left_out"]["revenue"] for one in lists} == {None}
    assert {item["money"] for one in lists for item in one["items"]} == {None}


def test_who_opted_out_is_on_no_list_of_a_company_read_from_files(tmp_path):
    stories = {"a": ("A", []), "b": ("A", [], {"no_call": "yes"}), "c": ("A", [], {"no_contact": "1"}),
               "d": ("A", [], {"no_email": "yes"}), "e": ("A", [], {"email": "a@x.example"})}  # fmt: skip
    loaded = company(tmp_path, stories, capacity={"calls_per_owner_per_day": 9})
    scores = pd.DataFrame({"lead_id": list(stories), "owner_id": "ana", "money": 10.0})
    steps = pd.DataFrame({"next_step": "call_now", "next_step_text": "=cmd"}, index=list(stories))
    (only,) = json.loads(lists_file(loaded, scores, steps, "money", AS_OF))
    assert [item["lead_id"] for item in only["items"]] == ["a", "d"]
    assert only["left_out"] == {"leads": 3, "revenue": 30.0}
