"""Which content to offer a lead: of its topics, not yet seen, and one that moved leads which cared about the same.

How well a content moves is the share of the leads with that topic which, after they had seen it (``content_id`` of
events), got a deal or were won; shrunk towards the share over all contents, so that a content seen by few stands where
its topic alone puts it. An association: who reads more may have been on the way already.
"""

from __future__ import annotations

import json
from datetime import datetime

import ibis
import pandas as pd

from features import point_in_time
from features.schema import Tables
from features.versions import happened_events
from pipeline.insights.touches_needed import TouchHistories

PRIOR_LEADS = 20.0
"""A content's rate weighs as much as the common one once so many leads have seen it."""
NOTHING = pd.DataFrame({"content_id": pd.Series([], dtype=object), "content_text": pd.Series([], dtype=object)})


def content_offers(
    tables: Tables, as_of: datetime, topics: pd.Series, facts: pd.DataFrame, histories: TouchHistories | None
) -> pd.DataFrame:
    """Choose what to offer each lead.

    Parameters
    ----------
    tables : Tables
    as_of : datetime
        UTC, without a zone; nothing known later counts.
    topics : series of text, index lead_id
        JSON lists of ``{topic, …}``, the foremost first.
    facts : data frame, index lead_id
        With ``no_contact, no_email``.
    histories : TouchHistories or None
        When leads got a deal or were won.

    Returns
    -------
    data frame, index lead_id
        ``content_id, content_text``; leads with nothing to offer are not in it.
    """
    if not tables.has("contents", "topic") or not len(topics):
        return NOTHING
    contents = tables.contents.select("content_id", "title", "topic").to_pandas().dropna(subset=["topic"])
    contents["title"] = contents["title"].fillna(contents["content_id"])
    views, interest = _views(tables, as_of), _interest(tables, as_of)
    contents["rate"] = contents["content_id"].map(_rates(contents, views, interest, histories)).fillna(0.0)
    wanted = [
        (lead, place, one["topic"]) for lead, text in topics.items() for place, one in enumerate(json.loads(text))
    ]
    pairs = pd.DataFrame(wanted, columns=["lead_id", "place", "topic"]).merge(contents, on="topic")
    seen = views.assign(is_seen=True)[["lead_id", "content_id", "is_seen"]]
    pairs = pairs.merge(seen, on=["lead_id", "content_id"], how="left")
    pairs = pairs[pairs["is_seen"].isna() & ~pairs["lead_id"].map(facts["no_contact"]).fillna(True).astype(bool)]
    best = pairs.sort_values(["lead_id", "rate", "place", "content_id"], ascending=[True, False, True, True])
    best = best.drop_duplicates("lead_id").set_index("lead_id")
    say = facts["no_email"].reindex(best.index).map({True: "Mention", False: "Send"})
    return pd.DataFrame({
        "content_id": best["content_id"], "content_text": say + " “" + best["title"] + "” (on " + best["topic"] + ")",
    })  # fmt: skip


def _views(tables: Tables, as_of: datetime) -> pd.DataFrame:
    """Say when each lead first saw each content."""
    if not tables.has("events", "content_id"):
        return pd.DataFrame({"lead_id": [], "content_id": [], "seen_at": pd.to_datetime([])}, dtype=object)
    events = happened_events(tables)
    events = events.filter(point_in_time.known_by(events.visible_at, as_of), events.content_id.notnull())
    events = events.filter(ibis.coalesce(events.direction, "inbound") != "outbound")
    return events.group_by("lead_id", "content_id").agg(seen_at=events.occurred_at.min()).to_pandas()


def _interest(tables: Tables, as_of: datetime) -> pd.DataFrame:
    """Say what leads care about by anything but the contents that they saw."""
    if not tables.has("events", "topic"):
        return pd.DataFrame({"lead_id": [], "topic": []}, dtype=object)
    events = happened_events(tables)
    events = events.filter(point_in_time.known_by(events.visible_at, as_of), events.topic.notnull())
    events = events.filter(ibis.coalesce(events.direction, "inbound") != "outbound")
    events = events.filter(events.content_id.isnull())
    return events.select("lead_id", "topic").distinct().to_pandas()


def _rates(
    contents: pd.DataFrame, views: pd.DataFrame, interest: pd.DataFrame, histories: TouchHistories | None
) -> pd.Series:
    """Give each content's shrunk share of leads that moved on after they had seen it, by content_id."""
    like = views.merge(contents[["content_id", "topic"]], on="content_id").merge(interest, on=["lead_id", "topic"])
    if histories is None or not len(like):
        return pd.Series(dtype=float)
    frame = histories.frame
    ends = frame[["lead_id", "deal_at"]].assign(won_at=frame["ended_at"].where(frame["outcome"] == "won"))
    like = like.merge(ends, on="lead_id")
    moved = (like["deal_at"] > like["seen_at"]) | (like["won_at"] > like["seen_at"])
    counted = moved.groupby(like["content_id"]).agg(["sum", "count"])
    return (counted["sum"] + PRIOR_LEADS * moved.mean()) / (counted["count"] + PRIOR_LEADS)
