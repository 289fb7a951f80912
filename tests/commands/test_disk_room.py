"""A disk without room is said in one line before any work, with the place."""

import errno

import pytest
from company_files import small_params
from conftest import refusal

COMMANDS = {"train": (), "check": (), "backtest": (), "score": (), "demo": ("--out", "OUT")}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_one_line_before_any_source_is_read(tmp_path, monkeypatch, command):
    small_params(tmp_path)

    def no_room(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def work(*args, **kwargs):
        raise AssertionError("work began")

    monkeypatch.setattr("pipeline.common.atomic_write.os.fsync", no_room)
    for module, name in {
        "check": "load_tables",
        "backtest": "load_tables",
        "train": "company_at",
        "score": "company_at",
    }.items():
        monkeypatch.setattr(f"pipeline.commands.{module}.{name}", work)
    monkeypatch.setattr("pipeline.simulation.simulate.simulate", work)
    words = [str(tmp_path) if word == "OUT" else word for word in COMMANDS[command]]
    line = refusal(command, *words, folder=None if command == "demo" else tmp_path)
    assert str(tmp_path) in line
    assert "cannot write there (No space left on device)" in line


def test_a_disk_that_fills_up_during_the_work_is_one_line_too(tmp_path, monkeypatch):
    small_params(tmp_path)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "audit.json"))

    monkeypatch.setattr("pipeline.commands.check.write_whole", full)
    line = refusal("check", folder=tmp_path)
    assert f"{tmp_path / 'audit.json'}: cannot be written" in line
