"""A company with a known way to revenue, as files: its CRM, and everything that reports are held against.

``simulate_revenue`` writes `pipeline.simulation.revenue_story` down as tables: leads with the history of their
lifecycle, deals of several contacts with their lines, renewals, events, owners with quotas, campaigns with costs,
contents, experiments.
``truth.json`` holds what is true of stages, campaigns, touches, contents and arms; ``truth_leads.parquet`` each lead's
chances. Nothing that would happen after the end of the data is in the tables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from pipeline.simulation import revenue_story as story
from pipeline.simulation.parquet_files import ParquetFiles
from pipeline.simulation.revenue_story import CAMPAIGNS, DAYS, STAGES, TOPICS, RevenueStory

OWNERS = ["Ana Costa", "Ben Fuchs", "Carla Dias", "David Roth", "Elif Kaya", "Femke Bos"]
TEAMS = ["north", "south"]
INDUSTRIES = ["manufacturing", "software", "logistics", "retail", "health", "construction"]
COUNTRIES = ["DE", "FR", "NL"]
RECURRING_SHARE = 0.75
BIRTHDAY_MAIL = "birthday mail"
STAGE_RULES: dict[str, Any] = {
    "inquiry": {"created": True},
    "mql": {"field": {"column": "lifecycle", "value": ["MQL"]}},
    "sal": {"field": {"column": "lifecycle", "value": ["SAL"]}},
    "sql": {"deal": "opened"},
    "won": {"deal": "won"},
}
DEFINITIONS = {
    "marketing": {"stage": "mql", "kind": "new_business"},
    "sales": {"stage": "sal", "kind": "new_business"},
}


def simulate_revenue(out: Path, *, leads: int = 20_000, seed: int = 0) -> dict[str, int]:
    """Write a company with a known way to revenue into a folder.

    Parameters
    ----------
    out : Path
        Made if need be; files of the same names are replaced.
    leads : int
    seed : int
        The same arguments give the same bytes.

    Returns
    -------
    dict of str to int
        Rows per table.
    """
    out.mkdir(parents=True, exist_ok=True)
    told = story.tell_story(leads, seed)
    tables = revenue_tables(told, seed)
    with ParquetFiles(out) as files:
        for name, table in tables.items():
            files.append(name, table)
        files.append("truth_leads", _truth_leads(told))
    (out / "truth.json").write_text(json.dumps(truth(told, tables), indent=1) + "\n", encoding="utf-8")
    params = {
        "company": "revenue demo", "currency": "EUR", "seed": seed, "artifacts": ".",
        "stages": STAGE_RULES, "definitions": DEFINITIONS,
        "data": {
            "timezone": "UTC", "known_until": f"{story.FIRST_DAY + DAYS}T00:00",
            "sources": {name: {"from": f"{name}.parquet"} for name in tables},
        },
    }  # fmt: skip
    params["data"]["sources"]["deals"]["columns"] = {"lead_id": {"column": "contacts", "split": ";"}}  # type: ignore[index]
    (out / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return {name: len(table) for name, table in tables.items()}


def _at(days: NDArray | pd.Series) -> pd.Series:
    """Give instants; what has not happened by the end of the data is empty."""
    days = np.asarray(days, dtype=float)
    happened = np.where(days < DAYS, days, np.nan)
    micros = np.round(np.nan_to_num(happened) * 86_400) * 1_000_000
    instants = pd.Series(story.FIRST_DAY.astype("datetime64[us]") + micros.astype("timedelta64[us]"))
    return instants.where(~np.isnan(happened))


def _ids(letter: str, numbers: Any) -> pd.Series:
    return letter + pd.Series(np.asarray(numbers, dtype=np.int64)).astype(str).str.zfill(6)


def _owner_of(account: NDArray) -> NDArray:
    return np.asarray(account) % len(OWNERS)


def revenue_tables(told: RevenueStory, seed: int) -> dict[str, pd.DataFrame]:
    """Write a story down as tables, as they stand where the data end."""
    rng = np.random.default_rng([seed, 16])
    leads, reached = told.leads, told.reached
    lead_id, account_id = _ids("L", leads.index), _ids("A", leads["account"])
    lost = _at(leads["lost_day"])
    lifecycle = np.select([reached[:, 2] < DAYS, reached[:, 1] < DAYS], ["SAL", "MQL"], "Inquiry")
    deals = _deals(told, rng)
    names = CAMPAIGNS["campaign"].to_numpy()
    tables = {
        "leads": pd.DataFrame({
            "lead_id": lead_id, "created_at": _at(leads["day"]), "account_id": account_id,
            "contact_id": _ids("C", leads.index), "owner_id": _ids("U", _owner_of(leads["account"].to_numpy())),
            "source": CAMPAIGNS["channel"].to_numpy()[leads["campaign"]], "campaign": names[leads["campaign"]],
            "kind": "new_business", "lifecycle": lifecycle, "status": np.where(lost.notna(), "lost", "open"),
            "closed_at": lost,
        }),
        "deals": deals.drop(columns=["recurring_line"]),
        "accounts": pd.DataFrame({
            "account_id": _ids("A", told.accounts.index),
            "employees": story.EMPLOYEES[told.accounts["size"]],
            "industry": np.array(INDUSTRIES)[told.accounts["industry"]],
            "country": np.array(COUNTRIES)[told.accounts["country"]],
        }),
        "events": _events(told, rng),
        "changes": _changes(told, lead_id),
        "owners": pd.DataFrame({
            "owner_id": _ids("U", range(len(OWNERS))), "name": OWNERS,
            "team": [TEAMS[place % 2] for place in range(len(OWNERS))],
        }),
        "campaigns": _campaigns(leads),
        "contents": pd.DataFrame({
            "content_id": [f"T{place}" for place in range(len(TOPICS))],
            "title": [f"All about {topic}" for topic in TOPICS], "topic": TOPICS, "stage": "mql",
            "url": [f"https://company.example/{topic}" for topic in TOPICS],
        }),
        "experiments": _experiments(told),
        "deal_lines": _lines(deals),
    }  # fmt: skip
    return tables | _quotas(deals)


def _deals(told: RevenueStory, rng: np.random.Generator) -> pd.DataFrame:
    """Write each opened deal, with its contacts; then what became of the won ones: renewals and expansion."""
    leads, reached = told.leads, told.reached
    opened = np.flatnonzero(reached[:, 3] < DAYS)
    contacts = _ids("C", leads.index)
    guests = leads.index[leads["joins"] >= 0]
    listed = {int(lead): [contacts[lead]] for lead in opened}
    for guest in guests:
        if int(leads["joins"][guest]) in listed:
            listed[int(leads["joins"][guest])].append(contacts[guest])
    won_day, lost_day = reached[opened, 4], leads["lost_day"].to_numpy()[opened]
    won = won_day < DAYS
    closed_day = np.where(won, won_day, lost_day)
    account = leads["account"].to_numpy()[opened]
    first = pd.DataFrame({
        "account": account, "contacts": [";".join(listed[int(lead)]) for lead in opened],
        "primary_contact_id": contacts[opened].to_numpy(),
        "opened": reached[opened, 3], "closed": closed_day,
        "outcome": np.select([won, closed_day < DAYS], ["won", "lost"], "open"),
        "amount": leads["amount"].to_numpy()[opened], "kind": "new_business",
    })  # fmt: skip
    frames = [first]
    base = first[first["outcome"] == "won"]
    for _ in range(2):  # the data span three years
        renewed = base[base["closed"] + 365 < DAYS]
        keeps = rng.random(len(renewed)) < story.RENEWAL_CHANCE
        closed = renewed["closed"].to_numpy() + 365
        again = renewed.assign(
            contacts=None, primary_contact_id=None, opened=closed - 60, closed=closed, kind="renewal",
            outcome=np.where(keeps, "won", "lost"), amount=(renewed["amount"] * 1.05).round(2),
        )  # fmt: skip
        frames.append(again)
        base = again[again["outcome"] == "won"]
    grows = first[(first["outcome"] == "won") & (first["closed"] + 200 < DAYS)]
    grows = grows[rng.random(len(grows)) < story.EXPANSION_CHANCE]
    frames.append(
        grows.assign(
            contacts=None,
            primary_contact_id=None,
            opened=grows["closed"] + 170,
            closed=grows["closed"] + 200,
            kind="expansion",
            amount=(grows["amount"] * 0.4).round(2),
        )
    )
    every = pd.concat(frames, ignore_index=True)
    every["recurring_line"] = (every["amount"] * RECURRING_SHARE).round(2)
    term = rng.choice([12.0, 24.0, 36.0], len(every), p=[0.6, 0.25, 0.15])
    return pd.DataFrame({
        "deal_id": _ids("D", every.index), "account_id": _ids("A", every["account"]), "contacts": every["contacts"],
        "primary_contact_id": every["primary_contact_id"], "outcome": every["outcome"],
        "opened_at": _at(every["opened"]), "closed_at": _at(every["closed"]).where(every["outcome"] != "open"),
        "amount": every["amount"], "owner_id": _ids("U", _owner_of(every["account"].to_numpy())),
        "kind": every["kind"], "recurring_amount": (every["recurring_line"] * 12 / term).round(2),
        "one_off_amount": (every["amount"] - every["recurring_line"]).round(2), "term_months": term,
        "recurring_line": every["recurring_line"],
    })  # fmt: skip


def _lines(deals: pd.DataFrame) -> pd.DataFrame:
    """Split each deal into lines that add up to it, to the cent."""
    parts = [
        pd.DataFrame({
            "deal_id": deals["deal_id"], "product": product, "kind": kind, "amount": amount,
            "term_months": deals["term_months"] if kind == "recurring" else np.nan,
        })
        for product, kind, amount in (
            ("platform", "recurring", deals["recurring_line"]),
            ("set-up", "services", (deals["amount"] - deals["recurring_line"]).round(2)),
        )
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True).sort_values(["deal_id", "product"], ignore_index=True)


def _changes(told: RevenueStory, lead_id: pd.Series) -> pd.DataFrame:
    parts = []
    for place, (before, after) in enumerate((("Inquiry", "MQL"), ("MQL", "SAL")), start=1):
        rows = np.flatnonzero(told.reached[:, place] < DAYS)
        parts.append(pd.DataFrame({
            "table": "leads", "row_id": lead_id[rows].to_numpy(), "field": "lifecycle",
            "changed_at": _at(told.reached[rows, place]), "old_value": before, "new_value": after,
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True).sort_values(["changed_at", "row_id"], ignore_index=True)


def _events(told: RevenueStory, rng: np.random.Generator) -> pd.DataFrame:
    """Write what was seen: visits, mails and calls by sales, contents, and the calls of the experiment."""
    leads, reached = told.leads, told.reached
    day, names = leads["day"].to_numpy(), CAMPAIGNS["campaign"].to_numpy()
    topic = np.array(TOPICS)[leads["topic"]]
    parts: list[pd.DataFrame] = []

    def add(rows: NDArray, days: NDArray, kind: str, direction: str, channel: str, **more: Any) -> None:
        parts.append(pd.DataFrame({
            "lead": rows, "day": days, "kind": kind, "direction": direction, "channel": channel,
            "topic": None, "campaign": None, "content_id": None, **more,
        }))  # fmt: skip

    visits = rng.poisson(np.exp(0.7 + 0.5 * leads["intent"].to_numpy()))
    rows = np.repeat(leads.index.to_numpy(), visits)
    add(rows, day[rows] + 60 * rng.random(len(rows)) ** 2, "visit", "inbound", "web", topic=topic[rows])
    came = np.flatnonzero(leads["campaign"].to_numpy() != len(CAMPAIGNS) - 1)
    add(came, day[came], "response", "inbound", "web", campaign=names[leads["campaign"]][came])
    called, mailed = (np.flatnonzero(leads[name]) for name in ("called", "mailed"))
    add(called, day[called] + 0.2 + 3 * rng.random(len(called)), "call", "outbound", "phone")
    add(mailed, day[mailed] + 0.1 + 5 * rng.random(len(mailed)), "mail_sent", "outbound", "email")
    seen = np.flatnonzero((leads["content"].to_numpy() >= 0) & (reached[:, 1] < DAYS))
    code = leads["content"].to_numpy()[seen]
    add(
        seen, reached[seen, 1] + 0.01, "content_view", "inbound", "web", topic=np.array(TOPICS)[code],
        content_id=np.array([f"T{place}" for place in range(len(TOPICS))])[code],
    )  # fmt: skip
    birthday = np.flatnonzero(_has_birthday_mail(leads["account"].to_numpy()))
    after = 1 + 9 * (birthday * 0.6180339887 % 1)
    add(birthday, day[birthday] + after, "birthday_reply", "inbound", "email", campaign=BIRTHDAY_MAIL)
    extra = np.flatnonzero(leads["treated"].to_numpy() & (reached[:, 2] < DAYS))
    add(extra, reached[extra, 2] + 0.01, "extra_call", "outbound", "phone")
    events = pd.concat(parts, ignore_index=True)
    lost = leads["lost_day"].to_numpy()[events["lead"]]
    events = events[(events["day"] < DAYS) & ~(events["day"] > lost)]
    events = events.sort_values(["day", "lead", "kind"], ignore_index=True)
    return pd.DataFrame({
        "event_id": _ids("E", events.index), "lead_id": _ids("L", events["lead"]), "occurred_at": _at(events["day"]),
        "kind": events["kind"], "direction": events["direction"], "channel": events["channel"],
        "topic": events["topic"], "campaign": events["campaign"], "content_id": events["content_id"],
    })  # fmt: skip


def _campaigns(leads: pd.DataFrame) -> pd.DataFrame:
    """Write one row a campaign and month, with what it cost."""
    month = (story.FIRST_DAY + leads["day"].to_numpy().astype(int)).astype("datetime64[M]")
    counted = pd.DataFrame({"campaign": leads["campaign"], "month": month}).value_counts(sort=False).reset_index()
    counted = counted[counted["campaign"] < len(CAMPAIGNS) - 1].sort_values(["campaign", "month"], ignore_index=True)
    facts = CAMPAIGNS.iloc[counted["campaign"]].reset_index(drop=True)
    start = counted["month"].astype("datetime64[us]")
    return pd.DataFrame({
        "campaign": facts["campaign"], "name": facts["campaign"].str.capitalize(), "channel": facts["channel"],
        "started_at": start, "ended_at": start + pd.offsets.MonthEnd(1),
        "cost": (facts["cost_per_lead"] * counted["count"]).round(2), "currency": "EUR",
    })  # fmt: skip


def _has_birthday_mail(accounts: NDArray) -> NDArray:
    """Say which accounts are in the arm of the birthday mail: half of them, by a hash of their number."""
    return (accounts * 2_654_435_761 % 2**32) / 2**32 < story.EXPERIMENT_SHARE


def _experiments(told: RevenueStory) -> pd.DataFrame:
    leads = told.leads[told.leads["in_experiment"]]
    arm = told.accounts["arm"].to_numpy()[leads["account"]]
    birthday = _has_birthday_mail(leads["account"].to_numpy())
    parts = [
        pd.DataFrame({
            "experiment": name, "lead_id": _ids("L", leads.index), "arm": np.where(drawn, treatment, "control"),
            "assigned_at": _at(leads["day"]), "probability": story.EXPERIMENT_SHARE,
        })
        for name, treatment, drawn in (("extra call", "call", arm), (BIRTHDAY_MAIL, "mail", birthday))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _quotas(deals: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Write each owner's quota per quarter (a tenth above the mean of what owners won), and deals that are split."""
    won = deals[deals["outcome"] == "won"]
    quarters = pd.period_range("2023Q3", "2026Q2", freq="Q")
    level = 1.1 * won["amount"].sum() / (len(OWNERS) * len(quarters))
    quotas = pd.DataFrame([
        {"owner_id": f"U{owner:06d}", "starts_on": quarter.start_time.date().isoformat(),
         "ends_on": quarter.end_time.date().isoformat(),
         "amount": round(float(level * (1 + 0.03 * place)), 2), "currency": "EUR"}
        for owner in range(len(OWNERS)) for place, quarter in enumerate(quarters)
    ])  # fmt: skip
    shared = won.iloc[::12]
    other = (_owner_of(shared["account_id"].str[1:].astype(int).to_numpy()) + 1) % len(OWNERS)
    splits = pd.concat([
        pd.DataFrame({"deal_id": shared["deal_id"], "owner_id": shared["owner_id"], "share": 0.6}),
        pd.DataFrame({"deal_id": shared["deal_id"], "owner_id": _ids("U", other).to_numpy(), "share": 0.4}),
    ]).sort_values(["deal_id", "share"], ignore_index=True)  # fmt: skip
    return {"quotas": quotas, "splits": splits}


def _truth_leads(told: RevenueStory) -> pd.DataFrame:
    found = pd.DataFrame({"lead_id": _ids("L", told.leads.index)})
    for place, stage in enumerate(STAGES[:-1]):
        found[f"chance_{stage}"] = told.chances[:, place]
    found["chance_won"] = told.chances.prod(axis=1)
    found["amount_mean"] = told.leads["amount_mean"]
    found["effect_extra_call"] = told.effects["extra_call"]
    host = told.leads["joins"].to_numpy()
    found["joins"] = _ids("L", np.maximum(host, 0)).where(host >= 0, None)
    return found


def truth(told: RevenueStory, tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Say what is true of the company, as ``truth.json`` holds it."""
    leads = told.leads
    expected = told.chances.prod(axis=1) * leads["amount_mean"].to_numpy()
    deals = tables["deals"]
    won = deals[deals["outcome"] == "won"]
    campaigns = []
    for place, row in CAMPAIGNS.iterrows():
        own = (leads["campaign"] == place).to_numpy()
        if own.any():
            campaigns.append({
                "campaign": row["campaign"], "leads": int(own.sum()), "quality_log_odds": float(row["quality"]),
                "expected_revenue_per_lead": float(expected[own].mean()),
                "cost": float(row["cost_per_lead"] * own.sum()),
            })  # fmt: skip
    in_it = leads["in_experiment"].to_numpy()
    naive = told.chances.prod(axis=1)
    called = leads["called"].to_numpy()
    return {
        "stages": {
            "names": list(STAGES),
            "chances_ever": [
                float(told.chances[~np.isnan(told.reached[:, place]), place].mean()) for place in range(len(STAGES) - 1)
            ],
            "days_scale": story.STAGE_DAYS.tolist(), "days_shape": story.STAGE_SHAPE,
        },
        "campaigns": campaigns,
        "prize_draw": story.PRIZE_DRAW, "quiet_winner": story.QUIET_WINNER,
        "touches": {
            "call": {"log_odds": story.CALL_EFFECT,
                     "won_share_called_minus_not": float(naive[called].mean() - naive[~called].mean())},
            "mail_sent": {"log_odds": story.MAIL_EFFECT},
            "extra_call": {"log_odds": story.EXTRA_CALL_EFFECT},
        },
        "contents": {"works": f"T{TOPICS.index(story.WORKING_TOPIC)}", "topic": story.WORKING_TOPIC,
                     "log_odds": story.CONTENT_EFFECT},
        "experiments": {
            "extra call": {
                "probability": story.EXPERIMENT_SHARE,
                "effect_won_share": float(told.effects["extra_call"][in_it].mean()) if in_it.any() else None,
                "effect_revenue_per_lead": float((told.effects["extra_call"] * leads["amount_mean"])[in_it].mean())
                if in_it.any() else None,
            },
            BIRTHDAY_MAIL: {"probability": story.EXPERIMENT_SHARE, "effect_won_share": 0.0,
                              "effect_revenue_per_lead": 0.0},
        },
        "arrivals": {"growth_per_year": story.GROWTH_PER_YEAR, "month_weights": story.MONTH_WEIGHTS.tolist()},
        "existing_business": {"renewal_chance": story.RENEWAL_CHANCE, "expansion_chance": story.EXPANSION_CHANCE},
        "money": {
            "won": {kind: round(float(part["amount"].sum()), 2) for kind, part in won.groupby("kind")},
            "won_deals": {kind: len(part) for kind, part in won.groupby("kind")},
            "joined_leads": int((leads["joins"] >= 0).sum()),
        },
    }  # fmt: skip
