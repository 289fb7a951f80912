"""A night with the real champion: the same forecasts as `score`, and in an outage no reason that is silence."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from conftest import TABLES, Company, leadrev
from night_company import change_params, drop_rows

from pipeline.archive.forecasts import Forecasts, read_margins
from pipeline.model_registry.mlflow_registry import Registry


def features_in(column) -> set[str]:
    return {reason["feature"] for cell in column.dropna() for reason in json.loads(cell)}


def of_events(names: set[str | None]) -> set[str | None]:
    return {name for name in names if name and name.startswith("touch_")}


def add_challengers(params) -> None:
    """Register the champion's files as version 2, and 3, which no training made; both are challengers."""
    registry = Registry(params)
    client, name = registry.client, registry.model_name
    first = client.get_model_version(name, "1")
    client.create_model_version(name, first.source, first.run_id, model_id=first.model_id)
    client.create_model_version(name, str(params.folder / "gone"))
    client.set_registered_model_alias(name, "challenger", "2")
    client.set_registered_model_alias(name, "challenger_of_ana", "3")


def test_a_night_forecasts_as_score_does_and_tells_no_silence_in_an_outage(company, tmp_path):
    night = Company(tmp_path / "company")
    night.folder.mkdir()
    for name in (*(f"{table}.parquet" for table in TABLES), "mlflow.db", "params.yaml"):
        shutil.copy(company.folder / name, night.folder)
    add_challengers(night.params)
    ran = night.run("nightly")
    assert "challenger 2 in the shadow" in ran.err
    assert "challenger 3 did not forecast: version 3 was trained by another version of leadrev" in ran.err
    scores = pd.read_parquet(night.folder / "scores.parquet")
    pd.testing.assert_frame_equal(scores, pd.read_parquet(company.folder / "scores.parquet"), check_exact=True)
    assert of_events(features_in(scores.reasons_negative))
    assert of_events(features_in(scores.reasons_positive))
    (entry,) = Forecasts(night.folder / "archive").nights()
    margins = read_margins(entry)
    assert entry.seal["challengers"] == ["2"]
    assert read_margins(entry, "2").equals(margins)
    version, stored = Registry(night.params).load("champion")
    assert entry.seal["model_version"] == version
    pieces = len([name for name in margins.column_names if name.startswith("won_")])
    blocks = [[f"{name}_{piece + 1}" for piece in range(pieces)] for name in ("won", "lost", "amount")]
    cube = np.stack([np.column_stack([margins[name].to_numpy() for name in block]) for block in blocks], axis=1)
    matrix = pd.DataFrame({"as_of": pd.to_datetime(scores.as_of)})
    again = stored.forecaster.predict(matrix, stored.quarter_ends_days(matrix), cube)
    assert np.array_equal(again["p_win_90d"], scores.p_win_90d)
    assert np.array_equal(again["expected_revenue_90d"], scores.expected_revenue_90d)

    end = pd.Timestamp("2026-05-05", tz="UTC")
    drop_rows(night, "events", lambda rows: rows.occurred_at < end)
    change_params(night, nightly={"sources": {"events": {"max_age_hours": 30, "on_stale": "degrade"}}})
    assert leadrev("nightly", "--from", "freshness", folder=night.folder).code == 3
    scores = pd.read_parquet(night.folder / "scores.parquet")
    told = features_in(scores.reasons_positive) | features_in(scores.reasons_negative)
    assert told
    assert not of_events(told)
    insights = pq.read_table(night.folder / "insights.parquet").to_pandas()
    assert not of_events(features_in(insights.changes))
    assert set(insights.topics) == set(insights.would_take) == {"[]"}
    assert insights.touches.isna().all()
    assert all("unreliable_events" in json.loads(flags) for flags in scores.data_quality_flags)
    assert not any("never_touched" in flags for flags in scores.data_quality_flags)
    notice = json.loads((night.folder / "manifest.json").read_text())["notes"]["unreliable_events"]
    assert "stale: its newest row is of 2026-05-0" in notice
    assert "stale: its newest row is of 2026-05-0" in (night.folder / "report.html").read_text()
