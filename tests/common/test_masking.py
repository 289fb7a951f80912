"""Mail addresses and names stay out of what commands print and of what models keep."""

import io
import zipfile

import pandas as pd
import pyarrow.parquet as pq
import pytest
from random_company import random_frames, to_tables

from features import matrix, snapshots
from features.spec import FeatureSpec
from pipeline import cli
from pipeline.common import masking
from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.ingest.quarantine import TooManyQuarantinedError
from pipeline.insights.profile_won_leads import _called


@pytest.mark.parametrize("address", ["alma@costa.example", "a.b+c@x-y.co.uk", "INÊS@PÃO.PT", "alma%40costa.example"])
def test_an_address_is_masked_and_the_rest_stays(address):
    for text in ("before {} after", "'{}'", "<{}>", "mailto:{}", "a ({}), b", "GET /?search={}&page=2"):
        assert masking.masked(text.format(address)) == text.format("•••")
    assert masking.masked("at 10:00, row 3 @ home") == "at 10:00, row 3 @ home"


@pytest.mark.parametrize("mistake", [UserError, ValueError])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_what_a_command_says_of_a_mistake_is_masked(tmp_path, monkeypatch, capsys, mistake, debug):
    def fails(*_):
        try:
            raise KeyError("row of alma@costa.example, +49 30 648543")
        except KeyError as first:
            raise mistake("leads.csv row 3: alma@costa.example is no date") from first

    monkeypatch.setattr("pipeline.config.params.load_params", fails)
    monkeypatch.setattr("sys.argv", ["leadrev", "report", *debug])
    monkeypatch.setattr(cli, "_debug", False)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code == (2 if mistake is UserError else 1)
    assert "leads.csv row 3: ••• is no date" in told.err
    assert ("Traceback" in told.err) == bool(debug)
    assert not [secret for secret in ("alma", "costa", "648543") if secret in told.err + told.out]


def test_a_line_that_slipped_shows_no_name_where_a_date_should_stand(tmp_path):
    rows = [f"L{n},Anna Kaya,+49 30 648543,anna@kaya.example" for n in range(9)]
    (tmp_path / "leads.csv").write_text("lead_id,created_at,phone,email\n" + "\n".join(rows) + "\nL9,2026-01-02,,\n")
    (tmp_path / "deals.csv").write_text("deal_id,lead_id,outcome,closed_at\nD1,L9,Gewonnen Ja,2026-02-01\n")
    (tmp_path / "params.yaml").write_text(
        "company: x\ndata:\n  sources:\n    leads: {from: leads.csv}\n    deals: {from: deals.csv}\n"
    )
    with pytest.raises(TooManyQuarantinedError) as refused:
        load_tables(load_params(tmp_path / "params.yaml"))
    assert "'Aaaa Aaaa'" in str(refused.value)
    assert "row 1)" in str(refused.value)
    assert "Kaya" not in str(refused.value)


def test_words_that_hold_an_address_are_no_features_and_ids_that_are_one_are_not_kept():
    frames = random_frames(2, leads_count=20)
    frames["leads"]["campaign"] = ["anna@kaya.example", "spring fair @ Berlin"] * 10
    frames["events"]["topic"] = "about anna@kaya.example"
    tables = to_tables(frames)
    as_of = pd.Timestamp("2024-01-10").to_pydatetime()
    spec = FeatureSpec.from_tables(tables, as_of)
    built = matrix.feature_matrix(tables, snapshots.open_leads(tables, as_of), spec).to_pandas()
    assert len(built) > 3
    assert set(built["lead_campaign"].dropna()) <= {"spring fair @ Berlin"}
    assert "kaya" not in spec.to_json() + built.to_csv()
    assert _called("L1") == "L1"
    assert "kaya" not in _called("anna@kaya.example")


def contents(path):
    """Everything that a file holds, unpacked: a compressed page would hide what stands in it."""
    content = path.read_bytes()
    yield content
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            yield from (packed.read(name) for name in packed.namelist())
    elif content[:4] == b"PAR1":
        text = io.StringIO()
        pq.read_table(path).to_pandas().to_csv(text)
        yield text.getvalue().encode()


def test_no_person_is_in_the_model_or_the_results(company):
    leads = pd.read_parquet(company.folder / "leads.parquet")
    columns = [name for name in ("email", "name", "phone") if name in leads]
    assert "email" in columns
    personal = {str(value).encode() for name in columns for value in leads[name].dropna().head(400)}
    kept = [path for name in ("mlruns", "mlartifacts") for path in (company.folder / name).rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in kept), "the won leads that a model remembers"
    kept += [company.folder / name for name in ("mlflow.db", "scores.csv", "manifest.json")]
    assert len(kept) > 5
    for path in kept:
        for content in contents(path):
            found = [value for value in personal if len(value) > 6 and value in content]
            assert not found, path
    for name in ("scores", "attributions", "timeline"):
        table = pd.read_parquet(company.folder / f"{name}.parquet")
        words = {str(value).encode() for column in table.select_dtypes("object") for value in table[column].unique()}
        assert not words & personal, name
