"""Plain words for values: how often, how long, how large; and the names of common kinds of events."""

from __future__ import annotations

import re
from collections.abc import Sequence

from babel import Locale

ENGLISH = Locale("en")

EVENT_WORDS = {
    "demo_request": ("Asked for a demo", "demo request"),
    "demo_requested": ("Asked for a demo", "demo request"),
    "form": ("Filled in a form", "filled-in form"),
    "form_fill": ("Filled in a form", "filled-in form"),
    "form_submit": ("Filled in a form", "filled-in form"),
    "repeat_enquiry": ("Came in again", "repeat enquiry"),
    "visit": ("Visited the website", "visit to the website"),
    "web_visit": ("Visited the website", "visit to the website"),
    "page_view": ("Visited the website", "visit to the website"),
    "pricing_view": ("Looked at the prices", "visit to the price page"),
    "email_open": ("Opened a mail", "opened mail"),
    "mail_open": ("Opened a mail", "opened mail"),
    "email_click": ("Clicked in a mail", "click in a mail"),
    "mail_click": ("Clicked in a mail", "click in a mail"),
    "email_reply": ("Answered a mail", "answer to a mail"),
    "mail_reply": ("Answered a mail", "answer to a mail"),
    "reply": ("Answered", "answer"),
    "download": ("Downloaded something", "download"),
    "webinar": ("Took part in a webinar", "webinar"),
    "trial": ("Tried the product", "trial"),
    "trial_start": ("Started a trial", "trial"),
    "page_visit": ("Visited the website", "visit to the website"),
    "pricing_visit": ("Looked at the prices", "visit to the price page"),
    "proposal_sent": ("Proposal sent", "proposal"),
    "call_attempt": ("Call attempt", "call attempt"),
    "call_in": ("Called us", "call from the lead"),
    "unsubscribe": ("Unsubscribed", "unsubscription"),
    "email": ("Mail", "mail"),
    "mail": ("Mail", "mail"),
    "mail_sent": ("Mail from us", "mail from us"),
    "email_sent": ("Mail from us", "mail from us"),
    "call": ("Call", "call"),
    "meeting": ("Meeting", "meeting"),
}
"""Kind of event: what the lead did, and the noun for it. Any other kind is read as a noun as it stands."""

VALUE_WORDS = {
    "lead_kind": {"new_business": "Recorded as new business", "expansion": "Recorded as an expansion"},
    "lead_entry": {"hand_raised": "Raised a hand", "contact": "From a list of contacts"},
}
"""What the contract's own code words say, by feature."""

_CLAUSE = re.compile(
    r"^first |(?:[a-z]{3}ed|sent|made|held|done|given|paid|met|signed|written)(?: (?:in|out|back|up|off|again))?$"
)
"""A kind of event that tells what was done ("offer sent back"): it happened some time ago, and is no habit."""
_UNCOUNTED = ("work", "research", "advice", "support")

PERSONAL = re.compile(
    r"(^|_)(age|alter|birth\w*|dob|gender|sex|geschlecht|salutation|anrede|nationality|ethnic\w*|race|religion|marital\w*"
    r"|disab\w*|health|pregnan\w*|orientation|children)(_|$)"
)
"""Names of columns that tell of the person and not of the business: never a reason."""


SHORT = {
    "req": "requested",
    "qty": "quantity",
    "amt": "amount",
    "num": "number",
    "emp": "employees",
    "dept": "department",
}
"""What columns' names shorten."""


def readable(word: str) -> str:
    """Turn a code word such as ``demo_request`` or ``leadOrigin`` into plain words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", word)
    words = re.sub(r"[_\W]+", " ", spaced, flags=re.UNICODE).strip().lower().split()
    return " ".join(SHORT.get(each, each) for each in words) or word


def readable_value(word: str) -> str:
    """Turn a code value such as ``paid_search`` into plain words; ids and proper names stay as they are."""
    return word.replace("_", " ") if re.fullmatch(r"[a-z]+(_[a-z]+)+", word) else word


def event_words(kind: str) -> tuple[str, str]:
    """Give what happened, to open a sentence, and the noun for it."""
    key = re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")
    if key in EVENT_WORDS:
        return EVENT_WORDS[key]
    noun = readable(kind)
    return noun[:1].upper() + noun[1:], noun


def event_templates(kind: str) -> tuple[str, str, str]:
    """Give what sales reads of a kind of event: how lately for it, how lately against it, and how often.

    Examples
    --------
    >>> event_templates("meeting")
    ('Last meeting {value} ago', 'No meeting for {value}', '{count}')
    >>> event_templates("demo_request")
    ('Asked for a demo {value} ago', 'No demo request for {value}', 'Asked for a demo {times}')
    >>> event_templates("offer sent back")
    ('Offer sent back {value} ago', 'Offer sent back {value} ago', 'Offer sent back {times}')
    """
    did, noun = event_words(kind)
    if _CLAUSE.search(did.lower()):
        return f"{did} {{value}} ago", f"{did} {{value}} ago", f"{did} {{times}}"
    often = f"{did} {{times}}"
    if did.lower() != noun:
        return f"{did} {{value}} ago", f"No {noun} for {{value}}", often
    return (
        f"Last {noun} {{value}} ago",
        f"No {noun} for {{value}}",
        often if noun.split()[0] in _UNCOUNTED else "{count}",
    )


def country(word: str) -> str:
    """Give a country's name for its ISO 3166 code; anything else stays as it is."""
    return str(ENGLISH.territories.get(word.upper(), word)) if re.fullmatch(r"[A-Za-z]{2}", word) else word


def compared(ratio: float) -> str:
    """Say how often something comes against the usual: '2.5 times as often as usual', '30% less often than usual'."""
    if ratio >= 1.95:
        return ("twice" if ratio < 2.05 else f"{ratio:.1f}".removesuffix(".0") + " times") + " as often as usual"
    percent = round(100 * abs(ratio - 1))
    if percent < 5:
        return "about as often as usual"
    return f"{percent}% {'more' if ratio > 1 else 'less'} often than usual"


def lately(days: int) -> str:
    """Say the end of a window: 'the last 24 hours', 'the last 30 days'."""
    return "the last 24 hours" if days == 1 else f"the last {days} days"


def times(count: float) -> str:
    """Say how often: 'once', 'twice', '3 times'."""
    whole = round(count)
    return {1: "once", 2: "twice"}.get(whole, f"{whole:,} times")


def plural(noun: str) -> str:
    """Give the plural of an event's noun: 'visit to the website', 'visits to the website'; 'reply', 'replies'."""
    head, *rest = re.split(r" (?=(?:to|at|in|of|on|by|for|from|about|sent)\b)", noun, maxsplit=1)
    if re.search(r"[^aeiou]y$", head):
        many = head[:-1] + "ies"
    else:
        many = head + ("es" if re.search(r"(?:s|x|z|ch|sh)$", head) else "s")
    return " ".join([many, *rest])


def listed(phrases: Sequence[str]) -> str:
    """Join phrases as a sentence does: 'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]]) if len(phrases) > 1 else "".join(phrases)


def every(gap_days: float) -> str:
    """Say how often something comes: 'every day', 'every 4 days'."""
    whole = max(1, round(gap_days))
    return "every day" if whole == 1 else f"every {whole:,} days"
