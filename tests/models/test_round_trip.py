"""Every fitted object of models/ goes through JSON and comes back the same; a new one cannot escape."""

import importlib
import inspect
import json
import pkgutil

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

import models
from models.amount_score import Settings, Wins, fit_amount_score
from models.deal_value import ValueBooster
from models.encoding import FrameEncoder
from models.forecaster import LeadForecaster
from models.grading import Grading
from models.hazards import TimeGrid
from models.incidence import IncidenceBooster
from models.linear import Lines
from models.log_rates import LogRates
from models.serialization import to_json_types

NEVER_STORED = "models.baselines"  # fitted anew in every backtest
GRID = TimeGrid(np.array([0, 30, 90.0]), np.array([0, 1]), np.array([[0.01, 0.002]]))


def classes():
    """All classes that the modules of models/ define."""
    names = [f"models.{module.name}" for module in pkgutil.iter_modules(models.__path__)]
    for name in names:
        for _, found in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            if found.__module__ == name:
                yield found


STORED = {found for found in classes() if hasattr(found, "to_dict") or hasattr(found, "from_dict")}


@pytest.fixture(scope="module")
def fitted():
    """One fitted object of each class, by class, with all that JSON finds hard: gaps, odd names, NumPy's numbers."""
    rng = np.random.default_rng(0)
    count = 600
    X = pd.DataFrame(
        {
            "size": np.where(rng.random(count) < 0.1, np.nan, rng.lognormal(3, 1, count)),
            "source": rng.choice(np.array(["fair", "web, „Süd“", None], dtype=object), count),
            "empty": np.full(count, np.nan),
            "constant": 7.0,
        }
    )
    days = rng.exponential(80, count)
    y = pd.DataFrame(
        {
            "event": np.where(days < 150, rng.integers(1, 3, count), 0),
            "duration": np.minimum(days, 150.0),
            "amount": rng.lognormal(8, 1, count),
            "as_of": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.uniform(0, 600, count), unit="D"),
            "lead_id": [f"L{i}" for i in range(count)],
        }
    )
    quick = {"trees": 5, "leaves": 4, "random_state": np.int64(1), "threads": 1}
    forecaster = LeadForecaster(horizons_days=np.array([30, 90]), early_features=("size",), **quick).fit(X, y)
    bare = IncidenceBooster(**quick, recalibrate=False, clocks=(0,)).fit(X[["size", "constant"]].to_numpy(), y)
    wins = Wins(X, y["amount"].to_numpy(), np.ones(count), np.arange(count), np.zeros(count, dtype=int))
    objects = [
        forecaster,
        bare,  # its columns have numbers as names
        forecaster.value_,
        forecaster.incidence_.encoder_,
        forecaster.incidence_.log_rates_,
        forecaster.incidence_.lines_[0],
        forecaster.grading_,
        fit_amount_score(wins, 2, Settings(5, 4, 0.1, 1.8, 0, 1)),
        GRID,
    ]
    return {type(made): made for made in objects}, X


def predictions(made, X):
    """What an object says of leads."""
    if isinstance(made, LeadForecaster):
        return made.margins(X), made.predict(X, (40.0, 80.0)).drop(columns="grade").to_numpy(float)
    if isinstance(made, IncidenceBooster):
        return (made.margins(X[["size", "constant"]].to_numpy()),)
    if isinstance(made, ValueBooster):
        return made.margins(X), *made.interval([100.0, 1e5])
    if isinstance(made, FrameEncoder):
        return (made.transform(X.assign(source="never seen")), made.transform(X))
    if isinstance(made, LogRates):
        return made.trees_and_lines(made.encoder.transform(X), threads=1)
    if isinstance(made, Lines):
        return (made.margins(np.full((3, len(made.centre)), [[np.nan], [2.0], [1e9]])),)
    if isinstance(made, Grading):
        return made.score([0.0, 1.0, 1e9]), made.grade([0.0, 1.0, 1e9]) == "A"
    if isinstance(made, TimeGrid):
        return made.bin_edges_days, made.bin_piece, made.base_rates
    return (made.in_pieces(made.encoder.transform(X), threads=1),)


@pytest.mark.parametrize("kind", sorted(STORED, key=lambda found: found.__name__), ids=lambda kind: kind.__name__)
def test_an_object_comes_back_from_json_bit_for_bit(fitted, kind):
    objects, X = fitted
    assert kind in objects, "make a fitted object of the new class above, and say what it predicts"
    made = objects[kind]
    content = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    again = kind.from_dict(content)
    assert again.to_dict() == made.to_dict() == content
    for before, after in zip(predictions(made, X), predictions(again, X), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", sorted(classes(), key=lambda found: found.__name__), ids=lambda kind: kind.__name__)
def test_every_estimator_that_a_model_holds_owns_both_ways(kind):
    is_stored = issubclass(kind, BaseEstimator) and kind.__module__ != NEVER_STORED
    assert hasattr(kind, "to_dict") == hasattr(kind, "from_dict") == (is_stored or kind in STORED)


@pytest.mark.parametrize("value", [np.inf, np.array([1.0, -np.inf])])
def test_an_infinite_number_is_refused_rather_than_read_back_as_something_else(value):
    with pytest.raises(ValueError, match="infinite"):
        to_json_types({"a": value})


@pytest.mark.parametrize("value", [np.random.RandomState(0), {1: 2}, b"bytes"])
def test_what_has_no_form_in_json_is_refused(value):
    with pytest.raises(TypeError):
        to_json_types({"a": value})
