"""Reasons in words: which column speaks for a signal, what is never said, and figures that add up."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import THEMES
from features.feature import Feature
from features.spec import FeatureSpec
from models.shapley import ShapleyValues
from pipeline.insights.contact_cadence import ContactCadence, contact_cadence
from pipeline.insights.feature_groups import Signals
from pipeline.insights.reasons import makes_sense, reasons
from pipeline.insights.score_changes import Previous, changes, still_open
from pipeline.model_registry.won_lead_profiles import WonLeadProfiles


def entry(name, unit="count", theme="engagement", group=None, **more):
    words = {"text": f"{name} {{value}}", "unknown": f"{name} not known", "meaning": name, "provenance": "made up"}
    return Feature(name=name, unit=unit, theme=theme, group=group or name, **(words | more))


CATALOGUE = [
    entry("touch_demo_30d_count", group="demo", text="Asked for a demo {times}", none="No demo request"),
    entry("touch_demo_recency_days", "days", group="demo", against="No demo request for {value}"),
    entry("acct_employees", theme="fit", noun="person", plural="people", text="Company of {count}"),
    entry("lead_phone", "yes or no", theme="fit"),
    entry("lead_own_gender", "category", theme="fit", is_reason=False),
    entry("lead_source", "category", theme="source", text="Source: {value}"),
    entry("lead_region", "category", theme="fit"),
    entry("lead_age_days", "days", theme="timing", text="Came in {value} ago", against="Open for {value}"),
]
NAMES = [feature.name for feature in CATALOGUE]
SIGNALS = Signals(CATALOGUE, NAMES)
TYPICAL = {"touch_demo_30d_count": 0.0, "touch_demo_recency_days": np.nan, "acct_employees": 50.0}


def leads(**columns):
    plain = {
        "touch_demo_30d_count": 2.0, "touch_demo_recency_days": 3.0, "acct_employees": 300.0, "lead_phone": np.nan,
        "lead_own_gender": "f", "lead_source": "paid_search", "lead_region": "other",
        "lead_age_days": 12.0,
    }  # fmt: skip
    rows = max([1, *(len(np.atleast_1d(column)) for column in columns.values())])
    return pd.DataFrame({name: np.resize(columns.get(name, plain[name]), rows) for name in NAMES})


def weights(rows=1, **columns):
    return pd.DataFrame({name: np.resize(columns.get(name, 0.0), rows) for name in NAMES})


def told(X, money, points=None):
    found = reasons(SIGNALS, X, money * 0.01 if points is None else points, money, TYPICAL)
    return [[json.loads(text) for text in found[side]] for side in ("reasons_positive", "reasons_negative")]


def test_columns_of_one_signal_are_one_reason_and_the_strongest_of_them_speaks():
    money = weights(touch_demo_30d_count=300.0, touch_demo_recency_days=100.0, acct_employees=-50.0)
    (positive,), (negative,) = told(leads(), money)
    assert positive == [
        {"code": "demo", "text": "Asked for a demo twice", "feature": "touch_demo_30d_count", "value": 2, "money": 400,
         "points": 4},
    ]  # fmt: skip
    assert [(reason["text"], reason["money"]) for reason in negative] == [("Company of 300 people", -50)]


def test_four_at_most_and_the_weightiest_first():
    many = [entry(f"lead_{n}", "number", theme="fit") for n in range(9)]
    X = pd.DataFrame(np.ones((1, 9)), columns=[feature.name for feature in many])
    money = pd.DataFrame([[5.0, -1, 9, -8, 7, 6, -3, 4, -2]], columns=X.columns)
    found = reasons(Signals(many, list(X.columns)), X, money, None, {})
    positive, negative = (json.loads(found[side][0]) for side in found)
    assert [reason["points"] for reason in positive] == [9, 7, 6, 5]
    assert [reason["points"] for reason in negative] == [-8, -3, -2, -1]
    assert {reason["money"] for reason in positive} == {None}


@pytest.mark.parametrize(
    "money",
    [
        weights(lead_phone=500.0),  # a missing phone number
        weights(lead_own_gender=500.0),  # of the person
        weights(lead_region=500.0),  # a word that tells nothing
        weights(touch_demo_30d_count=-500.0),  # asking for a demo more often than others
    ],
)
def test_what_would_sound_absurd_is_not_said(money):
    assert told(leads(), money) == [[[]], [[]]]


def test_what_has_not_happened_is_no_strength_and_unknown_is_said_against():
    X = leads(touch_demo_30d_count=0.0, touch_demo_recency_days=np.nan, acct_employees=np.nan)
    money = weights(touch_demo_30d_count=90.0, touch_demo_recency_days=-10.0, acct_employees=-70.0)
    (positive,), (negative,) = told(X, money)
    assert positive == []
    assert [reason["text"] for reason in negative] == ["acct_employees not known"]
    assert negative[0]["value"] is None


def test_money_and_chance_that_disagree_are_worded_so():
    (positive,), _ = told(leads(), weights(acct_employees=900.0), weights(acct_employees=-0.4))
    assert positive[0]["text"] == "Company of 300 people; a bigger deal, but less likely"
    _, (negative,) = told(leads(acct_employees=5.0), weights(acct_employees=-900.0), weights(acct_employees=0.4))
    assert negative[0]["text"] == "Company of 5 people; more likely, but a smaller deal"
    _, (plain,) = told(leads(acct_employees=5.0), weights(acct_employees=-900.0), weights(acct_employees=0.04))
    assert plain[0]["text"] == "Company of 5 people"  # no points at all, as printed


def test_what_won_leads_are_used_to_is_added_where_it_was_missed():
    said = [
        (8.0, "; won leads heard from us every 4 days"),
        (4.0, "; won leads of this size heard from us every 2 days"),
    ]
    cadence = ContactCadence(np.array([0, 0, 1]), {"lead_age_days": said})
    X = leads(lead_age_days=[12.0, 5.0, 5.0])
    found = reasons(SIGNALS, X, weights(3, lead_age_days=-1.0), None, TYPICAL, cadence)["reasons_negative"]
    texts = [json.loads(text)[0]["text"] for text in found]
    assert texts == ["Open for 12 days" + said[0][1], "Open for 5 days", "Open for 5 days" + said[1][1]]


def test_won_leads_of_the_same_size_are_the_rule_and_all_of_them_where_those_are_too_few():
    gaps = {"gap_days": {"": 4.0, "call": 6.0}, "gap_days_of": {"2": {"": 2.0}}, "segment": "acct_employees"}
    won = WonLeadProfiles(pd.DataFrame(), [], np.zeros((0, 0)), gaps)
    spec = FeatureSpec(columns=("events.kind", "events.direction"), event_kinds=("call",), outbound_kinds=("call",))
    cadence = contact_cadence(won, spec, leads(acct_employees=[80.0, 3.0, np.nan]))
    told = {column: [said[place] for place in cadence.segment] for column, said in cadence.typical_gaps.items()}
    all_of_them = (8.0, "; won leads heard from us every 4 days")
    assert told["touch_outbound_recency_days"] == [
        (4.0, "; won leads of this size heard from us every 2 days"), all_of_them, all_of_them,
    ]  # fmt: skip
    assert set(told["touch_call_recency_days"]) == {(12.0, "; won leads got one every 6 days")}


def test_a_column_that_is_hard_to_retell_lets_another_one_speak_where_that_is_true():
    better = ("touch_30d_count", "touch_recency_days")
    catalogue = [
        entry("touch_decayed_count", "number", group="touch", text="Index {value}", clearer_columns=better),
        entry("touch_30d_count", group="touch", text="{count} in 30 days", none="Nothing in 30 days"),
        entry("touch_recency_days", "days", group="touch", text="Last {value} ago", against="Nothing for {value}"),
    ]
    X = pd.DataFrame([[9.0, 12.0, 1.0], [9.0, 2.0, 80.0], [0.1, 0.0, 80.0]], columns=[one.name for one in catalogue])
    typical = {"touch_decayed_count": 3.0, "touch_30d_count": 4.0, "touch_recency_days": 20.0}
    money = pd.DataFrame([[50.0, 1, 2], [50.0, 1, 2], [-50.0, -1, -2]], columns=X.columns)
    found = reasons(Signals(catalogue, list(X.columns)), X, money * 0.01, money, typical)
    texts = [[reason["text"] for reason in json.loads(side)] for side in found.to_numpy().ravel()]
    assert texts == [["12 times in 30 days"], [], ["Index 9"], [], [], ["Nothing for 3 months"]]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_setback_is_never_a_strength_and_its_absence_no_weakness(sign):
    count, lately = entry("touch_unsubscribe_count", none="None"), entry("touch_unsubscribe_recency_days", "days")
    ours = entry("touch_meeting_count", theme="sales activity", none="No meeting")
    assert makes_sense(count, pd.Series([0.0, 2.0]), sign, 0.0).tolist() == ([False] * 2 if sign > 0 else [False, True])
    assert makes_sense(lately, pd.Series([np.nan, 2.0]), sign, np.nan).tolist() == (
        [False] * 2 if sign > 0 else [False, True]
    )
    assert makes_sense(ours, pd.Series([0.0, 2.0]), sign, 1.0).tolist() == (
        [False, True] if sign > 0 else [True, False]
    )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_reason_is_true_of_its_lead_whoever_stands_beside_it(seed):
    rng = np.random.default_rng(seed)
    X = leads(
        touch_demo_30d_count=rng.integers(0, 4, 5).astype(float),
        touch_demo_recency_days=np.where(rng.random(5) < 0.3, np.nan, rng.exponential(20, 5)),
        acct_employees=np.where(rng.random(5) < 0.3, np.nan, rng.integers(1, 900, 5)),
        lead_source=rng.choice(["web", "fair", None], 5),
    )
    money = pd.DataFrame(rng.normal(size=(5, len(NAMES))) * 100, columns=NAMES)
    together = reasons(SIGNALS, X, money * 0.01, money, TYPICAL)
    for lead in range(5):
        one = slice(lead, lead + 1)
        alone = reasons(SIGNALS, X.iloc[one], money.iloc[one] * 0.01, money.iloc[one], TYPICAL)
        assert together.iloc[one].equals(alone)
        for side, sign in (("reasons_positive", 1), ("reasons_negative", -1)):
            for reason in json.loads(together[side][lead]):
                members = [feature.name for feature in CATALOGUE if feature.group == reason["code"]]
                assert reason["feature"] in members
                assert reason["money"] == pytest.approx(money.loc[lead, members].sum(), abs=0.005)
                assert sign * reason["money"] > 0
                value = X.loc[lead, reason["feature"]]
                if pd.isna(value):
                    assert reason["value"] is None
                else:
                    assert reason["value"] == (value if isinstance(value, str) else pytest.approx(value, abs=0.005))
                assert "gender" not in reason["feature"]


@given(st.sampled_from([-1, 1]), st.floats(0, 100), st.floats(0, 100))
def test_no_value_speaks_both_for_and_against_where_people_know_better(sign, value, typical):
    counted = CATALOGUE[0]
    assert counted.sense == 1
    both = [bool(makes_sense(counted, pd.Series([value]), side, typical)[0]) for side in (1, -1)]
    assert sum(both) <= 1
    assert both[0] == (value > typical)
    assert both[1] == (value < typical or value == 0)


def attributions(money):
    points = money * 0.01
    return ShapleyValues(money, points, points, 100.0, 1.0, 1.0, 0.0, "woodelf")


def test_themes_add_up():
    money = pd.DataFrame(np.random.default_rng(0).normal(size=(6, len(NAMES))), columns=NAMES)
    themes = SIGNALS.by_theme(money)
    assert themes.shape == (6, len(THEMES))
    np.testing.assert_allclose(themes.sum(axis=1), money.sum(axis=1))
    np.testing.assert_allclose(themes[:, THEMES.index("engagement")], money.iloc[:, :2].sum(axis=1))
    np.testing.assert_allclose(SIGNALS.by_group(money).sum(axis=1), money.sum(axis=1))


@pytest.fixture
def then():
    rng = np.random.default_rng(1)
    money = pd.DataFrame(rng.normal(size=(4, len(NAMES))) * 50, columns=NAMES)
    ids = pd.Index(["a", "b", "c", "gone"])
    totals = pd.DataFrame({"money": 100 + money.sum(axis=1), "points": 1 + 0.01 * money.sum(axis=1)}).set_axis(ids)
    as_of = pd.Timestamp("2026-05-01").to_pydatetime()
    return Previous(as_of, "1", totals, SIGNALS.by_group(money)), money


def test_what_changed_adds_up_to_the_change_to_the_cent(then):
    last, money = then
    ids = pd.Series(["new", "b", "a"])
    X = leads(touch_demo_30d_count=[1.0, 3.0, 0.0], lead_age_days=[1.0, 9.0, 40.0])
    now = pd.DataFrame(np.random.default_rng(2).normal(size=(3, len(NAMES))) * 50, columns=NAMES)
    told = changes(still_open(last, ids), SIGNALS, ids, X, attributions(now), TYPICAL)
    assert np.isnan(told["change_money"][0])
    assert told["changes"][0] == "[]"
    for lead, before in ((1, 1), (2, 0)):
        change = now.iloc[lead].sum() - money.iloc[before].sum()
        assert told["change_money"][lead] == pytest.approx(change)
        assert told["change_points"][lead] == pytest.approx(0.01 * change)
        listed = json.loads(told["changes"][lead])
        assert sum(part["money"] for part in listed) == pytest.approx(round(change, 2), abs=1e-6)
        assert [part["code"] for part in listed].count("other") == 1
        assert not {"acct_employees", "lead_source", "lead_own_gender"} & {part["code"] for part in listed}


def test_where_nothing_changed_nothing_is_said(then):
    last, money = then
    ids = pd.Series(["a", "b", "c"])
    X = leads(lead_age_days=[1.0, 2.0, 3.0])
    told = changes(still_open(last, ids), SIGNALS, ids, X, attributions(money.head(3)), TYPICAL)
    np.testing.assert_allclose(told["change_money"], 0, atol=1e-9)
    assert told["changes"].eq("[]").all()
