"""A small simulated company, trained, promoted, scored: made once a test run and never changed."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import io
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

gc.set_threshold(50_000, 20, 20)  # as the commands do

TABLES = ("leads", "deals", "accounts", "events")
SMALL = {"snapshots": {"rows_limit": 4000}, "model": {"trees": 30}, "features": {"windows_days": [30]}}
"""Params that keep a run short."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def mistakes(self) -> list[str]:
        """What it said on standard error, without its progress."""
        return [line for line in self.err.splitlines() if not line.startswith("  ")]


def leadrev(*words: object, folder: Path | None = None) -> Ran:
    """Run a command as the console does, in this process; with the params in `folder`, where one is given."""
    from pipeline import cli

    argv, cli._debug = sys.argv, False
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["leadrev", *map(str, words), *(["-p", str(folder / "params.yaml")] if folder else [])]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv, cli._debug = argv, False
    return Ran(code, out.getvalue(), err.getvalue())


def refusal(*words, folder=None):
    """One line on standard error, exit code 2, no traceback: give the line."""
    ran = leadrev(*words, folder=folder)
    assert ran.code == 2, ran
    assert len(ran.mistakes) == 1, ran.err
    assert ran.mistakes[0].startswith("leadrev: ")
    assert "Traceback" not in ran.err
    return ran.mistakes[0]


@dataclass(frozen=True)
class Company:
    """A company on disk."""

    folder: Path

    @property
    def params_file(self) -> Path:
        """Its params file."""
        return self.folder / "params.yaml"

    @property
    def params(self):
        """Its params."""
        from pipeline.config.params import load_params

        return load_params(self.params_file)

    def run(self, *words: object) -> Ran:
        """Run a command on it that has to succeed."""
        ran = leadrev(*words, folder=self.folder)
        assert ran.code == 0, ran.err
        return ran

    def copy(self, to: Path, *, models: bool = True, **changes) -> Company:
        """Copy its tables, params and list of models, with keys of the params changed."""
        to.mkdir(parents=True, exist_ok=True)
        for name in (*(f"{table}.parquet" for table in TABLES), "truth.parquet", *(["mlflow.db"] if models else [])):
            shutil.copy(self.folder / name, to)
        content = yaml.safe_load(self.params_file.read_text()) | changes
        (to / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return Company(to)


def simulated(folder: Path, leads: int, **changes) -> Company:
    """Simulate a company whose runs are short."""
    from pipeline.simulation.simulate import simulate

    simulate(folder, leads=leads, events_per_lead=6, seed=1)
    content = yaml.safe_load((folder / "params.yaml").read_text()) | SMALL | changes
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return Company(folder)


def only_once(folder: Path, make) -> None:
    """Make a folder's content once, however many processes ask for it at a time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / ".made").touch()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """One folder for the whole run, whichever process a test runs in."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def company(shared_folder) -> Company:
    """A small simulated company with a champion, and what each command wrote. Look, do not write: it is everyone's."""

    def make(folder: Path) -> None:
        made = simulated(folder, leads=2500)
        for words in (
            ("train",),
            ("promote", "latest", "--by", "Ana", "--because", "the first that there is", "--force"),
            ("score",),
            ("features", "--out", folder / "matrix.parquet"),
        ):
            ran = made.run(*words)
            (folder / f"{words[0]}.out").write_text(ran.out)
            (folder / f"{words[0]}.err").write_text("\n".join(ran.mistakes))

    only_once(shared_folder / "company", make)
    return Company(shared_folder / "company")


@pytest.fixture(scope="session")
def scores(company) -> pd.DataFrame:
    """The company's scores.parquet. Look, do not write: it is everyone's."""
    return pd.read_parquet(company.folder / "scores.parquet")
