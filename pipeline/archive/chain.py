"""Sealed entries, each naming the one before it: append-only, and any changed byte is found.

An entry is a folder of files with a seal, ``seal.json``: what the entry is, the size and SHA-256 of each file, and the
SHA-256 of the seal before. ``chain.jsonl`` beside the entries lists them in order with the SHA-256 of their seals, so
that a changed seal shows, the last one too. An entry exists from the instant its seal does; the list is written after
it, and a list that a kill left one entry short is completed by whoever opens the chain next.

What is sealed never changes, with one exception that goes through one door: `Chain.erase` takes a person out. No seal
is rewritten for it: an erasure is an entry of its own, whose seal says who asked for it, why, and for each file that
was rewritten the SHA-256 before and after. From then on the file is held to the digest after.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, flush, replace_file, sha256_of
from pipeline.common.errors import UserError

SEAL, LIST = "seal.json", "chain.jsonl"
ERASURE = "erasure"
WAITING = ".erased-"
"""How the names of rewritten files begin until the erasure that they are part of is sealed."""


@dataclass(frozen=True)
class Entry:
    """A sealed entry.

    Parameters
    ----------
    folder : Path
    seal : dict
        ``sequence`` (1 for the first), ``previous`` (SHA-256 of the seal before; null for the first), ``files`` (name
        to ``bytes`` and ``sha256``), ``perishable`` (files that may be removed once nobody needs them), and what was
        said of it.
    digest : str
        SHA-256 of the seal.
    """

    folder: Path
    seal: Mapping[str, Any]
    digest: str

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @property
    def is_erasure(self) -> bool:
        """Whether it says what was erased from others, and holds nothing itself."""
        return ERASURE in self.seal

    def is_whole(self) -> bool:
        """Whether every file is there, perishable ones too."""
        return all((self.folder / name).is_file() for name in self.seal["files"])


class Chain:
    """Sealed entries in a folder.

    Parameters
    ----------
    folder : Path
        Made with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[Entry]:
        """Give every entry, the oldest first; erasures are none.

        Raises
        ------
        UserError
            As `all_entries`.
        """
        return [entry for entry in self.all_entries() if not entry.is_erasure]

    def all_entries(self) -> list[Entry]:
        """Give every entry and erasure, the oldest first.

        Raises
        ------
        UserError
            If the list names an entry whose seal is gone or is not the one listed: see `verify`.
        """
        found = []
        for line in self._lines():
            seal = self.folder / line["entry"] / SEAL
            if not seal.is_file() or sha256_of(seal) != line["seal"]:
                raise UserError(
                    f"{seal}: is gone or is not what was sealed; `leadrev archive verify` shows what was changed. "
                    "Restore it from a backup"
                )
            found.append(Entry(seal.parent, json.loads(seal.read_bytes()), line["seal"]))
        if (unlisted := self._unlisted(found)) is not None:
            found.append(unlisted)
        return found

    def begin(self, name: str) -> Path:
        """Give an empty folder for the files of a new entry; it is none until `seal`.

        Raises
        ------
        UserError
            If there is such an entry, or the folder cannot be written to.
        """
        folder = self.folder / name
        if (folder / SEAL).exists():
            raise UserError(f"{folder}: is sealed, and what is sealed never changes")
        if folder.exists():
            shutil.rmtree(folder)  # what a killed run left
        check_writable(folder)
        return folder

    def seal(self, name: str, facts: Mapping[str, Any], perishable: tuple[str, ...] = ()) -> Entry:
        """Seal the files in an entry's folder: from now on it is part of the chain.

        Parameters
        ----------
        name : str
            As given to `begin`.
        facts : mapping
            What the seal says of the entry; nothing in it may differ between two runs of the same night.
        perishable : tuple of str
            Files that `forget` may remove.
        """
        entries = self.all_entries()
        folder = self.folder / name
        paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        for path in paths:
            flush(path)
        seal = {
            **facts,
            "sequence": len(entries) + 1,
            "previous": entries[-1].digest if entries else None,
            "perishable": sorted(perishable),
            "files": {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in paths},
        }
        replace_file(folder / SEAL, _json(seal))
        flush(self.folder)
        entry = Entry(folder, seal, sha256_of(folder / SEAL))
        self._write([*entries, entry])
        return entry

    def complete_list(self) -> None:
        """List the entry that a kill left sealed and unlisted."""
        entries = self.all_entries()
        if len(entries) > len(self._lines()):
            self._write(entries)

    def erase(self, rewritten: Mapping[Path, bytes], facts: Mapping[str, Any]) -> Entry | None:
        """Put files without a person in the place of sealed ones: the one exception to what is sealed never changing.

        The new files wait under hidden names until the erasure is sealed; then they take the old ones' places. A kill
        before leaves the old files, one after leaves moves for `finish_erasures`.

        Parameters
        ----------
        rewritten : mapping of Path to bytes
            Files of entries, and what they are to hold.
        facts : mapping
            What the seal says: who asked for it, when and why; nothing of the person.
        """
        self.finish_erasures()
        if not rewritten:
            return None
        files = {}
        for path, content in sorted(rewritten.items()):
            waiting = path.with_name(WAITING + path.name)
            replace_file(waiting, content)
            was = {"was": sha256_of(path), "bytes": len(content), "sha256": sha256_of(waiting)}
            files[path.relative_to(self.folder).as_posix()] = was
        number = sum(entry.is_erasure for entry in self.all_entries()) + 1
        name = f"{ERASURE}-{number:04d}"
        self.begin(name)
        entry = self.seal(name, {ERASURE: {**facts, "files": files}})
        self.finish_erasures()
        return entry

    def finish_erasures(self) -> None:
        """Move files into place whose erasure is sealed, and remove those whose erasure never was."""
        sealed = {
            self.folder / name: file["sha256"]
            for entry in self.all_entries()
            if entry.is_erasure
            for name, file in entry.seal[ERASURE]["files"].items()
        }
        for waiting in sorted(self.folder.glob(f"*/{WAITING}*")):
            path = waiting.with_name(waiting.name.removeprefix(WAITING))
            if sealed.get(path) == sha256_of(waiting):
                os.replace(waiting, path)
            else:
                waiting.unlink()
            flush(path.parent)

    def forget(self, entry: Entry) -> None:
        """Remove an entry's perishable files; its seal keeps their digests."""
        for name in entry.seal["perishable"]:
            (entry.folder / name).unlink(missing_ok=True)

    def verify(self) -> Iterator[str]:
        """Say everything that is not as it was sealed; nothing where all is."""
        try:
            lines = self._lines()
        except UserError as error:
            yield str(error)
            return
        written = b"".join(_line(line | {"sequence": number}) for number, line in enumerate(lines, 1))
        if lines and (self.folder / LIST).read_bytes() != written:
            yield f"{self.folder / LIST}: its bytes are not as they were written"
        previous = None
        listed = {line["entry"] for line in lines}
        erased = self._erased(lines)
        for number, line in enumerate(lines, 1):
            folder, before, previous = self.folder / line["entry"], previous, line["seal"]
            if not (folder / SEAL).is_file():
                yield f"{folder / SEAL}: is gone"
            elif sha256_of(folder / SEAL) != line["seal"]:
                yield f"{folder / SEAL}: was changed after it was sealed"
            else:
                seal = json.loads((folder / SEAL).read_bytes())
                if (seal["sequence"], seal["previous"]) != (number, before):
                    yield f"{folder / SEAL}: does not follow the entry before it"
                files = {
                    name: _after_erasures(sealed, erased.get(f"{line['entry']}/{name}", ()))
                    for name, sealed in seal["files"].items()
                }
                yield from _changed(folder, files, set(seal["perishable"]))
        for seal_path in sorted(self.folder.glob(f"*/{SEAL}")):
            if seal_path.parent.name not in listed:
                yield f"{seal_path.parent}: is sealed, but {LIST} does not list it"

    def _erased(self, lines: list[dict[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
        """Give for each rewritten file, by its path in the chain, what erasures say of it, the oldest first."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for line in lines:
            path = self.folder / line["entry"] / SEAL
            if path.is_file() and sha256_of(path) == line["seal"]:
                for name, file in json.loads(path.read_bytes()).get(ERASURE, {}).get("files", {}).items():
                    found.setdefault(name, []).append(file)
        return found

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / LIST
        if not path.is_file():
            return []
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            return [{"sequence": line["sequence"], "entry": line["entry"], "seal": line["seal"]} for line in lines]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}: was changed: it is no list of entries; restore it from a backup") from None

    def _unlisted(self, entries: list[Entry]) -> Entry | None:
        """Find the entry that follows the last one listed: sealed by a run that was killed before it listed it."""
        listed = {entry.name for entry in entries}
        head = entries[-1].digest if entries else None
        found = None
        for path in sorted(self.folder.glob(f"*/{SEAL}")):
            if path.parent.name in listed:
                continue
            seal = json.loads(path.read_bytes())
            if found or seal.get("sequence") != len(entries) + 1 or seal.get("previous") != head:
                raise UserError(
                    f"{self.folder / LIST}: does not list {path.parent.name}, which is sealed; `leadrev archive "
                    "verify` shows what was changed. Restore the list from a backup"
                )
            found = Entry(path.parent, seal, sha256_of(path))
        return found

    def _write(self, entries: list[Entry]) -> None:
        lines = [
            {"sequence": number, "entry": entry.name, "seal": entry.digest} for number, entry in enumerate(entries, 1)
        ]
        replace_file(self.folder / LIST, b"".join(_line(line) for line in lines))


def _after_erasures(sealed: Mapping[str, Any], erasures: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Give what a file has to be, after erasures that each follow from what it was before."""
    for erasure in erasures:
        sealed = erasure if erasure["was"] == sealed["sha256"] else sealed
    return sealed


def _changed(folder: Path, files: Mapping[str, Any], perishable: set[str]) -> Iterator[str]:
    for name, sealed in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            if name not in perishable:
                yield f"{path}: is gone"
        elif path.stat().st_size != sealed["bytes"] or sha256_of(path) != sealed["sha256"]:
            yield f"{path}: was changed after it was sealed"
    for path in sorted(folder.iterdir()):
        if path.name not in files and path.name != SEAL and not path.name.startswith("."):
            yield f"{path}: was added after the entry was sealed"


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()
