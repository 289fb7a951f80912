"""A model's folder: what is missing, damaged or of another version gives one line, never a traceback."""

import hashlib
import json
from dataclasses import asdict

import pytest

from pipeline.common.errors import UserError
from pipeline.model_registry.model_artifact import ModelFacts, read_model

FACTS = {
    "company": "demo", "currency": "EUR", "timezone": "Europe/Berlin", "fiscal_year_start_month": 1,
    "trained_as_of": "2026-05-14T22:00:00Z", "won_count": 1, "snapshot_count": 1, "lead_count": 1,
    "data_fingerprint": "x", "excluded": {}, "source_fingerprint": "today's",
}  # fmt: skip


@pytest.fixture(autouse=True)
def code_of_today(monkeypatch):
    monkeypatch.setattr(
        "pipeline.model_registry.model_artifact.source_fingerprint", lambda: FACTS["source_fingerprint"]
    )


def line(folder):
    """What reading says of files that are as they were written."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    (folder / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(UserError) as caught:
        read_model(folder, version="3")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_facts(folder, **changes):
    (folder / "facts.json").write_text(json.dumps(FACTS | changes))


@pytest.mark.parametrize("renamed", [{}, {"snapshots": 5, "lead_count": None}])
def test_a_model_of_another_version_says_which_to_train_again(tmp_path, renamed):
    """Also where the other version has other facts, and keeps its boosters in files of their own."""
    write_facts(tmp_path, source_fingerprint="older", **renamed)
    for name in ("outcome_1.txt", "value.txt", "background_0.npy"):
        (tmp_path / name).write_bytes(b"tree")
    said = line(tmp_path)
    assert "model version 3 of demo (trained as of 2026-05-15) was made by another version" in said
    assert "`leadrev train`" in said


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"company": "demo"}', "\x00"])
def test_facts_that_are_missing_or_hold_something_else(tmp_path, content):
    if content is not None:
        (tmp_path / "facts.json").write_text(content)
    said = line(tmp_path)
    assert "model version 3 cannot be read (facts.json:" in said
    assert "`leadrev train`" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spec.json", None),
        ("spec.json", "{}"),
        ("forecaster.json", None),
        ("forecaster.json", "{"),
        ("forecaster.json", '{"params": {"trees": 3}}'),
    ],
)
def test_a_damaged_file_is_named(tmp_path, monkeypatch, name, content):
    write_facts(tmp_path)
    if name == "forecaster.json":
        monkeypatch.setattr("features.spec.FeatureSpec.from_json", lambda text: None)
        (tmp_path / "spec.json").write_text("{}")
    if content is not None:
        (tmp_path / name).write_text(content)
    said = line(tmp_path)
    assert f"model version 3 of demo is damaged ({name}:" in said
    assert ("the file is missing" in said) == (content is None)


@pytest.mark.parametrize("content", [None, "", "3", "{}"])
def test_digests_that_are_missing_or_hold_something_else(tmp_path, content):
    write_facts(tmp_path)
    if content is not None:
        (tmp_path / "digests.json").write_text(content)
    with pytest.raises(UserError, match="train again"):
        read_model(tmp_path)


def test_the_facts_of_this_test_are_those_of_a_model():
    assert asdict(ModelFacts(**FACTS)).items() >= FACTS.items()
