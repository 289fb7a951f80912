from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import ibis
import numpy as np
import pandas as pd
import pytest
from random_company import random_frames, random_tables, to_tables

from features import point_in_time
from features.versions import account_versions, deal_versions, happened_events

DATES = [datetime(2023, 3, 1), datetime(2023, 8, 15, 12, 30), datetime(2024, 1, 10)]


def test_instant_reads_a_zone_and_takes_none_as_utc() -> None:
    abroad = datetime(2023, 5, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    same = [abroad, datetime(2023, 5, 1), datetime(2023, 5, 1, tzinfo=UTC)]
    assert len({point_in_time.instant(moment).op() for moment in same}) == 1


@pytest.mark.parametrize("seed", range(3))
def test_of_each_deal_the_version_last_known_is_current(seed: int) -> None:
    tables = random_tables(seed)
    versions = deal_versions(tables)
    rows = versions.to_pandas()
    for as_of in DATES:
        current = versions.filter(point_in_time.current_at(versions, as_of)).to_pandas()
        known = rows[rows.known_from <= as_of]
        assert not current.deal_id.duplicated().any()
        assert set(current.deal_id) == set(known.deal_id)
        latest = known.groupby("deal_id").known_from.max()
        assert current.set_index("deal_id").known_from.to_dict() == latest.to_dict()


@pytest.mark.parametrize("seed", range(3))
def test_no_closing_is_known_before_it_was_recorded_and_had_happened(seed: int) -> None:
    versions = deal_versions(random_tables(seed)).to_pandas()
    closed = versions[versions.outcome != "open"]
    assert len(closed) > 5
    assert (closed.known_from >= closed.closed_at).all()
    # Without a history nothing that could have been written later is told of an open deal.
    silent = versions[(versions.outcome == "open") & ~versions.has_history]
    assert silent[["amount", "stage", "expected_close_at", "closed_at"]].isna().all(axis=None)


def test_a_late_old_version_of_a_company_never_replaces_a_newer_one() -> None:
    frames = random_frames(0, leads_count=1, events_per_lead=0)
    newer = {"account_id": "A", "valid_from": datetime(2023, 6, 1), "known_at": datetime(2023, 6, 1), "employees": 20.0}
    older = {"account_id": "A", "valid_from": datetime(2023, 1, 1), "known_at": datetime(2023, 9, 1), "employees": 10.0}
    always = {"account_id": "A", "valid_from": None, "known_at": None, "employees": 5.0}
    frames["accounts"] = pd.DataFrame([older, newer, always]).reindex(columns=frames["accounts"].columns)
    versions = account_versions(to_tables(frames))
    seen = {
        as_of: versions.filter(point_in_time.current_at(versions, as_of)).employees.to_pandas().tolist()
        for as_of in (datetime(2023, 2, 1), datetime(2023, 7, 1), datetime(2023, 10, 1))
    }
    assert list(seen.values()) == [[5.0], [20.0], [20.0]]


def test_a_planned_event_becomes_visible_when_it_happens() -> None:
    events = happened_events(random_tables(1)).to_pandas()
    assert (events.known_at < events.occurred_at).any()
    assert (events.visible_at == np.maximum(events.known_at, events.occurred_at)).all()


@pytest.mark.parametrize("days", [0, 1, 30])
def test_days_between_counts_microseconds(days: int) -> None:
    start = datetime(2023, 1, 1, 23, 59, 59, 999_999)
    table = ibis.memtable({"start": [start]})
    end = start + timedelta(days=days, microseconds=1)
    found = table.select(days=point_in_time.days_between(table.start, end)).to_pandas().days[0]
    assert found == pytest.approx(days + 1 / point_in_time.MICROSECONDS_PER_DAY, rel=1e-12)
