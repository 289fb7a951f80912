"""The funnel of a company whose way to revenue is known: money by kind, campaigns, deals of several contacts."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from funnel_sums import assert_sums_hold

from pipeline.archive.forecasts import Forecasts
from pipeline.audit.reconciliation import reconcile
from pipeline.config.params import load_params
from pipeline.config.stage_rules import Created, Score
from pipeline.funnel.stage_dates import StageDates, episodes_table
from pipeline.ingest.load import load_tables
from pipeline.revenue.funnel import funnel
from pipeline.simulation.revenue_company import simulate_revenue


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    simulate_revenue(folder, leads=2500, seed=5)
    company = load_tables(load_params(folder / "params.yaml"))
    content = funnel(company, company.known_until, by="campaign", cohort="quarter", scores=folder)
    return company, content, json.loads((folder / "truth.json").read_text())


def test_every_cent_stands_in_one_line(known):
    company, content, truth = known
    told, won = content["revenue"], truth["money"]["won"]
    assert reconcile(company).is_exact
    assert told["total"] == pytest.approx(sum(won.values()), abs=0.001)
    assert told["new_business"] == pytest.approx(won["new_business"], abs=0.001)
    assert told["existing_without_lead"] == pytest.approx(won["renewal"] + won["expansion"], abs=0.001)
    assert (told["later_deals"], told["new_without_lead"], told["existing_business"]) == (0, 0, 0)
    sums = company.counts["deal_lines"]["sums"]
    assert sums["deals"] == sums["equal"] > 300
    assert_sums_hold(content)


def test_a_deal_of_several_leads_is_won_once_and_the_others_joined(known):
    _, content, truth = known
    rows = {row["stage"]: row for row in content["rows"] if (row["cohort"], row["segment"]) == ("all", "all")}
    joined = sum(row["joined"] for row in rows.values())
    assert 0 < joined <= truth["money"]["joined_leads"]  # some deals are opened after the data end
    assert rows["won"]["entered"] == truth["money"]["won_deals"]["new_business"]


def test_the_prize_draw_leaks_and_the_quiet_winner_does_not(known):
    _, content, truth = known
    of_campaigns = {leak["segment"]["value"] for leak in content["leaks"] if leak["segment"]["by"] == "campaign"}
    assert truth["prize_draw"] in of_campaigns
    assert truth["quiet_winner"] not in of_campaigns
    for leak in content["leaks"]:
        assert leak["chance"] < leak["average"]
        assert leak["revenue"]["low"] <= leak["revenue"]["value"] <= leak["revenue"]["high"]
    per_lead = {
        row["segment"]["value"]: row["revenue_won"]["value"]
        for row in content["rows"]
        if row["cohort"] == "all" and row["segment"] != "all" and row["stage"] == "inquiry"
    }
    assert per_lead[truth["prize_draw"]] == min(per_lead.values())


def test_a_grade_of_the_archive_dates_a_stage(known):
    company, _, _ = known
    archive = Forecasts(company.params.archive_folder)
    for day, grades in ((10, "BC"), (12, "AC"), (14, "AB")):
        moment = company.known_until.replace(day=day)
        archive.append(moment.date(), {"scores": pa.table({
            "lead_id": ["L002400", "L002401"], "as_of": pa.array([moment] * 2, pa.timestamp("us")),
            "grade": list(grades),
        })}, {})  # fmt: skip
    as_of = company.known_until.replace(day=13)
    dates = StageDates(company, episodes_table(company.tables, as_of, 90), as_of)
    dates.date("came", Created())
    found = dates.date("hot", Score(("A",))).to_pandas()
    assert found[["lead_id", "at"]].values.tolist() == [["L002400", company.known_until.replace(day=12)]]
    both = dates.date("warm", Score(("A", "B"))).to_pandas()
    assert both.set_index("lead_id")["at"].dt.day.to_dict() == {"L002400": 10}
