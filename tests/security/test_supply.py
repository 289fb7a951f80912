"""What is installed is what was locked, and every package has its line: why, who keeps it, and what if it vanishes."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirements):
    return {plain(re.match(r"[A-Za-z0-9._-]+", text)[0]) for text in requirements}


ASKED = named([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
ENTRIES = re.split(r"\n(?=[a-zA-Z0-9])", LOCK.strip())


def test_everything_is_locked_by_version_and_digest():
    for entry in ENTRIES:
        first = entry.splitlines()[0]
        assert re.match(r"[A-Za-z0-9._-]+==[^\s;]+( ;.*)? \\$", first), first
        digests = re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
        assert digests, first
        assert entry.count("--hash=") == len(digests)
    assert named(ENTRIES) >= ASKED
    assert "setuptools" in named(ENTRIES), "our own package is built without asking for more"
    assert not re.search(r"^-|://| @ ", LOCK, re.MULTILINE), "no place to fetch from is named"


def test_the_lock_keeps_to_the_constraints():
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if "==" in line:
            name, _, version = line.partition(";")[0].strip().partition("==")
            pinned.setdefault(plain(name), set()).add(version)
    for entry in ENTRIES:
        name, _, version = entry.splitlines()[0].split(" ")[0].partition("==")
        if plain(name) in pinned:
            assert version in pinned[plain(name)], name


def test_the_installation_checks_digests():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("$(VENV)/.installed:")[1].split("\n\n")[0]
    assert recipe.count("--require-hashes --requirement requirements.lock") == 2, "with uv and with pip alone"
    assert "--no-deps --no-build-isolation" in makefile
    assert "--constraint" not in recipe


def test_every_package_has_its_line():
    table = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    told = {plain(name.strip()) for names, *_ in lines for name in names.split(",")}
    assert told >= ASKED
    assert not told - ASKED - {"package", "---"}
