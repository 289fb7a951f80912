"""One command for every night: sources into a sealed extract, forecasts, archive, report; whole, or yesterday's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq

from pipeline.archive import runs
from pipeline.archive.chain import Entry
from pipeline.archive.extracts import CHANGES, SOURCES, Extracts, taken_at
from pipeline.archive.forecasts import MARGINS, SCORES, Forecasts
from pipeline.archive.runs import Run
from pipeline.commands.monitor import FILES, metrics, monitor_company
from pipeline.common.atomic_write import check_writable, finish_moves, sha256_of, written_whole
from pipeline.common.dates import iso
from pipeline.common.degradation import Degradation
from pipeline.common.errors import DiskFullError, RunFailedError, UserError
from pipeline.common.formatting import count as counted
from pipeline.common.masking import masked, place_of
from pipeline.config.params import Params
from pipeline.delivery.clock import SystemClock
from pipeline.delivery.delivery import deliver as deliver_to_sinks
from pipeline.delivery.delivery import waiting_digest
from pipeline.delivery.planning import check_sinks
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.load import load_tables, written_end
from pipeline.ingest.night_extract import NightExtract, reading_fingerprint
from pipeline.ingest.observed_changes import write_changes, write_states
from pipeline.ingest.quarantine import quarantined
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.operations import freshness
from pipeline.operations.steps import Outcome, Records, Step, key_of, machine_fault, walk
from pipeline.reporting.sales_report import report
from pipeline.scoring.artifacts import MANIFEST, score_company
from pipeline.scoring.forecast import Loaded, forecast_leads, margins_table
from pipeline.scoring.since_training import attribute_names, other_settings, since_training


@dataclass(frozen=True)
class NightResult:
    """How a night ended.

    Parameters
    ----------
    run : Run
    """

    run: Run

    @property
    def exit_code(self) -> int:
        """0 complete, 3 degraded."""
        return 3 if self.run.state == runs.DEGRADED else 0

    def summary(self) -> str:
        """Say it in a few lines."""
        lines = [f"Night {self.run.night}: {self.run.state} (run {self.run.run_id})"]
        return "\n".join([*lines, *(f"Degraded: {one['source']}: {one['why']}" for one in self.run.degraded)])


class Night:
    """A night: its date, its extract, and what the steps share in memory.

    Parameters
    ----------
    params : Params
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self.folder = params.artifacts_folder
        self.extracts, self.forecasts = Extracts(params.archive_folder), Forecasts(params.archive_folder)
        self.taken_at = written_end(params) or datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        zone = ZoneInfo(params.data.timezone)
        self.date = self.taken_at.replace(tzinfo=UTC).astimezone(zone).date()
        self.degraded: list[Degradation] = []
        self.as_of: str | None = None
        self.model_version: str | None = None
        self.challengers: list[str] = []
        self.reads_again = False
        self.run_id = ""
        self.sinks = params.deliver.sinks
        self._company: LoadedCompany | None = None
        self._models: dict[str, StoredModel] = {}

    def digest(self, name: str) -> str:
        """Digest of what is no step: the night itself, the models that forecast, or a file (empty: not there)."""
        if name == "night":
            return str(self.date)
        if name == "outbox":
            return waiting_digest(self.params)
        if name == "model":
            registry = Registry(self.params)
            return json.dumps([registry.version("champion"), registry.challengers()])
        path = self.folder / name
        return sha256_of(path) if path.is_file() else "none" if "." in name else ""

    def param(self, key: str) -> Any:
        """Value of a dotted params key; ``*``: all that a forecast may depend on."""
        if key == "*":
            return self.params.model_dump(
                mode="json", exclude={"nightly", "deliver", "mlflow", "artifacts", "backtest"}
            )
        found: Any = self.params.model_dump(mode="json", by_alias=True)
        for part in key.split("."):
            found = found[part]
        return found

    def adopt(self, step: str, facts: Mapping[str, Any]) -> None:
        """Take note of what a step came to, in this run or an earlier one."""
        self.degraded += [
            Degradation(one["source"], one["why"], tuple(one["columns"])) for one in facts.get("degraded", ())
        ]
        for name in ("as_of", "model_version", "challengers"):
            setattr(self, name, facts.get(name, getattr(self, name)))

    def entry(self) -> Entry:
        """Give the night's extract."""
        found = self.extracts.of_night(self.date)
        assert found is not None
        return found

    def company(self) -> LoadedCompany:
        """Give the company as the night's extract has it."""
        if self._company is None:
            entry = self.entry()
            extract = NightExtract.of(entry, taken_at(entry), self.extracts.before(self.date))
            self._company = load_tables(self.params, extract, names=self._spelling())
        return self._company

    def model(self, which: str) -> tuple[str, StoredModel]:
        """Give a model's version and the model."""
        registry = Registry(self.params)
        version = registry.version(which)
        if version not in self._models:
            self._models[version] = registry.load(version)[1]
            self._models[version].check_horizons(self.params, version)
            other_settings(self.params, self._models[version], version)
        return version, self._models[version]

    def _spelling(self) -> dict[str, tuple[str, ...]]:
        """Give the columns as the champion spells them; without a champion as they are."""
        try:
            return attribute_names(self.model("champion")[1])
        except UserError:  # said where it is to forecast
            return {}

    def read_sources(self) -> Entry:
        """Read every source into a new extract, and seal it if the sources are what params ask for."""
        chain, nightly = self.extracts.chain, self.params.nightly
        name, before = self.extracts.free_name(self.date), self.extracts.before(self.date)
        degrading = frozenset(
            t for t in type(self.params.data.sources).model_fields if nightly.on_stale(t) == "degrade"
        )
        extract = NightExtract(chain.begin(name), self.taken_at, False, before, degrading)
        self._company = load_tables(self.params, extract, names=self._spelling())
        facts = freshness.source_facts(self._company, self.taken_at, extract.carried)
        degraded = freshness.judge(facts, nightly, self.taken_at, self.good_rows())
        extract.write_list()
        states = write_states(self._company.connection, extract.folder)
        write_changes(self._company.connection, extract.folder / CHANGES)
        contents = {
            "night": str(self.date),
            "taken_at": self.taken_at.isoformat() + "Z",
            "reading": reading_fingerprint(self.params),
            "facts": facts,
            "carried": extract.carried,
            "degraded": [one.to_dict() for one in degraded],
        }
        kept = [*(f"{source['relation']}.parquet" for source in extract.sources), *(p.name for p in states.values())]
        return chain.seal(name, contents, perishable=(SOURCES, *kept))

    def good_rows(self) -> dict[str, int]:
        """Give the rows of each source on the last good night before this one."""
        return freshness.good_rows([e for e in self.extracts.nights() if e.seal["night"] < str(self.date)])


def check_freshness(night: Night) -> Outcome:
    """Read the sources once, and say which are not what they should be."""
    found = None if night.reads_again else night.extracts.of_night(night.date)
    night.reads_again = False
    entry = found or night.read_sources()
    facts, before = entry.seal["facts"], night.extracts.before(night.date)
    degraded = freshness.judge(facts, night.params.nightly, taken_at(entry), night.good_rows())
    changes = pq.ParquetFile(entry.folder / CHANGES).metadata.num_rows
    since = f"{counted(changes, 'change', 'changes')} since {before.seal['night']}" if before else "the first one"
    lines = [f"{counted(len(facts), 'source', 'sources')} in the extract {entry.name}, {since}"]
    lines += freshness.changed_columns(facts, before.seal["facts"]) if before else []
    lines += [f"{one.source} is {one.why}" for one in degraded]
    record = {"extract": entry.digest, "degraded": [vars(one) for one in degraded]}
    rows = sum(fact["rows"] for fact in facts.values())
    return Outcome("; ".join(lines), rows, [entry.folder / "seal.json", entry.folder / CHANGES], record)


def load_and_check(night: Night) -> Outcome:
    """Make the canonical tables, and write down every row that cannot be used."""
    company = night.company()
    with written_whole(night.folder) as staging:
        quarantined(company.connection).to_parquet(staging.path("quarantine.parquet"), index=False)
    loaded = sum(count["loaded"] for count in company.counts.values())
    unusable = sum(count["quarantined"] for count in company.counts.values())
    return Outcome(
        f"{counted(loaded, 'row', 'rows')} loaded, {unusable:,} quarantined", loaded,
        [night.folder / "quarantine.parquet"],
        {"as_of": iso(company.known_until)},
    )  # fmt: skip


def forecast(night: Night) -> Outcome:
    """Forecast every open lead with the champion, and with each challenger in the shadow."""
    version, stored = night.model("champion")
    company = night.company()
    lines, changed = _since_training(night, stored, version)
    loaded = Loaded(company, stored, version, company.known_until, [*night.degraded, *changed])
    result = score_company(loaded, explained=None, out=night.folder, previous=night.folder, with_margins=True)
    challengers, told = _in_the_shadow(night, company)
    count = len(result.scores)
    lines = [f"{counted(count, 'lead', 'leads')} with model version {version}", *lines, *told]
    written = [MANIFEST, *json.loads((night.folder / MANIFEST).read_bytes())["files"]]
    files = [night.folder / name for name in [*written, *(f"margins_{other}.parquet" for other in challengers)]]
    record = {"degraded": [vars(one) for one in changed], "as_of": iso(company.known_until), "model_version": version}
    return Outcome("; ".join(lines), count, files, record | {"challengers": challengers})


def _in_the_shadow(night: Night, company: LoadedCompany) -> tuple[list[str], list[str]]:
    """Forecast with each challenger, and give those that did; one that cannot is said, and costs the night nothing."""
    challengers, lines = [], []
    with written_whole(night.folder) as staging:
        for version in Registry(night.params).challengers():
            try:
                stored = night.model(version)[1]
                shadow = forecast_leads(company, stored, company.known_until, version=version, explained=0)
                pq.write_table(margins_table(shadow, stored), staging.path(f"{MARGINS}_{version}.parquet"))
            except OSError:  # the disk, not the challenger
                raise
            except Exception as error:
                why = masked(str(error)) if isinstance(error, UserError) else place_of(error)
                lines.append(f"challenger {version} did not forecast: {why}")
                continue
            challengers.append(version)
            lines.append(f"challenger {version} in the shadow")
    for path in night.folder.glob(f"{MARGINS}_*.parquet"):
        if path.stem.removeprefix(f"{MARGINS}_") not in challengers:
            path.unlink()  # of a version that is challenger no longer
    return challengers, lines


def _since_training(night: Night, stored: StoredModel, version: str) -> tuple[list[str], list[Degradation]]:
    """Say what the tables no longer are that they were at training, and which of it the forecasts cannot rely on."""
    found = since_training(night.company(), stored, version, night.params)
    if found.refusals:
        raise RunFailedError(found.refusals[0])
    for one in found.degraded:
        rule = night.params.nightly.sources.get(one.table)
        if rule is not None and rule.on_stale == "stop":
            raise RunFailedError(
                f"data.sources.{one.table}: {one.why}; train again, or let the night go on "
                f"(nightly.sources.{one.table}.on_stale: degrade)"
            )
    return [*found.lines, *(one.why for one in found.degraded)], found.degraded


def archive(night: Night) -> Outcome:
    """Seal tonight's scores and margins into the archive, unless they are there."""
    manifest = json.loads((night.folder / MANIFEST).read_bytes())
    scores = sha256_of(night.folder / MANIFEST)
    found = night.forecasts.of_night(night.date)
    versions = night.challengers
    if found is None or (found.seal["scores"], found.seal["challengers"]) != (scores, versions):
        names = {SCORES: SCORES, MARGINS: MARGINS} | {f"{MARGINS}_{v}": f"{MARGINS}_{v}" for v in versions}
        tables = {to: pq.read_table(night.folder / f"{name}.parquet") for to, name in names.items()}
        facts = {name: manifest[name] for name in ("as_of", "model_version", "state", "degraded", "data_fingerprint")}
        facts |= {"scores": scores, "extract": night.entry().digest, "challengers": versions}
        facts["grids"] = {
            version: night.model(version)[1].forecaster.incidence_.grid_.to_dict()
            for version in [manifest["model_version"], *versions]
        }
        found = night.forecasts.append(night.date, tables, facts)
    size = sum(file["bytes"] for file in found.seal["files"].values())
    message = f"sealed as {found.name}, number {found.seal['sequence']} of the chain, {size:,} bytes"
    return Outcome(message, manifest["rows"], [found.folder / "seal.json"], {"seal": found.digest})


def watch(night: Night) -> Outcome:
    """Compare archived nights with what came, and tell MLflow."""
    company = night.company()
    found = monitor_company(company, company.known_until, lambda version: night.model(version)[1], out=night.folder)
    Registry(night.params).log_night(str(night.date), metrics(found.content))
    alarms = found.content["alarms"]
    lines = [counted(len(alarms), "alarm", "alarms"), *(alarm["text"] for alarm in alarms)]
    return Outcome("; ".join(lines), len(found.content["daily"]), [night.folder / name for name in FILES])


def deliver(night: Night) -> Outcome:
    """Deliver the forecasts to every sink; what one does not take degrades the night, and is tried again."""
    results = deliver_to_sinks(night.params, night.run_id, SystemClock(), night.company) if night.sinks else []
    degraded = [Degradation(f"deliver.{one.name}", one.text) for one in results if not one.is_whole]
    message = "; ".join(f"{one.name}: {one.text}" for one in results) or "no sinks in params"
    return Outcome(message, sum(one.sent for one in results), (), {"degraded": [vars(one) for one in degraded]})


def write_report(night: Night) -> Outcome:
    """Write the page for sales and marketing."""
    path = report(night.params, night.folder, night.company())
    return Outcome(path.name, None, [path])


STEPS = (
    Step("freshness", ("night",), ("nightly",), ("archive/extracts/NIGHT",), check_freshness),
    Step("load", ("freshness",), ("data",), ("quarantine.parquet",), load_and_check),
    Step("score", ("freshness", "load", "model"), ("*",), ("scores.parquet and the rest", MANIFEST), forecast),
    Step("archive", ("score",), (), ("archive/forecasts/as_of=NIGHT",), archive),
    Step("monitor", ("load", "archive"), ("monitor",), FILES, watch),
    # month-end comes here, as a step of its own
    Step("deliver", ("score", "outbox"), ("deliver",), ("the sinks of deliver", "deliveries.jsonl"), deliver),
    Step("report", ("score", "backtest.json"), ("data.timezone",), ("report.html",), write_report),
    # alert comes here
)
"""What a night does, in order."""


def nightly(
    params: Params,
    *,
    first: str | None = None,
    only: str | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
) -> NightResult:
    """Do what is left to do of tonight.

    Parameters
    ----------
    params : Params
    first : str, optional
        Do this step and those after it again, though they are done; ``freshness`` reads the sources anew.
    only : str, optional
        Do this step again, and no other.
    say : callable
        Told what each step came to.

    Returns
    -------
    NightResult

    Raises
    ------
    UserError
        A mistake of the user's; `RunFailedError` where a source or the machine is at fault; `BusyError` where another
        run is at work.
    """
    chosen = _chosen(first, only)
    check_sinks(params)
    night = Night(params)
    again = [only] if only else [step.name for step in chosen] if first else []
    try:
        return _one_night(night, chosen, again=again, say=say)
    except DiskFullError as error:  # nobody wrote anything wrong
        raise RunFailedError(f"{error}. The last results stay as they are") from error
    except OSError as error:  # outside of the steps: the disk is too full to say that a night begins
        raise _fault(error, night) from error


def _fault(error: OSError, night: Night) -> RunFailedError:
    fault = machine_fault(error, night.folder, "nightly")
    assert fault is not None
    return fault


def _one_night(night: Night, chosen: tuple[Step, ...], *, again: list[str], say: Callable[[str], None]) -> NightResult:
    """Do the chosen steps, those of `again` though they are done."""
    params = night.params
    check_writable(params.artifacts_folder, "make room, or give the right to write, and run it again")
    with runs.one_run(params.runs_folder, str(night.date)) as run:
        if run.taken_over:
            say(f"run {run.taken_over} was killed; this one takes its lock over and goes on where it stopped")
            run.log(f"took over the lock of {run.taken_over}, which was killed")
        night.run_id = run.run_id
        finish_moves(params.artifacts_folder)
        for chain in (night.extracts.chain, night.forecasts.chain):
            chain.complete_list()
        records = Records(params.runs_folder / "nights" / f"{night.date}.json", night.folder)
        night.reads_again = "freshness" in again
        if again:
            records.drop(again)
        for step in STEPS[: STEPS.index(chosen[0])]:  # what they came to counts, though they are not asked for
            if (found := records.get(step.name)) is not None:
                night.adopt(step.name, found["facts"])
        try:
            walk(chosen, night, records, run, say)
        finally:
            run.as_of, run.model_version = night.as_of, night.model_version
            run.degraded = [one.to_dict() for one in night.degraded]
        run.state = runs.DEGRADED if night.degraded else runs.COMPLETE
        night.extracts.forget_before(night.date, params.nightly.keep_extract_days)
        runs.forget_before(params.runs_folder, params.nightly.keep_runs_days)
    return NightResult(run)


def plan(params: Params, first: str | None = None, only: str | None = None) -> str:
    """Say what `nightly` would do, and do nothing: each step, what it reads and writes, and whether it is done."""
    chosen, night = _chosen(first, only), Night(params)
    records = Records(params.runs_folder / "nights" / f"{night.date}.json", night.folder)
    lines = [f"Night {night.date}; nothing is done (--dry-run)"]
    begun = first is not None or only is not None
    for step in chosen:
        key = None if begun else key_of(step, night, records)
        is_done = key is not None and records.is_sealed(step.name, key)
        begun = begun or not is_done
        reads = ", ".join([*step.inputs, *(f"params {key}" for key in step.params if key != "*")])
        lines.append(f"  {step.name:<10} {'done' if is_done else 'to do':<6} {reads} -> {', '.join(step.outputs)}")
    return "\n".join(lines)


def _chosen(first: str | None, only: str | None) -> tuple[Step, ...]:
    names = [step.name for step in STEPS]
    for option, name in (("--from", first), ("--only", only)):
        if name is not None and name not in names:
            raise UserError(f"{option}: found '{name}'; the steps are {', '.join(names)}")
    if first and only:
        raise UserError("--from and --only: give one of them")
    if only:
        return (STEPS[names.index(only)],)
    return STEPS[names.index(first) :] if first else STEPS
