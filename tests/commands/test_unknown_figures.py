"""Figures that nobody can know are said in words, never as nan."""

import math

import pytest

from pipeline.commands.train import _held_out_figures


@pytest.mark.parametrize("auc", [math.nan, 0.81])
@pytest.mark.parametrize("expected", [math.nan, 12.4])
def test_a_hold_out_says_what_it_does_not_know(auc, expected):
    text = _held_out_figures({"auc": auc, "expected_wins": expected, "actual_wins": 9})
    assert "nan" not in text
    assert ("no AUC" in text) == math.isnan(auc)
    assert ("not forecast" in text) == math.isnan(expected)
