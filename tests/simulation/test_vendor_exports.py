"""A simulated company in a vendor's own files: the same bytes again, and the truth beside it is the files' own."""

import json
from decimal import Decimal

import pandas as pd
import pytest

from pipeline.common.errors import UserError
from pipeline.simulation.simulate import simulate
from pipeline.simulation.vendor_exports import VENDORS

WON = {
    "salesforce": ("Opportunity.csv", "IsWon", "true", "Amount", "IsDeleted"),
    "hubspot": ("deals.csv", "Is Closed Won", "true", "Amount", None),
    "dynamics": ("opportunity.csv", "statecode", "1", "actualvalue", "IsDelete"),
    "pipedrive": ("deals.csv", "Deal - Status", "Won", "Deal - Value", None),
    "zoho": ("Deals.csv", "Stage", "Closed Won", "Amount", None),
    "odoo": ("crm_lead.csv", "stage_id", "4", "expected_revenue", None),
}


@pytest.fixture(scope="module", params=sorted(VENDORS))
def export(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    simulate(folder, leads=300, events_per_lead=2, export=request.param)
    return request.param, folder


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_the_truth_counts_the_won_deals_of_the_files(export):
    vendor, folder = export
    truth = json.loads((folder / "truth.json").read_text())
    file, column, word, amount, deleted = WON[vendor]
    deals = read(folder / file)
    won = deals[deals[column] == word]
    if deleted:
        assert (won[deleted].str.lower() == "true").any()
        won = won[won[deleted].str.lower() != "true"]
    assert len(won) == truth["deals"]["won"]
    assert sum(map(Decimal, won[amount])) == Decimal(truth["won_amount"])
    assert sum(month["deals"] for month in truth["won_by_month"].values()) == len(won)
    assert sum(Decimal(month["amount"]) for month in truth["won_by_month"].values()) == Decimal(truth["won_amount"])


def test_the_same_seed_gives_the_same_bytes(export, tmp_path):
    vendor, folder = export
    simulate(tmp_path, leads=300, events_per_lead=2, export=vendor)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_salesforce_ids_have_a_short_and_a_long_form(tmp_path):
    simulate(tmp_path, leads=300, events_per_lead=2, export="salesforce")
    deals, history = read(tmp_path / "Opportunity.csv"), read(tmp_path / "OpportunityHistory.csv")
    assert set(deals["Id"].str.len()) == {18}
    assert set(history["OpportunityId"]) == set(deals["Id"].str[:15])
    # The case of letters tells records apart, and the last three characters say it without.
    assert deals["Id"].str.lower().nunique() == len(deals)


def test_an_export_nobody_knows_is_refused(tmp_path):
    with pytest.raises(UserError, match="--export: found sap, allowed: salesforce"):
        simulate(tmp_path, leads=600, export="sap")
