"""In which zone times are read is said wherever a file does not say it itself."""

from __future__ import annotations

import pytest
from company_files import load_company

from pipeline.audit.time_zones import time_zone_text


@pytest.mark.parametrize(
    ("written", "source", "said"),
    [
        (
            "2024-03-01 02:30:00",
            None,
            "without an offset are read in America/New_York, by data.timezone: leads.csv",
        ),
        ("03/21/2024 2:30 PM", None, "read in America/New_York, by data.timezone: leads.csv"),
        ("2024-03-01 02:30:00", "UTC", "times without an offset are read in UTC, as the sources say: leads.csv"),
        ("2024-03-01T02:30:00Z", None, ""),
        ("2024-03-01 02:30:00+01:00", None, ""),
        ("2024-03-01", None, ""),
    ],
)
def test_a_zone_that_is_a_guess_is_named(tmp_path, written, source, said):
    leads = [{"lead_id": "L1", "created_at": written}, {"lead_id": "L2", "created_at": written}]
    deals = [{"deal_id": "D1", "lead_id": "L1", "outcome": "won", "closed_at": "2024-03-20", "amount": "1"}]
    sources = {"leads": {"timezone": source}} if source else {}
    company = load_company(tmp_path, leads=leads, deals=deals, sources=sources, data={"timezone": "America/New_York"})
    text = time_zone_text(company)
    assert text.startswith("days are those of America/New_York (data.timezone)")
    assert said in text
    assert ("without an offset" in text) == bool(said)
    assert "deals.csv" not in text
