"""The company as Pipedrive exports its lists: every lead is a deal from its start, headings say whose column it is.

What makes it hard to read: deleted deals stand among the others with a status of their own; won and lost deals have
their dates in two columns; the expected close date is a plan; counts of activities go on after the deal; local times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation.crm_content import CrmContent, as_opportunities, money, text, true_figures

TIME, DAY = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
_STAGES = {"qualification": "Qualified", "proposal": "Proposal Made", "negotiation": "Negotiations Started"}
_ACTIVITIES = {
    "call": "Call", "call_attempt": "Call", "call_in": "Call", "mail_sent": "Email", "mail_reply": "Email",
    "proposal_sent": "Email", "meeting": "Meeting",
}  # fmt: skip


def pipedrive(content: CrmContent, rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Write the lists of deals, organizations and activities.

    Returns
    -------
    files : dict of str to DataFrame
        By file name.
    truth : dict
        See `pipeline.simulation.crm_content.true_figures`.
    """
    content = as_opportunities(content)
    files = {
        "deals.csv": _deals(content, rng),
        "organizations.csv": _organizations(content),
        "activities.csv": _activities(content),
    }
    return files, true_figures(content, "pipedrive", opportunities_are_leads=True, events=len(content.events))


def _deals(content: CrmContent, rng: np.random.Generator) -> pd.DataFrame:
    deals = content.deals
    outcome, deleted = deals["outcome"], deals["is_deleted"]
    status = outcome.map({"won": "Won", "lost": "Lost", "open": "Open"}).where(~deleted, "Deleted")
    done = deals["number"].map(content.events["lead_number"].value_counts()).fillna(0).astype(int)
    modified = deals["closed_at"].fillna(deals["created_at"])
    stage = deals["stage"].map(_STAGES).fillna("Contact Made")
    return pd.DataFrame(
        {
            "Deal - ID": deals["number"] + 1,
            "Deal - Title": deals["company_name"].fillna("A company") + " deal",
            "Deal - Value": money(deals["amount"]),
            "Deal - Currency of Value": "EUR",
            "Deal - Organization": deals["company_name"],
            "Deal - Organization ID": deals["account_id"].str[1:].astype("Int64") + 1,
            "Deal - Contact person": deals["name"],
            "Deal - Person ID": deals["contact_id"].str[1:].astype("Int64"),
            "Deal - Owner": "Owner " + deals["owner_id"].str[1:],
            "Deal - Pipeline": "Sales",
            "Deal - Stage": stage,
            "Deal - Status": status,
            "Deal - Label": deals["landing_page"],
            "Deal - Source channel": deals["source"],
            "Deal - Deal created": text(deals["created_at"], TIME),
            "Deal - Update time": text(modified, TIME),
            "Deal - Won time": text(deals["closed_at"].where(outcome == "won"), TIME),
            "Deal - Lost time": text(deals["closed_at"].where(outcome == "lost"), TIME),
            "Deal - Deal closed on": text(deals["closed_at"], TIME),
            "Deal - Expected close date": text(deals["planned_at"].where(deals["planned_at"].notna()), DAY),
            "Deal - Lost reason": pd.Series(np.where(rng.random(len(deals)) < 0.5, "Price", "No answer")).where(
                outcome == "lost", None
            ),
            "Deal - Done activities": done,
            "Deal - Total activities": done,
            "Deal - Activities to do": 0,
            "Deal - Last stage change": text(modified, TIME),
            "Deal - Time frame": deals["timeframe"],
            "Person - Email": deals["email"],
            "Person - Phone": deals["phone"],
        }
    )


def _organizations(content: CrmContent) -> pd.DataFrame:
    accounts = content.accounts
    return pd.DataFrame(
        {
            "Organization - ID": accounts["number"] + 1,
            "Organization - Name": "Company " + accounts["number"].astype(str),
            "Organization - Country": accounts["country"],
            "Organization - Industry": accounts["industry"],
            "Organization - Number of employees": accounts["employees"],
            "Organization - Annual revenue": accounts["annual_revenue"],
        }
    )


def _activities(content: CrmContent) -> pd.DataFrame:
    events = content.events
    at = text(events["occurred_at"], TIME)
    return pd.DataFrame(
        {
            "Activity - ID": events["number"] + 1,
            "Activity - Subject": events["kind"].str.replace("_", " "),
            "Activity - Type": events["kind"].map(_ACTIVITIES).fillna("Task"),
            "Activity - Deal ID": events["lead_number"] + 1,
            "Activity - Due date": text(events["occurred_at"], DAY),
            "Activity - Add time": at,
            "Activity - Marked as done time": at,
            "Activity - Done": "Done",
        }
    )
