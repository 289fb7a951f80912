"""Each lead's way through the stages, as known at a date: one row per episode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import point_in_time
from features.lifecycle import lead_deal_versions
from features.schema import TIME
from features.versions import account_versions, as_they_were
from pipeline.common.company_size import SIZE_LIMITS, SIZES
from pipeline.funnel.stage_dates import KEYS, NOT_REACHED, StageDates, episodes_table, to_numpy
from pipeline.funnel.stages import Stages, stages_of
from pipeline.ingest.company import LoadedCompany

NEW_BUSINESS = "new_business"
NOT_KNOWN = "not known"
SEGMENTS = ("source", "campaign", "kind", "owner", "team", "size", "industry", "country")
"""What the funnel can be split by."""
OF_LEADS = {"source": "source", "campaign": "campaign", "title": "title"}

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Journeys:
    """The ways of all leads known at a date.

    Parameters
    ----------
    stages : Stages
    as_of : datetime
        Naive UTC.
    frame : data frame of n_episodes rows
        ``lead_id, episode, account_id, kind`` (`NEW_BUSINESS`, or existing business: expansion, renewal), ``outcome,
        amount`` (of the won), ``closed_before_created``, ``is_last`` (of its lead's episodes), ``cluster`` (a number
        per account; a lead without one stands alone), and the segments that the company knows.
    started, ended : ndarray of shape (n_episodes,)
        Instants in microseconds; ``ended`` is when the end was known, or the date itself where there is none.
    entered : ndarray of shape (n_episodes, n_stages)
        When each stage was reached, in microseconds; `NOT_REACHED`. Whoever reaches a stage has reached those before it
        by then.
    skipped : ndarray of shape (n_episodes, n_stages)
        The stage was reached only in so far as a later one was.
    absent : dict of str to str
        Segments that the company's tables do not tell, and why.
    """

    stages: Stages
    as_of: datetime
    frame: pd.DataFrame
    started: Integers
    ended: Integers
    entered: Integers
    skipped: Flags
    absent: dict[str, str]

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def lead_numbers(self) -> NDArray[np.intp]:
        """Which lead each episode is of: a place among the last episodes, of shape (n_episodes,)."""
        return pd.factorize(self.frame["lead_id"])[0]

    def by_lead(self, values: NDArray) -> NDArray[np.float64]:
        """Sum figures of episodes by lead, in the order of the last episodes."""
        return np.bincount(self.lead_numbers, values, int(self.frame["is_last"].sum())).astype(float)


def journeys(company: LoadedCompany, as_of: datetime) -> Journeys:
    """Follow every lead known at a date through the stages.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC; nothing known later counts.

    Raises
    ------
    UserError
        Nothing dates a stage of the params.
    """
    stages = stages_of(company)
    tables = company.tables
    episodes = episodes_table(tables, as_of, company.params.data.amount_window_days)
    dates = StageDates(company, episodes, as_of)
    rows, absent = _with_segments(company, episodes, as_of)
    for place, (name, rule) in enumerate(stages.rules.items()):
        dated = dates.date(name, rule).rename({f"stage_{place}": "at"})
        rows = rows.left_join(dated, KEYS).drop("lead_id_right", "episode_right")
    fetched = to_numpy(rows)
    raw = np.column_stack([fetched.pop(f"stage_{place}") for place in range(len(stages.rules))])
    started, ended = fetched.pop("started_at"), fetched.pop("ends_at")
    frame = pd.DataFrame(fetched)
    frame["is_last"] = ~frame["lead_id"].duplicated(keep="last")
    names = frame["account_id"].fillna("lead " + frame["lead_id"])
    frame["cluster"] = pd.factorize(names)[0]
    is_won = (frame["outcome"] == "won").to_numpy()
    entered, skipped = _cumulative(raw, started, is_won, stages, fetched)
    return Journeys(stages, as_of, frame, started, ended, entered, skipped, absent)


def _cumulative(
    raw: Integers, started: Integers, is_won: Flags, stages: Stages, fetched: dict
) -> tuple[Integers, Flags]:
    """Let whoever reaches a stage have reached the ones before; see `Journeys`."""
    raw = np.where(raw == NOT_REACHED, raw, np.maximum(raw, started[:, None]))
    entered = np.minimum.accumulate(raw[:, ::-1], axis=1)[:, ::-1].copy()
    won_at = fetched["end_known_at"]
    last = stages.won_place
    by_winning = np.where(is_won, np.maximum(won_at, started), NOT_REACHED)
    entered[:, : last + 1] = np.minimum(entered[:, : last + 1], by_winning[:, None])
    skipped = (entered != NOT_REACHED) & (raw > entered)
    return entered, skipped


def _with_segments(company: LoadedCompany, episodes: ir.Table, as_of: datetime) -> tuple[ir.Table, dict[str, str]]:
    """Add kind and segments: as known when the episode began; owner and team as known at the date."""
    tables = company.tables
    leads = tables.leads
    wanted = [name for name in (*OF_LEADS.values(), "kind", "account_id") if name in leads.columns]
    rows = episodes.drop("account_id", "owner_id", "opens_at")
    rows = rows.join(leads.select("lead_id", "owner_id", *wanted), "lead_id")
    began = as_they_were(rows, tables, "leads", "lead_id", as_of="started_at").drop("owner_id")
    today = rows.select(*KEYS, "owner_id")
    today = as_they_were(today.mutate(as_of=point_in_time.instant(as_of)), tables, "leads", "lead_id").drop("as_of")
    rows = began.join(today, KEYS)
    absent: dict[str, str] = {}
    for name, column in OF_LEADS.items():
        if not tables.has("leads", column):
            absent[name] = f"leads have no column {column}"
    rows = _of_accounts(company, rows, absent)
    rows = _of_owners(company, rows, absent)
    kind_of_deal = _kind_of_deal(company, as_of)
    rows = rows.left_join(kind_of_deal, "lead_id").drop("lead_id_right")
    kind = ibis.coalesce(rows.kind, rows.deal_kind, NEW_BUSINESS)
    rows = rows.mutate(kind=kind).drop("deal_kind")
    rows = rows.mutate(
        **{
            name: ibis.coalesce(rows[column].cast("string"), NOT_KNOWN)
            for name, column in {**OF_LEADS, **{n: n for n in ("owner", "team", "size", "industry", "country")}}.items()
        }
    )
    kept = [
        *KEYS, "account_id", "kind", "outcome", "amount", "closed_before_created", "started_at", "ends_at",
        "end_known_at", *(name for name in (*SEGMENTS, "title") if name != "kind"),
    ]  # fmt: skip
    return rows.select(kept), absent


def _of_accounts(company: LoadedCompany, rows: ir.Table, absent: dict[str, str]) -> ir.Table:
    tables = company.tables
    columns = {"size": "employees", "industry": "industry", "country": "country"}
    for name, column in columns.items():
        if not tables.has("accounts", column):
            absent[name] = f"accounts have no column {column}" if tables.has("accounts") else "there are no accounts"
    versions = account_versions(tables)
    facts = versions.select(
        "employees", "industry", "country", of_account="account_id", since="known_from", until="known_until"
    )
    rows = rows.left_join(
        facts, [rows.account_id == facts.of_account, facts.since <= rows.started_at, rows.started_at < facts.until]
    ).drop("of_account", "since", "until")
    bands = [(rows.employees < limit, name) for limit, name in zip(SIZE_LIMITS, SIZES, strict=False)]
    size = ibis.ifelse(rows.employees.isnull(), ibis.null("string"), ibis.cases(*bands, else_=SIZES[-1]))
    return rows.mutate(size=size).drop("employees")


def _of_owners(company: LoadedCompany, rows: ir.Table, absent: dict[str, str]) -> ir.Table:
    tables = company.tables
    if not tables.has("leads", "owner_id"):
        absent["owner"] = absent["team"] = "leads have no column owner_id"
    if not tables.has("owners", "team"):
        absent["team"] = "there are no owners with a team"
    owners = tables.owners.group_by("owner_id").agg(owner_name=ibis._.name.max(), team=ibis._.team.max())
    rows = rows.left_join(owners, "owner_id").drop("owner_id_right")
    return rows.mutate(owner=ibis.coalesce(rows.owner_name, rows.owner_id)).drop("owner_name", "owner_id")


def _kind_of_deal(company: LoadedCompany, as_of: datetime) -> ir.Table:
    """Say of which kind a lead's first deal is, as known at a date: for leads that do not say so themselves."""
    deals = lead_deal_versions(company.tables)
    deals = deals.filter(point_in_time.current_at(deals, as_of), deals.lead_id.notnull(), deals.kind.notnull())
    first = ibis.window(group_by="lead_id", order_by=[deals.opened_at.cast(TIME), deals.deal_id])
    ranked = deals.mutate(place=ibis.row_number().over(first))
    return ranked.filter(ranked.place == 0).select("lead_id", deal_kind="kind")
