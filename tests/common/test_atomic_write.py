"""A result is there whole or not at all, whatever happens to the run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.common.atomic_write import finish_moves, replace_file, sha256_of, write_whole, written_whole
from pipeline.common.errors import UserError

OLD = {"a.bin": b"old a", "b.bin": b"old b", "seal.json": b"old seal"}
NEW = {"a.bin": b"new a", "b.bin": b"new b", "seal.json": b"new seal"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_what_is_written_is_there_and_other_files_stay(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    write_whole(tmp_path, OLD, seal="seal.json")
    write_whole(tmp_path, NEW, seal="seal.json")
    assert contents(tmp_path) == NEW | {"mine.txt": b"mine"}


def test_an_error_midway_leaves_the_old_result(tmp_path):
    write_whole(tmp_path, OLD, seal="seal.json")

    def fails_midway():
        with written_whole(tmp_path, seal="seal.json") as staging:
            staging.path("a.bin").write_bytes(b"half of")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fails_midway()
    assert contents(tmp_path) == OLD


def test_a_killed_run_leaves_the_old_result_and_the_next_one_cleans_up(tmp_path):
    write_whole(tmp_path, OLD, seal="seal.json")
    code = f"""
import os, pathlib, signal
from pipeline.common.atomic_write import written_whole
with written_whole(pathlib.Path({str(tmp_path)!r}), seal="seal.json") as staging:
    staging.path("a.bin").write_bytes(b"half of")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert died.returncode == -signal.SIGKILL
    assert contents(tmp_path) == OLD
    assert list(tmp_path.glob(".staging-*"))
    write_whole(tmp_path, NEW, seal="seal.json")
    assert contents(tmp_path) == NEW
    assert not list(tmp_path.glob(".staging-*"))


def test_a_kill_between_two_renames_leaves_no_seal(tmp_path, monkeypatch):
    write_whole(tmp_path, OLD, seal="seal.json")
    moved = []

    def dies_on_the_second(source, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        os.rename(source, target)

    monkeypatch.setattr(os, "replace", dies_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path, NEW, seal="seal.json")
    assert "seal.json" not in contents(tmp_path)
    monkeypatch.undo()
    write_whole(tmp_path, {"c.bin": b"c"})
    assert contents(tmp_path) == NEW | {"c.bin": b"c"}


@pytest.mark.parametrize("moves_done", range(4))
def test_a_result_written_whole_is_moved_into_place_after_a_kill(tmp_path, monkeypatch, moves_done):
    write_whole(tmp_path, OLD, seal="seal.json")
    moved = []

    def dies(source, target):
        if len(moved) > moves_done:
            raise KeyboardInterrupt
        moved.append(target)
        os.rename(source, target)

    monkeypatch.setattr(os, "replace", dies)
    if moves_done < 3:
        with pytest.raises(KeyboardInterrupt):
            write_whole(tmp_path, NEW, seal="seal.json")
    else:
        write_whole(tmp_path, NEW, seal="seal.json")
    monkeypatch.undo()
    finish_moves(tmp_path)
    assert contents(tmp_path) == NEW
    assert not list(tmp_path.glob(".committed-*"))


@pytest.mark.parametrize("old", [b"old", None])
def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch, old):
    path = tmp_path / "list.jsonl"
    if old:
        path.write_bytes(old)
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"new")
    assert (path.read_bytes() if path.exists() else None) == old
    monkeypatch.undo()
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_two_runs_never_write_into_one_folder(tmp_path):
    with written_whole(tmp_path) as staging:
        staging.path("a.bin").write_bytes(b"first")
        with pytest.raises(UserError, match="another leadrev run"):
            write_whole(tmp_path, NEW)
    assert contents(tmp_path) == {"a.bin": b"first"}


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
