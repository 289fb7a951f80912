"""Models in MLflow: what a run keeps, and that only a person makes a champion."""

import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from conftest import leadrev, refusal

from pipeline.common.atomic_write import sha256_of
from pipeline.common.errors import UserError
from pipeline.common.seals import sealed_json
from pipeline.config.params import load_params
from pipeline.model_registry import model_artifact
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.model_registry.model_artifact import source_fingerprint


@pytest.fixture
def copied(company, tmp_path):
    return company.copy(tmp_path)


@pytest.fixture
def two_versions(copied):
    """A champion, and a second version of the same model that nobody has promoted."""
    registry = Registry(copied.params)
    first = registry.client.get_model_version(registry.model_name, "1")
    registry.client.create_model_version(registry.model_name, first.source, first.run_id)
    return copied


def champion(company):
    return Registry(company.params).champion()


def says(copied, use, **changes):
    tested = {
        "company": "demo",
        "settings": copied.params.model.model_dump(),
        "source_fingerprint": source_fingerprint(),
        "verdict": {"use": use, "text": "worse than asking the biggest company first"},
    }
    (copied.folder / "backtest.json").write_bytes(sealed_json(tested | changes))


def test_a_run_keeps_params_fingerprint_metrics_and_figures(company):
    registry = Registry(company.params)
    version = registry.client.get_model_version(registry.model_name, "1")
    run = registry.client.get_run(version.run_id)
    assert run.data.params["model.trees"] == "30"
    assert run.data.params["data.timezone"] == "Europe/Berlin"
    manifest = json.loads((company.folder / "manifest.json").read_text())
    assert run.data.tags["data_fingerprint"] == manifest["data_fingerprint"]
    assert run.data.metrics["won_count"] > 50
    assert 0.5 < run.data.metrics["hold_out_auc"] <= 1
    kept = {item.path for item in registry.client.list_artifacts(version.run_id)}
    assert {"audit.json", "hold_out.json"} <= kept
    figures = {item.path for item in registry.client.list_artifacts(version.run_id, "figures")}
    assert figures == {"figures/calibration.png", "figures/capture.png"}


def test_training_says_so_and_promotes_nothing(company):
    assert "It is not champion" in (company.folder / "train.out").read_text()
    history = Registry(company.params).history()
    assert [(entry["action"], entry["version"], entry["by"]) for entry in history] == [("promote", "1", "Ana")]
    assert history[0]["because"] == "the first that there is"
    assert history[0]["previous"] is None
    assert history[0]["at"].endswith("Z")


def test_no_password_reaches_mlflow(tmp_path):
    from pipeline.commands.train import _flat

    secret = "postgresql://ana:s3cret@localhost/crm/public.leads"
    sources = f"data: {{sources: {{leads: {{from: '{secret}'}}, deals: {{sql: \"SELECT '{secret}'\"}}}}}}"
    (tmp_path / "params.yaml").write_text(f"company: x\n{sources}\nmlflow: {{tracking_uri: '{secret}'}}\n")
    params = load_params(tmp_path / "params.yaml")
    logged = _flat(params.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert logged["company"] == "x"
    assert "s3cret" not in json.dumps(logged)


def test_no_password_of_a_server_reaches_the_terminal(copied, monkeypatch):
    monkeypatch.setattr(Registry, "versions", lambda self: [])
    registry = Registry(copied.params)
    registry.uri = "postgresql://ana:s3cret@localhost/mlflow"
    with pytest.raises(UserError) as caught:
        registry.version("latest")
    assert "s3cret" not in str(caught.value)
    assert "ana" in str(caught.value)


def test_a_version_that_is_not_there_or_no_champion_gives_one_line(copied):
    assert "there are: 1" in refusal("score", "--model", "7", folder=copied.folder)
    unknown = refusal("promote", "7", "--by", "Ana", "--because", "x", folder=copied.folder)
    assert "version 7" in unknown
    assert "there are 1, and the word latest" in unknown
    assert "--model" not in unknown
    assert "no promotion to undo" not in copied.run("rollback", "--by", "Ana", "--because", "odd scores").out
    said = refusal("score", folder=copied.folder)
    assert "promote latest" in said
    assert "--model latest" in said
    assert "no promotion to undo" in refusal("rollback", folder=copied.folder)


def test_a_bad_verdict_refuses_and_force_is_written_down(two_versions):
    words = ("promote", "latest", "--by", "Bo", "--because", "newer")
    says(two_versions, "no")
    written = two_versions.folder / "backtest.json"
    written.write_text(written.read_text().replace('"no"', '"yes"'))
    assert "was changed since it was written" in refusal(*words, folder=two_versions.folder)
    says(two_versions, "no")
    said = refusal(*words, folder=two_versions.folder)
    assert "worse than asking" in said
    assert "--force" in said
    assert champion(two_versions) == "1"
    two_versions.run(*words, "--force")
    assert champion(two_versions) == "2"
    entry = Registry(two_versions.params).history()[-1]
    assert (entry["by"], entry["because"], entry["previous"]) == ("Bo", "newer", "1")
    assert "forced although" in entry["note"]
    assert "worse than asking" in entry["note"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (None, "run `leadrev backtest` first"),
        ({"company": "another"}, "of another company"),
        ({"settings": {"trees": 30, "leaves": 31}}, "model.leaves 31 where this version has 16"),
        ({"source_fingerprint": "older"}, "run by other code"),
    ],
)
def test_without_a_backtest_of_this_way_of_training_nothing_is_promoted(two_versions, changes, said):
    words = ("promote", "2", "--by", "Bo", "--because", "newer")
    if changes is not None:
        says(two_versions, "yes", **changes)
    assert said in refusal(*words, folder=two_versions.folder)
    two_versions.run(*words, "--force")
    assert said in Registry(two_versions.params).history()[-1]["note"]


def test_rollback_undoes_one_promotion_at_a_time(two_versions):
    says(two_versions, "with care")
    two_versions.run("promote", "2", "--by", "Bo", "--because", "newer")
    for expected in ("1", None):
        two_versions.run("rollback", "--by", "Ana", "--because", "odd scores")
        assert champion(two_versions) == expected
    assert "no promotion to undo" in refusal("rollback", folder=two_versions.folder)
    actions = [entry["action"] for entry in Registry(two_versions.params).history()]
    assert actions == ["promote", "promote", "rollback", "rollback"]


def test_a_rollback_after_a_promotion_after_a_rollback(two_versions):
    says(two_versions, "yes")
    for words, expected in (
        (("promote", "2"), "2"),
        (("rollback",), "1"),
        (("promote", "2"), "2"),
        (("promote", "1"), "1"),
        (("rollback",), "2"),
        (("rollback",), "1"),
    ):
        two_versions.run(*words, "--by", "Ana", "--because", "x")
        assert champion(two_versions) == expected


def test_a_model_made_by_other_code_is_refused(company, monkeypatch):
    monkeypatch.setattr("pipeline.model_registry.model_artifact.source_fingerprint", lambda: "another")
    assert "leadrev train" in refusal("score", folder=company.folder)
    assert mlflow.active_run() is None


def test_a_model_of_data_without_most_of_the_revenue_is_not_promoted(copied):
    """Two won deals with unreadable dates: few rows, and most of the money."""
    deals = pd.read_parquet(copied.folder / "deals.parquet")
    biggest = deals[deals["outcome"] == "won"].nlargest(2, "amount").index
    deals["closed_at"] = deals["closed_at"].astype(str).where(~deals.index.isin(biggest), "sometime")
    deals.loc[biggest, "amount"] = deals["amount"].sum() * 10
    deals.to_parquet(copied.folder / "deals.parquet")
    copied.run("train")
    says(copied, "yes")
    version = Registry(copied.params).versions()[-1]
    ran = leadrev("promote", version, "--by", "Ana", "--because", "x", folder=copied.folder)
    assert ran.code == 2
    assert "is not loaded (data.quarantined_share_limit" in ran.err
    assert leadrev("promote", version, "--by", "Ana", "--because", "x", "--force", folder=copied.folder).code == 0


def test_every_room_that_decides_a_forecast_is_in_the_fingerprint(tmp_path, monkeypatch):
    """One line changed anywhere below these folders is another fingerprint; a comment is not."""
    root = Path(model_artifact.__file__).parents[2]
    for package in model_artifact.DECIDES_A_FORECAST:
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(model_artifact, "__file__", str(tmp_path / "pipeline" / "model_registry" / "model_artifact.py"))
    honest = model_artifact.source_fingerprint()
    for package in model_artifact.DECIDES_A_FORECAST:
        deep = tmp_path / package / "deeper" / "new.py"
        deep.parent.mkdir()
        deep.write_text("# a comment\n")
        commented = model_artifact.source_fingerprint()
        deep.write_text("x = 1\n")
        assert model_artifact.source_fingerprint() != commented
        shutil.rmtree(deep.parent)
    assert model_artifact.source_fingerprint() == honest


def test_a_date_long_after_the_data_end_and_other_horizons_are_refused(copied):
    assert "--as-of 2031-01-01: what is known ends at" in refusal(
        "score", "--as-of", "2031-01-01", "--model", "1", folder=copied.folder
    )
    path = copied.folder / "params.yaml"
    content = yaml.safe_load(path.read_text()) | {"horizons_days": [30, 90]}
    path.write_text(yaml.safe_dump(content))
    assert "was trained for [30, 90, 180, 365]" in refusal("score", "--model", "1", folder=copied.folder)


def whole_copy(company, folder):
    made = company.copy(folder)
    shutil.copytree(company.folder / "mlartifacts", folder / "mlartifacts")
    return made


def model_files(folder):
    return next((folder / "mlartifacts").rglob("digests.json")).parent


def test_a_copied_project_uses_its_own_models_and_writes_into_its_own_folder(company, tmp_path):
    made = whole_copy(company, tmp_path / "copy")
    registry = Registry(made.params)
    uri = registry.client.get_model_version_download_uri(registry.model_name, "1")
    assert uri.startswith(f"{(tmp_path / 'copy').as_uri()}/")
    experiment = registry.client.get_experiment_by_name(registry.experiment)
    assert experiment.artifact_location == registry.artifact_root
    assert registry.load("champion")[0] == "1"
    shutil.rmtree(tmp_path / "copy" / "mlartifacts")
    said = refusal("score", folder=tmp_path / "copy")
    assert "its files are not at" in said


@pytest.mark.parametrize("attack", ["scaled", "truncated", "resealed"])
def test_a_model_whose_files_were_changed_scores_nothing(company, tmp_path, attack):
    made = whole_copy(company, tmp_path / "copy")
    folder = model_files(made.folder)
    tree = next(path for path in sorted(folder.iterdir()) if b"leaf_value=" in path.read_bytes())
    content = tree.read_bytes()
    scaled = content.replace(b"leaf_value=", b"leaf_value=9")
    tree.write_bytes(content[: len(content) // 2] if attack == "truncated" else scaled)
    if attack == "resealed":
        digests = json.loads((folder / "digests.json").read_text())
        (folder / "digests.json").write_text(json.dumps(digests | {tree.name: sha256_of(tree)}))
    said = refusal("score", folder=made.folder)
    assert "was changed since training" in said
    assert not (made.folder / "artifacts" / "scores.parquet").exists()
