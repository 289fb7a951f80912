"""The whole job on a simulated company."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pipeline.common.atomic_write import check_writable
from pipeline.common.formatting import count as counted
from pipeline.common.progress import step

BY = "leadrev demo"
DEMO_FILTER = "employees >= 250"


def demo(out: Path, *, leads: int) -> None:
    """Simulate, check, backtest, train, promote, score, report, follow funnel and campaigns, plan, play nights.

    All of it is printed.

    The only command that promotes on its own, so that the one after it has a champion to score with.

    Parameters
    ----------
    out : Path
        Folder for the company and everything that is made from it.
    leads : int
        How many leads to make up.
    """
    started = time.perf_counter()
    from pipeline.simulation.simulate import simulate

    check_writable(out)
    with step(f"simulating {counted(leads, 'lead', 'leads')}"):
        simulate(out, leads=leads)

    from pipeline.commands import backtest, campaigns, check, funnel, plan, score, train
    from pipeline.commands.demo_nights import play_nights
    from pipeline.config.params import load_params
    from pipeline.model_registry import promotion
    from pipeline.reporting import sales_report

    params = load_params(out / "params.yaml")
    with step("checking"):
        checked = check.check(params, params.artifacts_folder)
    print(check.summary(checked))
    tested = backtest.backtest(params, None, params.artifacts_folder)
    print(backtest.summary(tested))
    # The last cutoff of the backtest lies one horizon back: it is the hold-out of a training at the data's end.
    trained = train.train(params, None, held_out=tested.evaluations[-1])
    print(trained.summary())
    print(promotion.promote(params, trained.version, by=BY, because="first version of a simulated company", force=True))
    scored = score.score(params, None, model="champion", explain="all", out=params.artifacts_folder)
    print(scored.summary())
    page = sales_report.report(params, params.artifacts_folder)
    print("\nFrom inquiry to revenue, and where it leaks:")
    print(funnel.funnel(params, None, by=None, cohort=None, out=params.artifacts_folder).summary())
    print("\nWhich campaigns earned revenue:")
    print(
        campaigns.campaigns(
            params, None, since=None, attribution=None, condition=DEMO_FILTER, out=params.artifacts_folder
        ).summary()
    )
    print("\nWhat this quarter brings:")
    words = {"goal": None, "first": None, "last": None, "marketing_share": None}
    print(plan.plan(params, None, **words, out=params.artifacts_folder).summary())
    print(play_nights(out / "nights", params))
    top = scored.result.scores.iloc[0]
    print(
        f"\nDone in {time.perf_counter() - started:.0f} s. Open {page} in a browser; for the lead at the top:\n"
        f"  leadrev explain {top['lead_id']} --params {out}/params.yaml"
    )
    sys.stdout.flush()
