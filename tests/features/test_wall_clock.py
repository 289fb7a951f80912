"""Days are counted on the company's wall clock, also where the clocks change."""

from datetime import datetime

import ibis
import pytest

from features import labels
from pipeline.common.dates import days_between, days_later, local_iso

BERLIN = "Europe/Berlin"
MIDNIGHT = datetime(2024, 8, 31, 22)  # 1 September in Berlin


def duration_days(end, timezone):
    """Label one lead, open at `MIDNIGHT` and won at `end`."""
    snapshots = ibis.memtable([{"lead_id": "L", "episode": 1, "as_of": MIDNIGHT}])
    outcomes = ibis.memtable(
        [{"lead_id": "L", "episode": 1, "outcome": "won", "ended_at": end, "end_known_at": end, "amount": 1.0}]
    )
    return labels.labels(snapshots, outcomes, datetime(2025, 1, 1), timezone).to_pandas()["duration_days"][0]


def test_the_end_of_the_ninetieth_day_is_within_ninety_days_over_a_change_of_clocks():
    end = datetime(2024, 11, 29, 22, 59, 59, 999_999)  # the end of 29 November in Berlin, after the clocks went back
    assert duration_days(end, BERLIN) <= 90 < duration_days(end, "UTC")
    assert duration_days(datetime(2024, 11, 29, 23), BERLIN) == 90


def test_an_end_in_the_hour_that_comes_twice_is_still_an_end():
    snapshots = ibis.memtable([{"lead_id": "L", "episode": 1, "as_of": datetime(2024, 10, 27, 0, 50)}])
    end = datetime(2024, 10, 27, 1, 10)  # 2:50 summer time, then 2:10 winter time
    outcomes = ibis.memtable(
        [{"lead_id": "L", "episode": 1, "outcome": "lost", "ended_at": end, "end_known_at": end, "amount": None}]
    )
    outcomes = outcomes.mutate(amount=outcomes.amount.cast("float64"))
    assert labels.labels(snapshots, outcomes, datetime(2025, 1, 1), BERLIN).to_pandas()["duration_days"][0] > 0


@pytest.mark.parametrize("days", [1, 30, 90, 180, 365, -90])
def test_days_later_start_where_the_day_starts_and_are_counted_back(days):
    later = days_later(MIDNIGHT, days, BERLIN)
    assert len(local_iso(later, BERLIN)) == len("2024-09-01")
    assert days_between(MIDNIGHT, later, BERLIN) == days


def test_an_instant_is_shown_as_the_date_asked_for():
    assert local_iso(MIDNIGHT, BERLIN) == "2024-09-01"
    assert local_iso(datetime(2024, 9, 1, 21, 59, 59, 999_999), BERLIN) == "2024-09-01"
    assert local_iso(datetime(2024, 9, 1, 12, 30), BERLIN) == "2024-09-01T14:30:00+02:00"
