"""A simulated CRM as it stood at a date: a prefix of the content, with what was overwritten later as it was."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.common.errors import UserError
from pipeline.simulation.simulate import simulate

TABLES = ("leads", "deals", "accounts", "events")
DAY = "2026-01-15"
START = pd.Timestamp(DAY, tz="Europe/Berlin")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The company at its end, on its last day, and on an earlier one."""
    folder = tmp_path_factory.mktemp("until")
    for name, until in (("end", None), ("last", "2026-05-15"), ("then", DAY)):
        simulate(folder / name, leads=400, events_per_lead=3, seed=4, until=until)
    return folder


def read(told, name: str, table: str) -> pd.DataFrame:
    return pd.read_parquet(told / name / f"{table}.parquet")


def test_the_last_day_is_the_end_of_the_story_byte_by_byte(told):
    for name in [*(f"{table}.parquet" for table in TABLES), "truth.parquet", "params.yaml"]:
        assert (told / "last" / name).read_bytes() == (told / "end" / name).read_bytes(), name


def test_nothing_in_it_happened_later(told):
    for table, columns in {"leads": ["created_at", "closed_at"], "deals": ["opened_at", "closed_at"],
                           "events": ["occurred_at"]}.items():  # fmt: skip
        for column in columns:
            assert (read(told, "then", table)[column].dropna() < START).all(), (table, column)
    assert f"known_until: {DAY}T00:00" in (told / "then" / "params.yaml").read_text()


def test_rows_are_a_prefix_and_ends_that_came_later_are_open(told):
    for table, key, made in (("leads", "lead_id", "created_at"), ("deals", "deal_id", "opened_at")):
        then, end = (read(told, name, table).set_index(key) for name in ("then", "end"))
        assert set(then.index) == set(end.index[end[made] < START])
        later = end.loc[then.index].closed_at >= START
        assert later.any()
        assert then.closed_at[later].isna().all()
        column = "status" if table == "leads" else "outcome"
        assert not then[column][later].isin(["lost", "won"]).any()
        ended = end.loc[then.index].closed_at < START
        assert (then[column][ended] == end.loc[then.index][column][ended]).all()
    kept = ["lead_id", "created_at", "source", "title", "email", "account_id", "owner_id"]
    leads = read(told, "end", "leads")
    pd.testing.assert_frame_equal(
        read(told, "then", "leads")[kept], leads.loc[leads.created_at < START, kept].reset_index(drop=True)
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"until": "soon"}, "--until: 'soon' is no date"),
        ({"until": "2026-05-16"}, "--until: found 2026-05-16"),
        ({"until": DAY, "mess": True}, "leave out --mess"),
    ],
)
def test_what_cannot_be_simulated_is_said(tmp_path, asked, said):
    with pytest.raises(UserError, match=said):
        simulate(tmp_path / "out", leads=200, **asked)
