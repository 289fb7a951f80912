"""Each rule of the data contract, held on a company that `simulate --mess` made."""

import json
from datetime import timedelta
from decimal import Decimal

import pandas as pd
import pytest
import yaml

from features import lifecycle, point_in_time, snapshots
from features.versions import account_versions, as_they_were
from pipeline.audit.reconciliation import reconcile
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.ingest.quarantine import quarantined
from pipeline.simulation.field_histories import rates_table
from pipeline.simulation.simulate import simulate, territory_tables

LEADS, SEED = 1200, 5
SECOND = timedelta(seconds=1)


class Messy:
    """A messy company, loaded with its systems' records apart."""

    def __init__(self, folder):
        simulate(folder, leads=LEADS, seed=SEED, mess=True, events_per_lead=8)
        content = yaml.safe_load((folder / "params.yaml").read_text())
        content["data"]["identity"] = {"link": "none"}
        (folder / "params.yaml").write_text(yaml.safe_dump(content))
        self.summary = json.loads((folder / "mess.json").read_text())
        self.notes = pd.read_parquet(folder / "mess.parquet")
        (territory,) = territory_tables(LEADS, 8, SEED)
        self.clean, truth = territory.records, pd.read_parquet(folder / "truth.parquet")
        self.lead_name = dict(zip(self.clean.leads["lead_id"], truth["lead_id"], strict=True))
        changes = pd.read_csv(folder / "crm_changes.csv", dtype=str)
        local = pd.to_datetime(changes["Changed"]).dt.tz_localize("Europe/Berlin")
        changes["at"] = local.dt.tz_convert("UTC").dt.tz_localize(None)
        changes["id"] = "crm:" + changes["Record ID"]
        self.changes = changes
        self.loaded = load_tables(load_params(folder / "params.yaml"))
        self.tables = self.loaded.tables

    def noted(self, mess):
        found = self.notes[self.notes["mess"] == mess]
        assert len(found)
        return found

    def changed(self, mess, field):
        """Changes of a field of the rows noted for a kind of mess."""
        rows = self.changes[(self.changes["Field"] == field) & self.changes["id"].isin(self.noted(mess)["id"])]
        assert len(rows)
        return rows

    def deal_at(self, versions, deal_id, at):
        (found,) = versions[
            (versions.deal_id == deal_id) & (versions.known_from <= at) & (at < versions.known_until)
        ].itertuples()
        return found


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    return Messy(tmp_path_factory.mktemp("messy"))


@pytest.fixture(scope="module")
def versions(messy):
    return lifecycle.lead_deal_versions(messy.tables).to_pandas()


def test_rows_and_money_are_all_there(messy):
    for table, systems in messy.summary["rows"].items():
        count = messy.loaded.counts[table]
        assert count["rows"] == count["loaded"] + count["quarantined"] == sum(systems.values()), table
    told = reconcile(messy.loaded)
    assert told.total.missing_deals == told.total.missing_revenue == 0
    assert all(month.missing_revenue == 0 for month in told.months)
    assert all(item.replaced == 0 for item in told.currencies)
    assert {item.currency for item in told.currencies} == {"EUR", "USD", "SEK", "PLN"}
    assert sum(item.converted for item in told.currencies) == told.total.revenue["loaded"]
    assert messy.loaded.counts["changes"]["reasons"] == {"row_id: leads to no lead": 1}


def test_amounts_abroad_are_the_clean_companys_to_the_cent(messy):
    deals = messy.tables.deals.to_pandas().set_index("deal_id")
    clean = messy.clean.deals.set_index("deal_id")["amount"]
    abroad = [name for name in messy.noted("foreign_currency")["id"] if deals.outcome.get(name) in ("won", "lost")]
    assert len(abroad) > 3
    for name in abroad:
        assert deals.amount[name] == Decimal(f"{clean[name.removeprefix('crm:')]:.2f}"), name
        assert deals.written_amount[name] > deals.amount[name]


def test_open_amounts_abroad_are_worth_what_the_date_says(messy, versions):
    rates = rates_table().set_index(["currency", "valid_from"])["rate"]
    deals = messy.tables.deals.to_pandas().set_index("deal_id")
    chosen = messy.noted("foreign_currency")["id"]
    told = versions[versions.deal_id.isin(chosen) & (versions.outcome == "open") & versions.amount.notna()]
    for row in told.itertuples():
        at = max(row.known_from, row.known_until - timedelta(days=1))
        month = at.tz_localize("UTC").tz_convert("Europe/Berlin").strftime("%Y-%m-01")
        assert float(row.amount) == pytest.approx(
            float(row.written_amount) * rates[deals.currency[row.deal_id], month], abs=0.006
        )


def test_an_owner_is_the_one_of_the_date(messy):
    leads = messy.tables.leads.to_pandas().set_index("lead_id")
    rows = messy.changed("reassigned", "Owner")
    rows = rows[rows["id"].isin(leads.index)]
    for change in rows.head(2).itertuples():
        for at, owner in ((change.at - SECOND, change.Old), (change.at, change.New)):
            known = lifecycle.standings(messy.tables, at.to_pydatetime())
            assert known.filter(known.lead_id == change.id).owner_id.to_pandas().tolist() == [f"crm:{owner}"]
    snaps = messy.tables.leads.select(
        "lead_id", "owner_id", as_of=point_in_time.instant(pd.Timestamp("2026-05-01").to_pydatetime())
    )
    now = as_they_were(snaps, messy.tables, "leads", "lead_id").to_pandas().set_index("lead_id").owner_id
    late = rows[rows["at"] > pd.Timestamp("2026-05-01")]["id"]
    assert (now.drop(late) == leads.owner_id.drop(late).reindex(now.drop(late).index)).all()
    assert set(leads.owner_id.dropna()) <= set(messy.tables.owners.owner_id.to_pandas())


def test_an_amount_is_that_of_the_date(messy, versions):
    rows = messy.changed("repriced", "Amount")
    rows = rows[rows["id"].isin(versions[versions.outcome != "unknown"].deal_id)]
    broken = set(versions[versions.outcome == "unknown"].deal_id)
    checked = 0
    for change in rows[~rows["id"].isin(broken)].itertuples():
        before, after = (messy.deal_at(versions, change.id, at) for at in (change.at - SECOND, change.at))
        assert (before.written_amount, after.written_amount) == (Decimal(change.Old), Decimal(change.New))
        assert before.outcome == after.outcome == "open"
        checked += 1
    assert checked > 5


def test_a_planned_date_is_that_of_the_date(messy, versions):
    for change in messy.changed("pushed", "Close Date").itertuples():
        told = [messy.deal_at(versions, change.id, at).expected_close_at for at in (change.at - SECOND, change.at)]
        assert [str(day.tz_localize("UTC").tz_convert("Europe/Berlin"))[:10] for day in told] == [
            change.Old,
            change.New,
        ]


def test_a_lead_lost_and_taken_up_again_is_two_episodes(messy):
    end = messy.loaded.known_until
    rows = lifecycle.outcomes(messy.tables, end).to_pandas()
    twice = messy.changed("lost_twice", "Lead Status").groupby("id")["at"].agg(list)
    for lead_id, (first, again, _) in twice.items():
        told = rows[rows.lead_id == lead_id].sort_values("episode")
        assert told.outcome.tolist() == ["lost", "lost"]
        assert told.ended_at.iloc[0] == first
        assert told.episode_started_at.iloc[1] == again
        open_ = [snapshots.open_leads(messy.tables, at.to_pydatetime()) for at in (first, again)]
        assert [found.filter(found.lead_id == lead_id).episode.to_pandas().tolist() for found in open_] == [[], [2]]
    deals = messy.tables.deals.to_pandas()
    for lead_id in set(messy.noted("reopened")["id"]) & set(rows.lead_id):
        own = deals[deals.lead_id == lead_id].sort_values("opened_at")
        if len(own) == 2 and own.outcome.iloc[1] != "unknown":
            told = rows[rows.lead_id == lead_id].sort_values("episode")
            assert told.outcome.tolist() == ["lost", own.outcome.iloc[1]]


def test_versions_tell_what_was_known_while_a_deal_was_open(messy, versions):
    chosen = set(messy.noted("versioned")["id"])
    told = versions[versions.deal_id.isin(chosen)].sort_values("known_from")
    for _, rows in told.groupby("deal_id"):
        assert rows.outcome.tolist()[0] == "open"
        assert rows.has_history.all()
        if len(rows) == 2 and rows.outcome.iloc[1] in ("won", "lost") and pd.notna(rows.amount.iloc[0]):
            assert float(rows.amount.iloc[0]) == pytest.approx(float(rows.amount.iloc[1]) * 1.2, abs=0.006)


def test_a_company_is_as_large_as_it_was(messy):
    accounts = account_versions(messy.tables).to_pandas()
    for account_id in messy.noted("account_version")["id"]:
        before, after = accounts[accounts.account_id == account_id].sort_values("known_from").itertuples()
        assert before.known_until == after.known_from == after.valid_from
        assert before.employees == max(after.employees // 2, 1)
    assert set(accounts.parent_id.dropna()) <= set(accounts.account_id)


@pytest.mark.parametrize("key", ["contact", "deal", "email", "phone", "account"])
def test_events_find_their_lead(messy, key):
    noted = messy.noted(f"by_{key}").set_index("id")["lead_id"]
    found = messy.tables.events.select("event_id", "lead_id").to_pandas().set_index("event_id")["lead_id"]
    quarantine = quarantined(messy.loaded.connection)
    lost = set(quarantine[quarantine["table"] == "leads"]["value"])
    loaded = set(messy.tables.leads.lead_id.to_pandas())
    expected = noted[noted.isin(loaded)]
    assert len(expected) > 3
    assert (found.reindex(expected.index) == expected).all(), lost
