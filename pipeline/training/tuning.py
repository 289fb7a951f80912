"""Search the few settings that matter within a budget of time, on folds in time order; never worse than those given."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

from models.forecaster import LeadForecaster
from models.time_folds import Fold, log_losses, time_folds
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.config.params import ModelParams, Params
from pipeline.model_registry.model_artifact import source_fingerprint
from pipeline.training.fit import Training

FILE = "tuning.db"
BUCKETS = 40
"""Leads are dealt into so many parts by a hash; the spread of a difference over them says what is noise."""
NOISE = 2.0
"""Standard errors by which a trial must beat the given settings."""
TRIALS_LIMIT = 200
HALF_LIVES_DAYS = (90.0, 180.0, 365.0, 730.0, None)


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Parameters
    ----------
    number : int
        0 is the setting given in the params.
    settings : dict
        Of ``model`` in the params.
    loss : float
        Mean logarithmic loss of the chances to be won, over the folds.
    difference, noise : float
        Loss less that of trial 0, and the standard error of that.
    """

    number: int
    settings: dict[str, Any]
    loss: float
    difference: float
    noise: float

    @property
    def is_better(self) -> bool:
        """Whether it beats trial 0 beyond noise."""
        return self.difference + NOISE * self.noise < 0

    def to_log(self) -> tuple[str, dict[str, Any], dict[str, float]]:
        """Give the name, the settings and the figures that MLflow keeps."""
        figures = {"log_loss": self.loss, "difference": self.difference, "noise": self.noise}
        return f"trial {self.number}", {f"model.{name}": value for name, value in self.settings.items()}, figures


@dataclass(frozen=True)
class Tuned:
    """What a search found: the trials so far, and the one to use."""

    trials: list[Trial]
    folds_count: int

    @property
    def chosen(self) -> Trial:
        """The best of the trials that beat trial 0 beyond noise, else trial 0."""
        better = [trial for trial in self.trials if trial.is_better]
        return min(better, key=lambda trial: trial.loss, default=self.trials[0])

    def apply(self, params: Params) -> Params:
        """Give the params with the chosen settings."""
        return params.model_copy(update={"model": ModelParams(**self.chosen.settings)})

    @property
    def summary(self) -> str:
        """Say what was found, and what to write into the params file."""
        given, chosen = self.trials[0], self.chosen
        tried = (
            f"Tuned: {counted(len(self.trials), 'setting', 'settings')} tried on {self.folds_count} folds in time order"
        )
        if chosen is given:
            return f"{tried}; none beats the settings given beyond noise (log loss {given.loss:.5f}): these are kept"
        changed = {name: value for name, value in chosen.settings.items() if value != given.settings[name]}
        written = ", ".join(f"{name}: {_yaml(value)}" for name, value in changed.items())
        return (
            f"{tried}; trial {chosen.number} has a log loss of {chosen.loss:.5f} where the settings given have "
            f"{given.loss:.5f} (better by {-chosen.difference:.5f}, of which {chosen.noise:.5f} may be noise).\n"
            f"Write into the params file, for the backtest and every later training:\n  model: {{{written}}}"
        )


def tune(
    params: Params, training: Training, minutes: float, clock: Callable[[], float] = time.monotonic
) -> Tuned | None:
    """Search settings on what a training knew.

    Each trial trains on what was known on up to three days in the past and forecasts the leads seen in the horizon
    after each. Trial 0 is the setting given. Every trial is kept in ``tuning.db`` beside MLflow's file as soon as it is
    done: a search that was killed, or whose time was too short, goes on where it stopped if it is started again on the
    same data, code and params. What is tried next hangs on the trials so far alone.

    Parameters
    ----------
    params : Params
        Its ``model`` is trial 0.
    training : Training
        Made before the hold-out, which the search must never see.
    minutes : float
        No trial starts that would not be over by then, as long as those before took; trial 0 always runs.
    clock : callable
        Seconds.

    Returns
    -------
    Tuned or None
        None where the history is too short for a single fold.

    Raises
    ------
    UserError
        If ``tuning.db`` cannot be used.
    """
    folds = time_folds(training.y, params.primary_horizon_days)
    if not folds:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = _folder(params) / FILE
    try:
        study = optuna.create_study(storage=f"sqlite:///{file}", study_name=_key(params, training), load_if_exists=True)
    except Exception as error:  # SQLAlchemy's own kinds are many
        raise UserError(f"{file}: cannot be used for the search ({type(error).__name__}); move it away") from None
    for stale in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(stale.number, state=optuna.trial.TrialState.FAIL)  # killed in the middle
    given = params.model.model_dump()
    started, longest = clock(), 0.0
    while True:
        done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
        begun = clock()
        if len(done) >= TRIALS_LIMIT or (done and begun - started + longest > 60 * minutes):
            return Tuned(_trials(done), len(folds))
        study.sampler = optuna.samplers.TPESampler(seed=params.seed + len(done), n_startup_trials=8)
        if not done and not study.get_trials(states=[optuna.trial.TrialState.WAITING]):
            study.enqueue_trial(given)
        trial = study.ask()
        settings = given | _suggest(trial, given)
        trial.set_user_attr("settings", settings)
        parts = _losses(settings, params, training, folds)
        trial.set_user_attr("parts", parts.tolist())
        study.tell(trial, float(parts.sum()))
        longest = max(longest, clock() - begun)


def _suggest(trial: optuna.Trial, given: dict[str, Any]) -> dict[str, Any]:
    """Draw settings; the ranges reach to those given, wherever they lie."""

    def whole(name: str, low: int, high: int) -> int:
        return trial.suggest_int(name, min(low, given[name]), max(high, given[name]), log=True)

    step = given["learning_rate"]
    drawn = trial.suggest_float("learning_rate", min(0.02, step), max(0.2, step), log=True)
    half_lives = [*HALF_LIVES_DAYS, *({given["half_life_days"]} - set(HALF_LIVES_DAYS))]
    return {
        "trees": whole("trees", 50, 400),
        "leaves": whole("leaves", 4, 32),
        "learning_rate": drawn if drawn == step else float(f"{drawn:.3g}"),  # as it is written into the params
        "pieces": whole("pieces", 2, 12),
        "half_life_days": trial.suggest_categorical("half_life_days", half_lives),
    }


def _losses(settings: dict[str, Any], params: Params, training: Training, folds: list[Fold]) -> np.ndarray:
    """Give the parts that each bucket of leads has in the mean loss over the folds; shape (buckets,)."""
    times = params.primary_horizon_days * np.array([1 / 3, 2 / 3, 1.0])
    forecaster = training.stored.forecaster
    total = np.zeros(BUCKETS)
    for fold in folds:
        model = LeadForecaster(**{**forecaster.get_params(), **settings})
        booster = model.fit_incidence(training.X.iloc[fold.train], fold.y_train, fold.y_train["weight"])
        y = training.y.iloc[fold.test]
        p_win = booster.predict_cumulative_incidence(training.X.iloc[fold.test], times)[:, 1]
        weight = y["weight"].to_numpy(float)
        bucket = pd.util.hash_array(y["lead_id"].to_numpy(object), categorize=False) % BUCKETS
        total += np.bincount(bucket, weight * log_losses(y, p_win, times), BUCKETS) / weight.sum() / len(folds)
    return total


def _trials(done: list[optuna.trial.FrozenTrial]) -> list[Trial]:
    first = np.array(done[0].user_attrs["parts"])
    found = []
    for number, trial in enumerate(done):
        apart = np.array(trial.user_attrs["parts"]) - first
        noise = float(apart.std(ddof=1) * np.sqrt(BUCKETS))
        found.append(Trial(number, trial.user_attrs["settings"], float(trial.value or 0.0), float(apart.sum()), noise))
    return found


def _key(params: Params, training: Training) -> str:
    """Name the search: the same data, code, date and settings go on where they stopped."""
    facts = training.stored.facts
    facts_text = [facts.data_fingerprint, source_fingerprint(), facts.trained_as_of]
    facts_text.append(
        json.dumps(params.model_dump(mode="json", include={"seed", "model", "snapshots", "features", "audit"}))
    )
    facts_text.append(f"{params.horizons_days} {params.primary_horizon_days}")
    return hashlib.sha256("\n".join(facts_text).encode()).hexdigest()[:16]


def _folder(params: Params) -> Path:
    """Where MLflow's own file lies; beside the params file where MLflow is a server or a folder."""
    uri = params.tracking_uri
    return Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:///") else params.folder


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value)
