"""The command line: one function a command, each a thin door to the module that does the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.common.errors import UserError
from pipeline.common.process import run_command

if TYPE_CHECKING:
    from pipeline.config.params import Params

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


def _load(file: Path) -> Params:
    from pipeline.config.params import load_params

    return load_params(file)


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
    """Do the whole job on a simulated company: simulate, check, train, backtest, score, report.

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
    revenue: Annotated[
        bool,
        typer.Option("--revenue", help="Another company: stages, campaigns, touches and arms have a known truth."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Make up a company's CRM with a known truth.

    Example: `leadrev simulate --out company --leads 5000 --seed 7`
    """
    from pipeline.commands.simulate import simulate as run

    more = {"events_per_lead": events_per_lead, "mess": mess, "until": until}
    made = run(out, leads=leads, seed=seed, export=export, revenue=revenue, **more)
    typer.echo(made)


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
    from pipeline.commands import check as command

    loaded = _load(params)
    folder = out or loaded.artifacts_folder
    typer.echo(command.summary(command.check(loaded, folder)))
    typer.echo(f"Written: {folder}/audit.html, audit.json, quarantine.parquet, warnings.parquet")


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

    if describe:
        typer.echo(describe_features(_load(params), as_of))
        return
    rows, columns = write_features(_load(params), as_of, out)
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

    typer.echo(run(_load(params), as_of, tune_minutes=tune).summary())


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
    from pipeline.commands import backtest as command

    loaded = _load(params)
    folder = out or loaded.artifacts_folder
    typer.echo(command.summary(command.backtest(loaded, cutoffs.split(",") if cutoffs else None, folder)))
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

    loaded = _load(params)
    out = out or loaded.artifacts_folder
    typer.echo(run(loaded, as_of, model=model, explain=explain, out=out, previous=previous).summary())


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
    from pipeline.commands import nightly as command

    if dry_run:
        typer.echo(command.plan(_load(params), first, only))
        return
    result = command.nightly(_load(params), first=first, only=only)
    typer.echo(result.summary())
    raise typer.Exit(result.exit_code)


@app.command()
def deliver(
    params: ParamsFile = Path("params.yaml"),
    to: Annotated[
        str | None, typer.Option("--to", metavar="NAME", help="Only this sink of `deliver` in params.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    resend: Annotated[
        bool, typer.Option("--resend", help="With --to: what is parked again; a database or file gets every row anew.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Send the last scores to databases, files and mailboxes: only what changed, nothing twice.

    Exits with 0 (everything is delivered), 3 (something waits for another try, or for a person) or 2 (a mistake).

    Example: `leadrev deliver --to dwh -p company/params.yaml`
    """
    from pipeline.commands import deliver as command

    if dry_run:
        typer.echo(command.dry_run(_load(params), to))
        return
    result = command.deliver(_load(params), to, resend=resend)
    typer.echo(result.summary())
    raise typer.Exit(result.exit_code)


@app.command()
def status(params: ParamsFile = Path("params.yaml"), debug: Debug = False) -> None:
    """Say in five lines how the last night went, what it read, what is archived, and what to do next.

    Example: `leadrev status -p company/params.yaml`
    """
    from pipeline.operations.status import status as run

    typer.echo(run(_load(params)))


@app.command()
def archive(
    action: Annotated[str, typer.Argument(metavar="verify", help="What to do with the archive: verify it.")],
    params: ParamsFile = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Prove that nothing in the archive was changed since it was sealed; exits with 1 where something was.

    Example: `leadrev archive verify -p company/params.yaml`
    """
    from pipeline.operations.archive_check import verify

    if action != "verify":
        raise UserError(f"archive: found '{action}'; what can be done is: verify")
    findings, summary = verify(_load(params))
    for finding in findings:
        typer.echo(finding, err=True)
    typer.echo(summary)
    raise typer.Exit(1 if findings else 0)


@app.command()
def erase(
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who asks for it.")],
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why; without the person's name.")],
    lead: Annotated[str | None, typer.Option("--lead", metavar="ID", help="Who: a lead's id.")] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="Who: a mail address.")] = None,
    contact: Annotated[str | None, typer.Option("--contact", metavar="ID", help="Who: a contact's id.")] = None,
    params: ParamsFile = Path("params.yaml"),
    debug: Debug = False,
) -> None:
    """Remove a person from all that leadrev keeps, prove it by searching every byte, and never load them again.

    Exits with 1 where something still names the person; run it again once that is mended.

    Example: `leadrev erase --lead L000123 --by "Ana" --because "asked us to by mail of May 12"`
    """
    from pipeline.commands.erase import erase as run

    result = run(_load(params), lead=lead, email=email, contact=contact, by=by, because=because)
    typer.echo(result.summary())
    raise typer.Exit(0 if result.erasure.is_complete else 1)


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

    typer.echo(run(_load(params), lead_id, as_of, model=model))


@app.command()
def report(params: ParamsFile = Path("params.yaml"), out: Out = None, debug: Debug = False) -> None:
    """Write a self-contained HTML page for sales and marketing, from the last scores.

    Example: `leadrev report`
    """
    from pipeline.reporting.sales_report import report as run

    loaded = _load(params)
    typer.echo(f"Written: {run(loaded, out or loaded.artifacts_folder)}")


@app.command()
def funnel(
    params: ParamsFile = Path("params.yaml"),
    as_of: AsOf = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", help="source, campaign, kind, owner, team, size, industry or country. Default: source, if known."
        ),
    ] = None,
    cohort: Annotated[
        str | None, typer.Option("--cohort", metavar="month|quarter", help="By when leads came. Default: quarter.")
    ] = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """From inquiry to revenue: stages with chances and days, where revenue leaks, who means what by a lead.

    Example: `leadrev funnel --by size --cohort month`
    """
    from pipeline.commands.funnel import funnel as run

    loaded = _load(params)
    typer.echo(run(loaded, as_of, by=by, cohort=cohort, out=out or loaded.artifacts_folder).summary())


@app.command()
def plan(
    params: ParamsFile = Path("params.yaml"),
    goal: Annotated[float | None, typer.Option("--goal", help="Bookings to reach. Default: plan.goal.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="Last day. Default: the running quarter's.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day. Default: the fiscal year's.")
    ] = None,
    marketing_share: Annotated[
        float | None, typer.Option("--marketing-share", help="Share of the goal asked of marketing's own sources.")
    ] = None,
    as_of: AsOf = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Will the goal be met: closed, open, yet to arrive, existing business; what it takes, and whose.

    Example: `leadrev plan --goal 5000000 --until 2026-09-30`
    """
    from pipeline.commands.plan import plan as run

    loaded = _load(params)
    planned = run(
        loaded, as_of, goal=goal, first=since, last=until, marketing_share=marketing_share,
        out=out or loaded.artifacts_folder,
    )  # fmt: skip
    typer.echo(planned.summary())


@app.command()
def campaigns(
    params: ParamsFile = Path("params.yaml"),
    as_of: AsOf = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Only leads created, and costs spent, since that date."),
    ] = None,
    attribution: Annotated[
        str | None,
        typer.Option(
            "--attribution", help="first, last, linear, position, time_decay or model. Default: campaigns.attribution."
        ),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option("--filter", metavar="CONDITION", help="What hiding the leads that do not meet it would cost."),
    ] = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Which campaigns earned revenue, at what cost; and what a filter of the leads would throw away.

    Example: `leadrev campaigns --since 2025-07-01 --filter "employees >= 5000"`
    """
    from pipeline.commands.campaigns import campaigns as run

    loaded = _load(params)
    result = run(
        loaded, as_of, since=since, attribution=attribution, condition=condition, out=out or loaded.artifacts_folder
    )
    typer.echo(result.summary())


@app.command("month-end")
def month_end(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="A month that is over, like 2026-07.")],
    params: ParamsFile = Path("params.yaml"),
    as_of: AsOf = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Compare what was forecast on a month's first day with what came, in steps that add up to the cent.

    Example: `leadrev month-end 2026-07`
    """
    from pipeline.commands.month_end import month_end as run

    loaded = _load(params)
    typer.echo(run(loaded, month, as_of, out=out or loaded.artifacts_folder).summary())


@app.command()
def monitor(
    params: ParamsFile = Path("params.yaml"),
    as_of: AsOf = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Compare what archived nights expected with what came, and tonight's leads with those of the training.

    Example: `leadrev monitor`
    """
    from pipeline.commands.monitor import monitor as run

    loaded = _load(params)
    typer.echo(run(loaded, as_of, out=out or loaded.artifacts_folder).summary())


@app.command()
def experiment(
    words: Annotated[
        list[str], typer.Argument(metavar="[assign] NAME", help="Which experiment; with assign: draw accounts for it.")
    ],
    params: ParamsFile = Path("params.yaml"),
    share: Annotated[
        float | None, typer.Option("--share", metavar="SHARE", help="Of accounts drawn for the treatment, with assign.")
    ] = None,
    as_of: AsOf = None,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """Say what the arms of an experiment made of it, and whether that can be believed; or draw accounts for one.

    Example: `leadrev experiment assign "extra call" --share 0.1`, and later `leadrev experiment "extra call"`
    """
    from pipeline.commands import experiment as command

    loaded = _load(params)
    if words[0] == "assign" and len(words) == 2:
        if share is None or as_of is not None:
            raise UserError("experiment assign: needs --share, as in --share 0.1, and draws where the data end")
        typer.echo(command.assign(loaded, words[1], share))
    elif len(words) == 1 and share is None:
        typer.echo(command.experiment(loaded, words[0], as_of, out=out or loaded.artifacts_folder).summary())
    else:
        raise UserError(f"experiment: found '{' '.join(words)}'; write NAME, or assign NAME --share SHARE")


@app.command()
def selection(
    params: ParamsFile = Path("params.yaml"), as_of: AsOf = None, out: Out = None, debug: Debug = False
) -> None:
    """Say what sales did with the list: grades worked, leads taken against the score, hot leads left, in money.

    Example: `leadrev selection -p company/params.yaml`
    """
    from pipeline.commands.selection import selection as run

    loaded = _load(params)
    typer.echo(run(loaded, as_of, out=out or loaded.artifacts_folder).summary())


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
    from pipeline.web.server import serve as run

    run(_load(params), host, port, tokens, certificate, key, plain_http)


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
    from pipeline.commands.token import token as run

    typer.echo(run(name, tokens, owner=owner, days=days, revoke=revoke))


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

    count = export(_load(params).artifacts_folder, out)
    from pipeline.common.formatting import count as counted

    typer.echo(
        f"{counted(count, 'answer', 'answers')} written to {out}; to learn from them, name it among data.sources.events"
    )


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
    from pipeline.model_registry.promotion import promote as run

    typer.echo(run(_load(params), version, by=by, because=because, force=force))


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
    from pipeline.model_registry.promotion import rollback as run

    typer.echo(run(_load(params), by=by, because=because))


def main() -> None:
    """Run the command that the words on the command line ask for."""
    run_command(app, lambda: _debug)


if __name__ == "__main__":
    main()
