"""Make up a company: its CRM as four tables, the params to run on it, and the truth to hold forecasts against."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.common.errors import UserError
from pipeline.simulation import seasonality
from pipeline.simulation.company import TERRITORY_LEADS, draw_territory
from pipeline.simulation.crm_exports import Exports
from pipeline.simulation.crm_records import Records, records
from pipeline.simulation.data_errors import spoil
from pipeline.simulation.earlier_dates import instant_of, lives_until, rows_until, until_day
from pipeline.simulation.ground_truth import truth_table
from pipeline.simulation.lead_process import live
from pipeline.simulation.parquet_files import ParquetFiles
from pipeline.simulation.touches import touches
from pipeline.simulation.vendor_exports import VENDORS, write_export

PARAMS = """\
# A simulated company; `truth.parquet` beside this file holds each lead's true chances.
company: {company}
currency: EUR
seed: {seed}
horizons_days: [30, 90, 180, 365]   # forecasts reach this far, counted from as_of
primary_horizon_days: 90            # the horizon that ranks
artifacts: .                        # where results are written, relative to this file

snapshots:
  rows_limit: 17000                 # training rows; more take longer

features:
  windows_days: [30]                # how far back visits, mails and calls are counted

backtest:
  truth: truth.parquet              # lets the backtest ask the oracle, too
  cutoffs_count: 2                  # how many dates in the past are forecast again
  bootstrap_count: 100              # draws of leads behind each interval

data:
  timezone: Europe/Berlin           # of {zone_of}
  known_until: {until}T00:00     # where the data ends
  sources:
{sources}"""
CLEAN_SOURCES = """\
leads: {from: leads.parquet}
deals: {from: deals.parquet}
accounts: {from: accounts.parquet}
events: {from: events.parquet}
"""


@dataclass(frozen=True)
class TerritoryTables:
    """One territory, told to its end: the tables and the truth."""

    records: Records
    truth: pd.DataFrame


def territory_tables(
    leads: int, events_per_lead: float, seed: int, until: int | None = None
) -> Iterator[TerritoryTables]:
    """Tell the company's content territory by territory.

    Each has a seed of its own, so the first territories do not depend on how many follow.

    Parameters
    ----------
    leads, events_per_lead, seed
        As for `simulate`.
    until : int, optional
        The local day at whose beginning the company is looked at; None: where its content ends.
    """
    first_event = 0
    for index, start in enumerate(range(0, leads, TERRITORY_LEADS)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        territory = draw_territory(rng, index, min(TERRITORY_LEADS, leads - start))
        lives = live(rng, territory)
        seen = touches(rng, territory, lives, events_per_lead)
        if until is None:
            tables, ended_at = records(rng, territory, lives, seen, first_event)
            yield TerritoryTables(tables, truth_table(territory, lives, tables.leads["lead_id"], ended_at))
        else:
            so_far = lives_until(lives, until)
            tables, ended_at = records(rng, territory, so_far, seen, first_event, until)
            truth = truth_table(territory, so_far, tables.leads["lead_id"], ended_at, instant_of(until))
            yield TerritoryTables(rows_until(tables, until), truth[truth["created_at"] < instant_of(until)])
        first_event += len(seen)


def simulate(
    out: Path,
    *,
    leads: int = 20_000,
    events_per_lead: float = 18,
    seed: int = 0,
    mess: bool = False,
    export: str | None = None,
    until: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write a simulated company into a folder: leads, deals, accounts, events, ``truth.parquet`` and ``params.yaml``.

    Memory does not grow with the number of leads. The same arguments give the same bytes.

    Parameters
    ----------
    out : Path
        Folder; made if need be. Files of the same names are replaced.
    leads : int
        How many leads the company got in its three years.
    events_per_lead : float
        Mean number of events per lead.
    seed : int
        Another seed, another company.
    mess : bool
        Write the tables as two systems' text exports (`pipeline.simulation.data_errors`), ``mess.parquet`` (every row
        that was touched, and how) and ``mess.json`` (counts of both); ``truth.parquet`` then names leads ``system:id``.
    export : str, optional
        Instead of tables and params, write what a vendor's CRM exports (a key of
        `pipeline.simulation.vendor_exports.VENDORS`) and ``truth.json``, the figures that reading it must come to.
    until : str, optional
        A date: the CRM as it stood at that day's beginning. Two dates of the same company are two days of one CRM.
    progress : callable, optional
        Called with (leads done, leads in all) after every territory.

    Returns
    -------
    dict of str to int
        Rows per table, or per file of an export.

    Raises
    ------
    UserError
        Where a number is out of range, ``out`` is a file, or nobody knows how to write that export.
    """
    if leads < 1:
        raise UserError(f"--leads: found {leads}, needs to be at least 1")
    if not 0 < events_per_lead <= 1000:
        raise UserError(f"--events-per-lead: found {events_per_lead}, needs to be above 0 and at most 1000")
    if seed < 0:
        raise UserError(f"--seed: found {seed}, needs to be 0 or more")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file, name a folder")
    if export is not None and export not in VENDORS:
        raise UserError(f"--export: found {export}, allowed: {', '.join(VENDORS)}")
    if export is not None and mess:
        raise UserError("--mess and --export: choose one; a vendor's export has its own traps")
    if until is not None and (mess or export is not None):
        raise UserError("--until: is for clean tables; leave out --mess and --export")
    day = None if until is None else until_day(until)
    out.mkdir(parents=True, exist_ok=True)
    if export is not None:
        territories = (territory.records for territory in territory_tables(leads, events_per_lead, seed))
        return write_export(out, export, territories, seed)
    exports = Exports(out) if mess else None
    counts: dict[str, int] = {}
    done = 0
    with ParquetFiles(out) as files:
        for index, territory in enumerate(territory_tables(leads, events_per_lead, seed, day)):
            truth = territory.truth
            if exports:
                rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 1)))
                notes, lead_names = exports.append(spoil(rng, territory.records))
                files.append("mess", notes)
                truth["lead_id"] = truth["lead_id"].map(lead_names)
            else:
                for name, frame in vars(territory.records).items():
                    files.append(name, frame)
                    counts[name] = counts.get(name, 0) + len(frame)
            files.append("truth", truth)
            done += len(truth)
            if progress:
                progress(done, leads)
    sources, zone_of = CLEAN_SOURCES, "dates without an offset; the Parquet files hold UTC and say so"
    if exports:
        summary = exports.summary()
        (out / "mess.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        counts = {table: sum(systems.values()) for table, systems in summary["rows"].items()}
        sources, zone_of = exports.sources(), "dates without an offset, as the CRM writes them"
    params = PARAMS.format(
        company="demo",
        seed=seed,
        zone_of=zone_of,
        until=until or seasonality.KNOWN_UNTIL.date(),
        sources=textwrap.indent(sources, " " * 4),
    )
    (out / "params.yaml").write_text(params, encoding="utf-8")
    return counts
