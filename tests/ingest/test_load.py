import csv
import io
from datetime import datetime
from decimal import Decimal

import ibis
import pandas as pd
import pytest
from company_files import DEALS, LEADS, load_company, small_params
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features import lifecycle
from features.schema import SCHEMAS
from pipeline.audit.reconciliation import reconcile
from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.ingest.as_of import parse_as_of
from pipeline.ingest.company import data_fingerprint
from pipeline.ingest.load import load_tables
from pipeline.ingest.quarantine import quarantined


def rows(loaded, table: str) -> pd.DataFrame:
    return getattr(loaded.tables, table).to_pandas()


def test_tables_have_the_types_that_features_expect_and_are_empty_where_the_company_has_none(tmp_path):
    loaded = load_company(tmp_path)
    for table, columns in SCHEMAS.items():
        schema = getattr(loaded.tables, table).schema()
        assert {name: schema[name] for name in columns} == {name: ibis.dtype(type_) for name, type_ in columns.items()}
    assert loaded.tables.present["events"] == frozenset()
    assert loaded.tables.has("deals", "amount")
    assert not loaded.tables.has("deals", "stage")


def test_a_bare_date_is_its_local_days_last_microsecond_and_a_planned_one_is_no_closing(tmp_path):
    loaded = load_company(tmp_path, data={"timezone": "America/Sao_Paulo"})
    deals = rows(loaded, "deals").set_index("deal_id")
    assert deals["closed_at"]["D1"] == datetime(2024, 2, 1, 13)
    assert deals["closed_at"]["D2"] == datetime(2024, 3, 1, 2, 59, 59, 999_999)
    assert pd.isna(deals["closed_at"]["D4"])
    assert deals["expected_close_at"]["D4"] == datetime(2025, 1, 1, 2, 59, 59, 999_999)
    assert loaded.known_until == datetime(2024, 3, 1, 13)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["2024-02-01T10:00:00Z", "2024-02-01 10:00:00.5+02:00"], ["2024-02-01 10:00", "2024-02-01 08:00:00.5"]),
        (["01.02.2024 10:00", "3.4.2024 11:30:01"], ["2024-02-01 10:00", "2024-04-03 11:30:01"]),
        (["01/02/2024 10:00", "25/12/2024 9:05"], ["2024-02-01 10:00", "2024-12-25 09:05"]),
        (["1/2/2024 1:05 PM", "12/25/2024 9:05 AM"], ["2024-01-02 13:05", "2024-12-25 09:05"]),
        (["1 Feb 2024 10:00", "1706781600"], ["2024-02-01 10:00", "2024-02-01 10:00"]),
    ],
)
def test_dates_are_read_when_their_column_agrees_on_one_way_of_writing(tmp_path, written, read):
    leads = [{"lead_id": f"L{n}", "created_at": text} for n, text in enumerate(written, start=1)]
    created = rows(load_company(tmp_path, leads=leads), "leads").set_index("lead_id")["created_at"]
    assert [created[f"L{n}"] for n in (1, 2)] == [pd.Timestamp(text) for text in read]


@pytest.mark.parametrize(
    "written", ["01/02/2024", "2024-02-30", "next week", "0001-01-01", "9999-12-31", "infinity", "epoch", "2024-13-01"]
)
def test_a_date_that_cannot_be_read_for_sure_is_quarantined_with_its_value(tmp_path, written):
    loaded = load_company(tmp_path, leads=[*LEADS, {"lead_id": "L99", "created_at": written}])
    bad = quarantined(loaded.connection).iloc[0]
    assert (bad["table"], bad["source"], bad["row"], bad["column"]) == ("leads", "leads.csv", 11, "created_at")
    assert bad["value"] == written
    assert loaded.counts["leads"] == {
        "rows": 11, "loaded": 10, "quarantined": 1,
        "reasons": {f"created_at: {bad['reason']}": 1}, "unreadable": {},
    }  # fmt: skip


def test_words_are_mapped_whatever_their_case_and_blanks(tmp_path):
    deals = [dict(deal) for deal in DEALS]
    for deal, word in zip(deals, ["  GANHO", "closed won", "Perdido ", ""], strict=True):
        deal["outcome"] = word
    deals[3]["closed_at"] = ""
    values = {"outcome": {"won": ["Ganho", "Closed Won"], "lost": ["perdido"]}}
    loaded = load_company(tmp_path, deals=deals, sources={"deals": {"values": values}})
    assert rows(loaded, "deals")["outcome"].tolist() == ["won", "won", "lost", "open"]


def test_an_unreadable_outcome_ends_the_lead_and_stays_in_the_quarantine(tmp_path):
    deals = [dict(deal) for deal in DEALS] + [
        {"deal_id": "D5", "lead_id": "L5", "outcome": "???", "closed_at": "2024-02-05 10:00:00", "amount": "7.70"},
        {"deal_id": "D6", "lead_id": "L6", "outcome": "won", "closed_at": "", "amount": "8.80"},
    ]
    loaded = load_company(tmp_path, deals=deals, data={"quarantined_share_limit": 0.5})
    bad = quarantined(loaded.connection).set_index("value", drop=False)
    assert bad["amount"].tolist() == [Decimal("7.7000"), Decimal("8.8000")]
    state = lifecycle.standings(loaded.tables, datetime(2024, 4, 1)).to_pandas().set_index("lead_id")
    assert (state.outcome[["L5", "L6"]] == "unknown").all()
    assert state.ended_at["L5"] == datetime(2024, 2, 5, 10)
    assert state.ended_at["L6"] == datetime(2024, 1, 6, 9)


def test_a_row_that_stands_twice_is_kept_once(tmp_path):
    loaded = load_company(tmp_path, leads=[*LEADS, LEADS[0]], deals=[*DEALS, DEALS[1]])
    assert quarantined(loaded.connection)["reason"].str.startswith("exact copy").all()
    assert quarantined(loaded.connection)["amount"].dropna().tolist() == [Decimal("200.2000")]
    assert rows(loaded, "leads")["lead_id"].is_unique


def test_versions_of_a_deal_are_all_kept(tmp_path):
    deals = [{**DEALS[0], "recorded_at": f"2024-0{month}-01 12:00"} for month in (2, 3, 3)]
    loaded = load_company(tmp_path, deals=deals, data={"quarantined_share_limit": 0.5})
    assert len(rows(loaded, "deals")) == 2
    assert len(quarantined(loaded.connection)) == 1


def test_ids_of_several_systems_are_kept_apart(tmp_path):
    path = tmp_path / "params.yaml"
    small_params(tmp_path)
    path.write_text("""
company: two
data:
  sources:
    leads: [{from: leads.csv, system: web}, {from: leads.csv, system: crm}]
    deals: {from: deals.csv, system: crm}
""")
    loaded = load_tables(load_params(path))
    assert rows(loaded, "leads")["lead_id"].nunique() == 20
    assert set(rows(loaded, "deals")["lead_id"]) <= set(rows(loaded, "leads")["lead_id"])
    path.write_text(path.read_text().replace("deals: {from: deals.csv, system: crm}", "deals: {from: deals.csv}"))
    with pytest.raises(UserError, match=r"data.sources.deals.system"):
        load_tables(load_params(path))


def test_events_that_lead_to_no_lead_are_set_aside(tmp_path):
    events = [{"lead_id": f"L{n}", "occurred_at": "2024-01-20 10:00", "kind": "call"} for n in (1, 2, 3, 4, 77)]
    loaded = load_company(tmp_path, events=events)
    assert loaded.counts["events"]["reasons"] == {"lead_id: leads to no lead": 1}


def test_attributes_are_numbers_where_every_value_is_and_codes_stay_text(tmp_path):
    leads = [{**lead, "pages": n, "zip": f"0{n}", "note": " x " if n else "N/A"} for n, lead in enumerate(LEADS)]
    loaded = load_company(tmp_path, leads=leads, sources={"leads": {"ignore": ["note"]}})
    assert loaded.tables.attributes["leads"] == ("pages", "zip")
    schema = loaded.tables.leads.schema()
    assert schema["pages"].is_floating()
    assert schema["zip"].is_string()


def test_amounts_are_read_to_the_cent_in_either_style(tmp_path):
    for written, read in (
        (["1,234.56", "0.1"], "1234.66"),
        (["1.234,56", "€ 0,10"], "1234.66"),
        (["1e3", "5"], "1005"),
    ):
        deals = [{**deal, "amount": text} for deal, text in zip(DEALS, [*written, "", ""], strict=True)]
        assert rows(load_company(tmp_path, deals=deals), "deals")["amount"].dropna().sum() == Decimal(read)


def test_amounts_in_another_currency_are_unknown_and_listed(tmp_path):
    deals = [{**deal, "currency": currency} for deal, currency in zip(DEALS, ["EUR", "usd", "", ""], strict=True)]
    loaded = load_company(tmp_path, deals=deals)
    assert rows(loaded, "deals")["amount"].isna().tolist() == [False, True, False, False]
    assert any("200.20" in text for text in reconcile(loaded).differences)


def test_too_many_bad_rows_stop_with_the_commonest_reason(tmp_path):
    leads = [{**lead, "created_at": "soon" if n < 5 else lead["created_at"]} for n, lead in enumerate(LEADS)]
    with pytest.raises(
        UserError, match=r"data.sources.leads: 5 of 10 rows .* unreadable date .*'aaaa' in leads.csv, row 1"
    ):
        load_company(tmp_path, leads=leads)


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (
            {"leads": {"columns": {"created_at": "creatd_at"}}},
            ["data.sources.leads.columns.created_at", "'created_at'"],
        ),
        ({"deals": {"ignore": ["amont"]}}, ["data.sources.deals.ignore", "'amount'"]),
        ({"deals": {"columns": {"closed_at": "deal_id"}}}, ["data.sources.deals.columns.closed_at", "closed_at"]),
        ({"leads": {"values": {"origin": {"web": ["www"]}}}}, ["data.sources.leads.values", "origin"]),
    ],
)
def test_a_misspelt_column_is_named_with_the_nearest(tmp_path, sources, told):
    with pytest.raises(UserError) as caught:
        load_company(tmp_path, sources=sources)
    assert all(part in str(caught.value) for part in told), caught.value


def test_a_missing_column_says_how_to_map_it(tmp_path):
    leads = [{"Lead ID": lead["lead_id"], "created_at": lead["created_at"]} for lead in LEADS]
    with pytest.raises(UserError, match=r"data.sources.leads.columns: leads.csv has no column lead_id.*'Lead ID'"):
        load_company(tmp_path, leads=leads)


def test_the_fingerprint_follows_the_content_alone(tmp_path):
    first = data_fingerprint(load_company(tmp_path))
    assert data_fingerprint(load_company(tmp_path, leads=LEADS[::-1])) == first
    changed = [{**LEADS[0], "created_at": "2024-01-01 09:00:01"}, *LEADS[1:]]
    assert data_fingerprint(load_company(tmp_path, leads=changed)) != first


def test_as_of_is_an_instant_in_the_companys_time_zone(tmp_path):
    params = small_params(tmp_path, data={"timezone": "America/Sao_Paulo"})
    assert parse_as_of("2018-04-01", params) == datetime(2018, 4, 1, 3)
    assert parse_as_of("2018-04-01T00:00:00Z", params) == datetime(2018, 4, 1)
    with pytest.raises(UserError, match="2018-04-31"):
        parse_as_of("2018-04-31", params)


GENERATE = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking would load hundreds of companies

CELL = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "won", "lost", "open", "2024-01-05", "2024-02-30", "01/02/2024", "1,5", "1.234,56", "nan",
                     "inf", "1e400", "L1", "D1", "999999999999999999", "-0", '"', "\x00", "\n", "🙂", "NULL",
                     "0000-00-00"]),
)  # fmt: skip


@settings(max_examples=12, deadline=None, phases=GENERATE, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    leads=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8),
    deals=st.lists(st.tuples(CELL, CELL, CELL, CELL, CELL), min_size=1, max_size=8),
)
def test_junk_is_loaded_quarantined_or_refused_and_never_lost(tmp_path, leads, deals):
    good_leads = [(lead["lead_id"], lead["created_at"], "x") for lead in LEADS]
    good_deals = [tuple(deal.values()) for deal in DEALS]
    tables = {
        "leads": [("lead_id", "created_at", "colour"), *good_leads, *leads],
        "deals": [("deal_id", "lead_id", "outcome", "closed_at", "amount"), *good_deals, *deals],
    }
    path = tmp_path / "params.yaml"
    small_params(tmp_path, data={"quarantined_share_limit": 1.0})
    for table, content in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(content)
        (tmp_path / f"{table}.csv").write_text(text.getvalue(), encoding="utf-8", errors="replace", newline="")
    loaded = load_tables(load_params(path))
    for count in loaded.counts.values():
        assert count["loaded"] + count["quarantined"] == count["rows"]
    total = reconcile(loaded).total
    assert total.missing_deals == 0
    assert total.missing_revenue == 0
    assert loaded.tables.leads.count().execute() == loaded.counts["leads"]["loaded"]


@settings(max_examples=25, deadline=None, phases=GENERATE, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=300), st.text(alphabet='ab,;"\n\r\t|\x00é', max_size=120).map(str.encode)),
       suffix=st.sampled_from(["csv", "jsonl", "parquet"]))  # fmt: skip
def test_a_junk_file_is_read_or_refused_in_one_line(tmp_path, content, suffix):
    path = tmp_path / "params.yaml"
    small_params(tmp_path)
    (tmp_path / f"junk.{suffix}").write_bytes(content)
    path.write_text(path.read_text().replace("leads.csv", f"junk.{suffix}"))
    with pytest.raises(UserError) as caught:
        load_tables(load_params(path))
    assert "\n" not in str(caught.value)
