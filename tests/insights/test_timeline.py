"""What happened to a lead is told as it was known, without a person in it, and a day's move is two forecasts apart."""

from datetime import timedelta

import pandas as pd
import pytest

from features import materialise
from features.snapshot_context import KEYS
from pipeline.common import formatting
from pipeline.ingest import load
from pipeline.insights import timeline
from pipeline.insights.timeline import TIMELINE
from pipeline.model_registry.mlflow_registry import Registry


@pytest.fixture(scope="module")
def told(company):
    return pd.read_parquet(company.folder / "timeline.parquet")


def test_every_open_lead_has_its_beginning_and_only_words_of_the_contract(told, scores):
    assert list(told) == TIMELINE.names
    assert set(told.loc[told.kind == "created", "lead_id"]) <= set(scores["lead_id"])
    assert set(told["lead_id"]) == set(scores["lead_id"])
    assert (told["occurred_at"] <= scores["as_of"].iloc[0]).all()
    assert told.groupby("lead_id").size().max() <= timeline.LATEST_COUNT
    assert told.equals(told.sort_values(["lead_id", "occurred_at"], kind="stable"))


def test_only_days_of_the_leads_at_the_top_moved(told, scores):
    moved = told[told["moved_money"].notna()]
    assert len(moved)
    assert set(moved["lead_id"]) <= set(scores["lead_id"].head(timeline.MOVED_LEADS))
    assert (moved["occurred_at"] > scores["as_of"].iloc[0] - timedelta(days=timeline.MOVED_DAYS + 1)).all()
    day = moved["occurred_at"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin").dt.date
    assert moved.groupby(["lead_id", day])["moved_money"].nunique().max() == 1, "a day moved a lead once"


def test_a_day_moved_a_lead_by_the_difference_of_two_forecasts(company, scores):
    loaded, as_of = load.company_at(company.params, None)
    _, stored = Registry(company.params).load("champion")
    top = scores[["lead_id", "episode"]].head(3)
    moves = timeline.day_moves(loaded, top, stored, as_of)
    assert len(moves)
    one = moves.sort_values("money").iloc[-1]
    figures = []
    for instant in (one["start"], one["stop"]):
        rows = materialise.open_leads_matrix(loaded.on_engine, stored.spec, instant.to_pydatetime(), one["moved_id"])
        assert rows[KEYS[0]].tolist() == [one["moved_id"]]
        figures.append(float(stored.forecast(rows)["expected_revenue_90d"].iloc[0]))
    assert one["money"] == pytest.approx(figures[1] - figures[0], abs=1e-3)
    assert one["stop"] - one["start"] <= timedelta(hours=25)
    assert formatting.instant(one["start"].to_pydatetime(), company.params.data.timezone).count(":") == 0, "a midnight"


def test_nobody_asked_for_is_nothing_to_do(company, scores):
    loaded, as_of = load.company_at(company.params, None)
    assert timeline.day_moves(loaded, scores.head(0), None, as_of).empty
