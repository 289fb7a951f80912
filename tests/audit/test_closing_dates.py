"""Closings that tell nothing of how long leads take are told with their number and what it means."""

from company_files import load_company

from pipeline.audit.closing_dates import closing_warnings


def told(folder, closings, timezone="UTC"):
    """Load leads of (created_at, closed_at, outcome) and give the warnings by code."""
    leads = [{"lead_id": f"L{n}", "created_at": made} for n, (made, _, _) in enumerate(closings)]
    deals = [
        {"deal_id": f"D{n}", "lead_id": f"L{n}", "outcome": outcome, "closed_at": closed, "amount": "10"}
        for n, (_, closed, outcome) in enumerate(closings)
    ]
    loaded = load_company(folder, leads=leads, deals=deals, data={"timezone": timezone, "known_until": "2025-06-30"})
    return {warning["code"]: warning for warning in closing_warnings(loaded, loaded.known_until)}


def usual(count, start=0):
    """Leads that live for some days, each with a day of its own."""
    return [(f"2024-{1 + n % 9:02d}-{1 + n % 27:02d}", f"2024-{2 + n % 9:02d}-{1 + n % 28:02d}", "won")
            for n in range(start, start + count)]  # fmt: skip


def test_a_usual_history_is_told_nothing_of(tmp_path):
    assert told(tmp_path, usual(100)) == {}


def test_wins_stamped_at_one_instant_or_on_one_day_are_told(tmp_path):
    stamped = [("2024-01-01", "2024-12-31 18:00:00", "won")] * 80
    found = told(tmp_path, [*usual(20), *stamped])["closed_in_bulk"]
    assert found["count"] == 80
    assert "80 of 100 won leads closed at the same instant" in found["text"]
    found = told(tmp_path, [*usual(27), *[("2024-01-01", "2024-12-31", "won")] * 57])["closed_in_bulk"]
    assert "57 of 84 won leads closed on one day (2024-12-31)" in found["text"]


def test_closings_before_creation_and_on_its_day_are_told(tmp_path):
    early, same = [("2024-05-01", "2019-05-01", "won")] * 3, [("2024-05-01", "2024-05-01", "won")] * 4
    lost = [("2024-05-01", "2020-05-01", "lost")]
    found = told(tmp_path, [*usual(50), *early, *same, *lost])
    assert found["closed_before_created"]["count"] == 4
    assert "(3 won, 1 lost)" in found["closed_before_created"]["text"]
    assert found["never_open"]["count"] == 7
    assert "7 of 57 won leads were never open at a day's end" in found["never_open"]["text"]
    assert "4 closed on the day they came, 3 before it" in found["never_open"]["text"]


def test_days_are_the_companys(tmp_path):
    # 23:30 and 00:30 UTC are one day in Berlin, and two in London.
    over_midnight = [*usual(20), *[("2024-01-10T23:30:00Z", "2024-01-11T00:30:00Z", "won")]]
    assert told(tmp_path, over_midnight, "Europe/Berlin")["never_open"]["count"] == 1
    assert "never_open" not in told(tmp_path, over_midnight, "Europe/London")
