"""Train on what was known at a date, prove it on a date before, log and register; promote nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.common.atomic_write import check_writable
from pipeline.common.dates import days_later, iso, local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.formatting import known, to_instant
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.evaluation.cutoff import Evaluation, evaluate
from pipeline.evaluation.plots import calibration_figure, capture_figure
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.load import company_at
from pipeline.insights.profile_won_leads import profile_won_leads
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.training.fit import Training, learn

if TYPE_CHECKING:
    from pipeline.training.tuning import Tuned


@dataclass(frozen=True)
class Trained:
    """What a training run made."""

    params: Params
    as_of: datetime
    version: str
    training: Training
    held_out: Evaluation | None
    held_out_absent: str
    tuned: str = ""

    def summary(self) -> str:
        """Say what it is trained on, how good the hold-out is, and what to do next."""
        facts, zone = self.training.stored.facts, self.params.data.timezone
        lines = [
            f"Version {self.version} of {self.params.model_name} is trained on data known by "
            f"{local_iso(self.as_of, zone)}: "
            f"{counted(facts.lead_count, 'lead', 'leads')}, {facts.won_count:,} won, "
            f"{counted(facts.snapshot_count, 'snapshot', 'snapshots')} while open"
        ]
        lines += [f"Kept out: {column}: {why}" for column, why in facts.excluded.items()]
        lines += [f"Note: {note}" for note in self.training.stored.forecaster.notes_.values()]
        if (value := self.training.stored.forecaster.value_) is not None:
            apart = (
                "whether there is an amount is modelled apart from its size" if value.in_two_parts_ else "in one part"
            )
            depend = "depend" if value.follows_days_ else "do not depend"
            lines.append(f"Amounts, by held-out wins: they {depend} on the time it takes to win; {apart}")
        lines += [self.tuned] if self.tuned else []
        if self.held_out is None:
            lines.append(f"No hold-out: {self.held_out_absent}")
        else:
            own = self.held_out.models["leadrev"]
            lines.append(
                f"Hold-out (trained as of {local_iso(to_instant(self.held_out.cutoff), zone)}, compared with the "
                f"{self.params.primary_horizon_days} days after): {_held_out_figures(own)}"
            )
        lines.append(
            f"It is not champion. Next: leadrev backtest, then leadrev promote {self.version} --by YOU --because WHY"
        )
        return "\n".join(lines)


def _held_out_figures(own: dict[str, Any]) -> str:
    """Say how good a hold-out was, as far as it can be said."""
    expected, actual = own["expected_wins"], own["actual_wins"]
    parts = [f"AUC {own['auc']:.3f}"] if known(own["auc"]) else ["no AUC, as all leads ended alike"]
    parts += [f"{expected:.0f} wins expected"] if known(expected) else ["wins not forecast over so long a time"]
    return ", ".join([*parts, f"{actual:.0f} actual"])


def train(
    params: Params, as_of: str | None, held_out: Evaluation | None = None, tune_minutes: float | None = None
) -> Trained:
    """Train, evaluate on a hold-out in time, log to MLflow and register.

    The hold-out is a second model, trained one primary horizon before `as_of` and compared with what was known to have
    come by `as_of`: nothing later is looked at. A search for settings sees only what that second model saw.

    Parameters
    ----------
    params : Params
        The company.
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    held_out : Evaluation, optional
        The hold-out, where a backtest has just made it.
    tune_minutes : float, optional
        Search settings for so long before; see `pipeline.training.tuning.tune`.

    Returns
    -------
    Trained

    Raises
    ------
    UserError
        If nothing can be learned by then.
    """
    Registry(params).require_own_name()
    _check_room(params)
    company, instant = company_at(params, as_of)
    tuned, tuning_note = None, ""
    if tune_minutes is not None:
        tuned, tuning_note = _tuned(company, params, instant, tune_minutes)
        params = params if tuned is None else tuned.apply(params)
    with step(f"training as of {local_iso(instant, params.data.timezone)}"):
        training = learn(company, params, instant)
        won_leads = profile_won_leads(
            company.tables, training.stored, training.X, training.y, instant, params.data.amount_window_days
        )
    why = ""
    if held_out is None:
        with step("evaluating on a hold-out in time"):
            held_out, why = _hold_out(company, params, instant)
    with step("logging and registering in MLflow"):
        version = Registry(params).log_training(
            replace(training.stored, won_leads=won_leads),
            params=_flat(params.model_dump(mode="json", by_alias=True, exclude_none=True)) | {"as_of": iso(instant)},
            metrics=_metrics(training, held_out),
            files={
                "audit.json": json.dumps({"excluded": training.audit.excluded}, indent=2).encode(),
                "hold_out.json": json.dumps(held_out.to_dict() if held_out else {"absent": why}, indent=2).encode(),
            },
            figures={"calibration.png": calibration_figure(held_out), "capture.png": capture_figure(held_out)}
            if held_out
            else {},
            trials=[] if tuned is None else [trial.to_log() for trial in tuned.trials],
        )
    return Trained(params, instant, version, training, held_out, why, tuning_note)


def _check_room(params: Params) -> None:
    """See that MLflow's own files can be written before minutes of work; a server's are its own matter."""
    uri = params.tracking_uri
    if uri.startswith("sqlite:///"):
        place = Path(uri.removeprefix("sqlite:///")).parent
    elif "://" not in uri and uri != "databricks":
        place = Path(uri)
    else:
        return
    check_writable(place, "make room or give the right to write, or name another place in mlflow.tracking_uri")


def _tuned(company: LoadedCompany, params: Params, as_of: datetime, minutes: float) -> tuple[Tuned | None, str]:
    """Search settings on what was known a horizon earlier, before the hold-out; say what was found."""
    from pipeline.training.tuning import tune

    try:
        with step("looking back, to search settings"):
            earlier = learn(company, params, days_later(as_of, -params.primary_horizon_days, params.data.timezone))
    except UserError as reason:
        return None, f"Not tuned: a horizon earlier there was {reason}"
    with step(f"searching settings for {minutes:g} minutes"):
        tuned = tune(params, earlier, minutes)
    if tuned is None:
        return None, "Not tuned: the history is too short for a fold that trains on 50 wins and is tested on a horizon"
    return tuned, tuned.summary


def _hold_out(company: LoadedCompany, params: Params, as_of: datetime) -> tuple[Evaluation | None, str]:
    """Evaluate the way of training one primary horizon earlier, or say why that cannot be done."""
    cutoff = days_later(as_of, -params.primary_horizon_days, params.data.timezone)
    try:
        earlier = learn(company, params, cutoff)
    except UserError as reason:
        return None, str(reason)
    return evaluate(company, params, earlier, cutoff, known_at=as_of, baselines=False), ""


def _metrics(training: Training, held_out: Evaluation | None) -> dict[str, float]:
    facts = training.stored.facts
    counts = {name: float(getattr(facts, name)) for name in ("won_count", "lead_count", "snapshot_count")}
    own = held_out.models["leadrev"] if held_out else {}
    return counts | {f"hold_out_{name}": value for name, value in own.items() if isinstance(value, float)}


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give nested params their dotted keys; addresses of databases and of MLflow stay at home, and so do passwords."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if key in ("sources", "mlflow", "hosts", "folders", "deliver"):
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
