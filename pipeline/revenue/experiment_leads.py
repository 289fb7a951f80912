"""The leads of an experiment: which arm each is in, and what became of it within the horizon."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import lifecycle, point_in_time
from features.schema import TIME
from features.versions import as_they_were, happened_events
from pipeline.archive.assignments import Assignments
from pipeline.common.errors import UserError
from pipeline.config.experiment_params import ExperimentParams
from pipeline.ingest.company import LoadedCompany

OUTBOUND = "outbound"


@dataclass(frozen=True)
class ExperimentLeads:
    """The leads of an experiment, as known at a date.

    Parameters
    ----------
    name : str
    as_of : datetime
        Naive UTC.
    horizon_days : int
        Days after its assignment over which each lead is followed.
    settings : ExperimentParams
    frame : DataFrame
        A row a lead, by its first assignment: ``lead_id, arm, assigned_at, probability`` (of that arm; NaN: not said),
        ``arms_count`` (arms it was ever in), ``account`` (its company's id as known then, or its own), ``cluster`` (a
        number per account), ``is_mature`` (the horizon is over), ``was_closed`` (it had ended when it was assigned),
        ``ended_how`` (by now), ``won`` (0 or 1), ``revenue``, ``days`` (until it was won, at most the horizon): all
        within the horizon; ``is_touched`` (by an event of the kind that carries the arm out, else by any of ours).
    unknown_leads : int
        Assigned, but no lead that is known.
    laid_down : dict
        What was written down when leads were first drawn; empty where others drew them.
    newest_lead_at : datetime or None
        When the newest lead of the company became known.
    """

    name: str
    as_of: datetime
    horizon_days: int
    settings: ExperimentParams
    frame: pd.DataFrame
    unknown_leads: int = 0
    laid_down: dict[str, Any] = field(default_factory=dict)
    newest_lead_at: datetime | None = None

    @property
    def arms(self) -> list[str]:
        """The arms, control first."""
        names = sorted(self.frame["arm"].unique(), key=lambda arm: (arm != self.settings.control, arm))
        return [str(name) for name in names]

    def counted(self) -> pd.DataFrame:
        """Give the leads that are compared: the horizon is over, and they were open when they were assigned."""
        return self.frame[self.frame["is_mature"] & ~self.frame["was_closed"]].reset_index(drop=True)


def experiment_leads(company: LoadedCompany, name: str, as_of: datetime) -> ExperimentLeads:
    """Find the leads of an experiment, and what became of them.

    Parameters
    ----------
    company : LoadedCompany
    name : str
    as_of : datetime
        Naive UTC; nothing assigned or known later counts.

    Raises
    ------
    UserError
        There is no such experiment, or it has no arm that is control.
    """
    store = Assignments(company.params.archive_folder)
    rows = _assigned(company, store, name, as_of)
    settings = company.params.experiments.get(name, ExperimentParams())
    first = store.entries(name)[:1]
    laid_down = dict(first[0].seal) if first else {}
    horizon = laid_down.get("horizon_days") or settings.horizon_days or company.params.primary_horizon_days
    arms = sorted(rows["arm"].unique())
    if settings.control not in arms:
        raise UserError(
            f"experiments.{name}.control: no lead is in an arm '{settings.control}'; its arms are: {', '.join(arms)}"
        )
    frame, unknown = _leads(company, rows, as_of)
    if not len(frame):
        raise UserError(f"experiment {name}: none of its leads is known; check data.sources.experiments.lead_id")
    end = point_in_time.instant(as_of)
    known = ibis.memtable(frame[["lead_id", "assigned_at"]]).mutate(assigned_at=ibis._.assigned_at.cast(TIME))
    due = known.assigned_at + ibis.interval(days=horizon)
    facts = known.mutate(is_mature=point_in_time.known_by(due, end), due=due)
    frame = frame.merge(_outcomes(company, facts, settings, as_of), on="lead_id", validate="one_to_one")
    frame["won"] = frame["won_days"].notna().astype(float)
    frame["days"] = frame["won_days"].fillna(float(horizon))
    frame["revenue"] = frame["revenue"].fillna(0.0).astype(float)
    frame["cluster"] = pd.factorize(frame["account"])[0]
    leads = company.tables.leads
    newest = leads.filter(point_in_time.known_by(leads.known_at, as_of)).known_at.max().execute()
    return ExperimentLeads(
        name, as_of, int(horizon), settings, frame.drop(columns="won_days"), unknown, laid_down,
        None if pd.isna(newest) else newest.to_pydatetime(),
    )  # fmt: skip


def experiment_names(company: LoadedCompany) -> list[str]:
    """Name the experiments that leads are assigned to, in the company's table or by `Assignments`."""
    table = company.tables.experiments.select("experiment").distinct().to_pandas()["experiment"]
    return sorted({*table, *Assignments(company.params.archive_folder).names()})


def _assigned(company: LoadedCompany, store: Assignments, name: str, as_of: datetime) -> pd.DataFrame:
    """Give every assignment known at the date, each lead by the name of the lead that it is part of."""
    columns = {"lead_id": "string", "arm": "string", "assigned_at": TIME, "probability": "float64"}
    table = company.tables.experiments
    table = table.filter(table.experiment == name, table.assigned_at.notnull()).select(*columns)
    drawn = ibis.memtable(store.read(name)[list(columns)])
    every = table.union(drawn.select(**{column: drawn[column].cast(type_) for column, type_ in columns.items()}))
    rows = every.filter(point_in_time.known_by(every.assigned_at, as_of)).to_pandas().drop_duplicates()
    if not len(rows):
        names = experiment_names(company)
        raise UserError(
            f"no lead is assigned to an experiment '{name}' by then; there are: {', '.join(names)}"
            if names
            else "there are no experiments: begin one with `leadrev experiment assign NAME --share 0.1`, or name a "
            "table of assignments as data.sources.experiments"
        )
    joined = company.connection.execute("SELECT lead_id, canonical_id FROM identity WHERE canonical_id <> lead_id").df()
    return rows.assign(lead_id=rows["lead_id"].replace(dict(zip(joined.lead_id, joined.canonical_id, strict=True))))


def _leads(company: LoadedCompany, rows: pd.DataFrame, as_of: datetime) -> tuple[pd.DataFrame, int]:
    """Give each lead its first assignment, and its account as known then."""
    rows = rows.sort_values(["assigned_at", "lead_id", "arm"], kind="stable", ignore_index=True)
    arms = rows.groupby("lead_id")["arm"].nunique()
    first = rows.drop_duplicates("lead_id").assign(arms_count=lambda frame: frame["lead_id"].map(arms))
    leads = company.tables.leads
    known = leads.filter(point_in_time.known_by(leads.known_at, as_of)).select("lead_id", "account_id")
    dated = ibis.memtable(first[["lead_id", "assigned_at"]]).mutate(as_of=ibis._.assigned_at.cast(TIME))
    found = as_they_were(known.join(dated.select("lead_id", "as_of"), "lead_id"), company.tables, "leads", "lead_id")
    frame = first.merge(found.select("lead_id", "account_id").to_pandas(), on="lead_id", validate="one_to_one")
    frame["account"] = ("account " + frame["account_id"]).fillna("lead " + frame["lead_id"])
    frame = frame.drop(columns="account_id").sort_values("lead_id", ignore_index=True)
    return frame, len(first) - len(frame)


def _outcomes(company: LoadedCompany, leads: ir.Table, settings: ExperimentParams, as_of: datetime) -> pd.DataFrame:
    """Say what became of each lead (``lead_id, assigned_at, due, is_mature``) within its horizon."""
    tables = company.tables
    versions = lifecycle.lead_deal_versions(tables)
    won = versions.filter(point_in_time.current_at(versions, as_of), versions.outcome == "won")
    won = won.select("lead_id", "closed_at", "amount").join(leads, "lead_id")
    won = won.filter(won.closed_at > won.assigned_at, won.closed_at <= won.due)
    of_deals = won.group_by("lead_id").agg(
        won_days=point_in_time.days_between(won.assigned_at, won.closed_at).min(),
        revenue=won.amount.sum().cast("float64"),
    )
    spells = lifecycle.open_spells(tables).select("lead_id", "known_from", "known_until").join(leads, "lead_id")
    was = spells.group_by("lead_id").agg(
        was_open=point_in_time.current_at(spells, spells.assigned_at).any(),
        had_begun=point_in_time.known_by(spells.known_from, spells.assigned_at).any(),
    )
    ends = lifecycle.standings(tables, as_of).select("lead_id", "outcome", "end_known_at").join(leads, "lead_id")
    ends = ends.select(
        "lead_id",
        ended_how="outcome",
        had_ended=(ends.outcome != "open") & point_in_time.known_by(ends.end_known_at, ends.assigned_at),
    )
    rows = leads.select("lead_id", "is_mature")
    for facts in (of_deals, was, ends, _touched(company, leads, settings, as_of)):
        rows = rows.left_join(facts, "lead_id").drop("lead_id_right")
    rows = rows.mutate(
        was_closed=ibis.ifelse(
            ibis.coalesce(rows.had_begun, False),
            ~ibis.coalesce(rows.was_open, False),
            ibis.coalesce(rows.had_ended, False),
        ),
        is_touched=ibis.coalesce(rows.is_touched, False),
    ).drop("had_begun", "was_open", "had_ended")
    return rows.to_pandas()


def _touched(company: LoadedCompany, leads: ir.Table, settings: ExperimentParams, as_of: datetime) -> ir.Table:
    """Say which leads had the event that carries the arm out, within the horizon."""
    events = happened_events(company.tables)
    wanted = events.kind == settings.event if settings.event else events.direction == OUTBOUND
    events = events.filter(point_in_time.known_by(events.visible_at, as_of), wanted).select("lead_id", "occurred_at")
    pairs = events.join(leads, "lead_id")
    pairs = pairs.filter(pairs.occurred_at >= pairs.assigned_at, pairs.occurred_at <= pairs.due)
    return pairs.select("lead_id", is_touched=True).distinct()


def own_probability(frame: pd.DataFrame, control: str) -> tuple[NDArray[np.float64], str]:
    """Give the probability with which each lead's account got its arm, and how it is known.

    A table may say the arm's own, or the treatment's on every row; where it says neither, the shares of accounts are
    taken.
    """
    said: NDArray[np.float64] = np.asarray(frame["probability"], dtype=np.float64)
    shares = frame.drop_duplicates("account")["arm"].value_counts(normalize=True)
    if np.isnan(said).any() or (said <= 0).any() or (said > 1).any():
        return np.asarray(
            frame["arm"].map(shares), dtype=np.float64
        ), "the shares of accounts, as no probability is written down"
    by_arm = frame.groupby("arm")["probability"].agg(["min", "max"])
    constant = bool((by_arm["max"] - by_arm["min"] < 1e-9).all())
    if constant and len(by_arm) == 2:
        first = float(by_arm["min"].iloc[0])
        if abs(by_arm["min"].sum() - 1) > 1e-6 and np.allclose(by_arm["min"], first) and first < 1:
            is_control = (frame["arm"] == control).to_numpy()
            own: NDArray[np.float64] = np.where(is_control, 1 - said, said)
            return own, "the treatment's, as every row says the same"
    return said, "as written down at assignment"
