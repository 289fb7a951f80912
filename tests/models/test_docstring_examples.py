"""The examples in docstrings run, and the classes that people call have some."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "features", "pipeline.common")
WITH_EXAMPLES = (
    "models.encoding.FrameEncoder", "models.hazards.TimeGrid", "models.hazards.cumulative_incidence",
    "models.incidence.IncidenceBooster", "models.deal_value.ValueBooster", "models.forecaster.LeadForecaster",
    "models.baselines.AalenJohansen", "models.baselines.ColumnRanking", "models.baselines.LogisticBaseline",
    "models.grading.Grading", "models.bootstrap.LeadDraws", "models.revenue.expected_revenue",
    *(f"models.metrics.{name}" for name in (
        "auc", "brier", "calibration_curve", "capture_curve", "concordance", "ece", "forecast_ratio",
        "integrated_brier_score", "interval_coverage", "won_within",
    )),
)  # fmt: skip
MODULES = [
    f"{package}.{module.name}"
    for package in PACKAGES
    for module in pkgutil.iter_modules([str(ROOT / package.replace(".", "/"))])
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_what_people_call_has_an_example(name):
    module, attribute = name.rsplit(".", 1)
    documented = getattr(importlib.import_module(module), attribute)
    assert doctest.DocTestParser().get_examples(documented.__doc__)
