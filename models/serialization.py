"""Fitted objects as JSON: the convention that every `to_dict` and `from_dict` of this package follows.

``to_dict()`` returns a dict of JSON's own types, and ``Class.from_dict(content)`` returns an object that predicts the
same numbers. Floats are read back bit for bit; a missing number is null. A LightGBM booster is LightGBM's own text, an
array is a list of lists, and an estimator that holds another one nests its dict. Nothing is pickled, so reading a model
runs no code of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def to_json_types(value: Any) -> Any:
    """Return a value as JSON's own types: arrays and tuples as lists, NumPy's numbers as Python's, NaN as None.

    Parameters
    ----------
    value : None, bool, int, float, str, NumPy scalar or array, or a sequence or mapping of these
        Keys of mappings are strings.

    Returns
    -------
    None, bool, int, float, str, list or dict

    Raises
    ------
    TypeError
        If a value, or a key of a mapping, is none of these.
    ValueError
        If a number is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> to_json_types({"cuts": np.array([0.5, np.nan]), "horizons_days": (30, 90)})
    {'cuts': [0.5, None], 'horizons_days': [30, 90]}
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        if np.isinf(value).any():
            raise ValueError("an infinite number has no form in JSON")
        if not np.isnan(value).any():
            return value.tolist()
        plain = value.astype(object)
        plain[np.isnan(value)] = None
        return plain.tolist()
    if isinstance(value, np.ndarray | np.generic):
        return to_json_types(value.tolist())
    if isinstance(value, float):
        return to_json_types(np.array(value))
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"the keys of a JSON object must be strings, got {odd[0]!r}")
        return {key: to_json_types(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_types(part) for part in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def float_array(content: Any) -> FloatArray:
    """Return the array of floats that `to_json_types` wrote, None as NaN.

    Examples
    --------
    >>> float_array([[0.5, None], [1.0, 2.0]])
    array([[0.5, nan],
           [1. , 2. ]])
    """
    return np.array(content, dtype=np.float64)


def float_or_nan(content: float | None) -> float:
    """Return the number that `to_json_types` wrote, None as NaN."""
    return float("nan") if content is None else float(content)


def booster_text(booster: lgb.Booster) -> str:
    """Return a booster as LightGBM's own text, which any version of LightGBM from 4 on reads."""
    return booster.model_to_string()


def booster_from_text(text: str) -> lgb.Booster:
    """Return the booster that `booster_text` wrote; it predicts the same numbers."""
    return lgb.Booster(model_str=text)
