"""Deals in other currencies: converted at the rate of the closing, open ones at each date's, and exact."""

from datetime import datetime
from decimal import Decimal

from company_files import LEADS, load_company

from features import lifecycle, point_in_time
from pipeline.audit.reconciliation import reconcile
from pipeline.ingest.quarantine import quarantined

RATES = [
    {"currency": "USD", "valid_from": "2024-02-01", "rate": "0.9"},
    {"currency": "usd", "valid_from": "2024-03-01", "rate": "0.8"},
    {"currency": "JPY", "valid_from": "2024-01-01", "rate": "0.0061234567"},
    {"currency": "GBP", "valid_from": "2024-01-01", "rate": "-1"},
]
DEALS = [
    {"deal_id": "D1", "lead_id": "L1", "outcome": "won", "closed_at": "2024-02-01", "amount": "100.05",
     "currency": "USD"},
    {"deal_id": "D2", "lead_id": "L2", "outcome": "won", "closed_at": "2024-03-01 08:00", "amount": "100",
     "currency": "usd"},
    {"deal_id": "D3", "lead_id": "L3", "outcome": "won", "closed_at": "2024-03-01", "amount": "55.55", "currency": ""},
    {"deal_id": "D4", "lead_id": "L4", "outcome": "won", "closed_at": "2024-01-31", "amount": "77", "currency": "USD"},
    {"deal_id": "D5", "lead_id": "L5", "outcome": "won", "closed_at": "2024-02-05", "amount": "123456",
     "currency": "JPY"},
    {"deal_id": "D6", "lead_id": "L6", "outcome": "open", "closed_at": "", "amount": "1000", "currency": "USD"},
]  # fmt: skip
MANY = {"quarantined_share_limit": 0.5, "timezone": "Europe/Berlin"}


def test_won_amounts_are_converted_at_the_rate_of_the_closing_day(tmp_path):
    loaded = load_company(tmp_path, deals=DEALS, rates=RATES, data=MANY)
    amounts = loaded.tables.deals.select("deal_id", "amount", "written_amount").to_pandas().set_index("deal_id")
    assert amounts.amount.dropna().to_dict() == {
        "D1": Decimal("90.05"), "D2": Decimal("80"), "D3": Decimal("55.55"), "D5": Decimal("755.98")
    }  # fmt: skip
    assert quarantined(loaded.connection)[["table", "column", "value", "reason"]].to_numpy().tolist() == [
        ["deals", "currency", "USD", "no exchange rate for USD at closed_at"],
        ["rates", "rate", "-1.0000000000", "rate not above 0"],
    ]


def test_the_reconciliation_holds_in_both_currencies(tmp_path):
    told = reconcile(load_company(tmp_path, deals=DEALS, rates=RATES, data=MANY))
    assert told.total.missing_deals == told.total.missing_revenue == 0
    assert told.total.revenue["loaded"] == Decimal("90.05") + 80 + Decimal("55.55") + Decimal("755.98")
    found = {item.currency: item for item in told.currencies}
    assert list(found) == ["EUR", "JPY", "USD"]
    assert (found["USD"].source, found["USD"].loaded, found["USD"].quarantined) == (
        Decimal("277.05"), Decimal("200.05"), Decimal("77"),
    )  # fmt: skip
    assert found["USD"].converted == Decimal("170.05")
    assert all(item.replaced == 0 for item in found.values())


def test_an_open_deal_is_worth_what_the_rate_of_the_date_says(tmp_path):
    deals = [DEALS[0] | {"recorded_at": ""}, DEALS[5] | {"recorded_at": "2024-01-10 10:00"}]
    loaded = load_company(tmp_path, leads=LEADS, deals=deals, rates=RATES, data=MANY | {"known_until": "2024-05-01"})
    versions = lifecycle.lead_deal_versions(loaded.tables)
    worth = {}
    for day in ("2024-01-20", "2024-02-10", "2024-04-01"):
        rows = (
            versions.filter(point_in_time.current_at(versions, datetime.fromisoformat(day)))
            .to_pandas()
            .set_index("deal_id")
        )
        worth[day] = rows.amount.get("D6"), rows.written_amount.get("D6"), rows.outcome.get("D6")
    assert worth == {
        "2024-01-20": (None, Decimal("1000"), "open"),
        "2024-02-10": (Decimal("900"), Decimal("1000"), "open"),
        "2024-04-01": (Decimal("800"), Decimal("1000"), "open"),
    }


def test_what_models_learn_from_is_converted_and_stays_so_when_rates_move_on(tmp_path):
    loaded = load_company(tmp_path, leads=LEADS, deals=DEALS, rates=RATES, data=MANY | {"known_until": "2024-05-01"})
    for known_at in (datetime(2024, 3, 5), datetime(2024, 5, 1)):
        won = lifecycle.outcomes(loaded.tables, known_at=known_at, amount_window_days=90)
        amounts = won.filter(won.amount.notnull()).to_pandas().set_index("lead_id").amount.astype(float)
        assert amounts.to_dict() == {"L1": 90.05, "L2": 80.0, "L3": 55.55, "L5": 755.98}


def test_without_rates_amounts_in_another_currency_are_told_and_not_guessed(tmp_path):
    told = reconcile(load_company(tmp_path, deals=DEALS, data=MANY))
    assert told.total.deals["unconverted"] == 4
    assert told.total.missing_revenue == 0
    assert {item.currency: item.converted for item in told.currencies} == {
        "EUR": Decimal("55.55"),
        "JPY": None,
        "USD": None,
    }
