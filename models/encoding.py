"""Numbers from a data frame: what trees and lines see of columns that hold categories.

A category becomes the logarithm of its observed over its expected outcomes, given the time at risk, so that a young
category whose leads had no time to end yet is not taken for a bad one. Rare categories are shrunk towards 0, the
average; one never seen before *is* the average. Missing stays missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from models.serialization import float_array, to_json_types

FloatArray = NDArray[np.float64]

_FOLDS = 5


class FrameEncoder(BaseEstimator):
    """Encode a data frame as floats, categories by observed over expected outcomes.

    For category c and outcome k: log((O + s) / (E + s)), with O the outcomes observed in c, E those expected from its
    time at risk alone, both per lead, and s the prior strength. One encoded column per outcome. A column of numbers or
    booleans is passed on as it is; one that is empty in training stays NaN, whatever it holds later.

    In training a row's category is encoded from the *other* folds' leads (`fit_transform`), so that a category with one
    lead in it cannot carry that lead's own outcome (Micci-Barreca 2001; scikit-learn's ``TargetEncoder`` does the
    same).

    Parameters
    ----------
    prior_outcomes : float, default=10
        The prior strength s: outcomes at which a category's own rate counts half. Higher values shrink small
        categories more.
    random_state : int, default=0
        Seed of the folds.

    Attributes
    ----------
    columns_ : list of str or int
        The original column of each encoded column.
    is_categorical_ : dict of column to bool or None
        Of each original column, in order: whether it holds categories; None where it is empty in training.
    categories_ : dict of column to dict of str to ndarray of shape (outcomes,)
        What each category of a column is encoded as.
    outcomes_count_ : int
        Outcomes, and encoded columns of a categorical column.

    See Also
    --------
    sklearn.preprocessing.TargetEncoder : the same idea without time at risk.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> X = pd.DataFrame({"source": ["fair", "web"] * 500, "employees": 10.0})
    >>> won = np.tile([[1.0], [0.0]], (500, 1))  # every lead of the fair is won, none of the web
    >>> encoder = FrameEncoder(prior_outcomes=10.0)
    >>> encoder.fit_transform(X, won, np.full((1000, 1), 0.5)).shape
    (1000, 2)
    >>> encoder.transform(pd.DataFrame({"source": ["fair", "web", "unknown", None], "employees": 7.0})).round(2)
    array([[ 0.67,  7.  ],
           [-3.26,  7.  ],
           [ 0.  ,  7.  ],
           [  nan,  7.  ]])
    """

    def __init__(self, prior_outcomes: float = 10.0, random_state: int = 0) -> None:
        self.prior_outcomes = prior_outcomes
        self.random_state = random_state

    def fit_transform(
        self, X: pd.DataFrame, observed: ArrayLike, expected: ArrayLike, groups: NDArray[np.intp] | None = None
    ) -> FloatArray:
        """Fit the encoding and return the encoded training rows, each one without its own fold.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            Numbers, booleans, strings or categories; missing values allowed.
        observed, expected : array-like of shape (n, outcomes)
            Outcomes of each row, and those expected from its time at risk without any features.
        groups : ndarray of int, shape (n,), optional
            The lead of each row, 0 … leads − 1: its rows count as one lead, in one fold.

        Returns
        -------
        ndarray of shape (n, encoded columns)
            `transform` returns other values for these rows: it uses every fold.

        Raises
        ------
        TypeError
            If a column holds neither numbers nor text.
        ValueError
            If two columns share a name.
        """
        if not X.columns.is_unique:
            raise ValueError(f"column names must be unique: {list(X.columns[X.columns.duplicated()])} appear twice")
        observed, expected = np.asarray(observed, dtype=float), np.asarray(expected, dtype=float)
        groups = np.arange(len(X)) if groups is None else groups
        # Ten snapshots of one lead are one piece of evidence, not ten.
        rows_per_lead = len(X) / (groups.max() + 1)
        fold = np.random.default_rng(self.random_state).integers(_FOLDS, size=groups.max() + 1)[groups]
        self.outcomes_count_ = observed.shape[1]
        self.categories_: dict = {}
        self.is_categorical_ = {name: None if X[name].isna().all() else _is_categorical(X[name]) for name in X.columns}
        blocks: list[FloatArray] = []
        for name in X.columns:
            if not self.is_categorical_[name]:
                blocks.append(_numbers(X[name])[:, None])
                continue
            codes, texts = pd.factorize(_text(X[name]), sort=True)
            known = codes >= 0
            sums = np.zeros((_FOLDS, len(texts), 2 * self.outcomes_count_))
            both = np.concatenate([observed, expected], axis=1) / rows_per_lead
            for column in range(both.shape[1]):
                cell = fold[known] * len(texts) + codes[known]
                counted = np.bincount(cell, weights=both[known, column], minlength=_FOLDS * len(texts))
                sums[:, :, column] = counted.reshape(_FOLDS, len(texts))
            total = sums.sum(axis=0)
            values = self._log_ratio(total)
            self.categories_[name] = dict(zip(texts, values, strict=True))
            block = np.full((len(X), self.outcomes_count_), np.nan)
            block[known] = self._log_ratio(total - sums)[fold[known], codes[known]]
            blocks.append(block)
        self._set_columns()
        return np.concatenate(blocks, axis=1)

    def transform(self, X: pd.DataFrame) -> FloatArray:
        """Encode rows that need not be those of training.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The columns of training, by name; others are ignored.

        Returns
        -------
        ndarray of shape (n, encoded columns)
            A category that training did not see is 0, the average; a missing one is NaN.

        Raises
        ------
        KeyError
            If a column of training is missing.
        TypeError
            If a column of numbers now holds text; one that was empty in training may hold anything.
        """
        blocks = []
        for name, is_categorical in self.is_categorical_.items():
            if not is_categorical:
                blocks.append(np.full((len(X), 1), np.nan) if is_categorical is None else _numbers(X[name])[:, None])
                continue
            codes, texts = pd.factorize(_text(X[name]))
            average = np.zeros(self.outcomes_count_)
            values = [self.categories_[name].get(text, average) for text in texts]
            table = np.array([*values, np.full(self.outcomes_count_, np.nan)])  # code −1, missing, takes the last row
            blocks.append(table[codes])
        return np.concatenate(blocks, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted encoder as JSON holds it; see `models.serialization`."""
        columns = [
            {"name": name, "is_categorical": is_categorical, "categories": self.categories_.get(name, {})}
            for name, is_categorical in self.is_categorical_.items()
        ]
        fitted = {"params": self.get_params(), "outcomes_count": self.outcomes_count_, "columns": columns}
        return to_json_types(fitted)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> FrameEncoder:
        """Return the encoder that `to_dict` wrote."""
        self, columns = cls(**content["params"]), content["columns"]
        self.outcomes_count_ = content["outcomes_count"]
        self.is_categorical_ = {column["name"]: column["is_categorical"] for column in columns}
        self.categories_ = {
            column["name"]: {text: float_array(values) for text, values in column["categories"].items()}
            for column in columns
            if column["is_categorical"]
        }
        self._set_columns()
        return self

    def _set_columns(self) -> None:
        kinds = self.is_categorical_.items()
        self.columns_ = [n for n, is_categorical in kinds for _ in range(self.outcomes_count_ if is_categorical else 1)]

    def _log_ratio(self, sums: FloatArray) -> FloatArray:
        observed, expected = sums[..., : self.outcomes_count_], sums[..., self.outcomes_count_ :]
        return np.log((observed + self.prior_outcomes) / (expected + self.prior_outcomes))


def _is_categorical(column: pd.Series) -> bool:
    """Return whether a column is read as categories; raise TypeError where it is neither categories nor numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        return False
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("string", "categorical", "mixed", "mixed-integer"):
        return True
    if kind in ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty"):
        return False
    raise TypeError(f"column {column.name!r} holds {kind}: only numbers, booleans and text can be features")


def _text(column: pd.Series) -> pd.Series:
    """Return text as objects, missing as None, whatever the type of the column."""
    text = column.astype(object)
    return text.where(text.isna(), text.map(str, na_action="ignore"))


def _numbers(column: pd.Series) -> FloatArray:
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise TypeError(f"column {column.name!r} held numbers in training, and now holds text: {error}") from None
