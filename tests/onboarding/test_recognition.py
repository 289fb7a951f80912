"""Tables of known CRMs, however they were loaded, find their places: by columns, names and what stands in them."""

import csv
import sqlite3

import pytest

from pipeline.common.errors import UserError
from pipeline.config.crm_facts import known_crms
from pipeline.config.data_contract import TABLES
from pipeline.onboarding.places import find_places
from pipeline.onboarding.propose import proposed
from pipeline.onboarding.recognise import names_of

PLANNED = {"deal_id", "no_call", "no_email", "forecast_category", "campaign", "email", "manager_id", "active"}
"""Columns of the design's contract that are read as soon as the contract of the code has them."""
DAYS = [f"2024-01-{day:02d} 10:00:00" for day in range(1, 9)]


def write(path, columns):
    """A CSV file of eight rows: a column is a list of eight, or one value for all."""
    rows = zip(*(value if isinstance(value, list) else [value] * 8 for value in columns.values()), strict=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(columns), *rows])


def ids(prefix):
    return [f"{prefix}{number}" for number in range(8)]


def drafted(folder, crm=None):
    """Everything that a draft says, as plain data: the CRM, sources by table, and tables not read."""
    with proposed(find_places([str(folder)], folder), folder, "x", crm) as draft:
        sources = {}
        for source in draft.sources:
            told = {column.ours: column.written for column in source.columns}
            sources.setdefault(source.table, []).append((source.profile.place.name, told, source))
        return draft, sources, {profile.label: why for profile, why in draft.unused}


WORDS = ["won", "lost", "open", "won", "lost", "open", "won", "open"]
CLOSED = ["true", "true", "false", "true", "true", "false", "true", "false"]
WON = ["true", "false", "false", "true", "false", "false", "true", "false"]
STAGES = [
    "Closed Won",
    "Closed Lost",
    "Qualification",
    "Closed Won",
    "Closed Lost",
    "Prospecting",
    "Closed Won",
    "Demo",
]


@pytest.mark.parametrize("crm", known_crms().values(), ids=lambda crm: crm.crm)
def test_the_facts_name_only_columns_of_the_contract(crm):
    for record in crm.records:
        if record.table:
            ours = {*record.columns, *record.constants, *record.fallback}
            assert ours <= set(TABLES[record.table]) | PLANNED, record.record
        if record.as_leads and record.table == "deals":
            assert "lead_id" in record.as_leads
        assert all(names_of(spec) for spec in record.columns.values())


def test_salesforce_as_fivetran_loads_it(tmp_path):
    write(tmp_path / "lead.csv", {
        "id": ids("00Q"), "is_deleted": "false", "created_date": DAYS, "status": "Working - Contacted",
        "lead_source": "Web", "is_converted": CLOSED, "converted_opportunity_id": ids("006"),
        "landing_page_c": "x", "_fivetran_synced": DAYS, "_fivetran_deleted": "false",
    })  # fmt: skip
    write(tmp_path / "opportunity.csv", {
        "id": ids("006"), "account_id": ids("001"), "stage_name": STAGES, "is_closed": CLOSED, "is_won": WON,
        "amount": 10, "close_date": "2024-03-01", "created_date": DAYS, "fiscal_year": 2024, "_fivetran_synced": DAYS,
    })  # fmt: skip
    draft, sources, _ = drafted(tmp_path)
    assert draft.crm == "Salesforce, loaded by Fivetran"
    [(_, leads, source)] = sources["leads"]
    assert leads["deal_id"] == "converted_opportunity_id"
    assert source.deleted == "is_deleted"
    assert source.timezone is None  # UTC, as the company's own zone is not known
    assert source.ignore["_fivetran_synced"] == "says nothing"
    assert source.attributes == ["landing_page_c"]
    [(_, deals, source)] = sources["deals"]
    assert deals["outcome"] == {"closed": "is_closed", "won": "is_won"}
    assert source.ignore["fiscal_year"] == "follows from the close date"


def test_history_mode_is_told_from_salesforces_own_history(tmp_path):
    write(tmp_path / "opportunity_history.csv", {
        "id": ids("006"), "account_id": ids("001"), "stage_name": STAGES, "is_closed": CLOSED, "is_won": WON,
        "amount": 10, "close_date": "2024-03-01", "created_date": DAYS, "_fivetran_start": DAYS,
        "_fivetran_end": "9999-12-31 23:59:59", "_fivetran_active": "true",
    })  # fmt: skip
    _, sources, _ = drafted(tmp_path)
    [(_, deals, source)] = sources["deals"]
    assert deals["deal_id"] == "id"
    assert deals["recorded_at"] == "_fivetran_start"
    assert "_fivetran_end" in source.ignore


def test_opportunities_are_the_leads_where_leads_hold_few_of_the_wins(tmp_path):
    write(tmp_path / "Lead.csv", {
        "Id": ids("00Q"), "CreatedDate": DAYS, "Status": "Open - Not Contacted", "LeadSource": "Web", "Company": "x",
        "ConvertedOpportunityId": ["0060", *[""] * 7],
    })  # fmt: skip
    write(tmp_path / "Opportunity.csv", {
        "Id": ids("006"), "AccountId": ids("001"), "StageName": STAGES, "IsClosed": CLOSED, "IsWon": WON, "Amount": 10,
        "CloseDate": "2024-03-01", "CreatedDate": DAYS, "LeadSource": "Web", "Probability": 100, "Region__c": "north",
    })  # fmt: skip
    _, sources, unused = drafted(tmp_path)
    [(place, leads, source)] = sources["leads"]
    assert place == "Opportunity"
    assert leads["lead_id"] == "Id"
    assert leads["created_at"] == "CreatedDate"
    assert unused["Lead.csv"] == "Salesforce's Lead: only 33% of the won deals come from a lead"
    # What a deal says of its end is no fact of the lead's beginning.
    assert {"Amount", "StageName", "CloseDate", "IsWon", "IsClosed", "Probability"} <= set(source.ignore)
    assert source.attributes == ["Region__c"]
    assert sources["deals"][0][1]["lead_id"] == "Id"


def test_a_report_of_salesforce_has_labels(tmp_path):
    write(tmp_path / "report.csv", {
        "Opportunity ID": ids("006"), "Opportunity Name": ids("Deal "), "Account Name": "x", "Stage": STAGES,
        "Amount": 10, "Amount Currency": "USD", "Probability (%)": 10, "Close Date": "2024-03-01",
        "Created Date": DAYS, "Age": 10, "Fiscal Period": "Q1-2024", "Lead Source": "Web",
    })  # fmt: skip
    draft, sources, _ = drafted(tmp_path)
    assert draft.crm == "Salesforce"
    [(_, deals, source)] = sources["deals"]
    assert deals["outcome"] == "Stage"
    assert source.values["outcome"]["won"] == ["Closed Won"]
    assert source.values["outcome"]["lost"] == ["Closed Lost"]
    assert set(source.values["outcome"]["open"]) == {"Qualification", "Prospecting", "Demo"}
    assert draft.settings["currency"][0] == "USD"


def test_hubspot_stages_by_number_are_read_by_the_table_of_stages(tmp_path):
    write(tmp_path / "deal.csv", {
        "deal_id": ids("7"), "deal_pipeline_stage_id": ["11", "12", "13"] * 2 + ["11", "13"], "is_deleted": "false",
        "property_amount": 10, "property_closedate": DAYS, "property_createdate": DAYS, "property_dealname": ids("d"),
        "property_hs_date_entered_11": DAYS, "property_region": "north", "_fivetran_deleted": "false",
    })  # fmt: skip
    write(tmp_path / "deal_pipeline_stage.csv", {
        "stage_id": [str(number) for number in range(11, 19)], "label": ids("stage "), "pipeline_id": "1",
        "is_closed": ["true", "true", *["false"] * 6], "closed_won": ["true", *["false"] * 7],
    })  # fmt: skip
    draft, sources, _ = drafted(tmp_path)
    assert draft.crm == "HubSpot, loaded by Fivetran"
    [(_, deals, source)] = sources["deals"]
    assert deals["amount"] == "property_amount"
    assert source.values["outcome"] == {"won": ["11"], "lost": ["12"], "open": ["13"]}
    assert sources["leads"][0][2].attributes == ["property_region"]
    assert not draft.sources[0].doubts


def test_dynamics_opportunities_as_excel_exports_them(tmp_path):
    write(tmp_path / "Open Opportunities.csv", {
        "(Do Not Modify) Opportunity": ids("guid-"), "(Do Not Modify) Row Checksum": ids("c"),
        "(Do Not Modify) Modified On": DAYS, "Topic": "x", "Status": ["Won", "Lost", "Open"] * 2 + ["Won", "Open"],
        "Created On": DAYS, "Est. Close Date": "2024-03-01", "Actual Close Date": "2024-03-01",
        "Est. Revenue": 10, "Actual Revenue": 10, "Rating": "Hot", "Currency": "US Dollar",
    })  # fmt: skip
    draft, sources, _ = drafted(tmp_path)
    assert draft.crm == "Dynamics 365"
    assert sources["leads"][0][1]["lead_id"] == "(Do Not Modify) Opportunity"
    [(_, deals, _)] = sources["deals"]
    assert deals["amount"] == ["Actual Revenue", "Est. Revenue"]
    assert draft.settings["currency"][0] == "USD"


def test_pipedrive_as_its_api_gives_it(tmp_path):
    write(tmp_path / "deals.csv", {
        "id": [str(number) for number in range(8)], "status": WORDS, "value": 10, "currency": "EUR", "add_time": DAYS,
        "won_time": [day if word == "won" else "" for day, word in zip(DAYS, WORDS, strict=True)],
        "lost_time": [day if word == "lost" else "" for day, word in zip(DAYS, WORDS, strict=True)],
        "expected_close_date": "2024-03-01", "org_id": ids(""), "person_id": ids(""), "lost_reason": "",
        "update_time": DAYS, "activities_count": 3, "stage_id": 1, "user_id": 1, "a1b2c3": "north",
    })  # fmt: skip
    draft, sources, _ = drafted(tmp_path)
    assert draft.crm == "Pipedrive"
    [(_, deals, source)] = sources["deals"]
    assert deals["closed_at"] == ["won_time", "lost_time"]
    assert sources["leads"][0][2].attributes == ["a1b2c3"]
    assert source.timezone is None  # UTC of the API, and nothing says that the company is elsewhere


def test_words_that_nothing_tells_are_open_and_one_decision(tmp_path):
    write(tmp_path / "Opportunity.csv", {
        "Id": ids("006"), "AccountId": ids("001"), "StageName": [*STAGES[:5], "Blue", "Blue", "Zebra"], "Amount": 10,
        "CloseDate": "2024-03-01", "CreatedDate": DAYS, "Type": "New Business", "ForecastCategory": "Pipeline",
    })  # fmt: skip
    draft, sources, _ = drafted(tmp_path)
    [(_, _, source)] = sources["deals"]
    [doubt] = source.doubts
    assert "Blue (2), Zebra (1)" in doubt.text
    assert doubt.money == 30
    assert {"Blue", "Zebra"} <= set(source.values["outcome"]["open"])
    assert draft.every_doubt[0] is doubt


def test_an_unknown_crm_is_refused(tmp_path):
    write(tmp_path / "deals.csv", {"id": ids(""), "status": WORDS, "closed": DAYS})
    with pytest.raises(UserError, match="--crm: found sap, allowed: bitrix, dynamics"):
        drafted(tmp_path, "sap")


def test_settings_results_and_hidden_files_are_no_tables(tmp_path):
    write(tmp_path / "deals.csv", {"id": ids("")})
    (tmp_path / "truth.json").write_text("{}")
    (tmp_path / "settings.json").write_text('{"a": 1}')
    (tmp_path / ".deals.csv").write_text("x")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "audit.json").write_text("[]")
    (tmp_path / "artifacts" / "scores.csv").write_text("x\n1\n")
    (tmp_path / "pages").mkdir()
    for number in range(2):
        write(tmp_path / "pages" / f"part-{number}.csv", {"id": ids("")})
    places = find_places([str(tmp_path)], tmp_path)
    assert [(place.name, place.written) for place in places] == [("deals", "deals.csv"), ("pages", "pages/*.csv")]


def test_the_tables_of_a_database_file_are_listed_from_the_params_on(tmp_path):
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute("CREATE TABLE deals (id)")
    (tmp_path / "params").mkdir()
    [place] = find_places([f"sqlite:///{tmp_path}/crm.db"], tmp_path / "params")
    assert (place.name, place.written) == ("deals", "sqlite:///../crm.db/deals")
