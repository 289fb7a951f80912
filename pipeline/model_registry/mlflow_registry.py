"""MLflow: where runs are logged and models are kept. The one module that imports it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a company's model is nobody else's business
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")

import matplotlib

matplotlib.use("Agg")
import mlflow
import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.common.errors import UserError
from pipeline.common.formatting import to_instant
from pipeline.common.masking import without_password
from pipeline.common.scratch import ScratchFolder
from pipeline.common.seals import SealError
from pipeline.config.params import Params
from pipeline.config.trusted_hosts import require_named_host
from pipeline.model_registry.artifact_paths import artifact_root, turn_to_own_folder
from pipeline.model_registry.model_artifact import StoredModel, read_model

for noisy in ("mlflow", "alembic", "mlflow.utils.environment"):
    logging.getLogger(noisy).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="mlflow")

CHAMPION = "champion"
CHALLENGER = "challenger"
RUNTIME_PACKAGES = (
    "ibis-framework", "duckdb", "lightgbm", "numpy", "pandas", "pyarrow", "scikit-learn", "shap",
    "pydantic", "pyyaml",
)  # fmt: skip
HISTORY_TAG = "champion_history"
REWRITTEN_TAG = "rewritten_from"
"""Of a version that another one became when somebody was erased from it: the number of that one."""
DIGEST_TAG = "model_digest"


class Registry:
    """A company's models in MLflow: versions, and which of them is champion.

    Parameters
    ----------
    params : Params
        ``mlflow.tracking_uri``, ``mlflow.experiment`` and ``mlflow.model_name``; a relative SQLite path starts at the
        params file's folder, and artifacts lie beside that file.
    """

    def __init__(self, params: Params):
        require_named_host(params.tracking_uri, "mlflow.tracking_uri", params.data.hosts)
        self.company = params.company
        self.model_name = params.model_name
        self.experiment = params.experiment
        self.uri = params.tracking_uri
        self.artifact_root = (
            artifact_root(Path(self.uri.removeprefix("sqlite:///"))) if self.uri.startswith("sqlite:///") else None
        )
        if self.artifact_root:
            turn_to_own_folder(Path(self.uri.removeprefix("sqlite:///")))
        mlflow.set_tracking_uri(self.uri)  # runs and new versions go through MLflow's own global state
        mlflow.set_registry_uri(self.uri)
        self.client = MlflowClient()

    def log_training(
        self,
        stored: StoredModel,
        *,
        params: dict[str, Any],
        metrics: dict[str, float],
        files: dict[str, bytes],
        figures: dict[str, Any],
        trials: Sequence[tuple[str, dict[str, Any], dict[str, float]]] = (),
    ) -> str:
        """Log one training run and register its model; nothing becomes champion.

        Parameters
        ----------
        stored : StoredModel
            The model.
        params : dict
            The params, flat, as MLflow shows them.
        metrics : dict of str to float
            Figures of the hold-out.
        files : dict of str to bytes
            Small files to keep with the run (audit, metrics).
        figures : dict of str to matplotlib figure
            Plots to keep with the run.
        trials : sequence of (str, dict, dict)
            Settings that were tried before: name, settings and figures of each, logged as runs inside this one.

        Returns
        -------
        str
            The registered version.
        """
        packages = Path(__file__).parents[2]
        with self._run() as run, ScratchFolder() as scratch:
            mlflow.log_params({key: str(value)[:500] for key, value in params.items()})
            mlflow.log_metrics({key: value for key, value in metrics.items() if value == value})
            mlflow.set_tags({"data_fingerprint": stored.facts.data_fingerprint, "company": stored.facts.company})
            for name, settings, found in trials:
                with mlflow.start_run(run_name=name, nested=True):
                    mlflow.log_params(settings)
                    mlflow.log_metrics(found)
            for name, content in files.items():
                path = Path(scratch) / name
                path.write_bytes(content)
                mlflow.log_artifact(str(path))
            for name, figure in figures.items():
                mlflow.log_figure(figure, f"figures/{name}")
            model_folder = Path(scratch) / "forecaster"
            model_folder.mkdir()
            mlflow.set_tag(DIGEST_TAG, stored.write(model_folder))
            info = mlflow.pyfunc.log_model(
                name="model",
                loader_module="pipeline.model_registry.model_artifact",
                data_path=str(model_folder),
                code_paths=[str(packages / name) for name in ("features", "models", "pipeline")],
                pip_requirements=[f"{name}=={installed_version(name)}" for name in RUNTIME_PACKAGES],
            )
            version = self._register(info.model_uri, run.info.run_id)
            for key, value in {"trained_as_of": stored.facts.trained_as_of, "run_id": run.info.run_id}.items():
                self.client.set_model_version_tag(self.model_name, version, key, value)
        return version

    def log_night(self, night: str, metrics: dict[str, float]) -> None:
        """Log figures of a night as a run of their own, named by the night.

        Parameters
        ----------
        night : str
            The date.
        metrics : dict of str to float
        """
        with self._run():
            mlflow.set_tags({"mlflow.runName": f"night {night}", "night": night, "company": self.company})
            mlflow.log_metrics(metrics)

    def _register(self, uri: str, run_id: str) -> str:
        """Make a version of a logged model; through the client, which unlike `mlflow.register_model` prints nothing."""
        try:
            self.client.get_registered_model(self.model_name)
        except MlflowException:
            self.client.create_registered_model(self.model_name)
        model_id = uri.removeprefix("models:/")
        return str(self.client.create_model_version(self.model_name, uri, run_id, model_id=model_id).version)

    def load(self, which: str) -> tuple[str, StoredModel]:
        """Give a model by ``champion``, ``latest`` or its version number.

        Returns
        -------
        version, stored : str, StoredModel

        Raises
        ------
        UserError
            If there is no such model, or its files are not those that training wrote; the message says what to do.
        """
        version = self.version(which)
        uri = self.client.get_model_version_download_uri(self.model_name, version)
        digest = self._digest(version)
        try:
            folder = Path(mlflow.artifacts.download_artifacts(uri))
        except (MlflowException, OSError):
            raise UserError(f"version {version} of {self.model_name}: its files are not at {uri}") from None
        try:
            stored = read_model(folder / "data" / "forecaster", digest, version)
        except SealError as error:
            raise UserError(f"version {version} of {self.model_name}: {error}") from None
        self._require_own(stored.facts.company)
        return version, stored

    def require_own_name(self) -> None:
        """Refuse a registered model that is another company's, before any work is done.

        Raises
        ------
        UserError
            If the newest version of the registered model was trained for another company.
        """
        if versions := self.versions():
            run_id = self.client.get_model_version(self.model_name, versions[-1]).run_id
            tags = self.client.get_run(run_id).data.tags if run_id else {}
            self._require_own(tags.get("company", self.company))

    def _require_own(self, owner: str) -> None:
        if owner != self.company:
            raise UserError(
                f"company: the registered model {self.model_name} belongs to '{owner}', the params are of "
                f"'{self.company}'; give one of them a mlflow.model_name of its own"
            )

    def _digest(self, version: str) -> str:
        """Give what training said the model's files are, from the run that made a version."""
        run_id = self.client.get_model_version(self.model_name, version).run_id
        digest = self.client.get_run(run_id).data.tags.get(DIGEST_TAG) if run_id else None
        if digest is None:
            raise UserError(f"version {version} was trained by another version of leadrev: run `leadrev train` again")
        return digest

    def version(self, which: str) -> str:
        """Give the version number that ``champion``, ``latest`` or a number stands for."""
        versions = self.versions()
        if not versions:
            where = without_password(self.uri)
            raise UserError(f"no model of {self.model_name} is registered in {where}: run `leadrev train` first")
        if which == "latest":
            return versions[-1]
        if which == CHAMPION:
            champion = self.champion()
            if champion is None:
                raise UserError(
                    f"no version of {self.model_name} is champion yet (there are: {', '.join(versions)}): look at "
                    "`leadrev backtest`, then run `leadrev promote latest --by YOU --because WHY`, or score with "
                    "--model latest"
                )
            return champion
        if which not in versions and (now := self._became(which)):
            return now
        if which not in versions:
            raise UserError(
                f"--model {which}: {self.model_name} has no such version; there are: {', '.join(versions)}, and the "
                "words champion and latest"
            )
        return which

    def versions(self) -> list[str]:
        """All registered versions, oldest first."""
        file = self.uri.removeprefix("sqlite:///")
        if file != self.uri and not Path(file).exists():
            return []  # asking MLflow would make the file, with all its tables, to find nothing in it
        found = self.client.search_model_versions(f"name='{self.model_name}'")
        return sorted((str(version.version) for version in found), key=int)

    def champion(self) -> str | None:
        """Give the version that is champion, if one is."""
        try:
            return str(self.client.get_model_version_by_alias(self.model_name, CHAMPION).version)
        except MlflowException:
            return None

    def trained_by(self, instant: datetime) -> str | None:
        """Name a version that knows nothing later than an instant (naive UTC): the champion, else the newest."""
        champion = self.champion()
        for version in [*([champion] if champion else []), *reversed(self.versions())]:
            trained = self.client.get_model_version(self.model_name, version).tags.get("trained_as_of")
            if trained and to_instant(trained) <= instant:
                return version
        return None

    def challengers(self) -> list[str]:
        """Name the versions that forecast in the shadow: those with an alias that begins with ``challenger``."""
        try:
            aliases = self.client.get_registered_model(self.model_name).aliases
        except MlflowException:
            return []
        found = {str(version) for alias, version in aliases.items() if alias.startswith(CHALLENGER)}
        return sorted(found - {self.champion()}, key=int)

    def history(self) -> list[dict[str, Any]]:
        """Who made which version champion, when and why; oldest first."""
        try:
            tags = self.client.get_registered_model(self.model_name).tags
        except MlflowException:
            return []
        return json.loads(tags.get(HISTORY_TAG, "[]"))

    def make_champion(self, version: str | None, *, action: str, by: str, because: str, note: str = "") -> None:
        """Move the alias and write down who did it and why; None leaves no champion."""
        entry = {"action": action, "version": version, "previous": self.champion(), "by": by, "because": because}
        entry |= {"at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "note": note}
        history = [*self.history(), entry]
        self.client.set_registered_model_tag(self.model_name, HISTORY_TAG, json.dumps(history))
        if version is None:
            self.client.delete_registered_model_alias(self.model_name, CHAMPION)
        else:
            self.client.set_registered_model_alias(self.model_name, CHAMPION, version)

    def model_folders(self) -> dict[str, Path]:
        """Give the folder of each version's files; none where MLflow keeps them on a server or elsewhere."""
        if self.artifact_root is None:
            return {}
        found = {version: self._model_folder(version) for version in self.versions()}
        return {version: folder for version, folder in found.items() if folder.is_dir()}

    def run_folders(self) -> list[Path]:
        """Give the folders of files that runs of this company logged, models aside."""
        experiment = self.client.get_experiment_by_name(self.experiment) if self.artifact_root else None
        if experiment is None:
            return []
        runs = mlflow.search_runs([experiment.experiment_id], output_format="list")
        return sorted({folder for run in runs if (folder := _local(run.info.artifact_uri or "")).is_dir()})

    def replace_version(self, version: str, data: Path, digest: str, *, by: str, because: str) -> str:
        """Register a version's files, as they were rewritten, as a new version, and delete the old one with its files.

        Aliases, and with them the champion, move to the new version; the history says so. Cut short, the call may be
        repeated.

        Parameters
        ----------
        version : str
        data : Path
            The folder that `StoredModel.write` wrote, rewritten.
        digest : str
            Of its ``digests.json``.
        by, because : str
            Who asked for it, and why.

        Returns
        -------
        str
            The new version.
        """
        old = self.client.get_model_version(self.model_name, version)
        new, run_id = self._became(version), str(old.run_id)
        if new is None:
            code = self._model_folder(version) / "code"
            with mlflow.start_run(run_id=run_id):
                info = mlflow.pyfunc.log_model(
                    name="model",
                    loader_module="pipeline.model_registry.model_artifact",
                    data_path=str(data),
                    code_paths=[str(path) for path in sorted(code.iterdir()) if path.is_dir()],
                    pip_requirements=[f"{name}=={installed_version(name)}" for name in RUNTIME_PACKAGES],
                )
            new = self._register(info.model_uri, run_id)
            for key, value in {**old.tags, REWRITTEN_TAG: version}.items():
                self.client.set_model_version_tag(self.model_name, new, key, value)
        self.client.set_tag(run_id, DIGEST_TAG, digest)
        for alias, aliased in self.client.get_registered_model(self.model_name).aliases.items():
            if str(aliased) == version:
                self.client.set_registered_model_alias(self.model_name, alias, new)
        if not any(entry["action"] == "rewrite" and entry["previous"] == version for entry in self.history()):
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            entry = {"action": "rewrite", "version": new, "previous": version, "by": by, "because": because, "at": at}
            history = json.dumps([*self.history(), {**entry, "note": ""}])
            self.client.set_registered_model_tag(self.model_name, HISTORY_TAG, history)
        folder = self._model_folder(version)
        shutil.rmtree(folder.parent if folder.name == "artifacts" else folder, ignore_errors=True)
        if old.model_id:
            self.client.delete_logged_model(old.model_id)
        self.client.delete_model_version(self.model_name, version)
        return new

    def _became(self, version: str) -> str | None:
        """Give the version that a version became when somebody was erased from it."""
        for one in reversed(self.versions()):
            if self.client.get_model_version(self.model_name, one).tags.get(REWRITTEN_TAG) == version:
                return one
        return None

    def _model_folder(self, version: str) -> Path:
        return _local(self.client.get_model_version_download_uri(self.model_name, version))

    @contextmanager
    def _run(self) -> Iterator[Any]:
        if self.client.get_experiment_by_name(self.experiment) is None:
            self.client.create_experiment(self.experiment, artifact_location=self.artifact_root)
        mlflow.set_experiment(self.experiment)
        with mlflow.start_run() as run:
            yield run


def _local(uri: str) -> Path:
    """Give the place of a file address; an address of anything else names no file."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else Path("/nowhere")
