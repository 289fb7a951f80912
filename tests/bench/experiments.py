"""Experiments against a known truth: intervals that hold it, nulls that stay nulls under peeking, and what is naive."""

from __future__ import annotations

from itertools import count

import numpy as np

from pipeline.revenue.arm_difference import arm_difference
from pipeline.simulation import revenue_story as story

EXPERIMENTS, LEADS, HORIZON_DAYS = 200, 6_000, 180
TRUTH_LEADS = 1_500_000
LOOK_EVERY_DAYS = 14
MEASURES = ("share won", "revenue per lead", "days until won")
WON, SAL = story.STAGES.index("won"), story.STAGES.index("sal")


def run(*, quick: bool = False) -> None:
    """Print coverage, alarms and widths; wanted: 84 to 96%, at most 5%, and a naive interval that misses."""
    seeds = range(40 if quick else EXPERIMENTS)
    truth = _truth()
    held, naive_held, sequence_held = np.zeros(3), 0, 0
    narrower: dict[str, list[float]] = {"by what is seen at creation": [], "by the true chance": []}
    told = declared = declared_once = looks_count = leads_count = 0
    for seed in seeds:
        told_story = story.tell_story(LEADS, 1_000 + seed)
        leads = _Leads(told_story)
        leads_count += int(leads.is_mature.sum())
        for place in range(3):
            found = leads.difference(leads.outcomes[place], leads.arm, leads.visible)
            low, high = found.interval
            held[place] += low <= truth[place] <= high
            if place == 0:
                low, high = found.sequence()
                sequence_held += low <= truth[0] <= high
                told += found.is_told()
                plain = leads.difference(leads.outcomes[0], leads.arm, None)
                narrower["by what is seen at creation"].append(1 - found.error / plain.error)
                oracle = leads.difference(leads.outcomes[0], leads.arm, leads.chance)
                narrower["by the true chance"].append(1 - oracle.error / plain.error)
        low, high = leads.difference(leads.outcomes[0], leads.had_call, None, share=None).interval
        naive_held += low <= truth[0] <= high
        looks = list(leads.looks(np.random.default_rng(seed)))
        looks_count += len(looks)
        declared += any(look.is_told() for look in looks)
        declared_once += any(not look.interval[0] <= 0 <= look.interval[1] for look in looks)
    many = len(seeds)
    print(f"\n## {many} experiments, {leads_count / many:,.0f} leads each, {HORIZON_DAYS} days after assignment")
    for place, name in enumerate(MEASURES):
        print(f"  the 90% interval holds the true effect on {name:18} ({truth[place]:+.4g}){held[place] / many:>9.1%}")
    print(f"  the 95% sequence holds the true effect on the share won {sequence_held / many:>21.1%}")
    print(f"  had the call against not: the 90% interval holds it {naive_held / many:>24.1%}")
    print(f"  the effect is told {told / many:>58.1%}")
    print(f"  no effect, {looks_count / many:.0f} looks each: declared by the sequence {declared / many:>35.1%}")
    print(f"  no effect, the same looks: declared by the interval of one look {declared_once / many:>13.1%}")
    for name, shares in narrower.items():
        print(f"  narrower by adjusting {name:28}{np.mean(shares):>27.1%}")


class _Leads:
    """The leads of one experiment, as arrays."""

    def __init__(self, told: story.RevenueStory) -> None:
        leads = told.leads
        in_it = leads["in_experiment"].to_numpy()
        self.day = leads["day"].to_numpy()[in_it]
        self.is_mature = self.day < story.DAYS - HORIZON_DAYS
        self.account = leads["account"].to_numpy()[in_it]
        self.arm = told.accounts["arm"].to_numpy()[self.account]
        self.outcomes = [outcome[in_it] for outcome in _outcomes(told)]
        campaign, size = leads["campaign"].to_numpy()[in_it], told.accounts["size"].to_numpy()[self.account]
        seen = story.CAMPAIGNS["quality"].to_numpy()[campaign] + story.SIZE_LOGITS[size]
        self.visible = self._chance(seen)
        touched = story.CALL_EFFECT * leads["called"].to_numpy()[in_it]
        appetite = told.accounts["appetite"].to_numpy()[self.account]
        self.chance = self._chance(seen + leads["intent"].to_numpy()[in_it] + appetite + touched)
        self.had_call = self.arm & (told.reached[in_it, SAL] < story.DAYS)

    @staticmethod
    def _chance(base: np.ndarray) -> np.ndarray:
        return (1 / (1 + np.exp(-(story.STAGE_LOGITS + base[:, None])))).prod(axis=1)

    def difference(self, outcome, arm, covariate, *, share=0.5, until=None):
        rows = self.is_mature if until is None else self.day < until - HORIZON_DAYS
        probability = np.full(rows.sum(), share or 1.0)
        given = None if covariate is None else covariate[rows][:, None]
        return arm_difference(outcome[rows], arm[rows], self.account[rows], probability, given)

    def looks(self, rng):
        """Look at an arm that does nothing, drawn anew, again and again."""
        nothing = (rng.random(self.account.max() + 1) < 0.5)[self.account]
        for step in count():
            until = story.EXPERIMENT_DAY + HORIZON_DAYS + LOOK_EVERY_DAYS * (step + 2)
            if until > story.DAYS:
                return
            found = self.difference(self.outcomes[0], nothing, self.visible, until=until)
            if found is not None and found.error > 0:
                yield found


def _outcomes(told: story.RevenueStory) -> list[np.ndarray]:
    days = told.reached[:, WON] - told.leads["day"].to_numpy()
    won = days <= HORIZON_DAYS
    return [won.astype(float), np.where(won, told.leads["amount"], 0.0), np.where(won, days, HORIZON_DAYS)]


def _truth() -> np.ndarray:
    """Give the true effects within the horizon, from a draw so large that nothing is left to chance."""
    told = story.tell_story(TRUTH_LEADS, 77)
    in_it = told.leads["in_experiment"].to_numpy()
    arm = told.accounts["arm"].to_numpy()[told.leads["account"]]
    return np.array([one[in_it & arm].mean() - one[in_it & ~arm].mean() for one in _outcomes(told)])
