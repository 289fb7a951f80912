"""The difference that an arm makes: Lin's adjustment, errors clustered by account, an interval valid at any time.

What is estimated is the mean over all leads of the outcome under the treatment, less that under control. Each arm has a
weighted least squares line of its own on the covariate (Lin 2013, *Agnostic notes on regression adjustments to
experimental data*), weights being one over the probability with which the lead's account got its arm; the errors are
those of the influence of each account. The sequence is the asymptotic confidence sequence of Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas (2024, *Time-uniform central limit theory and asymptotic confidence sequences*, Annals of
Statistics 52): it may be looked at every night, and stopped at any, and holds the truth over all looks together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.9
"""What the interval of a single look holds."""
SEQUENCE_ERROR = 0.05
"""Chance that the sequence ever leaves the truth outside."""
POWER = 0.8
PLANNED_ACCOUNTS = 1_000
"""Accounts at which the sequence is narrowest, where nobody planned a number; fixed, so that no look moves it."""
ACCOUNTS_LEAST = 30
"""Accounts in each arm below which nothing is said: the sequence is asymptotic."""


@dataclass(frozen=True)
class ArmDifference:
    """A difference of means between two arms.

    Parameters
    ----------
    value : float
        Treatment less control.
    error : float
        Its standard error.
    accounts : int
        Of both arms.
    planned_accounts : int
        At which the sequence is narrowest.
    """

    value: float
    error: float
    accounts: int
    planned_accounts: int = PLANNED_ACCOUNTS

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds that hold the truth with `LEVEL` at one look, fixed beforehand."""
        half = NormalDist().inv_cdf((1 + LEVEL) / 2) * self.error
        return self.value - half, self.value + half

    def sequence(self, error: float = SEQUENCE_ERROR) -> tuple[float, float]:
        """Bounds that hold the truth over all looks together, but for a chance of `error`."""
        half = sequence_width(self.accounts, error, self.planned_accounts) * self.error
        return self.value - half, self.value + half

    def is_told(self, error: float = SEQUENCE_ERROR) -> bool:
        """Whether the sequence leaves zero outside."""
        low, high = self.sequence(error)
        return bool(self.error > 0 and not low <= 0 <= high)


def sequence_width(accounts: int, error: float = SEQUENCE_ERROR, planned_accounts: int = PLANNED_ACCOUNTS) -> float:
    """Give half the sequence's width in standard errors of an estimate from so many accounts.

    Examples
    --------
    >>> round(sequence_width(1000), 2), round(sequence_width(100), 2)
    (3.04, 3.86)
    """
    tightest = -2 * math.log(error)
    scaled = accounts * (tightest + math.log(tightest + 1)) / planned_accounts
    return math.sqrt((scaled + 1) / scaled * (math.log(scaled + 1) - 2 * math.log(error)))


def arm_difference(
    outcome: Floats,
    is_treated: NDArray[np.bool_],
    account: NDArray[np.int64],
    probability: Floats,
    covariates: Floats | None = None,
    planned_accounts: int = PLANNED_ACCOUNTS,
) -> ArmDifference | None:
    """Estimate the difference between two arms.

    Parameters
    ----------
    outcome : ndarray of shape (n_leads,)
    is_treated : ndarray of shape (n_leads,)
    account : ndarray of shape (n_leads,)
        A number per account, or other group that errors are shared in.
    probability : ndarray of shape (n_leads,)
        With which each lead's account got the arm that it got.
    covariates : ndarray of shape (n_leads, n_covariates), optional
        Known at assignment.
    planned_accounts : int

    Returns
    -------
    ArmDifference or None
        None with fewer than `ACCOUNTS_LEAST` accounts in an arm.
    """
    if min(len(np.unique(account[arm])) for arm in (is_treated, ~is_treated)) < ACCOUNTS_LEAST:
        return None
    centred = _centred(covariates, len(outcome))
    influence = np.zeros(len(outcome))
    lines = []
    for arm, sign in ((is_treated, 1.0), (~is_treated, -1.0)):
        weight = 1.0 / probability[arm]
        design = np.column_stack([np.ones(arm.sum()), centred[arm]])
        bread = np.linalg.pinv(design.T @ (design * weight[:, None]))
        line = bread @ (design.T @ (weight * outcome[arm]))
        influence[arm] += sign * (design @ bread[0]) * weight * (outcome[arm] - design @ line)
        lines.append(line)
    influence += centred @ (lines[0][1:] - lines[1][1:]) / len(outcome)
    by_account = np.bincount(np.unique(account, return_inverse=True)[1], influence)
    accounts = len(by_account)
    error = math.sqrt(float((by_account**2).sum()) * accounts / (accounts - 1))
    return ArmDifference(float(lines[0][0] - lines[1][0]), error, accounts, planned_accounts)


def _centred(covariates: Floats | None, count: int) -> Floats:
    if covariates is None:
        return np.empty((count, 0))
    centred = covariates - covariates.mean(axis=0)
    spread = centred.std(axis=0)
    return centred[:, spread > 1e-12] / spread[spread > 1e-12]


def mean_with_interval(outcome: Floats, account: NDArray[np.int64]) -> tuple[float, float, float]:
    """Give the mean of one arm with the bounds of `LEVEL`, errors clustered by account."""
    mean = float(outcome.mean())
    by_account = np.bincount(np.unique(account, return_inverse=True)[1], outcome - mean)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(float((by_account**2).sum())) / len(outcome)
    return mean, mean - half, mean + half


def accounts_needed(found: ArmDifference, effect: float) -> int | None:
    """Say how many accounts it takes in all until the sequence leaves zero outside, with a chance of `POWER`.

    Parameters
    ----------
    found : ArmDifference
        Says how much accounts differ.
    effect : float
        The difference that is to be told from none.

    Returns
    -------
    int or None
        None where nothing varies, the effect is zero, or it takes more than a thousand million.
    """
    if not effect or not found.error:
        return None
    spread = found.error * math.sqrt(found.accounts)
    power = NormalDist().inv_cdf(POWER)

    def is_enough(accounts: int) -> bool:
        width = sequence_width(accounts, planned_accounts=found.planned_accounts)
        return (width + power) * spread / math.sqrt(accounts) <= abs(effect)

    high = 2 * ACCOUNTS_LEAST
    while not is_enough(high):
        high *= 2
        if high > 10**9:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
