"""What an estimator accepts as X: a frame, or an array with the same columns, without infinite values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data


def feature_frame(estimator: BaseEstimator, X: Any, trained_names: Sequence[Any] | None = None) -> pd.DataFrame:
    """Return X as a frame with the columns of training.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set, or checked.
    X : DataFrame or array-like of shape (n, columns)
        Numbers, booleans, strings or categories; missing values allowed.
    trained_names : sequence, optional
        The columns of training; None while fitting. Where X has none of these names, as an array, its columns are taken
        by place.

    Returns
    -------
    DataFrame of shape (n, columns)

    Raises
    ------
    ValueError
        If X is empty while fitting, has other columns than in training, or holds infinite values.
    """
    is_fit = trained_names is None
    if isinstance(X, pd.DataFrame):
        validate_data(estimator, X, skip_check_array=True, reset=is_fit)
        for count, what in ((X.shape[1], "feature"), (len(X), "sample")):
            if is_fit and not count:
                raise ValueError(f"0 {what}(s) (shape={X.shape}) while a minimum of 1 is required.")
    else:
        X = pd.DataFrame(validate_data(estimator, X, reset=is_fit, dtype=None, ensure_all_finite="allow-nan"))
        X = X.infer_objects()
    if trained_names is not None and not set(trained_names) <= set(X.columns):
        X = X.set_axis(list(trained_names), axis=1)
    refuse_infinite(X)
    return X


def refuse_infinite(frame: pd.DataFrame) -> None:
    """Raise a `ValueError` that names the first column of numbers with an infinite value."""
    for name, column in frame.select_dtypes("number").items():
        if np.isinf(column.to_numpy(dtype=float, na_value=np.nan)).any():
            raise ValueError(f"column {name!r} contains infinity; missing values are allowed, infinite ones are not")
