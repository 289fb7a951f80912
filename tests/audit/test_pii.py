import pandas as pd
import pytest

from pipeline.audit.pii import as_dates, personal_data
from pipeline.common.masking import masked

PEOPLE = pd.Series(["Ana Sousa", "João Reis", "Müller, Jens", "Zoë O'Hara"] * 8)


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("contact", ["ask anna@firm.example", "no", "none"], "mail addresses"),
        ("ruf", ["+49 30 648543", "030/648543", "(030) 64 85 43"], "phone numbers"),
        ("mobile_no", [491701234567.0, 491709876543.0], "phone numbers"),
        ("contactPerson", PEOPLE, "names of people"),
        ("Geburtsdatum", ["1980-02-29", "1971-11-03"], "dates of birth"),
        ("date_of_birth", pd.to_datetime(["1980-02-29", "1971-11-03"]), "dates of birth"),
        ("Street", ["Rua Augusta 12", "Hauptstr. 3"], "postal addresses"),
        ("product_name", PEOPLE, None),
        ("city", ["Porto", "New York", "Lyon"], None),
        ("signed_on", ["2024-02-29", "2023-11-03"], None),
        ("employees", [12.0, 1_500_000.0], None),
        ("postal_code", ["01067", "80331"], None),
    ],
)
def test_personal_data_are_told_by_name_and_content(name, values, what):
    assert personal_data(name, pd.Series(values)) == what


def test_nothing_personal_is_shown():
    text = masked("mail Anna.B@firm.example, ring +49 170 1234567 or 030 / 648 543 on 2024-02-29, row 0012345")
    assert "@" not in text
    assert "1234567" not in text
    assert "648" not in text
    assert "2024-02-29" in text
    assert "0012345" in text


def test_texts_become_dates_only_if_nearly_all_are():
    assert as_dates(pd.Series(["2024-02-29", None, "2024-03-01 10:00"])).dt.day.tolist()[0] == 29
    assert as_dates(pd.Series(["2024-02-29", "soon", "later"])).dtype == object
    assert as_dates(pd.Series([1.0, 2.0])).tolist() == [1.0, 2.0]
