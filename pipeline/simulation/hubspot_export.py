"""The company as HubSpot exports it: lists from the screen with labels, histories and engagements from its interface.

What makes it hard to read: records are named by ``Record ID`` in every file; a deal names its contacts in one cell,
with semicolons, and some of them were not exported; the close date is a plan until the deal is closed; the lists write
local times without saying so, the interface milliseconds since 1970; a contact's losing has no date but in the history
of its lead status; and several columns count on after the deal or follow from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation.crm_content import CrmContent, epoch_ms, local, money, text, true_figures, without_deleted

TIME = "%Y-%m-%d %H:%M"
STAGES = {
    "qualification": "Appointment Scheduled", "proposal": "Presentation Scheduled", "negotiation": "Contract Sent",
    "closed won": "Closed Won", "closed lost": "Closed Lost",
}  # fmt: skip
INTERNAL_STAGES = {
    "Appointment Scheduled": "appointmentscheduled", "Presentation Scheduled": "presentationscheduled",
    "Contract Sent": "contractsent", "Closed Won": "closedwon", "Closed Lost": "closedlost",
}  # fmt: skip
_SOURCES = {
    "website": "Organic Search", "search_ads": "Paid Search", "referral": "Referrals", "partner": "Other Campaigns",
    "webinar": "Email Marketing", "trade_fair": "Offline Sources", "call_centre": "Direct Traffic",
    "social_media": "Organic Social", "bought_list": "Offline Sources", "prize_draw": "Offline Sources",
}  # fmt: skip
_ENGAGEMENTS = {
    "call": "CALL", "call_attempt": "CALL", "call_in": "CALL", "mail_sent": "EMAIL", "mail_reply": "INCOMING_EMAIL",
    "meeting": "MEETING", "proposal_sent": "EMAIL", "form": "FORM_SUBMISSION", "demo_request": "FORM_SUBMISSION",
}  # fmt: skip


def _contact_id(numbers: pd.Series) -> pd.Series:
    return (numbers.astype("Int64") * 3 + 100_151).astype("string").astype(object).where(numbers.notna(), None)


def _deal_id(numbers: pd.Series) -> pd.Series:
    return (numbers.astype("Int64") + 7_000_000_000).astype("string").astype(object).where(numbers.notna(), None)


def _company_id(account_ids: pd.Series) -> pd.Series:
    return (account_ids.str[1:].astype("Int64") + 4_000_000_000).astype("string").astype(object)


def hubspot(content: CrmContent, rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Write lists of contacts, companies and deals, histories of properties, and engagements.

    Returns
    -------
    files : dict of str to DataFrame
        By file name.
    truth : dict
        See `pipeline.simulation.crm_content.true_figures`.
    """
    content = without_deleted(content)
    files = {
        "contacts.csv": _contacts(content),
        "companies.csv": _companies(content),
        "deals.csv": _deals(content, rng),
        "contact_property_history.jsonl": _contact_history(content),
        "deal_property_history.jsonl": _deal_history(content),
        "engagements.jsonl": _engagements(content),
    }
    return files, true_figures(content, "hubspot", opportunities_are_leads=False, events=len(content.events))


def _contacts(content: CrmContent) -> pd.DataFrame:
    leads = content.leads
    account = content.lead_accounts()
    converted, won = leads["deal_number"].notna(), leads["outcome"] == "won"
    lost = (leads["status"] == "lost") & ~converted
    own = content.deals[content.deals["lead_number"].notna()].set_index("lead_number")
    names = leads["name"].str.split(" ", n=1)
    touched = leads["ended_at"].fillna(leads["created_at"])
    lifecycle = np.select([won, converted], ["Customer", "Opportunity"], "Lead")
    return pd.DataFrame(
        {
            "Record ID": _contact_id(leads["number"]),
            "First Name": names.str[0],
            "Last Name": names.str[1],
            "Email": leads["email"],
            "Phone Number": leads["phone"],
            "Job Title": leads["title"],
            "Company Name": leads["company_name"],
            "Contact owner": "Owner " + leads["owner_id"].str[1:],
            "Lifecycle Stage": lifecycle,
            "Lead Status": np.select([lost, converted], ["Unqualified", "Open Deal"], "In Progress"),
            "Original Source": leads["source"].map(_SOURCES),
            "Create Date": text(leads["created_at"], TIME),
            "Last Modified Date": text(touched, TIME),
            "Last Activity Date": text(touched, TIME),
            "Associated Company IDs": _company_id(leads["account_id"]),
            "Associated Deal IDs": _deal_id(leads["deal_number"]),
            "Number of Associated Deals": converted.astype(int),
            "First Deal Created Date": text(leads["converted_at"], TIME),
            "Recent Deal Amount": money(leads["number"].map(own["amount"]).where(won)),
            "Close Date": text(leads["ended_at"].where(won), TIME),
            "Became a Customer Date": text(leads["ended_at"].where(won), TIME),
            "Country/Region": account["country"].to_numpy(),
            "Landing Page": leads["landing_page"],
            "Time Frame": leads["timeframe"],
        }
    )


def _companies(content: CrmContent) -> pd.DataFrame:
    accounts = content.accounts
    return pd.DataFrame(
        {
            "Record ID": _company_id(accounts["account_id"]),
            "Company name": "Company " + accounts["number"].astype(str),
            "Industry": accounts["industry"],
            "Number of Employees": accounts["employees"],
            "Annual Revenue": accounts["annual_revenue"],
            "Country/Region": accounts["country"],
            "Year Founded": accounts["founded_year"],
            "Create Date": "2023-01-02 09:00",
        }
    )


def _deals(content: CrmContent, rng: np.random.Generator) -> pd.DataFrame:
    deals = content.deals
    closed, won = deals["outcome"] != "open", deals["outcome"] == "won"
    stage = deals["stage"].map(STAGES)
    chance = stage.map({"Appointment Scheduled": 0.2, "Presentation Scheduled": 0.6, "Contract Sent": 0.9})
    chance = chance.fillna(won.astype(float))
    contacts = _contact_id(deals["lead_number"])
    # Somebody else of the company took part, who is not on the list that was exported.
    other = _contact_id(deals["number"] + 30_000_000)
    several = contacts.notna() & (rng.random(len(deals)) < 0.15)
    days = (local(deals["closed_at"]) - local(deals["opened_at"])).dt.days.where(won)
    return pd.DataFrame(
        {
            "Record ID": _deal_id(deals["number"]),
            "Deal Name": "Deal " + deals["number"].astype(str),
            "Deal Stage": stage,
            "Pipeline": "Sales Pipeline",
            "Amount": money(deals["amount"]),
            "Currency": deals["currency"],
            "Close Date": text(deals["closed_at"].fillna(deals["planned_at"]), TIME),
            "Create Date": text(deals["opened_at"], TIME),
            "Deal owner": "Owner " + deals["owner_id"].str[1:],
            "Deal Type": deals["kind"].map({"new_business": "New Business", "expansion": "Existing Business"}),
            "Associated Contact IDs": contacts.where(~several, contacts + ";" + other),
            "Associated Company IDs": _company_id(deals["account_id"]),
            "Is Deal Closed?": closed.map({True: "true", False: "false"}),
            "Is Closed Won": won.map({True: "true", False: "false"}),
            "Deal probability": chance,
            "Forecast amount": money(deals["amount"] * chance),
            "Weighted amount": money(deals["amount"] * chance),
            "Closed Lost Reason": pd.Series(np.where(deals["number"] % 2, "Budget", "Timing")).where(
                deals["outcome"] == "lost", None
            ),
            "Days to close": days,
            "Last Modified Date": text(deals["closed_at"].fillna(deals["opened_at"]), TIME),
        }
    )


def _contact_history(content: CrmContent) -> pd.DataFrame:
    leads = content.leads
    converted = leads["deal_number"].notna()
    lost = (leads["status"] == "lost") & ~converted
    created = pd.DataFrame({"number": leads["number"], "value": "In Progress", "at": leads["created_at"]})
    turned = pd.DataFrame({"number": leads["number"], "value": "Open Deal", "at": leads["converted_at"]})[converted]
    ended = pd.DataFrame({"number": leads["number"], "value": "Unqualified", "at": leads["ended_at"]})[lost]
    rows = pd.concat([created, turned, ended], ignore_index=True)
    return pd.DataFrame(
        {
            "contact_id": _contact_id(rows["number"]),
            "name": "hs_lead_status",
            "value": rows["value"].str.upper().str.replace(" ", "_"),
            "timestamp": epoch_ms(rows["at"]),
            "source": "CRM_UI",
        }
    )


def _deal_history(content: CrmContent) -> pd.DataFrame:
    deals = content.deals
    stage = deals["stage"].map(STAGES).map(INTERNAL_STAGES)
    first = pd.DataFrame({"number": deals["number"], "value": "appointmentscheduled", "at": deals["opened_at"]})
    at = deals["closed_at"].fillna(deals["opened_at"] + pd.Timedelta(days=20))
    last = pd.DataFrame({"number": deals["number"], "value": stage, "at": at})
    known = (deals["outcome"] != "open") | ((stage != "appointmentscheduled") & (at < deals["opened_at"].max()))
    stages = pd.concat([first, last[known]], ignore_index=True).assign(name="dealstage")
    planned = epoch_ms(deals["planned_at"]).astype("string")
    plans = pd.DataFrame({"number": deals["number"], "value": planned, "at": deals["opened_at"], "name": "closedate"})
    rows = pd.concat([stages, plans], ignore_index=True)
    return pd.DataFrame(
        {
            "deal_id": _deal_id(rows["number"]),
            "name": rows["name"],
            "value": rows["value"].astype(object),
            "timestamp": epoch_ms(rows["at"]),
            "source": "CRM_UI",
        }
    )


def _engagements(content: CrmContent) -> pd.DataFrame:
    events = content.events
    return pd.DataFrame(
        {
            "id": (events["number"] + 20_000_000_000).astype(str),
            "type": events["kind"].map(_ENGAGEMENTS).fillna(events["kind"].str.upper()),
            "timestamp": epoch_ms(events["occurred_at"]),
            "createdAt": epoch_ms(events["occurred_at"]),
            "contactIds": _contact_id(events["lead_number"]),
        }
    )
