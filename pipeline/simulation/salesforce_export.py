"""The company as Salesforce's weekly export writes it: one CSV an object, API names, UTC without saying so.

What makes it hard to read: a lead names no account until it is converted, and its tasks then move to the contact; the
date of a deal is a plan until it is closed, and often stays one when it is lost; a lead's losing has no date but in
LeadHistory; rows of the recycle bin are among the others; ids have 18 characters in one file and 15 in another; several
columns follow from how the deal ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation.corruption import KNOWN_UNTIL
from pipeline.simulation.crm_content import CrmContent, local, money, text, true_figures
from pipeline.simulation.vocabulary import FIRST_NAMES, LAST_NAMES, pick

TIME, DAY = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = {
    "Lead": "00Q", "Account": "001", "Contact": "003", "Opportunity": "006", "Task": "00T", "Event": "00U",
    "User": "005", "LeadHistory": "017", "OpportunityHistory": "008",
}  # fmt: skip
STAGES = {"qualification": "Qualification", "proposal": "Proposal/Price Quote", "negotiation": "Negotiation/Review"}
PROBABILITY = {
    "Qualification": 10, "Proposal/Price Quote": 75, "Negotiation/Review": 90, "Closed Won": 100, "Closed Lost": 0,
}  # fmt: skip
_FORECAST = {"Qualification": "Pipeline", "Proposal/Price Quote": "Best Case", "Negotiation/Review": "Commit"}
_SOURCES = {
    "website": "Web", "search_ads": "Advertisement", "referral": "Customer Referral", "partner": "Partner",
    "webinar": "Webinar", "trade_fair": "Trade Show", "call_centre": "Phone Inquiry", "social_media": "Social Media",
    "bought_list": "Purchased List", "prize_draw": "Prize Draw",
}  # fmt: skip
_TASKS = {
    "mail_sent": "Email", "mail_reply": "Email", "call": "Call", "call_attempt": "Call", "call_in": "Call",
    "proposal_sent": "Email",
}  # fmt: skip


def short_id(thing: str, numbers: pd.Series) -> pd.Series:
    """Give 15-character ids, in which case matters; null where there is no number."""

    def written(number: int) -> str:
        digits = ""
        for _ in range(7):
            number, place = divmod(number, 62)
            digits = _BASE62[place] + digits
        return f"{_PREFIX[thing]}5g000{digits}"

    return numbers.map(lambda number: None if pd.isna(number) else written(int(number) * 37 + 11)).astype(object)


def long_id(thing: str, numbers: pd.Series) -> pd.Series:
    """Give the same ids in 18 characters: the last three say which letters are capitals."""

    def suffix(short: str) -> str:
        parts = (short[start : start + 5] for start in (0, 5, 10))
        places = (sum((letter.isupper()) << place for place, letter in enumerate(part)) for part in parts)
        return "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[place] for place in places)

    return short_id(thing, numbers).map(lambda short: None if short is None else short + suffix(short))


def salesforce(content: CrmContent, rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Write the weekly export.

    Returns
    -------
    files : dict of str to DataFrame
        By file name.
    truth : dict
        See `pipeline.simulation.crm_content.true_figures`.
    """
    files = {
        "Lead.csv": _leads(content),
        "LeadHistory.csv": _lead_history(content),
        "Account.csv": _accounts(content),
        "Opportunity.csv": _opportunities(content),
        "OpportunityHistory.csv": _opportunity_history(content, rng),
        "User.csv": _users(content),
        **_activities(content),
    }
    return files, true_figures(content, "salesforce", opportunities_are_leads=False, events=len(content.events))


def _flag(values: pd.Series) -> pd.Series:
    return values.map({True: "true", False: "false"})


def _owner(ids: pd.Series) -> pd.Series:
    return long_id("User", ids.str[1:].astype("Int64"))


def _contact(ids: pd.Series) -> pd.Series:
    return long_id("Contact", ids.str[1:].astype("Int64"))


def _leads(content: CrmContent) -> pd.DataFrame:
    leads = content.leads
    account = content.lead_accounts()
    converted = leads["deal_number"].notna() & ~leads["is_deleted"]
    lost = (leads["status"] == "lost") & leads["deal_number"].isna()
    touched = leads["ended_at"].fillna(leads["created_at"])
    status = np.select(
        [converted, lost, leads["number"] % 3 == 0],
        ["Closed - Converted", "Closed - Not Converted", "Open - Not Contacted"],
        "Working - Contacted",
    )
    names = leads["name"].str.split(" ", n=1)
    master = leads["number"].where(leads["is_deleted"] & (leads["number"] % 2 == 0)).astype("Int64")
    # Half of the rows in the bin were merged into another lead: the one they are a copy of.
    original = leads[~leads["is_deleted"]].set_index("lead_id")["number"]
    master = leads["lead_id"].map(original).where(master.notna()).astype("Int64")
    return pd.DataFrame(
        {
            "Id": long_id("Lead", leads["number"]),
            "IsDeleted": _flag(leads["is_deleted"]),
            "MasterRecordId": long_id("Lead", master),
            "LastName": names.str[1],
            "FirstName": names.str[0],
            "Name": leads["name"],
            "Title": leads["title"],
            "Company": leads["company_name"],
            "Country": account["country"].to_numpy(),
            "Phone": leads["phone"],
            "Email": leads["email"],
            "LeadSource": leads["source"].map(_SOURCES),
            "Status": status,
            "Industry": account["industry"].to_numpy(),
            "AnnualRevenue": account["annual_revenue"].to_numpy(),
            "NumberOfEmployees": account["employees"].astype(object).to_numpy(),
            "OwnerId": _owner(leads["owner_id"]),
            "IsConverted": _flag(converted),
            "ConvertedDate": text(leads["converted_at"].where(converted), DAY),
            "ConvertedAccountId": long_id("Account", leads["account_id"].str[1:].astype("Int64").where(converted)),
            "ConvertedContactId": _contact(leads["contact_id"]).where(converted, None),
            "ConvertedOpportunityId": long_id("Opportunity", leads["deal_number"].where(converted)),
            "CreatedDate": text(leads["created_at"], TIME, utc=True),
            "LastModifiedDate": text(touched, TIME, utc=True),
            "SystemModstamp": text(touched, TIME, utc=True),
            "LastActivityDate": text(touched, DAY),
            "Landing_Page__c": leads["landing_page"],
            "Timeframe__c": leads["timeframe"],
            "Product_Interest__c": leads["product"],
        }
    )


def _lead_history(content: CrmContent) -> pd.DataFrame:
    """Every change of status, of leads in 15 characters."""
    leads = content.leads[~content.leads["is_deleted"]]
    converted = leads["deal_number"].notna()
    lost = (leads["status"] == "lost") & ~converted
    at = leads["converted_at"].where(converted, leads["ended_at"])[converted | lost]
    ended = leads.loc[at.index]
    new = np.where(converted[at.index], "Closed - Converted", "Closed - Not Converted")
    history = pd.DataFrame(
        {
            "IsDeleted": "false",
            "LeadId": short_id("Lead", ended["number"]),
            "CreatedById": _owner(ended["owner_id"]),
            "CreatedDate": text(at, TIME, utc=True),
            "Field": "Status",
            "DataType": "DynamicEnum",
            "OldValue": "Working - Contacted",
            "NewValue": new,
        }
    )
    history.insert(0, "Id", long_id("LeadHistory", pd.Series(np.arange(len(history)), index=history.index)))
    return history


def _accounts(content: CrmContent) -> pd.DataFrame:
    accounts = content.accounts
    return pd.DataFrame(
        {
            "Id": long_id("Account", accounts["number"]),
            "IsDeleted": "false",
            "Name": "Account " + accounts["number"].astype(str),
            "ParentId": "000000000000000AAA",
            "BillingCountry": accounts["country"],
            "Industry": accounts["industry"],
            "AnnualRevenue": accounts["annual_revenue"],
            "NumberOfEmployees": accounts["employees"],
            "CreatedDate": "2023-01-02 08:00:00",
        }
    )


def stage_of(deals: pd.DataFrame) -> pd.Series:
    """Salesforce's standard words of a deal's stage."""
    return deals["stage"].map(STAGES | {"closed won": "Closed Won", "closed lost": "Closed Lost"})


def _opportunities(content: CrmContent) -> pd.DataFrame:
    deals = content.deals
    stage, closed = stage_of(deals), deals["outcome"] != "open"
    closing_day = local(deals["close_at"])
    quarter = closing_day.dt.quarter
    chance = stage.map(PROBABILITY)
    forecast = stage.map(_FORECAST).where(~closed, deals["outcome"].map({"won": "Closed", "lost": "Omitted"}))
    modified = deals["closed_at"].fillna(deals["opened_at"])
    return pd.DataFrame(
        {
            "Id": long_id("Opportunity", deals["number"]),
            "IsDeleted": _flag(deals["is_deleted"]),
            "AccountId": long_id("Account", deals["account_id"].str[1:].astype("Int64")),
            "Name": "Opportunity " + deals["number"].astype(str),
            "StageName": stage,
            "Amount": money(deals["amount"]),
            "Probability": chance,
            "ExpectedRevenue": money(deals["amount"] * chance / 100),
            "CloseDate": closing_day.dt.strftime(DAY),
            "Type": deals["kind"].map({"new_business": "New Business", "expansion": "Existing Business"}),
            "IsClosed": _flag(closed),
            "IsWon": _flag(deals["outcome"] == "won"),
            "ForecastCategory": forecast,
            "ForecastCategoryName": forecast,
            "CurrencyIsoCode": deals["currency"],
            "OwnerId": _owner(deals["owner_id"]),
            "CreatedDate": text(deals["opened_at"], TIME, utc=True),
            "LastModifiedDate": text(modified, TIME, utc=True),
            "SystemModstamp": text(modified, TIME, utc=True),
            "LastActivityDate": text(modified, DAY),
            "LastStageChangeDate": text(modified, TIME, utc=True),
            "FiscalQuarter": quarter,
            "FiscalYear": closing_day.dt.year,
            "Fiscal": closing_day.dt.year.astype(str) + " " + quarter.astype(str),
            "Loss_Reason__c": pd.Series(np.where(deals["number"] % 2, "Price", "No decision")).where(
                deals["outcome"] == "lost", None
            ),
        }
    )


def _opportunity_history(content: CrmContent, rng: np.random.Generator) -> pd.DataFrame:
    """Stage, amount and planned date as they were from each change on, of deals in 15 characters."""
    deals = content.deals
    opened = deals.assign(at=deals["opened_at"], StageName="Qualification", planned=deals["planned_at"])
    later = deals["opened_at"] + pd.Timedelta(days=60)
    end = deals["closed_at"].fillna(later.where(later < KNOWN_UNTIL, KNOWN_UNTIL))
    between = deals["opened_at"] + (end - deals["opened_at"]) * rng.uniform(0.2, 0.8, len(deals))
    moves = (deals["outcome"] != "open") | deals["stage"].isin(["proposal", "negotiation"])
    moved = deals.assign(at=between, StageName="Proposal/Price Quote", planned=deals["planned_at"])
    moved = moved[moves & (between > deals["opened_at"] + pd.Timedelta(hours=2))]
    closed = deals.assign(at=deals["closed_at"], StageName=stage_of(deals), planned=deals["close_at"])
    rows = pd.concat([opened, moved, closed[closed["outcome"] != "open"]], ignore_index=True)
    rows = rows.sort_values(["at", "number"], kind="stable", ignore_index=True)
    chance = rows["StageName"].map(PROBABILITY)
    return pd.DataFrame(
        {
            "Id": long_id("OpportunityHistory", pd.Series(np.arange(len(rows)))),
            "OpportunityId": short_id("Opportunity", rows["number"]),
            "CreatedById": _owner(rows["owner_id"]),
            "CreatedDate": text(rows["at"], TIME, utc=True),
            "StageName": rows["StageName"],
            "Amount": money(rows["amount"]),
            "ExpectedRevenue": money(rows["amount"] * chance / 100),
            "CloseDate": text(rows["planned"], DAY),
            "Probability": chance,
            "ForecastCategory": rows["StageName"].map(_FORECAST).fillna("Closed"),
            "IsDeleted": _flag(rows["is_deleted"]),
        }
    )


def _users(content: CrmContent) -> pd.DataFrame:
    number = pd.Series(sorted(content.leads["owner_id"].str[1:].astype(int).unique()))
    keys = number.to_numpy()
    name = (
        pd.Series(FIRST_NAMES).iloc[pick(keys, 11, len(FIRST_NAMES))].reset_index(drop=True)
        + " "
        + pd.Series(LAST_NAMES).iloc[pick(keys, 12, len(LAST_NAMES))].reset_index(drop=True)
    )
    return pd.DataFrame(
        {
            "Id": long_id("User", number),
            "Username": "user" + number.astype(str) + "@company.example",
            "Name": name,
            "Email": "user" + number.astype(str) + "@company.example",
            "Department": np.where(number % 2, "Field Sales", "Inside Sales"),
            "IsActive": "true",
            "TimeZoneSidKey": "Europe/Berlin",
        }
    )


def _activities(content: CrmContent) -> dict[str, pd.DataFrame]:
    """Tasks and meetings; those of a converted lead have moved to its contact and deal."""
    leads = content.leads[~content.leads["is_deleted"]].set_index("number")
    events = content.events
    lead = leads.loc[events["lead_number"]].reset_index()
    converted = lead["deal_number"].notna()
    common = pd.DataFrame(
        {
            "IsDeleted": "false",
            "WhoId": _contact(lead["contact_id"]).where(converted, long_id("Lead", lead["number"])),
            "WhatId": long_id("Opportunity", lead["deal_number"]),
            "Subject": events["topic"].to_numpy(),
            "ActivityDate": text(events["occurred_at"], DAY).to_numpy(),
            "OwnerId": _owner(lead["owner_id"]),
            "CreatedDate": text(events["occurred_at"], TIME, utc=True).to_numpy(),
        }
    )
    kind = events["kind"].reset_index(drop=True)
    is_meeting = kind == "meeting"
    numbers = events["number"].reset_index(drop=True)
    call_type = kind.map({"call": "Outbound", "call_attempt": "Outbound", "call_in": "Inbound"})
    tasks = common.assign(
        Status="Completed", Type=kind, TaskSubtype=kind.map(_TASKS).fillna("Task"), CallType=call_type
    )[~is_meeting]
    tasks.insert(0, "Id", long_id("Task", numbers[~is_meeting]))
    meetings = common.assign(StartDateTime=common["CreatedDate"], Type="Meeting")[is_meeting]
    meetings.insert(0, "Id", long_id("Event", numbers[is_meeting]))
    files = {"Task.csv": tasks, "Event.csv": meetings}
    return {name: frame for name, frame in files.items() if len(frame)}
