"""Small charts as inline SVG: no script, no font, no file beside the page.

Bars are measured in percent of their cell, so they need no scaling on a phone; every bar stands beside its figure, so
that nothing is said by colour or length alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from pipeline.common import formatting

Point = tuple[float, float, int, float | None, float | None]


def bar(share: float | None, style: str = "first") -> Markup:
    """Draw a bar over a share (0 to 1) of its cell's width.

    Parameters
    ----------
    share : float or None
        How much of the width; beyond 0 and 1 it is cut, None draws nothing.
    style : str
        The CSS class that gives the colour: ``first``, ``second``, ``third``, ``for`` or ``against``.
    """
    if share is None or not formatting.known(share):
        return Markup("")
    width = max(0.0, min(1.0, share)) * 100
    return Markup(
        '<svg class="bar" aria-hidden="true" focusable="false"><rect class="{}" width="{:.2f}%" height="100%"/></svg>'
    ).format(style, width)


def balance_bar(share: float | None) -> Markup:
    """Draw a bar from the middle of its cell: to the right for a share above 0 (up to 1), to the left below."""
    if share is None or not formatting.known(share):
        return Markup("")
    width = min(1.0, abs(share)) * 50
    style, start = ("for", 50.0) if share >= 0 else ("against", 50.0 - width)
    return Markup(
        '<svg class="bar" aria-hidden="true" focusable="false"><rect class="{}" x="{:.2f}%" width="{:.2f}%" '
        'height="100%"/><line class="axis" x1="50%" x2="50%" y1="0" y2="100%"/></svg>'
    ).format(style, start, width)


def calibration_plot(groups: Sequence[Point], outcome: str) -> Markup:
    """Draw forecast probabilities against actual shares: on the diagonal, 20 of 100 leads at 20% are won.

    Parameters
    ----------
    groups : sequence of (float, float, int, float or None, float or None)
        Mean forecast, share observed, and count of leads of groups of like forecasts; and where the share would lie on
        other draws of leads.
    outcome : str
        What is forecast, for the axes: "won within 90 days".
    """
    size, left, top, right, bottom = 240, 52, 12, 12, 44
    top_share = _round_up(max([0.01, *(max(p, observed, high or 0.0) for p, observed, _, _, high in groups)]))

    def x(share: float) -> float:
        return left + size * share / top_share

    def y(share: float) -> float:
        return top + size * (1 - share / top_share)

    parts = _share_axis(top_share, left, size, y)
    for share, label in _share_ticks(top_share):
        parts.append(f'<text x="{x(share):.1f}" y="{top + size + 16}" text-anchor="middle">{label}</text>')
    parts.append(f'<line class="ideal" x1="{x(0)}" y1="{y(0)}" x2="{x(top_share)}" y2="{y(top_share)}"/>')
    for p, observed, count, low, high in groups:
        label = f"{count} leads: forecast {formatting.percent(p)}, actual {formatting.percent(observed)}"
        if low is not None and high is not None:
            label += f" (90% between {formatting.percent(low)} and {formatting.percent(high)})"
            parts.append(
                f'<line class="whisker" x1="{x(p):.1f}" x2="{x(p):.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>'
            )
        parts.append(
            f'<circle class="first" cx="{x(p):.1f}" cy="{y(observed):.1f}" r="4">'
            f"<title>{escape(label)}</title></circle>"
        )
    parts.append(f'<text x="{left + size / 2}" y="{top + size + 36}" text-anchor="middle">forecast probability</text>')
    middle = top + size / 2
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">share {escape(outcome)}'
        "</text>"
    )
    drawn = Markup("".join(parts))
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        left + size + right,
        top + size + bottom,
        f"Forecast probability against the share {outcome}, in {len(groups)} groups of leads",
        drawn,
    )


def step_bar(start: float, stop: float, low: float, high: float) -> Markup:
    """Draw one step of a waterfall: from where the figure stood before to where it stands after.

    Parameters
    ----------
    start, stop : float
        The figure before and after the step; the level itself where `start` is 0 and `low` too.
    low, high : float
        The figures at the left and at the right end of the cell.
    """
    width = max(high - low, 1e-9)
    left, right = sorted(((start - low) / width * 100, (stop - low) / width * 100))
    style = "for" if stop >= start else "against"
    zero = max(0.0, min(100.0, (0 - low) / width * 100))
    return Markup(
        '<svg class="bar" aria-hidden="true" focusable="false"><rect class="{}" x="{:.2f}%" width="{:.2f}%" '
        'height="100%"/><line class="axis" x1="{:.2f}%" x2="{:.2f}%" y1="0" y2="100%"/></svg>'
    ).format(style, left, max(right - left, 0.6), zero, zero)


def curve_plot(lead: Sequence[tuple[float, float]], typical: Sequence[tuple[float, float]], mark_days: float) -> Markup:
    """Draw the win probability over time: this lead's, and that of all open leads on average.

    Parameters
    ----------
    lead, typical : sequence of (float, float)
        Days and win probability by then, in the order of days.
    mark_days : float
        The horizon that ranks: marked on the lead's line.
    """
    wide, high, left, top, right, bottom = 400, 190, 44, 14, 16, 40
    last = max([1.0, *(days for days, _ in lead)])
    top_share = _round_up(max([0.01, *(p for _, p in (*lead, *typical))]))

    def x(days: float) -> float:
        return left + wide * days / last

    def y(share: float) -> float:
        return top + high * (1 - share / top_share)

    parts = _share_axis(top_share, left, wide, y)
    for days in sorted({0.0, last, *(float(d) for d in (90, 180, 270) if d < last * 0.9)}):
        parts.append(f'<text x="{x(days):.1f}" y="{top + high + 16}" text-anchor="middle">{days:.0f}</text>')
    for points, style in ((typical, "ideal"), (lead, "drawn")):
        if len(points) > 1:
            path = " ".join(f"{x(days):.1f},{y(p):.1f}" for days, p in points)
            parts.append(f'<polyline class="{style}" points="{path}" fill="none"/>')
    for days, p in lead:
        if days == mark_days:
            label = f"within {days:.0f} days {formatting.percent(p)}"
            parts.append(f'<circle class="first" cx="{x(days):.1f}" cy="{y(p):.1f}" r="4"/>')
            # the curve rises: below and to the right of a point there is room
            below = min(y(p) + 16, top + high - 4)
            near, shift = ("end", -2) if days > last * 0.6 else ("start", 8)
            parts.append(
                f'<text class="said" x="{x(days) + shift:.1f}" y="{below:.1f}" text-anchor="{near}">'
                f"{escape(label)}</text>"
            )
    parts.append(f'<text x="{left + wide / 2}" y="{top + high + 34}" text-anchor="middle">days from then</text>')
    final = formatting.percent(lead[-1][1]) if lead else formatting.UNKNOWN
    return Markup('<svg class="plot wide" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        left + wide + right,
        top + high + bottom,
        f"Win probability over time: {final} by day {last:.0f}",
        Markup("".join(parts)),
    )


def ratio_mark(value: float | None, low: float | None, high: float | None) -> Markup:
    """Draw expected over actual and its interval on a doubling scale: 1 in the middle of the cell, ¼ and 4 its ends."""
    if value is None or not formatting.known(value):
        return Markup("")

    def x(ratio: float) -> float:
        return 50 + 25 * max(-2.0, min(2.0, math.log2(max(ratio, 1e-9))))

    whisker = Markup("")
    if low is not None and high is not None and formatting.known(low) and formatting.known(high):
        whisker = Markup('<line class="whisker" x1="{:.1f}%" x2="{:.1f}%" y1="50%" y2="50%"/>').format(x(low), x(high))
    return Markup(
        '<svg class="mark" aria-hidden="true" focusable="false"><line class="axis" x1="50%" x2="50%" y1="0" y2="100%"/>'
        '{}<circle class="first" cx="{:.1f}%" cy="50%" r="4"/></svg>'
    ).format(whisker, x(value))


def _round_up(share: float) -> float:
    """Return the next even axis end: 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8 or 1."""
    return next((end for end in (0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8) if share <= end), 1.0)


def _share_ticks(top_share: float) -> list[tuple[float, str]]:
    """Five shares from 0 to the top of an axis, with their labels."""
    shares = [top_share * tick / 4 for tick in range(5)]
    return [(share, f"{share * 100:.3g}%") for share in shares]


def _share_axis(top_share: float, left: int, wide: int, y: Callable[[float], float]) -> list[str]:
    """Draw the grid and the labels of an upright axis of shares."""
    parts = []
    for share, label in _share_ticks(top_share):
        parts.append(f'<line class="grid" x1="{left}" x2="{left + wide}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{label}</text>')
    return parts
