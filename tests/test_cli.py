"""The commands of the contract: there, explained, and clear about a user's mistake."""

import re
import subprocess
import sys

import pytest
from company_files import write_company
from conftest import leadrev, refusal

from pipeline import cli
from pipeline.common.atomic_write import check_writable
from pipeline.common.errors import UserError

COMMANDS = {
    "demo": ("--leads", "--out"),
    "simulate": ("--out", "--leads", "--events-per-lead", "--seed", "--mess", "--export", "--until", "--revenue"),
    "init": ("--crm", "--out"),
    "check": ("--params", "--out"),
    "features": ("--params", "--as-of", "--out"),
    "train": ("--params", "--as-of", "--tune"),
    "backtest": ("--params", "--cutoffs", "--out"),
    "score": ("--params", "--as-of", "--model", "--explain", "--out", "--previous"),
    "campaigns": ("--params", "--as-of", "--since", "--attribution", "--filter", "--out"),
    "plan": ("--params", "--goal", "--until", "--from", "--marketing-share", "--as-of", "--out"),
    "funnel": ("--params", "--as-of", "--by", "--cohort", "--out"),
    "monitor": ("--params", "--as-of", "--out"),
    "month-end": ("--params", "--as-of", "--out"),
    "experiment": ("--params", "--share", "--as-of", "--out"),
    "selection": ("--params", "--as-of", "--out"),
    "nightly": ("--params", "--from", "--only", "--dry-run"),
    "deliver": ("--params", "--to", "--dry-run", "--resend"),
    "status": ("--params",),
    "archive": ("--params",),
    "erase": ("--params", "--lead", "--email", "--contact", "--by", "--because"),
    "explain": ("--params",),
    "report": ("--params",),
    "serve": ("--params", "--host", "--port", "--tokens", "--certificate", "--key"),
    "token": ("--owner", "--tokens"),
    "feedback": ("--params", "--out"),
    "promote": ("--params", "--by", "--because", "--force"),
    "rollback": ("--params",),
}


def test_help_lists_every_command_and_no_other():
    listed = leadrev("--help").out
    for command in COMMANDS:
        assert re.search(rf"^\W*{command}\b", listed, flags=re.MULTILINE), command
    from pipeline.cli import app

    assert {command.name or command.callback.__name__ for command in app.registered_commands} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself_with_an_example(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    ran = leadrev(command, "--help")
    assert ran.code == 0
    assert f"Example: leadrev {command}" in " ".join(ran.out.split())
    for option in (*COMMANDS[command], "--debug"):
        assert option in ran.out


@pytest.mark.parametrize(
    "command",
    [("check",), ("features",), ("train",), ("backtest",), ("score",), ("report",), ("serve",), ("rollback",)],
)
def test_a_params_file_that_is_not_there_gives_one_line(command, tmp_path):
    assert str(tmp_path / "params.yaml") in refusal(*command, folder=tmp_path)


def test_unreadable_params_give_one_line_with_the_key(tmp_path):
    path = write_company(tmp_path)
    honest = path.read_text()
    for spoilt, said in (
        (honest + "\nhorizon_days: [30]\n", "horizons_days"),
        (honest.replace("company: small", "company: [small"), "line"),
        (honest.replace("from: leads.csv", "from: leeds.csv"), "data.sources.leads.from"),
        ("", "params.yaml"),
    ):
        path.write_text(spoilt)
        assert said in refusal("check", folder=tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("score", "--explain", "some"), "--explain"),
        (("score", "--as-of", "yesterday", "--model", "latest"), "leadrev train"),
        (("train", "--as-of", "yesterday"), "yesterday"),
        (("features",), "--out"),
        (("backtest", "--cutoffs", "2024-13-01"), "2024-13-01"),
        (("promote", "latest", "--by", " ", "--because", "x"), "--by"),
        (("promote", "latest", "--by", "x", "--because", ""), "--because"),
        (("train", "--as-of", "2020-01-01"), "nothing to learn from"),
        (("report",), "leadrev score"),
        (("explain", "L1"), "leadrev train"),
    ],
)
def test_a_mistake_gives_one_line_that_names_it(tmp_path, words, said):
    write_company(tmp_path)
    assert said in refusal(*words, folder=tmp_path)


def test_debug_shows_where(tmp_path):
    command = [sys.executable, "-m", "pipeline.cli", "check", "-p", str(tmp_path / "none.yaml"), "--debug"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "Traceback" in ran.stderr


def test_what_nobody_foresaw_gives_one_line_and_another_code(tmp_path, monkeypatch):
    write_company(tmp_path)

    def breaks(*_):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("pipeline.commands.check.check", breaks)
    ran = leadrev("check", folder=tmp_path)
    assert ran.code == 1
    assert ran.mistakes == ["leadrev: unexpected RuntimeError: two lines (--debug shows where)"]


def test_a_missing_openmp_library_is_said_in_one_line(monkeypatch, capsys):
    def without_openmp():
        raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(cli, "app", without_openmp)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "libgomp1" in message


def test_a_folder_that_cannot_be_written_to_is_said_before_the_work(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="taken: cannot write there"):
        check_writable(tmp_path / "taken")
