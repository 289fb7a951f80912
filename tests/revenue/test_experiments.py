"""Experiments: what is drawn stays drawn, what is compared is right at any look, and what is wrong is said."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from company_files import load_company
from conftest import leadrev, refusal
from html_checks import assert_alone
from random_company import random_frames, to_tables, with_another_future

from features.schema import TIME
from pipeline.archive.assignments import Assignments
from pipeline.archive.forecasts import Forecasts
from pipeline.common.errors import UserError
from pipeline.config.experiment_params import ExperimentParams
from pipeline.config.params import Params
from pipeline.operations.archive_check import verify
from pipeline.revenue.arm_difference import accounts_needed, arm_difference
from pipeline.revenue.experiment_assignment import assign
from pipeline.revenue.experiment_checks import experiment_checks
from pipeline.revenue.experiment_leads import ExperimentLeads
from pipeline.revenue.experiments import experiment
from pipeline.revenue.forecast_at_assignment import forecast_at_assignment

AS_OF = datetime(2023, 11, 10)
END = datetime(2024, 12, 1)


def drawn(seed, accounts=400, effect=0.0, share=0.5):
    """Leads of accounts in two arms: outcome, arm, account, probability of the arm, forecast."""
    rng = np.random.default_rng(seed)
    account = np.sort(rng.integers(0, accounts, 2 * accounts))
    arm = rng.random(accounts)[account] < share
    chance = np.clip(0.2 + 0.1 * rng.normal(size=accounts)[account], 0.02, 0.6)
    won = rng.random(len(account)) < chance + effect * arm
    return won.astype(float), arm, account, np.where(arm, share, 1 - share), chance[:, None]


def test_without_forecast_and_groups_it_is_the_difference_of_means():
    won, arm, _, probability, _ = drawn(0)
    found = arm_difference(won, arm, np.arange(len(won)), probability)
    assert found.value == pytest.approx(won[arm].mean() - won[~arm].mean())
    error = np.sqrt(won[arm].var() / arm.sum() + won[~arm].var() / (~arm).sum())
    assert found.error == pytest.approx(error, rel=2e-3)


def test_errors_know_that_leads_of_an_account_are_alike():
    won, arm, account, probability, _ = drawn(1)
    twice = [np.repeat(values, 2) for values in (won, arm, account, probability)]
    once, doubled = arm_difference(won, arm, account, probability), arm_difference(*twice)
    assert doubled.error == pytest.approx(once.error)
    assert doubled.value == pytest.approx(once.value)


def test_adjusting_narrows_and_unequal_shares_do_not_mislead():
    rng = np.random.default_rng(2)
    late = np.repeat([False, True], 2000)  # later leads are better, and more of them are drawn
    share = np.where(late, 0.8, 0.2)
    arm = rng.random(4000) < share
    base = 0.1 + 0.4 * late
    won = (rng.random(4000) < base + 0.1 * arm).astype(float)
    given = (won, arm, np.arange(4000), np.where(arm, share, 1 - share))
    plain, adjusted = arm_difference(*given), arm_difference(*given, base[:, None])
    assert won[arm].mean() - won[~arm].mean() > 0.25
    assert abs(adjusted.value - 0.1) < 3 * adjusted.error < 0.06
    assert adjusted.error < 0.95 * plain.error


def test_nothing_is_declared_where_nothing_is_however_often_one_looks():
    declared = told = 0
    for seed in range(60):
        for effect in (0.0, 0.25):
            won, arm, account, probability, chance = drawn(seed, effect=effect)
            looks = [arm_difference(won[:n], arm[:n], account[:n], probability[:n], chance[:n])
                     for n in range(250, len(won) + 1, 50)]  # fmt: skip
            if effect:
                told += any(look.is_told() for look in looks)
            else:
                declared += any(look.is_told() for look in looks)
    assert declared <= 4
    assert told >= 57


def test_so_many_accounts_are_needed_that_the_effect_is_mostly_told():
    small = arm_difference(*drawn(0, accounts=300, effect=0.1))
    needed = accounts_needed(small, 0.1)
    with_leads = round(needed / (1 - np.exp(-2)))  # some accounts are drawn no lead
    told = sum(arm_difference(*drawn(seed, accounts=with_leads, effect=0.1)).is_told() for seed in range(40))
    assert 24 <= told <= 39
    assert accounts_needed(small, 0.0) is None


def test_too_few_accounts_say_nothing():
    won, arm, account, probability, _ = drawn(0, accounts=40)
    assert arm_difference(won, arm, account, probability) is None


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_learnt_later_changes_a_figure(tmp_path, seed):
    frames = random_frames(seed, leads_count=150)
    rng = np.random.default_rng(seed)
    leads = frames["leads"]
    at = pd.to_datetime(leads["created_at"]) + pd.to_timedelta(rng.integers(0, 20, len(leads)), unit="D")
    drawn_for = pd.DataFrame({
        "experiment": "calls", "lead_id": leads["lead_id"], "arm": rng.choice(["control", "call"], len(leads)),
        "assigned_at": at, "probability": 0.5, "system": None,
    })  # fmt: skip
    by_then = drawn_for[at <= AS_OF]
    contents = []
    for one, assigned in ((frames, drawn_for), (with_another_future(frames, seed, AS_OF), by_then)):
        tables = to_tables({**one, "experiments": assigned})
        params = Params.model_validate({
            "company": "random", "data": {"sources": {"leads": {"from": "x"}, "deals": {"from": "x"}}},
            "mlflow": {"tracking_uri": "sqlite:///nowhere.db"}, "artifacts": str(tmp_path),
        })  # fmt: skip
        connection = tables.leads.get_backend().con
        connection.execute("CREATE VIEW identity AS SELECT lead_id, lead_id AS canonical_id FROM raw_leads")
        company = SimpleNamespace(tables=tables, on_engine=tables, params=params, connection=connection)
        contents.append(experiment(company, "calls", AS_OF))
    assert sum(arm["leads"] for arm in contents[0]["arms"]) > 30
    assert sum(arm["won"] for arm in contents[0]["arms"]) > 0
    assert json.dumps(contents[0]) == json.dumps(contents[1])


ACCOUNTS = 120


def company_of(folder, extra=(), **params):
    """Two leads of each of many companies, every fifth lead won ten days after it came; further leads may follow."""
    leads, deals = [], []
    for number in range(2 * ACCOUNTS):
        day = f"2024-0{1 + number % 6}-10"
        leads.append({"lead_id": f"L{number}", "created_at": f"{day} 09:00", "account_id": f"A{number % ACCOUNTS}"})
        if number % 5 == 0:
            deals.append({"deal_id": f"D{number}", "lead_id": f"L{number}", "outcome": "won", "amount": "100.00",
                          "closed_at": f"{day[:8]}20 09:00"})  # fmt: skip
    given = {"data": {"known_until": "2024-12-01"}, **params}
    return load_company(folder, leads=[*leads, *extra], deals=deals, **given)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return company_of(tmp_path_factory.mktemp("small"))


def with_assignments(company, rows, **settings):
    """The company with a table of assignments."""
    frame = pd.DataFrame(rows).assign(assigned_at=lambda f: pd.to_datetime(f["assigned_at"]).astype("datetime64[us]"))
    table = ibis.memtable(frame.astype({"probability": float}))
    table = table.mutate(assigned_at=table.assigned_at.cast(TIME))
    tables = dataclasses.replace(company.tables, experiments=table)
    params = company.params.model_copy(update={"experiments": {"calls": ExperimentParams(**settings)}})
    params._folder = company.params.folder
    return SimpleNamespace(tables=tables, on_engine=tables, params=params, connection=company.connection)


def assignment(number, arm, day="2024-01-10 09:00"):
    month = 1 + number % 6
    when = day if day != "2024-01-10 09:00" else f"2024-0{month}-10 10:00"
    return {"experiment": "calls", "lead_id": f"L{number}", "arm": arm, "assigned_at": when, "probability": "0.5"}


def arm_of(number):
    return "call" if np.random.default_rng(number % ACCOUNTS).random() < 0.5 else "control"


def codes(content):
    return {check["code"] for check in content["checks"]}


def test_a_sound_experiment_is_sound(loaded):
    company = with_assignments(loaded, [assignment(n, arm_of(n)) for n in range(2 * ACCOUNTS)])
    content = experiment(company, "calls", END)
    assert (codes(content), content["status"]) == (set(), "running")
    assert [arm["arm"] for arm in content["arms"]] == ["control", "call"]
    assert sum(arm["leads"] for arm in content["arms"]) == 2 * ACCOUNTS
    assert sum(arm["revenue_won"] for arm in content["arms"]) == 100.0 * sum(arm["won"] for arm in content["arms"]) > 0
    young = experiment(company, "calls", datetime(2024, 5, 1))
    assert sum(arm["waiting"] for arm in young["arms"]) > 0
    assert sum(arm["leads"] + arm["waiting"] for arm in young["arms"]) == sum(arm["assigned"] for arm in young["arms"])


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda rows: [*rows, {**rows[3], "arm": "other", "assigned_at": "2024-11-01 09:00"}], "switched_arm"),
        (lambda rows: [{**rows[0], "arm": "call"}, *rows[1:ACCOUNTS], {**rows[ACCOUNTS], "arm": "control"},
                       *rows[ACCOUNTS + 1 :]], "account_in_two_arms"),
        (lambda rows: [{**rows[0], "assigned_at": "2024-09-01 09:00"}, *rows[1:]], "assigned_after_outcome"),
        (lambda rows: [row for n, row in enumerate(rows) if row["arm"] == "call" or n % 10 == 0],
         "sample_ratio_mismatch"),
        (lambda rows: [{**row, "assigned_at": row["assigned_at"] if row["arm"] == "call"
                        else f"2024-10-{1 + n % 9:02d} 09:00"} for n, row in enumerate(rows)], "unequal_exposure"),
    ],
)  # fmt: skip
def test_what_contaminates_an_experiment_is_said(loaded, spoil, code):
    rows = [assignment(n, arm_of(n)) for n in range(2 * ACCOUNTS)]
    content = experiment(with_assignments(loaded, spoil(rows)), "calls", END)
    assert code in codes(content)
    assert content["status"] == "contaminated"


@pytest.mark.parametrize(
    ("treated", "control", "found"),
    [(0.9, 0.0, set()), (0.9, 0.3, {"control_exposed"}), (0.0, 0.0, {"not_carried_out"})],
)
def test_who_got_the_treatment_is_checked_where_an_event_stands_for_it(treated, control, found):
    n = np.arange(400)
    arm = np.where(n % 2, "call", "control")
    frame = pd.DataFrame({
        "lead_id": n.astype(str), "arm": arm, "account": n.astype(str), "cluster": n, "arms_count": 1,
        "assigned_at": pd.Timestamp("2024-01-01"), "is_mature": True, "was_closed": False, "ended_how": "open",
        "is_touched": (n // 2 % 10) < 10 * np.where(arm == "call", treated, control),
    })  # fmt: skip
    leads = ExperimentLeads("calls", END, 90, ExperimentParams(event="extra_call"), frame)
    checks = experiment_checks(leads, np.full(400, 0.5), None, "UTC")
    assert {check["code"] for check in checks} == found


def test_a_stop_is_said_and_whether_it_was_early(loaded):
    rows = [assignment(n, arm_of(n)) for n in range(2 * ACCOUNTS) if n % 6 < 3]
    company = with_assignments(loaded, rows, accounts=600)
    content = experiment(company, "calls", END)
    assert content["status"] == "stopped"
    assert "600" in next(check["text"] for check in content["checks"] if check["code"] == "stopped_early")
    assert "finished" in codes(experiment(with_assignments(loaded, rows, accounts=60), "calls", END))


def test_accounts_are_drawn_once_and_for_good(tmp_path):
    company = company_of(tmp_path)
    first = assign(company, "calls", 0.3).rows
    assert len(first) > ACCOUNTS
    assert (first.groupby("account_id")["arm"].nunique() == 1).all()
    assert set(first["probability"].round(9)) == {0.3, 0.7}
    assert 0.15 < (first["arm"] == "treatment").mean() < 0.45
    assert not len(assign(company, "calls", 0.3).rows)
    arms = first.set_index("account_id")["arm"].to_dict()
    one = next(account for account, arm in arms.items() if arm == "treatment")
    more = [{"lead_id": "N1", "created_at": "2024-11-20 09:00", "account_id": one},
            {"lead_id": "N2", "created_at": "2024-11-20 09:00", "account_id": "NEW"}]  # fmt: skip
    later = assign(company_of(tmp_path, more), "calls", 0.9).rows.set_index("lead_id")
    assert set(later.index) == {"N1", "N2"}
    assert (later.loc["N1", "arm"], later.loc["N1", "probability"]) == ("treatment", 0.3)
    assert later.loc["N2", "probability"] in (pytest.approx(0.9), pytest.approx(0.1))
    other = assign(company, "mails", 0.3).rows
    assert (other["arm"].to_numpy() != first["arm"].to_numpy()).mean() > 0.2  # each experiment draws anew
    assert verify(company.params)[0] == []
    key = company.params.archive_folder / "experiments" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        assign(company_of(tmp_path, [*more, {**more[0], "lead_id": "N3"}]), "calls", 0.3)


def test_what_was_drawn_is_analysed_and_what_was_laid_down_stays(tmp_path):
    company = company_of(tmp_path, experiments={"calls": {"horizon_days": 10}})
    rows = assign(company, "calls", 0.5).rows
    for back_days, chance in ((0.5, 0.1), (-3, 0.9)):  # the night before, and one that is too late
        night = company.known_until - timedelta(days=back_days)
        leads, draw = rows["lead_id"].tolist(), np.random.default_rng(0)
        Forecasts(company.params.archive_folder).append(night.date(), {"scores": pa.table({
            "lead_id": leads, "as_of": pa.array([night] * len(leads), pa.timestamp("us")),
            "p_win_90d": chance * draw.random(len(leads)), "expected_revenue_90d": draw.random(len(leads)),
        })}, {})  # fmt: skip
    later = company_of(tmp_path, experiments={"calls": {"horizon_days": 30}}, data={"known_until": "2024-12-20"})
    content = experiment(later, "calls", later.known_until)
    assert content["horizon_days"] == 10
    assert content["notes"][0] == "100% of the forecasts are archived ones"
    assert forecast_at_assignment(later, Assignments(later.params.archive_folder).read("calls")).chance.max() <= 0.1
    assert "horizon_kept" in codes(content)
    assert sum(arm["leads"] for arm in content["arms"]) == len(Assignments(company.params.archive_folder).read("calls"))


def test_the_commands_write_what_they_say(tmp_path):
    assert leadrev("simulate", "--out", tmp_path, "--revenue", "--leads", 1500, "--seed", 3).code == 0
    ran = leadrev("experiment", "extra call", folder=tmp_path)
    assert ran.code == 0, ran.err
    content = json.loads((tmp_path / "experiment.json").read_text())
    assert content["naive"]["won_share"]["value"] > 0
    assert_alone((tmp_path / "experiment.html").read_text())
    assert "call against control" in ran.out
    assert "birthday mail, extra call" in refusal("experiment", "extra", folder=tmp_path)
    assert "--share" in refusal("experiment", "assign", "mine", folder=tmp_path)
    assert "data.sources.experiments" in refusal("experiment", "assign", "extra call", "--share", 0.1, folder=tmp_path)
