"""From what happened to what stands in the CRM: four tables with names, gaps and all.

A field is empty for reasons that have nothing to do with how the lead ends: small firms publish no revenue, people
leave boxes of a form empty, a bought list has no telephone numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.outcome_codes import LOST, OPEN, WON
from pipeline.simulation import seasonality, vocabulary
from pipeline.simulation.company import NEVER, SOURCES, Territory
from pipeline.simulation.lead_process import Lives
from pipeline.simulation.touches import CAMPAIGNS, KINDS

STAGES = ["qualification", "proposal", "negotiation"]
LEAD_CAMPAIGNS = {
    "search_ads": "search brand", "social_media": "social autumn", "webinar": "webinar series",
    "trade_fair": "trade fair", "prize_draw": "trade fair prize draw", "bought_list": "list purchase",
}  # fmt: skip


@dataclass(frozen=True)
class Records:
    """The four tables of a territory; columns as the data contract names them, instants in UTC."""

    leads: pd.DataFrame
    deals: pd.DataFrame
    accounts: pd.DataFrame
    events: pd.DataFrame


def _named(prefix: str, numbers: NDArray[np.integer] | pd.Series, digits: int = 7) -> pd.Series:
    return prefix + pd.Series(np.asarray(numbers, dtype=np.int64)).astype(str).str.zfill(digits)


def _word(choices: list[str] | tuple[str, ...], codes: NDArray[np.integer] | pd.Series) -> NDArray[np.object_]:
    """Words for codes; −1 is empty."""
    return np.array([*choices, None], dtype=object)[np.asarray(codes)]


def _gaps(rng: np.random.Generator, values: NDArray | pd.Series, filled_share: float | NDArray) -> pd.Series:
    """Leave each value empty with a chance of its own."""
    return pd.Series(values).where(rng.random(len(values)) < filled_share, None)


def records(
    rng: np.random.Generator,
    territory: Territory,
    lives: Lives,
    seen: pd.DataFrame,
    first_event: int,
    today: int = seasonality.HISTORY_DAYS,
) -> tuple[Records, pd.Series]:
    """Write a territory down, as it stands at the beginning of a day; rows made later are there too.

    Parameters
    ----------
    rng : numpy Generator
        The territory's own.
    territory, lives, seen
        As drawn, as lived, and what `pipeline.simulation.touches.touches` saw.
    first_event : int
        How many events the territories before this one hold.
    today : int
        Local day; `lives` are those of then.

    Returns
    -------
    records : Records
    ended_at : Series
        Instant of each lead's end, in UTC; null while open.
    """
    end_share = seasonality.office_hour(rng, len(territory.leads))
    ended = lives.outcome != OPEN
    ended_at = pd.Series(seasonality.to_utc(np.minimum(lives.end_day, seasonality.HISTORY_DAYS), end_share)).where(
        ended
    )
    accounts = _accounts(rng, territory)
    leads = _leads(rng, territory, lives, ended_at, today)
    deals = _deals(rng, territory, lives, leads, ended_at, end_share, today)
    events = _events(territory, leads, seen, first_event)
    return Records(leads, deals, accounts, events), ended_at


def _accounts(rng: np.random.Generator, territory: Territory) -> pd.DataFrame:
    accounts = territory.accounts
    size = accounts["size"].to_numpy()
    return pd.DataFrame(
        {
            "account_id": _named("A", accounts["account"]),
            "employees": _gaps(rng, accounts["employees"], np.clip(0.82 + 0.05 * size, 0.5, 0.97)).astype("Int64"),
            "annual_revenue": _gaps(rng, accounts["annual_revenue"], np.clip(0.6 + 0.12 * size, 0.2, 0.95)).astype(
                float
            ),
            "industry": _gaps(rng, _word(vocabulary.INDUSTRIES, accounts["industry"]), 0.88),
            "country": _gaps(rng, _word(vocabulary.COUNTRIES, accounts["country"]), 0.98),
            "region": _gaps(rng, _word(vocabulary.REGIONS, accounts["region"]), 0.9),
            "founded_year": _gaps(rng, accounts["founded_year"], 0.7).astype("Int64"),
        }
    )


def _company_words(account: NDArray[np.int64]) -> tuple[pd.Series, pd.Series]:
    """Name and domain of every account."""
    first = pd.Series(_word(vocabulary.COMPANY_FIRST, vocabulary.pick(account, 1, len(vocabulary.COMPANY_FIRST))))
    second = pd.Series(_word(vocabulary.COMPANY_SECOND, vocabulary.pick(account, 2, len(vocabulary.COMPANY_SECOND))))
    form = pd.Series(_word(vocabulary.LEGAL_FORMS, vocabulary.pick(account, 3, len(vocabulary.LEGAL_FORMS))))
    domain = first.str.lower() + second + pd.Series(account).astype(str) + ".example"
    return first + second + " " + form, domain


def _leads(
    rng: np.random.Generator, territory: Territory, lives: Lives, ended_at: pd.Series, today: int
) -> pd.DataFrame:
    drawn = territory.leads
    count = len(drawn)
    account = drawn["account_at"].to_numpy() + territory.first_account
    person = account * 1000 + drawn["person"].to_numpy()
    name, domain = _company_words(territory.accounts["account"].to_numpy())
    at = drawn["account_at"].to_numpy()
    first = pd.Series(_word(vocabulary.FIRST_NAMES, vocabulary.pick(person, 4, len(vocabulary.FIRST_NAMES))))
    last = pd.Series(_word(vocabulary.LAST_NAMES, vocabulary.pick(person, 5, len(vocabulary.LAST_NAMES))))
    private = vocabulary.pick(person, 6, 100) < np.where(drawn["size"] < -0.5, 30, 6)
    free = pd.Series(_word(vocabulary.FREE_MAIL, vocabulary.pick(person, 7, len(vocabulary.FREE_MAIL))))
    mailbox = first.str.lower() + "." + last.str.lower()
    email = (mailbox + "@" + domain.iloc[at].reset_index(drop=True)).where(
        ~private, mailbox + _named("", person % 10_000, 1) + "@" + free
    )
    phone = "+49 30 " + _named("", vocabulary.pick(person, 8, 10_000_000))
    source = SOURCES["source"].to_numpy()[drawn["source"]]
    contact = SOURCES["entry"].to_numpy()[drawn["source"]] == "contact"
    by_phone = source == "call_centre"
    campaign = pd.Series(source).map(LEAD_CAMPAIGNS)
    year = pd.Series(2023 + (drawn["created_day"].to_numpy() + 134) // 365).astype(str)
    web = pd.Series(source).isin(["website", "search_ads", "webinar", "social_media"]).to_numpy()
    has_deal = lives.deal_day < today
    status = np.where(lives.outcome == LOST, "lost", np.where(has_deal, "converted", "open"))
    return pd.DataFrame(
        {
            "lead_id": _named("L", territory.first_lead + np.arange(count)),
            "created_at": seasonality.to_utc(drawn["created_day"].to_numpy(), drawn["created_share"].to_numpy()),
            "account_id": _named("A", account),
            "contact_id": _named("C", person, 10),
            "owner_id": _named("U", territory.first_owner + drawn["owner"].to_numpy(), 4),
            "source": source,
            "campaign": campaign.where(campaign.isna(), campaign + " " + year),
            "title": _gaps(rng, _word(vocabulary.TITLES, drawn["title"]), np.where(by_phone, 0.6, 0.86)),
            "kind": np.where(lives.expansion, "expansion", "new_business"),
            "entry": SOURCES["entry"].to_numpy()[drawn["source"]],
            "product": _gaps(rng, _word(vocabulary.PRODUCTS, drawn["product"]), np.where(contact, 0.0, 0.75)),
            "status": status,
            "closed_at": ended_at,
            "email": _gaps(rng, email, np.where(by_phone, 0.5, 0.96)),
            "phone": _gaps(rng, phone, np.where(contact, 0.05, np.where(by_phone, 0.99, 0.55))),
            "name": first + " " + last,
            "company_name": name.iloc[at].reset_index(drop=True),
            "landing_page": _gaps(rng, _word(vocabulary.LANDING_PAGES, drawn["landing_page"]), np.where(web, 0.9, 0.0)),
            "timeframe": _gaps(rng, _word(vocabulary.TIMEFRAMES, drawn["timeframe"]), np.where(contact, 0.0, 0.45)),
        }
    )


def _deals(
    rng: np.random.Generator,
    territory: Territory,
    lives: Lives,
    leads: pd.DataFrame,
    ended_at: pd.Series,
    end_share: NDArray[np.float64],
    today: int,
) -> pd.DataFrame:
    at = np.flatnonzero(lives.deal_day < NEVER)
    at = at[np.argsort(lives.deal_day[at], kind="stable")]
    drawn, count = territory.leads.iloc[at], len(at)
    outcome = lives.outcome[at]
    # A purchase on the spot is opened at most an hour before it is closed.
    on_the_spot = lives.deal_day[at] == lives.end_day[at]
    share = seasonality.office_hour(rng, count)
    share = np.where(on_the_spot, end_share[at] - share / 24, share)
    noise = drawn["amount_log_sd"].to_numpy() * rng.normal(size=count) - drawn["amount_log_sd"].to_numpy() ** 2 / 2
    amount = drawn["amount_mean"].to_numpy() * np.exp(noise)
    # What was offered is known of half the deals that were not won, on the high side and round.
    offered = _gaps(rng, (amount * np.exp(rng.normal(0.15, 0.3, count))).round(-2), 0.5).astype(float)
    planned_day = lives.deal_day[at] + (drawn["pace_days"].to_numpy() * rng.gamma(3.0, 0.5, count)).astype(np.int64) + 7
    age = np.maximum(today - lives.deal_day[at], 0)
    stage = np.minimum(np.floor(age / (0.4 * drawn["pace_days"].to_numpy()) * rng.random(count)), 2).astype(np.int64)
    end_stage = np.where(outcome == WON, "closed won", "closed lost")
    plan = np.minimum(planned_day, seasonality.HISTORY_DAYS + seasonality.HORIZON_DAYS)
    return pd.DataFrame(
        {
            "deal_id": _named("D", territory.first_lead + at),
            "lead_id": leads["lead_id"].to_numpy()[at],
            "account_id": leads["account_id"].to_numpy()[at],
            "outcome": np.array(["open", "won", "lost"], dtype=object)[outcome],
            "opened_at": seasonality.to_utc(lives.deal_day[at], share),
            "closed_at": ended_at.iloc[at].reset_index(drop=True),
            "amount": pd.Series(amount.round(2)).where(outcome == WON, offered),
            "currency": "EUR",
            "product": _word(vocabulary.PRODUCTS, drawn["product"].to_numpy()),
            "stage": np.where(outcome == OPEN, _word(STAGES, stage), end_stage),
            "expected_close_at": pd.Series(seasonality.to_utc(plan, np.full(count, 12 / 24))).where(~on_the_spot),
            "owner_id": leads["owner_id"].to_numpy()[at],
            "kind": leads["kind"].to_numpy()[at],
        }
    )


def _events(territory: Territory, leads: pd.DataFrame, seen: pd.DataFrame, first_event: int) -> pd.DataFrame:
    kind = seen["kind"].to_numpy()
    outbound = KINDS["direction"].to_numpy()[kind] == "outbound"
    lead = seen["lead"].to_numpy()
    return pd.DataFrame(
        {
            "event_id": _named("E", first_event + np.arange(len(seen)), 8),
            "lead_id": leads["lead_id"].to_numpy()[lead],
            "occurred_at": seasonality.to_utc(seen["day"].to_numpy(), seen["day_share"].to_numpy()),
            "kind": _word(list(KINDS["kind"]), kind),
            "direction": _word(list(KINDS["direction"]), kind),
            "channel": _word(list(KINDS["channel"]), kind),
            "topic": _word(vocabulary.TOPICS, seen["topic"].to_numpy()),
            "campaign": _word(CAMPAIGNS, seen["campaign"].to_numpy()),
            "owner_id": np.where(outbound, leads["owner_id"].to_numpy()[lead], None),
        }
    )
