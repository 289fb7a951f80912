"""Whether to use the forecasts, in plain words: yes, with care, or no, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import binom

from pipeline.common.formatting import known
from pipeline.evaluation.model_names import MODELS

FEW_WINS, FEW_WINS_OF_KIND = 100, 20
LEAST_WINS = 10
"""Fewer say nothing: draws of one win always agree with each other."""
RATIO_BOUNDS = (0.75, 1.33)
UNMEASURED = 0.02
"""What an AUC may be off by, where no leads were drawn to measure it."""
UNLIKELY = 0.05
QUANTILE = 1.645
"""Standard errors from the middle of a 90% interval to its ends."""
COVERAGE_BOUNDS = (0.65, 0.92)
ORDER = {"auc": "the order of the wins", "capture_at_10": "what the top tenth brings"}


def verdict(overall: Mapping[str, Any], cutoffs_count: int, has_value: bool = True) -> dict[str, Any]:
    """Judge a backtest.

    *No* where hardly anything was won at the dates to judge by, where leadrev orders leads no better than chance,
    worse than something the company has or could have instead, or ahead of it by less than a standard error (of a
    champion: not at all). *With care* where it is better, but not beyond chance, where wins or revenue in total
    were off by more than a quarter beyond chance, where its chances are no nearer to what came than rates by age,
    where another's chances are nearer or another's order of the wins is better beyond chance, where amounts or
    monthly totals miss their intervals, where another's top tenth held more, or where there were too few wins to
    judge by.

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
        ``use`` (``yes``, ``with care``, ``no``), ``text``, its parts ``doubts`` and ``facts``, and ``watch``: kinds of
        leads whose wins were off by more than a quarter beyond chance.
    """
    own, differences = overall["models"]["leadrev"], overall["differences"]
    auc, (auc_low, _) = own["auc"], own["intervals"]["auc"]
    watch = _watch(overall.get("segments", []))
    won = int(own["actual_wins"])
    won_leads = int(overall.get("won_leads", won))  # fewer than wins where the spans after the dates overlap
    what = "revenue" if has_value else "wins"
    dates = "1 date" if cutoffs_count == 1 else f"{cutoffs_count} dates"
    if not known(auc):
        what = "every open lead" if won else "nothing"
        tested = "that was tested" if cutoffs_count == 1 else "that were tested"
        return _said("no", [f"{what} was won at the {dates} {tested}: there is nothing to judge by"], [], [])
    best = {metric: _best(overall["models"], differences, metric) for metric in ORDER}
    ranks = f"over {dates} it ranks with an AUC of {auc:.2f}{_beside(best['auc'], '.2f')}"
    holds = f"its top tenth holds {own['capture_at_10']:.0%} of the {what}{_beside(best['capture_at_10'], '.0%')}"
    level = ""
    if known(own["wins_ratio"]):
        again = f" ({won_leads:,} leads, as the spans after the dates overlap)" if won_leads < won else ""
        level = f"it expected {own['wins_ratio']:.2f} times the {_wins(won)} that came{again}"
        if known(own["forecast_ratio"]):
            level += f", and {own['forecast_ratio']:.2f} times the revenue"
    facts = [text for text in (ranks, holds, level) if text]
    if won_leads < LEAST_WINS:
        return _said("no", [f"only {_wins(won_leads)} came: too few to judge anything by"], facts, [])
    if (auc_low if known(auc_low) else auc - UNMEASURED) <= 0.5:
        return _said("no", ["no better than chance: the interval of its AUC reaches 0.50"], facts, watch)
    beaten = [name for name, by in differences.items() if _worse(by)]
    if beaten:
        return _said("no", [f"worse than the baseline: leads are in a better order by {_names(beaten)}"], facts, watch)
    equal = [name for name, by in differences.items() if not _better(by)]
    useless = [name for name in equal if all(_is_nothing(name, differences[name], metric) for metric in ORDER)]
    if useless:
        return _said("no", [f"no better than the baseline ({_names(useless)})"], facts, watch)
    doubts = []
    if equal:
        doubts.append(f"better than {_names(equal)}, but by no more than chance may do")
    if won_leads < FEW_WINS:
        doubts.append(f"only {_wins(won_leads)} to judge by")
    for metric, named in (("wins_ratio", "wins"), ("forecast_ratio", "revenue")):
        ratio, bounds = own.get(metric), own["intervals"].get(metric, (None, None))
        off = known(ratio) and not RATIO_BOUNDS[0] <= ratio <= RATIO_BOUNDS[1]
        if off and not (known(bounds[0]) and bounds[0] <= 1 <= bounds[1]):
            doubts.append(f"the level was off: it expected {ratio:.2f} times the {named} that came; rank by it, but do "
                          "not budget with it")  # fmt: skip
    less = [name for name, by in differences.items() if _at(by, "capture_at_10", 0) < 0]
    if less:
        doubts.append(f"its top tenth held no more than that of {_names(less)}")
    ahead = [name for name, by in differences.items() if _at(by, "auc", 2) < 0]
    if ahead:
        doubts.append(f"{_names(ahead)} put the wins in a better order, beyond chance")
    totals = overall.get("totals", {"inside": 0, "count": 0})
    if totals["count"] and binom.cdf(totals["inside"], totals["count"], 0.8) < UNLIKELY:
        doubts.append(f"only {totals['inside']} of {totals['count']} months' revenue lay in its 80% interval")
    by_age = differences.get("aalen_johansen", {}).get("brier")
    if by_age and known(by_age["difference"]) and by_age["difference"] >= 0:
        doubts.append("its chances were no nearer to what came than plain rates by age of the lead")
    nearer = [name for name, by in differences.items() if name != "aalen_johansen" and _at(by, "brier", 1) > 0]
    if nearer:
        doubts.append(f"the chances of {_names(nearer)} were nearer to what came, beyond chance")
    covered = own.get("interval_coverage")
    if known(covered) and not COVERAGE_BOUNDS[0] <= covered <= COVERAGE_BOUNDS[1]:
        doubts.append(f"{covered:.0%} of the amounts lay in their interval, where 80% should")
    return _said("with care" if doubts else "yes", doubts, facts, watch)


def _watch(segments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name at most three kinds of leads whose level was off beyond chance, the furthest first."""
    found = []
    for row in segments:
        own = row["models"].get("leadrev", {})
        ratio, (low, high) = own.get("wins_ratio"), own.get("intervals", {}).get("wins_ratio", (None, None))
        off = known(low) and known(high) and (high < RATIO_BOUNDS[0] or low > RATIO_BOUNDS[1])
        if known(ratio) and ratio > 0 and off and max(row["won"], own["expected_wins"]) >= FEW_WINS_OF_KIND:
            said = f"{row['by']} {row['value']}: {own['expected_wins']:.0f} wins expected, {row['won']} came"
            found.append((-abs(math.log(ratio)), said))
    return [said for _, said in sorted(found)[:3]]


def _said(use: str, doubts: list[str], facts: list[str], watch: list[str]) -> dict[str, Any]:
    sentences = ["; ".join(part) for part in (doubts, facts) if part]
    text = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)
    return {"use": use, "text": text, "doubts": doubts, "facts": facts, "watch": watch}


def _at(differences: Mapping[str, Any], metric: str, place: int) -> float:
    """Give how much better leadrev is by a figure, or the lower (1) or upper (2) end of that; none counts as 0."""
    row = differences.get(metric) or {}
    value = (row.get("difference"), row.get("low"), row.get("high"))[place]
    value = row.get("difference") if not known(value) else value
    return value if value is not None and known(value) else 0.0


def _better(differences: Mapping[str, Any]) -> bool:
    return any(_at(differences, metric, 1) > 0 for metric in ORDER)


def _worse(differences: Mapping[str, Any]) -> bool:
    return any(_at(differences, metric, 2) < 0 for metric in ORDER) and not _better(differences)


def _is_nothing(name: str, differences: Mapping[str, Any], metric: str) -> bool:
    """Whether leadrev is ahead by less than one standard error, as noise often is; of a champion, not ahead at all."""
    error = (_at(differences, metric, 2) - _at(differences, metric, 1)) / (2 * QUANTILE)
    return _at(differences, metric, 0) <= (0.0 if name == "champion" else error)


def _best(models: Mapping[str, Any], differences: Mapping[str, Any], metric: str) -> tuple[str, float] | None:
    dates = models["leadrev"].get("cutoffs_count")  # what was there at fewer dates cannot stand beside it
    found = [
        (models[name][metric], name)
        for name in differences
        if known(models[name].get(metric)) and models[name].get("cutoffs_count") == dates
    ]
    return (max(found)[1], max(found)[0]) if found else None


def _beside(best: tuple[str, float] | None, form: str) -> str:
    return f" (the best of the others, {MODELS[best[0]]}: {best[1]:{form}})" if best else ""


def _wins(count: int) -> str:
    return "1 win" if count == 1 else f"{count:,} wins"


def _names(names: list[str]) -> str:
    return " and ".join(MODELS[name] for name in names)
