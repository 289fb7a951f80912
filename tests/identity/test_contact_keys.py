"""One address or number is one key, however people write it."""

import duckdb
import pytest

from pipeline.identity.contact_keys import calling_code_sql, email_key_sql, national_number_sql, phone_key_sql


def said(sql, text):
    return duckdb.execute(f"SELECT {sql('x')} FROM (SELECT ?::VARCHAR AS x)", [text]).fetchall()[0][0]  # noqa: S608


@pytest.mark.parametrize("written", ["+49 30 1234567", "030/1234567", "0049 (30) 123 45 67", "+49 (0)30 1234567 ext 5"])
def test_a_number_is_the_same_from_within_the_country_and_from_abroad(written):
    assert said(national_number_sql, written) == "301234567"
    assert said(phone_key_sql, written) == "301234567"
    assert said(calling_code_sql, written) in ("49", None)


def test_a_calling_code_without_its_plus_makes_no_other_number():
    keys = {said(phone_key_sql, text) for text in ("+1 (415) 555-0100", "1 415 555 0100", "415-555-0100")}
    assert keys == {"155550100"}


def test_too_few_digits_are_no_key():
    assert said(phone_key_sql, "12-34") is None
    assert said(phone_key_sql, None) is None


def test_an_address_is_read_out_of_its_brackets():
    assert said(email_key_sql, "Ann <Ann@X.org>") == said(email_key_sql, "ann@x.org") == "ann@x.org"
