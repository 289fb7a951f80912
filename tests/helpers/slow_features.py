"""Each feature by a slow and obvious definition: one lead at one date, row by row.

`DEFINITIONS` holds, for each pattern of names, a function of what was known of the lead at the date (a `View`) and of
the words in the name. `definition` finds the one for a feature, so that a feature without one is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from features import empty_words, firmographics, sales_activity
from features.spec import FeatureSpec
from features.timing import standard_offset_seconds

DAY = timedelta(days=1)
ALWAYS, NEVER = datetime(1900, 1, 1), datetime(2200, 1, 1)
UNKNOWN = float("nan")


def none_if_missing(value: object) -> object:
    return None if value is None or value != value or value is pd.NaT else value


def records(frame: pd.DataFrame) -> list[dict]:
    """Rows as plain dicts: None where nothing stands."""
    rows = frame.astype(object).to_dict("records")
    return [{name: none_if_missing(value) for name, value in row.items()} for row in rows]


def days(later: datetime, earlier: datetime) -> float:
    return (later - earlier) / DAY


@dataclass
class SlowCompany:
    """A company's rows, and what can be said of it at a date."""

    frames: dict[str, pd.DataFrame]
    spells: pd.DataFrame
    spec: FeatureSpec
    rates: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.leads = {row["lead_id"]: row for row in records(self.frames["leads"])}
        self.events = records(self.frames["events"])
        for event in self.events:
            event["visible_at"] = max(event["known_at"], event["occurred_at"])
        self.accounts, self.changes = records(self.frames["accounts"]), records(self.frames["changes"])
        self.deals = [self.statements(of_deal) for of_deal in self.rows_by_deal()]

    def rows_by_deal(self) -> list[list[dict]]:
        by_deal: dict[str, list[dict]] = {}
        for row in records(self.frames["deals"]):
            by_deal.setdefault(row["deal_id"], []).append(row)
        return list(by_deal.values())

    def statements(self, rows: list[dict]) -> list[dict]:
        """What was ever known of a deal, in the order in which it became known."""
        found = []
        for row in rows:
            recorded, ended = row["recorded_at"], row["outcome"] != "open"
            if recorded or ended:
                closed = (row["closed_at"] or recorded) if ended else None
                moment = max((at for at in (recorded, closed) if at), default=ALWAYS)
                found.append(row | {"closed_at": closed, "known_from": moment})
            if not recorded and (not ended or row["opened_at"]):
                dates = [row["opened_at"], row["closed_at"]] if ended else [row["opened_at"]]
                silent = dict.fromkeys(("amount", "written_amount", "stage", "expected_close_at", "closed_at"))
                moment = min((at for at in dates if at), default=ALWAYS)
                found.append(row | silent | {"outcome": "open", "known_from": moment})
        ties = [(s["known_from"], s["closed_at"] or ALWAYS, s["outcome"], s["amount"] or -1) for s in found]
        return [found[i] for i in sorted(range(len(found)), key=ties.__getitem__)]

    def lead_of(self, statement: dict, moment: datetime) -> str | None:
        """The lead that a deal belonged to by what was known at a moment."""
        if statement["lead_id"] or not statement["account_id"]:
            return statement["lead_id"]
        start = statement["opened_at"] or statement["closed_at"]
        of_account = [
            (lead["created_at"], lead_id)
            for lead_id, lead in self.leads.items()
            if lead["account_id"] == statement["account_id"] and lead["known_at"] <= moment
        ]
        return max((one for one in of_account if start and one[0] <= start), default=(None, None))[1]

    def deals_at(self, as_of: datetime) -> list[dict]:
        """What was known of each deal at a date."""
        known = ([one for one in statements if one["known_from"] <= as_of] for statements in self.deals)
        return [one[-1] for one in known if one]

    def first_won(self) -> dict[str, datetime]:
        """When it was first known of each lead that it was won."""
        moments: dict[str, datetime] = {}
        for statements in self.deals:
            ends = [one["known_from"] for one in statements[1:]] + [NEVER]
            for one, end in zip(statements, ends, strict=True):
                if one["outcome"] != "won":
                    continue
                heard = [one["known_from"], *(lead["known_at"] for lead in self.leads.values())]
                for moment in heard if one["lead_id"] is None else heard[:1]:
                    lead_id = self.lead_of(one, moment)
                    inside = one["known_from"] <= moment < end or one["lead_id"]
                    if lead_id and inside and moment < moments.get(lead_id, NEVER):
                        moments[lead_id] = moment
        return moments

    def won_touch_mean(self, as_of: datetime) -> float:
        """How many touches of ours leads had had when they were won, by what was known."""
        won = {lead_id: moment for lead_id, moment in self.first_won().items() if moment <= as_of}
        if len(won) < sales_activity.WINS_NEEDED:
            return UNKNOWN
        ours = [e for e in self.events if e["direction"] == "outbound" and e["lead_id"] in won]
        return sum(e["visible_at"] <= won[e["lead_id"]] for e in ours) / len(won)

    def conversion(self, column: str, value: str, as_of: datetime, since_days: float = np.inf) -> float:
        """Wins of the leads of a value over those expected of leads of the same ages, as known at a date."""
        key = (column, as_of, since_days)
        if key not in self.rates:
            self.rates[key] = self.conversions(column, as_of, since_days)
        wins, expected = self.rates[key].get(value, (0, 0.0))
        return (wins + 2) / (expected + 2)

    def conversions(self, column: str, as_of: datetime, since_days: float) -> dict[str, tuple[int, float]]:
        edges = [-np.inf, 7, 14, 30, 60, 90, 180, 365, np.inf]
        since = as_of - timedelta(days=since_days) if since_days < np.inf else ALWAYS
        lives = []
        for spell in self.spells.to_dict("records"):
            created, start = spell["created_at"].to_pydatetime(), spell["known_from"].to_pydatetime()
            end = min(spell["known_until"].to_pydatetime(), NEVER)
            if start <= as_of:
                won_at = end if spell["outcome"] == "won" and end <= as_of else None
                lives.append((spell["lead_id"], created, start, min(end, as_of), won_at))
        sums: dict[str, tuple[int, float]] = {}
        for low, high in pairwise(edges):
            at_risk, wins = [], []
            for _, created, start, end, won_at in lives:
                of_bin = max(min(days(end, created), high) - max(days(start, created), low), 0)
                late = max(min(days(end, created), high) - max(days(max(start, since), created), low), 0)
                won = won_at is not None and low < days(won_at, created) <= high
                at_risk.append((of_bin, late if end > since else 0))
                wins.append((won, won and won_at > since))
            every = sum(one[0] for one in at_risk)
            rate = sum(one[0] for one in wins) / every if every else 0
            for life, risk, win in zip(lives, at_risk, wins, strict=True):
                value = (self.leads[life[0]][column] or "").strip()
                before = sums.get(value, (0, 0.0))
                sums[value] = (before[0] + int(win[1]), before[1] + rate * risk[1])
        return sums


@dataclass
class View:
    """What was known of one lead at one date."""

    company: SlowCompany
    lead_id: str
    as_of: datetime

    def __post_init__(self) -> None:
        self.spec = self.company.spec
        self.lead = self.company.leads[self.lead_id] | {"account_id": self.company_of(self.lead_id)}
        self.every = [e for e in self.company.events if e["visible_at"] <= self.as_of]
        own = [e for e in self.every if e["lead_id"] == self.lead_id]
        self.events = [e | {"age": days(self.as_of, e["occurred_at"])} for e in own]
        self.known_deals = self.company.deals_at(self.as_of)
        self.deals = [d for d in self.known_deals if self.company.lead_of(d, self.as_of) == self.lead_id]
        self.open_deals = [d for d in self.deals if d["outcome"] == "open"]

    def touches(self, within_days: float = np.inf, **words: str) -> list[dict]:
        """The lead's events of a kind, a direction, …, of the last days."""
        fits = [e for e in self.events if all(e[name] == word for name, word in words.items())]
        return [e for e in fits if e["age"] < within_days]

    def recency(self, **words: str) -> float:
        return min((e["age"] for e in self.touches(**words)), default=UNKNOWN)

    @property
    def account(self) -> dict | None:
        return self.record_of(self.lead["account_id"])

    def record_of(self, account_id: str | None) -> dict | None:
        """A company's record as known: of those known the newest by its own date, else the last one heard of."""
        of_account = [a for a in self.company.accounts if a["account_id"] == account_id]
        known = [a for a in of_account if (a["known_at"] or ALWAYS) <= self.as_of]
        facts = sorted(set(self.company.frames["accounts"]) - {"account_id", "valid_from", "known_at"})

        def place(version: dict) -> tuple:
            dates = (version["valid_from"] or ALWAYS, version["known_at"] or ALWAYS)
            return (*dates, *((version[name] is not None, version[name] or 0) for name in facts))

        return max(known, key=place, default=None)

    def of_account(self, name: str) -> object:
        return self.account[name] if self.account else None

    @property
    def colleagues(self) -> list[str]:
        """The leads known to belong to the company, this one among them."""
        return [lead_id for lead_id in self.company.leads if self.company_of(lead_id) == self.lead["account_id"]]

    def company_of(self, lead_id: str) -> str | None:
        """The company that a lead was known to belong to; None before the lead itself was known."""
        lead = self.company.leads.get(lead_id)
        if lead is None or (lead["known_at"] or ALWAYS) > self.as_of:
            return None
        past = [c for c in self.company.changes if (c["row_id"], c["field"]) == (lead_id, "account_id")]
        known = [c for c in past if c["known_at"] <= self.as_of]
        return known[-1]["new_value"] if known else past[0]["old_value"] if past else lead["account_id"]

    def parent_of(self, account_id: str) -> str | None:
        parent = (self.record_of(account_id) or {}).get("parent_id")
        return None if parent == account_id else parent

    @property
    def family(self) -> set[str]:
        """The company's parent (or itself, if it has none) and the companies under that one."""
        head = self.parent_of(self.lead["account_id"]) or self.lead["account_id"]
        every = {account["account_id"] for account in self.company.accounts}
        return {head} | {account_id for account_id in every if self.parent_of(account_id) == head}

    def past_deals(self, outcome: str, companies: set[str] | None = None) -> list[dict]:
        """The deals of some companies (the lead's own, if none are named), as known, with an outcome."""
        companies = companies or {self.lead["account_id"]}
        mine = [d for d in self.known_deals if (d["account_id"] or self.company_of(d["lead_id"])) in companies]
        return [d for d in mine if d["outcome"] == outcome]

    def local_days(self) -> set[datetime]:
        """The days (winter time) on which something happened, each as the instant of its beginning."""
        offset = timedelta(seconds=standard_offset_seconds(self.spec.timezone))
        starts = (e["occurred_at"] + offset for e in self.events)
        return {start.replace(hour=0, minute=0, second=0, microsecond=0) - offset for start in starts}

    def others(self) -> list[dict]:
        """What the others of the company did within 30 days."""
        lately = [e for e in self.every if days(self.as_of, e["occurred_at"]) < 30]
        return [e for e in lately if e["lead_id"] in self.colleagues and e["lead_id"] != self.lead_id]

    def turns(self, column: str, up_only: bool = False) -> int:
        """How often a column of the lead's deals had changed (or grown)."""
        count = 0
        for statements in self.company.deals:
            held = [a for a, b in pairwise([*statements, None]) if b is None or b["known_from"] > a["known_from"]]
            for before, after in pairwise(held):
                a, b, moment = before[column], after[column], after["known_from"]
                if moment <= self.as_of and self.company.lead_of(after, moment) == self.lead_id and a and b:
                    count += b > a if up_only else b != a
        return count

    @property
    def here(self) -> datetime:
        """The date on the company's own wall clock."""
        zone = ZoneInfo(self.spec.timezone)
        return self.as_of.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).replace(tzinfo=None)


def quarter_end_days(moment: datetime, first_month: int) -> float:
    end = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while end <= moment or (end.month - first_month) % 3:
        end = (end + timedelta(days=31)).replace(day=1)
    return days(end, moment)


def with_company(value: Callable[[View], object]) -> Callable[..., object]:
    """Unknown where the lead names no company."""
    return lambda v, *_: value(v) if v.lead["account_id"] else None


def is_sound(name: str, value: str) -> bool:
    if value.lower() in empty_words.NO_ANSWER:
        return False
    if name == "email":
        return bool(re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}", value))
    if name == "phone":
        return sum(letter in "0123456789" for letter in value) >= 6
    return bool(re.search(r"[^\W\d_]{2}", value))


FORM = ("email", "phone", "title", "name", "company_name")
COMPANY = ("employees", "annual_revenue", "industry", "country", "founded_year")
RANKS = {
    "Head of Sales": (4.0, "sales"),
    "Geschäftsführer": (5.0, "management"),
    "Estagiário": (1.0, "another department"),
}
COLUMNS = {"owner": "owner_id", "own_region": "region"}


def filled(v: View) -> dict[str, str]:
    return {name: v.lead[name].strip() for name in FORM if v.lead[name] and v.lead[name].strip()}


def free_mail(v: View) -> float | None:
    found = re.search(r"@([^@\s.]+)\.[^@\s]+$", v.lead["email"] or "")
    return float(found[1] in firmographics.FREE_MAIL) if found else None


def reply_delay(v: View) -> float | None:
    ours = [e["visible_at"] for e in v.touches(direction="outbound")]
    answers = [e["visible_at"] for e in v.touches(direction="inbound") if ours and e["visible_at"] > min(ours)]
    return days(min(answers), min(ours)) if answers else None


def speed_to_lead(v: View) -> float | None:
    ours = [e["occurred_at"] for e in v.touches(direction="outbound")]
    return max(days(min(ours), v.lead["created_at"]), 0.0) if ours else None


def inbound_share(v: View) -> float | None:
    own, ours = (len(v.touches(direction=way)) for way in ("inbound", "outbound"))
    return own / (own + ours) if own + ours else None


def momentum(v: View) -> float:
    week, month = len(v.touches(7)), len(v.touches(28))
    return (week + 1) / ((month - week) / 3 + 1)


def converted(v: View, name: str, since_days: float = np.inf) -> float:
    column = COLUMNS.get(name, name)
    return v.company.conversion(column, (v.lead[column] or "").strip(), v.as_of, since_days)


def days_since(v: View, moment: datetime | None) -> float | None:
    return days(v.as_of, moment) if moment and moment <= v.as_of else None


def amounts(deals: list[dict]) -> float | None:
    known = [d["amount"] for d in deals if d["amount"] is not None]
    return sum(known) if known else None


def deal_age(v: View) -> float | None:
    opened = [d["opened_at"] or (d["known_from"] if d["known_from"] > ALWAYS else None) for d in v.open_deals]
    return max((days(v.as_of, at) for at in opened if at), default=None)


def planned_close(v: View) -> float | None:
    return min((days(d["expected_close_at"], v.as_of) for d in v.open_deals if d["expected_close_at"]), default=None)


KIND, WINDOW = r"(visit|demo_request|call|mail)", r"(\d+)d"

DEFINITIONS: dict[str, Callable[..., object]] = {
    # fit
    r"lead_own_(region|machines)": lambda v, name: v.lead[name],
    r"lead_own_first_order": lambda v: days_since(v, v.lead["first_order"]),
    r"acct_own_tier": lambda v: v.of_account("tier"),
    r"lead_free_mail": free_mail,
    r"lead_filled_share": lambda v: len(filled(v)) / len(FORM),
    r"lead_sound_share": lambda v: (
        sum(is_sound(*item) for item in filled(v).items()) / len(filled(v)) if filled(v) else None
    ),
    r"lead_title_seniority": lambda v: RANKS[v.lead["title"]][0] if v.lead["title"] else None,
    r"lead_title_department": lambda v: RANKS[v.lead["title"]][1] if v.lead["title"] else None,
    r"acct_(employees|annual_revenue|industry|country)": lambda v, name: v.of_account(name),
    r"acct_age_years": lambda v: (
        v.as_of.year - v.of_account("founded_year") if v.of_account("founded_year") is not None else None
    ),
    r"acct_filled_share": lambda v: (
        sum(v.account[name] is not None for name in COMPANY) / len(COMPANY) if v.account else None
    ),
    # source
    r"lead_(source|campaign|entry|kind|product)": lambda v, name: v.lead[name],
    r"lead_(source|campaign|product|owner|own_region)_conversion_ratio": converted,
    r"lead_(source|campaign|owner)_recent_ratio": lambda v, name: converted(v, name, 90),
    # engagement
    r"touch_count": lambda v: len(v.touches()),
    r"touch_recency_days": lambda v: v.recency(),
    rf"touch_{WINDOW}_count": lambda v, window: len(v.touches(int(window))),
    r"touch_momentum_ratio": momentum,
    r"touch_decayed_count": lambda v: sum(0.5 ** (e["age"] / 14) for e in v.events),
    r"touch_active_days_count": lambda v: len(v.local_days()),
    rf"touch_active_days_{WINDOW}_count": lambda v, window: sum(
        days(v.as_of, start) < int(window) for start in v.local_days()
    ),
    r"touch_topics_count": lambda v: len({e["topic"] for e in v.events if e["topic"]}),
    r"touch_topic_(t\d)_count": lambda v, name: sum(
        e["direction"] != "outbound" for e in v.touches(topic=name.upper())
    ),
    rf"touch_{KIND}_recency_days": lambda v, kind: v.recency(kind=kind),
    rf"touch_{KIND}_count": lambda v, kind: len(v.touches(kind=kind)),
    rf"touch_{KIND}_{WINDOW}_count": lambda v, kind, window: len(v.touches(int(window), kind=kind)),
    rf"touch_channel_(web|phone)_{WINDOW}_count": lambda v, name, window: len(v.touches(int(window), channel=name)),
    r"touch_(inbound|outbound)_count": lambda v, way: len(v.touches(direction=way)),
    r"touch_(inbound|outbound)_recency_days": lambda v, way: v.recency(direction=way),
    rf"touch_(inbound|outbound)_{WINDOW}_count": lambda v, way, window: len(v.touches(int(window), direction=way)),
    r"touch_reply_delay_days": reply_delay,
    r"acct_people_count": with_company(lambda v: len(v.colleagues)),
    r"acct_others_active_count": with_company(lambda v: len({e["lead_id"] for e in v.others()})),
    r"acct_others_touch_count": with_company(lambda v: len(v.others())),
    # sales activity
    r"touch_outbound_to_win_share": lambda v: (
        len(v.touches(direction="outbound")) / (v.company.won_touch_mean(v.as_of) or UNKNOWN)
    ),
    r"touch_speed_to_lead_days": speed_to_lead,
    r"touch_inbound_share": inbound_share,
    r"deal_open_count": lambda v: len(v.open_deals),
    r"deal_age_days": deal_age,
    r"deal_stage": lambda v: max((d["stage"] for d in v.open_deals if d["stage"]), default=None),
    r"deal_amount": lambda v: amounts(v.open_deals),
    r"deal_amount_changed_count": lambda v: v.turns("written_amount"),
    r"deal_expected_close_days": planned_close,
    r"deal_pushed_count": lambda v: v.turns("expected_close_at", up_only=True),
    # history
    r"acct_(won|lost)_count": lambda v, outcome: with_company(lambda v: len(v.past_deals(outcome)))(v),
    r"acct_customer_before_lead": with_company(
        lambda v: float(any(d["closed_at"] < v.lead["created_at"] for d in v.past_deals("won")))
    ),
    r"acct_last_won_days": with_company(
        lambda v: min((days(v.as_of, d["closed_at"]) for d in v.past_deals("won")), default=None)
    ),
    r"acct_family_(won|lost)_count": lambda v, outcome: with_company(lambda v: len(v.past_deals(outcome, v.family)))(v),
    r"acct_family_revenue": with_company(lambda v: amounts(v.past_deals("won", v.family)) or 0.0),
    r"acct_revenue": with_company(lambda v: amounts(v.past_deals("won")) or 0.0),
    # timing
    r"lead_age_days": lambda v: days(v.as_of, v.lead["created_at"]),
    r"lead_created_weekday": lambda v: (
        v.lead["created_at"] + timedelta(seconds=standard_offset_seconds(v.spec.timezone))
    ).weekday(),
    r"cal_weekday": lambda v: v.here.weekday(),
    r"cal_month": lambda v: v.here.month,
    r"cal_quarter_end_days": lambda v: quarter_end_days(v.here, v.spec.fiscal_year_start_month),
    r"cal_quarter_end_at_horizon_days": lambda v: quarter_end_days(
        v.here + timedelta(days=v.spec.primary_horizon_days), v.spec.fiscal_year_start_month
    ),
}
"""Pattern of names -> what was known of the lead at the date, and the words in the name -> value (None: unknown)."""


def definition(name: str) -> Callable[[View], object]:
    """Find the slow definition of a feature.

    Raises
    ------
    LookupError
        If it has none: every feature needs one.
    """
    for pattern, slow in DEFINITIONS.items():
        found = re.fullmatch(pattern, name)
        if found:
            return lambda view: slow(view, *found.groups())
    raise LookupError(f"{name} has no slow definition: write one into slow_features.DEFINITIONS")
