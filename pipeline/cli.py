"""The command line: one function a command, each a thin door to the module that does the work."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Annotated

import typer

from pipeline.common.errors import UserError
from pipeline.common.masking import masked

app = typer.Typer(
    name="leadrev",
    help="From a company's own leads and deals to one calibrated forecast per open lead: how likely it is to be won, "
    "when, for how much, and why.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

_debug = False


def _set_debug(on: bool) -> None:
    global _debug
    _debug = _debug or on


ParamsFile = Annotated[Path, typer.Option("--params", "-p", help="The params file.", show_default=True)]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_set_debug, is_eager=True)
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="Use only what was known then: 2026-05-15 (midnight in data.timezone) or an instant with its offset. "
        "Default: data.known_until.",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to. Default: `artifacts` of the params.")
]
Model = Annotated[str, typer.Option("--model", metavar="champion|latest|VERSION", help="Which model scores.")]


@app.command()
def demo(
    leads: Annotated[int, typer.Option("--leads", min=500, help="How many leads to make up.")] = 20_000,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for everything.")] = Path("demo"),
    debug: Debug = False,
) -> None:
    """Do the whole job on a company made up on the spot: simulate, check, train, backtest, score, report.

    Example: `leadrev demo --leads 20000 --out demo`
    """
    from pipeline.commands.demo import demo as run

    run(out, leads=leads)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the tables, params.yaml and truth.")],
    leads: Annotated[int, typer.Option("--leads", min=100, help="How many leads.")] = 20_000,
    events_per_lead: Annotated[int, typer.Option("--events-per-lead", min=1, help="Events a lead, on average.")] = 18,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 0,
    mess: Annotated[
        bool, typer.Option("--mess", help="With what real exports hold: broken dates, duplicates.")
    ] = False,
    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="CRM",
            help="As a vendor's CRM exports it, with truth.json: salesforce, hubspot, dynamics, pipedrive, zoho, odoo.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="As the CRM stood at the beginning of that day.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Make up a company's CRM with a known truth.

    Example: `leadrev simulate --out company --leads 5000 --seed 7`
    """
    from pipeline.common.progress import step
    from pipeline.simulation.simulate import simulate as run

    with step(f"simulating {leads:,} leads"):
        run(out, leads=leads, events_per_lead=events_per_lead, seed=seed, mess=mess, export=export, until=until)
    following = f"leadrev init {out}" if export else f"leadrev check -p {out}/params.yaml"
    typer.echo(f"A company of {leads:,} leads lies in {out}/; next: {following}")


@app.command()
def init(
    places: Annotated[
        list[str],
        typer.Argument(metavar="PLACE", help="A folder of exports, files, or postgresql://user@host/database."),
    ],
    crm: Annotated[
        str | None,
        typer.Option(
            "--crm",
            metavar="NAME",
            help="salesforce, hubspot, dynamics, pipedrive, zoho, odoo or bitrix. Default: what the tables look like.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The params file to write.")] = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Look at exports or a database, write params that read them, check them, and say what is left to decide.

    Run again, it changes nothing that you have edited and says what is new in the data.

    Example: `leadrev init export/ --out params.yaml`
    """
    from pipeline.commands.init import init as run

    def ask(question: str, choice: str) -> str:
        return typer.prompt(f"{question}\n  Enter keeps", default=choice)

    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    typer.echo(run(places, out, crm=crm, ask=ask if is_terminal else None).summary())


@app.command()
def check(params: ParamsFile = Path("params.yaml"), out: Out = None, debug: Debug = False) -> None:
    """Read all sources, reconcile, validate, and audit for leakage; no model.

    Example: `leadrev check -p company/params.yaml`
    """
    from pipeline.commands.check import check as run
    from pipeline.commands.check import summary
    from pipeline.config.params import load_params

    loaded = load_params(params)
    folder = out or loaded.artifacts_folder
    typer.echo(summary(run(loaded, folder)))
    typer.echo(f"Written: {folder}/audit.html, audit.json, quarantine.parquet")


@app.command()
def features(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Parquet file for the matrix.")] = None,
    as_of: AsOf = None,
    describe: Annotated[bool, typer.Option("--describe", help="Print the catalogue of features instead.")] = False,
    params: ParamsFile = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Write the feature matrix of all leads that are open at a date.

    Example: `leadrev features --as-of 2026-05-01 --out matrix.parquet`
    """
    from pipeline.commands.features import describe_features, write_features
    from pipeline.config.params import load_params

    loaded = load_params(params)
    if describe:
        typer.echo(describe_features(loaded, as_of))
        return
    if out is None:
        raise UserError("--out: name the Parquet file to write, for example --out matrix.parquet (or use --describe)")
    rows, columns = write_features(loaded, as_of, out)
    typer.echo(f"{rows:,} open leads × {columns} features written to {out}")


@app.command()
def train(
    params: ParamsFile = Path("params.yaml"),
    as_of: AsOf = None,
    tune: Annotated[
        float | None,
        typer.Option(
            "--tune", metavar="MINUTES", min=0.01, help="Search settings for so long before; goes on if run again."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Train on what was known at a date, log and register in MLflow; promotes nothing.

    Example: `leadrev train --as-of 2026-05-01 --tune 20`
    """
    from pipeline.commands.train import train as run
    from pipeline.config.params import load_params

    typer.echo(run(load_params(params), as_of, tune_minutes=tune).summary())


@app.command()
def backtest(
    params: ParamsFile = Path("params.yaml"),
    cutoffs: Annotated[
        str | None,
        typer.Option(
            "--cutoffs", metavar="D1,D2,…", help="Dates to train at. Default: backtest.cutoffs_count, a horizon apart."
        ),
    ] = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Train at each cutoff, score all leads open then, and compare with the actual outcomes.

    Example: `leadrev backtest --cutoffs 2025-10-01,2026-01-01`
    """
    from pipeline.commands.backtest import backtest as run
    from pipeline.commands.backtest import summary
    from pipeline.config.params import load_params

    loaded = load_params(params)
    folder = out or loaded.artifacts_folder
    typer.echo(summary(run(loaded, cutoffs.split(",") if cutoffs else None, folder)))
    typer.echo(f"Written: {folder}/backtest.html, backtest.json")


@app.command()
def score(
    params: ParamsFile = Path("params.yaml"),
    as_of: AsOf = None,
    model: Model = "champion",
    explain: Annotated[
        str, typer.Option("--explain", metavar="all|N|none", help="How many leads, from the top, get reasons.")
    ] = "all",
    out: Out = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            "--previous", metavar="DIR", help="Scores of an earlier date to say what changed since. Default: --out."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Forecast every open lead: whole, or not at all.

    Example: `leadrev score --as-of 2026-05-15 --explain 500`
    """
    from pipeline.commands.score import score as run
    from pipeline.config.params import load_params

    loaded = load_params(params)
    folder = out or loaded.artifacts_folder
    typer.echo(run(loaded, as_of, model=model, explain=explain, out=folder, previous=previous).summary())


@app.command()
def nightly(
    params: ParamsFile = Path("params.yaml"),
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="STEP", help="Do this step and those after it again; freshness reads anew."),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="STEP", help="Do this step again, and no other.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    debug: Debug = False,
) -> None:
    """Do tonight's work: sources into a sealed extract, forecasts, archive, report; a killed night goes on.

    Exits with 0 (complete), 3 (degraded: some source cannot be relied on), 1 (failed: the last results stay), 2 (a
    mistake in params or options) or 75 (another run is at work).

    Example: `leadrev nightly -p company/params.yaml`
    """
    from pipeline.commands.nightly import nightly as run
    from pipeline.commands.nightly import plan
    from pipeline.config.params import load_params

    loaded = load_params(params)
    if dry_run:
        typer.echo(plan(loaded, first, only))
        return
    result = run(loaded, first=first, only=only)
    typer.echo(result.summary())
    if result.exit_code:
        raise typer.Exit(result.exit_code)


@app.command()
def status(params: ParamsFile = Path("params.yaml"), debug: Debug = False) -> None:
    """Say in five lines how the last night went, what it read, what is archived, and what to do next.

    Example: `leadrev status -p company/params.yaml`
    """
    from pipeline.config.params import load_params
    from pipeline.operations.status import status as run

    typer.echo(run(load_params(params)))


@app.command()
def archive(
    action: Annotated[str, typer.Argument(metavar="verify", help="What to do with the archive: verify it.")],
    params: ParamsFile = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Prove that nothing in the archive was changed since it was sealed; exits with 1 where something was.

    Example: `leadrev archive verify -p company/params.yaml`
    """
    from pipeline.config.params import load_params
    from pipeline.operations.archive_check import verify

    if action != "verify":
        raise UserError(f"archive: found '{action}'; what can be done is: verify")
    findings, said = verify(load_params(params))
    for finding in findings:
        typer.echo(finding, err=True)
    typer.echo(said)
    if findings:
        raise typer.Exit(1)


@app.command()
def explain(
    lead_id: Annotated[str, typer.Argument(help="The lead, by its id.")],
    params: ParamsFile = Path("params.yaml"),
    as_of: AsOf = None,
    model: Model = "champion",
    debug: Debug = False,
) -> None:
    """One lead's forecast and reasons, in the terminal.

    Example: `leadrev explain L000123`
    """
    from pipeline.commands.explain import explain as run
    from pipeline.config.params import load_params

    typer.echo(run(load_params(params), lead_id, as_of, model=model))


@app.command()
def report(params: ParamsFile = Path("params.yaml"), out: Out = None, debug: Debug = False) -> None:
    """Write a self-contained HTML page for sales and marketing, from the last scores.

    Example: `leadrev report`
    """
    from pipeline.config.params import load_params
    from pipeline.reporting.sales_report import report as run

    loaded = load_params(params)
    typer.echo(f"Written: {run(loaded, out or loaded.artifacts_folder)}")


@app.command()
def serve(
    params: ParamsFile = Path("params.yaml"),
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than this machine's need tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
    tokens: Annotated[
        Path | None, typer.Option("--tokens", metavar="FILE", help="Who may ask, as `leadrev token` writes it.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="PEM", help="For HTTPS, with --key.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="PEM", help="For HTTPS, with --certificate.")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Without encryption beyond this machine: something in front encrypts.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Serve the web page and a JSON API over the last scores.

    Example: `leadrev serve --port 8000`
    """
    from pipeline.config.params import load_params
    from pipeline.web.server import serve as run

    run(load_params(params), host, port, tokens, certificate, key, plain_http)


@app.command()
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: their answers are signed with it.")],
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="OWNER_ID", help="They see this owner's leads only.")
    ] = None,
    tokens: Annotated[Path, typer.Option("--tokens", metavar="FILE", help="The file to add them to.")] = Path(
        "tokens.yaml"
    ),
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it opens anything.")] = 365,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take their tokens away; log-ins end at once.")] = False,
    debug: Debug = False,
) -> None:
    """Make a token with which somebody may use `leadrev serve` from another machine; only its digest is kept.

    Example: `leadrev token "Ana Costa" --owner ana --tokens tokens.yaml`
    """
    from pipeline.web.tokens import add_token, revoke_tokens

    if revoke:
        typer.echo(f"{name} has no token any more ({revoke_tokens(tokens, name)} taken out of {tokens})")
        return
    made = add_token(tokens, name, owner, days)
    typer.echo(f"{made}\nThis is shown once: pass it on safely. Next:")
    typer.echo(f"leadrev serve --host 0.0.0.0 --certificate cert.pem --key key.pem --tokens {tokens}")


@app.command()
def feedback(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .parquet or .csv file.")],
    params: ParamsFile = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Write what sales answered on the pages of `leadrev serve`, as a table of events that training can read.

    Example: `leadrev feedback --out answers.parquet`
    """
    from pipeline.archive.feedback import export
    from pipeline.config.params import load_params

    count = export(load_params(params).artifacts_folder, out)
    typer.echo(f"{count:,} answers written to {out}; to learn from them, name it among data.sources.events")


@app.command()
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version number, or latest.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")],
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for those who ask later.")],
    force: Annotated[bool, typer.Option("--force", help="Even if audit or backtest say no.")] = False,
    params: ParamsFile = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Make a version the champion that scores by default.

    Example: `leadrev promote latest --by "Ana" --because "beats version 3 in the backtest of May"`
    """
    from pipeline.config.params import load_params
    from pipeline.model_registry.promotion import promote as run

    typer.echo(run(load_params(params), version, by=by, because=because, force=force))


@app.command()
def rollback(
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")] = "",
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why.")] = "",
    params: ParamsFile = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Undo the last promotion: the champion before it is champion again.

    Example: `leadrev rollback --by "Ana" --because "scores of version 4 look off"`
    """
    from pipeline.config.params import load_params
    from pipeline.model_registry.promotion import rollback as run

    typer.echo(run(load_params(params), by=by, because=because))


def main() -> None:
    """Run a command; a user's mistake ends in one line on standard error and exit code 2 (`UserError.exit_code`)."""
    # Queries are trees of many small objects: hunting for cycles every 700 of them takes a third of their time.
    gc.set_threshold(50_000, 20, 20)
    os.umask(0o077)  # what is known of leads is for whoever runs this to share
    _end_tidily()
    try:
        app()
    except UserError as mistake:
        _fail(traceback.format_exc() if _debug else str(mistake), mistake.exit_code)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except Exception as error:
        if _debug:
            _fail(traceback.format_exc(), 1)
        if "libgomp" in str(error) or "libomp" in str(error):
            _fail(
                "LightGBM needs the system's OpenMP library, which is missing: install libgomp1 (Debian, Ubuntu), "
                "libgomp (Fedora) or libomp (Homebrew)",
                2,
            )
        _fail(f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]} (--debug shows where)", 1)


def _end_tidily() -> None:
    """Let a request to end (SIGTERM, SIGHUP) end as an interrupt does: what was begun is put away first."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end)


def _fail(message: str, code: int) -> None:
    print(f"leadrev: {masked(message)}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
