"""The matrix as a file and the catalogue as text: what is refused, and what is said."""

from __future__ import annotations

from datetime import datetime

import pytest
from conftest import leadrev
from random_company import random_tables

from features import catalogue
from features.spec import FeatureSpec
from pipeline.common import formatting


def test_a_name_that_is_not_parquet_is_refused_before_any_work(tmp_path) -> None:
    (tmp_path / "params.yaml").write_text("company: x\ndata: {sources: {leads: {from: a.csv}, deals: {from: b.csv}}}\n")
    ran = leadrev("features", "--out", tmp_path / "x.csv", folder=tmp_path)
    assert ran.code == 2
    assert ran.mistakes == [
        f"leadrev: --out {tmp_path / 'x.csv'}: the matrix is written as Parquet; name it {tmp_path / 'x.parquet'}"
    ]
    assert not (tmp_path / "x.csv").exists()


def test_the_catalogue_is_printed_whole_without_a_date_or_a_file(company) -> None:
    lines = company.run("features", "--describe").out.splitlines()
    named = {line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")}
    assert f"{len(named)} features" in lines[0]
    assert {"touch_count", "lead_age_days", "acct_won_count"} <= named
    assert {line.split(" (")[0].lower() for line in lines if line and line[0].isupper()} == set(catalogue.THEMES)


def test_each_feature_has_an_example_without_holes() -> None:
    for feature in catalogue.entries(FeatureSpec.from_tables(random_tables(0), datetime(2024, 1, 1))):
        assert "{" not in catalogue.example(feature)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("touch_outbound_to_win_share", 0.6, "We have made 60% of the touches that winning takes"),
        ("deal_expected_close_days", -5.2, "Planned closing 5 days overdue"),
        ("lead_title_department", "another department", "Works in another department"),
        ("touch_topics_count", 1.0, "Interested in 1 topic so far"),
        ("acct_customer_before_lead", 0.0, "Had not bought before this lead came in"),
    ],
)
def test_what_is_said_is_true(name: str, value: float | str, text: str) -> None:
    entries = catalogue.entries(FeatureSpec.from_tables(random_tables(0), datetime(2024, 1, 1)))
    assert (
        catalogue.sentence({entry.name: entry for entry in entries}[name], value, favourable=False, formats=formatting)
        == text
    )
