"""The linear part of a log-rate: what each column contributes by itself, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import PoissonRegressor

from models.risk_set import RiskSet
from models.serialization import float_array

FloatArray = NDArray[np.float64]

_PHASES = 2  # sooner and later: what makes a lead buy this month says less about next year
_PRIOR_OUTCOMES = 10.0
_FARTHEST = 4.0  # standard deviations past which a value adds no more, so that no outlier decides
_ROWS_LIMIT = 100_000


@dataclass(frozen=True)
class Lines:
    """log(rate / rate expected) as a sum of straight lines, one per column, in each piece of time.

    A column x enters as z = (sign(x) · log(1 + |x|) − centre) / scale, clipped to ±4; where it is missing, as a
    constant of its own. Trees cut a slope into steps and need outcomes for each; a line needs one number for all of it.

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
        row_weight: FloatArray,
        risk: RiskSet,
        pieces_count: int,
        monotone_increasing: NDArray[np.bool_],
        seed: int,
    ) -> Lines:
        """Fit by ridge-penalised Poisson regression, the first half of the pieces and the second half separately.

        Each slope has the prior N(0, 1/10): ten outcomes, in leads, count as much as the prior.

        Parameters
        ----------
        numbers : ndarray of shape (n, columns)
            Missing values allowed.
        row_weight : ndarray of shape (n,)
            Weights of the rows in means and standard deviations.
        risk : RiskSet
            Entries at risk, of one outcome.
        pieces_count : int
            Pieces of time.
        monotone_increasing : ndarray of bool, shape (columns,)
            Columns that can only raise the rate.
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
        logs, weight = _logs(numbers[drawn]), row_weight[drawn]
        missing = np.isnan(logs)
        logs[missing] = 0.0
        known = weight[:, None] * ~missing
        total = np.maximum(known.sum(axis=0), 1e-300)
        centre = (known * logs).sum(axis=0) / total
        scale = np.sqrt((known * (logs - centre) ** 2).sum(axis=0) / total)
        scale[scale < 1e-9] = np.inf  # a constant column contributes nothing
        z = np.clip((logs - centre) / scale, -_FARTHEST, _FARTHEST)
        z[missing] = 0.0
        gapped = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
        design = np.hstack([z, missing[:, gapped]])

        phase_of_piece = np.arange(pieces_count) * _PHASES // pieces_count
        result = cls(
            centre, scale, np.zeros((pieces_count, columns)), np.zeros((pieces_count, columns)), np.zeros(pieces_count)
        )
        for phase in np.unique(phase_of_piece):
            mine = (phase_of_piece == phase)[risk.piece]
            observed, expected = (
                np.bincount(risk.row[mine], (risk.weight * values)[mine], minlength=count)[drawn]
                for values in (risk.observed, risk.expected)
            )
            at_risk = np.flatnonzero(expected > 0)
            if not observed[at_risk].sum() > 0:
                continue
            ratio, offset = observed[at_risk] / expected[at_risk], expected[at_risk]
            model = PoissonRegressor(alpha=_PRIOR_OUTCOMES / offset.sum(), solver="newton-cholesky")
            model.fit(design[at_risk], ratio, sample_weight=offset)
            pieces = phase_of_piece == phase
            slope = model.coef_[:columns]
            result.slope[pieces] = np.where(monotone_increasing, np.maximum(slope, 0.0), slope)
            result.missing_effect[np.ix_(pieces, gapped)] = model.coef_[columns:]
            result.constant[pieces] = model.intercept_
        return result

    def phases(self) -> list[NDArray[np.intp]]:
        """Return sets of pieces; the pieces of one set share their lines."""
        same = np.unique(np.column_stack([self.slope, self.missing_effect]), axis=0, return_inverse=True)[1].ravel()
        return [np.flatnonzero(same == phase) for phase in range(same.max() + 1)]

    def parts(self, numbers: FloatArray) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
        """Yield (pieces, each column's part of the log-rate in them, shape (n, columns)), for each set of `phases`."""
        z = np.clip((_logs(numbers) - self.centre) / self.scale, -_FARTHEST, _FARTHEST)
        missing = np.isnan(z)
        z[missing] = 0.0
        for pieces in self.phases():
            yield pieces, z * self.slope[pieces[0]] + missing * self.missing_effect[pieces[0]]

    def margins(self, numbers: FloatArray) -> FloatArray:
        """Return log(rate / rate expected) in each piece, shape (n, pieces), of ``numbers`` of shape (n, columns)."""
        result = np.empty((len(numbers), len(self.constant)))
        for pieces, parts in self.parts(numbers):
            result[:, pieces] = self.constant[pieces] + parts.sum(axis=1)[:, None]
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return the lines as JSON holds them (see `models.serialization`); a scale of 0 is infinite."""
        finite = np.where(np.isinf(self.scale), 0.0, self.scale)
        return {
            "centre": self.centre.tolist(),
            "scale": finite.tolist(),
            **{name: getattr(self, name).tolist() for name in ("slope", "missing_effect", "constant")},
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Lines:
        """Return the lines that `to_dict` wrote."""
        names = ("centre", "scale", "slope", "missing_effect", "constant")
        arrays = {name: float_array(content[name]) for name in names}
        return cls(**arrays | {"scale": np.where(arrays["scale"] == 0.0, np.inf, arrays["scale"])})


def blend(trees: FloatArray, lines: FloatArray, line_share: float | FloatArray) -> FloatArray:
    """Return what trees and lines say together: (1 − s) · trees + s · lines, of any shapes that broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> blend(np.array([1.0, 2.0]), np.array([0.0, 4.0]), line_share=0.25)
    array([0.75, 2.5 ])
    """
    return (1.0 - line_share) * trees + line_share * lines


def _logs(numbers: FloatArray) -> FloatArray:
    return np.sign(numbers) * np.log1p(np.abs(numbers))
