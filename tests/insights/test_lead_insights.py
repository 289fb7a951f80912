"""Insights beside the scores: one row a lead, sums that are the forecast's, nothing of a person or of tomorrow."""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features import catalogue
from features.materialise import open_leads_matrix
from pipeline.ingest.load import load_tables
from pipeline.insights.feature_groups import Signals
from pipeline.insights.lead_insights import SCHEMA, THEMES
from pipeline.insights.score_changes import read_previous
from pipeline.insights.what_if import _with_one_more, possible_actions
from pipeline.model_registry.mlflow_registry import Registry


@pytest.fixture(scope="module")
def insights(company):
    return pd.read_parquet(company.folder / "insights.parquet")


@pytest.fixture(scope="module")
def loaded(company):
    return load_tables(company.params)


@pytest.fixture(scope="module")
def stored(company):
    return Registry(company.params).load("champion")[1]


def test_one_row_a_lead_by_rank_with_the_columns_that_are_promised(company, insights, scores):
    assert pq.read_schema(company.folder / "insights.parquet").equals(SCHEMA)
    assert insights["lead_id"].tolist() == scores["lead_id"].tolist()


def test_themes_add_up_to_the_forecast(company, insights, scores):
    manifest = json.loads((company.folder / "manifest.json").read_text())
    for unit, shown in (("money", scores["expected_revenue_90d"]), ("points", 100 * scores["p_win_90d"])):
        themes = insights[[f"{unit}_{theme}" for theme in THEMES]].sum(axis=1)
        np.testing.assert_allclose(manifest[f"base_{unit}"] + themes, shown, rtol=1e-6)


def test_like_leads_were_won_by_then_and_are_not_the_lead_itself(company, insights, loaded):
    truth = pd.read_parquet(company.folder / "truth.parquet").set_index("lead_id")
    lists = insights["like_won"].map(json.loads)
    assert lists.map(len).max() == 3
    for lead_id, likes in zip(insights["lead_id"].head(200), lists, strict=False):
        ids = [like["lead_id"] for like in likes]
        assert len(set(ids)) == len(ids)
        assert lead_id not in ids
        assert truth.loc[ids, "outcome"].eq("won").all()
        assert all(
            like["days_to_win"] > 0 and set(like) == {"lead_id", "days_to_win", "amount", "did"} for like in likes
        )


def test_nothing_of_a_person_is_kept_with_the_model(stored):
    content = b"".join(stored.won_leads.to_files().values())
    assert b"@" not in content.split(b"PAR1")[0]
    assert set(stored.won_leads.rows) == {"lead_id", "days_to_win", "amount", "did"}


def test_topics_are_those_of_what_the_lead_did(company, insights):
    events = pd.read_parquet(company.folder / "events.parquet")
    until = pd.read_parquet(company.folder / "scores.parquet")["as_of"].iloc[0]
    known = pd.to_datetime(events["occurred_at"], utc=True).dt.tz_localize(None) <= until
    own = events[known & events["direction"].ne("outbound") & events["topic"].notna()]
    counts = own.groupby(["lead_id", "topic"]).size()
    for lead_id, text in zip(insights["lead_id"].head(100), insights["topics"], strict=False):
        told = json.loads(text)
        assert len(told) <= 3
        assert [topic["count"] for topic in told] == sorted((topic["count"] for topic in told), reverse=True)
        for topic in told:
            assert counts[lead_id, topic["topic"]] == topic["count"]


def test_one_more_touch_moves_what_it_should_and_nothing_else(company, loaded, stored):
    as_of = loaded.known_until
    matrix = open_leads_matrix(loaded.on_engine, stored.spec, as_of).head(40)
    actions = possible_actions(stored.spec)
    assert actions[0] == "meeting"
    plain = stored.feature_columns(matrix).reset_index(drop=True)
    for changed in _with_one_more(stored.spec, loaded.tables, as_of, matrix, actions):
        moved = [name for name in plain if not changed[name].reset_index(drop=True).equals(plain[name])]
        assert moved
        assert all(name.startswith("touch_") for name in moved)
        for name, by in (("touch_count", 1), ("touch_outbound_count", 1)):
            assert (changed[name].to_numpy() - plain[name].to_numpy() == by).all()
        assert (changed["touch_recency_days"] < 1e-6).all()


def test_what_it_would_take_is_told_as_an_association(insights):
    told = [step for text in insights["would_take"] for step in json.loads(text)]
    assert told
    for step in told:
        assert step["money"] > 0
        assert step["text"].endswith("if it acts as it did for others")
        assert ("top tenth" in step["text"]) == step["top_tenth"]


def test_what_changed_since_the_scores_of_the_day_before(company, tmp_path, scores):
    today = pd.Timestamp(scores["as_of"].iloc[0])
    yesterday = (today - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    company.run("score", "--as-of", yesterday, "--out", tmp_path, "--explain", "300")
    before = pd.read_parquet(tmp_path / "scores.parquet").set_index("lead_id").head(300)
    assert pd.read_parquet(tmp_path / "insights.parquet")["change_money"].isna().all()
    content = []
    for _ in range(2):  # once more for the same day: compared with the same scores as the first time
        company.run("score", "--out", tmp_path, "--explain", "300")
        content.append((tmp_path / "insights.parquet").read_bytes())
    assert content[0] == content[1]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["previous"] == {"as_of": yesterday, "model_version": "1"}
    found = pd.read_parquet(tmp_path / "insights.parquet").set_index("lead_id")
    both = found.index[found["change_money"].notna()]
    assert len(both) > 100
    now = scores.set_index("lead_id")["expected_revenue_90d"]
    np.testing.assert_allclose(found.loc[both, "change_money"], now[both] - before.loc[both, "expected_revenue_90d"],
                               rtol=1e-6, atol=1e-3)  # fmt: skip
    sums = [sum(part["money"] for part in json.loads(text)) for text in found.loc[both, "changes"]]
    np.testing.assert_allclose(sums, found.loc[both, "change_money"], atol=0.0051)
    assert found.loc[both, "previous_as_of"].eq(today - timedelta(days=3)).all()


def test_the_terminal_tells_it(company, scores):
    lead = scores["lead_id"].iloc[0]
    told = company.run("explain", lead).out
    for title in ("For it", "Leads like it that were won:", "Cares about:", "Touches:"):
        assert title in told
    assert "_" not in told.split("For it")[1].split("Note")[0]


def test_scores_of_a_later_date_are_not_compared_with(company, stored, scores, tmp_path):
    manifest = json.loads((company.folder / "manifest.json").read_text())
    entries = catalogue.entries(stored.spec)
    signals = Signals(entries, [entry.name for entry in entries])
    earlier, same = pd.Timestamp("2020-01-01"), pd.Timestamp(manifest["as_of"]).tz_localize(None)
    assert read_previous(company.folder, earlier.to_pydatetime(), signals, stored) is None
    assert read_previous(company.folder, same.to_pydatetime(), signals, stored) is None
    later = (same + pd.Timedelta(days=1)).to_pydatetime()
    found = read_previous(company.folder, later, signals, stored)
    shown = scores.set_index("lead_id")
    np.testing.assert_allclose(found.totals["money"], shown["expected_revenue_90d"][found.totals.index], rtol=1e-6)
    np.testing.assert_allclose(found.totals["points"], 100 * shown["p_win_90d"][found.totals.index], rtol=1e-6)
    assert read_previous(tmp_path, later, signals, stored) is None
