"""Contents to offer: the one that is known to work, to those whom its topic concerns, and none that was seen."""

import json

import pandas as pd
import pytest

from features.spec import FeatureSpec
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.insights.content_offers import _interest, _rates, _views, content_offers
from pipeline.insights.touches_needed import touch_histories
from pipeline.simulation.revenue_company import simulate_revenue


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contents")
    simulate_revenue(folder, leads=16_000, seed=2)
    loaded = load_tables(load_params(folder / "params.yaml"))
    spec = FeatureSpec.from_tables(loaded.tables, loaded.known_until)
    histories = touch_histories(loaded.tables, spec, loaded.known_until)
    return loaded, histories, json.loads((folder / "truth.json").read_text())["contents"]["works"]


def test_the_content_that_works_has_the_best_rate(known):
    loaded, histories, works = known
    contents, end = loaded.tables.contents.to_pandas(), loaded.known_until
    rates = _rates(contents, _views(loaded.tables, end), _interest(loaded.tables, end), histories)
    assert rates.idxmax() == works


def test_offered_is_of_the_leads_topics_not_seen_and_to_nobody_who_opted_out(known):
    loaded, histories, works = known
    views = _views(loaded.tables, loaded.known_until)
    leads = loaded.tables.leads.lead_id.to_pandas().head(400)
    topics = pd.Series('[{"topic": "roi"}, {"topic": "integration"}]', index=pd.Index(leads))
    facts = pd.DataFrame({"no_contact": False, "no_email": False}, index=pd.Index(leads))
    facts.iloc[:20] = True
    found = content_offers(loaded.tables, loaded.known_until, topics, facts, histories)
    assert set(found["content_id"]) == {works, "T3"}
    assert not set(found.index) & set(facts.index[:20])
    offered = set(zip(found.index, found["content_id"], strict=True))
    assert not offered & set(zip(views["lead_id"], views["content_id"], strict=True))
    assert (
        found.loc[~found.index.isin(views.loc[views["content_id"] == works, "lead_id"]), "content_id"] == works
    ).all()
    assert found["content_text"].iloc[0] == "Send “All about integration” (on integration)"
