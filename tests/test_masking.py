"""Mail addresses and names stay out of what commands print and of what models keep."""

import pandas as pd
import pytest
from conftest import leadrev

from pipeline import masking
from pipeline.errors import UserError


@pytest.mark.parametrize("address", ["alma@costa.example", "a.b+c@x-y.co.uk", "INÊS@PÃO.PT"])
def test_an_address_is_masked_and_the_rest_stays(address):
    for text in ("before {} after", "'{}'", "<{}>", "mailto:{}", "a ({}), b"):
        assert masking.masked(text.format(address)) == text.format("…@…")
    assert masking.masked("at 10:00, row 3 @ home") == "at 10:00, row 3 @ home"


def test_what_a_command_says_of_a_mistake_is_masked(tmp_path, monkeypatch):
    def fails(*_):
        raise UserError("leads.csv row 3: alma@costa.example is no date")

    monkeypatch.setattr("pipeline.params.load_params", fails)
    ran = leadrev("report", folder=tmp_path)
    assert ran.mistakes == ["leadrev: leads.csv row 3: …@… is no date"]


def test_no_person_is_in_the_model_or_the_results(company):
    leads = pd.read_parquet(company.folder / "leads.parquet")
    columns = [name for name in ("email", "name", "phone") if name in leads]
    assert "email" in columns
    personal = {str(value).encode() for name in columns for value in leads[name].dropna().head(400)}
    kept = [
        path
        for path in company.folder.rglob("*")
        if (path.is_file() and "mlartifacts" in str(path)) or "mlruns" in str(path)
    ]
    kept = [path for name in ("mlruns", "mlartifacts") for path in (company.folder / name).rglob("*") if path.is_file()]
    kept += [company.folder / name for name in ("mlflow.db", "scores.csv", "manifest.json")]
    assert len(kept) > 5
    for path in kept:
        content = path.read_bytes()
        found = [value for value in personal if len(value) > 6 and value in content]
        assert not found, path
    for name in ("scores", "attributions", "timeline"):
        table = pd.read_parquet(company.folder / f"{name}.parquet")
        words = {str(value).encode() for column in table.select_dtypes("object") for value in table[column].unique()}
        assert not words & personal, name
