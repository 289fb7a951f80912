"""The page of what sales did with the list: by grade, against the score, what was left, how right forecasts were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.common.formatting import UNKNOWN, count, money, money_short, percent
from pipeline.reporting.html import render_alone

Content = Mapping[str, Any]
GROUPS = {"worked": "Worked", "unworked": "Not worked"}


def render_selection(content: Content) -> str:
    """Render what sales did with the list as one file.

    Parameters
    ----------
    content : mapping
        The content of ``selection.json``.
    """
    return render_alone(
        "selection.html",
        page=content,
        currency=content["currency"],
        sentences=sentences(content),
        groups=[(label, content["quality"][name]) for name, label in GROUPS.items() if content["quality"][name]],
    )


def sentences(content: Content) -> list[str]:
    """Say what a head of sales would act on."""
    return list(_sentences(content))


def _sentences(content: Content) -> Iterator[str]:
    currency, days = content["currency"], content["worked_days"]
    untouched, against = content["untouched"], content["against_score"]
    if untouched and untouched["leads"]:
        worth = (
            "" if untouched["revenue"] is None else f", worth {money(untouched['revenue'], currency)} in expectation"
        )
        yield (
            f"{count(untouched['leads'])} of {count(untouched['hot'], 'open lead', 'open leads')} graded A were not "
            f"touched in the past {days} days{worth}; {count(untouched['never_touched'])} of them never."
        )
    elif untouched:
        yield f"Every open lead graded A was touched in the past {days} days."
    if against and against["leads"]:
        line = (
            f"Sales took {count(against['leads'], 'lead', 'leads')} graded C or D; they brought "
            f"{money(against['revenue'], currency)}"
        )
        if against["revenue_expected"] is not None:
            line += f" so far, where {money(against['revenue_expected'], currency)} was forecast"
        yield f"{line}."
    if against and against["left"]["leads"]:
        left = against["left"]
        yield (
            f"{count(left['leads'], 'lead', 'leads')} first graded A waited longer than {days} days; they brought "
            f"{money(left['revenue'], currency)} all the same."
        )
    found = content["quality"]
    if found["worked"] and found["unworked"]:
        ratios = [found[name]["weighted"]["ratio"] for name in GROUPS]
        if all(ratios):
            yield (
                f"Expected over actual wins, both groups weighted to look like all leads: {ratios[0]['value']:.2f} of "
                f"those worked, {ratios[1]['value']:.2f} of those not worked."
            )


def terminal_table(content: Content) -> list[str]:
    """Print the grades, in the width of a terminal."""
    currency = content["currency"]
    days = f"in {content['worked_days']} days"
    lines = [f"{'grade':8}{'leads':>9}{'worked ' + days:>19}{'touches':>10}{'won':>7}{'revenue':>12}{'forecast':>12}"]
    for row in content["grades"]:
        touches = UNKNOWN if row["touches"] is None else f"{row['touches']:.1f}"
        lines.append(
            f"{row['grade']:8}{count(row['leads']):>9}{percent(row['worked_share']):>19}{touches:>10}"
            f"{count(row['won']):>7}{money_short(row['revenue'], currency):>12}"
            f"{money_short(row['revenue_expected'], currency):>12}"
        )
    return lines
