"""The search for settings: in time order, within its budget, going on after a kill, never worse than what was given."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import log_loss

from models.forecaster import LeadForecaster
from models.time_folds import log_losses, time_folds
from pipeline.config.params import load_params
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.training import tuning

SOURCES = "data: {sources: {leads: {from: leads.csv}, deals: {from: deals.csv}}}"


def snapshots(rows=1500, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"size": rng.normal(size=rows), "noise": rng.normal(size=rows)})
    seen = rng.integers(0, 600, rows)
    ends = np.stack([600.0 - seen, rng.exponential(120 * np.exp(-X["size"])), rng.exponential(150, rows)])
    y = pd.DataFrame({"event": ends.argmin(axis=0), "duration": np.maximum(ends.min(axis=0), 0.1)})
    y["as_of"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(seen, unit="D")
    y["lead_id"] = [f"L{number}" for number in rng.integers(0, rows // 2, rows)]
    return X, y.assign(weight=rng.uniform(0.5, 2, rows), amount=np.nan)


@pytest.fixture
def params(tmp_path):
    (tmp_path / "params.yaml").write_text(f"company: x\n{SOURCES}\nmodel: {{trees: 5, leaves: 3, pieces: 2}}\n")
    return load_params(tmp_path / "params.yaml")


@pytest.fixture
def training(params):
    X, y = snapshots(900)
    forecaster = LeadForecaster(threads=1, random_state=0, **params.model.model_dump())
    facts = SimpleNamespace(data_fingerprint="d", trained_as_of="2025-08-01T00:00:00Z")
    return SimpleNamespace(X=X, y=y, stored=SimpleNamespace(forecaster=forecaster, facts=facts))


def ticking():
    """A clock that moves a second whenever it is looked at: a trial takes one, and each look between them another."""
    ticks = count()
    return lambda: float(next(ticks))


def test_folds_know_nothing_of_what_came_after_their_day():
    _, y = snapshots()
    folds = time_folds(y, 90)
    assert [fold.day for fold in folds] == sorted(fold.day for fold in folds)
    assert len(folds) == 3
    seen = (y["as_of"] - pd.Timestamp(0)).dt.days.to_numpy()
    end = (seen + y["duration"]).max()
    for fold in folds:
        known, whole = fold.y_train, y.iloc[fold.train]
        assert (seen[fold.train] + known["duration"] <= fold.day + 1e-9).all()
        ended = seen[fold.train] + whole["duration"].to_numpy() <= fold.day
        np.testing.assert_array_equal(known["event"].to_numpy()[ended], whole["event"].to_numpy()[ended])
        assert (known["event"].to_numpy()[~ended] == 0).all()
        assert (seen[fold.test] >= fold.day).all()
        assert (seen[fold.test] + 90 <= end + 1e-9).all()


def test_a_short_history_has_no_folds():
    _, y = snapshots(200)
    assert time_folds(y, 300) == []
    assert time_folds(y.assign(event=2), 90) == []


def test_the_loss_is_that_of_scikit_learn():
    _, y = snapshots(300)
    y["duration"] += 40 * (y["event"] == 0)
    p = np.random.default_rng(1).uniform(0.01, 0.9, (300, 1))
    known = (y["event"] != 0) | (y["duration"] >= 60)
    won = (y["event"] == 1) & (y["duration"] <= 60)
    losses = log_losses(y, p, np.array([60.0]))
    assert losses[known].mean() == pytest.approx(log_loss(won[known], p[known, 0]))
    assert (losses[~known] == 0).all()


def test_a_killed_search_goes_on_as_if_it_had_not_been(params, training, tmp_path, monkeypatch):
    whole = tuning.tune(params, training, 12 / 60, ticking())
    assert len(whole.trials) >= 4
    assert whole.trials[0].settings == params.model.model_dump()
    (tmp_path / tuning.FILE).unlink()
    honest, calls = tuning._losses, count()

    def dies(*given):
        if next(calls) in (0, 3):
            raise KeyboardInterrupt
        return honest(*given)

    monkeypatch.setattr(tuning, "_losses", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tuning.tune(params, training, 12 / 60, ticking())
    monkeypatch.setattr(tuning, "_losses", honest)
    first = tuning.tune(params, training, 0.01, ticking())
    assert len(first.trials) == 2, "two were done before the kill, and time is up"
    again = tuning.tune(params, training, 14 / 60, ticking())
    assert [trial.settings for trial in again.trials[: len(whole.trials)]] == [trial.settings for trial in whole.trials]
    assert again.trials[: len(whole.trials)] == whole.trials
    assert len(again.trials) > len(whole.trials)


def test_noise_changes_nothing_and_a_better_setting_is_taken(params, training, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(tuning, "_losses", lambda *_: 0.01 + 0.0001 * rng.normal(size=tuning.BUCKETS))
    kept = tuning.tune(params, training, 60 / 60, ticking())
    assert len(kept.trials) > 10
    assert kept.chosen.number == 0
    assert "these are kept" in kept.summary
    assert kept.apply(params) == params
    (tmp_path / tuning.FILE).unlink()

    def slower_is_better(settings, *_):
        return 0.01 + 0.01 * abs(settings["learning_rate"] - 0.1) + 1e-7 * rng.normal(size=tuning.BUCKETS)

    monkeypatch.setattr(tuning, "_losses", slower_is_better)
    moved = tuning.tune(params, training, 60 / 60, ticking())
    assert abs(moved.chosen.settings["learning_rate"] - 0.1) < 0.05
    assert "learning_rate: 0.1" in moved.summary or "learning_rate: 0.0" in moved.summary
    assert moved.apply(params).model.learning_rate == moved.chosen.settings["learning_rate"]
    assert moved.apply(params).folder == params.folder
    written = yaml.safe_load(moved.summary.splitlines()[-1])["model"]
    assert params.model.model_dump() | written == moved.chosen.settings, "else promote takes the backtest for another's"


def test_training_with_a_search_logs_every_trial_inside_its_run(company, tmp_path):
    copied = company.copy(tmp_path, model={"trees": 20, "pieces": 2})
    said = copied.run("train", "--tune", "0.05").out
    assert "Tuned: " in said
    registry = Registry(copied.params)
    version = registry.client.get_model_version(registry.model_name, registry.version("latest"))
    experiment = registry.client.get_experiment_by_name(copied.params.experiment)
    inside = mlflow.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
    tried = int(said.split("Tuned: ")[1].split()[0])
    assert len(inside) == tried >= 1
    first = inside[inside["tags.mlflow.runName"] == "trial 0"].iloc[0]
    assert first["params.model.trees"] == "20"
    assert first["metrics.log_loss"] > 0
    assert first["metrics.difference"] == 0
