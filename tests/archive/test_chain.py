"""Sealed entries: append-only, completed after a kill, and any changed byte is found."""

from __future__ import annotations

import os
import shutil

import pytest

from pipeline.archive import chain as chains
from pipeline.archive.chain import LIST, SEAL, Chain
from pipeline.archive.runs import add_line, read_lines
from pipeline.common.errors import UserError


def append(chain: Chain, name: str, **facts):
    folder = chain.begin(name)
    (folder / "scores.bin").write_bytes(f"scores of {name}".encode())
    (folder / "sources.bin").write_bytes(f"sources of {name}".encode())
    return chain.seal(name, facts, perishable=("sources.bin",))


@pytest.fixture
def chain(tmp_path) -> Chain:
    found = Chain(tmp_path / "chain")
    for name in ("a", "b", "c"):
        append(found, name, told=name)
    return found


def test_each_entry_names_the_one_before(chain):
    entries = chain.entries()
    assert [(entry.name, entry.seal["sequence"], entry.seal["told"]) for entry in entries] == [
        ("a", 1, "a"), ("b", 2, "b"), ("c", 3, "c")
    ]  # fmt: skip
    assert [entry.seal["previous"] for entry in entries] == [None, entries[0].digest, entries[1].digest]
    assert list(chain.verify()) == []


def test_any_changed_byte_is_found(chain):
    paths = [path for path in chain.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert len(paths) == 10
    for path in paths:
        sealed = path.read_bytes()
        for place in range(len(sealed)):
            path.write_bytes(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])
            assert list(chain.verify()), (path, place)
        for other in (sealed[:-1], sealed + b"\n", b""):
            path.write_bytes(other)
            assert list(chain.verify()), path
        path.write_bytes(sealed)
    assert list(chain.verify()) == []


def test_what_is_gone_or_was_added_is_found(chain):
    for path in (chain.folder / "b" / "scores.bin", chain.folder / "c" / SEAL, chain.folder / LIST):
        kept = path.read_bytes()
        path.unlink()
        assert any(str(path.parent) in finding for finding in chain.verify()), path
        path.write_bytes(kept)
    (chain.folder / "b" / "more.bin").write_bytes(b"x")
    assert any("more.bin" in finding for finding in chain.verify())
    (chain.folder / "b" / "more.bin").unlink()
    shutil.copytree(chain.folder / "c", chain.folder / "d")
    assert any("/d" in finding for finding in chain.verify())
    with pytest.raises(UserError, match="archive verify"):
        chain.entries()


def test_perishable_files_may_go_and_nothing_else(chain):
    chain.forget(chain.entries()[0])
    assert [entry.is_whole() for entry in chain.entries()] == [False, True, True]
    assert list(chain.verify()) == []


def test_what_is_sealed_is_never_written_again(chain):
    with pytest.raises(UserError, match="never changes"):
        chain.begin("b")


def test_a_kill_between_seal_and_list_is_mended(chain, monkeypatch):
    def dies(path, content):
        if path.name == LIST:
            raise KeyboardInterrupt
        real(path, content)

    real = chains.replace_file
    monkeypatch.setattr(chains, "replace_file", dies)
    with pytest.raises(KeyboardInterrupt):
        append(chain, "d")
    monkeypatch.undo()
    assert [entry.name for entry in chain.entries()] == ["a", "b", "c", "d"]
    chain.complete_list()
    assert list(chain.verify()) == []
    append(chain, "e")
    assert [entry.name for entry in chain.entries()] == ["a", "b", "c", "d", "e"]


def test_what_a_killed_run_left_unsealed_is_no_entry(chain):
    (chain.begin("d") / "scores.bin").write_bytes(b"half of")
    assert list(chain.verify()) == []
    assert [path.name for path in chain.begin("d").iterdir()] == []
    assert [entry.name for entry in chain.entries()] == ["a", "b", "c"]


def test_a_line_cut_off_by_a_kill_stays_by_itself(tmp_path):
    add_line(tmp_path, {"run_id": "one"})
    with open(tmp_path / "runs.jsonl", "ab") as file:
        file.write(b'{"run_id": "cut o')
        os.fsync(file.fileno())
    add_line(tmp_path, {"run_id": "two"})
    assert [line["run_id"] for line in read_lines(tmp_path)] == ["one", "two"]
