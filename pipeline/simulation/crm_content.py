"""What a simulated company's CRM holds before a vendor's export writes it down, and the figures that are true of it.

The clean records (`pipeline.simulation.crm_records`) become the content of every export: one deal a converted lead,
and what real exports hold beside it.

- **Deleted rows**: copies of won deals, ten times as dear, and of leads, which somebody threw away.
- **Deals without a lead**: won deals that salespeople entered themselves, of companies that sent no lead.
- **Planned dates**: a lost deal often keeps the day on which it was planned to be won, ahead of the day it was lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation import seasonality
from pipeline.simulation.crm_records import Records

DELETED_SHARE, WITHOUT_LEAD_SHARE, KEPT_PLAN_SHARE = 0.04, 0.05, 0.4
CUTOFF, CUTOFF_HORIZON_DAYS = "2026-02-13", 90
"""A date of the past at which a forecast may be made again, and how far it reaches."""
FIRST_EXTRA = 5_000_000
"""Number of the first row that the clean records do not have."""
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class CrmContent:
    """The CRM's content, instants in UTC without a zone.

    Parameters
    ----------
    leads : DataFrame
        As `Records` has them, and ``number``, ``outcome`` (won, lost, open), ``ended_at``, ``deal_number`` (of the
        deal that it was converted into; null without one), ``converted_at``, ``is_deleted``.
    deals : DataFrame
        As `Records` has them, and ``number``, ``lead_number`` (null without a lead), ``planned_at``, ``close_at`` (the
        instant whose local day stands as the closing date: the planned one of open deals and of some lost ones),
        ``is_deleted``.
    accounts, events : DataFrame
        As `Records` has them, and ``number``; of events ``lead_number``.
    """

    leads: pd.DataFrame
    deals: pd.DataFrame
    accounts: pd.DataFrame
    events: pd.DataFrame

    def lead_accounts(self) -> pd.DataFrame:
        """Give what is known of each lead's company, a row a lead."""
        return self.leads[["account_id"]].merge(self.accounts, on="account_id", how="left")

    def lead_changed_at(self) -> pd.Series:
        """When somebody last changed each lead: at its conversion, else its end, else its creation."""
        leads = self.leads
        ended = leads["converted_at"].where(leads["deal_number"].notna(), leads["ended_at"])
        return ended.fillna(leads["created_at"])


def crm_content(rng: np.random.Generator, records: Records) -> CrmContent:
    """Add to a company's records what its CRM holds besides."""
    deals = _deals(rng, records.deals)
    leads = _leads(rng, records.leads, deals)
    accounts = _accounts(records.accounts, deals)
    events = records.events.assign(
        number=_number(records.events["event_id"]), lead_number=_number(records.events["lead_id"])
    )
    return CrmContent(leads, deals, accounts, events)


def _number(ids: pd.Series) -> pd.Series:
    return ids.str[1:].astype(np.int64)


def _deals(rng: np.random.Generator, clean: pd.DataFrame) -> pd.DataFrame:
    deals = clean.assign(number=_number(clean["deal_id"]), is_deleted=False)
    deals["lead_number"] = deals["number"].astype("Int64")
    deals["planned_at"] = deals["expected_close_at"].fillna(deals["closed_at"])
    won = deals[deals["outcome"] == "won"]
    deleted = won.sample(max(1, round(DELETED_SHARE * len(won))), random_state=rng)
    deleted = deleted.assign(is_deleted=True, amount=deleted["amount"] * 10)
    alone = won.sample(max(1, round(WITHOUT_LEAD_SHARE * len(won))), random_state=rng)
    alone = alone.assign(amount=(alone["amount"] * 0.7).round(2))
    alone["account_id"] = [f"A{9_000_000 + place:07d}" for place in range(len(alone))]
    extra = pd.concat([deleted, alone], ignore_index=True)
    extra["number"] = FIRST_EXTRA + np.arange(len(extra))
    extra.loc[len(deleted) :, ["lead_number", "lead_id"]] = pd.NA
    deals = pd.concat([deals, extra], ignore_index=True)
    ahead = deals["planned_at"] > deals["closed_at"] + _DAY
    keeps_plan = (deals["outcome"] == "lost") & ahead & (rng.random(len(deals)) < KEPT_PLAN_SHARE)
    deals["close_at"] = deals["closed_at"].where((deals["outcome"] != "open") & ~keeps_plan, deals["planned_at"])
    return deals


def _leads(rng: np.random.Generator, clean: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    own = deals[deals["lead_number"].notna() & ~deals["is_deleted"]].set_index("lead_number")
    leads = clean.assign(number=_number(clean["lead_id"]), is_deleted=False)
    at = leads["number"]
    leads["deal_number"] = at.map(own["number"]).astype("Int64")
    leads["converted_at"] = at.map(own["opened_at"])
    outcome = at.map(own["outcome"])
    leads["outcome"] = outcome.fillna(leads["status"].where(leads["status"] == "lost", "open"))
    leads["ended_at"] = leads["closed_at"]
    deleted = leads.sample(max(1, round(DELETED_SHARE / 4 * len(leads))), random_state=rng).assign(is_deleted=True)
    deleted["number"] = FIRST_EXTRA + np.arange(len(deleted))
    return pd.concat([leads, deleted], ignore_index=True)


def _accounts(clean: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    new = deals.loc[deals["lead_number"].isna(), ["account_id"]]
    accounts = clean.set_index("account_id").reindex([*clean["account_id"], *new["account_id"]]).reset_index()
    accounts["employees"] = accounts["employees"].astype("Int64")
    return accounts.assign(number=_number(accounts["account_id"]))


def without_deleted(content: CrmContent) -> CrmContent:
    """Give the content of a CRM whose export leaves deleted rows out."""
    leads, deals = content.leads, content.deals
    return CrmContent(
        leads[~leads["is_deleted"]].reset_index(drop=True),
        deals[~deals["is_deleted"]].reset_index(drop=True),
        content.accounts,
        content.events,
    )


def as_opportunities(content: CrmContent) -> CrmContent:
    """Give the content of a company without leads: each is a row among the deals from its start.

    Returns
    -------
    CrmContent
        ``deals`` with a row for every lead and for every deal without one, ``outcome`` and ``closed_at`` those of the
        row; ``leads`` the same rows.
    """
    leads, deals = content.leads[~content.leads["is_deleted"]], content.deals
    own = deals[deals["lead_number"].notna() & ~deals["is_deleted"]].set_index("number")
    rows = leads.drop(columns=["closed_at", "deal_number"])
    for name in ("amount", "opened_at", "planned_at", "stage"):
        rows[name] = rows["number"].map(own[name])
    rows["closed_at"] = rows["ended_at"].where(rows["outcome"] != "open")
    rows["lead_number"] = rows["number"].astype("Int64")
    extra = deals[~deals["number"].isin(own.index)]
    extra = extra.assign(created_at=extra["opened_at"], ended_at=extra["closed_at"])
    extra["lead_number"] = extra["number"].astype("Int64")
    shared = [name for name in extra.columns if name in rows.columns]
    rows = pd.concat([rows, extra[shared]], ignore_index=True)
    return CrmContent(rows, rows, content.accounts, content.events)


def local_months(moments: pd.Series) -> pd.Series:
    """Month of each instant in the company's time zone, as ``2026-05``."""
    return local(moments).dt.strftime("%Y-%m")


def local(moments: pd.Series) -> pd.Series:
    """Local time of instants in UTC; whole seconds, without a zone."""
    utc = pd.to_datetime(moments).dt.floor("s").dt.tz_localize("UTC")
    return utc.dt.tz_convert(seasonality.TIME_ZONE).dt.tz_localize(None)


def text(moments: pd.Series, pattern: str, *, utc: bool = False) -> pd.Series:
    """Instants as an export writes them, local unless `utc`; null where there is none."""
    moments = pd.to_datetime(moments).dt.floor("s") if utc else local(moments)
    return moments.dt.strftime(pattern).astype(object).where(moments.notna(), None)


def epoch_ms(moments: pd.Series) -> pd.Series:
    """Instants as milliseconds since 1970; null where there is none."""
    moments = pd.to_datetime(moments).dt.floor("s")
    since = moments.astype("datetime64[ms]").astype("int64").astype("Int64")
    return since.where(moments.notna())


def money(amounts: pd.Series) -> pd.Series:
    """Amounts with two decimals; null where there is none."""
    return amounts.map("{:.2f}".format).astype(object).where(amounts.notna(), None)


def _forecast_again(leads: pd.DataFrame, won: pd.DataFrame) -> dict[str, Any]:
    """Give what a backtest at `CUTOFF` must find: leads open then, and what they brought within the horizon."""
    start = pd.Timestamp(CUTOFF).tz_localize(seasonality.TIME_ZONE).tz_convert("UTC").tz_localize(None)
    is_open = (leads["created_at"] < start) & ~(leads["ended_at"] < start)
    in_time = leads["ended_at"] < start + pd.Timedelta(days=CUTOFF_HORIZON_DAYS)
    bought = leads[is_open & in_time & (leads["outcome"] == "won")]
    amounts = won[won["lead_number"].isin(bought["number"])]["amount"]
    return {
        "as_of": CUTOFF,
        "horizon_days": CUTOFF_HORIZON_DAYS,
        "open": int(is_open.sum()),
        "won": len(bought),
        "revenue": f"{amounts.sum():.2f}",
    }


def true_figures(content: CrmContent, crm: str, *, opportunities_are_leads: bool, events: int) -> dict[str, Any]:
    """Give the counts, sums and dates that reading the export must come to.

    Parameters
    ----------
    content : CrmContent
        As the export tells it.
    crm : str
    opportunities_are_leads : bool
        The export has no leads of their own: every lead is a row among the deals.
    events : int
        Rows of events; each leads to a lead.
    """
    leads = content.leads[~content.leads["is_deleted"]]
    deals = content.deals[~content.deals["is_deleted"]]
    won = deals[deals["outcome"] == "won"]
    alone = won[won["lead_number"].isna()]
    months = won.assign(month=local_months(won["closed_at"])).groupby("month")["amount"]
    counts = leads["outcome"].value_counts()
    return {
        "crm": crm,
        "currency": "EUR",
        "time_zone": seasonality.TIME_ZONE,
        "leads": {word: int(counts.get(word, 0)) for word in ("won", "lost", "open")},
        "deals": {word: int((deals["outcome"] == word).sum()) for word in ("won", "lost", "open")},
        "won_amount": f"{won['amount'].sum():.2f}",
        "won_without_a_lead": {
            "deals": 0 if opportunities_are_leads else len(alone),
            "amount": "0.00" if opportunities_are_leads else f"{alone['amount'].sum():.2f}",
        },
        "won_by_month": {
            str(month): {"deals": int(count), "amount": f"{amount:.2f}"}
            for month, count, amount in zip(months.groups, months.size(), months.sum(), strict=True)
        },
        "deleted": {
            "leads": int(content.leads["is_deleted"].sum()),
            "deals": int(content.deals["is_deleted"].sum()),
        },
        "forecast_again": _forecast_again(leads, won),
        "first_lead_created_on": str(local(leads["created_at"]).min().date()),
        "last_lead_created_on": str(local(leads["created_at"]).max().date()),
        "last_won_on": str(local(won["closed_at"]).max().date()),
        "events": events,
    }
