"""Baselines: the rankings and models that a company would use instead, which a forecast has to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

from models.metrics import won_within

FloatArray = NDArray[np.float64]

_QUANTILES = 200


class ColumnRanking(BaseEstimator):
    """Rank leads by one column; a lead without it comes last.

    Parameters
    ----------
    column : str
        Name of a numeric column of X.
    largest_first : bool, default=True
        Whether large values rank first.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"employees": [10, None, 500]})
    >>> ColumnRanking("employees").fit(X, X).rank_score(X)
    array([ 10., -inf, 500.])
    """

    def __init__(self, column: str, largest_first: bool = True):
        self.column = column
        self.largest_first = largest_first

    def fit(self, X: pd.DataFrame, y: pd.DataFrame) -> ColumnRanking:
        """Check that X has the column; nothing is fitted.

        Raises
        ------
        ValueError
            If X has no such column.
        """
        if self.column not in X.columns:
            raise ValueError(f"X has no column {self.column!r}")
        return self

    def rank_score(self, X: pd.DataFrame) -> FloatArray:
        """Return what ranks, higher first; shape (n,)."""
        values = X[self.column].to_numpy(dtype=float)
        signed = values if self.largest_first else -values
        return np.where(np.isfinite(signed), signed, -np.inf)


class LogisticBaseline(BaseEstimator):
    """Estimate the win probability within a horizon by logistic regression on the same features.

    What a good team builds: categories one-hot, numbers imputed and mapped to the normal distribution by their rank. It
    is fitted to snapshots from at least a horizon before the end of the data, whose outcome is known; it cannot use
    younger ones (to keep those that are won already would make young leads look as if they always win).

    Parameters
    ----------
    horizon_days : float
        Days from ``as_of``.
    strength : float, default=0.1
        Inverse of the ridge penalty; smaller shrinks more.
    rows_limit : int, default=50_000
        At most so many snapshots are used, evenly spaced.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> X = pd.DataFrame({"employees": np.arange(200.0)})
    >>> y = pd.DataFrame({"event": (X["employees"] > 150).astype(int), "duration": 60.0})
    >>> y["as_of"] = pd.Timestamp("2025-01-01")
    >>> p_win = LogisticBaseline(horizon_days=60).fit(X, y).p_win(X)
    >>> bool(p_win[199] > 0.5 > p_win[0])
    True
    """

    def __init__(self, horizon_days: float, strength: float = 0.1, rows_limit: int = 50_000):
        self.horizon_days = horizon_days
        self.strength = strength
        self.rows_limit = rows_limit

    def fit(self, X: pd.DataFrame, y: pd.DataFrame) -> LogisticBaseline:
        """Fit to snapshots.

        Parameters
        ----------
        X : data frame of shape (n, columns)
            Numbers and categories, missing allowed.
        y : data frame of shape (n, …)
            ``event``, ``duration`` in days, ``as_of``, and perhaps ``weight``.
        """
        won, _ = won_within(y["event"], y["duration"], self.horizon_days)
        seen_until = (y["as_of"] + pd.to_timedelta(y["duration"], unit="D")).max()
        rows = np.flatnonzero(y["as_of"] <= seen_until - pd.Timedelta(days=self.horizon_days))
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), self.rows_limit)).astype(int)]
        weight = y["weight"].to_numpy(dtype=float)[rows] if "weight" in y else np.ones(len(rows))
        self.rate_ = float(np.average(won[rows], weights=weight)) if len(rows) else 0.0
        self.pipeline_ = None
        if 0 < self.rate_ < 1:
            words = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20, sparse_output=False)
            # By rank: no long tail decides, and values beyond those of training stay bounded.
            quantiles = min(_QUANTILES, len(rows))
            ranks = QuantileTransformer(n_quantiles=quantiles, output_distribution="normal", random_state=0)
            numbers = make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), ranks)
            columns = make_column_transformer(
                (numbers, make_column_selector(dtype_include="number")),
                (words, make_column_selector(dtype_exclude="number")),
            )
            model = LogisticRegression(C=self.strength, solver="newton-cholesky")
            self.pipeline_ = make_pipeline(columns, model)
            self.pipeline_.fit(_plain(X.iloc[rows]), won[rows], logisticregression__sample_weight=weight)
        return self

    def p_win(self, X: pd.DataFrame) -> FloatArray:
        """Estimate the win probability within the horizon; shape (n,)."""
        if self.pipeline_ is None:
            return np.full(len(X), self.rate_)
        return self.pipeline_.predict_proba(_plain(X))[:, 1]

    def rank_score(self, X: pd.DataFrame) -> FloatArray:
        """Return what ranks: the chance; shape (n,)."""
        return self.p_win(X)


class AalenJohansen(BaseEstimator):
    """Estimate the cumulative incidence of each outcome without features, or with the lead's age alone.

    At each end of a lead, ``F_k`` grows by the chance to be open until then times the outcomes per lead at risk (Aalen
    and Johansen 1978). Without `age_column` time runs from ``as_of`` and every lead gets the same curve. With it time
    runs from the lead's creation, a lead is at risk from its age at ``as_of``, and the forecast is that of leads which
    were open at the same age.

    Parameters
    ----------
    age_column : str, optional
        The column of X that holds the lead's age in days.

    Examples
    --------
    Of four leads one is won after 10 days and one after 20; the others are open for 30 days.

    >>> import pandas as pd
    >>> X = pd.DataFrame(index=range(4))
    >>> y = pd.DataFrame({"event": [1, 1, 0, 0], "duration": [10, 20, 30, 30]})
    >>> AalenJohansen().fit(X, y).p_win(X, horizon_days=15)
    array([0.25, 0.25, 0.25, 0.25])
    """

    def __init__(self, age_column: str | None = None):
        self.age_column = age_column

    def fit(self, X: pd.DataFrame, y: pd.DataFrame) -> AalenJohansen:
        """Fit the curves.

        Parameters
        ----------
        X : data frame of shape (n, columns)
            Only the age is used.
        y : data frame of shape (n, …)
            ``event`` (0 still open, 1 … K), ``duration`` in days, and perhaps ``weight``.
        """
        event = y["event"].to_numpy(dtype=int)
        weight = y["weight"].to_numpy(dtype=float) if "weight" in y else np.ones(len(event))
        born = self._ages(X)
        self.times_, place = np.unique(born + y["duration"].to_numpy(dtype=float), return_inverse=True)
        ended = np.array(
            [
                np.bincount(place, weights=weight * (event == k), minlength=len(self.times_))
                for k in range(event.max() + 1)
            ]
        )
        entered = np.bincount(np.searchsorted(self.times_, born, side="right"), weights=weight)
        entered = np.pad(entered, (0, max(0, len(self.times_) - len(entered))))[: len(self.times_)]
        at_risk = entered.cumsum() - np.concatenate([[0.0], ended.sum(axis=0).cumsum()[:-1]])
        # One lead more at risk: if the few leads seen at a young age all ended, nothing could be said of older ones.
        rates = ended[1:] / (at_risk + (0.0 if self.age_column is None else 1.0))
        open_before = np.concatenate([[1.0], np.cumprod(1 - rates.sum(axis=0))])
        steps = np.concatenate([np.zeros((len(rates), 1)), (open_before[:-1] * rates).cumsum(axis=1)], axis=1)
        self.incidence_ = np.concatenate([open_before[None], steps])
        return self

    def predict_cumulative_incidence(self, X: pd.DataFrame, times: NDArray) -> FloatArray:
        """Return the probability of each outcome by each time; shape (n, outcomes + 1, times), index 0 still open."""
        born = self._ages(X)
        now = self.incidence_[:, np.searchsorted(self.times_, born, side="right")]
        until = born[:, None] + np.atleast_1d(times)
        then = self.incidence_[:, np.searchsorted(self.times_, until, side="right")]
        since = np.concatenate([then[:1], then[1:] - now[1:, :, None]])
        return np.moveaxis(since / np.maximum(now[0], np.finfo(float).tiny)[:, None], 0, 1)

    def p_win(self, X: pd.DataFrame, horizon_days: float) -> FloatArray:
        """Estimate the win probability within a horizon; shape (n,)."""
        return self.predict_cumulative_incidence(X, np.array([horizon_days]))[:, 1, 0]

    def _ages(self, X: pd.DataFrame) -> FloatArray:
        return np.zeros(len(X)) if self.age_column is None else X[self.age_column].to_numpy(dtype=float)


def _plain(X: pd.DataFrame) -> pd.DataFrame:
    """Return categories as text with blanks for missing, so that the encoder sees one type."""
    words = X.select_dtypes(exclude="number").columns
    return X.assign(**{column: X[column].astype(object).where(X[column].notna(), "").astype(str) for column in words})
