from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.dates import quarter_ends

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Auckland"])


@given(INSTANTS, ZONES, st.integers(1, 12))
def test_quarters_follow_each_other_and_end_at_local_midnights_of_their_months(as_of, zone, first_month):
    this, following = quarter_ends(as_of, zone, first_month)
    assert as_of < this < following
    assert this - as_of <= timedelta(days=92, hours=2)
    for end in (this, following):
        local = end.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
        assert (local.day, local.minute) == (1, 0)
        assert local.hour in (0, 1)  # some zones skip midnight when summer time starts
        assert (local.month - first_month) % 3 == 0
    assert quarter_ends(this, zone, first_month)[0] == following


def test_a_quarter_is_the_companys_not_utcs():
    late_evening_in_berlin = datetime(2026, 6, 30, 22, 30)  # already 1 July there
    assert quarter_ends(late_evening_in_berlin, "Europe/Berlin", 1)[0] == datetime(2026, 9, 30, 22)
    assert quarter_ends(late_evening_in_berlin, "UTC", 1)[0] == datetime(2026, 7, 1)
