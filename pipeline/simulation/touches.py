"""What the company sees of its leads: visits, mails, forms, calls, meetings.

People act when their interest is warm, the more the higher their intent and the larger the firm; who is cold opens a
newsletter now and then. High intent shows in what they do, too: prices and demo requests rather than blog pages.
Salespeople call as planned (`pipeline.simulation.company`), and get through to warm leads more often; a meeting may
follow. A proposal follows a deal. Whoever came on the web may be heard next by the call centre, so one person's touches
lie in several channels. Nothing happens once the lead has ended.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.outcome_codes import WON
from pipeline.simulation import seasonality, vocabulary
from pipeline.simulation.company import NEVER, SOURCES, Territory
from pipeline.simulation.lead_process import Lives, rounds_of_calls

COLD_SHARE = 0.04
"""How much a cold lead acts, compared with a warm one."""

KINDS = pd.DataFrame(
    [
        # kind             direction   channel    warm  slope  cold
        ("page_visit", "inbound", "web", 0.40, -0.10, 0.36),
        ("pricing_visit", "inbound", "web", 0.10, 0.45, 0.03),
        ("mail_open", "inbound", "email", 0.22, -0.15, 0.44),
        ("mail_click", "inbound", "email", 0.08, 0.10, 0.08),
        ("download", "inbound", "web", 0.06, 0.10, 0.03),
        ("webinar", "inbound", "web", 0.03, 0.05, 0.02),
        ("form", "inbound", "web", 0.03, 0.30, 0.01),
        ("mail_reply", "inbound", "email", 0.04, 0.40, 0.01),
        ("call_in", "inbound", "phone", 0.025, 0.40, 0.01),
        ("demo_request", "inbound", "web", 0.015, 0.60, 0.002),
        # made by the company itself
        ("mail_sent", "outbound", "email", 0.0, 0.0, 0.0),
        ("call", "outbound", "phone", 0.0, 0.0, 0.0),
        ("call_attempt", "outbound", "phone", 0.0, 0.0, 0.0),
        ("meeting", "outbound", "in_person", 0.0, 0.0, 0.0),
        ("proposal_sent", "outbound", "email", 0.0, 0.0, 0.0),
    ],
    columns=["kind", "direction", "channel", "warm", "slope", "cold"],
)
KIND_CODE = {kind: code for code, kind in enumerate(KINDS["kind"])}
CAMPAIGNS = ["newsletter", "spring launch", "autumn launch", "case studies", "year-end offer"]
ARRIVAL_KIND = {"website": "form", "search_ads": "form", "webinar": "webinar", "call_centre": "call_in"}
"""What a lead of a source does on arrival; of other sources nothing is seen."""


def touches(rng: np.random.Generator, territory: Territory, lives: Lives, events_per_lead: float) -> pd.DataFrame:
    """Draw everything that was seen of a territory's leads.

    Parameters
    ----------
    rng : numpy Generator
        The territory's own.
    territory, lives
        As drawn and as lived.
    events_per_lead : float
        Mean number of events per lead that is aimed at. Arrivals, calls and mails sent never take more than half.

    Returns
    -------
    DataFrame
        One row per event, by time: ``lead`` (position), ``day``, ``day_share``, and the codes ``kind``, ``topic``,
        ``campaign`` (−1: none).
    """
    wanted = events_per_lead * len(territory.leads)
    spells = interest_spells(territory.leads, lives)
    given = pd.concat(
        [
            _arrivals(rng, territory),
            _attention(rng, territory, lives, spells),
            _mails(rng, spells),
            _proposals(rng, lives),
        ]
    )
    # Never after the lead's end.
    given = given[given["day"].to_numpy() < lives.end_day[given["lead"].to_numpy()]]
    if len(given) > 0.5 * wanted:
        given = given[rng.random(len(given)) < 0.5 * wanted / len(given)]
    seen = pd.concat([given, _actions(rng, territory, spells, wanted - len(given))], ignore_index=True)
    seen = seen.sort_values(["day", "day_share", "lead", "kind"], kind="stable", ignore_index=True)
    intent = territory.leads["intent"].to_numpy()[seen["lead"]]
    urgent = rng.random(len(seen)) < 1 / (1 + np.exp(1.8 - 0.6 * intent))
    seen["topic"] = np.where(urgent, rng.integers(0, 2, len(seen)), rng.integers(1, len(vocabulary.TOPICS), len(seen)))
    mailed = np.isin(seen["kind"], [KIND_CODE["mail_sent"], KIND_CODE["mail_open"], KIND_CODE["mail_click"]])
    quarter = seen["day"].to_numpy() // 91
    seen["campaign"] = np.where(mailed, np.where(rng.random(len(seen)) < 0.6, 0, 1 + quarter % 4), -1)
    return seen


def interest_spells(leads: pd.DataFrame, lives: Lives) -> pd.DataFrame:
    """Cut lives into stretches of unchanging interest, from the day after arrival.

    Returns
    -------
    DataFrame
        ``lead`` (position), ``start_day``, ``end_day`` (not in the stretch), ``warm``; by lead and day.
    """
    created, count = leads["created_day"].to_numpy(), len(leads)
    lead = np.r_[np.arange(count), lives.switch_lead]
    start = np.r_[created + 1, lives.switch_day + 1]
    order = np.lexsort((start, lead))
    lead, start = lead[order], start[order]
    first = np.r_[True, lead[1:] != lead[:-1]]
    number = np.arange(len(lead)) - np.repeat(np.flatnonzero(first), np.diff(np.r_[np.flatnonzero(first), len(lead)]))
    end = np.where(np.r_[first[1:], True], lives.end_day[lead], np.r_[start[1:], 0])
    warm = leads["warm_at_start"].to_numpy()[lead] ^ (number % 2 == 1)
    spells = pd.DataFrame({"lead": lead, "start_day": start, "end_day": end, "warm": warm})
    return spells[spells["end_day"] > spells["start_day"]].reset_index(drop=True)


def _events(lead: NDArray, day: NDArray, day_share: NDArray, kind: NDArray | int) -> pd.DataFrame:
    return pd.DataFrame({"lead": lead, "day": day, "day_share": day_share, "kind": np.full(len(lead), kind)})


def _arrivals(rng: np.random.Generator, territory: Territory) -> pd.DataFrame:
    leads = territory.leads
    code = SOURCES["source"].map(ARRIVAL_KIND).map(KIND_CODE).fillna(-1).to_numpy(dtype=np.int64)
    kind = code[leads["source"].to_numpy()]
    # Some ask for a demo at once.
    asks = (kind == KIND_CODE["form"]) & (leads["landing_page"].to_numpy() == vocabulary.LANDING_PAGES.index("demo"))
    kind = np.where(asks, KIND_CODE["demo_request"], kind)
    seen = kind >= 0
    later = leads["created_share"].to_numpy() + rng.random(len(leads)) * 2 / 1440
    return _events(np.flatnonzero(seen), leads["created_day"].to_numpy()[seen], later[seen], kind[seen])


def _times_in(rng: np.random.Generator, spells: pd.DataFrame, counts: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """So many times in each spell, spread over working time: (spell, day)."""
    time = seasonality.working_time()
    spell = np.repeat(np.arange(len(spells)), counts)
    begin, end = time[spells["start_day"].to_numpy()[spell]], time[spells["end_day"].to_numpy()[spell]]
    at = begin + rng.random(len(spell)) * (end - begin)
    return spell, np.searchsorted(time, at, side="right") - 1


def _actions(rng: np.random.Generator, territory: Territory, spells: pd.DataFrame, wanted: float) -> pd.DataFrame:
    """Draw what the people themselves do; about ``wanted`` in all."""
    leads, time = territory.leads, seasonality.working_time()
    lead, warm = spells["lead"].to_numpy(), spells["warm"].to_numpy()
    intent = leads["intent"].to_numpy()[lead]
    liveliness = np.exp(0.75 * intent + 0.12 * leads["size"].to_numpy()[lead]) * np.where(warm, 1.0, COLD_SHARE)
    exposure = liveliness * (time[spells["end_day"].to_numpy()] - time[spells["start_day"].to_numpy()])
    # Some people leave few traces, whatever they think.
    traces = rng.gamma(6.0, 1 / 6, len(leads))[lead]
    exposure = exposure * traces
    counts = rng.poisson(exposure * (max(wanted, 0.0) / max(exposure.sum(), 1e-9)))
    spell, day = _times_in(rng, spells, counts)
    hour = seasonality.office_hour(rng, len(spell))
    # One in eight is done in the evening.
    hour = np.where(rng.random(len(spell)) < 0.12, np.minimum(hour + 3.2 / 24, 0.97), hour)
    own = KINDS[KINDS["direction"] == "inbound"]
    level = np.clip(np.round(intent[spell] * 4), -12, 12).astype(np.int64)
    grid = np.arange(-12, 13) / 4
    weights = own["warm"].to_numpy() * np.exp(own["slope"].to_numpy() * grid[:, None])
    table = np.stack([np.tile(own["cold"].to_numpy(), (len(grid), 1)), weights])
    table = np.cumsum(table / table.sum(axis=2, keepdims=True), axis=2)
    chances = table[warm[spell].astype(np.int64), level + 12]
    kind = (rng.random(len(spell))[:, None] > chances[:, :-1]).sum(axis=1)
    return _events(lead[spell], day, hour, kind)


def _mails(rng: np.random.Generator, spells: pd.DataFrame) -> pd.DataFrame:
    """Newsletters to everybody who is open: they say nothing."""
    days = (spells["end_day"] - spells["start_day"]).to_numpy()
    spell, day = _times_in(rng, spells, rng.poisson(0.003 * days))
    return _events(spells["lead"].to_numpy()[spell], day, np.full(len(spell), 9.5 / 24), KIND_CODE["mail_sent"])


def _attention(rng: np.random.Generator, territory: Territory, lives: Lives, spells: pd.DataFrame) -> pd.DataFrame:
    """Make calls as planned, got through or not, and the meetings that follow some of them."""
    lead, day = rounds_of_calls(territory.leads)
    order = np.lexsort((day, lead))
    lead, day = lead[order], day[order]
    kept = day < lives.end_day[lead]
    lead, day = lead[kept], day[kept]
    warm = _is_warm(spells, lead, day)
    through = rng.random(len(lead)) < np.where(warm, 0.7, 0.35)
    calls = _events(
        lead,
        day,
        seasonality.office_hour(rng, len(lead)),
        np.where(through, KIND_CODE["call"], KIND_CODE["call_attempt"]),
    )
    intent = territory.leads["intent"].to_numpy()[lead]
    meets = through & (rng.random(len(lead)) < np.where(warm, 0.45, 0.08) / (1 + np.exp(-intent)))
    # A meeting is on a working day of the week after.
    met_day = (day[meets] // 7 + 1) * 7 + rng.integers(0, 5, meets.sum())
    meetings = _events(lead[meets], met_day, seasonality.office_hour(rng, meets.sum()), KIND_CODE["meeting"])
    return pd.concat([calls, meetings])


def _is_warm(spells: pd.DataFrame, lead: NDArray, day: NDArray) -> NDArray[np.bool_]:
    """Interest of a lead on a day within its life; (n,)."""
    key = spells["lead"].to_numpy() * (NEVER * 2) + spells["start_day"].to_numpy()
    return spells["warm"].to_numpy()[np.searchsorted(key, lead * (NEVER * 2) + day, side="right") - 1]


def _proposals(rng: np.random.Generator, lives: Lives) -> pd.DataFrame:
    """Send a proposal some days after a deal is opened, if there is still somebody to send it to."""
    with_deal = np.flatnonzero((lives.deal_day < NEVER) & ~((lives.outcome == WON) & (lives.deal_day == lives.end_day)))
    with_deal = with_deal[rng.random(len(with_deal)) < 0.7]
    day = lives.deal_day[with_deal] + rng.integers(1, 12, len(with_deal))
    return _events(with_deal, day, seasonality.office_hour(rng, len(with_deal)), KIND_CODE["proposal_sent"])
