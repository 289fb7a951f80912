"""A trained model as a folder: what training writes, and scoring and MLflow's pyfunc read.

Nothing in it is pickled: ``forecaster.json`` follows the convention of `models.serialization`, ``spec.json`` says which
features, ``facts.json`` holds `ModelFacts`, and the won leads that reasons compare with are Parquet and JSON.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features import catalogue
from features.snapshot_context import KEYS
from features.spec import FeatureSpec
from models.forecaster import LeadForecaster
from pipeline.common.atomic_write import sha256_of
from pipeline.common.dates import days_between, local_iso, quarter_ends
from pipeline.common.errors import UserError
from pipeline.common.formatting import to_instant
from pipeline.common.seals import SealError
from pipeline.config.params import Params
from pipeline.model_registry.won_lead_profiles import WON_LEAD_FILES, WonLeadProfiles

FORECASTER, SPEC, FACTS, DIGESTS = "forecaster.json", "spec.json", "facts.json", "digests.json"
DECIDES_A_FORECAST = ("features", "models", "pipeline/audit", "pipeline/training")
"""Folders whose code decides what a model of given tables forecasts."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself, beside its numbers.

    Parameters
    ----------
    company, currency, timezone : str
        As in the params that it was trained with.
    fiscal_year_start_month : int
        Month in which the fiscal year starts.
    trained_as_of : str
        The instant whose knowledge it was trained on, ISO 8601, UTC.
    won_count, snapshot_count, lead_count : int
        What it learned from: leads won, training rows, leads.
    data_fingerprint : str
        SHA-256 of the tables it was trained on.
    source_fingerprint : str
        SHA-256 of the code that decides a forecast; see `source_fingerprint`.
    excluded : dict of str to str
        The columns that the audit kept out, and why.
    audit_failed : str
        Empty, or why the audit says that the model should not be used.
    profile : dict
        What the tables looked like (`pipeline.ingest.source_profile.profile`).
    """

    company: str
    currency: str
    timezone: str
    fiscal_year_start_month: int
    trained_as_of: str
    won_count: int
    snapshot_count: int
    lead_count: int
    data_fingerprint: str
    source_fingerprint: str
    excluded: dict[str, str]
    audit_failed: str = ""
    profile: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredModel:
    """A forecaster together with the definition of the features that it was trained on."""

    forecaster: LeadForecaster
    spec: FeatureSpec
    facts: ModelFacts
    won_leads: WonLeadProfiles | None = None

    def feature_columns(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Give the columns of a feature matrix that the forecaster reads."""
        return matrix.drop(columns=KEYS)

    def forecast(self, matrix: pd.DataFrame, margins: np.ndarray | None = None) -> pd.DataFrame:
        """Forecast each row of a feature matrix: one row a lead, the forecast columns of ``scores``.

        Parameters
        ----------
        matrix : data frame of shape (n_leads, n_features + 3)
            As ``leadrev features`` writes it.
        margins : ndarray, optional
            The forecaster's margins of these leads where they are at hand.

        Returns
        -------
        data frame of shape (n_leads, n_columns)
            Probabilities, days and money; the index is that of `matrix`.
        """
        return self.forecaster.predict(self.feature_columns(matrix), self.quarter_ends_days(matrix), margins)

    def typical(self) -> dict[str, float]:
        """Give the median of each column of numbers among the leads that reasons compare with; NaN: mostly unknown."""
        design, columns = self.forecaster.background_[0], self.forecaster.incidence_.columns_[:-1]
        numbers = [entry.name for entry in catalogue.entries(self.spec) if not entry.is_category]
        places = {name: columns.index(name) for name in numbers if name in columns}
        # The middle of all leads, unknown ones at the far end: NaN where that is where the middle lies.
        sorted_values = np.sort(design, axis=0)
        return {name: float(sorted_values[len(design) // 2, place]) for name, place in places.items()}

    def check_horizons(self, params: Params, version: str) -> None:
        """Refuse params that ask for other horizons than the model was trained for.

        Raises
        ------
        UserError
            Naming the key, what it says, and what the model knows.
        """
        for key in ("horizons_days", "primary_horizon_days"):
            asked, known = getattr(params, key), getattr(self.forecaster, key)
            known = list(known) if isinstance(known, tuple) else known
            if asked != known:
                raise UserError(
                    f"{key}: the params say {asked}, model version {version} was trained for {known}: train again"
                )

    def absent(self, matrix: pd.DataFrame) -> dict[str, str]:
        """Return the forecast columns that stay empty for these leads, and why."""
        return self.forecaster.absent(self.quarter_ends_days(matrix))

    def quarter_ends_days(self, matrix: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Days from each row's as_of to the end of its fiscal quarter and of the next one."""
        days: dict[pd.Timestamp, tuple[float, float]] = {}
        for as_of in matrix["as_of"].unique():
            moment, zone = as_of.to_pydatetime(), self.facts.timezone
            this_end, next_end = quarter_ends(moment, zone, self.facts.fiscal_year_start_month)
            days[as_of] = days_between(moment, this_end, zone), days_between(moment, next_end, zone)
        this, following = (matrix["as_of"].map({as_of: of[which] for as_of, of in days.items()}) for which in (0, 1))
        return this.to_numpy(float), following.to_numpy(float)

    def write(self, folder: Path) -> str:
        """Write the model into an empty folder.

        Returns
        -------
        str
            The SHA-256 of ``digests.json``, which holds that of every other file: to be kept elsewhere.
        """
        content = json.dumps(self.forecaster.to_dict(), ensure_ascii=False, allow_nan=False)
        (folder / FORECASTER).write_text(content, encoding="utf-8")
        for name, packed in (self.won_leads.to_files() if self.won_leads else {}).items():
            (folder / name).write_bytes(packed)
        (folder / SPEC).write_text(self.spec.to_json(), encoding="utf-8")
        (folder / FACTS).write_text(json.dumps(asdict(self.facts), indent=2, sort_keys=True), encoding="utf-8")
        return seal_model(folder)


def seal_model(folder: Path) -> str:
    """Write down the digests of a model's files; give the SHA-256 of that list."""
    (folder / DIGESTS).unlink(missing_ok=True)
    digests = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / DIGESTS).write_text(json.dumps(digests, indent=2, sort_keys=True))
    return sha256_of(folder / DIGESTS)


def check_model(folder: Path, digest: str | None = None) -> None:
    """Refuse a model whose files are not those that were written: a library in C would be handed them as they are.

    Parameters
    ----------
    folder : Path
    digest : str, optional
        What `StoredModel.write` returned.

    Raises
    ------
    SealError
        Naming the file.
    """
    if not (folder / DIGESTS).is_file():
        raise SealError(f"{folder}: has no {DIGESTS}: the model is another version's, or incomplete; train again")
    if digest is not None and sha256_of(folder / DIGESTS) != digest:
        raise SealError(f"{folder / DIGESTS}: was changed since training: train again, or put the files back")
    try:
        digests = dict(json.loads((folder / DIGESTS).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise SealError(f"{folder / DIGESTS}: was changed since training: train again, or put the files back") from None
    there = {path.name for path in folder.iterdir()} - {DIGESTS}
    for name in sorted(there | set(digests)):
        path = folder / name
        if name not in digests or not path.is_file() or sha256_of(path) != digests[name]:
            raise SealError(f"{path}: was changed since training: train again, or put the file back")


def read_model(folder: Path, digest: str | None = None, version: str | None = None) -> StoredModel:
    """Read a model that `StoredModel.write` wrote.

    Parameters
    ----------
    folder : Path
        What was written.
    digest : str, optional
        What `StoredModel.write` returned; without it the files are held to each other alone.
    version : str, optional
        Its registered version, for messages.

    Returns
    -------
    StoredModel

    Raises
    ------
    SealError
        If its files are not those that were written.
    UserError
        If the model was trained by other code than the one that reads it, because the same columns could mean something
        else, or if a file of it cannot be read.
    """
    check_model(folder, digest)
    named = "this model" if version is None else f"model version {version}"
    try:
        content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        company, made_by = content["company"], content["source_fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{named} cannot be read ({FACTS}: {_what(error)}): run `leadrev train` again") from None
    if made_by != source_fingerprint():
        raise UserError(
            f"{named} of {company} (trained as of {_trained_as_of(content)}) was made by another version of "
            "leadrev: run `leadrev train` again, or use the version that made it"
        )
    name = FACTS
    try:
        facts = ModelFacts(**content)
        name = SPEC
        spec = FeatureSpec.from_json((folder / SPEC).read_text(encoding="utf-8"))
        name = FORECASTER
        forecaster = LeadForecaster.from_dict(json.loads((folder / FORECASTER).read_text(encoding="utf-8")))
        name = " and ".join(WON_LEAD_FILES)
        won = {name: (folder / name).read_bytes() for name in WON_LEAD_FILES if (folder / name).exists()}
        won_leads = WonLeadProfiles.from_files(won) if won else None
    except Exception as error:  # a damaged file may fail in any library that reads it
        raise UserError(
            f"{named} of {company} is damaged ({name}: {_what(error)}): run `leadrev train` again, or restore its "
            "files from a backup"
        ) from None
    return StoredModel(forecaster, spec, facts, won_leads)


def _trained_as_of(content: dict[str, Any]) -> str:
    """Return the date of training in the company's time zone, as far as another version's facts tell it."""
    text = str(content.get("trained_as_of", "an unknown date"))
    try:
        return local_iso(to_instant(text), content["timezone"])
    except (KeyError, TypeError, ValueError):
        return text


def _what(error: Exception) -> str:
    """Return what is wrong with a file, in a few words on one line."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    first_line = next(iter(str(error).splitlines()), "")[:200]
    return f"{type(error).__name__}: {first_line}"


def source_fingerprint() -> str:
    """Give the SHA-256 of what the code that decides a forecast does, the same on every version of Python.

    Docstrings, blank lines and lines that hold only a comment do not count.
    """
    digest, root = hashlib.sha256(), Path(__file__).parents[2]
    for package in DECIDES_A_FORECAST:
        for path in sorted((root / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            docstring_lines: set[int] = set()
            for node in ast.walk(ast.parse(text)):
                body = getattr(node, "body", None)
                first = body[0] if isinstance(body, list) and body else None
                if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                    docstring_lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
            lines = (line.rstrip() for number, line in enumerate(text.splitlines(), 1) if number not in docstring_lines)
            code = "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))
            digest.update(f"{path.relative_to(root).as_posix()}\n{code}\n".encode())
    return digest.hexdigest()


class _Pyfunc:
    """The model as MLflow's pyfunc serves it: a feature matrix in, the forecast columns out."""

    def __init__(self, stored: StoredModel):
        self.stored = stored

    def predict(self, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        return self.stored.forecast(model_input)


def _load_pyfunc(path: str) -> _Pyfunc:
    """MLflow calls this by name (`loader_module`) with the folder that training wrote."""
    return _Pyfunc(read_model(Path(path)))
