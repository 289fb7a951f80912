"""Where leadrev keeps what it knows of people, store by store."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.archive.assignments import Assignments
from pipeline.archive.chain import Chain
from pipeline.archive.extracts import Extracts
from pipeline.archive.forecasts import Forecasts
from pipeline.config.params import Params

PAGES = {
    "report.html": "leadrev report", "audit.html": "leadrev check", "backtest.html": "leadrev backtest",
    "funnel.html": "leadrev funnel", "campaigns.html": "leadrev campaigns", "selection.html": "leadrev selection",
    "month-end.html": "leadrev month-end", "plan.html": "leadrev plan", "monitor.html": "leadrev monitor",
}  # fmt: skip
"""Pages, and the command that writes each again."""
ARTIFACTS = (
    "scores.*", "attributions*.parquet", "insights.parquet", "timeline.parquet", "previous.parquet", "margins*.parquet",
    "identity.parquet", "quarantine.parquet", "warnings.parquet", "manifest.json", "audit.json", "backtest.json",
    "funnel.*", "campaigns.*", "plan*.json", "plan*.html", "plan*.parquet", "experiment*.*", "selection.*",
    "month-end*.*", "monitor*.*", "answers.sqlite*", "outbox", "access_log.jsonl*", "deliveries.jsonl",
    "tuning.db*", "nurture*.*", ".staging-*", ".committed-*", ".*.partial", *PAGES,
)  # fmt: skip
"""What leadrev writes into the folder of artifacts, which may be the folder of a company's own files too."""


def chains(params: Params) -> dict[str, Chain]:
    """Give the append-only stores of the archive."""
    archive = params.archive_folder
    return {
        "archive/forecasts": Forecasts(archive).chain,
        "archive/extracts": Extracts(archive).chain,
        "archive/experiments": Assignments(archive).chain,
    }


def archive_files(params: Params) -> Iterator[Path]:
    """Give every file of the archive, hidden ones too."""
    yield from files_in(params.archive_folder)


def artifact_files(params: Params) -> Iterator[Path]:
    """Give every file that leadrev wrote into the folder of artifacts, the archive aside."""
    folder, own = params.artifacts_folder, sources(params)
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.resolve() in own or not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in ARTIFACTS):
            continue
        yield from files_in(path) if path.is_dir() else [path]
    yield from files_in(params.runs_folder)


def other_files(params: Params) -> Iterator[Path]:
    """Give the company's own files in the folder of artifacts, and its sources: leadrev reads them, and leaves them."""
    kept = {*artifact_files(params), *archive_files(params)}
    known = {path for path in sources(params) if path.is_file()}
    folder = params.artifacts_folder
    around = {path for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
    databases = {path for path in around if path.name.startswith(database_name(params) or "\0")}
    yield from sorted((known | around) - kept - databases)


def sources(params: Params) -> set[Path]:
    """Give the files that params read."""
    found: set[Path] = set()
    for table in type(params.data.sources).model_fields:
        for source in getattr(params.data.sources, table):
            written = [source.from_] if source.from_ and "://" not in source.from_ else []
            written += re.findall(r"'([^']{1,400}\.\w{1,20})'", source.sql or "")
            for one in written:
                found |= {Path(path).resolve() for path in glob.glob(str(params.folder / one), recursive=True)}
    return found


def database_name(params: Params) -> str | None:
    """Give the name of MLflow's SQLite file, if it is one."""
    file = database(params)
    return file.name if file else None


def database(params: Params) -> Path | None:
    """Give MLflow's SQLite file, if it is one."""
    file = params.tracking_uri.removeprefix("sqlite:///")
    return Path(file) if file != params.tracking_uri else None


def files_in(folder: Path) -> Iterator[Path]:
    """Give every file below a folder, hidden ones too; no link is followed."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
