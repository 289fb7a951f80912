"""Scores in a table or a file: every record once, only what changed, nothing lost and nothing twice."""

from __future__ import annotations

import pytest
from conftest import leadrev
from delivery_company import delivered_lines, scored, table


@pytest.fixture
def company(tmp_path):
    return scored(tmp_path)


def test_a_first_delivery_makes_the_table_and_a_second_sends_nothing(company):
    company.sinks(dwh={"to": "sqlite:///out.db/lead_scores"})
    ran = leadrev("deliver", folder=company.folder)
    assert (ran.code, ran.out) == (0, "dwh: 5 rows sent, 0 unchanged\n"), ran
    rows = table(company.folder)
    assert rows["L1"]["expected_revenue_90d"] == 1000
    assert rows["L1"]["notice"] is None
    assert not any("reason" in name for name in rows["L1"]), "words of reasons are sent where they are asked for"
    before = (company.folder / "out.db").read_bytes()
    assert leadrev("deliver", folder=company.folder).out == "dwh: 0 rows sent, 5 unchanged\n"
    assert (company.folder / "out.db").read_bytes() == before
    keys = ("sink", "sent", "unchanged", "failed", "parked")
    assert [[line[key] for key in keys] for line in delivered_lines(company.folder)] == [
        ["dwh", 5, 0, 0, 0],
        ["dwh", 0, 5, 0, 0],
    ]
