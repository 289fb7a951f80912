"""What is asked for: snapshots by number, each with its lead's columns as known at its date.

Every theme builds its features from here: strings are compared once, afterwards numbers are. What all snapshots need
together (how sources converted, which events are theirs) is worked out once and kept where the data is; the wide sums
come block after block, so that memory bounds the size of a block and not of the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import ibis
import ibis.expr.types as ir

from features import point_in_time
from features.schema import Tables, materialise
from features.spec import FeatureSpec
from features.versions import as_they_were, change_spans

KEYS = ["lead_id", "episode", "as_of"]


@dataclass(frozen=True)
class SnapshotContext:
    """Snapshots whose features are asked for.

    Parameters
    ----------
    tables : Tables
    spec : FeatureSpec
    every : ibis table
        ``snapshot`` (0, 1, … in the order of the keys), ``lead`` (the same number for the same lead), ``lead_id,
        episode, as_of, created_at``; and of the lead's columns those that the spec lets in, as known at ``as_of``:
        canonical ones under their names, attributes under their features' (`FeatureSpec.attribute_names`).
    rows : ibis table
        Those of them that are built now.
    """

    tables: Tables
    spec: FeatureSpec
    every: ir.Table
    rows: ir.Table
    _derived: dict[str, ir.Table] = field(default_factory=dict, repr=False, compare=False)

    def block(self, rows: ir.Table) -> SnapshotContext:
        """Ask for some of the snapshots only; what was worked out for all of them is shared."""
        return replace(self, rows=rows)

    def memoize(self, name: str, make: Callable[[], ir.Table]) -> ir.Table:
        """Work out what all snapshots need together once, and keep it where the data is."""
        if name not in self._derived:
            self._derived[name] = materialise(make())
        return self._derived[name]

    def column(self, name: str) -> str:
        """Name the column of `rows` that holds a column of leads."""
        return self.spec.attribute_names("leads").get(name, name)


def snapshot_context(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> SnapshotContext:
    """Give the snapshots their numbers, and put their leads' columns beside them.

    Parameters
    ----------
    tables : Tables
    snapshots : ibis table
        ``lead_id, episode, as_of``, no row twice.
    spec : FeatureSpec
    """
    own = spec.attribute_names("leads")
    canonical = {"account_id", "title", *spec.word_columns(), *spec.converting_columns()}
    canonical |= {column.removeprefix("leads.") for column in spec.form_columns()}
    needed = sorted(canonical - set(own)) + sorted(own)
    rows = snapshots.select(*KEYS).join(tables.leads.select("lead_id", *needed), "lead_id")
    rows = as_they_were(rows, tables, "leads", "lead_id")
    found = {name: spec.without_set_aside(rows[name], rows.lead_id, f"leads.{name}") for name in needed}
    if not spec.has("leads.account_id"):  # what may not be looked at leads to no company either
        found["account_id"] = ibis.null("string")
    rows = rows.select(*KEYS, **{own.get(name, name): value for name, value in found.items()})
    # When a lead was made has no history.
    rows = rows.join(tables.leads.select("lead_id", "created_at"), "lead_id")
    in_order = ibis.window(order_by=[rows[key] for key in KEYS])
    by_lead = ibis.window(order_by=rows.lead_id)
    rows = rows.mutate(
        snapshot=ibis.row_number().over(in_order).cast("int32"), lead=ibis.dense_rank().over(by_lead).cast("int32")
    )
    every = materialise(rows)
    return SnapshotContext(tables, spec, every, every)


def account_memberships(tables: Tables) -> ir.Table:
    """Give the companies that leads belonged to, each over the span in which that was known.

    Returns
    -------
    ibis table
        ``lead_id, account_id, known_from, known_until``; from when the lead itself was known.
    """
    return tables.memoize("people", lambda: _account_memberships(tables))


def _account_memberships(tables: Tables) -> ir.Table:
    leads = tables.leads
    heard_at = ibis.coalesce(leads.known_at, point_in_time.instant(point_in_time.ALWAYS))
    now = leads.select(
        "lead_id", "account_id", known_from=heard_at, known_until=point_in_time.instant(point_in_time.NEVER)
    )
    if "account_id" in tables.tracked("leads"):
        past = change_spans(tables, "leads", "account_id").rename(lead_id="row_id", span_from="known_from")
        moved = past.join(now.select("lead_id", heard_at="known_from"), "lead_id")
        moved = moved.mutate(account_id=moved["value"], known_from=ibis.greatest(moved.span_from, moved.heard_at))
        moved = moved.filter(moved.known_from < moved.known_until)
        now = now.anti_join(past, "lead_id").union(moved.select(now.columns))
    return now.filter(now.account_id.notnull())


def join_facts(rows: ir.Table, *facts: ir.Table) -> ir.Table:
    """Put facts of snapshots beside `rows`, null where there are none.

    All in one chain: joined one by one, every join would name all columns again, and compiling takes longer than
    building a small matrix.

    Parameters
    ----------
    rows : ibis table
        With ``snapshot``.
    *facts : ibis tables
        ``snapshot``, none twice, and columns of their own.
    """
    names, joined = list(rows.columns), rows
    for place, part in enumerate(facts):
        names += [name for name in part.columns if name != "snapshot"]
        part = part.rename({f"snapshot_{place}": "snapshot"})
        joined = joined.left_join(part, [("snapshot", f"snapshot_{place}")])
    return joined.select(names)
