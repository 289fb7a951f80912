"""One person out of everything leadrev keeps: found, taken out, kept out, and searched for in every byte.

The order makes a kill harmless. Who is to be erased is written down first, for whoever has to go on; then come the
archive, the artifacts and the models; then the suppression list, which keeps the person from being loaded again; the
note of who it was goes last, before the search.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.archive import suppression
from pipeline.archive.extracts import SOURCES
from pipeline.archive.runs import no_run
from pipeline.archive.suppression import Suppression
from pipeline.common.atomic_write import finish_moves, replace_file, sha256_of
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.masking import without_password
from pipeline.common.scratch import ScratchFolder, remove_dead
from pipeline.config.params import Params
from pipeline.delivery.delivery import open_outbox, outbox_folder
from pipeline.delivery.outbox import FILE as OUTBOX
from pipeline.ingest.load import load_tables
from pipeline.ingest.suppressed_rows import REASON
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.model_registry.model_artifact import seal_model
from pipeline.operations import erasure_stores as stores
from pipeline.operations.erasure_rewrite import rewrite, rewrite_database
from pipeline.operations.erasure_search import SQLITE, Searcher, holds
from pipeline.operations.person import KEYS, Person, columns_of, find_person, plain_email

RECORD = "erasures.jsonl"
DATA = Path("data") / "forecaster"


@dataclass
class Erasure:
    """What an erasure did, and what it found afterwards.

    Parameters
    ----------
    number : int
        Of the person on the suppression list.
    removed : list of (store, place, what)
    remaining : list of str
        Files of leadrev's that still name the person; empty where the erasure is complete.
    theirs : list of str
        The company's own files that name the person: leadrev reads them, and does not change them.
    notes : list of str
        What else only the company can do, or should know.
    files_count, bytes_count : int
        What was searched.
    """

    number: int = 0
    removed: list[tuple[str, str, str]] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files_count: int = 0
    bytes_count: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing that leadrev keeps names the person any more."""
        return not self.remaining


def erase(
    params: Params,
    *,
    lead: str | None = None,
    email: str | None = None,
    contact: str | None = None,
    by: str,
    because: str,
) -> Erasure:
    """Take a person out of everything leadrev keeps, and search every byte of it for them.

    Parameters
    ----------
    params : Params
    lead, email, contact : str, optional
        One of them: who.
    by, because : str
        Who asked for it, and why: kept with the archive, without the person.

    Raises
    ------
    UserError
        Nobody is known by it, or a run is at work.
    """
    asked = {"lead": lead, "email": plain_email(email), "contact": contact}
    given = {kind: value.strip() for kind, value in asked.items() if value and value.strip()}
    if len(given) != 1:
        raise UserError("erase: say who with one of --lead ID, --email ADDRESS and --contact ID")
    for option, text in (("--by", by), ("--because", because)):
        if not text.strip():
            raise UserError(f"{option}: found nothing; an erasure needs a name and a reason, for those who ask later")
    listed = Suppression(params.archive_folder)
    with no_run(params.runs_folder), _no_delivery(params):
        remove_dead()
        finish_moves(params.artifacts_folder)
        for chain in stores.chains(params).values():
            chain.complete_list()
            chain.finish_erasures()
        pending = listed.folder / suppression.PENDING
        person = Person.from_json(pending.read_bytes()) if pending.is_file() else Person()
        found = find_person(load_tables(params), lead, email, contact)
        was_erased = any(listed.holds(kind, value) for kind, value in given.items())
        if not found.is_known and not person.is_known and not was_erased:
            ((kind, value),) = given.items()
            raise UserError(f"--{kind}: nobody is known by '{value}', neither in the sources nor in what leadrev keeps")
        named = {"lead": "leads", "email": "emails", "contact": "contacts"}
        person = person.joined(found).joined(
            Person(**{named[kind]: frozenset({value}) for kind, value in given.items()})
        )
        listed.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(pending, person.to_json())
        result, searcher = Erasure(), Searcher(person)
        facts = {"by": searcher.without(by.strip()), "because": searcher.without(because.strip()), "at": _now()}
        _erase_archive(params, searcher, facts, result)
        digests = _erase_artifacts(params, searcher, result)
        _mend_manifest(params, digests)
        _erase_models(params, searcher, facts, result)
        kinds = {
            suppression.LEAD: person.leads, suppression.CONTACT: person.contacts, suppression.EMAIL: person.emails,
        }  # fmt: skip
        result.number = listed.add([(kind, value) for kind, values in kinds.items() for value in values])
        pending.unlink()
        prove(params, searcher, result)
        _record(listed.folder, facts, result)
    if not found.is_known and not person.shared and was_erased and not result.removed:
        result.notes.append("nothing else is known of the person any more: what was searched for is what you gave")
    if sinks := sorted(params.deliver.sinks):
        result.notes.append(f"what was delivered to {', '.join(sinks)} lies there: delete the person there too")
    for kind in sorted(person.shared):
        result.notes.append(
            f"some of the person's {kind} are other people's too: they were neither removed nor searched for"
        )
    return result


def _no_delivery(params: Params) -> contextlib.AbstractContextManager[Any]:
    """See to it that nothing is delivered in the meantime."""
    is_there = (outbox_folder(params) / OUTBOX).exists()
    return open_outbox(params) if is_there else contextlib.nullcontext()


def prove(params: Params, searcher: Searcher, result: Erasure) -> None:
    """Search every byte that leadrev keeps, and the company's own files beside it."""
    registry = _registry(params)
    kept = [*stores.archive_files(params), *stores.artifact_files(params)]
    if registry is not None:
        kept += [path for folder in registry.model_folders().values() for path in stores.files_in(folder)]
        kept += [path for folder in registry.run_folders() for path in stores.files_in(folder)]
    if (file := stores.database(params)) is not None:
        kept += sorted(file.parent.glob(f"{file.name}*"))
    for path in kept:
        result.files_count += 1
        result.bytes_count += path.stat().st_size
        if holds(path, searcher):
            result.remaining.append(str(path))
    result.theirs += [str(path) for path in stores.other_files(params) if holds(path, searcher)]
    if stores.database(params) is None:
        where = without_password(params.tracking_uri)
        result.remaining.append(f"{where}: models and runs lie there and were not searched; delete the versions there")


def _erase_archive(params: Params, searcher: Searcher, facts: Mapping[str, Any], result: Erasure) -> None:
    """Rewrite sealed files without the person; each chain notes it once."""
    names = columns_of(params, "leads")
    for table in ("deals", "events"):
        for ours, theirs in columns_of(params, table).items():
            names[ours] |= theirs
    own = set().union(*(names[key] for key in KEYS))
    for store, chain in stores.chains(params).items():
        rewritten: dict[Path, bytes] = {}
        for entry in chain.entries():
            rows: dict[str, list[tuple[Any, Any]]] = {}
            for name in sorted(entry.seal["files"]):
                path = entry.folder / name
                if not path.is_file():
                    continue
                columns = own | ({"row_id"} if path.stem == "state_leads" else set())
                content = rewrite(path, searcher, columns) if _names(path, searcher) else None
                if content is None or content == path.read_bytes():
                    continue
                rewritten[path] = content
                rows[path.stem] = _gone_rows(path, content)
                result.removed.append((store, f"{entry.name}/{name}", _what(path, content)))
            if any(rows.values()) and (listing := entry.folder / SOURCES).is_file():
                rewritten[listing] = _relisted(rewritten.get(listing, listing.read_bytes()), rows)
        chain.erase(rewritten, facts)


def _names(path: Path, searcher: Searcher) -> bool:
    """Whether a file has to be looked at: it names the person, or ids that only columns can tell from numbers."""
    return bool(searcher.short_ids) or holds(path, searcher)


def _gone_rows(path: Path, content: bytes) -> list[tuple[Any, Any]]:
    """Give place and number of the rows of a source that an extract no longer has."""
    if not path.stem.startswith("raw_"):
        return []
    columns = ["__place", "__row"]
    before, after = (
        set(zip(*(table[name].to_pylist() for name in columns), strict=True))
        for table in (pq.read_table(path, columns=columns), pq.read_table(_reader(content), columns=columns))
    )
    return sorted(before - after)


def _reader(content: bytes) -> Any:
    return pa.BufferReader(content)


def _relisted(listing: bytes, rows: Mapping[str, list[tuple[Any, Any]]]) -> bytes:
    """Say in the list of an extract's sources which rows were erased: they still count as rows of the source."""
    sources = json.loads(listing)
    for source in sources:
        for place, row in rows.get(source["relation"], ()):
            source["row_count"] -= 1
            source["spoiled"].append([place, row, None, REASON])
    return (json.dumps(sources, indent=1, ensure_ascii=False) + "\n").encode()


def _erase_artifacts(params: Params, searcher: Searcher, result: Erasure) -> dict[str, str]:
    """Take the person out of artifacts and runs; give the digests of files before and after."""
    digests = {}
    for path in list(stores.artifact_files(params)):
        if not path.exists() or not _names(path, searcher):
            continue
        store = "runs" if params.runs_folder in path.parents else "artifacts"
        place = str(path.relative_to(params.artifacts_folder))
        if path.relative_to(params.artifacts_folder).parts[0].startswith(".staging-"):
            shutil.rmtree(params.artifacts_folder / path.relative_to(params.artifacts_folder).parts[0])
            result.removed.append((store, place, "left by a killed run, removed"))
            continue
        if _is_database(path):
            if touched := rewrite_database(path, searcher):
                result.removed.append((store, place, counted(touched, "row", "rows") + ", file rebuilt"))
            continue
        content = rewrite(path, searcher)
        if content is None:
            if holds(path, searcher):
                path.unlink()
                again = stores.PAGES.get(path.name)
                result.removed.append((store, place, f"removed; `{again}` writes it again" if again else "removed"))
        elif content != path.read_bytes():
            before, what = sha256_of(path), _what(path, content)
            replace_file(path, content)
            digests[before] = sha256_of(path)
            result.removed.append((store, place, what))
    return digests


def _is_database(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _mend_manifest(params: Params, digests: Mapping[str, str]) -> None:
    """Let the manifest seal the scores as they are now."""
    path = params.artifacts_folder / "manifest.json"
    if not path.is_file():
        return
    manifest = json.loads(path.read_bytes())
    for name, entry in manifest.get("files", {}).items():
        file = params.artifacts_folder / name
        if file.is_file() and entry["sha256"] != sha256_of(file):
            entry["sha256"] = sha256_of(file)
            if "bytes" in entry:
                entry["bytes"] = file.stat().st_size
    for key, name in (("rows", "scores.parquet"), ("explained_rows", "attributions.parquet")):
        if key in manifest and (params.artifacts_folder / name).is_file():
            manifest[key] = pq.read_metadata(params.artifacts_folder / name).num_rows
    written = (json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    if json.loads(path.read_bytes()) != manifest:
        replace_file(path, written)


def _erase_models(params: Params, searcher: Searcher, facts: Mapping[str, Any], result: Erasure) -> None:
    """Rewrite models that keep the person among their won leads, and what runs of training logged."""
    registry = _registry(params)
    if registry is None:
        return
    for version, folder in registry.model_folders().items():
        if not any(_names(path, searcher) for path in stores.files_in(folder / DATA)):
            continue
        with ScratchFolder() as scratch:
            data = Path(scratch) / "forecaster"
            shutil.copytree(folder / DATA, data)
            changed = [path for path in sorted(data.iterdir()) if _rewritten(path, searcher)]
            if not changed:
                continue
            digest = seal_model(data)
            new = registry.replace_version(version, data, digest, by=facts["by"], because=facts["because"])
        names = ", ".join(path.name for path in changed)
        result.removed.append(("models", f"version {version}: {names}", f"is version {new} now; {version} deleted"))
    for folder in registry.run_folders():
        for path in stores.files_in(folder):
            if _names(path, searcher) and _rewritten(path, searcher):
                result.removed.append(("models", f"{folder.parent.name}/{path.name}", "rewritten"))
    file = stores.database(params)
    if file is not None and file.is_file() and any(holds(path, searcher) for path in file.parent.glob(f"{file.name}*")):
        touched = rewrite_database(file, searcher)
        result.removed.append(("models", file.name, counted(touched, "row", "rows") + ", file rebuilt"))


def _rewritten(path: Path, searcher: Searcher) -> bool:
    """Rewrite a Parquet or JSON file without the person; say whether that changed it."""
    if path.suffix not in (".parquet", ".json", ".jsonl", ".csv"):
        return False
    content = rewrite(path, searcher)
    if content is None or content == path.read_bytes():
        return False
    replace_file(path, content)
    return True


def _registry(params: Params) -> Registry | None:
    """Give the registry, where it lies in a SQLite file of the company's; a server's is not ours to change."""
    file = stores.database(params)
    if file is None:
        return None
    return Registry(params) if file.is_file() else None


def _what(path: Path, content: bytes) -> str:
    """Say what a rewritten file lost."""
    if path.suffix == ".parquet":
        gone = pq.read_metadata(path).num_rows - pq.read_metadata(_reader(content)).num_rows
    elif path.suffix == ".csv":
        gone = path.read_bytes().count(b"\n") - content.count(b"\n")
    else:
        gone = 0
    return f"{counted(gone, 'row', 'rows')} removed" if gone else "mentions cut out"


def _record(folder: Path, facts: Mapping[str, Any], result: Erasure) -> None:
    """Add a line on the erasure: who asked, why, when, how much was removed and whether it is complete."""
    path = folder / RECORD
    line = {**facts, "erasure": result.number, "files": len(result.removed), "complete": result.is_complete}
    before = path.read_bytes() if path.is_file() else b""
    replace_file(path, before + (json.dumps(line, ensure_ascii=False) + "\n").encode())


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
