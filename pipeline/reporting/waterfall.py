"""What a page says of one lead, in figures that add up as they are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.common import formatting
from pipeline.evaluation.model_names import MODELS


@dataclass(frozen=True)
class Reason:
    """One reason: its words, its weight in money (or points, where there is no money), and where it is from."""

    text: str
    weight: float
    feature: str = ""
    code: str = ""


@dataclass(frozen=True)
class Explanation:
    """A forecast from the typical lead to this one.

    ``typical`` + the reasons for + the reasons against + ``other`` = ``total``, exactly, as rounded to ``decimals``.

    Parameters
    ----------
    unit : str
        ``money`` or ``points``.
    decimals : int
        How many decimals every figure here is rounded to.
    typical, other, total : float or None
        The typical lead; everything that has no line of its own; this lead. None where reasons were not made.
    reasons_for, reasons_against : tuple of Reason
        At most four each, as scored.
    """

    unit: str
    decimals: int
    typical: float | None
    reasons_for: tuple[Reason, ...]
    reasons_against: tuple[Reason, ...]
    other: float | None
    total: float | None

    @property
    def reach(self) -> float:
        """The longest step, which bars are measured against."""
        steps = [abs(reason.weight) for reason in (*self.reasons_for, *self.reasons_against)]
        return max([*steps, abs(self.other or 0.0), 1e-9])


def explain_lead(lead: Mapping[str, Any]) -> Explanation:
    """Put one lead's reasons into an explanation that adds up.

    Parameters
    ----------
    lead : mapping
        A row of `pipeline.reporting.ranked_leads.Ranking`: the columns of ``scores``, and ``base_money``, ``revenue``.
    """
    unit = "points" if lead["revenue"] is None else "money"
    typical = lead[f"base_{unit}"]
    total = lead["revenue"] if unit == "money" else _hundredfold(lead["p_win_primary"])
    given = [_weights(lead[column], unit) for column in ("reasons_positive", "reasons_negative")]
    figures = [abs(reason.weight) for reasons in given for reason in reasons]
    figures += [abs(figure) for figure in (total, typical) if figure is not None]
    decimals = 1 if unit == "points" else 0 if max(figures, default=0.0) >= 100 else 2
    positive, negative = (
        tuple(
            replace(reason, weight=round(reason.weight, decimals))
            for reason in reasons
            if round(reason.weight, decimals)
        )
        for reasons in given
    )
    if typical is None or total is None:
        return Explanation(unit, decimals, None, positive, negative, None, None)
    typical, total = round(typical, decimals), round(total, decimals)
    other = round(total - typical - sum(reason.weight for reason in (*positive, *negative)), decimals)
    return Explanation(unit, decimals, typical, positive, negative, other, total)


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else share * 100


def _weights(reasons: Sequence[Mapping[str, Any]], unit: str) -> list[Reason]:
    found = []
    for reason in reasons:
        weight = reason.get(unit)
        if weight is not None and formatting.known(weight):
            found.append(
                Reason(str(reason["text"]), float(weight), str(reason.get("feature", "")), str(reason.get("code", "")))
            )
    return found


@dataclass(frozen=True)
class Step:
    """What one theme adds to the forecast, and the reasons that belong to it."""

    theme: str
    weight: float
    reasons: tuple[Reason, ...] = ()


def steps(explanation: Explanation, themes: Mapping[str, float], theme_of: Mapping[str, str]) -> tuple[Step, ...]:
    """Split the way from the typical lead to this one by themes, the heaviest first.

    Parameters
    ----------
    explanation : Explanation
    themes : mapping of str to float
        What each theme adds, unrounded.
    theme_of : mapping of str to str
        The theme of each feature.

    Returns
    -------
    tuple of Step
        Rounded as the explanation is: ``typical`` + their weights = ``total``, exactly. Empty without attributions.
    """
    if not themes or explanation.typical is None or explanation.total is None:
        return ()
    reasons = (*explanation.reasons_for, *explanation.reasons_against)
    of_theme = {theme: [] for theme in themes}  # type: dict[str, list[Reason]]
    for reason in reasons:
        of_theme.setdefault(theme_of.get(reason.feature, "other"), []).append(reason)
    rounded = {theme: round(weight, explanation.decimals) for theme, weight in themes.items()}
    ordered = sorted(rounded, key=lambda theme: (-abs(rounded[theme]), theme))
    # What rounding leaves over goes to the heaviest theme, where it is smallest beside what stands there.
    rounded[ordered[0]] = round(
        rounded[ordered[0]] + explanation.total - explanation.typical - sum(rounded.values()), explanation.decimals
    )
    return tuple(Step(theme, rounded[theme], tuple(of_theme.get(theme, ()))) for theme in ordered)


@dataclass(frozen=True)
class Comparison:
    """Two forecasts, and what each theme adds to the difference: the second lead's less the first's."""

    unit: Literal["money", "points"]
    difference: float
    steps: tuple[tuple[str, float], ...]


def compare(
    one: Mapping[str, Any], other: Mapping[str, Any], themes: Mapping[str, float], other_themes: Mapping[str, float]
) -> Comparison:
    """Say from which themes the difference of two leads' forecasts comes.

    Parameters
    ----------
    one, other : mapping
        Rows of `pipeline.reporting.ranked_leads.Ranking`.
    themes, other_themes : mapping of str to float
        What each theme adds to their forecasts; the typical lead is the same, so that the differences add up.
    """
    unit: Literal["money", "points"] = "points" if one["revenue"] is None else "money"
    figures = [lead["revenue"] if unit == "money" else 100 * lead["p_win_primary"] for lead in (one, other)]
    found = []
    if themes and other_themes:
        for theme in sorted({*themes, *other_themes}):
            found.append((theme, other_themes.get(theme, 0.0) - themes.get(theme, 0.0)))
    found.sort(key=lambda step: (-abs(step[1]), step[0]))
    return Comparison(unit, figures[1] - figures[0], tuple(found))


def accuracy(backtest: Mapping[str, Any] | None, timezone: str = "UTC") -> list[str]:
    """Say in plain sentences how right the last backtest was; nothing if there was none."""
    if not backtest or not backtest.get("cutoffs"):
        return []
    last = backtest["cutoffs"][-1]
    models = last["models"]
    ours = models["leadrev"]
    horizon = f"within {backtest['primary_horizon_days']} days"
    then = formatting.day(formatting.local_date(last["cutoff"], timezone))
    sentences = [
        f"The {formatting.count(last['open_count'], 'lead', 'leads')} open on {then} were forecast from what was "
        "known that day."
    ]
    if formatting.known(ours.get("expected_wins")):
        sentences.append(
            f"Expected to be won {horizon}: {formatting.count(ours['expected_wins'])}; "
            f"actual: {formatting.count(ours['actual_wins'])}."
        )
    ratio, actual = ours.get("forecast_ratio"), last.get("actual_revenue")
    if formatting.known(ratio) and formatting.known(actual):
        sentences.append(
            f"Expected revenue: {formatting.money_short(ratio * actual, backtest['currency'])}; "
            f"actual: {formatting.money_short(actual, backtest['currency'])}."
        )
    if formatting.known(ours.get("capture_at_10")):
        others = [
            f"{MODELS[name]} {formatting.percent(models[name]['capture_at_10'])}"
            for name in ("recent_activity", "biggest_company")
            if formatting.known(models.get(name, {}).get("capture_at_10"))
        ]
        beside = f"; {' and '.join(others)}" if others else ""
        sentences.append(
            f"The top tenth of the list brought {formatting.percent(ours['capture_at_10'])} of it{beside}."
        )
    return sentences
