"""The monitor's page: what was expected and what came, day by day and by segment; which inputs have changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from markupsafe import Markup

from pipeline.common.formatting import UNKNOWN, count
from pipeline.reporting.html import render_alone

Content = Mapping[str, Any]
SHOWN = 20


def render_monitor(content: Content) -> str:
    """Render the monitor as one file.

    Parameters
    ----------
    content : mapping
        The content of ``monitor.json``.
    """
    return render_alone(
        "monitor.html", page=content, sentences=sentences(content), shown=SHOWN, chart=_chart(content), e_value=e_value
    )


def e_value(value: float) -> str:
    """Write an e-value: short, whatever its size."""
    return f"{value:,.0f}" if 10 <= value < 1e6 else f"{value:.1e}" if value >= 1e6 else f"{value:.2g}"


def sentences(content: Content) -> list[str]:
    """Say what a reader wants to know first."""
    return list(_sentences(content))


def _sentences(content: Content) -> Iterator[str]:
    if content["alarms"]:
        yield f"{count(len(content['alarms']), 'alarm', 'alarms')}:"
        yield from (alarm["text"] for alarm in content["alarms"])
    else:
        yield "No alarm."
    if content["outcomes"]:
        row = content["outcomes"][0]
        yield (
            f"Since the first of {count(content['nights'], 'archived night', 'archived nights')} "
            f"({content['first_night']}) {count(row['observed_in_all'], 'win', 'wins')} of forecast leads became known "
            f"where {row['expected_in_all']:,.1f} were expected."
        )
    else:
        yield f"The first forecast is of {content['first_night']}: from tomorrow on it is compared with what comes."
    if content["left_out"]:
        yield (
            f"{count(len(content['left_out']), 'night is', 'nights are')} left out: made by models that cannot be read "
            "any more, before the archive kept what their margins mean."
        )
    drifted = [row["feature"] for row in content["inputs"] if row["drifted"]]
    if drifted:
        yield (
            f"{count(len(drifted), 'feature has', 'features have')} drifted from training: {', '.join(drifted[:5])}"
            f"{' and others' if len(drifted) > 5 else ''}."
        )


def terminal_table(content: Content) -> list[str]:
    """Print observed and expected by segment, in the width of a terminal."""
    lines = [f"{'Since the date given':34}{'since':>12}{'observed':>10}{'expected':>10}{'ratio':>8}{'e-value':>10}"]
    for row in content["outcomes"][:SHOWN]:
        ratio = UNKNOWN if row["ratio"] is None else f"{row['ratio']:.2f}"
        lines.append(
            f"{row['segment'][:33]:34}{row['since']:>12}{row['observed']:>10,}{row['expected']:>10,.1f}{ratio:>8}"
            f"{e_value(row['e_value']):>10}{'  ALARM' if row['alarm'] else ''}"
        )
    return lines


def _chart(content: Content) -> Markup:
    """Draw wins so far, expected and observed."""
    days = content["daily"]
    if len(days) < 2:
        return Markup("")
    lines = {name: list(accumulate(day[name] for day in days)) for name in ("expected", "observed")}
    wide, high, left, top = 560, 200, 44, 12
    most = max(1.0, *lines["expected"], *lines["observed"])

    def place(day: int, value: float) -> str:
        return f"{left + wide * (day + 1) / len(days):.1f},{top + high * (1 - value / most):.1f}"

    parts = []
    step = 10 ** math.floor(math.log10(most)) / (1 if most >= 5 * 10 ** math.floor(math.log10(most)) else 4)
    for k in range(int(most / step) + 1):
        y = top + high * (1 - k * step / most)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + wide}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{k * step:,.4g}</text>')
    for name, style in (("expected", "ideal"), ("observed", "drawn")):
        points = " ".join([f"{left},{top + high}", *(place(day, value) for day, value in enumerate(lines[name]))])
        parts.append(f'<polyline class="{style}" points="{points}" fill="none"/>')
    parts.append(f'<text x="{left}" y="{top + high + 16}">{days[0]["date"]}</text>')
    parts.append(f'<text x="{left + wide}" y="{top + high + 16}" text-anchor="end">{days[-1]["date"]}</text>')
    label = f"Wins so far: {lines['observed'][-1]:.0f} observed, {lines['expected'][-1]:.1f} expected"
    return Markup('<svg class="plot wide" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        left + wide + 16, top + high + 24, label, Markup("".join(parts))
    )
