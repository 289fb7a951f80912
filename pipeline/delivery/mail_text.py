"""A morning's mail as text: who the leads are, what they are worth, why, and of which day the figures are."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pipeline.common.formatting import count, day, days, local_date, money, percent
from pipeline.config.params import Params
from pipeline.delivery.mail_digest import MANAGER, Digests
from pipeline.delivery.outbox import Item

WIDTH = 76
FOOTER = (
    "These leads are yours, or your team's, in the CRM. The forecast ranks leads and eliminates none; leads of people "
    "who asked not to be contacted are on no list."
)


def write_mail(
    item: Item, found: Digests, params: Params, sender: str, as_of: str, notice: str | None, now: datetime
) -> EmailMessage:
    """Write the mail that an item of the outbox stands for.

    Parameters
    ----------
    item : Item
        Its content is whose mail it is, and which leads are in it.
    found : Digests
        What today's scores and tables say of them.
    params : Params
    sender : str
        The address that it comes from.
    as_of : str
        Of the scores.
    notice : str, optional
        What is wrong with the sources.
    now : datetime
        UTC without a zone.
    """
    zone = params.data.timezone
    today, figures_of = local_date(now, zone), local_date(as_of, zone)
    leads = [found.leads[lead] for lead in item.content["leads"] if lead in found.leads]
    is_manager = item.content["role"] == MANAGER
    person = found.people[item.content["person"]]
    lines = [f"Good morning{f' {_plain(person.name)}' if person.name else ''},", ""]
    lines += [*_wrapped(_opening(leads, is_manager, params)), ""]
    if figures_of != today:
        lines += [*_wrapped(f"Not today's figures: they are of {day(figures_of)}."), ""]
    if notice:
        lines += [*_wrapped(f"To be read with care: {notice}."), ""]
    for place, lead in enumerate(leads, start=1):
        lines += _lead(place, lead, params, with_owner=is_manager)
    lines += ["-- ", *_wrapped(FOOTER)]
    message = EmailMessage()
    message["Subject"] = _subject(leads, is_manager, today)
    message["From"] = sender
    message["To"] = Address(addr_spec=person.email or "")
    message["Date"] = format_datetime(now.replace(tzinfo=ZoneInfo("UTC")))
    message["Message-ID"] = f"<{item.digest[:32]}.{today:%Y%m%d}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(lines) + "\n", cte="quoted-printable")
    return message


def _subject(leads: Sequence[Mapping[str, Any]], is_manager: bool, today: date) -> str:
    if is_manager:
        return f"{count(len(leads), 'hot lead', 'hot leads')} that nobody has touched, {day(today)}"
    return f"Your {count(len(leads), 'lead', 'leads')} for {day(today)}"


def _opening(leads: Sequence[Mapping[str, Any]], is_manager: bool, params: Params) -> str:
    horizon = f"within {params.primary_horizon_days} days"
    sums = [lead["money"] for lead in leads if lead["money"] is not None]
    total = f", together {money(sum(sums), params.currency)} expected {horizon}" if sums else ""
    if is_manager:
        return f"{count(len(leads), 'lead', 'leads')} of your team with grade A, and no contact on record{total}:"
    by = f"the most expected revenue {horizon}" if sums else f"the best chance {horizon}"
    return f"your {count(len(leads), 'open lead', 'open leads')} with {by}{total}:"


def _lead(place: int, lead: Mapping[str, Any], params: Params, *, with_owner: bool) -> list[str]:
    called = " · ".join(_plain(lead[name]) for name in ("company_name", "name") if lead[name]) or "(no name on record)"
    grade = f"{lead['grade']} {lead['score']}" if lead["grade"] and lead["score"] is not None else ""
    head = f"{place:>2}. {called}"
    lines = [f"{head:<{WIDTH - 6}}{grade:>6}" if len(head) < WIDTH - 6 else f"{head}  {grade}"]
    parts = [f"{money(lead['money'], params.currency)} expected"] if lead["money"] is not None else []
    parts.append(f"{percent(lead['p_win'])} to be won within {params.primary_horizon_days} days")
    if lead["deal_value"] is not None:
        won = f"{money(lead['deal_value'], params.currency)} if won"
        parts.append(f"{won}, typically in {days(lead['days'])}" if lead["days"] is not None else won)
    lines += _indented("; ".join(parts))
    if with_owner and lead["owner_id"]:
        lines += _indented(f"with {_plain(lead['owner_name'] or lead['owner_id'])}")
    lines += [line for text in lead["for"][:2] for line in _indented(f"+ {_plain(text)}")]
    lines += [line for text in lead["against"][:1] for line in _indented(f"− {_plain(text)}")]
    if url := _link(lead["record_url"]):
        lines.append(f"    {url}")
    return [*lines, ""]


def _plain(text: str) -> str:
    """Give a text of the data in one line without signs that are not shown."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())


def _link(url: str | None) -> str | None:
    url = (url or "").strip()
    try:
        is_web = urlsplit(url).scheme in ("http", "https") and url.isprintable() and " " not in url
    except ValueError:
        return None
    return url if is_web else None


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="      ")
