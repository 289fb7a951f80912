"""Prediction does not touch the explainer: a model loads and forecasts without any structure for reasons."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.forecaster import LeadForecaster
from models.margin_shapley import MarginShapley

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"size": rng.lognormal(3, 1, 800), "source": rng.choice(np.array(["a", "b"], object), 800)})
    days = rng.exponential(100, 800)
    y = pd.DataFrame(
        {
            "event": np.where(days < 120, 1, 0),
            "duration": np.minimum(days, 120.0),
            "amount": 100.0,
            "as_of": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.uniform(0, 300, 800), unit="D"),
            "lead_id": [f"L{i}" for i in range(800)],
        }
    )
    return LeadForecaster(horizons_days=(30, 90), trees=5, random_state=0, threads=1).fit(X, y), X


def test_fitting_loading_and_forecasting_make_no_explainer(model, monkeypatch):
    forecaster, X = model

    def refuse(*_, **__):
        raise AssertionError("a structure for reasons was built")

    monkeypatch.setattr(MarginShapley, "__init__", refuse)
    again = LeadForecaster.from_dict(forecaster.to_dict())
    again.predict(X, (40.0, 100.0))
    again.curves(X.head(), [10.0, 50.0])
    again.total([0.5], [100.0])
    with pytest.raises(AssertionError, match="for reasons"):
        again.explain(X.head())


def test_a_fresh_process_forecasts_without_the_libraries_that_split_trees(model, tmp_path):
    forecaster, X = model
    (tmp_path / "forecaster.json").write_text(json.dumps(forecaster.to_dict()))
    X.head().to_parquet(tmp_path / "leads.parquet")
    code = (
        "import json, pathlib, sys, pandas as pd\n"
        "from models.forecaster import LeadForecaster\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "forecaster = LeadForecaster.from_dict(json.loads((folder / 'forecaster.json').read_text()))\n"
        "forecaster.predict(pd.read_parquet(folder / 'leads.parquet'))\n"
        "print([name for name in ('woodelf', 'shap', 'numba') if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.strip() == "[]"


def test_the_explainer_is_made_once_and_again_after_another_fit(model):
    forecaster, X = model
    assert forecaster.explainer() is forecaster.explainer()
    margins = forecaster.margins(X.head())
    assert margins.shape == (5, 2, forecaster.incidence_.grid_.pieces_count)
    again = LeadForecaster.from_dict(forecaster.to_dict())
    first = again.explainer()
    again._set_columns()
    assert again.explainer() is not first
