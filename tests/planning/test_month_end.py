"""A month that is over: the bridge adds up to the last digit, whatever became of deals since, and knows no future."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from company_files import load_company
from conftest import leadrev, refusal
from html_checks import assert_alone
from random_company import random_frames, to_tables, with_another_future

from pipeline.archive.forecasts import Forecasts
from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.planning.archived_plan import archived_plan
from pipeline.planning.bridge import bridge
from pipeline.planning.month_end import MonthSpan, month_end
from pipeline.reporting.month_end_page import render_month_end, sentences


def archive(folder, night, leads, chances, values, owners=None):
    """Seal a forecast of 30 and 90 days: chances as given, and three times as high, but for one."""
    chances, values = np.asarray(chances, float), np.asarray(values, float)
    later = np.minimum(3 * chances, 1.0)
    Forecasts(folder).append(night.date(), {"scores": pa.table({
        "lead_id": leads, "episode": pa.array([1] * len(leads), pa.int64()), "grade": ["A"] * len(leads),
        "as_of": pa.array([night] * len(leads), pa.timestamp("us")), "model_version": ["7"] * len(leads),
        "owner_id": owners or ["U1"] * len(leads), "account_id": pa.array([None] * len(leads), pa.string()),
        "p_win_30d": chances, "p_win_90d": later, "expected_revenue_30d": chances * values,
        "expected_revenue_90d": later * values, "deal_value_p10": values / 2, "deal_value_p90": values * 2,
    })}, {"as_of": night.isoformat() + "Z"})  # fmt: skip


def exact(value):
    return Decimal(str(value))


def assert_adds_up(content):
    """Every cent stands in one step, and in one row of each group."""
    total = exact(content["actual"]["amount"])
    begun = exact(content["forecast"]["amount"]) + sum(exact(amount) for amount in content["planned"].values())
    assert begun + sum(exact(row["amount"]) for row in content["bridge"]) == total
    for group in content["groups"]:
        assert sum(exact(row["actual"]) for row in group["rows"]) == total, group["by"]
        assert sum(exact(row["forecast"]) for row in group["rows"]) == exact(content["forecast"]["amount"])
        assert sum(row["deals"] for row in group["rows"]) == content["actual"]["deals"]
    if all(row["converted_amount"] is not None for row in content["currencies"]):
        assert sum(exact(row["converted_amount"]) for row in content["currencies"]) == total


LEADS = [{"lead_id": f"L{n}", "created_at": "2024-01-05 09:00", "account_id": f"A{n}", "owner_id": f"U{n % 2}",
          "source": "web", "kind": "new_business"} for n in range(1, 8)]  # fmt: skip
LEADS.append({**LEADS[0], "lead_id": "NEW", "created_at": "2024-04-10 09:00", "account_id": "A8"})


def deal(number, lead, closed, amount, outcome="won", **more):
    opened = more.pop("opened_at", "2024-03-01 09:00")
    return {"deal_id": f"D{number}", "lead_id": lead, "account_id": "", "outcome": outcome, "opened_at": opened,
            "closed_at": closed, "amount": amount, "currency": "EUR", "kind": "", "recorded_at": ""} | more  # fmt: skip


DEALS = [
    deal(1, "L1", "2024-04-20 09:00", "120.50"),  # forecast, won for more
    deal(2, "L2", "2024-04-21 09:00", "200.00", currency="USD"),  # forecast at another rate
    deal(3, "NEW", "2024-04-22 09:00", "33.33", opened_at="2024-04-11 09:00"),
    deal(4, "", "2024-04-23 09:00", "70.07", account_id="A5", kind="renewal"),
    deal(5, "L4", "2024-02-01 09:00", "1", "lost", opened_at="2024-01-20 09:00"),
    deal(6, "L4", "2024-04-24 09:00", "44.44", opened_at="2024-04-02 09:00"),  # came back
    deal(7, "L5", "2024-04-25 09:00", "55.55", recorded_at="2024-05-10 09:00"),  # entered late
    deal(8, "L6", "2024-04-26 09:00", "66.66"),  # open, and not forecast
    deal(9, "L7", "2024-05-02 09:00", "999.99"),  # another month
    deal(10, "L3", "2024-04-27 09:00", "10.01", "lost"),
    deal(11, "L7", "2024-04-28 09:00", "5.05", currency="GBP"),  # quarantined: nobody knows its rate
    deal(1, "L1", "2024-04-20 09:00", "120.50"),  # the same row again
]
RATES = [
    {"currency": "USD", "valid_from": "2024-01-01", "rate": "0.90"},
    {"currency": "USD", "valid_from": "2024-04-15", "rate": "0.95"},
]


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    folder = tmp_path_factory.mktemp("month")
    made = load_company(folder, leads=LEADS, deals=DEALS, rates=RATES, data={"known_until": "2024-06-01"})
    archive(made.params.archive_folder, datetime(2024, 4, 1), ["L1", "L2", "L3", "L5"], [0.5, 0.25, 0.2, 0.1],
            [100, 200, 50, 60], ["U1", "U0", "U1", "U1"])  # fmt: skip
    return made


def test_each_deal_stands_in_its_step(company):
    content = month_end(company, "2024-04", company.known_until)
    assert_adds_up(content)
    steps = {row["step"]: (row["amount"], row["deals"]) for row in content["bridge"]}
    assert content["forecast"]["amount"] == 50 + 50 + 10 + 6
    assert content["actual"] == {"amount": 120.5 + 190 + 33.33 + 70.07 + 44.44 + 55.55 + 66.66, "deals": 7}
    assert steps == {
        "won_count": (100 + 200 - 116.0, 2),
        "deal_size": (round(20.5 + 180 - 200, 2), 2),
        "arrivals": (33.33, 1),
        "existing_business": (70.07, 1),
        "reopened": (44.44, 1),
        "late_entries": (55.55, 1),
        "left_out": (66.66, 1),
        "exchange_rates": (10.0, 1),
    }
    names = ("amount", "source_amount", "quarantined_amount", "is_exact")
    money = {row["currency"]: tuple(row[name] for name in names) for row in content["currencies"]}
    assert money["USD"] == (200.0, 200.0, 0.0, True)
    assert money["GBP"] == (0.0, 5.05, 5.05, True)
    assert money["EUR"][0] == 390.55
    assert money["EUR"][3]
    row = content["history"]["months"][0]
    assert (row["month"], row["actual"], row["forecast"]) == ("2024-04", 310.5, 116.0)
    assert row["low"] < 116 < row["high"]
    assert_alone(render_month_end(content))
    assert "€581" in sentences(content)[0]


def test_an_archived_plan_of_the_month_is_what_arrivals_are_held_against(company):
    entry = Forecasts(company.params.archive_folder).nights()[0]
    plan = {"from": "2024-04-01", "until": "2024-04-30", "to_come": {"value": 30.303, "low": 1.0, "high": 99.0},
            "existing": 80, "total": {"value": 226.3, "low": 100.0, "high": 500.0}}  # fmt: skip
    content = month_end(company, "2024-04", company.known_until)
    for until, is_of_month in (("2024-04-30", True), ("2024-06-30", False)):
        (entry.folder / "plan.json").write_text(json.dumps(plan | {"until": until}))
        sealed = dataclasses.replace(entry, seal={**entry.seal, "files": {**entry.seal["files"], "plan.json": {}}})
        found, why = archived_plan(sealed, datetime(2024, 4, 1), datetime(2024, 5, 1), "UTC")
        assert (found is not None) == is_of_month == (why is None)
        if found:
            assert found.planned == {"arrivals": 303_000, "existing_business": 800_000}
            assert found.total == (2_263_000, 1_000_000, 5_000_000)
    (entry.folder / "plan.json").unlink()
    assert content["planned"] == {}
    leads = pd.DataFrame({"lead_id": ["L1"], "expected": [5], "value": [20]})
    deals = pd.DataFrame({"lead_id": ["L1", "X"], "category": ["forecast", "arrived"], "amount": [30, 7],
                          "at_start": [30, 7]})  # fmt: skip
    steps = {row["step"]: round(row["amount"] * 10_000) for row in bridge(leads, deals, {"arrivals": 4})}
    assert (steps["won_count"], steps["deal_size"], steps["arrivals"]) == (15, 10, 3)


def test_a_month_without_a_forecast_still_says_what_came(company):
    content = month_end(company, "2024-05", company.known_until)
    assert (content["forecast"], content["bridge"]) == (None, [])
    assert content["actual"] == {"amount": 999.99, "deals": 1}
    assert "nightly" in content["notes"][0]
    assert_alone(render_month_end(content))


def test_months_are_the_company_s_own():
    assert MonthSpan.of("2024-12", "Asia/Tokyo").start == datetime(2024, 11, 30, 15)
    assert MonthSpan.of("2024-12", "Asia/Tokyo").end == datetime(2024, 12, 31, 15)


@pytest.mark.parametrize("seed", range(2))
def test_the_bridge_adds_up_on_any_company_and_nothing_learnt_later_moves_it(tmp_path, seed):
    as_of, months = datetime(2024, 2, 3), ("2024-01",)
    frames = random_frames(seed, leads_count=200)
    rng = np.random.default_rng(seed)
    deals = frames["deals"]
    abroad = rng.random(len(deals)) < 0.3
    frames["deals"] = deals.assign(
        currency=np.where(abroad, "USD", "EUR"),
        is_foreign=abroad,
        written_amount=deals["amount"].astype(float) * 1.23,
    )
    rates = pd.DataFrame([{"currency": "USD", "valid_from": datetime(2023, 1, 1), "rate": 0.9},
                          {"currency": "USD", "valid_from": datetime(2024, 1, 9), "rate": 1.1}])  # fmt: skip
    frames["rates"] = rates
    contents = []
    other = with_another_future({name: frame for name, frame in frames.items() if name != "rates"}, seed, as_of)
    for place, one in enumerate((frames, {**other, "rates": rates})):
        params = Params.model_validate({
            "company": "random", "artifacts": str(tmp_path / str(place)),
            "data": {"sources": {"leads": {"from": "x"}, "deals": {"from": "x"}}},
        })  # fmt: skip
        draw = np.random.default_rng(seed)
        for night in (datetime(2023, 12, 1), datetime(2023, 12, 29), datetime(2024, 1, 1), datetime(2024, 2, 9)):
            leads = draw.choice(frames["leads"]["lead_id"], 60, replace=False).tolist()
            archive(params.archive_folder, night, leads, draw.random(60) / 3, draw.integers(1, 99_999, 60) / 7)
        company = SimpleNamespace(tables=to_tables(one), params=params, known_until=as_of + timedelta(days=1))
        contents.append([month_end(company, month, as_of) for month in months])
    for content in contents[0]:
        assert_adds_up(content)
    assert sum(row["deals"] for content in contents[0] for row in content["bridge"]) > 8
    assert json.dumps(contents[0]) == json.dumps(contents[1])


def test_what_reps_had_dated_in_the_month_is_won_lost_or_slipped(tmp_path):
    def version(number, recorded, outcome, amount, planned, probability, closed=""):
        return {"deal_id": f"D{number}", "lead_id": f"L{number}", "outcome": outcome, "opened_at": "2024-03-01 09:00",
                "closed_at": closed, "amount": amount, "recorded_at": recorded, "expected_close_at": planned,
                "probability": probability}  # fmt: skip

    deals = [
        version(1, "2024-03-15 09:00", "open", "100", "2024-04-10", "0.5"),
        version(1, "2024-04-09 09:00", "won", "90", "2024-04-10", "1", "2024-04-09 09:00"),
        version(2, "2024-03-20 09:00", "open", "300", "2024-04-20", "0.2"),
        version(2, "2024-04-18 09:00", "open", "300", "2024-05-20", "0.2"),
        version(3, "2024-03-21 09:00", "open", "50", "2024-04-15", "0.1"),
        version(3, "2024-04-14 09:00", "lost", "50", "2024-04-15", "0", "2024-04-14 09:00"),
        version(4, "2024-03-22 09:00", "open", "777", "2024-05-15", "0.9"),
        version(5, "2024-04-02 09:00", "open", "888", "2024-04-28", "0.9"),  # dated only after the first day
    ]
    leads = [{name: row[name] for name in ("lead_id", "created_at")} for row in LEADS[:5]]
    made = load_company(tmp_path, leads=leads, deals=deals, data={"known_until": "2024-06-01"})
    reps = month_end(made, "2024-04", made.known_until)["reps"]
    assert reps == {
        "forecast": 115.0, "deals": 3, "with_forecast": 3, "amount": 450.0, "won": {"deals": 1, "amount": 100.0},
        "lost": {"deals": 1, "amount": 50.0}, "slipped": {"deals": 1, "amount": 300.0},
    }  # fmt: skip


def test_the_command_writes_what_it_says(company, tmp_path):
    folder = company.params.folder
    ran = leadrev("month-end", "2024-04", "--out", tmp_path, folder=folder)
    assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "month-end.json").read_text()) == month_end(company, "2024-04", company.known_until)
    assert "How many were won" in ran.out
    assert "like 2026-07" in refusal("month-end", "July", folder=folder)
    with pytest.raises(UserError, match="not over"):
        month_end(company, "2024-06", company.known_until)
