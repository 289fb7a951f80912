"""What a CRM keeps beside its rows: field histories, versions, salespeople, exchange rates, events that name no lead.

Told after the rows were corrupted (`pipeline.simulation.data_errors`), of rows that are still untouched; each is noted.

- ``changes``: *reassigned* (a lead had another owner before), *repriced* (a deal's amount), *pushed* (the planned date
  of an open deal), *lost_twice* (a lead lost by its status, opened again, and lost for good); one of a row that is not
  there.
- Versions: *versioned* (the call centre writes a deal down when it is opened and again when it ends), *account_version*
  (a company before it grew, and ``valid_from`` since when it has its size); some companies have a parent.
- *foreign_currency*: an amount in another currency. Its currencies are worth less than the company's own, so that an
  amount converted at its closing month's rate is the clean company's again, to the cent.
- Events: *by_contact*, *by_deal*, *by_email*, *by_phone*, *by_account* instead of the lead's id; noted with the lead
  that they lead to, which they do beyond doubt.
- ``owners``: name, team and territory of every salesperson.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pipeline.simulation import seasonality, vocabulary
from pipeline.simulation.corruption import CALL_CENTRE, CRM, KNOWN_UNTIL, CorruptedTables

CURRENCIES = {"USD": 0.92, "SEK": 0.087, "PLN": 0.23}
"""What one unit is worth in the company's currency, about."""
CHANGE_COLUMNS = ("table", "row_id", "field", "changed_at", "old_value", "new_value")


def tell_histories(corrupted: CorruptedTables) -> None:
    """Add histories, versions, owners, rates and the other keys of events to a territory that is corrupted already."""
    changes = [_reassign(corrupted), _reprice(corrupted), _push(corrupted), _lose_twice(corrupted)]
    history = pd.concat(changes, ignore_index=True)
    nowhere = history.iloc[:1].assign(row_id="Z" + history["row_id"].iloc[:1].str[1:])
    history = pd.concat([history, nowhere], ignore_index=True)
    corrupted.tables["changes"] = history.assign(system=CRM, date_as=None)
    _price_abroad(corrupted)
    _version_deals(corrupted)
    _version_accounts(corrupted)
    _name_other_keys(corrupted)
    _list_owners(corrupted)


def _changes(table: str, ids: pd.Series, field: str, at: pd.Series, old: ArrayLike, new: ArrayLike) -> pd.DataFrame:
    rows = {"table": table, "row_id": ids.to_numpy(), "field": field, "changed_at": pd.Series(at).to_numpy()}
    history = pd.DataFrame(
        rows | {"old_value": np.asarray(old, dtype=object), "new_value": np.asarray(new, dtype=object)}
    )
    return history.astype({"changed_at": "datetime64[us]"})[list(CHANGE_COLUMNS)]


def _between(corrupted: CorruptedTables, start: pd.Series, end: pd.Series) -> pd.Series:
    share = corrupted.rng.uniform(0.2, 0.8, len(start))
    return (start + (end - start) * share).dt.round("s")


def _reassign(corrupted: CorruptedTables) -> pd.DataFrame:
    leads = corrupted.tables["leads"]
    end = leads["closed_at"].fillna(KNOWN_UNTIL)
    lasting = (leads["system"] == CRM) & (end - leads["created_at"] > pd.Timedelta(days=10))
    chosen = corrupted.take("leads", 0.05, lasting)
    corrupted.note("leads", leads.loc[chosen, "lead_id"], "reassigned")
    owners = np.sort(leads["owner_id"].dropna().unique())
    now = np.searchsorted(owners, leads.loc[chosen, "owner_id"])
    before = owners[(now + 1) % len(owners)]
    at = _between(corrupted, leads.loc[chosen, "created_at"], end[chosen])
    return _changes("Lead", leads.loc[chosen, "lead_id"], "Owner", at, before, leads.loc[chosen, "owner_id"])


def _money(amount: pd.Series) -> pd.Series:
    return amount.map("{:.2f}".format)


def _reprice(corrupted: CorruptedTables) -> pd.DataFrame:
    deals = corrupted.tables["deals"]
    end = deals["closed_at"].where(deals["outcome"] != "open", KNOWN_UNTIL)
    priced = deals["amount"].notna() & (end - deals["opened_at"] > pd.Timedelta(days=5)) & (deals["system"] == CRM)
    chosen = corrupted.take("deals", 0.08, priced & ~deals.duplicated("lead_id", keep=False))
    corrupted.note("deals", deals.loc[chosen, "deal_id"], "repriced")
    amount = deals.loc[chosen, "amount"]
    before = (amount * corrupted.rng.uniform(0.6, 1.6, len(chosen))).round(2)
    at = _between(corrupted, deals.loc[chosen, "opened_at"], end[chosen])
    return _changes("Opportunity", deals.loc[chosen, "deal_id"], "Amount", at, _money(before), _money(amount))


def _push(corrupted: CorruptedTables) -> pd.DataFrame:
    deals = corrupted.tables["deals"]
    # Their planned dates are noted already, and nothing else about them is.
    planned = (deals["outcome"] == "open") & deals["closed_at"].notna() & (deals["system"] == CRM)
    planned &= (KNOWN_UNTIL - deals["opened_at"] > pd.Timedelta(days=5)) & ~deals.duplicated("deal_id", keep=False)
    rows = deals[planned & deals["date_as"].isna()]
    rows = rows[corrupted.rng.random(len(rows)) < 0.3]
    corrupted.note("deals", rows["deal_id"], "pushed")
    at = _between(corrupted, rows["opened_at"], pd.Series(KNOWN_UNTIL, rows.index))
    day = rows["closed_at"].dt.strftime("%Y-%m-%d")
    before = (rows["closed_at"] - pd.Timedelta(days=30)).dt.strftime("%Y-%m-%d")
    return _changes("Opportunity", rows["deal_id"], "Close Date", at, before, day)


def _lose_twice(corrupted: CorruptedTables) -> pd.DataFrame:
    leads, deals = corrupted.tables["leads"], corrupted.tables["deals"]
    long = leads["closed_at"] - leads["created_at"] > pd.Timedelta(days=40)
    no_deal = ~leads["lead_id"].isin(deals["lead_id"]) & ~leads["account_id"].isin(
        deals.loc[deals["lead_id"].isna(), "account_id"]
    )
    chosen = corrupted.take("leads", 0.01, long & no_deal & (leads["status"] == "lost") & (leads["system"] == CRM))
    rows = leads.loc[chosen]
    corrupted.note("leads", rows["lead_id"], "lost_twice")
    span = rows["closed_at"] - rows["created_at"]
    first = (rows["created_at"] + span * 0.3).dt.round("s")
    again = (rows["created_at"] + span * 0.6).dt.round("s")
    turns = ((first, "Working", "Disqualified"), (again, "Disqualified", "Working"),
             (rows["closed_at"], "Working", "Disqualified"))  # fmt: skip
    return pd.concat(
        [
            _changes("Lead", rows["lead_id"], "Lead Status", at, [old] * len(rows), [new] * len(rows))
            for at, old, new in turns
        ],
        ignore_index=True,
    )


def _months() -> pd.DatetimeIndex:
    return pd.date_range("2023-01-01", KNOWN_UNTIL + pd.Timedelta(days=31), freq="MS")


def rates_table() -> pd.DataFrame:
    """Give each currency's rate of each month; the same in every territory."""
    months = _months()
    wave = 1 + 0.04 * np.sin(np.arange(len(months)) / 3.0)
    parts = [
        pd.DataFrame({"currency": currency, "valid_from": months.strftime("%Y-%m-%d"), "rate": (level * wave).round(5)})
        for currency, level in CURRENCIES.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(system=CRM, date_as=None)


def _price_abroad(corrupted: CorruptedTables) -> None:
    deals, rates = corrupted.tables["deals"], rates_table()
    single = ~deals.duplicated("deal_id", keep=False) & ~deals.duplicated("lead_id", keep=False)
    chosen = corrupted.take("deals", 0.05, deals["amount"].notna() & single & (deals["system"] == CRM))
    corrupted.note("deals", deals.loc[chosen, "deal_id"], "foreign_currency")
    currency = corrupted.rng.choice(np.array(list(CURRENCIES), dtype=object), len(chosen))
    at = deals.loc[chosen, "closed_at"].where(deals.loc[chosen, "outcome"] != "open", KNOWN_UNTIL)
    local = pd.DatetimeIndex(at.to_numpy()).tz_localize("UTC").tz_convert(seasonality.TIME_ZONE)
    month = local.strftime("%Y-%m-01")
    rate = rates.set_index(["currency", "valid_from"])["rate"].loc[list(zip(currency, month, strict=True))].to_numpy()
    deals.loc[chosen, "amount"] = (deals.loc[chosen, "amount"].to_numpy() / rate).round(2)
    deals.loc[chosen, "currency"] = currency
    corrupted.tables["rates"] = rates


def _version_deals(corrupted: CorruptedTables) -> None:
    deals = corrupted.tables["deals"]
    deals["recorded_at"] = pd.Series(pd.NaT, deals.index, dtype="datetime64[us]")
    there = (deals["system"] == CALL_CENTRE) & deals["outcome"].isin(["won", "lost"]) & deals["lead_id"].notna()
    there &= ~deals.duplicated("deal_id", keep=False) & (deals["opened_at"] < deals["closed_at"])
    chosen = corrupted.take("deals", 1.0, there)
    corrupted.note("deals", deals.loc[chosen, "deal_id"], "versioned")
    first = deals.loc[chosen].copy()
    deals.loc[chosen, "recorded_at"] = deals.loc[chosen, "closed_at"]
    first["recorded_at"], first["outcome"], first["stage"] = first["opened_at"], "open", "qualification"
    first["closed_at"] = pd.NaT
    first["amount"] = (first["amount"] * 1.2).round(2)
    corrupted.add("deals", first)


def _version_accounts(corrupted: CorruptedTables) -> None:
    accounts = corrupted.tables["accounts"]
    accounts["valid_from"] = pd.Series(pd.NaT, accounts.index, dtype="datetime64[us]")
    accounts["parent_id"] = None
    here = accounts.index[(accounts["system"] == CRM).to_numpy()]
    children = here[np.flatnonzero(corrupted.rng.random(len(here)) < 0.05)]
    accounts.loc[children, "parent_id"] = accounts.loc[here[: len(children)], "account_id"].to_numpy()
    own = accounts["parent_id"] == accounts["account_id"]
    accounts.loc[own, "parent_id"] = None
    grown = corrupted.take("accounts", 0.05, (accounts["system"] == CRM) & accounts["employees"].notna())
    corrupted.note("accounts", accounts.loc[grown, "account_id"], "account_version")
    before = accounts.loc[grown].copy()
    before["employees"] = (before["employees"] // 2).clip(lower=1)
    start = pd.Timestamp("2024-01-01") + pd.to_timedelta(corrupted.rng.integers(0, 600, len(grown)), unit="D")
    accounts.loc[grown, "valid_from"] = start.to_numpy()
    corrupted.add("accounts", before)


def _name_other_keys(corrupted: CorruptedTables) -> None:
    leads, deals, events = (corrupted.tables[name] for name in ("leads", "deals", "events"))
    once = leads.drop_duplicates("lead_id").set_index("lead_id")
    email = once["email"].str.lower()
    number = once["phone"].str.replace(r"\D", "", regex=True)
    keys = {
        "contact_id": once["contact_id"],
        "email": once["email"].where(~email.duplicated(keep=False)),
        "phone": once["phone"].where(~number.str[-9:].duplicated(keep=False) & (number.str.len() >= 9)),
        "account_id": once["account_id"],
    }
    for name in ("contact_id", "account_id"):
        keys[name] = keys[name].where(~once.duplicated(["system", name], keep=False))
    sure = deals[(deals["system"] == CRM) & ~deals.duplicated("deal_id", keep=False) & deals["date_as"].isna()]
    sure = sure[sure["outcome"].isin(["won", "lost", "open"]) & sure["lead_id"].notna()]
    keys["deal_id"] = sure.drop_duplicates("lead_id").set_index("lead_id")["deal_id"]
    for name, key in keys.items():
        found = events["lead_id"].map(key)
        events[name] = None
        among = found.notna() & (events["system"] == CRM) & ~events.duplicated("event_id", keep=False)
        chosen = corrupted.take("events", 0.01, among & (events["occurred_at"] <= KNOWN_UNTIL))
        mess = "by_" + name.removesuffix("_id")
        corrupted.note("events", events.loc[chosen, "event_id"], mess, events.loc[chosen, "lead_id"])
        events.loc[chosen, name] = found[chosen]
        events.loc[chosen, "lead_id"] = None


def _list_owners(corrupted: CorruptedTables) -> None:
    leads = corrupted.tables["leads"]
    owners = leads[["owner_id", "system"]].dropna().drop_duplicates().sort_values(["system", "owner_id"])
    number = owners["owner_id"].str.extract(r"(\d+)", expand=False).astype(np.int64).to_numpy()
    first = np.array(vocabulary.FIRST_NAMES, dtype=object)[vocabulary.pick(number, 11, len(vocabulary.FIRST_NAMES))]
    last = np.array(vocabulary.LAST_NAMES, dtype=object)[vocabulary.pick(number, 12, len(vocabulary.LAST_NAMES))]
    teams, regions = np.array(["inside sales", "field sales"], dtype=object), np.array(vocabulary.REGIONS, dtype=object)
    corrupted.tables["owners"] = pd.DataFrame(
        {
            "owner_id": owners["owner_id"].to_numpy(),
            "name": first + " " + last,
            "team": teams[number % 2],
            "territory": regions[number % len(regions)],
            "system": owners["system"].to_numpy(),
            "date_as": None,
        }
    )
