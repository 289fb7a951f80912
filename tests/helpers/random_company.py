"""A small random company as `Tables`: leads, deals (with and without versions), accounts, events, closings."""

from __future__ import annotations

from datetime import datetime, timedelta

import ibis
import numpy as np
import pandas as pd

from features.schema import SCHEMAS, TIME, Tables

START = datetime(2023, 1, 1)
DAYS = 400
LEAD_ATTRIBUTES = {"region": "string", "machines": "float64", "first_order": TIME}
ACCOUNT_ATTRIBUTES = {"tier": "string"}
KINDS = ("visit", "demo_request", "call", "mail")
SOURCES = ("web", "fair", "list", None)


def _moment(rng: np.random.Generator, low: float, high: float) -> datetime:
    """Some instant; one in three stands at a day's end, as a date without a time does."""
    moment = START + timedelta(microseconds=int(rng.uniform(low, high) * 86_400e6))
    if rng.random() < 1 / 3:
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return moment


def _days(moment: datetime) -> float:
    return (moment - START) / timedelta(days=1)


def _maybe(rng: np.random.Generator, value: object, share: float = 0.8) -> object:
    return value if rng.random() < share else None


def random_frames(seed: int, leads_count: int = 40, events_per_lead: float = 6.0) -> dict[str, pd.DataFrame]:
    """Rows of each table in the canonical columns; ids, dates and links are as untidy as real ones."""
    rng = np.random.default_rng(seed)
    accounts, leads, deals, events, closings = [], [], [], [], []
    account_ids = [f"A{i}" for i in range(max(leads_count // 3, 1))]
    for account_id in account_ids:
        for _ in range(int(rng.integers(1, 3))):
            valid_from = _maybe(rng, _moment(rng, -50, DAYS), 0.6)
            accounts.append({
                "account_id": account_id, "valid_from": valid_from,
                "known_at": valid_from and valid_from + timedelta(days=float(_maybe(rng, 3.0, 0.3) or 0)),
                "employees": _maybe(rng, float(rng.integers(1, 5000))),
                "annual_revenue": _maybe(rng, 1e6 * rng.random()),
                "industry": _maybe(rng, str(rng.choice(["retail", "steel"]))), "country": _maybe(rng, "PT"),
                "founded_year": _maybe(rng, float(rng.integers(1950, 2020))),
                "tier": _maybe(rng, str(rng.choice(["gold", "lead"]))),
            })  # fmt: skip
    deal_number = 0
    for i in range(leads_count):
        lead_id, account_id = f"L{i:04d}", _maybe(rng, str(rng.choice(account_ids)))
        created_at = _moment(rng, 0, DAYS)
        lost = rng.random() < 0.2
        title = _maybe(rng, str(rng.choice(["Head of Sales", "Geschäftsführer", "Estagiário"])))
        leads.append({
            "lead_id": lead_id, "created_at": created_at,
            "known_at": created_at + timedelta(days=float(rng.choice([0, 0, 0, 2.5]))),
            "account_id": account_id, "owner_id": _maybe(rng, str(rng.choice(["O1", "O2"]))),
            "source": SOURCES[rng.integers(len(SOURCES))], "campaign": _maybe(rng, f"C{rng.integers(6)}", 0.5),
            "title": title, "entry": str(rng.choice(["hand_raised", "contact"])),
            "kind": str(rng.choice(["new_business", "expansion"])), "product": _maybe(rng, "P1", 0.5),
            "status": "lost" if lost else "open",
            "closed_at": _moment(rng, _days(created_at), DAYS + 50) if lost else None,
            "email": _maybe(rng, str(rng.choice(["a@gmail.com", "b@firm.example", "broken"]))),
            "phone": _maybe(rng, "+351 1"), "name": _maybe(rng, "Ana"), "company_name": _maybe(rng, "Firma"),
            "region": _maybe(rng, str(rng.choice(["north", "south"]))), "machines": _maybe(rng, float(rng.integers(9))),
            "first_order": _maybe(rng, _moment(rng, -300, DAYS), 0.5),
        })  # fmt: skip
        if rng.random() < 0.05:
            closed_at = _moment(rng, _days(created_at), DAYS)
            closings.append({"lead_id": lead_id, "closed_at": closed_at, "known_at": closed_at})
        for _ in range(int(rng.choice([0, 0, 1, 1, 2, 3]))):
            deal_number += 1
            opened_at = _moment(rng, _days(created_at) - 1, DAYS)
            outcome = str(rng.choice(["won", "lost", "open"]))
            link = {"lead_id": lead_id, "account_id": _maybe(rng, account_id, 0.5)}
            if account_id and rng.random() < 0.3:
                link = {"lead_id": None, "account_id": account_id}
            base = {
                "deal_id": f"D{deal_number}", **link, "owner_id": "O1", "opened_at": _maybe(rng, opened_at),
                "amount": _maybe(rng, round(float(rng.lognormal(8, 1)), 2)),
                "stage": str(rng.choice(["first", "offer"])),
                "expected_close_at": _maybe(rng, _moment(rng, _days(opened_at), DAYS + 90)), "kind": "new_business",
            }  # fmt: skip
            closed_at = _moment(rng, _days(opened_at), DAYS + 30)
            ending = {"outcome": outcome, "closed_at": None if outcome == "open" else closed_at}
            if rng.random() < 0.4:
                for k in range(int(rng.integers(1, 4))):
                    recorded_at = opened_at + timedelta(days=10.0 * k)
                    version = {"outcome": "open", "recorded_at": recorded_at, "amount": 100.0 * (k + 1)}
                    if base["expected_close_at"]:
                        later = timedelta(days=float(rng.choice([0, -5, 20])))
                        version["expected_close_at"] = base["expected_close_at"] + later
                    deals.append({**base, **version})
                if outcome != "open":
                    deals.append(
                        {**base, **ending, "recorded_at": closed_at + timedelta(days=float(rng.choice([0, 4])))}
                    )
            else:
                deals.append({**base, **ending})
        for _ in range(int(rng.poisson(events_per_lead))):
            occurred_at = _moment(rng, _days(created_at) - 2, min(_days(created_at) + 90, DAYS + 20))
            events.append({
                "event_id": f"E{len(events)}", "lead_id": lead_id, "account_id": account_id, "occurred_at": occurred_at,
                "known_at": occurred_at + timedelta(days=float(rng.choice([0, 0, 0, 1.5, -3]))),
                "kind": str(rng.choice(KINDS)), "direction": _maybe(rng, str(rng.choice(["inbound", "outbound"]))),
                "channel": _maybe(rng, str(rng.choice(["web", "phone"]))), "topic": _maybe(rng, f"T{rng.integers(4)}"),
            })  # fmt: skip
    for deal in deals:
        deal["written_amount"] = deal["amount"]
    kin = np.random.default_rng([seed, 1])
    for account in accounts:
        account["parent_id"] = _maybe(kin, str(kin.choice(account_ids[:4])), 0.6)
    rows = {"leads": leads, "deals": deals, "accounts": accounts, "events": events, "closings": closings}
    own = {"leads": list(LEAD_ATTRIBUTES), "accounts": list(ACCOUNT_ATTRIBUTES)}
    return {
        name: pd.DataFrame(rows.get(name, []), columns=[*SCHEMAS[name], *own.get(name, [])], dtype=object)
        for name in SCHEMAS
    }


def to_tables(
    frames: dict[str, pd.DataFrame], connection: ibis.BaseBackend | None = None, absent: frozenset[str] = frozenset()
) -> Tables:
    """Put the frames into a DuckDB in memory and type them; tables in ``absent`` stay empty."""
    connection = connection or ibis.duckdb.connect(threads=1)
    typed, present = {}, {}
    own_types = LEAD_ATTRIBUTES | ACCOUNT_ATTRIBUTES
    for name, schema in SCHEMAS.items():
        frame = frames[name].iloc[:0] if name in absent else frames[name]
        schema = {**schema, **{column: own_types[column] for column in frame.columns if column in own_types}}
        frame = frame[list(schema)].copy()
        for column, type_ in schema.items():
            if type_.startswith("timestamp"):
                frame[column] = pd.to_datetime(frame[column]).astype("datetime64[us]")
            elif type_ == "float64" or type_.startswith("decimal"):
                frame[column] = frame[column].astype("float64")
            else:
                frame[column] = frame[column].astype("string")
        connection.con.from_df(frame).create(f"raw_{name}")
        raw = connection.table(f"raw_{name}")
        typed[name] = raw.select(**{column: raw[column].cast(type_) for column, type_ in schema.items()})
        present[name] = frozenset() if name in absent else frozenset(schema)
    return Tables(
        **typed, present=present, attributes={"leads": tuple(LEAD_ATTRIBUTES), "accounts": tuple(ACCOUNT_ATTRIBUTES)}
    )


def random_tables(seed: int, leads_count: int = 40, events_per_lead: float = 6.0) -> Tables:
    """A small random company in a DuckDB in memory."""
    return to_tables(random_frames(seed, leads_count, events_per_lead))


def with_another_future(frames: dict[str, pd.DataFrame], seed: int, as_of: datetime) -> dict[str, pd.DataFrame]:
    """Add, change and remove whatever became known only after ``as_of``."""
    rng = np.random.default_rng(seed)
    other = random_frames(seed + 1000, leads_count=60)
    changed = {}
    for name, frame in frames.items():
        stranger = other[name]
        if frame.empty and stranger.empty:
            changed[name] = frame
            continue
        if name == "deals":
            known = lambda f: f.recorded_at.fillna(f.opened_at.fillna(f.closed_at)).fillna(datetime(1900, 1, 1))  # noqa: E731
        elif name == "events":
            known = lambda f: f[["known_at", "occurred_at"]].max(axis=1)  # noqa: E731
        else:
            known = lambda f: f.known_at.fillna(datetime(1900, 1, 1))  # noqa: E731
        late, stranger_late = pd.to_datetime(known(frame)) > as_of, pd.to_datetime(known(stranger)) > as_of
        kept = frame[~late].copy()
        # What is known of a row today may tell of the future: how it will end.
        if name == "leads":
            ahead = pd.to_datetime(kept.closed_at) > as_of
            kept.loc[ahead & (rng.random(len(kept)) < 0.5), ["status", "closed_at"]] = ["open", None]
        if name == "deals":
            ahead = kept.recorded_at.isna() & kept.opened_at.notna() & (pd.to_datetime(kept.closed_at) > as_of)
            kept.loc[ahead, "outcome"] = rng.choice(["won", "lost"], int(ahead.sum()))
            kept.loc[ahead, "amount"] = rng.integers(1, 10**6, int(ahead.sum())).astype(float)
            ahead = kept.recorded_at.isna() & (kept.outcome == "open")
            kept.loc[ahead, "amount"] = 77.0
        strangers = stranger[stranger_late].copy()
        for column in ("event_id", "deal_id"):
            if column in strangers:
                strangers[column] = "X" + strangers[column].astype(str)
        if name == "leads":
            strangers["lead_id"] = "X" + strangers["lead_id"]
        changed[name] = pd.concat([kept, strangers, frame[late].sample(frac=0.3, random_state=seed)], ignore_index=True)
        changed[name] = changed[name].sample(frac=1, random_state=seed).astype(object)
        if name == "leads":
            changed[name] = changed[name].drop_duplicates("lead_id")
    return changed
