"""Histories from extracts: what was known of a night is known of it ever after, whatever is overwritten later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
from company_files import small_params

from features import lifecycle, matrix, point_in_time, snapshots, versions
from features.spec import FeatureSpec
from pipeline.archive.extracts import CHANGES, Extracts
from pipeline.ingest import observed_changes
from pipeline.ingest.load import load_tables
from pipeline.ingest.night_extract import NightExtract, reading_fingerprint
from pipeline.ingest.observed_changes import write_changes, write_states

KEYS = ["lead_id", "episode", "as_of"]


def take_extract(params, night: datetime):
    """Read the sources as a night does, and seal them: give the company of that night."""
    extracts = Extracts(params.archive_folder)
    name, before = extracts.free_name(night.date()), extracts.before(night.date())
    extract = NightExtract(extracts.chain.begin(name), night, False, before)
    company = load_tables(params, extract)
    extract.write_list()
    write_states(company.connection, extract.folder)
    write_changes(company.connection, extract.folder / CHANGES)
    said = {"night": str(night.date()), "taken_at": night.isoformat(), "reading": reading_fingerprint(params)}
    files = tuple(path.name for path in extract.folder.glob("*.parquet") if path.name != CHANGES)
    extracts.chain.seal(name, said | {"facts": {}, "degraded": [], "carried": {}}, perishable=files)
    return company


def known_at(company, night: datetime) -> dict[str, pd.DataFrame]:
    """Everything that features are made from, as known at a night."""
    tables = company.tables
    deals = lifecycle.deal_versions(tables)
    accounts = versions.account_versions(tables)
    events = versions.happened_events(tables)
    leads = tables.leads.filter(point_in_time.known_by(tables.leads.known_at, night))
    rows = leads.select("lead_id", "title", "owner_id", "source", "timeframe", as_of=point_in_time.instant(night))
    companies = accounts.filter(point_in_time.current_at(accounts, night))
    companies = companies.select("account_id", "employees", "industry", as_of=point_in_time.instant(night))
    found = {
        "open leads": snapshots.open_leads(tables, night),
        "leads": versions.as_they_were(rows, tables, "leads", "lead_id"),
        "deals": deals.filter(point_in_time.current_at(deals, night)).drop("known_until"),
        "accounts": versions.as_they_were(companies, tables, "accounts", "account_id"),
        "events": events.filter(point_in_time.known_by(events.visible_at, night)).select("event_id", "lead_id", "kind"),
    }
    return {name: _in_order(table.to_pandas()) for name, table in found.items()}


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(list(frame.columns[:2]), ignore_index=True)


def features_at(company, as_of: datetime, spec: FeatureSpec) -> pd.DataFrame:
    grid = snapshots.open_leads(company.tables, as_of).cache()
    return matrix.feature_matrix(company.tables, grid, spec).to_pandas().sort_values(KEYS, ignore_index=True)


NIGHTS = [datetime(2025, 9, 1, 2, 30), datetime(2025, 12, 10, 2, 30), datetime(2026, 4, 20, 2, 30)]


def overwrite(folder, seed: int, step: int) -> None:
    """Overwrite fields that CRMs overwrite, and hold back rows that will be entered late."""
    rng = np.random.default_rng([seed, step])
    leads, deals, events, accounts = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("leads", "deals", "events", "accounts")
    )
    for frame, columns in (
        (leads, ("title", "owner_id", "source", "timeframe")),
        (accounts, ("employees", "industry")),
    ):
        for turn in range(step + 1):  # what was overwritten in an earlier step stays so
            turned = np.random.default_rng([seed, turn, len(columns)])
            for column in columns:
                rows = turned.random(5000)[: len(frame)] < 0.2
                words = frame[column].dropna().unique()
                frame.loc[rows, column] = words[turned.integers(len(words))]
    if step < 2:
        held = leads.lead_id.str[-1].isin(["3"] if step else ["3", "7"]) & (rng.random(1) >= 0)[0]
        late = set(leads.lead_id[held])
        leads = leads[~held]
        deals = deals[~deals.lead_id.isin(late) & ~(deals.deal_id.str[-1] == "5")]
        events = events[~events.lead_id.isin(late) & ~(events.event_id.str[-1] == "1")]
    for name, frame in (("leads", leads), ("deals", deals), ("events", events), ("accounts", accounts)):
        frame.to_parquet(folder / f"{name}.parquet", index=False)


def test_what_was_known_of_a_night_is_the_same_ever_after(tmp_path, monkeypatch) -> None:
    """The one time rule for histories from extracts: no later night moves a bit of what an earlier one saw."""
    from pipeline.config.params import load_params
    from pipeline.simulation.simulate import simulate

    monkeypatch.setattr(observed_changes, "WATCHED_DAYS", 0)
    seen, features = [], None
    for step, night in enumerate(NIGHTS):
        simulate(tmp_path, leads=400, events_per_lead=5, seed=3, until=str(night.date()))
        text = (tmp_path / "params.yaml").read_text()
        text = text.replace(f"known_until: {night.date()}T00:00", "quarantined_share_limit: 1")
        (tmp_path / "params.yaml").write_text(text)
        overwrite(tmp_path, 3, step)
        params = load_params(tmp_path / "params.yaml")
        company = take_extract(params, night)
        seen.append(known_at(company, night))
        if features is None:
            spec = FeatureSpec.from_tables(company.tables, night, windows_days=(30,))
            spec = replace(spec, event_kinds=spec.event_kinds[:2], channels=(), topics=())
            features = features_at(company, night, spec)
    changes = company.connection.execute('SELECT DISTINCT "table", field FROM changes').fetchall()
    kinds = {"leads.status", "leads.title", "deals.outcome", "deals.stage", "accounts.employees", "leads.recorded_at",
             "deals.recorded_at", "events.recorded_at"}  # fmt: skip
    assert kinds <= {".".join(one) for one in changes}
    live = load_tables(params)  # train, check and backtest read the live sources, with the same histories
    for night, then in zip(NIGHTS[:2], seen, strict=False):
        for found in (company, live) if night == NIGHTS[1] else (company,):
            now = known_at(found, night)
            for name, frame in then.items():
                assert len(frame) > 50
                pd.testing.assert_frame_equal(now[name], frame, check_exact=True, obj=f"{name} at {night}")
    pd.testing.assert_frame_equal(features_at(company, NIGHTS[0], spec), features, check_exact=True)


LEAD = {"lead_id": "L1", "created_at": "2024-01-01 09:00:00", "status": "open", "closed_at": "", "title": "Buyer"}
DEAL = {"deal_id": "D1", "lead_id": "L1", "outcome": "open", "opened_at": "2024-01-05 09:00:00", "closed_at": "",
        "amount": "100", "stage": "talk"}  # fmt: skip
OTHERS = [LEAD | {"lead_id": f"L{n}"} for n in range(2, 7)]
DAYS = [datetime(2024, 2, day, 2) for day in (1, 2, 3)]


def nights(folder, tables: list[dict], **params):
    """Take an extract of each state of the tables, a night each; give the last night's company."""
    company = None
    for night, now in zip(DAYS, tables, strict=False):
        company = take_extract(small_params(folder, **now, **params), night)
    return company


def changes_of(company) -> list[tuple]:
    query = (
        'SELECT "table", row_id, field, known_at, old_value, new_value FROM changes ORDER BY known_at, row_id, field'
    )
    return company.connection.execute(query).fetchall()


def test_a_status_overwritten_yesterday_is_seen_as_it_was_the_day_before(tmp_path):
    lost = LEAD | {"status": "lost", "closed_at": "2024-02-01 10:00:00"}
    deals = [DEAL | {"lead_id": "L2"}]
    company = nights(tmp_path, [{"leads": [LEAD, *OTHERS], "deals": deals}, {"leads": [lost, *OTHERS], "deals": deals}])
    assert ("leads", "L1", "status", DAYS[1], "open", "lost") in changes_of(company)
    standing = {
        night: lifecycle.standings(company.tables, night).to_pandas().set_index("lead_id").outcome["L1"]
        for night in DAYS[:2]
    }
    assert standing == {DAYS[0]: "open", DAYS[1]: "lost"}


def test_a_win_entered_late_is_known_since_it_was_seen(tmp_path):
    won = DEAL | {"outcome": "won", "closed_at": "2024-01-20 10:00:00"}
    company = nights(
        tmp_path, [{"leads": [LEAD, *OTHERS], "deals": [DEAL]}, {"leads": [LEAD, *OTHERS], "deals": [won]}]
    )
    rows = {night: lifecycle.outcomes(company.tables, night).to_pandas().set_index("lead_id") for night in DAYS[:2]}
    assert [rows[night].outcome["L1"] for night in DAYS[:2]] == ["open", "won"]
    assert str(rows[DAYS[1]].ended_at["L1"]) == "2024-01-20 10:00:00"


def test_open_facts_are_kept_from_the_first_night_and_looked_at_once_they_reach_back(tmp_path, monkeypatch):
    tables = [{"leads": [LEAD, *OTHERS], "deals": [DEAL | {"amount": amount}]} for amount in ("100", "100", "250")]
    company = nights(tmp_path, tables)
    amounts = [row[3:] for row in changes_of(company) if row[2] == "amount"]
    assert amounts == [(DAYS[0], None, "100.0000"), (DAYS[2], "100.0000", "250.0000")]
    assert "amount" not in company.tables.tracked("deals")
    monkeypatch.setattr(observed_changes, "WATCHED_DAYS", 1)
    company = load_tables(company.params)
    deals = lifecycle.deal_versions(company.tables)
    then = [datetime(2024, 1, 10), *DAYS]
    seen = [deals.filter(point_in_time.current_at(deals, night)).amount.to_pandas()[0] for night in then]
    assert [None if pd.isna(amount) else float(amount) for amount in seen] == [None, 100, 100, 250]


def test_what_the_company_itself_keeps_a_history_of_is_left_to_it(tmp_path):
    own = [{"table": "leads", "row_id": "L1", "field": "title", "changed_at": "2024-02-01 15:00:00",
            "old_value": "Buyer", "new_value": "Owner"}]  # fmt: skip
    tables = [{"leads": [LEAD, *OTHERS], "changes": [own[0] | {"row_id": "L2", "changed_at": "2024-01-02"}]},
              {"leads": [LEAD | {"title": "Owner"}, *OTHERS], "changes": own}]  # fmt: skip
    company = nights(tmp_path, tables)
    titles = [row for row in changes_of(company) if row[2] == "title"]
    assert titles == [("leads", "L1", "title", datetime(2024, 2, 1, 15), "Buyer", "Owner")]


def test_another_way_of_reading_or_writing_a_value_is_no_change(tmp_path):
    plain = {"leads": [LEAD | {"budget": "5"}, *[row | {"budget": "7"} for row in OTHERS]]}
    renamed = [{("Job" if name == "title" else name): value for name, value in row.items()} for row in plain["leads"]]
    renamed[0]["budget"] = "5.0"
    take_extract(small_params(tmp_path, **plain), DAYS[0])
    params = small_params(tmp_path, leads=renamed, sources={"leads": {"columns": {"title": "Job"}}})
    assert [row for row in changes_of(take_extract(params, DAYS[1])) if row[0] == "leads"] == []


def test_rows_that_vanish_and_come_back_were_known_before(tmp_path):
    all_of_them = {"leads": [LEAD, *OTHERS]}
    company = nights(tmp_path, [all_of_them, {"leads": OTHERS}, {"leads": [LEAD | {"title": "Owner"}, *OTHERS]}])
    assert [row for row in changes_of(company) if row[0] == "leads"] == [
        ("leads", "L1", "title", DAYS[2], "Buyer", "Owner")
    ]


def test_a_lead_entered_late_is_known_since_it_was_seen(tmp_path):
    deals = [DEAL | {"lead_id": "L2"}]
    company = nights(tmp_path, [{"leads": OTHERS, "deals": deals}, {"leads": [LEAD, *OTHERS], "deals": deals}])
    assert [len(snapshots.open_leads(company.tables, night).to_pandas()) for night in DAYS[:2]] == [5, 6]


def test_nothing_personal_is_kept_of_what_changed(tmp_path):
    person = {"name": "Anna Kaya", "email": "anna@firm.example", "phone": "+49 30 648543"}
    married = {"name": "Anna Costa", "email": "costa@firm.example", "phone": "+49 30 111111"}
    company = nights(tmp_path, [{"leads": [LEAD | person, *[row | person for row in OTHERS]]},
                                {"leads": [LEAD | married, *[row | person for row in OTHERS]]}])  # fmt: skip
    assert [row for row in changes_of(company) if row[0] == "leads"] == []
