"""What README shows exists: its commands parse, its targets and files are there, and no command goes unmentioned."""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from pipeline.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
CLI = typer.main.get_command(app)

FENCE = re.compile(r"^ *(`{3,}|~{3,})[ ]*(\w*)[^\n]*\n(.*?)^ *\1[ ]*$", re.MULTILINE | re.DOTALL)
OPERATORS = ("&&", "||", "|", ";", "&", ">", ">>", "<", "2>")
PARTS = r"pipeline|features|models|notebooks|tests|\.ci"


def shell_lines(text):
    """Lines typed into a shell in fenced `console` or `bash` blocks: after "$ ", or all where a block has none."""
    for _, language, block in FENCE.findall(text):
        if language not in ("console", "bash"):
            continue
        lines = [line.strip() for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        yield from typed or [line for line in lines if line]


def shown_commands(text):
    """Every `leadrev …` and `make …` in those lines, as a list of words; what else a line calls is not ours."""
    for line in shell_lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, ";"]:
            if word not in OPERATORS:
                words.append(word)
                continue
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words = words[1:]
            if words and words[0].rsplit("/")[-1] in ("leadrev", "make"):
                yield [words[0].rsplit("/")[-1], *words[1:]]
            words = []


def mistake(words):
    """What is wrong with a shown command; None if nothing is. It is parsed, never run."""
    program, *given = words
    if program == "make":
        unknown = [word for word in given if not word.startswith("-") and "=" not in word and word not in TARGETS]
        return f"the Makefile has no target {unknown}" if unknown else None
    try:
        if not given or given[0].startswith("-"):
            CLI.make_context("leadrev", given or ["--help"])
        elif given[0] not in CLI.commands:
            return f"no command {given[0]!r}"
        else:
            CLI.commands[given[0]].make_context(given[0], given[1:])
    except Exception as error:  # asking for help ends parsing as well, with exit code 0
        return None if getattr(error, "exit_code", 1) == 0 else f"{type(error).__name__}: {error}"
    return None


def prose(text):
    return FENCE.sub("", text)


def link_targets(text):
    found = re.findall(r"\]\(\s*<?([^)\s>]+)", prose(text)) + re.findall(r"(?:src|href)=\"([^\"]+)\"", prose(text))
    return [unquote(target) for target in found if not re.match(r"\w+:", target)]


def named_paths(text):
    """Paths in `code` that start with a part of the project."""
    return re.findall(rf"`((?:{PARTS})/[^`\s:]*)", prose(text))


def anchors(text):
    headings = re.findall(r"^#+ +(.+?) *$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(autouse=True)
def debug_stays_off(monkeypatch):
    monkeypatch.setattr("pipeline.cli._debug", False)


def test_readme_shows_how_to_start():
    shown = list(shown_commands(README))
    assert any(words[0] == "make" for words in shown)
    assert any(words[0] == "leadrev" for words in shown)


@pytest.mark.parametrize("words", list(shown_commands(README)), ids=" ".join)
def test_a_command_that_readme_shows_exists(words):
    assert mistake(words) is None


@pytest.mark.parametrize("command", sorted(CLI.commands))
def test_every_command_is_in_readme(command):
    assert re.search(rf"\bleadrev {command}\b|`{command}\b", README), f"README does not mention `leadrev {command}`"


def test_what_readme_points_to_exists():
    for target in link_targets(README):
        path, _, anchor = target.partition("#")
        assert (ROOT / path).exists(), target
        if not path:
            assert anchor in anchors(README), target


def test_a_part_of_the_project_that_readme_names_exists():
    gone = [path for path in named_paths(README) if not list(ROOT.glob(path.rstrip("/.,")))]
    assert not gone


def test_a_file_of_the_demo_that_readme_names_is_one_that_some_command_writes():
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pipeline").rglob("*.py"))
    named = set(re.findall(r"\bdemo/([\w-]+\.\w+)", README))
    assert not {name for name in named if name not in written and Path(name).stem not in written}


SAMPLE = """
```console
$ LEVEL=1 .venv/bin/leadrev demo --leads 500 \\
      --out here && make test
leadrev this is output
```
```bash
make nothing   # not a target
leadrev score --explian 5
leadrev no-such-command | head -3
leadrev promote latest --by Ana --because "it is better; really"
leadrev simulate --leads many --out x
leadrev --help
cat x > y
```
```yaml
leadrev: not a shell
```
"""


def test_commands_are_found_and_their_mistakes_seen():
    found = {" ".join(words): mistake(words) for words in shown_commands(SAMPLE)}
    assert list(found) == [
        "leadrev demo --leads 500 --out here",
        "make test",
        "make nothing",
        "leadrev score --explian 5",
        "leadrev no-such-command",
        "leadrev promote latest --by Ana --because it is better; really",
        "leadrev simulate --leads many --out x",
        "leadrev --help",
    ]
    wrong = [command for command, what in found.items() if what]
    assert wrong == [
        "make nothing",
        "leadrev score --explian 5",
        "leadrev no-such-command",
        "leadrev simulate --leads many --out x",
    ]
