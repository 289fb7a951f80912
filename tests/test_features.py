"""The feature matrix: never from the future, and equal to slow and obvious definitions."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import ibis
import numpy as np
import pandas as pd
import pytest
from random_company import random_frames, to_tables

from features import lifecycle, matrix, snapshots
from features.spec import FeatureSpec
from features.tables import Tables

AS_OF = datetime(2023, 11, 10)
DATES = (AS_OF - timedelta(days=120), AS_OF - timedelta(days=30), AS_OF)
KEYS = ["lead_id", "episode", "as_of"]


def seen(tables: Tables, dates: tuple[datetime, ...] = DATES) -> ibis.Table:
    """Every lead open at each of the dates, written to a table."""
    parts = [snapshots.open_leads(tables, as_of) for as_of in dates]
    connection = tables.leads._find_backend()
    connection.con.execute("DROP TABLE IF EXISTS seen").fetchall()
    connection.con.from_arrow(ibis.union(*parts).to_pyarrow()).create("seen")
    return connection.table("seen")


def built(tables: Tables, spec: FeatureSpec | None = None) -> pd.DataFrame:
    spec = spec or FeatureSpec.from_tables(tables, AS_OF, timezone="Europe/Lisbon")
    rows = matrix.feature_matrix(tables, seen(tables), spec).to_pandas()
    return rows.sort_values(KEYS, ignore_index=True)


def with_another_future(frames: dict[str, pd.DataFrame], seed: int) -> dict[str, pd.DataFrame]:
    """Add, change and remove whatever became known only after `AS_OF`."""
    rng = np.random.default_rng(seed)
    other = random_frames(seed + 1000, leads_count=60)
    changed = {}
    for name, frame in frames.items():
        stranger = other[name]
        if frame.empty and stranger.empty:
            changed[name] = frame
            continue
        if name == "deals":
            known = lambda f: f.recorded_at.fillna(f.opened_at.fillna(f.closed_at)).fillna(datetime(1900, 1, 1))  # noqa: E731
        elif name == "events":
            known = lambda f: f[["known_at", "occurred_at"]].max(axis=1)  # noqa: E731
        else:
            known = lambda f: f.known_at.fillna(datetime(1900, 1, 1))  # noqa: E731
        late, stranger_late = pd.to_datetime(known(frame)) > AS_OF, pd.to_datetime(known(stranger)) > AS_OF
        kept = frame[~late].copy()
        # What is known of a row today may tell of the future: how it will end.
        if name == "leads":
            ahead = pd.to_datetime(kept.closed_at) > AS_OF
            kept.loc[ahead & (rng.random(len(kept)) < 0.5), ["status", "closed_at"]] = ["open", None]
        if name == "deals":
            ahead = kept.recorded_at.isna() & kept.opened_at.notna() & (pd.to_datetime(kept.closed_at) > AS_OF)
            kept.loc[ahead, "outcome"] = rng.choice(["won", "lost"], int(ahead.sum()))
            kept.loc[ahead, "amount"] = rng.integers(1, 10**6, int(ahead.sum())).astype(float)
            ahead = kept.recorded_at.isna() & (kept.outcome == "open")
            kept.loc[ahead, "amount"] = 77.0
        strangers = stranger[stranger_late].copy()
        for column in ("event_id", "deal_id"):
            if column in strangers:
                strangers[column] = "X" + strangers[column].astype(str)
        if name == "leads":
            strangers["lead_id"] = "X" + strangers["lead_id"]
        changed[name] = pd.concat([kept, strangers, frame[late].sample(frac=0.3, random_state=seed)], ignore_index=True)
        changed[name] = changed[name].sample(frac=1, random_state=seed).astype(object)
        if name == "leads":
            changed[name] = changed[name].drop_duplicates("lead_id")
    return changed


@pytest.mark.parametrize("seed", range(4))
def test_what_became_known_later_never_changes_a_bit(seed: int) -> None:
    frames = random_frames(seed, leads_count=60)
    tables, other = to_tables(frames), to_tables(with_another_future(frames, seed))
    spec = FeatureSpec.from_tables(tables, AS_OF, timezone="Europe/Lisbon")
    assert FeatureSpec.from_tables(other, AS_OF, timezone="Europe/Lisbon") == spec
    now, then = built(tables, spec), built(other, spec)
    assert len(now) > 60
    pd.testing.assert_frame_equal(now, then, check_exact=True)


def test_threads_and_the_order_of_rows_change_no_bit() -> None:
    frames = random_frames(9, leads_count=200, events_per_lead=12)
    shuffled = {name: frame.sample(frac=1, random_state=1) for name, frame in frames.items()}
    tables = to_tables(frames, ibis.duckdb.connect(threads=1))
    spec = FeatureSpec.from_tables(tables, AS_OF)
    again = built(to_tables(shuffled, ibis.duckdb.connect(threads=4)), spec)
    pd.testing.assert_frame_equal(built(tables, spec), again, check_exact=True)


def test_an_excluded_kind_of_event_is_as_if_it_had_never_been_recorded() -> None:
    frames = random_frames(5, leads_count=60)
    without = frames | {"events": frames["events"][frames["events"]["kind"] != "call"]}
    spec = FeatureSpec.from_tables(to_tables(frames), AS_OF, excluded=("call",))
    assert spec.excluded_kinds == ("call",)
    assert FeatureSpec.from_json(spec.to_json()) == spec
    honest = FeatureSpec.from_tables(to_tables(without), AS_OF)
    assert spec.event_kinds == honest.event_kinds
    pd.testing.assert_frame_equal(built(to_tables(frames), spec), built(to_tables(without), honest), check_exact=True)


def test_a_lead_alone_looks_as_it_does_among_others() -> None:
    tables = to_tables(random_frames(3, leads_count=60))
    spec = FeatureSpec.from_tables(tables, AS_OF)
    every = built(tables, spec)
    some = seen(tables).filter(ibis._.lead_id < "L0030", ibis._.as_of == AS_OF)
    few = matrix.feature_matrix(tables, some, spec).to_pandas().sort_values(KEYS, ignore_index=True)
    same = every[(every.lead_id < "L0030") & (every.as_of == AS_OF)].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, same, check_exact=True)


def slow_engagement(frames: dict[str, pd.DataFrame], lead_id: str, as_of: datetime) -> dict[str, float]:
    """The core aggregates of one lead at one date, by going through its events."""
    events = frames["events"]
    events = events[(events.lead_id == lead_id) & (events.known_at <= as_of) & (events.occurred_at <= as_of)]
    created_at = frames["leads"].set_index("lead_id").created_at[lead_id]
    ages = {i: (as_of - row.occurred_at) / timedelta(days=1) for i, row in events.iterrows()}

    def of(mask: pd.Series, days: float = np.inf) -> int:
        return sum(ages[i] < days for i in events.index[mask])

    def recency(mask: pd.Series) -> float:
        return min((ages[i] for i in events.index[mask]), default=np.nan)

    every = pd.Series(True, index=events.index)
    inbound, outbound = events.direction == "inbound", events.direction == "outbound"
    first = [row.occurred_at for row in events[outbound].itertuples()]
    both = int(inbound.sum() + outbound.sum())
    found = {
        "touch_count": of(every), "touch_7d_count": of(every, 7), "touch_90d_count": of(every, 90),
        "touch_recency_days": recency(every), "touch_inbound_recency_days": recency(inbound),
        "touch_outbound_count": of(outbound), "touch_outbound_30d_count": of(outbound, 30),
        "touch_active_days_count": len({row.occurred_at.date() for row in events.itertuples()}),
        "touch_topics_count": events.topic.nunique(),
        "touch_channel_web_30d_count": of(events.channel == "web", 30),
        "touch_momentum_ratio": (of(every, 7) + 1) / ((of(every, 28) - of(every, 7)) / 3 + 1),
        "touch_decayed_count": sum(0.5 ** (age / 14) for age in ages.values()),
        "touch_speed_to_lead_days": max((min(first) - created_at) / timedelta(days=1), 0) if first else np.nan,
        "touch_inbound_share": inbound.sum() / both if both else np.nan,
        "lead_age_days": (as_of - created_at) / timedelta(days=1),
    }  # fmt: skip
    for kind in ("visit", "demo_request", "call", "mail"):
        found[f"touch_{kind}_30d_count"] = of(events.kind == kind, 30)
        found[f"touch_{kind}_recency_days"] = recency(events.kind == kind)
    return found


def slow_company(frames: dict[str, pd.DataFrame], lead_id: str, as_of: datetime) -> dict[str, float]:
    """Who else of the lead's company is known and was active."""
    leads = frames["leads"].set_index("lead_id")
    account_id = leads.account_id[lead_id]
    if not isinstance(account_id, str):
        return {"acct_people_count": np.nan, "acct_others_active_count": np.nan, "acct_others_touch_count": np.nan}
    colleagues = leads[leads.account_id == account_id]
    events = frames["events"]
    events = events[(events.known_at <= as_of) & (events.occurred_at <= as_of)]
    events = events[events.occurred_at > as_of - timedelta(days=30)]
    others = events[events.lead_id.isin(set(colleagues.index) - {lead_id})]
    return {
        "acct_people_count": int((colleagues.known_at <= as_of).sum()),
        "acct_others_active_count": others.lead_id.nunique(),
        "acct_others_touch_count": len(others),
    }


@pytest.mark.parametrize("seed", range(2))
def test_core_aggregates_equal_their_obvious_definitions(seed: int) -> None:
    frames = random_frames(seed, leads_count=50, events_per_lead=8)
    tables = to_tables(frames)
    rows = built(tables, FeatureSpec.from_tables(tables, AS_OF))
    assert (rows.touch_count > 0).sum() > 20
    for row in rows.to_dict("records"):
        as_of = row["as_of"].to_pydatetime()
        wanted = slow_engagement(frames, row["lead_id"], as_of) | slow_company(frames, row["lead_id"], as_of)
        found = {name: row[name] for name in wanted}
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-5, nan_ok=True), row["lead_id"]


def test_conversion_is_wins_over_those_expected_of_leads_of_the_same_ages() -> None:
    frames = random_frames(4, leads_count=150, events_per_lead=0)
    tables = to_tables(frames)
    rows = built(tables, FeatureSpec.from_tables(tables, AS_OF))
    spells = lifecycle.open_spells(tables).to_pandas().merge(frames["leads"][["lead_id", "source"]], on="lead_id")
    spells["source"] = spells.source.fillna("")
    edges = [0, 7, 14, 30, 60, 90, 180, 365, np.inf]
    day = pd.Timedelta(days=1)
    for as_of in DATES:
        known = spells[spells.known_from <= as_of]
        start = (known.known_from - known.created_at) / day
        stop = (np.minimum(known.known_until, np.datetime64(as_of)) - known.created_at) / day
        won = (known.outcome == "won") & (known.known_until <= as_of)
        expected = pd.Series(0.0, index=known.index)
        for low, high in pairwise(edges):
            at_risk = (np.minimum(stop, high) - np.maximum(start, low)).clip(lower=0)
            wins = (won & (stop > low) & (stop <= high)).sum()
            expected += at_risk * wins / at_risk.sum() if at_risk.sum() else 0
        for source, of_source in known.groupby("source"):
            ratio = (won[of_source.index].sum() + 2) / (expected[of_source.index].sum() + 2)
            here = rows[(rows.as_of == as_of) & (rows.lead_source.fillna("") == source)]
            assert here.lead_source_conversion_ratio.to_numpy() == pytest.approx(ratio, rel=1e-4)


def test_a_company_without_events_accounts_or_open_deals_has_no_such_features() -> None:
    frames = random_frames(5)
    tables = to_tables(frames, absent=frozenset({"events", "accounts", "closings"}))
    present = {**tables.present, "leads": frozenset({"lead_id", "created_at", "source"})}
    present["deals"] = frozenset({"deal_id", "lead_id", "outcome", "closed_at"})
    bare = Tables(**{name: getattr(tables, name) for name in frames}, present=present)
    rows = built(bare)
    assert len(rows) > 10
    assert not [name for name in rows.columns if name.startswith(("touch_", "acct_", "deal_", "lead_own_"))]


def test_a_company_without_leads_or_deals_yet_has_no_rows() -> None:
    frames = {name: frame.iloc[:0] for name, frame in random_frames(0).items()}
    rows = built(to_tables(frames))
    assert rows.empty


@pytest.mark.parametrize(
    ("title", "seniority", "department"),
    [
        ("Chief Financial Officer", 5, "finance"),
        ("Geschäftsführer", 5, "management"),
        ("Head of Sales", 4, "sales"),
        ("Diretora de Marketing", 4, "marketing"),
        ("Teamleiter Einkauf", 3, "purchasing"),
        ("Software Engineer", 2, "technology"),
        ("Werkstudent", 1, "other"),
        ("Italian teacher", 2, "other"),
    ],
)
def test_titles_are_read_in_several_languages(title: str, seniority: int, department: str) -> None:
    frames = random_frames(0, leads_count=3)
    frames["leads"]["title"] = title
    frames["leads"]["status"] = "open"
    rows = built(to_tables(frames, absent=frozenset({"deals", "events", "closings"})))
    assert set(rows.lead_title_seniority) == {seniority}
    assert set(rows.lead_title_department) == {department}
