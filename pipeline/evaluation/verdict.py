"""Whether to use the forecasts, in plain words: yes, with care, or no, and why.

A verdict follows from two tables of rules. The first of `REFUSALS` that speaks says *no*; else every one of `DOUBTS`
that speaks asks for *care*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binom

from models.small_samples import FEW_WINS_OF_SEGMENT, FEW_WINS_TO_JUDGE, LEAST_WINS_TO_JUDGE
from pipeline.common.formatting import count as counted
from pipeline.common.formatting import known
from pipeline.evaluation.verdict_evidence import Evidence, names, wins

RATIO_BOUNDS = (0.75, 1.33)
UNMEASURED = 0.02
"""What an AUC may be off by, where no leads were drawn to measure it."""
UNLIKELY = 0.05
COVERAGE_BOUNDS = (0.65, 0.92)


@dataclass(frozen=True)
class Rule:
    """A reason not to trust a forecast.

    Parameters
    ----------
    code : str
        Its name.
    sentence : callable
        Given the evidence, what to say, without a full stop; empty where the rule does not speak.
    """

    code: str
    sentence: Callable[[Evidence], str]


def _nothing_to_judge(evidence: Evidence) -> str:
    if known(evidence.own["auc"]):
        return ""
    what = "every open lead" if evidence.wins else "nothing"
    return f"{what} was won at the {evidence.dates} tested: there is nothing to judge by"


def _too_few_wins(evidence: Evidence) -> str:
    few = evidence.won_leads < LEAST_WINS_TO_JUDGE
    return f"only {wins(evidence.won_leads)} in all: too few to judge anything by" if few else ""


def _no_better_than_chance(evidence: Evidence) -> str:
    auc, low = evidence.own["auc"], evidence.own["intervals"]["auc"][0]
    reaches = (low if known(low) else auc - UNMEASURED) <= 0.5
    return "no better than chance: the interval of its AUC reaches 0.50" if reaches else ""


def _worse_than_baseline(evidence: Evidence) -> str:
    better = evidence.better
    return f"worse than the baseline: leads are in a better order by {names(better)}" if better else ""


def _no_better_than_baseline(evidence: Evidence) -> str:
    return f"no better than the baseline ({names(evidence.equal)})" if evidence.equal else ""


def _better_only_by_chance(evidence: Evidence) -> str:
    same = evidence.not_beaten
    return f"better than {names(same)}, but by no more than chance explains" if same else ""


def _few_wins(evidence: Evidence) -> str:
    return f"only {wins(evidence.won_leads)} to judge by" if evidence.won_leads < FEW_WINS_TO_JUDGE else ""


def _level(figure: str, of_what: str) -> Callable[[Evidence], str]:
    """Make the rule of a total that was off by more than `RATIO_BOUNDS`, beyond chance."""

    def sentence(evidence: Evidence) -> str:
        ratio, (low, high) = evidence.own.get(figure), evidence.own["intervals"].get(figure, (None, None))
        off = ratio is not None and known(ratio) and not RATIO_BOUNDS[0] <= ratio <= RATIO_BOUNDS[1]
        if not off or (known(low) and low <= 1 <= high):
            return ""
        return (
            f"the level was off: it expected {ratio:.2f} times the actual {of_what}; rank by it, do not budget with it"
        )

    return sentence


def _top_tenth(evidence: Evidence) -> str:
    less = [name for name in evidence.differences if evidence.lead(name, "capture_at_10") < 0]
    return f"its top tenth held no more than that of {names(less)}" if less else ""


def _order(evidence: Evidence) -> str:
    ahead = [name for name in evidence.differences if evidence.lead(name, "auc", 2) < 0]
    return f"{names(ahead)} put the wins in a better order, beyond chance" if ahead else ""


def _monthly_totals(evidence: Evidence) -> str:
    totals = evidence.overall.get("totals", {"inside": 0, "count": 0})
    missed = totals["count"] and binom.cdf(totals["inside"], totals["count"], 0.8) < UNLIKELY
    return f"only {totals['inside']} of {totals['count']} months' revenue lay in its 80% interval" if missed else ""


def _no_better_than_age(evidence: Evidence) -> str:
    by_age = evidence.differences.get("aalen_johansen", {}).get("brier")
    no_nearer = by_age and known(by_age["difference"]) and by_age["difference"] >= 0
    return "its probabilities were no closer to the outcomes than plain rates by age of the lead" if no_nearer else ""


def _others_closer(evidence: Evidence) -> str:
    rivals = [name for name in evidence.differences if name != "aalen_johansen"]
    closer = [name for name in rivals if evidence.lead(name, "brier", 1) > 0]
    return f"the probabilities of {names(closer)} were closer to the outcomes, beyond chance" if closer else ""


def _amounts(evidence: Evidence) -> str:
    covered = evidence.own.get("interval_coverage")
    if covered is None or not known(covered) or COVERAGE_BOUNDS[0] <= covered <= COVERAGE_BOUNDS[1]:
        return ""
    return f"{covered:.0%} of the amounts lay in their interval, where 80% should"


REFUSALS = (
    Rule("nothing_to_judge", _nothing_to_judge),
    Rule("too_few_wins", _too_few_wins),
    Rule("no_better_than_chance", _no_better_than_chance),
    Rule("worse_than_baseline", _worse_than_baseline),
    Rule("no_better_than_baseline", _no_better_than_baseline),
)
DOUBTS = (
    Rule("better_only_by_chance", _better_only_by_chance),
    Rule("few_wins", _few_wins),
    Rule("level_of_wins", _level("wins_ratio", "wins")),
    Rule("level_of_revenue", _level("forecast_ratio", "revenue")),
    Rule("top_tenth", _top_tenth),
    Rule("order", _order),
    Rule("monthly_totals", _monthly_totals),
    Rule("no_better_than_age", _no_better_than_age),
    Rule("others_closer", _others_closer),
    Rule("amounts", _amounts),
)


def verdict(overall: Mapping[str, Any], cutoffs_count: int, has_value: bool = True) -> dict[str, Any]:
    """Judge a backtest by the tables of rules above.

    Parameters
    ----------
    overall : mapping
        ``models``, ``differences`` and ``won_leads`` over all cutoffs, as in ``backtest.json``.
    cutoffs_count : int
        How many dates were tested.
    has_value : bool
        Whether there is revenue to measure by.

    Returns
    -------
    dict
        ``use`` (``yes``, ``with care``, ``no``), ``text``, its parts ``doubts`` (with the ``codes`` of their rules) and
        ``facts``, and ``watch``: segments whose wins were off by more than a quarter beyond chance.
    """
    evidence = Evidence(overall, cutoffs_count, has_value)
    spoken = list(_spoken(REFUSALS, evidence))[:1]
    use = "no" if spoken else "yes"
    if use == "yes":
        spoken = list(_spoken(DOUBTS, evidence))
        use = "with care" if spoken else "yes"
    doubts = [sentence for _, sentence in spoken]
    facts = list(_facts(evidence)) if known(evidence.own["auc"]) else []
    watch = _watch(overall.get("segments", [])) if evidence.won_leads >= LEAST_WINS_TO_JUDGE else []
    sentences = ["; ".join(part) for part in (doubts, facts) if part]
    text = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)
    codes = [code for code, _ in spoken]
    return {"use": use, "text": text, "codes": codes, "doubts": doubts, "facts": facts, "watch": watch}


def _spoken(rules: Sequence[Rule], evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Give the codes of the rules that speak and what they say; a later rule may rely on earlier ones not speaking."""
    for rule in rules:
        if sentence := rule.sentence(evidence):
            yield rule.code, sentence


def _facts(evidence: Evidence) -> Iterator[str]:
    own = evidence.own
    what = "revenue" if evidence.has_value else "wins"
    yield f"over {evidence.dates} it ranks with an AUC of {own['auc']:.2f}{evidence.beside('auc', '.2f')}"
    yield f"its top tenth holds {own['capture_at_10']:.0%} of the {what}{evidence.beside('capture_at_10', '.0%')}"
    if known(own["wins_ratio"]):
        again = f" ({counted(evidence.won_leads, 'lead', 'leads')}, as the periods after the dates overlap)"
        how_many = wins(evidence.wins) + (again if evidence.won_leads < evidence.wins else "")
        revenue = f", and {own['forecast_ratio']:.2f} times the revenue" if known(own["forecast_ratio"]) else ""
        yield f"it expected {own['wins_ratio']:.2f} times the actual {how_many}{revenue}"


def _watch(segments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name at most three segments whose level was off beyond chance, the furthest first."""
    found = []
    for row in segments:
        own = row["models"].get("leadrev", {})
        ratio, (low, high) = own.get("wins_ratio"), own.get("intervals", {}).get("wins_ratio", (None, None))
        off = known(low) and known(high) and (high < RATIO_BOUNDS[0] or low > RATIO_BOUNDS[1])
        if known(ratio) and ratio > 0 and off and max(row["won"], own["expected_wins"]) >= FEW_WINS_OF_SEGMENT:
            sentence = f"{row['by']} {row['value']}: {own['expected_wins']:.0f} wins expected, {row['won']} won"
            found.append((-abs(math.log(ratio)), sentence))
    return [sentence for _, sentence in sorted(found)[:3]]
