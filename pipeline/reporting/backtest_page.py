"""The page of a backtest: what a head of data reads before signing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.common import formatting
from pipeline.common.formatting import UNKNOWN, known, percent
from pipeline.evaluation import model_names
from pipeline.reporting.html import render_alone

DIFFERENCES = ("auc", "capture_at_10", "brier", "ibs")
LOWER_IS_BETTER = frozenset({"brier", "ibs"})


@dataclass(frozen=True)
class Column:
    """One figure: what it is called, how it is written, and what it says."""

    key: str
    name: str
    write: Callable[[float], str]
    meaning: str


def _decimals(places: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{places}f}"


def _days(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")


def groups(capacity: int, has_money: bool) -> dict[str, list[Column]]:
    """Give the figures by what they measure; ``capacity`` is how many leads can be called."""
    what = "revenue" if has_money else "wins"
    tops = [
        Column(f"capture_at_{n}", f"Top {n}%", percent, f"share of the actual {what}, in the first {n}% of the list")
        for n in (1, 5, 10, 20)
    ]
    calls = Column(
        "capture_at_capacity", f"First {capacity:,}", percent,
        f"share of the actual {what}, among the {capacity:,} leads that can be called",
    )  # fmt: skip
    return {
        "Ranking: do the right leads come first?": [
            Column("auc", "AUC", _decimals(3), "share of pairs in which a won lead ranks above one that is not won; "
                   "0.5 = random"),
            *tops,
            calls,
            Column("concordance", "Concordance", _decimals(3), "share of pairs in which the lead won first "
                   "has the higher win probability; 0.5 = random"),
        ],
        "Probabilities, timing and money: are they right?": [
            Column("wins_ratio", "Wins: forecast ÷ actual", _decimals(2), "forecast over actual number of wins; 1 is "
                   "right"),
            Column("forecast_ratio", "Revenue: forecast ÷ actual", _decimals(2), "forecast over actual revenue; 1 is "
                   "right. Baselines with probabilities take the mean amount of past deals"),
            Column("interval_coverage", "Amounts in interval", percent, "share of deal amounts inside their 80% "
                   "interval; 80% is right"),
            Column("brier", "Brier", _decimals(4), "mean squared error of the probabilities; lower is better"),
            Column("ece", "Calibration error", percent, "mean distance of forecast probability and actual share; lower "
                   "is better"),
            Column("ibs", "IBS", _decimals(4), "squared error of the probabilities over all times, weighted for "
                   "censoring; lower is better"),
            Column("median_days_error", "Timing error (days)", _days, "median distance, in days, of the forecast "
                   "median day of winning from the day it was won, over leads won within the horizon"),
            Column("median_days_bias", "Timing bias (days)", _days, "the same with its sign: above 0 they were won "
                   "sooner than forecast"),
        ],
        "Against the known truth of a simulated company": [
            Column("true_capture_at_10", "True top tenth", percent, "share of the true expected revenue in the first "
                   "tenth of the list"),
            Column("true_p_error_ratio", "Probability error", _decimals(2), "mean distance from the "
                   "true probabilities, over that of one for all; 0 is perfect, 1 is no better than one for all"),
            Column("true_revenue_ratio", "Revenue: forecast ÷ true", _decimals(2), "expected over true expected "
                   "revenue; 1 is right"),
        ],
    }  # fmt: skip


def render_backtest(backtest: Mapping[str, Any]) -> str:
    """Render how right the forecasts of the past were, beside what a company would use instead.

    Parameters
    ----------
    backtest : mapping
        The content of ``backtest.json``.
    """
    overall, zone = backtest["overall"], backtest["timezone"]
    has_money = known(overall["models"]["leadrev"].get("forecast_ratio"))
    columns = groups(backtest["capacity_calls"], has_money)
    dates = [
        {
            "date": formatting.instant(cutoff["cutoff"], zone),
            "cutoff": cutoff,
            "tables": _tables(cutoff["models"], columns),
            "beside": [
                (name, called)
                for name, called in model_names.MODELS.items()
                if any(name in month.get("ratios", {}) for month in cutoff["months"])
            ],
            "without": {model_names.MODELS[name]: why for name, why in (cutoff["absent"] | cutoff["caveats"]).items()},
        }
        for cutoff in reversed(backtest["cutoffs"])
    ]
    return render_alone(
        "backtest.html",
        backtest=backtest,
        dates=dates,
        tables=_tables(overall["models"], columns),
        differences=_differences(overall["differences"], columns),
        compared=[column for column in _flat(columns) if column.key in DIFFERENCES],
        groups=[
            (row["p_mean"], row["observed"], int(row["count"]), row["low"], row["high"])
            for row in overall["calibration"]
        ],
        segments=_segments(overall["segments"], overall["differences"]),
        totals=overall["totals"],
        covered=[
            (formatting.instant(cutoff["cutoff"], zone), cutoff["models"]["leadrev"]["interval_coverage"])
            for cutoff in backtest["cutoffs"]
            if known(cutoff["models"]["leadrev"].get("interval_coverage"))
        ],
        has_money=has_money,
        glossary=[column for column in _flat(columns) if _has_figure(overall["models"], column.key)],
    )


def _flat(columns: Mapping[str, list[Column]]) -> list[Column]:
    return [column for part in columns.values() for column in part]


def _has_figure(models: Mapping[str, Any], key: str) -> bool:
    return any(known(figures.get(key)) for figures in models.values())


def _tables(models: Mapping[str, Any], columns: Mapping[str, list[Column]]) -> list[dict[str, Any]]:
    """Give a table a group of figures; columns that nobody has figures for, and rows without any, are left out."""
    found = []
    for title, part in columns.items():
        shown = [column for column in part if _has_figure(models, column.key)]
        rows = []
        for name in model_names.MODELS:
            figures = models.get(name, {})
            if any(known(figures.get(column.key)) for column in shown):
                there, dates = (models[one].get("cutoffs_count") for one in (name, "leadrev"))
                called = model_names.MODELS[name] + (f", on {there} of {dates} dates" if there != dates else "")
                rows.append((name, called, [_cell(figures, column) for column in shown]))
        if shown:
            found.append({"title": title, "columns": shown, "rows": rows})
    return found


def _cell(figures: Mapping[str, Any], column: Column) -> tuple[str, str]:
    """Write a figure, and its interval below it."""
    value: Any = figures.get(column.key)
    if not known(value):
        return UNKNOWN, ""
    bounds = figures["intervals"].get(column.key) or [None]
    return column.write(value), " to ".join(column.write(bound) for bound in bounds) if all(map(known, bounds)) else ""


def _differences(
    differences: Mapping[str, Any], columns: Mapping[str, list[Column]]
) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Write how far leadrev is from each of the others: the figure, its interval, and the word for it."""
    compared = [column for column in _flat(columns) if column.key in DIFFERENCES]
    found = []
    for name in model_names.MODELS:
        if name in differences:
            found.append(
                (model_names.MODELS[name], [_difference(differences[name].get(one.key), one) for one in compared])
            )
    return found


def _difference(row: Mapping[str, Any] | None, column: Column) -> tuple[str, str, str]:
    if row is None or not known(row["difference"]):
        return UNKNOWN, "", ""
    scale, places, unit = (
        (100, 0, " points") if column.key.startswith("capture") else (1, len(column.write(0.0)) - 2, "")
    )

    def write(value: float) -> str:
        return f"{scale * value:+.{places}f}".replace("-", "−")

    low, high = row["low"], row["high"]
    if not known(low) or not known(high):
        return write(row["difference"]) + unit, "", ""
    sign = -1 if column.key in LOWER_IS_BETTER else 1
    word = "better" if min(sign * low, sign * high) > 0 else "worse" if max(sign * low, sign * high) < 0 else "n.s."
    return write(row["difference"]) + unit, f"{write(low)} to {write(high)}", word


def _segments(segments: list[Mapping[str, Any]], compared: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Gather kinds of leads by their trait, with the ratio of wins and its interval, beside the best other."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in segments:
        own = row["models"].get("leadrev", {})
        bounds = own.get("intervals", {})
        others = [
            (figures["auc"], model_names.MODELS[name])
            for name, figures in row["models"].items()
            if name in compared and known(figures["auc"])
        ]
        found.setdefault(row["by"], []).append(
            {
                "value": row["value"],
                "leads": row["leads"],
                "won": row["won"],
                "expected": own.get("expected_wins"),
                "wins": (own.get("wins_ratio"), *(bounds.get("wins_ratio") or (None, None))),
                "revenue": (own.get("forecast_ratio"), *(bounds.get("forecast_ratio") or (None, None))),
                "auc": (own.get("auc"), *(bounds.get("auc") or (None, None))),
                "best": max(others, default=None),
                "covered": (own.get("interval_coverage"), own.get("priced")),
            }
        )
    return list(found.items())
