"""Exports of the made-up company: every kind of mess is there, counted, and nothing else is wrong."""

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.simulation.corruption import CALL_CENTRE, CRM, KEYS
from pipeline.simulation.crm_exports import CRM_COLUMNS
from pipeline.simulation.data_errors import HAPPENED, UNREADABLE_OUTCOMES
from pipeline.simulation.simulate import simulate, territory_tables
from pipeline.simulation.typos import NO_MAIL, NO_NUMBERS

LEADS, SEED = 1500, 3


class Company:
    """What was written, read back as text, beside the clean company under it."""

    def __init__(self, folder):
        simulate(folder, leads=LEADS, seed=SEED, mess=True)
        self.folder = folder
        (territory,) = territory_tables(LEADS, 18, SEED)
        self.clean, self.truth = territory.records, pd.read_parquet(folder / "truth.parquet")
        self.summary = json.loads((folder / "mess.json").read_text())
        self.notes = pd.read_parquet(folder / "mess.parquet")
        self.files = {}
        for table in KEYS:
            theirs = {name: ours for ours, name in CRM_COLUMNS[table].items()}
            self.files[table, CRM] = pd.read_csv(folder / f"crm_{table}.csv", dtype=str).rename(columns=theirs)
            path = folder / f"call_centre_{table}.jsonl"
            self.files[table, CALL_CENTRE] = pd.read_json(path, lines=True, dtype=False, convert_dates=False)

    def rows(self, table):
        """Rows of both systems, ids as ``system:id``."""
        parts = []
        for system in (CRM, CALL_CENTRE):
            part = self.files[table, system].copy()
            for name in {KEYS[table], "lead_id", "account_id"} & set(part):
                given = part[name].notna()
                part[name] = (system + ":" + part[name].where(given, "").astype(str)).where(given, None)
            parts.append(part.assign(system=system))
        return pd.concat(parts, ignore_index=True)

    def touched(self, table, mess):
        """Rows noted for a kind of mess."""
        noted = self.notes[(self.notes["table"] == table) & (self.notes["mess"] == mess)]
        rows = self.rows(table)
        found = rows[rows[KEYS[table]].isin(noted["id"])]
        assert noted["id"].isin(rows[KEYS[table]]).all()
        return found.merge(noted.rename(columns={"id": KEYS[table], "lead_id": "noted_lead_id"}), on=KEYS[table])


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    return Company(tmp_path_factory.mktemp("company"))


def test_every_kind_is_there_and_counted(company):
    counted = {
        table: kinds.to_dict()
        for table, kinds in company.notes.groupby("table")["mess"].value_counts().unstack(0).items()
    }
    counted = {table: {kind: n for kind, n in kinds.items() if n == n} for table, kinds in counted.items()}
    assert counted == company.summary["mess"]
    assert {kind for kinds in counted.values() for kind in kinds} == {
        "broken_date", "closed_on_arrival", "date_only", "deal_without_lead", "duplicate", "entered_after_closing",
        "found_by_account", "lost_by_status", "orphan", "placeholder", "planned_close", "reopened", "same_person",
        "shared_contact", "split_deal", "unknown_outcome",
        "account_version", "by_account", "by_contact", "by_deal", "by_email", "by_phone", "foreign_currency",
        "lost_twice", "pushed", "reassigned", "repriced", "versioned",
    }  # fmt: skip
    for (table, system), rows in company.files.items():
        assert company.summary["rows"][table][system] == len(rows)


def test_no_row_is_spoiled_twice(company):
    real = company.notes[~company.notes["mess"].isin(["lost_by_status", "pushed"])]
    assert not real.duplicated(["table", "id"]).any()


def test_duplicates_are_the_only_repeated_ids(company):
    for table, key in KEYS.items():
        ids = company.rows(table)[key]
        again = company.notes["mess"].isin(["duplicate", "versioned", "account_version"])
        noted = company.notes[(company.notes["table"] == table) & again]["id"]
        assert set(ids[ids.duplicated()]) == set(noted)


def test_the_same_id_means_different_rows_in_the_two_systems(company):
    for table, key in KEYS.items():
        there = company.files[table, CALL_CENTRE][key]
        assert there.min() == f"{there.iloc[0][0]}0000001"
        if table != "events":
            assert there.isin(company.files[table, CRM][key]).any()


def test_broken_dates_are_no_dates_and_all_others_are(company):
    for table, column in HAPPENED.items():
        rows = company.rows(table)
        broken = rows[KEYS[table]].isin(company.touched(table, "broken_date")[KEYS[table]])
        times = pd.to_datetime(rows[column].str.slice(0, 19), format="ISO8601", errors="coerce")
        assert times[broken].isna().all()
        assert (times.notna() | rows[column].isna())[~broken].all()
        assert (company.touched(table, "date_only")[column].str.len() == 10).all()


def test_orphans_point_nowhere(company):
    for table, column, other in (
        ("events", "lead_id", "leads"),
        ("deals", "lead_id", "leads"),
        ("leads", "account_id", "accounts"),
    ):
        rows = company.rows(table)
        nowhere = rows[column].notna() & ~rows[column].isin(company.rows(other)[KEYS[other]])
        assert set(rows.loc[nowhere, KEYS[table]]) == set(company.touched(table, "orphan")[KEYS[table]])


def test_money_adds_up_to_the_cent(company):
    clean = company.clean.deals
    rows = company.rows("deals").drop_duplicates("deal_id")
    cents = (rows["amount"].astype(float) * 100).round()
    rates = pd.read_csv(company.folder / "crm_rates.csv").set_index(["currency", "From"])["rate"]
    foreign = (rows["currency"] != "EUR") & (rows["outcome"] == "Closed Won")
    months = rows.loc[foreign, "closed_at"].str[:7] + "-01"
    there = rates.loc[list(zip(rows.loc[foreign, "currency"], months, strict=True))].to_numpy()
    assert (there < 1).all()
    cents[foreign] = (cents[foreign] * there).round()
    won = rows["outcome"].isin(["won", "Closed Won"])
    strangers = rows["deal_id"].isin(company.touched("deals", "deal_without_lead")["deal_id"])
    unknown = company.touched("deals", "unknown_outcome")
    names = dict(zip(company.clean.leads["lead_id"], company.truth["lead_id"], strict=True))
    lead_of = clean["lead_id"].map(names)
    hidden = clean[lead_of.isin(unknown["noted_lead_id"]) & (clean["outcome"] == "won")]
    expected = (clean.loc[clean["outcome"] == "won", "amount"] * 100).round().sum()
    assert cents[won & ~strangers].sum() + (hidden["amount"] * 100).round().sum() == expected


def test_kinds_of_deals(company):
    planned = company.touched("deals", "planned_close")
    assert planned["outcome"].isin(["open", "In Progress"]).all()
    assert (planned["closed_at"].str[:10] > "2026-05-15").any(), "planned dates lie in the future"
    assert company.touched("deals", "unknown_outcome")["outcome"].isin(UNREADABLE_OUTCOMES).all()
    split = company.touched("deals", "split_deal")
    assert (split.groupby("lead_id").size() == 2).all()
    days = pd.to_datetime(split["closed_at"].str[:10]).groupby(split["lead_id"]).agg(np.ptp)
    assert days.between(pd.Timedelta(0), pd.Timedelta(days=60)).all()
    leadless = company.touched("deals", "found_by_account")
    assert leadless["lead_id"].isna().all()
    accounts_leads = company.rows("leads").drop_duplicates("lead_id").set_index("account_id")["lead_id"]
    assert (accounts_leads.loc[leadless["account_id"]].to_numpy() == leadless["noted_lead_id"]).all()
    strangers = company.touched("deals", "deal_without_lead")
    assert strangers["account_id"].isin(company.rows("accounts")["account_id"]).all()
    assert not strangers["account_id"].isin(company.rows("leads")["account_id"]).any()


def test_kinds_of_leads(company):
    deals = company.rows("deals")
    closed = pd.to_datetime(deals["closed_at"].str[:19], format="ISO8601", errors="coerce")
    first_closed = closed.groupby(deals["lead_id"]).min()
    for mess, least, most in (("closed_on_arrival", 0, 0), ("entered_after_closing", 1, 6)):
        leads = company.touched("leads", mess)
        created = pd.to_datetime(leads["created_at"].str[:10])
        days = (created - leads["lead_id"].map(first_closed).dt.normalize()).dt.days
        assert days.dropna().between(least, most).all()
        assert len(days.dropna()) > len(days) / 2
    again = deals[deals["lead_id"].isin(company.touched("leads", "reopened")["lead_id"])]
    assert (again.groupby("lead_id").size() == 2).all()
    by_lead = again.sort_values("opened_at").groupby("lead_id")
    first, second = by_lead.nth(0).set_index("lead_id"), by_lead.nth(1).set_index("lead_id")
    assert first["outcome"].isin(["lost", "Closed Lost"]).all()
    assert (second["opened_at"].str[:10] > first["closed_at"].str[:10].loc[second.index]).all()
    lost = company.touched("leads", "lost_by_status")
    assert lost["status"].isin(["lost", "Disqualified"]).all()
    assert not lost["lead_id"].isin(deals["lead_id"]).any()


def test_same_person_twice(company):
    pairs = company.touched("leads", "same_person")
    first = (
        company.rows("leads").drop_duplicates("lead_id").set_index("lead_id").loc[pairs["noted_lead_id"]].reset_index()
    )
    assert (pairs["system"] == CALL_CENTRE).all()
    assert (first["system"] == CRM).all()
    for column, least, most in (("email", 0.3, 0.8), ("phone", 0.5, 0.95), ("name", 0.6, 0.99)):
        written, own = pairs[column].fillna(""), first[column].fillna("-")
        told = {
            "email": written.str.lower() == own,
            "phone": written.str.replace(r"\D", "", regex=True).str[-7:] == own.str[-7:],
            "name": written.str.lower().str.findall(r"[a-z]+").map(sorted) == own.str.lower().str.split().map(sorted),
        }[column]
        assert least < told.mean() < most, f"{column}: too many or too few are written as in the CRM"
    assert pairs["lead_id"].isin(company.rows("events")["lead_id"]).all()
    assert not pairs["lead_id"].isin(company.truth["lead_id"]).any()


def test_what_is_shared_names_nobody(company):
    shared = company.touched("leads", "shared_contact")
    mailboxes = shared["email"].str.split("@").str[0]
    switchboards = shared["phone"].str.startswith("+49 30 9") & shared["phone"].str.endswith("0")
    placeholders = shared["phone"].isin(NO_NUMBERS) | shared["email"].isin(NO_MAIL)
    assert ((mailboxes == "info") | switchboards | placeholders).mean() > 0.8


def test_leaking_columns_leak(company):
    leads = company.rows("leads")
    leads = leads.merge(company.truth[["lead_id", "outcome"]], on="lead_id")
    won = leads["outcome"] == "won"
    assert (leads["contract_number"].notna() == won).all()
    assert ((leads["lifecycle"] == "customer") == won).all()
    events = company.rows("events")["lead_id"].value_counts()
    beyond = leads["activity_count"].astype(int) - leads["lead_id"].map(events).fillna(0)
    assert beyond[won].median() > 10
    assert beyond[~won].abs().median() <= 1


def test_mess_leaves_the_company_under_it_alone(company):
    assert len(company.truth) == LEADS
    assert company.truth["lead_id"].is_unique
    rows = company.rows("leads").drop_duplicates("lead_id")
    assert len(rows) == LEADS + company.summary["mess"]["leads"]["same_person"]
    assert company.truth["lead_id"].isin(rows["lead_id"]).all()


def test_the_loader_quarantines_just_what_was_spoiled(company):
    loaded = load_tables(load_params(company.folder / "params.yaml"))
    kinds = {"duplicate": "exact copy", "broken_date": "_at", "unknown_outcome": "outcome"}
    for table in ("leads", "deals", "events"):
        counts, mess = loaded.counts[table], company.summary["mess"][table]
        assert counts["rows"] == sum(company.summary["rows"][table].values())
        assert counts["rows"] == counts["loaded"] + counts["quarantined"]
        for kind, words in kinds.items():
            found = sum(count for reason, count in counts["reasons"].items() if words in reason)
            assert found == mess.get(kind, 0), (table, kind)
