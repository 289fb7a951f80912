"""What a team could install instead, each behind one interface: ``fit(X, y)`` and ``predict_cumulative_incidence``.

Models of one outcome are fitted once an outcome, with the others as censored, and composed: with Λ_k the cumulative
hazards, S(t) = exp(−Σ_k Λ_k(t)) and F_k(t) = ∫ S dΛ_k. That is the right way to use them for competing outcomes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


class SurvivalBoostPeer:
    """hazardous' SurvivalBoost, 100 iterations."""

    def fit(self, X: pd.DataFrame, y: pd.DataFrame) -> SurvivalBoostPeer:
        from hazardous import SurvivalBoost

        self.model_ = SurvivalBoost(ipcw_strategy="kaplan-meier", show_progressbar=False, random_state=0)
        self.model_.fit(X, y)
        return self

    def predict_cumulative_incidence(self, X: pd.DataFrame, times: np.ndarray) -> np.ndarray:
        return self.model_.predict_cumulative_incidence(X, times=times)


class CauseSpecific:
    """One model of one outcome for each outcome, composed into cumulative incidences.

    Parameters
    ----------
    fit_hazard : callable
        Takes X, whether the outcome happened, and durations; returns a function from X and times to the cumulative
        hazard of shape (n, times).
    """

    def __init__(self, fit_hazard: Callable[..., Callable[..., np.ndarray]]) -> None:
        self.fit_hazard = fit_hazard

    def fit(self, X: pd.DataFrame, y: pd.DataFrame) -> CauseSpecific:
        self.middle_, self.scale_ = X.mean(), X.std()
        self.varying_ = list(X.columns[self.scale_ > 0])  # lifelines divides by the spread
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.hazards_ = [
                self.fit_hazard(self._scaled(X), (y["event"] == k).to_numpy(), y["duration"].to_numpy())
                for k in range(1, y["event"].max() + 1)
            ]
        return self

    def _scaled(self, X: pd.DataFrame) -> pd.DataFrame:
        return ((X - self.middle_) / self.scale_)[self.varying_]

    def predict_cumulative_incidence(self, X: pd.DataFrame, times: np.ndarray) -> np.ndarray:
        fine = np.unique(np.concatenate([np.linspace(0, times[-1], 200), times]))
        hazards = np.stack([hazard(self._scaled(X), fine) for hazard in self.hazards_], axis=1)
        steps = np.diff(hazards, axis=2, prepend=0.0)
        total = steps.sum(axis=1, keepdims=True)
        before = np.exp(-(np.cumsum(total, axis=2) - total))
        # Within a step the outcomes share what ends in it.
        share = np.divide(steps, total, out=np.zeros_like(steps), where=total > 0)
        incidence = np.cumsum(before * -np.expm1(-total) * share, axis=2)[:, :, np.searchsorted(fine, times)]
        return np.concatenate([1 - incidence.sum(axis=1, keepdims=True), incidence], axis=1)


def lifelines_cox(X: pd.DataFrame, happened: np.ndarray, duration: np.ndarray) -> Callable[..., np.ndarray]:
    from lifelines import CoxPHFitter

    model = CoxPHFitter(penalizer=0.01).fit(X.assign(_t=duration, _e=happened), "_t", "_e")
    return lambda X, times: model.predict_cumulative_hazard(X, times=times).to_numpy().T


def _of_scikit_survival(model: Any) -> Callable[..., Callable[..., np.ndarray]]:
    def fit_hazard(X: pd.DataFrame, happened: np.ndarray, duration: np.ndarray) -> Callable[..., np.ndarray]:
        from sklearn.base import clone
        from sksurv.util import Surv

        fitted = clone(model).fit(X.to_numpy(), Surv.from_arrays(happened, duration))

        def hazard(X: pd.DataFrame, times: np.ndarray) -> np.ndarray:
            functions = fitted.predict_cumulative_hazard_function(X.to_numpy())
            known = functions[0].x
            at = np.clip(np.searchsorted(known, times, side="right") - 1, 0, None)
            values = np.array([f.a * f.y[at] + f.b for f in functions])
            return np.where(times < known[0], 0.0, values)

        return hazard

    return fit_hazard


def scikit_survival_boosting(X: pd.DataFrame, happened: np.ndarray, duration: np.ndarray) -> Callable[..., np.ndarray]:
    from sksurv.ensemble import GradientBoostingSurvivalAnalysis

    model = GradientBoostingSurvivalAnalysis(n_estimators=100, subsample=0.5, max_depth=3, random_state=0)
    return _of_scikit_survival(model)(X, happened, duration)


def scikit_survival_forest(X: pd.DataFrame, happened: np.ndarray, duration: np.ndarray) -> Callable[..., np.ndarray]:
    from sksurv.ensemble import RandomSurvivalForest

    # Its memory grows with trees × leaves × distinct times: so few trees, rounded times.
    model = RandomSurvivalForest(n_estimators=30, min_samples_leaf=30, max_features="sqrt", n_jobs=2, random_state=0)
    cuts = np.unique(np.quantile(duration, np.linspace(0, 1, 200)))
    return _of_scikit_survival(model)(X, happened, cuts[np.searchsorted(cuts, duration)])


PEERS: dict[str, tuple[str, Callable[[], Any], bool]] = {
    "SurvivalBoost": ("hazardous", SurvivalBoostPeer, False),
    "lifelines Cox": ("lifelines", lambda: CauseSpecific(lifelines_cox), False),
    "scikit-survival boosting": ("sksurv", lambda: CauseSpecific(scikit_survival_boosting), True),
    "scikit-survival forest": ("sksurv", lambda: CauseSpecific(scikit_survival_forest), True),
}
"""Name → (package that it needs, maker, whether it is slow)."""
