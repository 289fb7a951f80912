"""The straight part of a log-rate: what each column says by itself, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import PoissonRegressor

FloatArray = NDArray[np.float64]

_PHASES = 2  # soon and later: what makes a lead buy this month says less of next year
_PRIOR_OUTCOMES = 10.0
_FARTHEST = 4.0  # standard deviations past which a value says no more, so that no freak decides
_ROWS_LIMIT = 100_000


@dataclass(frozen=True)
class Lines:
    """log(rate / rate expected) as a sum of straight lines, one a column, in each piece of time.

    A column x enters as z = (sign(x) · log(1 + |x|) − centre) / scale, within ±4; where it is missing, as a constant of
    its own. Trees cut a slope into steps and need outcomes for each; a line needs one number for all of it.

    Parameters
    ----------
    centre, scale : ndarray of shape (columns,)
        Mean and standard deviation of the training rows' logarithms.
    slope : ndarray of shape (pieces, columns)
        Of the log-rate, a standard deviation of the column.
    missing_effect : ndarray of shape (pieces, columns)
        The log-rate's part where the column is missing.
    constant : ndarray of shape (pieces,)
        The log-rate at z = 0.
    """

    centre: FloatArray
    scale: FloatArray
    slope: FloatArray
    missing_effect: FloatArray
    constant: FloatArray

    @classmethod
    def fit(
        cls,
        numbers: FloatArray,
        row: NDArray[np.intp],
        piece: NDArray[np.intp],
        observed: FloatArray,
        expected: FloatArray,
        weight: FloatArray,
        pieces_count: int,
        monotone_increasing: NDArray[np.bool_],
        seed: int,
    ) -> Lines:
        """Fit by Poisson regression with a ridge, the first half of the pieces and the second each by itself.

        Each slope has the prior N(0, 1/10): it takes ten outcomes, in leads, to speak against it half.

        Parameters
        ----------
        numbers : ndarray of shape (n, columns)
            Missing values allowed.
        row, piece : ndarray of int, shape (entries,)
            Row and piece of time of each entry at risk.
        observed, expected : ndarray of shape (entries,)
            Outcomes, and those expected without features (> 0).
        weight : ndarray of shape (n,)
            Weights of the rows, in leads.
        pieces_count : int
            Pieces of time.
        monotone_increasing : ndarray of bool, shape (columns,)
            Columns that may only raise the rate.
        seed : int
            Which rows are drawn, past 100,000.

        Returns
        -------
        Lines
        """
        count, columns = numbers.shape
        drawn = np.ones(count, dtype=bool)
        if count > _ROWS_LIMIT:
            drawn = np.random.default_rng(seed).random(count) < _ROWS_LIMIT / count
        logs, weight = _logs(numbers[drawn]), weight[drawn]
        missing = np.isnan(logs)
        logs[missing] = 0.0
        known = weight[:, None] * ~missing
        total = np.maximum(known.sum(axis=0), 1e-300)
        centre = (known * logs).sum(axis=0) / total
        scale = np.sqrt((known * (logs - centre) ** 2).sum(axis=0) / total)
        scale[scale < 1e-9] = np.inf  # a constant says nothing
        z = np.clip((logs - centre) / scale, -_FARTHEST, _FARTHEST)
        z[missing] = 0.0
        gapped = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
        design = np.hstack([z, missing[:, gapped]])

        phase_of_piece = np.arange(pieces_count) * _PHASES // pieces_count
        result = cls(
            centre, scale, np.zeros((pieces_count, columns)), np.zeros((pieces_count, columns)), np.zeros(pieces_count)
        )
        for phase in np.unique(phase_of_piece):
            mine = (phase_of_piece == phase)[piece]
            hoped, came = (np.bincount(row[mine], v[mine], minlength=count)[drawn] for v in (expected, observed))
            at_risk = np.flatnonzero(weight * hoped > 0)
            if not (weight * came)[at_risk].sum() > 0:
                continue
            exposure = (weight * hoped)[at_risk]
            model = PoissonRegressor(alpha=_PRIOR_OUTCOMES / exposure.sum(), solver="newton-cholesky")
            model.fit(design[at_risk], came[at_risk] / hoped[at_risk], sample_weight=exposure)
            pieces = phase_of_piece == phase
            slope = model.coef_[:columns]
            result.slope[pieces] = np.where(monotone_increasing, np.maximum(slope, 0.0), slope)
            result.missing_effect[np.ix_(pieces, gapped)] = model.coef_[columns:]
            result.constant[pieces] = model.intercept_
        return result

    def phases(self) -> list[NDArray[np.intp]]:
        """Return the pieces that share their lines, together."""
        same = np.unique(np.column_stack([self.slope, self.missing_effect]), axis=0, return_inverse=True)[1].ravel()
        return [np.flatnonzero(same == phase) for phase in range(same.max() + 1)]

    def parts(self, numbers: FloatArray) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
        """Give each column's part of the log-rate: for sets of pieces, (pieces, parts of shape (n, columns))."""
        z = np.clip((_logs(numbers) - self.centre) / self.scale, -_FARTHEST, _FARTHEST)
        missing = np.isnan(z)
        z[missing] = 0.0
        for pieces in self.phases():
            yield pieces, z * self.slope[pieces[0]] + missing * self.missing_effect[pieces[0]]

    def margins(self, numbers: FloatArray) -> FloatArray:
        """Return the log-rate over that expected, in each piece: (n, pieces)."""
        result = np.empty((len(numbers), len(self.constant)))
        for pieces, parts in self.parts(numbers):
            result[:, pieces] = self.constant[pieces] + parts.sum(axis=1)[:, None]
        return result

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON holds it; ``Lines.of`` reads it back bit for bit."""
        finite = np.where(np.isinf(self.scale), 0.0, self.scale)
        return {
            "centre": self.centre.tolist(),
            "scale": finite.tolist(),
            **{name: getattr(self, name).tolist() for name in ("slope", "missing_effect", "constant")},
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Lines:
        """Return the lines that `facts` described."""
        arrays = {name: np.asarray(values, dtype=float) for name, values in facts.items()}
        arrays["scale"] = np.where(arrays["scale"] == 0.0, np.inf, arrays["scale"])
        return cls(**arrays)


def _logs(numbers: FloatArray) -> FloatArray:
    return np.sign(numbers) * np.log1p(np.abs(numbers))
