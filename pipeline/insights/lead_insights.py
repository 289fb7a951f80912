"""What sales wants to know beside the reasons: ``insights.parquet``, one row a lead of ``scores``, by rank.

======================================== ====================================================================
``lead_id``                              as in ``scores``
``next_step``, ``next_step_text``        what to do next: ``call_now``, ``keep_working``, ``nurture``, ``wait`` or
                                         ``no_contact``, and in a sentence (`next_step_rules`)
``content_id``, ``content_text``         what to offer the lead (`content_offers`); missing where there is nothing
``money_{theme}``, ``points_{theme}``    what fit, source, engagement, sales_activity, history and timing add to
                                         the typical lead's expected revenue (``base_money`` of the manifest) and
                                         chance (percentage points), both within the primary horizon: base and
                                         themes add up to the forecast
``previous_as_of``, ``previous_model``   the scores that today's are compared with: the last of an earlier date;
                                         missing where the lead was not among them
``change_money``, ``change_points``      today's expected revenue and chance less those of then
``changes``                              why: JSON list of ``{code, text, feature, value, money, points}`` in the
                                         unit that ranks (the other one is null); the last one, of code ``other``,
                                         is everything else, and all of them add up to the change
``topics``                               what the lead cares about: JSON list of at most three
                                         ``{topic, count, last_days}``, most frequent first; what the company's
                                         own people did does not count
``touches_from_us_count``                touches so far from the company's side, and from the lead's; missing where
``touches_from_lead_count``              events do not say
``won_touches_from_us_p25/_p50/_p75``    what winning took: quartiles of the touches from the company's side until
                                         winning, over the latest won leads as known at training
``touches``                              the sentence that says both
``like_won``                             won leads whose forecast came about in the most similar way, as known at
                                         training: JSON list of at most three ``{lead_id, days_to_win, amount,
                                         did}``; ``did`` says in words what happened until it was won
``would_take``                           what one more touch would do, if it acts as it did for others (an
                                         association, no promise): JSON list of at most three ``{action, text,
                                         money, points, score, top_tenth}``, the one that adds most first
======================================== ====================================================================

Themes, changes and ``like_won`` are missing (lists: empty) for leads without reasons (``score --explain``), and
``would_take`` for leads further down than 2,000 of the ranking.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import catalogue, point_in_time
from features.schema import Tables
from features.spec import FeatureSpec
from features.versions import happened_events
from pipeline.common import formatting
from pipeline.common.degradation import Degradation, is_unreliable
from pipeline.ingest.company import LoadedCompany
from pipeline.insights.feature_groups import Signals, reliable_entries
from pipeline.insights.next_steps import steps_of_leads
from pipeline.insights.reason_blocks import Block
from pipeline.insights.score_changes import Previous, changes, read_previous, still_open
from pipeline.insights.sentences import NOTHING, TEXT, as_lists
from pipeline.insights.similar_leads import similar_won_leads
from pipeline.insights.what_if import what_it_would_take
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.model_registry.won_lead_profiles import WonLeadProfiles

THEMES = tuple(theme.replace(" ", "_") for theme in catalogue.THEMES)
TOPICS = 3
TOUCHES = {"touches_from_us_count": "touch_outbound_count", "touches_from_lead_count": "touch_inbound_count"}
WON_TOUCHES = tuple(f"won_touches_from_us_p{part}" for part in (25, 50, 75))
STEP_COLUMNS = ("next_step", "next_step_text", "content_id", "content_text")
LISTS = ("changes", "topics", "like_won", "would_take")
WOULD_TAKE_ROWS = 2_000
"""How many leads from the top are forecast again with one more touch: their features are built anew."""
SCHEMA = pa.schema(
    [
        ("lead_id", pa.string()),
        *((column, pa.string()) for column in STEP_COLUMNS),
        *((f"{unit}_{theme}", pa.float64()) for unit in ("money", "points") for theme in THEMES),
        ("previous_as_of", pa.timestamp("us")),
        ("previous_model", pa.string()),
        ("change_money", pa.float64()),
        ("change_points", pa.float64()),
        ("changes", pa.string()),
        ("topics", pa.string()),
        *((column, pa.float64()) for column in TOUCHES),
        *((column, pa.float64()) for column in WON_TOUCHES),
        *((column, pa.string()) for column in ("touches", "like_won", "would_take")),
    ]
)
NONE = "[]"


@dataclass(frozen=True)
class Insights:
    """Makes the rows of ``insights.parquet``.

    Parameters
    ----------
    signals : Signals
        The features as what a reader takes for one thing.
    typical : dict of str to float
        The typical lead's numbers.
    won_leads : WonLeadProfiles or None
        What the model keeps of won leads.
    matrix : data frame
        The features of all scored leads, by rank.
    previous : Previous or None
        What today's scores are compared with.
    lists : dict of str to series of text
        ``topics`` and ``would_take``, JSON lists by lead_id; leads without any are not in it.
    steps : data frame, index lead_id
        What to do next with each lead, as `next_steps.next_steps` says it.
    hears_events : bool
        Whether events can be relied on.
    """

    signals: Signals
    typical: dict[str, float]
    won_leads: WonLeadProfiles | None
    matrix: pd.DataFrame
    previous: Previous | None
    lists: dict[str, pd.Series]
    steps: pd.DataFrame
    hears_events: bool = True

    def of(self, block: Block) -> pa.Table:
        """Give the rows of leads that were explained."""
        found: dict[str, Any] = {}
        for unit in ("money", "points"):
            parts = getattr(block.attributions, unit)
            if parts is not None:
                sums = self.signals.by_theme(parts)
                found |= {f"{unit}_{theme}": sums[:, place] for place, theme in enumerate(THEMES)}
        ids = self.matrix["lead_id"].iloc[block.rows]
        if self.won_leads is not None:
            found["like_won"] = np.array(
                similar_won_leads(self.won_leads, self.signals, ids, block.attributions), dtype=object
            )
        if self.previous is not None:
            there = ids.isin(self.previous.totals.index)
            found["previous_as_of"] = there.map({True: pd.Timestamp(self.previous.as_of), False: pd.NaT})
            found["previous_model"] = there.map({True: self.previous.model_version, False: None})
            since = changes(self.previous, self.signals, ids, block.X, block.attributions, self.typical)
            found |= {str(name): since[name].to_numpy() for name in since}
        return self._table(block.rows, found)

    def of_the_rest(self, start: int) -> pa.Table:
        """Give the rows of the leads from a place in the ranking on, none of which was explained."""
        return self._table(slice(start, len(self.matrix["lead_id"])), {})

    def _table(self, rows: slice, found: Mapping[str, Any]) -> pa.Table:
        ids = self.matrix["lead_id"].iloc[rows]
        columns: dict[str, Any] = {name: np.full(len(ids), NONE, dtype=object) for name in LISTS}
        columns |= {"lead_id": ids, **found}
        columns |= {name: self.steps[name].iloc[rows] for name in STEP_COLUMNS}
        columns |= {name: lists.reindex(ids).fillna(NONE) for name, lists in self.lists.items()}
        if self.hears_events:
            columns |= {name: self.matrix[of].iloc[rows] for name, of in TOUCHES.items() if of in self.matrix}
        took = self.won_leads.habits.get("touches_from_us") if self.won_leads else None
        if took and "touches_from_us_count" in columns:
            columns |= {name: np.full(len(ids), figure) for name, figure in zip(WON_TOUCHES, took, strict=True)}
            columns["touches"] = columns["touches_from_us_count"].map(lambda count: _against_winning(count, took))
        arrays = [
            pa.array(np.asarray(columns[field.name]), field.type, from_pandas=True)
            if field.name in columns
            else pa.nulls(len(ids), field.type)
            for field in SCHEMA
        ]
        return pa.table(arrays, schema=SCHEMA)


def prepare_insights(
    company: LoadedCompany,
    stored: StoredModel,
    as_of: datetime,
    scores: pd.DataFrame,
    matrix: pd.DataFrame,
    explained_count: int,
    last: Path,
    degraded: Sequence[Degradation] = (),
) -> Insights:
    """Collect what the rows of ``insights.parquet`` are made from.

    Parameters
    ----------
    company : LoadedCompany
    stored : StoredModel
    as_of : datetime
        The date of the scores.
    scores : data frame
        The forecasts of all leads, by rank.
    matrix : data frame
        Their features.
    explained_count : int
        How many of them, from the top, get reasons.
    last : Path
        The folder with the scores that today's are compared with.
    degraded : sequence of Degradation
        Sources that cannot be relied on: nothing is concluded from what they do not hold.
    """
    columns = list(stored.feature_columns(matrix.head(0)).columns)
    signals = Signals(reliable_entries(stored.spec, degraded), columns, stored.facts.currency)
    previous = read_previous(last, as_of, signals, stored) if explained_count else None
    hears_events = not is_unreliable("events", degraded)
    explored = matrix.head(min(explained_count, WOULD_TAKE_ROWS) if hears_events else 0)
    steps = what_it_would_take(stored, company.tables, as_of, explored, stored.facts.currency)
    with_topics = matrix["lead_id"] if hears_events else matrix["lead_id"].head(0)
    topics = topics_of_leads(company.tables, stored.spec, as_of, with_topics)
    return Insights(
        signals,
        stored.typical(),
        stored.won_leads,
        matrix,
        None if previous is None else still_open(previous, matrix["lead_id"]),
        {
            "topics": topics,
            "would_take": pd.Series(steps, index=explored["lead_id"], dtype=object),
        },
        steps_of_leads(company, stored, as_of, scores, topics, degraded),
        hears_events,
    )


def _against_winning(count: float, took: Sequence[float]) -> str:
    """Say how often a lead was touched, against what winning takes."""
    low, middle, high = (round(figure) for figure in took)
    span = f"{middle:,}" if low == high else f"{low:,} to {high:,} (typically {middle:,})"
    return f"{formatting.count(count, 'touch', 'touches')} from us so far; winning took {span}"


def topics_of_leads(tables: Tables, spec: FeatureSpec, as_of: datetime, lead_ids: pd.Series) -> pd.Series:
    """Find what leads care about: the topics of what they did, as known at `as_of`.

    Returns
    -------
    series of text, index lead_id
        JSON list of at most three ``{topic, count, last_days}``; leads without a topic are not in it.
    """
    if not spec.has("events.topic"):
        return pd.Series([], index=pd.Index([], name="lead_id"), dtype=object)
    events = happened_events(tables)
    events = events.semi_join(ibis.memtable(pd.DataFrame({"lead_id": lead_ids.astype(str)})), "lead_id")
    events = events.filter(point_in_time.known_by(events.visible_at, as_of), events.topic.notnull())
    if spec.has("events.direction"):
        events = events.filter(ibis.coalesce(events.direction, "inbound") != "outbound")
    if spec.excluded_kinds:
        events = events.filter(events.kind.notin(spec.excluded_kinds))
    counted = events.group_by("lead_id", "topic").agg(
        count=events.count(), age=point_in_time.microseconds_between(events.occurred_at.max(), as_of)
    )
    order = [counted["count"].desc(), counted.age, counted.topic]
    place = ibis.row_number().over(ibis.window(group_by="lead_id", order_by=order))
    counted = counted.mutate(place=place)
    found = counted.filter(counted.place < TOPICS).order_by("lead_id", "place").to_pyarrow()
    days = pc.cast(pc.divide(found["age"], point_in_time.MICROSECONDS_PER_DAY), pa.int64())
    words = found["topic"].combine_chunks().dictionary_encode()
    encoded = pa.array([json.dumps(word, ensure_ascii=False) for word in words.dictionary.to_pylist()], TEXT)
    begin, middle, last, end = (pa.scalar(part, TEXT) for part in ('{"topic": ', ', "count": ', ', "last_days": ', "}"))
    objects = pc.binary_join_element_wise(
        begin,
        encoded.take(words.indices),
        middle,
        pc.cast(found["count"], TEXT),
        last,
        pc.cast(days, TEXT),
        end,
        NOTHING,
    )
    if isinstance(objects, pa.ChunkedArray):
        objects = objects.combine_chunks()
    counts = found["lead_id"].to_pandas().value_counts(sort=False)
    return pd.Series(as_lists(objects, counts.to_numpy()), index=counts.index)
