"""The company as Zoho CRM exports its modules: ids that begin with ``zcrm_``, labels, local times.

What makes it hard to read: a deal has no lead, a lead names the deal that it was converted into; the closing date is
a plan until the deal is closed and often stays one when it is lost; a lost lead has no date but that of its last
change; an activity is related to a lead or, once it is converted, to its deal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation.crm_content import CrmContent, local, money, text, true_figures, without_deleted

TIME, DAY = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
STAGES = {
    "qualification": "Qualification", "proposal": "Proposal/Price Quote", "negotiation": "Negotiation/Review",
    "closed won": "Closed Won",
}  # fmt: skip
_SOURCES = {
    "website": "Web Download", "search_ads": "Advertisement", "referral": "External Referral", "partner": "Partner",
    "webinar": "Seminar Partner", "trade_fair": "Trade Show", "call_centre": "Cold Call", "social_media": "X (Twitter)",
    "bought_list": "Web Research", "prize_draw": "Trade Show",
}  # fmt: skip
_CALLS = {"call": "Outbound", "call_attempt": "Missed", "call_in": "Inbound"}
_THINGS = {"lead": 1, "deal": 2, "account": 3, "contact": 4, "user": 5, "activity": 6}


def _id(thing: str, numbers: pd.Series) -> pd.Series:
    start = 512_000_000_000_000_000 + _THINGS[thing] * 1_000_000_000_000
    ids = "zcrm_" + (numbers.astype("Int64") + start).astype("string")
    return ids.astype(object).where(numbers.notna(), None)


def _account(ids: pd.Series) -> pd.Series:
    return _id("account", ids.str[1:].astype("Int64"))


def _user(ids: pd.Series) -> pd.Series:
    return _id("user", ids.str[1:].astype("Int64"))


def zoho(content: CrmContent, rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Write the modules Leads, Deals, Accounts, Calls, Meetings and Tasks.

    Returns
    -------
    files : dict of str to DataFrame
        By file name.
    truth : dict
        See `pipeline.simulation.crm_content.true_figures`.
    """
    content = without_deleted(content)
    activities = _activities(content)
    files = {
        "Leads.csv": _leads(content),
        "Deals.csv": _deals(content, rng),
        "Accounts.csv": _accounts(content),
        **activities,
    }
    return files, true_figures(content, "zoho", opportunities_are_leads=False, events=len(content.events))


def _leads(content: CrmContent) -> pd.DataFrame:
    leads = content.leads
    account = content.lead_accounts()
    converted = leads["deal_number"].notna()
    lost = (leads["status"] == "lost") & ~converted
    modified = content.lead_changed_at()
    names = leads["name"].str.split(" ", n=1)
    return pd.DataFrame(
        {
            "Record Id": _id("lead", leads["number"]),
            "Lead Owner.id": _user(leads["owner_id"]),
            "Lead Owner": "Owner " + leads["owner_id"].str[1:],
            "Company": leads["company_name"],
            "First Name": names.str[0],
            "Last Name": names.str[1],
            "Title": leads["title"],
            "Email": leads["email"],
            "Phone": leads["phone"],
            "Lead Source": leads["source"].map(_SOURCES),
            "Lead Status": np.select(
                [converted, lost & (leads["number"] % 2 == 0), lost, leads["number"] % 3 == 0],
                ["Pre-Qualified", "Lost Lead", "Junk Lead", "Attempted to Contact"],
                "Contacted",
            ),
            "Industry": account["industry"].to_numpy(),
            "No. of Employees": account["employees"].astype(object).to_numpy(),
            "Annual Revenue": account["annual_revenue"].to_numpy(),
            "Country": account["country"].to_numpy(),
            "Created Time": text(leads["created_at"], TIME),
            "Modified Time": text(modified, TIME),
            "Last Activity Time": text(modified, TIME),
            "Is Converted": converted.map({True: "true", False: "false"}),
            "Converted Date Time": text(leads["converted_at"], TIME),
            "Converted Account.id": _account(leads["account_id"]).where(converted, None),
            "Converted Contact.id": _id("contact", leads["contact_id"].str[1:].astype("Int64")).where(converted, None),
            "Converted Deal.id": _id("deal", leads["deal_number"]),
            "Landing Page": leads["landing_page"],
            "Time Frame": leads["timeframe"],
        }
    )


def _deals(content: CrmContent, rng: np.random.Generator) -> pd.DataFrame:
    deals = content.deals
    lost = pd.Series(np.where(rng.random(len(deals)) < 0.3, "Closed-Lost to Competition", "Closed Lost"))
    stage = lost.where(deals["outcome"] == "lost", deals["stage"].map(STAGES))
    chance = stage.map({"Qualification": 10, "Proposal/Price Quote": 75, "Negotiation/Review": 90, "Closed Won": 100})
    chance = chance.fillna(0).astype(int)
    closed = deals["outcome"] != "open"
    days = (local(deals["closed_at"]) - local(deals["opened_at"])).dt.days.where(closed).astype("Int64")
    return pd.DataFrame(
        {
            "Record Id": _id("deal", deals["number"]),
            "Deal Owner.id": _user(deals["owner_id"]),
            "Deal Owner": "Owner " + deals["owner_id"].str[1:],
            "Deal Name": "Deal " + deals["number"].astype(str),
            "Account Name.id": _account(deals["account_id"]),
            "Account Name": "Account " + deals["account_id"].str[1:],
            "Type": deals["kind"].map({"new_business": "New Business", "expansion": "Existing Business"}),
            "Amount": money(deals["amount"]),
            "Currency": deals["currency"],
            "Exchange Rate": 1,
            "Stage": stage,
            "Probability (%)": chance,
            "Expected Revenue": money(deals["amount"] * chance / 100),
            "Closing Date": text(deals["close_at"], DAY),
            "Created Time": text(deals["opened_at"], TIME),
            "Modified Time": text(deals["closed_at"].fillna(deals["opened_at"]), TIME),
            "Last Activity Time": text(deals["closed_at"].fillna(deals["opened_at"]), TIME),
            "Sales Cycle Duration": days,
            "Reason For Loss": pd.Series(np.where(deals["number"] % 2, "Price", "Features")).where(
                deals["outcome"] == "lost", None
            ),
        }
    )


def _accounts(content: CrmContent) -> pd.DataFrame:
    accounts = content.accounts
    return pd.DataFrame(
        {
            "Record Id": _account(accounts["account_id"]),
            "Account Name": "Account " + accounts["number"].astype(str),
            "Industry": accounts["industry"],
            "Employees": accounts["employees"],
            "Annual Revenue": accounts["annual_revenue"],
            "Billing Country": accounts["country"],
            "Created Time": "2023-01-02 09:00:00",
        }
    )


def _activities(content: CrmContent) -> dict[str, pd.DataFrame]:
    events = content.events
    leads = content.leads.set_index("number")
    lead = leads.loc[events["lead_number"]].reset_index()
    converted = lead["deal_number"].notna()
    kind = events["kind"].reset_index(drop=True)
    at = text(events["occurred_at"], TIME).to_numpy()
    contact = _id("contact", lead["contact_id"].str[1:].astype("Int64"))
    rows = pd.DataFrame(
        {
            "Record Id": _id("activity", events["number"]).to_numpy(),
            "Subject": kind.str.replace("_", " "),
            "Related To.id": _id("lead", lead["number"]).where(~converted, _id("deal", lead["deal_number"])),
            "Contact Name.id": contact.where(converted, None),
            "Created Time": at,
        }
    )
    is_call, is_meeting = kind.isin(_CALLS), kind == "meeting"
    calls, meetings, tasks = rows.copy(), rows.copy(), rows.copy()
    calls["Call Type"], calls["Call Start Time"] = kind.map(_CALLS), at
    meetings["Start DateTime"] = at
    tasks["Due Date"], tasks["Status"] = text(events["occurred_at"], DAY).to_numpy(), "Completed"
    files = {
        "Calls.csv": calls[is_call],
        "Meetings.csv": meetings[is_meeting],
        "Tasks.csv": tasks[~is_call & ~is_meeting],
    }
    return {name: frame for name, frame in files.items() if len(frame)}
