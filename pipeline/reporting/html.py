"""Pages as text: templates filled with figures, everything escaped, nothing from another host."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from features import wording
from pipeline.common import formatting
from pipeline.reporting import svg_charts, waterfall
from pipeline.reporting.ranked_leads import Ranking
from pipeline.scoring.quality_flags import FLAGS

KINDS = {
    "new_business": "new business",
    "expansion": "expansion",
    "hand_raised": "raised a hand",
    "contact": "contact from a list",
}
FACETS = {
    "size": "Company size",
    "source": "Source",
    "owner": "Owner",
    "theme": "Strongest reason",
    "grade": "Grade",
    "kind": "Kind",
    "entry": "How they came",
}
SORTS = {
    "rank": "rank",
    "this_quarter": "revenue this quarter",
    "next_quarter": "revenue next quarter",
    "later": "revenue later",
    "chance": "win probability",
    "deal_value": "deal if won",
    "soonest": "soonest",
    "name": "name",
}
NOTES = {
    "few_wins": "the model has few won leads to learn from",
    "ever_is_shorter": "the history is too short for the longest horizon",
}


def word(value: str) -> str:
    """Say a value of a table in words: ids and names stay as they are."""
    return KINDS.get(value) or wording.readable_value(value)


def sorts_of(ranking: Ranking) -> dict[str, str]:
    """Return the orders that mean something for these scores: none by money where there is none."""
    without = set() if ranking.has_money else {"this_quarter", "next_quarter", "later", "deal_value"}
    if ranking.totals.later is None:
        without.add("later")
    return {key: label for key, label in SORTS.items() if key not in without}


def web_link(url: str | None) -> str | None:
    """Return a record's address if it is one of the web; anything else (a script, a file) is no link."""
    try:
        return url if url and urlsplit(url).scheme in ("http", "https") else None
    except ValueError:
        return None


def title_of(lead: Mapping[str, Any]) -> str:
    """Return what to call a lead: its company, else its person, else its id."""
    return str(lead["company_name"] or lead["name"] or lead["lead_id"])


def subtitle_of(lead: Mapping[str, Any]) -> str:
    """Say who stands behind the title: person and job title."""
    person = lead["name"] if lead["company_name"] else None
    return " · ".join(text for text in (person, lead["title"]) if text)


def flags_of(lead: Mapping[str, Any]) -> str:
    """Say what a reader should know about the data behind one forecast."""
    return "; ".join((FLAGS | NOTES).get(flag, str(flag).replace("_", " ")) for flag in lead["data_quality_flags"])


def happening(kind: str) -> str:
    """Say what a kind of event is, as the reasons call it."""
    return wording.event_words(kind)[0]


def among(ranking: Any) -> str:
    """Say how many leads a rank is among: an owner's own, unless params show the company's ranks."""
    many = formatting.count(ranking.leads_count)
    return f"your {many}" if ranking.has_own_ranks else many


def unbroken(text: str) -> Markup:
    """Keep a weight in brackets on one line."""
    return Markup(re.sub(r"\(([+−][^()]{0,200})\)", r'<span class="money">(\1)</span>', str(escape(text))))


@cache
def environment() -> Environment:
    """Return the templates with every filter and function that they use."""
    env = Environment(
        loader=PackageLoader("pipeline.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    env.filters |= {name: getattr(formatting, name) for name in ("money", "money_short", "percent", "points", "days")}
    env.filters |= {
        "count": formatting.count,
        "instant": formatting.instant,
        "day": formatting.day,
        "word": word,
        "web_link": web_link,
        "happening": happening,
        "unbroken": unbroken,
        "among": among,
    }
    env.filters |= {
        "title_of": title_of,
        "subtitle_of": subtitle_of,
        "flags_of": flags_of,
        "tell": waterfall.explain_lead,
    }
    env.filters["path"] = lambda text: quote(str(text), safe="")
    env.globals |= {"bar": svg_charts.bar, "balance_bar": svg_charts.balance_bar, "step_bar": svg_charts.step_bar}
    env.globals |= {"calibration_plot": svg_charts.calibration_plot, "curve_plot": svg_charts.curve_plot}
    env.globals |= {"ratio_mark": svg_charts.ratio_mark, "FACETS": FACETS}
    return env


def source(name: str) -> str:
    """Return a template file as it is: the style sheet, or a script."""
    text, _, _ = environment().loader.get_source(environment(), name)  # type: ignore[union-attr]
    return text


def script_hash(script: str) -> str:
    """Return what a content security policy allows a script by: the SHA-256 of its text."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def script_data(value: Any) -> Markup:
    """Write JSON that stays data inside an HTML page: no `<` that could end the script or open another."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
        text = text.replace(character, code)
    return Markup(text.replace("\u2029", "\\u2029"))


def render(template: str, **content: Any) -> str:
    """Fill a template."""
    return environment().get_template(template).render(**content)


def render_alone(template: str, script: str = "", **content: Any) -> str:
    """Fill a template into one file that needs nothing else: style and script inside, any request forbidden."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    if script:
        policy += f"; script-src {script_hash(script)}"
    return render(
        template,
        policy=policy,
        style=Markup(source("style.css")),
        script=Markup(script),
        **content,
    )


def render_audit(audit: Mapping[str, Any]) -> str:
    """Render what `check` found: reconciliation, rows set aside, columns kept out, warnings, definitions.

    Parameters
    ----------
    audit : mapping
        The content of ``audit.json``. Parts that are absent are left out of the page.
    """
    reconciliation = audit.get("reconciliation") or {}
    columns = {column["key"]: column for column in audit.get("columns") or []}
    drift = audit.get("drift") or {}
    months = [_sides(str(month["month"]), month) for month in reconciliation.get("months") or []]
    total = _sides("All", reconciliation["total"]) if months and reconciliation.get("total") else None
    return render_alone(
        "audit.html",
        company=audit.get("company", ""),
        currency=audit.get("currency") or reconciliation.get("currency") or "EUR",
        as_of=audit.get("as_of") or audit.get("known_until"),
        timezone=audit.get("timezone", "UTC"),
        counts=audit.get("counts") or {},
        identity=audit.get("identity") or {},
        time_zone=audit.get("time_zone"),
        cycle=audit.get("cycle"),
        months=months,
        most=max([1e-9, *(month["sides"][0][1] for month in months)]),
        total=total,
        unattached=reconciliation.get("unattached") or {},
        differences=list(reconciliation.get("differences") or []),
        excluded=audit.get("excluded") or {},
        columns=columns,
        doubtful=sum(column["verdict"] == "cannot tell yet" for column in columns.values()),
        tests_count=audit.get("tests_count") or 0,
        drift=drift,
        most_won=max([1e-9, *(month["won"] / month["leads"] for month in drift.get("months") or [])]),
        won_least=audit.get("won_least") or 0,
        warnings=audit.get("warnings") or [],
        definitions=audit.get("definitions") or {},
        outcomes={key: value for key, value in (audit.get("outcomes") or {}).items() if formatting.known(value)},
        quarantined=audit.get("quarantine") or [],
    )


def _sides(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the deals and the money of a month: in the source, loaded, set aside."""
    sides = ("source", "loaded", "quarantined")
    money = [float(row.get(f"{side}_amount") or 0) for side in sides]
    deals = [int(row.get(f"{side}_deals") or 0) for side in sides]
    return {"month": name, "sides": list(zip(deals, money, strict=True))}


def render_report(report: Mapping[str, Any]) -> str:
    """Render the report for sales and marketing as one file.

    Parameters
    ----------
    report : mapping
        As `pipeline.reporting.sales_report.report_content` makes it: ``ranking``, ``backtest``, ``leads`` (rows shown
        without script), ``segments`` and ``data`` (what the page's script reads).
    """
    return render_alone("report.html", source("report.js"), **report)
