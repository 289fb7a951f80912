"""Tables that are not what they were at training: refused in one line, or warned of wherever a forecast is read."""

import json

import pandas as pd
import pytest
from conftest import leadrev, refusal

from pipeline.common.errors import UserError
from pipeline.ingest.load import load_tables
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.scoring.since_training import attribute_names, other_settings, since_training


@pytest.fixture(scope="module")
def champion(company):
    return Registry(company.params).load("champion")


@pytest.fixture
def change(company, champion, tmp_path):
    """Hold the company against its champion after its tables were changed."""

    def held(table, make, **params):
        changed = company.copy(tmp_path / "changed", **params)
        path = changed.folder / f"{table}.parquet"
        make(pd.read_parquet(path)).to_parquet(path)
        version, stored = champion
        loaded = load_tables(changed.params, names=attribute_names(stored))
        return since_training(loaded, stored, version, changed.params)

    return held


def test_tables_as_they_were_are_as_they_were(company, champion):
    found = since_training(load_tables(company.params), champion[1], champion[0], company.params)
    assert (found.refusals, found.lines, found.degraded, found.retyped) == ([], [], [], [])


def test_a_column_that_is_gone_is_named_with_what_it_may_be_called_now(change):
    found = change("leads", lambda leads: leads.rename(columns={"source": "origin_of_lead"}))
    with pytest.raises(UserError, match=r"the column source is gone.*columns: \{source: origin_of_lead\}"):
        found.require_usable()


def test_an_own_column_that_is_gone_or_retyped_is_refused(change, champion):
    own, _ = champion[1].spec.lead_attributes[0]
    with pytest.raises(UserError, match=rf"the column {own} is gone"):
        change("leads", lambda leads: leads.drop(columns=own)).require_usable()
    found = change("leads", lambda leads: leads.assign(**{own: range(len(leads))}))
    with pytest.raises(UserError, match=rf"leads\.{own} is number; at training it was text"):
        found.require_usable()


def test_a_table_that_vanished_is_one_line(company, champion, tmp_path):
    changed = company.copy(tmp_path / "changed")
    content = json.loads(json.dumps(changed.params.model_dump(mode="json", by_alias=True, exclude_none=True)))
    content["data"]["sources"]["events"] = []
    (changed.folder / "params.yaml").write_text(json.dumps(content))
    line = refusal("score", folder=changed.folder)
    assert "data.sources.events: the table is gone since training" in line
    assert not (changed.folder / "scores.parquet").exists()


def test_names_in_another_case_are_the_same_columns(change):
    found = change("leads", lambda leads: leads.rename(columns=str.upper))
    assert (found.refusals, found.degraded) == ([], [])


def test_words_beyond_the_stated_share_are_warned_of(change):
    renamed = {"source": lambda leads: leads["source"].replace({leads["source"].mode()[0]: "New name"})}
    found = change("leads", lambda leads: leads.assign(**renamed))
    assert [(one.table, one.columns) for one in found.degraded] == [("leads", ("source",))]
    assert "'New name'" in found.degraded[0].why
    found = change("leads", lambda leads: leads.assign(**renamed), score={"new_words_share_limit": 1})
    assert not found.degraded
    assert any("'New name'" in line for line in found.lines)


def test_new_words_reach_terminal_manifest_and_flags(company, tmp_path):
    changed = company.copy(tmp_path / "changed")
    leads = pd.read_parquet(changed.folder / "leads.parquet")
    leads.assign(source="web form").to_parquet(changed.folder / "leads.parquet")
    ran = leadrev("score", "--explain", "none", folder=changed.folder)
    assert "Warning: leads.source has 1 new word since training: 'web form'" in ran.out
    manifest = json.loads((changed.folder / "manifest.json").read_text())
    assert manifest["state"] == "degraded"
    assert "'web form'" in manifest["notes"]["unreliable_leads"]
    scores = pd.read_parquet(changed.folder / "scores.parquet")
    assert all("unreliable_leads" in json.loads(flags) for flags in scores["data_quality_flags"])


def test_params_under_which_figures_mean_something_else_are_refused(company, champion):
    version, stored = champion
    other_settings(company.params, stored, version)
    for key, changes in {
        "currency": {"currency": "USD"},
        "fiscal_year_start_month": {"fiscal_year_start_month": 4},
    }.items():
        with pytest.raises(UserError, match=rf"^{key}: the params say"):
            other_settings(company.params.model_copy(update=changes), stored, version)
