"""The company as the tables of an Odoo database, copied as PostgreSQL writes them.

What makes it hard to read: leads and opportunities are rows of one table; a lost one is archived (``active`` is f),
and nothing else says so; a won one stands in a stage whose own row says that it is won; both are numbers. Times are
UTC without saying so; ``date_deadline`` is a plan; probabilities and days follow from how it ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation.crm_content import CrmContent, as_opportunities, money, text, true_figures, without_deleted

TIME, DAY = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
STAGES = {"new": 1, "qualification": 2, "proposal": 3, "negotiation": 3, "closed won": 4}
_MESSAGES = {"mail_sent": "email_outgoing", "mail_reply": "email", "call": "comment", "call_in": "comment"}


def odoo(content: CrmContent, rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Write ``crm_lead``, ``crm_stage``, ``mail_message``, ``res_partner`` and ``res_users``.

    Returns
    -------
    files : dict of str to DataFrame
        By file name.
    truth : dict
        See `pipeline.simulation.crm_content.true_figures`.
    """
    content = as_opportunities(without_deleted(content))
    files = {
        "crm_lead.csv": _leads(content, rng),
        "crm_stage.csv": _stages(),
        "utm_source.csv": _sources(content),
        "mail_message.csv": _messages(content),
        "res_partner.csv": _partners(content),
    }
    return files, true_figures(content, "odoo", opportunities_are_leads=True, events=len(content.events))


def _leads(content: CrmContent, rng: np.random.Generator) -> pd.DataFrame:
    rows = content.deals
    outcome = rows["outcome"]
    won, lost = outcome == "won", outcome == "lost"
    # A lost one stays in the stage that it had reached.
    reached = rows["stage"].map(STAGES).fillna(2).where(rows["opened_at"].notna(), 1)
    stage = reached.where(~won, 4).astype(int)
    chance = np.select([won, lost], [100.0, 0.0], np.round(5 + 60 * rng.random(len(rows)), 2))
    amount = rows["amount"]
    sources = sorted(content.leads["source"].dropna().unique())
    changed = rows["closed_at"].fillna(rows["created_at"])
    return pd.DataFrame(
        {
            "id": rows["number"] + 1,
            "name": "Opportunity " + rows["number"].astype(str),
            "type": np.where(rows["opened_at"].notna() | won, "opportunity", "lead"),
            "active": np.where(lost, "f", "t"),
            "stage_id": stage,
            "partner_id": rows["account_id"].str[1:].astype("Int64") + 1,
            "partner_name": rows["company_name"],
            "contact_name": rows["name"],
            "email_from": rows["email"],
            "phone": rows["phone"],
            "function": rows["title"],
            "user_id": rows["owner_id"].str[1:].astype("Int64") + 1,
            "team_id": 1,
            "source_id": rows["source"].map({name: place + 1 for place, name in enumerate(sources)}).astype("Int64"),
            "priority": (rows["number"] % 4).astype(str),
            "probability": chance,
            "automated_probability": chance,
            "expected_revenue": money(amount),
            "prorated_revenue": money(amount * chance / 100),
            "date_open": text(rows["created_at"], TIME, utc=True),
            "date_closed": text(rows["closed_at"], TIME, utc=True),
            "date_conversion": text(rows["opened_at"], TIME, utc=True),
            "date_deadline": text(rows["planned_at"], DAY),
            "date_last_stage_update": text(changed, TIME, utc=True),
            "lost_reason_id": pd.Series(1 + rows["number"] % 3).where(lost).astype("Int64"),
            "day_close": (changed - rows["created_at"]).dt.days.where(outcome != "open").astype("Int64"),
            "create_date": text(rows["created_at"], TIME, utc=True),
            "write_date": text(changed, TIME, utc=True),
            "x_landing_page": rows["landing_page"],
            "x_timeframe": rows["timeframe"],
        }
    )


def _stages() -> pd.DataFrame:
    names = ["New", "Qualified", "Proposition", "Won"]
    return pd.DataFrame(
        {
            "id": range(1, 5),
            "sequence": [0, 1, 2, 70],
            "name": [f'{{"en_US": "{name}"}}' for name in names],
            "is_won": ["f", "f", "f", "t"],
            "fold": "f",
        }
    )


def _sources(content: CrmContent) -> pd.DataFrame:
    names = sorted(content.leads["source"].dropna().unique())
    return pd.DataFrame({"id": range(1, len(names) + 1), "name": names})


def _messages(content: CrmContent) -> pd.DataFrame:
    events = content.events
    at = text(events["occurred_at"], TIME, utc=True)
    return pd.DataFrame(
        {
            "id": events["number"] + 1,
            "date": at,
            "message_type": events["kind"].map(_MESSAGES).fillna("notification"),
            "subject": events["kind"].str.replace("_", " "),
            "model": "crm.lead",
            "res_id": events["lead_number"] + 1,
            "create_date": at,
        }
    )


def _partners(content: CrmContent) -> pd.DataFrame:
    accounts = content.accounts
    return pd.DataFrame(
        {
            "id": accounts["number"] + 1,
            "name": "Company " + accounts["number"].astype(str),
            "is_company": "t",
            "parent_id": None,
            "country_code": accounts["country"],
            "tz": "Europe/Berlin",
            "active": "t",
            "create_date": "2023-01-02 08:00:00",
        }
    )
