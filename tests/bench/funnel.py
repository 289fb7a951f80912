"""How often the funnel's 90% intervals hold the true stage rates, over small companies whose rates are known.

Each company is a draw of `pipeline.simulation.revenue_story`, cut off where its data end; the truth is the share of all
leads that take a step within so many days, where nothing is cut off. Leads of one account decide together,
and the youngest have hardly begun: what a plain share of leads, taken as independent, would do stands beside it.
"""

from __future__ import annotations

import numpy as np

from models.aalen_johansen import COMPETING, LEFT, group_curves, poisson_weights
from pipeline.simulation.revenue_story import DAYS, STAGES, tell_story, true_step_chances

COMPANIES, LEADS = 200, 400
HORIZONS = (30.0, 90.0, 365.0)
HELD = (0.84, 0.96)
FIRST_SEED = 1_000


def coverage(companies: int = COMPANIES, leads: int = LEADS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give how often intervals hold the truth, and the mean error, per step and horizon; and what plain shares do.

    Returns
    -------
    held, plain, error : ndarray of shape (n_steps, n_horizons)
        Share of intervals that hold; mean of won over entered less the truth; mean of the estimate less the truth.
    """
    truth = np.column_stack([true_step_chances(horizon) for horizon in HORIZONS])
    held, error, plain, count = (np.zeros_like(truth) for _ in range(4))
    for company in range(companies):
        story = tell_story(leads, FIRST_SEED + company)
        cluster = story.leads["account"].to_numpy()
        weights = poisson_weights(int(cluster.max()) + 1, 200, company)
        for step in range(len(STAGES) - 1):
            rows = np.flatnonzero((story.reached[:, step] < DAYS) & (story.leads["joins"].to_numpy() < 0))
            start, end = story.reached[rows, step], story.reached[rows, step + 1]
            lost = story.leads["lost_day"].to_numpy()[rows]
            moved, gone = end < DAYS, lost < DAYS
            duration = np.select([moved, gone], [end, lost], DAYS) - start
            event = np.select([moved, gone], [LEFT, COMPETING], 0)
            curves = group_curves(
                duration, event, np.zeros(len(rows), dtype=np.int64), 1, cluster[rows], weights, HORIZONS
            )
            for place, horizon in enumerate(HORIZONS):
                one = curves.chances[horizon]
                if np.isfinite(one.value[0]):
                    held[step, place] += one.low[0] <= truth[step, place] <= one.high[0]
                    error[step, place] += one.value[0] - truth[step, place]
                    plain[step, place] += moved.mean() - truth[step, place]
                    count[step, place] += 1
    return held / count, plain / count, error / count


def run(*, quick: bool = False) -> None:
    """Print the table."""
    companies = 40 if quick else COMPANIES
    held, plain, error = coverage(companies)
    print(f"\nFunnel: 90% intervals of stage rates, {companies} companies of {LEADS} leads (should hold 84 to 96%)\n")
    print(f"  {'step':<16} {'within':>8} {'held':>7} {'mean error':>11} {'advanced ÷ entered':>19}")
    for step in range(len(STAGES) - 1):
        for place, horizon in enumerate(HORIZONS):
            print(
                f"  {STAGES[step] + ' to ' + STAGES[step + 1]:<16} {horizon:>6.0f} d {held[step, place]:>7.1%} "
                f"{error[step, place]:>+11.3f} {plain[step, place]:>+19.3f}"
            )
    print(f"  {'all':<16} {'':>8} {held.mean():>7.1%}")
