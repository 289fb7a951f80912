"""Numbers from a data frame: what trees see of columns that hold words.

A category becomes the logarithm of how often an outcome happened in it, over how often it was expected given the time
at risk: so that a young category, whose leads had no time to end yet, is not taken for a bad one. Seldom seen
categories are drawn towards 0, the average; one never seen before *is* the average. Missing stays missing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_FOLDS = 5


class FrameEncoder:
    """Encode a data frame as floats, categories by observed over expected outcomes.

    For category c and outcome k: log((O + s) / (E + s)), with O the outcomes seen in c, E those expected from its time
    at risk alone, both per lead, and s the prior strength. One design column an outcome. A column of numbers or
    booleans is passed on as it is; one that held nothing in training says nothing, whatever it may hold later.

    In training a row's category is encoded from the *other* folds' leads (`fit_transform`), so that a category with one
    lead in it cannot carry that lead's own outcome (Micci-Barreca 2001; scikit-learn's ``TargetEncoder`` does so too).

    Parameters
    ----------
    prior_outcomes : float, default=10
        The prior strength s: leads that must have ended in a category before its own rate counts half. Raising it
        draws small categories nearer to the average.
    random_state : int, default=0
        Seed of the folds.

    Attributes
    ----------
    columns_ : list of str or int
        The original column of each design column.
    categories_ : dict of column to dict of str to ndarray of shape (outcomes,)
        What each category of a column is encoded as.
    """

    def __init__(self, prior_outcomes: float = 10.0, random_state: int = 0) -> None:
        self.prior_outcomes = prior_outcomes
        self.random_state = random_state

    def fit_transform(
        self, X: pd.DataFrame, observed: ArrayLike, expected: ArrayLike, groups: NDArray[np.intp] | None = None
    ) -> FloatArray:
        """Learn the encoding and return the training design, each row encoded without its own fold.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            Numbers, booleans, strings or categories; missing values allowed.
        observed, expected : array-like of shape (n, outcomes)
            Outcomes of each row, and those expected from its time at risk without any features.
        groups : ndarray of int, shape (n,), optional
            The lead that each row belongs to, 0 … leads − 1: its rows count as one lead, in one fold.

        Returns
        -------
        ndarray of shape (n, design columns)
            `transform` gives other values for these rows: it uses every fold.

        Raises
        ------
        TypeError
            If a column holds neither numbers nor words.
        ValueError
            If two columns share a name.
        """
        if not X.columns.is_unique:
            raise ValueError(f"column names must be unique: {list(X.columns[X.columns.duplicated()])} come twice")
        observed, expected = np.asarray(observed, dtype=float), np.asarray(expected, dtype=float)
        groups = np.arange(len(X)) if groups is None else groups
        # Ten snapshots of one lead are one piece of evidence, not ten.
        rows_per_lead = len(X) / (groups.max() + 1)
        fold = np.random.default_rng(self.random_state).integers(_FOLDS, size=groups.max() + 1)[groups]
        self.outcomes_count_ = observed.shape[1]
        self.categories_: dict = {}
        # None: it held nothing, so that nothing is learned of it, whatever it will hold.
        self._is_words = {name: None if X[name].isna().all() else _holds_words(X[name]) for name in X.columns}
        blocks: list[FloatArray] = []
        for name in X.columns:
            if not self._is_words[name]:
                blocks.append(_numbers(X[name])[:, None])
                continue
            codes, words = pd.factorize(_words(X[name]), sort=True)
            known = codes >= 0
            sums = np.zeros((_FOLDS, len(words), 2 * self.outcomes_count_))
            both = np.concatenate([observed, expected], axis=1) / rows_per_lead
            for column in range(both.shape[1]):
                cell = fold[known] * len(words) + codes[known]
                counted = np.bincount(cell, weights=both[known, column], minlength=_FOLDS * len(words))
                sums[:, :, column] = counted.reshape(_FOLDS, len(words))
            total = sums.sum(axis=0)
            values = self._log_ratio(total)
            self.categories_[name] = dict(zip(words, values, strict=True))
            block = np.full((len(X), self.outcomes_count_), np.nan)
            block[known] = self._log_ratio(total - sums)[fold[known], codes[known]]
            blocks.append(block)
        self.columns_ = [n for n in X.columns for _ in range(self.outcomes_count_ if self._is_words[n] else 1)]
        return np.concatenate(blocks, axis=1)

    def transform(self, X: pd.DataFrame) -> FloatArray:
        """Return the design of rows that need not have been seen in training.

        Parameters
        ----------
        X : DataFrame of shape (n, columns)
            The columns of training, by name; others are left aside.

        Returns
        -------
        ndarray of shape (n, design columns)
            A category not seen in training is 0, the average; a missing one is NaN.

        Raises
        ------
        KeyError
            If a column of training is missing.
        TypeError
            If a column that held numbers in training now holds words; one that held nothing may hold anything.
        """
        blocks = []
        for name, is_words in self._is_words.items():
            if not is_words:
                blocks.append(np.full((len(X), 1), np.nan) if is_words is None else _numbers(X[name])[:, None])
                continue
            codes, words = pd.factorize(_words(X[name]))
            average = np.zeros(self.outcomes_count_)
            values = [self.categories_[name].get(word, average) for word in words]
            table = np.array([*values, np.full(self.outcomes_count_, np.nan)])  # code −1, missing, takes the last row
            blocks.append(table[codes])
        return np.concatenate(blocks, axis=1)

    def _log_ratio(self, sums: FloatArray) -> FloatArray:
        observed, expected = sums[..., : self.outcomes_count_], sums[..., self.outcomes_count_ :]
        return np.log((observed + self.prior_outcomes) / (expected + self.prior_outcomes))


def _holds_words(column: pd.Series) -> bool:
    """Whether a column is read as categories; raise TypeError where it can be read neither way."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        return False
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("string", "categorical", "mixed", "mixed-integer"):
        return True
    if kind in ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty"):
        return False
    raise TypeError(f"column {column.name!r} holds {kind}: only numbers, booleans and words can be features")


def _words(column: pd.Series) -> pd.Series:
    """Return words as objects, missing as None, whatever kind of column they came in."""
    words = column.astype(object)
    return words.where(words.isna(), words.map(str, na_action="ignore"))


def _numbers(column: pd.Series) -> FloatArray:
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise TypeError(f"column {column.name!r} held numbers in training, and now holds words: {error}") from None


def refuse_infinite(frame: pd.DataFrame) -> None:
    """Raise a `ValueError` that names the first column of numbers with an infinite value."""
    for name, column in frame.select_dtypes("number").items():
        if np.isinf(column.to_numpy(dtype=float, na_value=np.nan)).any():
            raise ValueError(f"column {name!r} contains infinity; missing values are allowed, infinite ones are not")
