"""What touched whom: the won deals of a company, and the campaigns that reached their leads before they opened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features import point_in_time
from features.lifecycle import lead_deal_versions
from features.spec import FeatureSpec
from features.versions import as_they_were, happened_events
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.sources import PLACE, ROW
from pipeline.ingest.staging import REASON

TIMES = "datetime64[us]"
_DEAL_ID = f"coalesce(deal_id, {PLACE} || ' row ' || {ROW})"
"""A deal without an id is called by its row."""


@dataclass(frozen=True)
class CampaignTouches:
    """Deals won by a date, their touches, and the campaign that each lead came through.

    Parameters
    ----------
    deals : DataFrame
        A row a won deal, with or without a lead: ``deal`` (its place), ``deal_id``, ``lead_id`` (null without one),
        ``cents``, ``opened_at`` (its closing where that is unknown), ``closed_at``.
    touches : DataFrame
        ``deal``, ``campaign``, ``touched_at``, ``opened_at``, in the order of deal, time and campaign.
    first : Series
        The campaign of each lead's first touch, indexed by ``lead_id``; leads without one are not in it.
    created : DataFrame
        ``lead_id, campaign, touched_at``: what each lead was created with.
    inbound : ibis table
        The same, of what leads did themselves about a campaign.
    as_of : datetime
    """

    deals: pd.DataFrame
    touches: pd.DataFrame
    first: pd.Series
    created: pd.DataFrame
    inbound: ir.Table
    as_of: datetime

    def of_open_leads(self, lead_ids: pd.Index) -> pd.DataFrame:
        """Give the touches so far of leads without a won deal, each lead as a deal that may open today."""
        some = self.inbound.semi_join(_memtable(lead_ids), "lead_id").distinct()
        every = pd.concat([self.created[self.created["lead_id"].isin(lead_ids)], _fetched(some)], ignore_index=True)
        every = every.assign(deal=every["lead_id"], opened_at=pd.Timestamp(self.as_of).as_unit("us"))
        every = every.sort_values(["deal", "touched_at", "campaign"], ignore_index=True)
        return every[["deal", "campaign", "touched_at", "opened_at"]]


def campaign_touches(company: LoadedCompany, as_of: datetime) -> CampaignTouches:
    """Find the campaigns that touched leads and deals, by what was known at a date.

    A touch is the campaign a lead was created with, the campaign of its deal, or something it did itself (an inbound
    event with a campaign: a response, a click, an answer) until the deal opened. What was sent to it is none. Of a
    deal with several contacts the touches of each of them count. A lead created on the day its deal opened came first.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC.
    """
    deals = won_deals(company, as_of)
    contacts = _contacts(company, deals, as_of)
    created = _at_creation(company, as_of)
    inbound = inbound_events(company, as_of)
    inbound = inbound.filter(inbound.campaign.notnull()).select("lead_id", "campaign", touched_at="occurred_at")
    by_contacts = inbound.semi_join(_memtable(contacts["lead_id"].unique()), "lead_id").distinct()
    touches = pd.concat(
        [
            _by_the_day(_of_deals(contacts, created), company.params.data.timezone),
            _of_deals(contacts, _fetched(by_contacts)),
            _own_campaigns(company, deals, as_of),
        ],
        ignore_index=True,
    )
    touches = touches[touches["touched_at"] <= touches["opened_at"]]
    touches = touches.drop_duplicates().sort_values(["deal", "touched_at", "campaign"], ignore_index=True)
    firsts = inbound.group_by("lead_id").agg(
        campaign=inbound.campaign.argmin(inbound.touched_at), touched_at=inbound.touched_at.min()
    )
    every = pd.concat([created, _fetched(firsts)], ignore_index=True)
    every = every.sort_values(["lead_id", "touched_at"], kind="stable").drop_duplicates("lead_id")
    return CampaignTouches(deals, touches, every.set_index("lead_id")["campaign"], created, inbound, as_of)


def won_deals(company: LoadedCompany, as_of: datetime) -> pd.DataFrame:
    """Give every deal won by a date, as `CampaignTouches` has them; a deal without an amount has no cents."""
    versions = lead_deal_versions(company.tables)
    deals = versions.filter(point_in_time.current_at(versions, as_of), versions.outcome == "won")
    rows = deals.select("deal_id", "system", "lead_id", "amount", "opened_at", "closed_at").to_pandas()
    rows = rows.sort_values(["deal_id", "system"], ignore_index=True)
    known = company.tables.leads.filter(point_in_time.known_by(company.tables.leads.known_at, as_of))
    leads = known.select("lead_id").to_pandas()["lead_id"]
    cents = (rows["amount"].astype(float).fillna(0.0) * 100).round().astype("int64")
    opened = rows["opened_at"].fillna(rows["closed_at"])
    return pd.DataFrame(
        {
            "deal": np.arange(len(rows)),
            "deal_id": rows["deal_id"],
            "system": rows["system"],
            "lead_id": rows["lead_id"].astype(object).where(rows["lead_id"].isin(leads), None),
            "cents": cents,
            "opened_at": opened.astype(TIMES),
            "closed_at": rows["closed_at"].astype(TIMES),
        }
    )


def _at_creation(company: LoadedCompany, as_of: datetime) -> pd.DataFrame:
    """Give the campaign that each lead was created with."""
    tables = company.tables
    if not tables.has("leads", "campaign"):
        return pd.DataFrame({"lead_id": [], "campaign": [], "touched_at": pd.Series([], dtype=TIMES)})
    leads = tables.leads.filter(point_in_time.known_by(tables.leads.known_at, as_of))
    rows = leads.select("lead_id", "campaign", touched_at="created_at")
    rows = as_they_were(rows, tables, "leads", "lead_id", as_of="touched_at")
    return _fetched(rows.filter(rows.campaign.notnull()))


def inbound_events(company: LoadedCompany, as_of: datetime) -> ir.Table:
    """Give the events that leads did themselves, known at a date: those sent to them are left out."""
    tables = company.tables
    events = happened_events(tables)
    events = events.filter(events.lead_id.notnull(), point_in_time.known_by(events.visible_at, as_of))
    sent = FeatureSpec.from_tables(tables, as_of, timezone=company.params.data.timezone).outbound_kinds
    usual = ibis.ifelse(events.kind.isin(list(sent)), "outbound", "inbound") if sent else ibis.literal("inbound")
    return events.filter(ibis.coalesce(events.direction, usual) == "inbound")


def _contacts(company: LoadedCompany, deals: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Give everybody a deal is with, its own lead and further contacts: ``deal, lead_id, opened_at``."""
    rows = company.connection.execute(
        f"SELECT DISTINCT {_DEAL_ID} AS deal_id, system, "  # noqa: S608 (names of our own)
        "coalesce(identity.canonical_id, shared.lead_id) AS lead_id "
        "FROM shared_deals AS shared JOIN staged_deals AS deals ON deals.rowid = shared.place "
        "LEFT JOIN identity ON identity.lead_id = shared.lead_id AND identity.known_at <= $as_of "
        f"WHERE deals.{REASON} IS NULL AND coalesce(deals.recorded_at, deals.opened_at, deals.closed_at) <= $as_of "
        "ORDER BY ALL",
        {"as_of": as_of},
    ).df()
    names = ["deal", "lead_id", "opened_at"]
    others = deals.drop(columns="lead_id").merge(rows, on=["deal_id", "system"])[names]
    return pd.concat([deals.loc[deals["lead_id"].notna(), names], others]).drop_duplicates(ignore_index=True)


def _memtable(lead_ids: Any) -> ir.Table:
    return ibis.memtable(pd.DataFrame({"lead_id": lead_ids}, dtype="string"))


def _fetched(table: ir.Table) -> pd.DataFrame:
    rows = table.select("lead_id", "campaign", "touched_at").to_pandas()
    rows["touched_at"] = rows["touched_at"].astype(TIMES)
    return rows.sort_values(["lead_id", "touched_at", "campaign"], ignore_index=True)


def _of_deals(contacts: pd.DataFrame, touches: pd.DataFrame) -> pd.DataFrame:
    pairs = contacts.merge(touches, on="lead_id")
    return pairs[["deal", "campaign", "touched_at", "opened_at"]]


def _by_the_day(touches: pd.DataFrame, timezone: str) -> pd.DataFrame:
    """Let a lead's creation come before a deal that opened on its day: many exports know the day of a lead alone."""
    created, opened = (
        # On the wall clock: there are zones in which some day has no midnight.
        touches[name].dt.tz_localize("UTC").dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize()
        for name in ("touched_at", "opened_at")
    )
    first = touches[["touched_at", "opened_at"]].min(axis=1)
    return touches.assign(touched_at=touches["touched_at"].where(created != opened, first))


def _own_campaigns(company: LoadedCompany, deals: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Give the campaign that a deal itself names, as a touch on the day it opened."""
    nothing = deals[["deal", "opened_at"]].iloc[:0].assign(campaign=None, touched_at=pd.Series([], dtype=TIMES))
    if not company.tables.has("deals", "campaign"):
        return nothing[["deal", "campaign", "touched_at", "opened_at"]]
    rows = company.connection.execute(
        f"SELECT {_DEAL_ID} AS deal_id, system, campaign, "  # noqa: S608 (names of our own)
        "coalesce(recorded_at, opened_at, closed_at) AS known_at "
        f"FROM staged_deals WHERE {REASON} IS NULL AND campaign IS NOT NULL "
        "AND coalesce(recorded_at, opened_at, closed_at) <= $as_of",
        {"as_of": as_of},
    ).df()
    rows = rows.sort_values(["known_at", "campaign"]).drop_duplicates(["deal_id", "system"], keep="last")
    pairs = deals.merge(rows[["deal_id", "system", "campaign"]], on=["deal_id", "system"])
    return pairs.assign(touched_at=pairs["opened_at"])[["deal", "campaign", "touched_at", "opened_at"]]
