"""A registry keeps to its own store, whatever else the process does with MLflow."""

from types import SimpleNamespace

import mlflow

from pipeline.model_registry.mlflow_registry import Registry


def test_opening_a_registry_moves_no_global_store(company, tmp_path):
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    mlflow.set_tracking_uri(elsewhere)
    registry = Registry(company.params)
    assert registry.champion() == "1"
    assert registry.load("champion")[0] == "1"
    assert mlflow.get_tracking_uri() == elsewhere
    other = SimpleNamespace(**{name: getattr(company.params, name) for name in ("model_name", "experiment", "data")})
    other.tracking_uri = f"sqlite:///{tmp_path / 'other.db'}"
    assert Registry(other).versions() == []
    assert registry.versions() == ["1"]
