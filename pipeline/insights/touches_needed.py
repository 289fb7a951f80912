"""How many touches of ours it takes until a lead becomes a deal, or is won: loss and giving up compete.

The time axis is the number of touches. A lead leaves it at the touches that it had had when it took the step; one that
was lost, or that nobody heard of for `SILENT_DAYS`, left by a competing end; one that is still being worked on is
censored at its touches so far. The cumulative incidence of the step over touches is the Aalen–Johansen estimate
(`models.aalen_johansen`), and what it takes is the median among those that take the step. Averages over the deals alone
would be too low: leads that take long are still on their way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import ibis
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import lifecycle, point_in_time
from features.schema import TIME, Tables
from features.spec import FeatureSpec
from features.versions import happened_events
from models.aalen_johansen import CENSORED, COMPETING, LEFT, group_figures
from pipeline.insights.lead_situation import by_us, event_roles_table

SILENT_DAYS = 60
"""A lead that nobody touched, and that did nothing, for so long is given up."""
STEPS_NEEDED = 20
"""So many leads must have taken a step before anybody can say how many touches it takes."""
AT_ONCE_DAYS = 1.0

DEAL, WIN = "deal", "win"
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class TouchHistories:
    """What was done for each lead known at a date, and how it ended.

    Parameters
    ----------
    frame : data frame of n_leads rows
        ``lead_id, created_at, outcome, ended_at, amount, deal_at`` (when its first deal was opened), ``last_at`` (when
        it was last heard of, or touched; else created), ``touches_deal, touches_win`` (of ours until the deal, until
        the end), ``is_silent``.
    as_of : datetime
    """

    frame: pd.DataFrame
    as_of: datetime

    @property
    def has_deals_to_reach(self) -> bool:
        """Whether a deal is a step on the way: not where leads are deals from the start, or only wins are kept."""
        reached = self.frame.dropna(subset=["deal_at"])
        waited = (reached["deal_at"] - reached["created_at"]).dt.total_seconds() / 86_400
        return len(reached) >= STEPS_NEEDED and float((waited > AT_ONCE_DAYS).mean()) > 0.5

    @property
    def step(self) -> str:
        """The step that touches are counted up to: a deal, or winning where deals are no step or take no touch."""
        return DEAL if self.has_deals_to_reach and (self.median(DEAL) or 0) >= 1 else WIN

    def events(self, step: str) -> tuple[Floats, Integers]:
        """Give each lead's touches until it took a step or ended, and how: see `models.aalen_johansen`."""
        frame = self.frame
        taken = frame["deal_at"].notna() if step == DEAL else frame["outcome"] == "won"
        is_over = (frame["outcome"] == "lost") | ((frame["outcome"] == "open") & frame["is_silent"])
        event = np.select([taken, is_over & ~taken], [LEFT, COMPETING], CENSORED)
        return frame[f"touches_{step}"].to_numpy(float), event

    def median(self, step: str) -> float | None:
        """Give the touches by which half of those who ever take a step have taken it; None where that is not known."""
        touches, event = self.events(step)
        if np.count_nonzero(event == LEFT) < STEPS_NEEDED or not touches.any():
            return None
        figures, _ = group_figures(touches, event, np.zeros(len(touches), dtype=np.int64), 1, (0.0,))
        return None if np.isnan(figures[0, -1]) else float(figures[0, -1])


def touch_histories(tables: Tables, spec: FeatureSpec, as_of: datetime) -> TouchHistories | None:
    """Collect what was done for every lead known at a date.

    Parameters
    ----------
    tables : Tables
    spec : FeatureSpec
        Which kinds of events may not be looked at.
    as_of : datetime
        UTC, without a zone; nothing known later counts.

    Returns
    -------
    TouchHistories or None
        None where the company keeps no events.
    """
    if not tables.has("events"):
        return None
    leads = lifecycle.standings(tables, as_of).select("lead_id", "created_at", "outcome", "ended_at", "amount")
    deals = lifecycle.lead_deal_versions(tables)
    deals = deals.filter(deals.lead_id.notnull(), point_in_time.known_by(deals.known_from, as_of))
    begun = ibis.coalesce(deals.opened_at, deals.closed_at)
    deals = deals.mutate(begun=begun.cast(TIME)).filter(point_in_time.known_by(begun, as_of))
    leads = leads.left_join(deals.group_by("lead_id").agg(deal_at=ibis._.begun.min()), "lead_id").drop("lead_id_right")
    leads = leads.cache()
    events = happened_events(tables, spec.excluded_kinds, spec.excluded_links)
    events = events.filter(point_in_time.known_by(events.visible_at, as_of))
    events = events.join(ibis.memtable(event_roles_table(tables)), "kind")
    events = events.select("lead_id", "occurred_at", ours=by_us(events))
    pairs = events.join(leads.select("lead_id", "ended_at", "deal_at"), "lead_id")
    ends = {"win": pairs.ended_at, "deal": ibis.coalesce(pairs.deal_at, pairs.ended_at)}
    now = point_in_time.instant(as_of)
    sums = {
        f"touches_{step}": (pairs.ours & (pairs.occurred_at <= ibis.coalesce(end, now))).cast("int64").sum()
        for step, end in ends.items()
    }
    counted = pairs.group_by("lead_id").agg(last_at=pairs.occurred_at.max(), **sums)
    frame = leads.left_join(counted, "lead_id").drop("lead_id_right").order_by("lead_id").to_pandas()
    for name in ("created_at", "ended_at", "deal_at", "last_at"):
        frame[name] = frame[name].astype("datetime64[us]")
    frame["last_at"] = frame["last_at"].fillna(frame["created_at"])
    for step in ends:
        frame[f"touches_{step}"] = frame[f"touches_{step}"].fillna(0.0)
    frame["is_silent"] = (pd.Timestamp(as_of) - frame["last_at"]) / pd.Timedelta(days=1) >= SILENT_DAYS
    return TouchHistories(frame, as_of)
