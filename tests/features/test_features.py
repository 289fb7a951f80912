"""The feature matrix: never from the future, and equal to slow and obvious definitions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from random_company import SOURCES, random_frames, to_tables, with_another_future
from slow_features import SlowCompany, View, definition

from features import catalogue, lifecycle, materialise, matrix, sales_activity, snapshots
from features.schema import SCHEMAS, Tables
from features.spec import FeatureSpec

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


def build_matrix(tables: Tables, spec: FeatureSpec | None = None) -> pd.DataFrame:
    spec = spec or FeatureSpec.from_tables(tables, AS_OF, timezone="Europe/Lisbon")
    rows = matrix.feature_matrix(tables, seen(tables), spec).to_pandas()
    return rows.sort_values(KEYS, ignore_index=True)


@pytest.mark.parametrize("seed", range(4))
def test_what_became_known_later_never_changes_a_bit(seed: int) -> None:
    frames = random_frames(seed, leads_count=60)
    tables, other = to_tables(frames), to_tables(with_another_future(frames, seed, AS_OF))
    spec = FeatureSpec.from_tables(tables, AS_OF, timezone="Europe/Lisbon")
    assert FeatureSpec.from_tables(other, AS_OF, timezone="Europe/Lisbon") == spec
    now, then = build_matrix(tables, spec), build_matrix(other, spec)
    assert len(now) > 60
    pd.testing.assert_frame_equal(now, then, check_exact=True)


def with_histories(
    frames: dict[str, pd.DataFrame], seed: int, known_by: datetime, values: dict[str, dict[str, tuple]] | None = None
) -> dict[str, pd.DataFrame]:
    """Let fields of leads and companies go through random values; of these histories, keep what was known by a date."""
    rng = np.random.default_rng(seed)
    values = values or {
        "leads": {
            "source": SOURCES,
            "owner_id": ("O1", "O2"),
            "title": ("Owner", "Junior clerk"),
            "region": ("up",),
            "account_id": ("A0", "A1", "A2"),
        },
        "accounts": {"industry": ("retail", "steel"), "employees": (5.0, 500.0), "parent_id": ("A0", "A1")},
    }
    changed, changes = dict(frames), []
    for table, fields in values.items():
        frame, key = frames[table].copy(), f"{table[:-1]}_id"
        for row_id in frame[key].unique():
            for field, words in fields.items():
                value = words[rng.integers(len(words))]
                moments = sorted(AS_OF + timedelta(days=float(days)) for days in rng.uniform(-300, 60, 2))
                for moment in moments:
                    new = words[rng.integers(len(words))]
                    if moment <= known_by:
                        changes.append([table, row_id, field, moment, moment, value, new])
                        value = new
                frame.loc[frame[key] == row_id, field] = value
        changed[table] = frame
    changes = pd.DataFrame(changes, columns=list(SCHEMAS["changes"]), dtype=object)
    for column in ("old_value", "new_value"):
        changes[column] = changes[column].map(lambda value: None if value is None else str(value))
    return changed | {"changes": changes}


def test_fields_with_a_history_are_what_they_were() -> None:
    tracked = frozenset({"leads.source", "leads.owner_id", "leads.title", "leads.region", "leads.account_id",
                         "accounts.industry", "accounts.employees", "accounts.parent_id"})  # fmt: skip
    frames = random_frames(6, leads_count=60)
    one, other = (with_histories(frames, 1, known_by=moment) for moment in (AS_OF + timedelta(days=90), AS_OF))
    tables = [replace(found, present=found.present | {"changes": tracked}) for found in map(to_tables, (one, other))]
    assert len(one["changes"]) > len(other["changes"]) > 100
    spec = FeatureSpec.from_tables(tables[1], AS_OF)
    now, then = (build_matrix(table, spec) for table in tables)
    pd.testing.assert_frame_equal(now, then, check_exact=True)
    sources = other["changes"][other["changes"].field == "source"]
    for row in now.itertuples():
        past = sources[(sources.row_id == row.lead_id) & (sources.known_at <= row.as_of)]
        later = sources[(sources.row_id == row.lead_id) & (sources.known_at > row.as_of)]
        if len(past) or len(later):
            assert row.lead_source == (past.new_value.iloc[-1] if len(past) else later.old_value.iloc[0])


def test_threads_and_the_order_of_rows_change_no_bit() -> None:
    frames = random_frames(9, leads_count=200, events_per_lead=12)
    shuffled = {name: frame.sample(frac=1, random_state=1) for name, frame in frames.items()}
    tables = to_tables(frames, ibis.duckdb.connect(threads=1))
    spec = FeatureSpec.from_tables(tables, AS_OF)
    again = build_matrix(to_tables(shuffled, ibis.duckdb.connect(threads=4)), spec)
    pd.testing.assert_frame_equal(build_matrix(tables, spec), again, check_exact=True)


def test_an_excluded_kind_of_event_is_as_if_it_had_never_been_recorded() -> None:
    frames = random_frames(5, leads_count=60)
    without = frames | {"events": frames["events"][frames["events"]["kind"] != "call"]}
    spec = FeatureSpec.from_tables(to_tables(frames), AS_OF, excluded_kinds=("call",))
    assert spec.excluded_kinds == ("call",)
    assert FeatureSpec.from_json(spec.to_json()) == spec
    honest = FeatureSpec.from_tables(to_tables(without), AS_OF)
    assert spec.event_kinds == honest.event_kinds
    pd.testing.assert_frame_equal(
        build_matrix(to_tables(frames), spec), build_matrix(to_tables(without), honest), check_exact=True
    )


def test_a_lead_alone_looks_as_it_does_among_others() -> None:
    tables = to_tables(random_frames(3, leads_count=60))
    spec = FeatureSpec.from_tables(tables, AS_OF)
    every = build_matrix(tables, spec)
    some = seen(tables).filter(ibis._.lead_id < "L0030", ibis._.as_of == AS_OF)
    few = matrix.feature_matrix(tables, some, spec).to_pandas().sort_values(KEYS, ignore_index=True)
    same = every[(every.lead_id < "L0030") & (every.as_of == AS_OF)].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, same, check_exact=True)


def test_built_in_blocks_the_matrix_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = to_tables(random_frames(3, leads_count=60))
    spec = FeatureSpec.from_tables(tables, AS_OF)
    whole = materialise.to_frame(matrix.feature_matrix(tables, seen(tables), spec))
    assert len(whole) > 60
    monkeypatch.setattr(materialise, "ROWS_AT_ONCE", 25)
    pd.testing.assert_frame_equal(materialise.build_matrix(tables, seen(tables), spec), whole, check_exact=True)
    nobody = materialise.build_matrix(tables, snapshots.open_leads(tables, datetime(1990, 1, 1)), spec)
    pd.testing.assert_frame_equal(nobody, whole.head(0), check_exact=True, check_index_type=False)


@pytest.mark.parametrize("seed", [0, 2])
def test_every_feature_equals_its_slow_and_obvious_definition(seed: int, monkeypatch) -> None:
    monkeypatch.setattr(sales_activity, "WINS_NEEDED", 2)
    frames = random_frames(seed, leads_count=50, events_per_lead=8)
    if seed:  # leads that move from company to company
        company_ids = tuple(frames["accounts"].account_id.unique())
        frames = with_histories(frames, seed, AS_OF, {"leads": {"account_id": company_ids}})
    tables = to_tables(frames)
    tables = replace(tables, present=tables.present | {"changes": frozenset({"leads.account_id"} if seed else ())})
    spec = replace(
        FeatureSpec.from_tables(tables, AS_OF, timezone="Europe/Berlin", fiscal_year_start_month=2), history_days=900
    )
    rows = build_matrix(tables, spec)
    company = SlowCompany(frames, lifecycle.open_spells(tables).to_pandas(), spec)
    views = [View(company, row.lead_id, row.as_of.to_pydatetime()) for row in rows.itertuples()]
    assert len(views) > 40
    every_column = tuple(f"{table}.{column}" for table, schema in SCHEMAS.items() for column in schema)
    assert catalogue.entries(replace(spec, columns=every_column)) == catalogue.entries(spec), (
        "some are never built here"
    )
    assert rows.notna().any().all(), "some are never known here"
    for feature in catalogue.entries(spec):
        slow = definition(feature.name)
        wanted = [slow(view) for view in views]
        found = [None if value != value else value for value in rows[feature.name].astype(object)]
        if feature.is_category:
            assert found == wanted, feature.name
            continue
        known = [value is not None and value == value for value in wanted]
        assert [value is not None for value in found] == known, feature.name
        # Conversions round to seconds, decay to millionths of an event.
        accuracy = {"rel": 1e-4} if feature.unit == "ratio" else {"rel": 1e-9, "abs": 1e-4}
        pairs = [(a, float(b)) for a, b, is_known in zip(found, wanted, known, strict=True) if is_known]
        assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], **accuracy), feature.name


def test_a_company_without_events_accounts_or_open_deals_has_no_such_features() -> None:
    frames = random_frames(5)
    tables = to_tables(frames, absent=frozenset({"events", "accounts", "closings"}))
    present = {**tables.present, "leads": frozenset({"lead_id", "created_at", "source"})}
    present["deals"] = frozenset({"deal_id", "lead_id", "outcome", "closed_at"})
    bare = Tables(**{name: getattr(tables, name) for name in frames}, present=present)
    rows = build_matrix(bare)
    assert len(rows) > 10
    assert not [name for name in rows.columns if name.startswith(("touch_", "acct_", "deal_", "lead_own_"))]


def test_a_company_without_leads_or_deals_yet_has_no_rows() -> None:
    frames = {name: frame.iloc[:0] for name, frame in random_frames(0).items()}
    rows = build_matrix(to_tables(frames))
    assert rows.empty


TITLES = {
    "Chief Financial Officer": (5, "finance"),
    "Geschäftsführer": (5, "management"),
    "Head of Sales": (4, "sales"),
    "Diretora de Marketing": (4, "marketing"),
    "Teamleiter Einkauf": (3, "purchasing"),
    "Software Engineer": (2, "technology"),
    "Werkstudent": (1, "another department"),
    "Italian teacher": (2, "another department"),
}


def test_titles_are_read_in_several_languages() -> None:
    frames = random_frames(0, leads_count=5 * len(TITLES))
    frames["leads"]["title"] = 5 * list(TITLES)
    frames["leads"]["status"] = "open"
    rows = build_matrix(to_tables(frames, absent=frozenset({"deals", "events", "closings"})))
    read = rows.groupby("lead_id")[["lead_title_seniority", "lead_title_department"]].last()
    titles = frames["leads"].set_index("lead_id")["title"]
    assert {titles[lead_id]: tuple(found) for lead_id, found in zip(read.index, read.to_numpy(), strict=True)} == TITLES
