"""How many of something come in the weeks ahead: a negative binomial of each week, with trend and season.

The mean of a week is ``exp(level + trend · years + season)``, for each segment with a level of its own and a trend that
may leave the common one a little. Levels are free; trends and seasons are drawn towards none (normal priors), so that
a short history does not grow for ever. The fit is scikit-learn's Poisson regression with these priors as its penalty;
what weeks scatter beyond Poisson is estimated by Pearson's statistic and makes the draws negative binomial (a
quasi-likelihood: the means of a negative binomial, a closed-form posterior, and no further package).

Months scatter more than their weeks say, as campaigns start and end: what blocks of four weeks differ by in total
beyond that becomes a shock that all segments share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import PoissonRegressor

FloatArray = NDArray[np.float64]

WEEK_DAYS, YEAR_DAYS = 7, 365.25
WEEKS_MOST, WEEKS_OF_SEASON, BLOCK_WEEKS = 156, 104, 4
HARMONICS = 3
LEVEL_SD, TREND_SD, OWN_TREND_SD, SEASON_SD = 10.0, 0.3, 0.15, 0.2
PRIOR_BLOCKS, SHOCK_SD = 4.0, 0.1
"""Prior of the shared shock: 10% from block to block, worth four blocks."""


@dataclass(frozen=True)
class WeeklyCounts:
    """A fitted model of counts a week.

    Parameters
    ----------
    coefficients : ndarray of shape (n_coefficients,)
    covariance : ndarray of shape (n_coefficients, n_coefficients)
        Of the coefficients' posterior.
    segments_count : int
    has_season : bool
        Whether two years were there to see one.
    dispersion : float
        Variance over mean of a week's count; 1: Poisson.
    shock_sd : float
        Standard deviation of the shock that a block of four weeks shares, on the log scale.
    weeks_count : int
        Weeks that it was fitted to.
    """

    coefficients: FloatArray
    covariance: FloatArray
    segments_count: int
    has_season: bool
    dispersion: float
    shock_sd: float
    weeks_count: int

    def means(self, days_ahead: FloatArray, as_of_year: float) -> FloatArray:
        """Give the expected count a week at moments ahead: (n_moments, n_segments)."""
        design = _design(days_ahead / YEAR_DAYS, as_of_year, self.segments_count, self.has_season)
        return np.exp(design @ self.coefficients).reshape(len(days_ahead), self.segments_count)

    def draw(
        self, rng: np.random.Generator, worlds: int, days_ahead: FloatArray, weeks: FloatArray, as_of_year: float
    ) -> FloatArray:
        """Draw counts.

        Parameters
        ----------
        rng : Generator
        worlds : int
        days_ahead : ndarray of shape (n_moments,)
            The middles of the weeks ahead.
        weeks : ndarray of shape (n_moments,)
            How much of a week each is.
        as_of_year : float
            The date as a number of years, whose fraction says where in the year it lies.

        Returns
        -------
        ndarray of shape (worlds, n_moments, n_segments)
        """
        design = _design(days_ahead / YEAR_DAYS, as_of_year, self.segments_count, self.has_season)
        drawn = rng.multivariate_normal(self.coefficients, self.covariance, size=worlds, method="eigh")
        mean = np.exp(drawn @ design.T).reshape(worlds, len(days_ahead), self.segments_count)
        block = (days_ahead // (BLOCK_WEEKS * WEEK_DAYS)).astype(int)
        shocks = rng.normal(-(self.shock_sd**2) / 2, self.shock_sd, (worlds, int(block.max(initial=0)) + 1))
        mean *= np.exp(shocks)[:, block, None] * weeks[None, :, None]
        if self.dispersion > 1.001:
            mean = rng.gamma(np.maximum(mean, 1e-12) / (self.dispersion - 1)) * (self.dispersion - 1)
        return rng.poisson(mean).astype(float)


def fit_weekly_counts(days_back: FloatArray, segment: NDArray[np.intp], count: int, as_of_year: float) -> WeeklyCounts:
    """Fit the counts of whole weeks back from a date.

    Parameters
    ----------
    days_back : ndarray of shape (n,)
        Days before the date at which each came; not negative.
    segment : ndarray of shape (n,)
        Its segment, from 0.
    count : int
        How many segments there are.
    as_of_year : float
        The date as a number of years.
    """
    longest = int(min(WEEKS_MOST, days_back.max(initial=0.0) // WEEK_DAYS))
    weeks = max(1, longest)  # the oldest one may have begun before there was anything to count
    week = np.minimum(days_back // WEEK_DAYS, weeks).astype(int)
    inside = week < weeks
    counts = np.zeros((weeks, count))
    np.add.at(counts, (week[inside], segment[inside]), 1.0)
    has_season = weeks >= WEEKS_OF_SEASON
    years: FloatArray = -(np.arange(weeks, dtype=np.float64) + 0.5) * WEEK_DAYS / YEAR_DAYS
    design = _design(years, as_of_year, count, has_season)
    rows = len(design)
    start = np.log(max(counts.mean(), 1e-3))
    # The intercept stands in the first column of levels: none of its own, so that the penalty is the prior alone.
    model = PoissonRegressor(alpha=1.0 / rows, fit_intercept=False, solver="newton-cholesky", max_iter=100, tol=1e-7)
    offset = np.exp(start)
    model.fit(design, counts.ravel() / offset, sample_weight=np.full(rows, offset))
    coefficients = model.coef_.copy()
    coefficients[:count] += start / LEVEL_SD
    fitted = np.exp(design @ coefficients).reshape(counts.shape)
    dispersion = _dispersion(counts, fitted, design.shape[1])
    information = (design * fitted.reshape(-1, 1)).T @ design / dispersion + np.eye(design.shape[1])
    shock = _shock_sd(counts.sum(axis=1), fitted.sum(axis=1), dispersion)
    return WeeklyCounts(coefficients, np.linalg.inv(information), count, has_season, dispersion, shock, weeks)


def _design(years: FloatArray, as_of_year: float, segments: int, has_season: bool) -> FloatArray:
    """Build one row a moment and segment; each column is scaled by its prior's standard deviation."""
    moments = len(years)
    own = np.tile(np.eye(segments), (moments, 1))
    time = np.repeat(years, segments)[:, None]
    columns = [own * LEVEL_SD, time * TREND_SD, own * time * OWN_TREND_SD]
    if has_season:
        turns = 2 * np.pi * (as_of_year + time)
        for wave in range(1, HARMONICS + 1):
            columns += [np.sin(wave * turns) * SEASON_SD, np.cos(wave * turns) * SEASON_SD]
    return np.column_stack(columns)


def _dispersion(counts: FloatArray, fitted: FloatArray, coefficients: int) -> float:
    free = max(counts.size - coefficients, 1)
    pearson = ((counts - fitted) ** 2 / np.maximum(fitted, 0.05)).sum()
    return float(max(1.0, pearson / free))


def _shock_sd(counts: FloatArray, fitted: FloatArray, dispersion: float) -> float:
    blocks = len(counts) // BLOCK_WEEKS
    prior = PRIOR_BLOCKS * SHOCK_SD**2
    if not blocks:
        return SHOCK_SD
    observed, expected = (
        one[: blocks * BLOCK_WEEKS].reshape(blocks, BLOCK_WEEKS).sum(axis=1) for one in (counts, fitted)
    )
    expected = np.maximum(expected, 1.0)
    beyond = ((observed - expected) ** 2 - dispersion * expected) / expected**2
    return float(np.sqrt(max(0.0, (beyond.sum() + prior) / (blocks + PRIOR_BLOCKS))))
