from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.config.params import Params, load_params

SMALL = """
company: small
data:
  known_until: 2018-11-14
  sources:
    leads:
      from: leads.csv
    deals: {sql: "select 1", values: {outcome: {won: [Yes, 1], lost: No}}}
"""


def error(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_params(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_params_keep_words_dates_and_numbers_as_the_data_write_them(tmp_path):
    (tmp_path / "p.yaml").write_text(SMALL)
    params = load_params(tmp_path / "p.yaml")
    assert params.data.known_until == "2018-11-14"
    assert params.data.sources.deals[0].values == {"outcome": {"won": ["Yes", "1"], "lost": ["No"]}}
    assert params.folder == tmp_path
    assert params.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("from: leads.csv", "form: leads.csv", ["line 7", "data.sources.leads.form", "'from'"]),
        ("won: [", "wonn: [", ["data.sources.deals.values.outcome.wonn", "'won'", "open"]),
        ("leads:", "leeds:", ["line 6", "data.sources.leeds", "'leads'"]),
        ("company: small", "company: small\nhorizon_days: [30]", ["line 3", "horizon_days", "'horizons_days'"]),
        ("company: small", "company: small\nhorizons_days: [30, x]", ["horizons_days.1", "'x'", "integer"]),
        ("company: small", "company: small\nhorizons_days: [30]", ["primary_horizon_days", "90", "[30]"]),
        ("company: small", "company: small\nmodel: {learning_rate: 3}", ["model.learning_rate", "3", "1"]),
        ("company: small", "company: small\ncompany: other", ["line 3", "stands twice"]),
        ("from: leads.csv", "from: leads.csv\n      sql: select 1", ["data.sources.leads", "exactly one"]),
        ("known_until:", "timezone: Europe/Berln\n  known_until:", ["data.timezone", "'Europe/Berlin'"]),
        ("from: leads.csv", "from: leads.csv\n      columns: {acount_id: a}", ["columns.acount_id", "'account_id'"]),
        ("company: small", "", ["company", "missing"]),
    ],
)
def test_a_mistake_gives_one_line_with_its_key_and_what_is_allowed(tmp_path, old, new, told):
    message = error(tmp_path / "p.yaml", SMALL.replace(old, new, 1))
    assert all(part in message for part in told), message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("a: [", "line 1"),
        ("- a", "line 1"),
        ("a: \tb\n\tc: d", "readable YAML"),
    ],
)
def test_an_unreadable_file_gives_one_line(tmp_path, text, told):
    assert told in error(tmp_path / "p.yaml", text)


def test_a_missing_file_and_a_folder_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="--params"):
        load_params(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="folder"):
        load_params(tmp_path)


@given(st.text(max_size=200))
def test_any_text_is_refused_in_one_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("junk") / "p.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


def test_the_documented_file_holds_every_key_with_its_default():
    path = Path(__file__).parents[2] / "params.yaml"
    shown = yaml.safe_load(path.read_text())
    small = {"company": "demo", "data": {"sources": {"leads": {"from": "a"}, "deals": {"from": "b"}}}}
    defaults = Params.model_validate(small)
    ours = load_params(path)
    for part in ("currency", "seed", "engine", "horizons_days", "primary_horizon_days", "artifacts", "snapshots",
                 "features", "model", "audit", "nightly", "mlflow", "fiscal_year_start_month"):  # fmt: skip
        assert getattr(ours, part) == getattr(defaults, part), part
    assert set(shown) == set(Params.model_fields)
    for section in ("data", "snapshots", "features", "audit", "model", "backtest"):
        assert set(shown[section]) == set(type(getattr(ours, section)).model_fields)
