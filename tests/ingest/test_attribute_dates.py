"""A company's own columns of dates are dates: days since, and days until where it is known what they were."""

from datetime import datetime

import pytest
from company_files import load_company

from features import catalogue
from features.materialise import open_leads_matrix
from features.spec import FeatureSpec
from pipeline.common import formatting

AS_OF = datetime(2024, 6, 30)


def written(days):
    """Give fifty leads of which each has one of some texts in the column ``due``."""
    return [{"lead_id": f"L{n}", "created_at": "2024-01-05", "due": days[n % len(days)]} for n in range(11, 61)]


def load(folder, leads, **options):
    return load_company(folder, leads=leads, data={"quarantined_share_limit": 1.0,
                        "known_until": "2024-12-31"}, **options)  # fmt: skip


def feature(loaded, name="lead_own_due", **chosen):
    spec = FeatureSpec.from_tables(loaded.tables, loaded.known_until, **chosen)
    entry = next((entry for entry in catalogue.entries(spec) if entry.name == name), None)
    return open_leads_matrix(loaded.tables, spec, AS_OF).set_index("lead_id")[name], entry


@pytest.mark.parametrize(
    ("day", "ahead"), [("2024-06-20", "2024-07-10"), ("20.06.2024", "10.07.2024"), ("06/20/2024", "07/10/2024"),
                   ("2024-06-20 23:59:59", "2024-07-10 23:59:59")]
)  # fmt: skip
def test_dates_are_days_since_and_until_where_a_person_vouches_for_them(tmp_path, day, ahead):
    leads = written([day, ahead, "2024-06-25" if day[0] == "2" and day[4] == "-" else day])
    loaded = load(tmp_path, leads)
    assert loaded.staged["leads"].attributes["due"] == "TIMESTAMP"
    values, entry = feature(loaded)
    assert entry.unit == "days"
    assert values.notna().any()
    assert values.isna().any()
    assert (values.dropna() > 0).all()
    values, entry = feature(loaded, known_at_creation={"leads.due"})
    assert values.notna().all()
    assert (values < 0).any()
    assert catalogue.sentence(entry, -10.5, True, formatting) == "Due: in 10 days"
    assert catalogue.sentence(entry, 10.5, True, formatting) == "Due: 10 days ago"
    spec = FeatureSpec.from_tables(loaded.tables, loaded.known_until, known_at_creation={"leads.due"})
    assert not any("conversion" in item.name and "due" in item.name for item in catalogue.entries(spec))


def test_a_date_with_a_history_may_lie_ahead_and_is_what_it_was_then(tmp_path):
    changes = [{"table": "leads", "row_id": "L11", "field": "due", "changed_at": "2024-08-01 10:00:00",
                "old_value": "2024-07-10", "new_value": "2025-01-10"}]  # fmt: skip
    loaded = load(tmp_path, written(["2025-01-10", "2024-07-20"]), changes=changes)
    values, _ = feature(loaded)
    assert -12 < values["L11"] < -9
    assert -22 < values["L13"] < -19


def test_few_values_that_are_no_dates_are_left_empty_and_told(tmp_path):
    leads = written(["2024-06-20"])
    leads[3]["due"] = "2024 or later"
    loaded = load(tmp_path, leads)
    assert loaded.staged["leads"].attributes["due"] == "TIMESTAMP"
    assert any("leads.due: 1 of 50 values are no dates" in note for m in loaded.mappings for note in m.raw.notes)


def test_words_and_codes_stay_words(tmp_path):
    loaded = load(tmp_path, written(["Q1 2024", "Q2 2024", "2024-06-20"]))
    assert loaded.staged["leads"].attributes["due"] == "VARCHAR"


def test_numbers_that_a_spreadsheet_shows_as_dates_are_noticed(tmp_path):
    loaded = load(tmp_path, written(["1900-02-14", "1900-01-10", "1900-03-30"]))
    values, entry = feature(loaded)
    assert entry.unit == "number"
    assert sorted(set(values)) == [10, 45, 89]
    assert any("days of 1900" in note for mapping in loaded.mappings for note in mapping.raw.notes)
