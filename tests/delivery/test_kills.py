"""Killed between outbox, sink and note: the next run finishes, nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from delivery_company import FakeClock, Scored, scored, table

from pipeline.commands.deliver import deliver
from pipeline.delivery import delivery, file_sink, outbox, sqlite_sink

ROOT = Path(__file__).parents[2]
POINTS = int(os.environ.get("LEADREV_TEST_KILLS", "10"))
MADE = ("out.db", "out.csv", "outbox/outbox.db", "deliveries.jsonl")


def deliver_killed_at(company: Scored, at: int) -> None:
    """Deliver, killed at the n-th line that outbox and sinks run; a process that lives to the end says how many."""
    files, lines = {module.__file__ for module in (delivery, file_sink, outbox, sqlite_sink)}, 0

    def count(frame, event, argument):
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        lines += 1
        if lines == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    params = company.params
    sys.settrace(count)
    deliver(params, clock=FakeClock())
    sys.settrace(None)
    (company.folder / "lines").write_text(str(lines))


def finish(company: Scored) -> None:
    """Deliver, twice: first what is left, then nothing; and say what is there."""
    assert all(result.is_whole for result in deliver(company.params, clock=FakeClock()).results)
    assert all(result.sent == 0 for result in deliver(company.params, clock=FakeClock()).results)
    there = table(company.folder), (company.folder / "out.csv").read_bytes()
    assert len(pq.read_table(company.folder / "lake")) == 5, "a file written again is the same file"
    expected = company.folder / "expected"
    if not expected.exists():
        expected.write_text(repr(there))
    assert expected.read_text() == repr(there)


def in_a_fork(work, *given) -> int:
    """Do it in a process of its own, and say how it ended."""
    if (child := os.fork()) == 0:
        try:
            work(*given)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at_many_points(folder: Path) -> None:
    """Kill deliveries at points drawn over all the lines that one runs, and finish each."""
    company = scored(folder)
    company.sinks(dwh={"to": "sqlite:///out.db/lead_scores"}, wizard={"to": "out.csv"}, lake={"to": "lake/"})
    assert in_a_fork(deliver_killed_at, company, -1) == 0
    assert in_a_fork(finish, company) == 0
    lines = int((folder / "lines").read_text())
    for at in random.Random(0).sample(range(1, lines), POINTS):
        for path in [*(folder / name for name in MADE), *(folder / "lake").glob("*")]:
            path.unlink(missing_ok=True)
        assert in_a_fork(deliver_killed_at, company, at) == -signal.SIGKILL, at
        assert in_a_fork(finish, company) == 0, f"killed at line {at} of {lines}"
    print(f"{POINTS} kills among {lines} lines")


def test_killed_anywhere_the_next_run_finishes_and_nothing_is_lost_or_twice(tmp_path):
    # A process that has used no thread yet: its forks are whole.
    paths = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "helpers"), str(ROOT / "tests" / "delivery")]
    work = f"import test_kills; test_kills.kill_at_many_points(test_kills.Path({str(tmp_path)!r}))"
    code = f"import sys; sys.path[:0] = {paths!r}; {work}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{POINTS} kills")
