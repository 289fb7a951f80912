"""Killed anywhere, a night ends in the same bytes once it is run again.

``LEADREV_KILLS=60`` kills as often; by default a few seeded points are enough to notice what broke.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil

import pytest
from night_company import contents, night_in_a_process, stand_at

KILLS = int(os.environ.get("LEADREV_KILLS", "4"))


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["night_company", "pipeline.commands.nightly"])
    return context


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory):
    """The company after its first night, with the CRM of the second."""
    folder = tmp_path_factory.mktemp("kills") / "company"
    stand_at(folder, "2026-05-12")
    return folder


def run(processes, folder, said, **kill) -> int:
    process = processes.Process(target=night_in_a_process, args=(folder, said), kwargs=kill)
    process.start()
    process.join()
    return process.exitcode


def test_a_night_killed_anywhere_ends_in_the_same_bytes(processes, two_nights, tmp_path):
    said = tmp_path / "said.json"
    assert run(processes, two_nights, said) == 0
    stand_at(two_nights, "2026-05-15")
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(two_nights, undisturbed)
    assert run(processes, undisturbed, said) == 0
    told = json.loads(said.read_text())
    assert told["code"] == 0, told["err"]
    expected = contents(undisturbed)
    draw = random.Random(7)
    points = [draw.randint(1, told["touched"]) for _ in range(KILLS // 2)]
    instants = [draw.uniform(0.02, 1) * told["seconds"] for _ in range(KILLS - KILLS // 2)]
    kills = [{"kill_at": point} for point in points] + [{"kill_after": instant} for instant in instants]
    killed = 0
    for number, kill in enumerate(kills):
        folder, said = tmp_path / f"killed_{number}", tmp_path / f"said_{number}.json"
        shutil.copytree(two_nights, folder)
        killed += run(processes, folder, said, **kill) < 0
        assert run(processes, folder, said) == 0
        again = json.loads(said.read_text())
        assert again["code"] == 0, (kill, again["err"])
        found = contents(folder)
        assert {name for name in expected | found if expected.get(name) != found.get(name)} == set(), kill
        shutil.rmtree(folder)
    assert killed >= len(points)
