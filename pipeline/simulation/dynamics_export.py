"""The company as Dynamics 365 gives it: leads as Excel exports them, the other tables as its database view has them.

What makes it hard to read: the export to Excel begins with ``(Do Not Modify)`` columns, one of which is the id, and
writes American local times; the database view has codes for the state and instants in UTC; actual revenue is 0 for
whatever was lost; the closing of a disqualified lead is the last time that anybody could change it.
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation.crm_content import CrmContent, money, text, true_figures, without_deleted

EXCEL_TIME, UTC_TIME, DAY = "%m/%d/%Y %I:%M %p", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"
_SPACE = uuid.UUID("6f1f4f0e-6c1a-4d7e-9d35-0c5a2f1d9b10")
_SOURCES = {
    "website": "Web", "search_ads": "Advertisement", "referral": "Customer Referral", "partner": "Partner",
    "webinar": "Seminar", "trade_fair": "Trade Show", "call_centre": "Word of Mouth", "social_media": "Social",
    "bought_list": "Purchased List", "prize_draw": "Other",
}  # fmt: skip
_ACTIVITIES = {
    "call": "phonecall", "call_attempt": "phonecall", "call_in": "phonecall", "mail_sent": "email",
    "mail_reply": "email", "proposal_sent": "email", "meeting": "appointment",
}  # fmt: skip


def _guid(thing: str, keys: pd.Series) -> pd.Series:
    def written(key: Any) -> str | None:
        return None if pd.isna(key) else str(uuid.uuid5(_SPACE, f"{thing} {key}"))

    return keys.astype(object).map(written).astype(object).where(keys.notna(), None)


def dynamics(content: CrmContent, rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Write an Excel view of leads, and opportunities, accounts and activities as the database view has them.

    Returns
    -------
    files : dict of str to DataFrame
        By file name.
    truth : dict
        See `pipeline.simulation.crm_content.true_figures`.
    """
    content = CrmContent(without_deleted(content).leads, content.deals, content.accounts, content.events)
    files = {
        "All Leads.csv": _leads(content),
        "opportunity.csv": _opportunities(content, rng),
        "account.csv": _accounts(content),
        "activitypointer.csv": _activities(content),
    }
    return files, true_figures(content, "dynamics", opportunities_are_leads=False, events=len(content.events))


def _leads(content: CrmContent) -> pd.DataFrame:
    leads = content.leads
    account = content.lead_accounts()
    converted = leads["deal_number"].notna()
    lost = (leads["status"] == "lost") & ~converted
    modified = content.lead_changed_at()
    return pd.DataFrame(
        {
            "(Do Not Modify) Lead": _guid("lead", leads["number"]),
            "(Do Not Modify) Row Checksum": leads["number"].map(lambda number: f"{number * 7919:x}==").to_numpy(),
            "(Do Not Modify) Modified On": text(modified, EXCEL_TIME),
            "Name": leads["name"],
            "Topic": "Interested in " + leads["product"].fillna("our products"),
            "Job Title": leads["title"],
            "Company Name": leads["company_name"],
            "Email": leads["email"],
            "Business Phone": leads["phone"],
            "Lead Source": leads["source"].map(_SOURCES),
            "Status": np.select([converted, lost], ["Qualified", "Disqualified"], "Open"),
            "Status Reason": np.select(
                [converted, lost & (leads["number"] % 2 == 0), lost],
                ["Qualified", "Cannot Contact", "No Longer Interested"],
                "Contacted",
            ),
            "Rating": np.select([leads["number"] % 3 == 0, leads["number"] % 3 == 1], ["Hot", "Warm"], "Cold"),
            "Industry": account["industry"].to_numpy(),
            "No. of Employees": account["employees"].astype(object).to_numpy(),
            "Country/Region": account["country"].to_numpy(),
            "Owner": "Owner " + leads["owner_id"].str[1:],
            "Created On": text(leads["created_at"], EXCEL_TIME),
            "Landing Page": leads["landing_page"],
            "Purchase Timeframe": leads["timeframe"],
        }
    )


def _opportunities(content: CrmContent, rng: np.random.Generator) -> pd.DataFrame:
    deals = content.deals
    outcome = deals["outcome"]
    reason = pd.Series(np.where(rng.random(len(deals)) < 0.5, "Canceled", "Out-Sold"))
    actual = deals["amount"].where(outcome == "won", 0.0).where(outcome != "open")
    return pd.DataFrame(
        {
            "opportunityid": _guid("opportunity", deals["number"]),
            "name": "Opportunity " + deals["number"].astype(str),
            "originatingleadid": _guid("lead", deals["lead_number"]),
            "parentaccountid": _guid("account", deals["account_id"]),
            "createdon": text(deals["opened_at"], UTC_TIME, utc=True),
            "modifiedon": text(deals["closed_at"].fillna(deals["opened_at"]), UTC_TIME, utc=True),
            "ownerid": _guid("owner", deals["owner_id"]),
            "estimatedvalue": money(deals["amount"]),
            "actualvalue": money(actual),
            "transactioncurrencyidname": "Euro",
            "estimatedclosedate": text(deals["planned_at"], DAY),
            "actualclosedate": text(deals["closed_at"].where(outcome != "open"), DAY),
            "statecode": outcome.map({"open": 0, "won": 1, "lost": 2}),
            "statecodename": outcome.map({"open": "Open", "won": "Won", "lost": "Lost"}),
            "statuscodename": reason.where(outcome == "lost", outcome.map({"open": "In Progress", "won": "Won"})),
            "closeprobability": outcome.map({"open": 40, "won": 100, "lost": 0}),
            "salesstage": deals["stage"]
            .map({"qualification": 0, "proposal": 2, "negotiation": 2})
            .fillna(3)
            .astype(int),
            "IsDelete": deals["is_deleted"].map({True: "True", False: "False"}),
        }
    )


def _accounts(content: CrmContent) -> pd.DataFrame:
    accounts = content.accounts
    return pd.DataFrame(
        {
            "accountid": _guid("account", accounts["account_id"]),
            "name": "Account " + accounts["number"].astype(str),
            "industrycodename": accounts["industry"],
            "numberofemployees": accounts["employees"],
            "revenue": accounts["annual_revenue"],
            "address1_country": accounts["country"],
            "createdon": "2023-01-02T08:00:00Z",
        }
    )


def _activities(content: CrmContent) -> pd.DataFrame:
    events = content.events
    deal_of = content.leads.set_index("number")["deal_number"]
    opened = content.leads.set_index("number")["converted_at"]
    lead = events["lead_number"]
    # What happens after a lead is qualified regards its opportunity.
    later = events["occurred_at"] > lead.map(opened).fillna(pd.Timestamp("2200-01-01"))
    regarding = _guid("lead", lead).where(~later, _guid("opportunity", lead.map(deal_of)))
    return pd.DataFrame(
        {
            "activityid": _guid("activity", events["number"]),
            "activitytypecode": events["kind"].map(_ACTIVITIES).fillna("task"),
            "subject": events["kind"].str.replace("_", " "),
            "regardingobjectid": regarding,
            "regardingobjecttypecode": np.where(later, "opportunity", "lead"),
            "createdon": text(events["occurred_at"], UTC_TIME, utc=True),
            "actualend": text(events["occurred_at"], UTC_TIME, utc=True),
            "statecode": 1,
        }
    )
