"""The page of an experiment: what the arms made of it, whether that can be believed, and how much more it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.common.formatting import UNKNOWN, count, money, percent, points
from pipeline.reporting.html import render_alone

Content = Mapping[str, Any]
STATUS = {"running": "Sound so far", "stopped": "Stopped early", "contaminated": "Contaminated"}
VERDICTS = {
    "better": "{arm} wins more than {control}",
    "worse": "{arm} wins less than {control}",
    "not_told": "no difference can be told yet",
    "too_few": "too few accounts to say anything",
}


def render_experiment(content: Content) -> str:
    """Render an experiment as one file.

    Parameters
    ----------
    content : mapping
        The content of ``experiment.json``.
    """
    return render_alone(
        "experiment.html",
        page=content,
        currency=content["currency"],
        sentences=sentences(content),
        status=STATUS[content["status"]],
        rows=[(comparison, list(_rows(content, comparison))) for comparison in content["comparisons"]],
    )


def _shown(measure: str, value: float, currency: str) -> str:
    if measure == "won_share":
        return points(100 * value)
    if measure == "revenue":
        return money(value, currency, signed=True)
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{abs(value):.1f} {'day' if f'{abs(value):.1f}' == '1.0' else 'days'}"


def _rows(content: Content, comparison: Content) -> Iterator[dict[str, str]]:
    """Give the differences in words: of this arm, and of those that were touched beside them."""
    names = {"won_share": "Share won", "revenue": "Revenue per lead", "mean_days": "Days until won"}
    for measure, name in names.items():
        found, naive = comparison["difference"][measure], (content["naive"] or {}).get(measure)
        narrower = comparison["narrower_share"][measure]

        def shown(value: float, measure: str = measure) -> str:
            return _shown(measure, value, content["currency"])

        yield {
            "name": name,
            "value": UNKNOWN if found is None else shown(found["value"]),
            "interval": "" if found is None else f"{shown(found['low'])} to {shown(found['high'])}",
            "sequence": UNKNOWN
            if found is None
            else f"{shown(found['sequence_low'])} to {shown(found['sequence_high'])}",
            "narrower": UNKNOWN if narrower is None else percent(max(narrower, 0.0)),
            "naive": UNKNOWN if naive is None else shown(naive["value"]),
            "naive_interval": "" if naive is None else f"{shown(naive['low'])} to {shown(naive['high'])}",
        }


def sentences(content: Content) -> list[str]:
    """Say what the experiment says, and what speaks against believing it."""
    return list(_sentences(content))


def _sentences(content: Content) -> Iterator[str]:
    days = content["horizon_days"]
    wrong = [check["text"] for check in content["checks"] if check["kind"] == "contaminated"]
    if wrong:
        yield "This experiment is contaminated: its difference is no effect to rely on."
        yield from wrong
    yield from (check["text"] for check in content["checks"] if check["kind"] == "stopped")
    for comparison in content["comparisons"]:
        yield f"{comparison['arm']} against {comparison['control']}: {_told(content, comparison)}."
        needed = comparison["accounts_needed"]
        if comparison["verdict"] == "not_told" and needed:
            least = _points(comparison["smallest_effect"])
            more = count(needed, "more account", "more accounts")
            yield f"It takes {more} to tell a difference of {least} from none."
    waiting = sum(arm["waiting"] for arm in content["arms"])
    if waiting:
        yield f"{count(waiting, 'lead waits', 'leads wait')} for the end of the {days} days."
    naive = content["naive"]
    if naive and naive["won_share"]:
        value = naive["won_share"]["value"]
        which = "that were touched" if naive["by"] == "outbound" else f"with '{naive['by']}'"
        yield (
            f"Leads {which} were won {'more' if value > 0 else 'less'} often, by {_points(value)}. That is no effect: "
            "people choose whom they touch."
        )
    yield from (check["text"] for check in content["checks"] if check["kind"] == "note")


def _told(content: Content, comparison: Content) -> str:
    told = VERDICTS[comparison["verdict"]].format(arm=comparison["arm"], control=comparison["control"])
    found = comparison["difference"]["won_share"]
    if comparison["verdict"] in ("better", "worse") and found:
        told += f", by {_points(found['value'])} of its leads"
    return f"{told} ({content['horizon_days']} days after assignment)"


def _points(share: float) -> str:
    return points(abs(100 * share)).removeprefix("+")


def terminal_table(content: Content) -> list[str]:
    """Print the arms, in the width of a terminal."""
    currency = content["currency"]
    lines = [f"{'arm':20}{'accounts':>10}{'leads':>9}{'won':>7}{'share won':>11}{'revenue a lead':>16}{'days':>8}"]
    for arm in content["arms"]:
        share, revenue, days = (arm[name] and arm[name]["value"] for name in ("won_share", "revenue", "mean_days"))
        lines.append(
            f"{arm['arm'][:19]:20}{count(arm['accounts']):>10}{count(arm['leads']):>9}{count(arm['won']):>7}"
            f"{percent(share):>11}{money(revenue, currency):>16}{UNKNOWN if days is None else f'{days:.1f}':>8}"
        )
    return lines
