"""How long winning takes is counted in days, and a horizon that does not fit it is told with one that does."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from company_files import load_company

from pipeline.audit.sales_cycle import sales_cycle


def company(folder, wins, days, **params):
    start = datetime(2024, 1, 1, 9)
    leads = [{"lead_id": f"L{n}", "created_at": str(start + timedelta(days=n % 50))} for n in range(60)]
    deals = [
        {"deal_id": f"D{n}", "lead_id": f"L{n}", "outcome": "won", "amount": "1",
         "closed_at": str(start + timedelta(days=n % 50 + days * (1 + n % 10) / 5))}
        for n in range(wins)
    ]  # fmt: skip
    return load_company(folder, leads=leads, deals=deals, **params)


@pytest.mark.parametrize(("days", "fitting"), [(5, 14), (60, None), (400, 730)])
def test_a_horizon_that_does_not_fit_is_told_with_one_that_does(tmp_path, days, fitting):
    loaded = company(tmp_path, 50, days)
    found = sales_cycle(loaded, loaded.known_until)
    assert found["median_days"] == pytest.approx(days * 1.1, abs=0.01), "by hand: of 0.2, 0.4, …, 2 times the days"
    assert found["most_days"] == pytest.approx(days * 1.82, abs=0.1)
    assert found["fitting"] == fitting
    assert ("try" in found["text"]) == (fitting is not None)


def test_of_few_wins_and_of_what_is_won_later_nothing_is_said(tmp_path):
    loaded = company(tmp_path, 50, 60)
    early = sales_cycle(loaded, datetime(2024, 1, 20))
    assert early["median_days"] is None
    assert early["won"] < 30
    assert early["text"].endswith("won lead: too few to say how long winning takes")
