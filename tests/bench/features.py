"""Cost of the feature matrix: how it grows, what it takes in memory, and beside the same aggregates in other tools.

Every size runs in a process of its own, so that its peak of memory is its own. The companies are made once and stay in
the system's temporary folder, in ``leadrev-bench``.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

SIZES = (10_000, 100_000, 1_000_000)
THREADS = 2
LIMIT_GB = 3
ROWS_LIMIT = 150_000
SLICE = 100
DAY = 86_400_000_000


def run(quick: bool = False) -> None:
    """Print every table."""
    sizes = SIZES[:-1] if quick else SIZES
    for size in sizes:
        company(size)
    growth(sizes)
    beside_polars(sizes[-1])
    bounded_memory(sizes[-1])
    beside_featuretools()


def company(size: int) -> Path:
    """Make a company of so many leads, unless it is there from an earlier run."""
    from pipeline.simulation.simulate import simulate

    folder = Path(tempfile.gettempdir()) / "leadrev-bench" / f"company-{size}"
    if not (folder / "params.yaml").exists():
        start = time.perf_counter()
        simulate(folder, leads=size, events_per_lead=18, seed=0)
        print(f"  made a company of {size:,} leads in {time.perf_counter() - start:.0f} s", flush=True)
    return folder


def growth(sizes: tuple[int, ...]) -> None:
    """Load, train's snapshots, labels and matrix, and the matrix of all open leads, at each size."""
    print(f"\nFull catalogue, {THREADS} threads; wall seconds (processor seconds), and the process's peak of memory")
    heads = f"{'load':>14}{'snapshots':>14}{'training matrix':>22}{'open leads':>26}{'peak':>9}"
    print(f"  {'leads':>10}{'events':>12}  {heads}")
    costs = []
    for size in sizes:
        found = _child("measure", size)
        costs.append(found["open"]["cpu"])
        training, opened = found["training"], found["open"]
        trained = f"{_took(training)} {training['rows']:,}"
        matrix = f"{_took(opened)} {opened['rows']:,} x {found['columns']}"
        print(
            f"  {size:10,}{found['events']:12,}  {_took(found['load']):>14}{_took(found['snapshots']):>14}"
            f"{trained:>22}{matrix:>26}{found['peak_gb']:6.1f} GB",
            flush=True,
        )
    if len(sizes) > 1:
        slope = math.log(costs[-1] / costs[0]) / math.log(sizes[-1] / sizes[0])
        print(f"  slope of the open leads' processor time on log scales, {sizes[0]:,} to {sizes[-1]:,}: {slope:.2f}")


def beside_polars(size: int) -> None:
    """Run the core aggregates of events, ours and written by hand in Polars, from Parquet to Parquet."""
    print(f"\nCore aggregates of events, {size:,} leads, {THREADS} threads; wall seconds (processor seconds)")
    if importlib.util.find_spec("polars") is None:
        print("  left out, polars is not installed")
        return
    for grid, name in (("open", "all open leads"), ("training", "training snapshots")):
        _child("inputs", size, grid)
        ours, theirs = _child("ours", size, grid), _child("polars", size, grid)
        print(
            f"  {name:20} ours {_took(ours['time']):>14} {ours['peak_gb']:.1f} GB   Polars {_took(theirs['time']):>14} "
            f"{theirs['peak_gb']:.1f} GB   ratio {ours['time']['wall'] / theirs['time']['wall']:.2f} "
            f"({ours['time']['cpu'] / theirs['time']['cpu']:.2f})   largest difference {_difference(size):.1e}",
            flush=True,
        )


def bounded_memory(size: int) -> None:
    """Load the company and build the matrix of its open leads in a process that may not take more."""
    found = _child("bounded", size)
    print(f"\nHeld to {LIMIT_GB} GB (RLIMIT_DATA)")
    print(
        f"  {size:,} leads, {found['events']:,} events: load {_took(found['load'])}, all open leads "
        f"{_took(found['open'])}; peak {found['peak_gb']:.1f} GB"
    )


def beside_featuretools() -> None:
    """Run the same kind of aggregates in featuretools, with a cutoff time for every snapshot, on a small slice."""
    print(f"\nfeaturetools with cutoff times, {SLICE} snapshots of the smallest company, one thread")
    if importlib.util.find_spec("featuretools") is None:
        print("  left out, featuretools is not installed")
        return
    found = _child("featuretools", SIZES[0])
    print(
        f"  {found['columns']} features, {_took(found['time'])}: {found['rows'] / found['time']['wall']:.0f} snapshots "
        f"a second"
    )


def _took(times: dict[str, float]) -> str:
    return f"{times['wall']:.1f} ({times['cpu']:.1f})"


def _child(task: str, *given: Any) -> dict[str, Any]:
    """Run a task in a process of its own and give what it prints last."""
    command = [sys.executable, "-m", "tests.bench.features", task, *(str(part) for part in given)]
    environment = {**os.environ, "POLARS_MAX_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    # Arrow's own allocator reserves 1 GB of addresses that it does not use; the limit counts those too.
    environment["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}, result


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def _loaded(size: int) -> tuple[dict[str, float], Any, Any]:
    from pipeline.config.params import load_params
    from pipeline.ingest.load import load_tables
    from pipeline.training.fit import FeatureSpec

    params = load_params(company(size) / "params.yaml")
    took, loaded = _timed(partial(load_tables, params))
    loaded.connection.execute(f"SET threads = {THREADS}")
    spec = FeatureSpec.from_tables(
        loaded.tables, known_at=loaded.known_until, windows_days=(7, 30, 90), timezone=params.data.timezone
    )
    return took, loaded, spec


def _measure(size: int, limited: bool = False) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from features import labels, lifecycle, snapshots
    from features.materialise import build_matrix
    from features.schema import materialise

    took, loaded, spec = _loaded(size)
    tables, as_of = loaded.tables, loaded.known_until
    found: dict[str, Any] = {"load": took, "events": tables.events.count().execute()}
    out = Path(loaded.scratch.name) / "matrix.parquet"

    def build(grid: Any) -> tuple[int, int]:
        frame = build_matrix(tables, grid, spec)
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), out)
        return len(frame), len(frame.columns) - 3

    found["open"], (found["open"]["rows"], found["columns"]) = _timed(
        lambda: build(materialise(snapshots.open_leads(tables, as_of)))
    )
    if not limited:

        def snapshots_and_labels() -> Any:
            grid = materialise(snapshots.training_snapshots(tables, as_of, rows_limit=ROWS_LIMIT).drop("weight"))
            labels.labels(grid, lifecycle.outcomes(tables, as_of), as_of).to_parquet(out)
            return grid

        found["snapshots"], grid = _timed(snapshots_and_labels)
        found["training"], (found["training"]["rows"], _) = _timed(partial(build, grid))
    return {**found, "peak_gb": _peak_gb()}


def _bounded(size: int) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_GB << 30, LIMIT_GB << 30))
    return _measure(size, limited=True)


def core(spec: Any) -> list[str]:
    """Name the features that both compute."""
    windows, of_kinds = ([f"{days}d_count" for days in every] for every in (spec.windows_days, spec.kind_windows_days))
    names = ["touch_count", "touch_recency_days", "touch_decayed_count", "touch_active_days_count"]
    names += ["touch_topics_count", "touch_inbound_recency_days", "touch_outbound_count"]
    names += [f"touch_{window}" for window in windows]
    names += [f"touch_{way}_{window}" for way in ("inbound", "outbound") for window in windows]
    kinds = spec.kind_names().values()
    return names + [f"touch_{kind}_{rest}" for kind in kinds for rest in ("recency_days", "count", *of_kinds)]


def _files(size: int, grid: str) -> tuple[Path, Path]:
    folder = company(size)
    return folder / f"grid-{grid}.parquet", folder / "events-known.parquet"


def _inputs(size: int, which: str) -> dict[str, Any]:
    """Leave what both read: the snapshots, the clean events, and what is wanted of them."""
    from features import snapshots

    _, loaded, spec = _loaded(size)
    tables, as_of = loaded.tables, loaded.known_until
    grid = (
        snapshots.open_leads(tables, as_of)
        if which == "open"
        else snapshots.training_snapshots(tables, as_of, rows_limit=ROWS_LIMIT).drop("weight")
    )
    dates, events = _files(size, which)
    write_inputs(tables, grid, dates, events)
    (events.parent / "spec.json").write_text(spec.to_json())
    return {}


def write_inputs(tables: Any, grid: Any, dates: Path, events: Path) -> None:
    """Write the snapshots, with their leads' creation, and the clean events."""
    from features.versions import happened_events

    grid.join(tables.leads.select("lead_id", "created_at"), "lead_id").to_parquet(dates)
    known = happened_events(tables)
    known.select("lead_id", "occurred_at", "visible_at", "kind", "direction", "topic").to_parquet(events)


def core_of(dates: Path, events: Path, spec: Any, backend: Any) -> Any:
    """Give the core aggregates by our definitions, of the two files."""
    import ibis

    from features import engagement, snapshot_context
    from features.schema import SCHEMAS, Tables

    def table(name: str, **known: Any) -> Any:
        return {column: known.get(column, ibis.null(type_)) for column, type_ in SCHEMAS[name].items()}

    grid, happened = backend.read_parquet(dates), backend.read_parquet(events)
    leads = grid.select("lead_id", "created_at").distinct()
    tables = Tables(
        **{
            name: ibis.memtable([], schema=schema)
            for name, schema in SCHEMAS.items()
            if name not in ("leads", "events")
        },
        leads=leads.select(**table("leads", lead_id=leads.lead_id, created_at=leads.created_at)),
        events=happened.select(
            **table("events", known_at=happened.visible_at, **{name: happened[name] for name in happened.columns})
        ),
        present={"leads": frozenset({"lead_id", "created_at"})},
    )
    # Of what flows in, that which both compute.
    columns = tuple(name for name in spec.columns if name.startswith("events."))
    spec = replace(spec, columns=columns, lead_attributes=(), account_attributes=(), topics=(), channels=())
    found = snapshot_context.snapshot_context(tables, grid.select(*snapshot_context.KEYS), spec)
    parts = (engagement.counts(found), engagement.distincts(found))
    rows = snapshot_context.join_facts(found.rows.select("snapshot", *snapshot_context.KEYS), *parts)
    return rows.select(*snapshot_context.KEYS, *core(spec))


def _ours(size: int, which: str) -> dict[str, Any]:
    """Run our definitions on the two files."""
    import ibis

    from features.spec import FeatureSpec

    dates, events = _files(size, which)
    spec = FeatureSpec.from_json((events.parent / "spec.json").read_text())
    backend = ibis.duckdb.connect(threads=THREADS)
    took, _ = _timed(lambda: core_of(dates, events, spec, backend).to_parquet(events.parent / "core-ours.parquet"))
    return {"time": took, "peak_gb": _peak_gb()}


def by_hand(dates: Path, events: Path, spec: Any) -> Any:
    """Give the same as `core_of`, in Polars, as a team would write it by hand: a lazy frame."""
    import polars as pl

    from features.timing import standard_offset_seconds

    keys = ["lead_id", "episode", "as_of"]
    grid = pl.scan_parquet(dates).select(keys)
    pairs = grid.join(pl.scan_parquet(events), on="lead_id").filter(pl.col("visible_at") <= pl.col("as_of"))
    local = pl.col("occurred_at") + pl.duration(seconds=standard_offset_seconds(spec.timezone))
    pairs = pairs.with_columns(
        age=(pl.col("as_of") - pl.col("occurred_at")).dt.total_microseconds(), day=local.dt.truncate("1d")
    )
    age, within = pl.col("age"), {days: pl.col("age") < days * DAY for days in spec.windows_days}
    inbound, outbound = pl.col("direction") == "inbound", pl.col("direction") == "outbound"
    sums = {
        "touch_count": pl.len(),
        "touch_recency_days": age.min() / DAY,
        "touch_decayed_count": (2.0 ** (-age / (14 * DAY))).sum(),
        "touch_active_days_count": pl.col("day").n_unique(),
        "touch_topics_count": pl.col("topic").drop_nulls().n_unique(),
        "touch_inbound_recency_days": age.filter(inbound).min() / DAY,
        "touch_outbound_count": outbound.sum(),
    }
    for days, recent in within.items():
        sums[f"touch_{days}d_count"] = recent.sum()
        sums[f"touch_inbound_{days}d_count"] = (inbound & recent).sum()
        sums[f"touch_outbound_{days}d_count"] = (outbound & recent).sum()
    for kind, name in spec.kind_names().items():
        is_kind = pl.col("kind") == kind
        sums[f"touch_{name}_recency_days"] = age.filter(is_kind).min() / DAY
        sums[f"touch_{name}_count"] = is_kind.sum()
        for days in spec.kind_windows_days:
            sums[f"touch_{name}_{days}d_count"] = (is_kind & within[days]).sum()
    found = grid.join(pairs.group_by(keys).agg(**sums), on=keys, how="left")
    return found.with_columns(pl.col([name for name in sums if name.endswith("_count")]).fill_null(0))


def _polars(size: int, which: str) -> dict[str, Any]:
    from features.spec import FeatureSpec

    dates, events = _files(size, which)
    spec = FeatureSpec.from_json((events.parent / "spec.json").read_text())
    out = events.parent / "core-polars.parquet"
    took, _ = _timed(lambda: by_hand(dates, events, spec).collect(engine="streaming").write_parquet(out))
    return {"time": took, "peak_gb": _peak_gb()}


def _difference(size: int) -> float:
    """Give the largest difference between ours and Polars' of any value."""
    import duckdb

    folder = company(size)
    described = duckdb.sql(f"DESCRIBE FROM '{folder}/core-ours.parquet'").fetchall()
    names = [name for name, type_, *_ in described if type_ == "DOUBLE"]
    tests = ", ".join(f"max(abs(coalesce(o.{name}, 0) - coalesce(p.{name}, 0)))" for name in names)
    row = duckdb.sql(
        f"SELECT {tests} FROM '{folder}/core-ours.parquet' o "  # noqa: S608 (our own column names)
        f"JOIN '{folder}/core-polars.parquet' p USING (lead_id, episode, as_of)"
    ).fetchall()[0]
    return max(float(value) for value in row)


def _featuretools(size: int) -> dict[str, Any]:
    import warnings

    import featuretools as ft
    import pandas as pd

    from features import snapshots

    warnings.simplefilter("ignore")
    _, loaded, _ = _loaded(size)

    grid = snapshots.open_leads(loaded.tables, loaded.known_until).order_by("lead_id").limit(SLICE).to_pandas()
    events = loaded.tables.events.filter(loaded.tables.events.lead_id.isin(list(grid.lead_id))).to_pandas()
    events["event"] = range(len(events))
    entities = ft.EntitySet()
    entities.add_dataframe(dataframe_name="leads", dataframe=grid[["lead_id"]].assign(is_lead=True), index="lead_id")
    entities.add_dataframe(
        dataframe_name="events",
        dataframe=events[["event", "lead_id", "occurred_at", "kind", "direction", "topic"]],
        index="event",
        time_index="occurred_at",
        logical_types=dict.fromkeys(("kind", "direction", "topic"), "Categorical"),
    )
    entities.add_relationship("leads", "lead_id", "events", "lead_id")
    entities.add_interesting_values(
        dataframe_name="events",
        values={"kind": list(events.kind.unique()), "direction": list(events.direction.dropna().unique())},
    )
    # Cutoffs as in training: each snapshot has an instant of its own.
    cutoffs = pd.DataFrame({"lead_id": grid.lead_id, "time": grid.as_of - pd.to_timedelta(range(len(grid)), unit="s")})
    took, (found, _) = _timed(
        lambda: ft.dfs(
            entityset=entities,
            target_dataframe_name="leads",
            cutoff_time=cutoffs,
            agg_primitives=["count", "time_since_last", "num_unique"],
            where_primitives=["count", "time_since_last"],
            trans_primitives=[],
        )
    )
    return {"time": took, "rows": len(cutoffs), "columns": found.shape[1]}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "measure": _measure, "bounded": _bounded, "inputs": _inputs, "ours": _ours, "polars": _polars,
    "featuretools": _featuretools,
}  # fmt: skip

if __name__ == "__main__":
    task, size, *rest = sys.argv[1:]
    print(json.dumps(TASKS[task](int(size), *rest)))
