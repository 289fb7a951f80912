"""The plan: parts add up, owners are the company, nothing learnt later counts, and what is drawn is what is true."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from random_company import random_frames, to_tables, with_another_future

from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.planning.fiscal_calendar import FiscalCalendar
from pipeline.planning.imports import is_import
from pipeline.planning.plan import plan
from pipeline.planning.revenue_by_age import revenue_by_age
from pipeline.planning.weekly_counts import fit_weekly_counts
from pipeline.planning.worlds import levels, open_worlds

AS_OF = datetime(2023, 11, 10)


def as_company(frames):
    params = Params.model_validate({
        "company": "random", "seed": 3, "plan": {"marketing_sources": ["web", "fair"]},
        "data": {"timezone": "Europe/Lisbon", "sources": {"leads": {"from": "x"}, "deals": {"from": "x"}}},
    })  # fmt: skip
    return SimpleNamespace(tables=to_tables(frames), params=params)


def forecast_of(company, seed):
    """A made-up forecast of the leads known at the date."""
    leads = company.tables.leads
    known = leads.filter(leads.known_at <= AS_OF).select("lead_id", "account_id", "owner_id").to_pandas()
    rng = np.random.default_rng(seed)
    some = known.sort_values("lead_id").iloc[::3].reset_index(drop=True)
    chance = rng.uniform(0.01, 0.4, len(some))
    value = rng.lognormal(8, 1, len(some))
    columns = {f"p_win_{days}d": chance * share for days, share in ((30, 0.3), (90, 0.7), (180, 0.9), (365, 1.0))}
    columns |= {name.replace("p_win", "expected_revenue"): one * value for name, one in columns.items()}
    return some.assign(p_win_ever=chance, deal_value_p10=value / 3, deal_value_p90=value * 3, **columns), "made up"


def planned(frames, seed, **asked):
    company = as_company(frames)
    words = {"goal": 300_000.0, "first": date(2023, 7, 1), "last": date(2024, 3, 31), "marketing_share": 0.5} | asked
    return plan(company, AS_OF, **words, forecast=forecast_of(company, seed))


@pytest.mark.parametrize("seed", [0, 1])
def test_parts_and_owners_add_up_and_nothing_learnt_later_counts(seed):
    frames = random_frames(seed, leads_count=200)
    now, then = (planned(one, seed) for one in (frames, with_another_future(frames, seed, AS_OF)))
    assert json.dumps(now) == json.dumps(then)
    parts = now["closed"] + sum(now[name]["value"] for name in ("open", "to_come", "existing"))
    assert round(parts, 2) == now["total"]["value"]
    assert now["closed"] > 0
    assert now["open"]["value"] > 0
    of_owners = sum(line["closed"] + line["expected"] for line in now["owners"])
    assert of_owners == pytest.approx(now["total"]["value"], abs=0.01 * len(now["owners"]))
    assert round(sum(line["closed"] for line in now["owners"]), 2) == now["closed"]
    assert now["gap"] == round(max(300_000 - now["total"]["value"], 0), 2)
    assert now["total"]["low"] < now["total"]["value"] < now["total"]["high"]


def test_what_is_needed_closes_the_gap():
    content = planned(random_frames(2, leads_count=200), 2, goal=5e6)
    rows = pd.DataFrame(content["needed"])
    assert content["gap"] > 0
    whole = rows[rows["segment"] == "all"]
    assert (whole["count"] * whole["revenue_each"]).sum() == pytest.approx(content["gap"], rel=0.05)
    parts = rows[rows["segment"] != "all"]
    assert (parts["count"] * parts["revenue_each"]).sum() == pytest.approx(content["gap"], rel=0.05)
    assert whole["revenue_each"].is_monotonic_decreasing, "the later one comes, the less it brings in time"
    assert content["probability"] < 0.5


def test_a_period_that_is_none_and_a_plan_without_forecast_are_one_line():
    company = as_company(random_frames(0, leads_count=60))
    words = {"goal": None, "marketing_share": None}
    with pytest.raises(UserError, match="--until 2023-01-31: it lies before the date of the data, 2023-11-10"):
        plan(company, AS_OF, first=None, last=date(2023, 1, 31), **words, forecast=(None, "none"))
    with pytest.raises(UserError, match="--from 2024-01-01: it lies after the date of the data"):
        plan(company, AS_OF, first=date(2024, 1, 1), last=date(2024, 1, 31), **words, forecast=(None, "none"))
    with pytest.raises(UserError, match="a plan needs the forecast of the open leads: there is no champion"):
        plan(company, AS_OF, first=None, last=None, **words, forecast=(None, "there is no champion"))


def test_open_leads_keep_their_chances_and_an_account_is_won_once():
    rng = np.random.default_rng(3)
    leads = pd.DataFrame({"cluster": [0, 0, 0, 1, 2], "chance": [0.3, 0.2, 0.4, 0.9, 0.05],
                          "value": [1.0, 10, 100, 1e3, 1e4],
                          "spread": 1.0})  # fmt: skip
    drawn = open_worlds(rng, leads, np.ones(2_000))
    assert drawn.mean() == pytest.approx((leads["chance"] * leads["value"]).sum(), rel=0.1)
    of_first = np.round(drawn % 1_000)
    assert set(np.unique(of_first)) == {0.0, 1.0, 10.0, 100.0}, "never two of the same account"
    assert (of_first == 100).mean() == pytest.approx(0.4, abs=0.04)


def test_one_level_a_world_widens_what_is_drawn():
    rng = np.random.default_rng(3)
    leads = pd.DataFrame({"cluster": np.arange(4_000), "chance": 0.1, "value": 100.0, "spread": 1.2})
    alone, together = (open_worlds(rng, leads, level) for level in (np.ones(2_000), levels(rng)))
    assert alone.mean() == pytest.approx(40_000, rel=0.01)
    assert together.mean() == pytest.approx(40_000, rel=0.02)
    assert together.std() > 2 * alone.std()


@pytest.mark.parametrize("first_month", [1, 2, 7, 12])
@pytest.mark.parametrize("weeks", [None, (4, 4, 5), (5, 4, 4)])
@pytest.mark.parametrize("year_ends", ["last", "nearest"])
def test_months_tile_every_year_and_quarters_are_three_of_them(first_month, weeks, year_ends):
    calendar = FiscalCalendar(first_month, weeks, "friday", year_ends)
    day = date(2019, 1, 1)
    while day < date(2031, 1, 1):
        months = calendar.months(day)
        assert len(months) == 12
        assert all(later.first == one.last + timedelta(days=1) for one, later in pairwise(months))
        year = calendar.year(day)
        assert (months[0].first, months[-1].last) == (year.first, year.last)
        assert day in calendar.month(day)
        assert day in calendar.quarter(day)
        if weeks:
            assert year.days_count in (364, 371)
            assert year.last.weekday() == 4
        day += timedelta(days=83)


def test_arrivals_and_what_they_bring_are_recovered():
    rng = np.random.default_rng(1)
    back = rng.uniform(0, 7 * 150, 6_000)
    counts = fit_weekly_counts(back, (back < 1e9).astype(np.intp) * 0, 1, 2025.5)
    assert counts.means(np.array([3.5]), 2025.5)[0, 0] == pytest.approx(40, rel=0.1)
    assert counts.dispersion < 1.3
    took = rng.exponential(60, len(back))
    is_won = (rng.random(len(back)) < 0.2) & (took < back)
    is_open = took >= back
    ended = np.where(is_open, 0.0, back - took)
    found = revenue_by_age(back, ended, is_won, is_open, np.where(is_won, 100.0, np.nan), np.zeros(len(back), int), 1)
    chance, money = found.by(np.array([60.0, 2_000.0]))
    assert chance[:, 0] == pytest.approx([0.2 * (1 - np.exp(-1)), 0.2], abs=0.02)
    assert money[:, 0] == pytest.approx(100 * chance[:, 0])


def test_a_day_on_which_a_list_was_loaded_is_no_arrival():
    days = np.concatenate([np.repeat(np.arange(100), 3), np.repeat(50, 200)])
    assert set(days[is_import(days)]) == {50}
