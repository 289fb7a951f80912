"""Estimators as plain content: JSON, LightGBM's own text and NumPy arrays. Nothing is pickled.

Floats are written so that they are read back bit for bit.
"""

from __future__ import annotations

import io
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models.deal_value import ValueBooster
from models.encoding import FrameEncoder
from models.hazards import TimeGrid
from models.incidence import IncidenceBooster
from models.linear import Lines

State = dict[str, bytes]


def array_bytes(array: NDArray) -> bytes:
    """Return an array as the content of a ``.npy`` file."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def array_from(content: bytes) -> NDArray:
    """Return the array that `array_bytes` wrote."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def booster_bytes(booster: lgb.Booster) -> bytes:
    """Return a booster as LightGBM's own text."""
    return booster.model_to_string().encode()


def booster_from(content: bytes) -> lgb.Booster:
    """Return the booster that `booster_bytes` wrote."""
    return lgb.Booster(model_str=content.decode())


def grid_facts(grid: TimeGrid) -> dict[str, Any]:
    """Return a time grid as JSON holds it."""
    return {
        "bin_edges_days": grid.bin_edges_days.tolist(),
        "bin_piece": grid.bin_piece.tolist(),
        "base_rates": grid.base_rates.tolist(),
    }


def grid_from(facts: dict[str, Any]) -> TimeGrid:
    """Return the time grid that `grid_facts` described."""
    return TimeGrid(*(np.asarray(facts[name]) for name in ("bin_edges_days", "bin_piece", "base_rates")))


def encoder_facts(encoder: FrameEncoder) -> dict[str, Any]:
    """Return a fitted encoder as JSON holds it; column names must be strings."""
    return {
        "params": {"prior_outcomes": encoder.prior_outcomes, "random_state": encoder.random_state},
        "columns": encoder.columns_,
        "outcomes_count": encoder.outcomes_count_,
        "is_words": encoder._is_words,
        "categories": {
            column: {word: value.tolist() for word, value in words.items()}
            for column, words in encoder.categories_.items()
        },
    }


def encoder_from(facts: dict[str, Any]) -> FrameEncoder:
    """Return the encoder that `encoder_facts` described."""
    encoder = FrameEncoder(**facts["params"])
    encoder.columns_ = facts["columns"]
    encoder.outcomes_count_ = facts["outcomes_count"]
    encoder._is_words = facts["is_words"]
    encoder.categories_ = {
        column: {word: np.asarray(value) for word, value in words.items()}
        for column, words in facts["categories"].items()
    }
    return encoder


def incidence_facts(incidence: IncidenceBooster) -> dict[str, Any]:
    """Return all of a fitted `IncidenceBooster` but its boosters, as JSON holds it."""
    return {
        "params": incidence.get_params(),
        "outcomes": incidence.outcomes_.tolist(),
        "longest_days": incidence.longest_days_,
        "grid": grid_facts(incidence.grid_),
        "calibration": incidence.calibration_.tolist(),
        "line_share": incidence.line_share_.tolist(),
        "lines": [lines.facts() for lines in incidence.lines_],
        "encoder": encoder_facts(incidence.encoder_),
        "features": [str(name) for name in incidence.feature_names_in_],
    }


def incidence_from(facts: dict[str, Any], boosters: list[lgb.Booster]) -> IncidenceBooster:
    """Return the estimator that `incidence_facts` described."""
    incidence = IncidenceBooster(**facts["params"])
    incidence.outcomes_ = np.asarray(facts["outcomes"])
    incidence.longest_days_ = facts["longest_days"]
    incidence.grid_ = grid_from(facts["grid"])
    incidence.bin_edges_days_ = incidence.grid_.bin_edges_days
    incidence.bin_piece_ = incidence.grid_.bin_piece
    incidence.base_rates_ = incidence.grid_.base_rates
    incidence.calibration_ = np.asarray(facts["calibration"])
    incidence.line_share_ = np.asarray(facts["line_share"])
    incidence.lines_ = [Lines.of(lines) for lines in facts["lines"]]
    incidence.encoder_ = encoder_from(facts["encoder"])
    incidence.columns_ = [*incidence.encoder_.columns_, *incidence.clocks, "piece"]
    incidence.feature_names_in_ = np.asarray(facts["features"], dtype=object)
    incidence.n_features_in_ = len(facts["features"])
    incidence.boosters_ = boosters
    return incidence


def value_facts(value: ValueBooster) -> dict[str, Any]:
    """Return all of a fitted `ValueBooster` but its booster, as JSON holds it."""
    return {
        "params": value.get_params(),
        "pieces_count": value.pieces_count_,
        "wins_count": value.wins_count_,
        "held_out_ratio": value.held_out_ratio_,
        "calibration": value.calibration_.tolist(),
        "interval_factors": value.interval_factors_.tolist(),
        "interval_edges": value.interval_edges_.tolist(),
        "amount_spread": value.amount_spread_,
        "follows_days": value.follows_days_,
        "in_two_parts": value.in_two_parts_,
        "lines": value.lines_.facts(),
        "line_share": value.line_share_,
        "encoder": encoder_facts(value.encoder_),
    }


def value_from(facts: dict[str, Any], booster: lgb.Booster) -> ValueBooster:
    """Return the estimator that `value_facts` described."""
    value = ValueBooster(**facts["params"])
    value.pieces_count_ = facts["pieces_count"]
    value.wins_count_ = facts["wins_count"]
    value.held_out_ratio_ = facts["held_out_ratio"]
    value.calibration_ = np.asarray(facts["calibration"])
    value.interval_factors_ = np.asarray(facts["interval_factors"])
    value.interval_edges_ = np.asarray(facts["interval_edges"], dtype=float)
    value.amount_spread_ = facts["amount_spread"]
    value.follows_days_, value.in_two_parts_ = facts["follows_days"], facts["in_two_parts"]
    value.lines_, value.line_share_ = Lines.of(facts["lines"]), facts["line_share"]
    value.encoder_ = encoder_from(facts["encoder"])
    value.columns_ = [*value.encoder_.columns_, "piece"]
    value.booster_ = booster
    return value
