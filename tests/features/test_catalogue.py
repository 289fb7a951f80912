from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_company import random_frames, random_tables, to_tables

from features import catalogue, matrix, snapshots, wording
from features.spec import FeatureSpec, slugs
from pipeline.common import formatting

AS_OF = datetime(2024, 1, 10)
EVERYTHING = FeatureSpec(
    columns=tuple(
        f"{table}.{column}"
        for table, columns in {
            "leads": "lead_id account_id owner_id source campaign title kind entry product email phone name",
            "deals": "deal_id outcome recorded_at opened_at amount stage expected_close_at",
            "accounts": "account_id employees annual_revenue industry country founded_year",
            "events": "kind direction channel topic",
        }.items()
        for column in columns.split()
    ),
    lead_attributes=(
        ("machineCount", "number"),
        ("first_order", "time"),
        ("region", "category"),
        ("gender", "category"),
    ),
    account_attributes=(("tier", "category"),),
    event_kinds=("demo_request", "call", "Trade-Fair Visit", "visit", "offer sent back", "unsubscribe"),
    windows_days=(1, 7, 30),
    outbound_kinds=("call",),
    channels=("web", "phone"),
)
FEATURES = {feature.name: feature for feature in catalogue.entries(EVERYTHING)}


@pytest.mark.parametrize("absent", [frozenset(), frozenset({"events", "accounts"})])
def test_the_catalogue_is_what_is_built(absent: frozenset[str]) -> None:
    tables = to_tables(random_frames(2, leads_count=20), absent=absent)
    spec = FeatureSpec.from_tables(tables, AS_OF)
    schema = matrix.feature_matrix(tables, snapshots.open_leads(tables, AS_OF), spec).schema()
    entries = catalogue.entries(spec)
    assert list(schema) == ["lead_id", "episode", "as_of", *(entry.name for entry in entries)]
    for entry in entries:
        assert schema[entry.name].is_string() if entry.is_category else schema[entry.name].is_float64(), entry.name


def test_entries_are_whole() -> None:
    assert len(FEATURES) == len(catalogue.entries(EVERYTHING)) > 80
    for feature in FEATURES.values():
        assert feature.theme in catalogue.THEMES
        assert feature.name.startswith(("lead_", "acct_", "touch_", "deal_", "cal_"))
        assert all((feature.unit, feature.provenance, feature.group, feature.meaning, feature.text, feature.unknown))
    assert {feature.theme for feature in FEATURES.values()} == set(catalogue.THEMES)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(FEATURES)),
    st.one_of(st.none(), st.just(float("nan")), st.floats(-1e4, 1e9), st.integers(0, 40).map(float)),
    st.booleans(),
)
def test_every_value_has_a_plain_sentence(name: str, value: float | None, favourable: bool) -> None:
    feature = FEATURES[name]
    text = catalogue.sentence(feature, value if not feature.is_category else "some words", favourable, formatting)
    assert text == catalogue.sentence(
        feature, value if not feature.is_category else "some words", favourable, formatting
    )
    assert text[0].isupper() or text[0].isdigit() or text[0] == "-"
    assert not re.search(r"[_{}]|\bnan\b|None(?! of)|\b1 \w+s\b(?<!times)|\.$", text), text


@pytest.mark.parametrize(
    ("name", "value", "favourable", "text"),
    [
        ("touch_demo_request_7d_count", 2.0, True, "Asked for a demo twice in the last 7 days"),
        ("touch_demo_request_7d_count", 0.0, False, "No demo request in the last 7 days"),
        ("touch_demo_request_recency_days", None, False, "No demo request so far"),
        ("touch_call_recency_days", 12.4, False, "No call for 12 days"),
        ("touch_call_recency_days", 1.0, True, "Last call 1 day ago"),
        ("touch_trade_fair_visit_7d_count", 1.0, True, "1 trade fair visit in the last 7 days"),
        ("touch_call_count", 2.0, True, "2 calls so far"),
        ("touch_offer_sent_back_recency_days", 30.0, False, "Offer sent back 30 days ago"),
        ("touch_visit_recency_days", 90.0, True, "Visited the website 3 months ago"),
        ("touch_1d_count", 1.0, True, "1 interaction in the last 24 hours"),
        ("touch_momentum_ratio", 0.4, False, "Cooled down: active 60% less often than usual in the last 7 days"),
        ("lead_entry", "hand_raised", True, "Raised a hand"),
        ("lead_source_conversion_ratio", 0.7, False, "Leads from the same source were won 30% less often than usual"),
        (
            "lead_source_recent_ratio",
            2.5,
            True,
            "Lately, leads from the same source were won 2.5 times as often as usual",
        ),
        ("lead_filled_share", 1.0, True, "All of the contact's details are filled in"),
        ("acct_employees", 4321.0, True, "Company of 4,321 people"),
        ("acct_employees", 1.0, False, "Company of 1 person"),
        ("lead_source", "paid_search", True, "Source: paid search"),
        ("lead_own_machinecount", 7.0, True, "Machine count: 7"),
        ("acct_country", "AT", False, "Country: Austria"),
        ("acct_country", "Atlantis", False, "Country: Atlantis"),
        ("deal_amount", 40_000.0, True, "Open deal of €40,000"),
        ("acct_annual_revenue", 101_592_000.0, True, "Company with a revenue of €102M a year"),
        ("touch_inbound_share", 0.0, False, "A monologue: the lead has never got in touch"),
    ],
)
def test_sales_reads_its_own_words(name: str, value: float | str | None, favourable: bool, text: str) -> None:
    assert catalogue.sentence(FEATURES[name], value, favourable, formatting, "EUR") == text


def test_what_is_the_same_for_every_lead_of_a_day_is_no_reason() -> None:
    assert not [name for name, feature in FEATURES.items() if name.startswith("cal_") and feature.is_reason]


@pytest.mark.parametrize(
    ("noun", "many"),
    [("visit to the website", "visits to the website"), ("reply", "replies"), ("mail from us", "mails from us"),
     ("opened mail", "opened mails"), ("click in a mail", "clicks in a mail"), ("day", "days"), ("pitch", "pitches")],
)  # fmt: skip
def test_events_have_a_plural(noun: str, many: str) -> None:
    assert wording.plural(noun) == many


def test_what_tells_of_the_person_is_never_a_reason() -> None:
    assert not FEATURES["lead_own_gender"].is_reason
    assert FEATURES["lead_own_region"].is_reason


def test_how_a_salesperson_s_leads_fared_is_nobody_s_reason() -> None:
    spec = replace(EVERYTHING, columns=(*EVERYTHING.columns, "leads.owner_id"))
    owners = [entry for entry in catalogue.entries(spec) if "salesperson" in entry.text]
    assert len(owners) == 2
    assert not any(entry.is_reason for entry in owners)


def test_our_own_calls_are_sales_activity() -> None:
    assert FEATURES["touch_call_7d_count"].theme == "sales activity"
    assert FEATURES["touch_demo_request_7d_count"].theme == "engagement"


def test_a_spec_is_kept_as_json_and_leaves_out_what_is_excluded() -> None:
    tables = random_tables(1, leads_count=10)
    spec = FeatureSpec.from_tables(tables, AS_OF, excluded=("leads.region", "leads.owner_id"))
    assert FeatureSpec.from_json(spec.to_json()) == spec
    names = {entry.name for entry in catalogue.entries(spec)}
    assert not [name for name in names if "region" in name or "owner" in name]
    assert "lead_own_machines" in names


@given(st.lists(st.text(max_size=12), unique=True, max_size=20))
def test_different_words_get_different_column_names(words: list[str]) -> None:
    names = slugs(words)
    assert len(set(names.values())) == len(words)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names.values())


@pytest.mark.parametrize(
    ("value", "text"), [(0.01, "less than an hour"), (0.5, "12 hours"), (1.2, "1 day"), (75, "2 months")]
)
def test_lengths_of_time_read_as_people_say_them(value: float, text: str) -> None:
    assert formatting.days(value) == text


def test_how_others_of_the_same_origin_converted_can_only_speak_one_way() -> None:
    assert FEATURES["lead_source_conversion_ratio"].is_monotone_increasing
    assert {feature.unit for feature in FEATURES.values() if feature.is_monotone_increasing} == {"ratio"}
