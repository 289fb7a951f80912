"""How each open lead stands with us at a date: who got in touch last, what was asked and not answered, what is agreed.

Everything is as known at that date. What a source that cannot be relied on does not hold is not taken for silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir
import pandas as pd

from features import lifecycle, point_in_time
from features.schema import TIME, Tables
from features.spec import FeatureSpec
from features.versions import as_they_were, happened_events
from pipeline.common.degradation import Degradation, is_unreliable
from pipeline.ingest.company import LoadedCompany
from pipeline.insights import event_roles
from pipeline.insights.contact_permissions import contact_permissions

PLANNED_DAYS = 60
"""A meeting planned further ahead than this keeps nobody from calling before."""
TOLD = (event_roles.REQUEST, event_roles.REPLY, event_roles.STRONG, event_roles.INTEREST)
"""Roles of events that are told of, each with when it was last and first, how often, and the kind of the last."""
TIMES = ("created_at", "ours_at", "theirs_at", "planned_at", "deal_opened_at", "deal_close_at")
OF_A_ROLE = ("at", "first_at", "count", "kind")


def lead_situation(
    company: LoadedCompany,
    spec: FeatureSpec,
    as_of: datetime,
    lead_ids: pd.Series,
    degraded: Sequence[Degradation] = (),
) -> pd.DataFrame:
    """Say how leads stand.

    Parameters
    ----------
    company : LoadedCompany
    spec : FeatureSpec
        Which kinds of events may not be looked at.
    as_of : datetime
        UTC, without a zone.
    lead_ids : series of text
        The leads, each once.
    degraded : sequence of Degradation
        Sources that cannot be relied on.

    Returns
    -------
    data frame, index lead_id, in the order of `lead_ids`
        ``created_at, entry``; ``no_call, no_email, no_contact`` (bool, of the person); ``ours_at, ours_kind,
        ours_count`` (touches from our side), ``theirs_at``; for each role of `TOLD` the events later than our last
        touch, as ``{role}_at, {role}_first_at, {role}_count, {role}_kind``; ``planned_at`` (a meeting that lies ahead);
        ``has_deal`` and of open deals ``deal_opened_at, deal_close_at, deal_stage``. ``is_heard``: whether touches are
        told at all, and to be relied on; where not, ``{role}_…`` are the lead's own events whether or not we answered.
    """
    tables = company.tables
    wanted = ibis.memtable(pd.DataFrame({"lead_id": lead_ids.astype(str)}))
    found = _leads(tables, as_of, wanted)
    parts = [contact_permissions(company, as_of)]
    heard = False
    if tables.has("events"):
        roles = event_roles_table(tables)
        events = _events(tables, spec, as_of, wanted, roles)
        heard = is_heard(tables, roles, degraded)
        parts += [*_touches(events, heard), _planned(tables, as_of, wanted, roles)]
    if tables.has("deals") and not is_unreliable("deals", degraded):
        parts.append(_open_deals(tables, as_of))
    for part in parts:
        found = found.join(part.set_index("lead_id"))
    for name in TIMES:
        found[name] = found[name].astype("datetime64[us]") if name in found else pd.NaT
    for place in TOLD:
        for name in OF_A_ROLE:
            if f"{place}_{name}" not in found:
                found[f"{place}_{name}"] = 0 if name == "count" else None if name == "kind" else pd.NaT
    for name in ("no_call", "no_email", "no_contact", "has_deal"):
        found[name] = found[name].eq(True) if name in found else False
    for name in ("ours_count", *(f"{place}_count" for place in TOLD)):
        found[name] = found[name].fillna(0).astype("int64") if name in found else 0
    for name in ("deal_stage", "ours_kind"):
        found[name] = found[name].astype(object).where(found[name].notna(), None) if name in found else None
    return found.assign(is_heard=heard).reindex(lead_ids.astype(str))


def is_heard(tables: Tables, roles: pd.DataFrame, degraded: Sequence[Degradation]) -> bool:
    """Whether it is known when we got in touch: the events say so, and can be relied on tonight."""
    if is_unreliable("events", degraded) or any(one.table == "events" for one in degraded):
        return False
    return tables.has("events", "direction") or bool(roles["is_ours"].any())


def _leads(tables: Tables, as_of: datetime, wanted: ir.Table) -> pd.DataFrame:
    leads = tables.leads.semi_join(wanted, "lead_id").select("lead_id", "created_at", "entry")
    leads = as_they_were(leads.mutate(as_of=point_in_time.instant(as_of)), tables, "leads", "lead_id")
    return leads.select("lead_id", "created_at", "entry").to_pandas().set_index("lead_id")


def event_roles_table(tables: Tables) -> pd.DataFrame:
    """Say of each kind of event what it asks of sales, and whether it is ours where no direction is written."""
    kinds = sorted(tables.events.select("kind").distinct().to_pandas()["kind"].dropna())
    return pd.DataFrame({
        "kind": pd.Series(kinds, dtype="string"),
        "role": pd.Series([event_roles.role(kind) for kind in kinds], dtype="string"),
        "is_ours": pd.Series([event_roles.is_ours(kind) for kind in kinds], dtype=bool),
        "is_talk": pd.Series([event_roles.is_talk(kind) for kind in kinds], dtype=bool),
    })  # fmt: skip


def by_us(events: ir.Table) -> ir.BooleanValue:
    """Say which events are touches of ours: outbound, or without a direction but of a kind that we do (``is_ours``)."""
    return ibis.coalesce(events.direction == "outbound", events.is_ours)


def _events(tables: Tables, spec: FeatureSpec, as_of: datetime, wanted: ir.Table, roles: pd.DataFrame) -> ir.Table:
    events = happened_events(tables, spec.excluded_kinds, spec.excluded_links)
    events = events.filter(point_in_time.known_by(events.visible_at, as_of)).semi_join(wanted, "lead_id")
    events = events.join(ibis.memtable(roles), "kind")
    return events.select("lead_id", "occurred_at", "kind", "role", ours=by_us(events)).cache()


def _touches(events: ir.Table, heard: bool) -> list[pd.DataFrame]:
    sums = events.group_by("lead_id").agg(
        ours_at=events.occurred_at.max(where=events.ours),
        ours_count=events.ours.cast("int64").sum(),
        theirs_at=events.occurred_at.max(where=~events.ours),
    )
    theirs = events.filter(~events.ours & events.role.isin(TOLD))
    if heard:
        theirs = theirs.join(sums.select("lead_id", "ours_at"), "lead_id")
        since = ibis.coalesce(theirs.ours_at, point_in_time.instant(point_in_time.ALWAYS))
        theirs = theirs.filter(theirs.occurred_at > since).drop("ours_at")
    group = ["lead_id", "role"]
    newest = ibis.window(group_by=group, order_by=[ibis.desc("occurred_at"), "kind"])
    newest_of_lead = ibis.window(group_by="lead_id", order_by=[ibis.desc("occurred_at"), "kind"])
    theirs = theirs.mutate(
        place=ibis.row_number().over(newest),
        first_at=theirs.occurred_at.min().over(ibis.window(group_by=group)),
        count=theirs.kind.count().over(ibis.window(group_by=group)),
    )
    last = theirs.filter(theirs.place == 0).to_pandas()
    ours = events.filter(events.ours).mutate(place=ibis.row_number().over(newest_of_lead))
    kinds = ours.filter(ours.place == 0).select("lead_id", ours_kind="kind").to_pandas()
    parts = [sums.to_pandas(), kinds]
    for role in TOLD:
        of_role = last[last["role"] == role]
        names = {"occurred_at": f"{role}_at"} | {name: f"{role}_{name}" for name in ("first_at", "count", "kind")}
        parts.append(of_role[["lead_id", *names]].rename(columns=names))
    return parts


def _planned(tables: Tables, as_of: datetime, wanted: ir.Table, roles: pd.DataFrame) -> pd.DataFrame:
    """Find the next meeting or call of each lead that is in the diary."""
    events = tables.events.semi_join(wanted, "lead_id")
    ahead = point_in_time.known_by(events.known_at, as_of) & ~point_in_time.known_by(events.occurred_at, as_of)
    near = point_in_time.known_by(events.occurred_at, as_of + timedelta(days=PLANNED_DAYS))
    talks = roles.loc[roles["is_talk"], "kind"].tolist()
    events = events.filter(ahead, near, events.kind.isin(talks) if talks else ibis.literal(False))
    return events.group_by("lead_id").agg(planned_at=events.occurred_at.min()).to_pandas()


def _open_deals(tables: Tables, as_of: datetime) -> pd.DataFrame:
    """Say how leads' open deals stand; stages and planned dates only where a history dates them."""
    deals = lifecycle.lead_deal_versions(tables)
    deals = deals.filter(deals.lead_id.notnull(), point_in_time.current_at(deals, as_of), deals.outcome == "open")
    begun = ibis.coalesce(deals.opened_at, deals.known_from.nullif(point_in_time.instant(point_in_time.ALWAYS)))
    return (
        deals.group_by("lead_id")
        .agg(
            has_deal=ibis.literal(True),
            deal_opened_at=begun.cast(TIME).min(),
            deal_close_at=deals.expected_close_at.min(),
            deal_stage=deals.stage.max(),
        )
        .to_pandas()
    )
