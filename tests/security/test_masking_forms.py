"""No form of a password is shown."""

import pytest

from pipeline.common.masking import masked, without_password


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ann:s3cret@crm.example/db/t",
        "postgresql://ann:s3cret/s3cret@crm.example/db/t",
        "postgresql://ann:s3cret@s3cret@crm.example/db/t",
        "postgresql://ann:s3cret?s3cret#s3cret@crm.example/db/t",
        "postgresql://ann@crm.example/db/t?password=s3cret&port=1",
        "postgresql://ann@crm.example/db/t?sslpassword=s3cret",
        "postgresql://:s3cret@crm.example/db",
        "http://crm.example/?user=ann&access_token=s3cret",
        "host=crm.example user=ann password=s3cret",
        "host=crm.example user=ann password='s3cret of many words s3cret'",
        "connection failed: PGPASSWORD=s3cret",
        "MLFLOW_TRACKING_TOKEN: s3cret",
        '{"user": "ann", "api_key": "s3cret"}',
        "Authorization: Bearer s3crets3cret-s3cret",
        "http://ann:s3cret@127.0.0.1:5000 and mysql://ann:s3cret@db/x",
    ],
)
def test_a_password_is_masked_in_every_form(text):
    for shown in (without_password(text), masked(f"cannot read {text}: refused")):
        assert "s3cret" not in shown
        assert "***" in shown
    assert "ann" not in text or "ann" in without_password(text)


@pytest.mark.parametrize(
    "text",
    ["leads.csv row 3: soon is no date", "postgresql://ann@crm.example:5432/db/t", "http://127.0.0.1:8000/?page=2"],
)
def test_what_holds_no_password_stays(text):
    assert without_password(text) == text
