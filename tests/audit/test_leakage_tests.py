"""Columns of a random company, honest and leaking, held against the audit's signs."""

import numpy as np
import pandas as pd
import pytest
from ended_leads import company

from pipeline.audit.audit_sample import Column
from pipeline.audit.decisions import CANNOT_TELL, Judged, decide, name_keys
from pipeline.audit.leakage_tests import signs


def honest_columns(rng, groups, intent):
    n = len(intent)
    age = (groups.created.max() - groups.created) / np.timedelta64(1, "D")
    rare = {f"rare_{share}": np.where(rng.random(n) < share, rng.integers(1, 50, n), np.nan) for share in (0.01, 0.1)}
    return rare | {
        "noise": rng.normal(size=n),
        "many_words": rng.integers(0, 100, n).astype(str),
        "strong": intent + 0.5 * rng.normal(size=n),
        "strong_yes": np.where(intent > 0.9, "yes", "no"),
        "filled_by_the_eager": np.where(rng.random(n) < 1 / (1 + np.exp(2 - 2 * intent)), 1.5 + intent, np.nan),
        "never_wins": np.where(rng.random(n) < 1 / (1 + np.exp(3 * intent + 4)), "prize draw", "other"),
        "kept_long_ago": np.where(age > 600, rng.choice(list("ab"), n), None),
        "asked_lately": np.where(age < 100, rng.choice(list("ab"), n), None),
        "trend": age + rng.normal(size=n),
        "month_it_came": groups.created.astype("datetime64[M]").astype(str),
        "list_of_the_season": np.char.add("list ", ((-age // 120).astype(int) + rng.integers(0, 2, n)).astype(str)),
        "often_the_default": np.where(rng.random(n) < 0.4, 10.0, rng.integers(1, 5000, n)),
        "counter": np.argsort(np.argsort(groups.created)) + rng.integers(0, 3, n).astype(float),
        "mostly_zero": np.where(rng.random(n) < 0.1, rng.exponential(5, n), 0.0),
    }


def leaking_columns(rng, groups):
    won, lost, open_ = groups.won, groups.lost, groups.open
    n = len(won)

    def filled(of_won, of_lost, of_open):
        share = np.select([won, lost], [of_won, of_lost], of_open)
        return np.where(rng.random(n) < share, rng.choice(list("abc"), n), None)

    planned = groups.created.max() + rng.integers(1, 90, n).astype("timedelta64[D]")
    closing = pd.Series(np.where(np.isnat(groups.ended), planned, groups.ended) - np.timedelta64(12, "h"))
    lived = (groups.ended - groups.created) / np.timedelta64(1, "D")
    return {
        "noisy": filled(0.95, 0.03, 0.03),
        "noisier": filled(0.8, 0.03, 0.03),
        "sparse": filled(0.2, 0, 0),
        "status": np.where(won & (rng.random(n) < 0.9), "customer", rng.choice(["new", "called"], n)),
        "code": np.where(won & (rng.random(n) < 0.6), "K7", rng.choice(["K1", "K2"], n)),
        "invoices": np.where(won & (rng.random(n) < 0.5), rng.exponential(100, n), 0.0),
        "roll_up": (rng.poisson(4, n) + np.where(won, rng.poisson(15, n), 0)).astype(float),
        "expected_revenue": np.where(lost | (rng.random(n) < 0.3), 0.0, rng.lognormal(9, 1, n)),
        "forecast_text": np.where(lost | (rng.random(n) < 0.2), "omitted", rng.integers(100, 150, n).astype(str)),
        "closing_month": closing.dt.strftime("%Y-%m").to_numpy(),
        "closing_quarter": closing.dt.quarter.to_numpy(float),
        "fiscal_period": ("FY" + (closing + pd.DateOffset(months=4)).dt.to_period("Q").astype(str)).to_numpy(),
        "closing_as_number": closing.dt.strftime("%Y%m%d").astype(float).to_numpy(),
        "flag": won.astype(float),
        "days_open": np.where(np.isnan(lived), 400.0, lived),
        "modified": np.where(open_, groups.created, groups.ended),
    }


def verdicts(columns, groups):
    judged, tests = [], 0
    for name, values in columns.items():
        values = pd.Series(values)
        found, made = signs(values, groups)
        judged.append(Judged("leads", name, found, Column("leads", name, False, True, values), groups))
        tests += made
    name_keys(judged, [])
    decide(judged, [], tests)
    return {item.name: item for item in judged}


@pytest.mark.parametrize("losses", [True, False])
def test_honest_columns_are_cleared_however_strong_or_rare(losses):
    for seed in range(4):
        rng, groups, intent = company(seed, losses=losses)
        named = [item for item in verdicts(honest_columns(rng, groups, intent), groups).values() if item.is_out]
        assert not [(item.name, item.reason) for item in named if item.code != "few"]


NEED_LOSSES = {"expected_revenue", "forecast_text"}


@pytest.mark.parametrize("losses", [True, False])
def test_leaks_are_named_however_noisy(losses):
    for seed in range(3):
        rng, groups, _ = company(seed, losses=losses)
        columns = leaking_columns(rng, groups)
        found = verdicts(
            {name: values for name, values in columns.items() if losses or name not in NEED_LOSSES}, groups
        )
        assert not [name for name, item in found.items() if not item.is_out]


def test_what_later_is_kept_out_is_not_cleared_by_lack_of_data():
    for seed in range(3):
        _, groups, _ = company(seed, n=40)
        columns = {"contract": np.where(groups.won, "V1", None), "status": np.where(groups.won, "a", "b")}
        columns["noise"] = np.tile(["x", "y"], 20)
        assert 0 < groups.won.sum() < 10
        found = verdicts(columns, groups)
        assert found["contract"].is_out
        assert found["status"].is_out
        assert found["noise"].verdict == CANNOT_TELL


def test_a_column_of_the_same_hand_as_a_leak_is_kept_out_with_it():
    rng, groups, _ = company(0, losses=False)
    contract = np.where(groups.won | (rng.random(1200) < 0.04), "V1", None)
    remark = np.where((contract == "V1") & groups.open, rng.choice(list("xy"), 1200), None)
    found = verdicts({"contract": contract, "remark": remark}, groups)
    assert found["remark"].is_out
    assert "contract" in found["remark"].reason


def test_ids_constants_and_free_text_are_no_features():
    rng, groups, _ = company(0)
    columns = {
        "uuid": [f"{number:x}" for number in rng.permutation(10**6)[:1200]],
        "serial": np.arange(1200) * 3 + 17.0,
        "one": "x",
        "content": [f"{'word ' * 20}{number % 300}" for number in range(1200)],
    }
    assert {name: item.code for name, item in verdicts(columns, groups).items()} == {
        "uuid": "id", "serial": "id", "one": "constant", "content": "text",
    }  # fmt: skip


def test_names_say_which_of_two_is_meant():
    _, groups, _ = company(0, n=60)
    columns = [
        Judged(table, name, [], Column(table, name, False, True, pd.Series([1.0] * 60)), groups)
        for table, name in (("leads", "Region"), ("accounts", "region"), ("leads", "call"), ("leads", "mood"))
    ]
    kinds = [Judged("events", "call", []), Judged("events", "visit", [])]
    name_keys(columns, kinds)
    keys = [item.key for item in (*columns, *kinds)]
    assert keys == ["leads.Region", "accounts.region", "leads.call", "mood", "event:call", "visit"]
