"""The report lists every lead, adds up, and says what a filter hides."""

import itertools
import json
import re
from html import unescape
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from html_checks import assert_alone
from made_up_scores import NASTY_NAME, THEMES, made_up_backtest, made_up_scores, seal, write_scores

from pipeline.common import formatting
from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.reporting import html as pages
from pipeline.reporting import lead_details, sales_report, waterfall
from pipeline.reporting import ranked_leads as rows
from pipeline.reporting.lead_filters import Filters
from pipeline.reporting.ranked_leads import Ranking, open_ranking


def opened(tmp_path, rows=60, money=True, seed=0):
    return Ranking(tmp_path, write_scores(tmp_path, rows, seed, money), "Europe/Berlin")


def content(tmp_path, ranking=None, backtest=None, *limit):
    return sales_report.report_content(ranking or opened(tmp_path), backtest, lead_details.Details(tmp_path), *limit)


def packed(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


@pytest.mark.parametrize("money", [True, False])
def test_report_stands_alone_and_lists_every_lead(tmp_path, money):
    ranking = opened(tmp_path, money=money)
    html = pages.render_report(content(tmp_path, ranking, made_up_backtest(money)))
    assert_alone(html)
    assert NASTY_NAME not in html
    data = packed(html)
    assert data["leads"]["id"] == made_up_scores(60, 0, money)[0].lead_id.tolist()
    assert data["money"] == money
    assert "15 May 2026" in html
    assert "model version 3" in html


def test_script_is_the_only_one_that_the_policy_allows(tmp_path):
    html = pages.render_report(content(tmp_path))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert len(scripts) == 1
    allowed = re.search(r"script-src ([^;\"]+)", unescape(html))[1]
    assert allowed == pages.script_hash(scripts[0])
    assert "leadrev backtest" in html, "no backtest yet: say how to get one"


def test_same_scores_same_bytes(tmp_path):
    first, second = (pages.render_report(content(tmp_path / name, backtest=made_up_backtest())) for name in "ab")
    assert first == second


@pytest.mark.parametrize(("rows", "listed"), [(60, 60), (60, 25), (300, 7)])
def test_listed_and_unlisted_leads_together_are_all(tmp_path, rows, listed):
    ranking = opened(tmp_path, rows)
    data = content(tmp_path, ranking, None, listed)["data"]
    rest, leads = data["rest"], data["leads"]
    assert len(leads["id"]) + sum(rest["leads"]) == rows
    for name in ("revenue", "this_quarter", "next_quarter", "later"):
        together = sum(leads[name]) + sum(rest[name])
        assert together == round(getattr(ranking.totals, name) * 100)
    for facet, found in ranking.choices.items():
        for place, (value, count) in enumerate(found):
            there = leads["facets"][facet].count(place)
            there += sum(n for n, v in zip(rest["leads"], rest["facets"][facet], strict=True) if v == place)
            assert there == count, (facet, value)


def test_rare_values_of_a_facet_become_one_choice(tmp_path, monkeypatch):
    monkeypatch.setattr(sales_report, "FACET_VALUES", 2)
    data = content(tmp_path, None, None, 20)["data"]
    assert len(data["facets"]["source"]["values"]) == 3
    assert data["facets"]["source"]["values"][-1] == sales_report.ALL_OTHERS
    assert max(data["leads"]["facets"]["source"]) == 2


def test_reasons_stop_where_the_file_would_grow_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(sales_report, "STORIES_BYTES", 4_000)
    made = content(tmp_path)
    explained = made["data"]["explained"]
    assert 0 < explained < 60
    stories = made["data"]["leads"]["stories"]
    assert all(stories[:explained])
    assert not any(stories[explained:])


def test_leads_at_the_top_have_their_curve_and_what_happened_until_the_file_would_grow_too_large(tmp_path, monkeypatch):
    made = content(tmp_path)
    assert made["data"]["drawn"] == len(made["more"]) == 60
    html = pages.render_report(made)
    assert_alone(html)
    drawn = re.findall(r"<template id=.more-\d+.>(.*?)</template>", html, re.S)
    for lead, said in zip(opened(tmp_path).page(Filters(), limit=60), drawn, strict=True):
        assert said.count('<polyline class="drawn"') == said.count('<polyline class="ideal"') == 1
        days = lead_details.Details(tmp_path).days(opened(tmp_path), lead) if lead["rank"] < 9 else []
        assert all(formatting.day(day.day) in said for day in days)
    monkeypatch.setattr(sales_report, "DRAWN_BYTES", 20_000)
    few = content(tmp_path)["more"]
    assert 0 < len(few) < 20
    assert sum(len(one.encode()) for one in few) <= 20_000


@pytest.mark.parametrize("money", [True, False])
def test_every_story_adds_up_as_printed(tmp_path, money):
    for lead in opened(tmp_path, 200, money).page(Filters(), limit=200):
        told = waterfall.explain_lead(lead)
        assert told.unit == ("money" if money else "points")
        steps = [reason.weight for reason in (*told.reasons_for, *told.reasons_against)]
        assert told.typical + sum(steps) + told.other == pytest.approx(told.total, abs=1e-6)
        shown = lead["revenue"] if money else 100 * lead["p_win_primary"]
        assert told.total == round(shown, told.decimals)


def test_filter_shows_and_hides_all_to_the_cent(tmp_path):
    ranking = opened(tmp_path, 300)
    for facet, values in ranking.choices.items():
        parts = [ranking.totals_of(Filters(values={facet: value})) for value, _ in values]
        for name in ("leads", "revenue", "this_quarter", "next_quarter", "later", "wins"):
            whole = getattr(ranking.totals, name)
            assert sum(getattr(part, name) for part in parts) == pytest.approx(whole, abs=1e-5)
            hidden = getattr(ranking.totals - parts[0], name)
            assert hidden + getattr(parts[0], name) == pytest.approx(whole, abs=1e-6)


KEYS_OF_SORTS = {
    "rank": lambda lead: 0,
    "this_quarter": lambda lead: -lead["expected_revenue_this_quarter"],
    "next_year": lambda lead: -lead["expected_revenue_next_quarter"] - lead["expected_revenue_later"],
    "chance": lambda lead: -lead["p_win_primary"],
    "soonest": lambda lead: lead["days_to_win_p50"],
    "name": lambda lead: (lead["company_name"] or lead["name"] or lead["lead_id"]).lower(),
}


@pytest.mark.parametrize("sort", KEYS_OF_SORTS)
@pytest.mark.parametrize("filters", [Filters(), Filters("co"), Filters(values={"source": "web"}), Filters("nobody")])
def test_pages_of_any_order_and_filter_are_all_of_it_in_that_order(tmp_path, monkeypatch, sort, filters):
    ranking = opened(tmp_path, 230)
    every = ranking.page(Filters(), limit=230)
    passing = {lead["lead_id"] for lead in ranking.page(filters, limit=230)}
    expected = [lead for lead in every if lead["lead_id"] in passing]
    expected.sort(key=lambda lead: (KEYS_OF_SORTS[sort](lead), lead["rank"]))
    monkeypatch.setattr(rows, "PLACES_AT_ONCE", 17)
    assert len(passing) == ranking.totals_of(filters).leads
    paged = [lead["lead_id"] for start in range(0, 240, 10) for lead in ranking.page(filters, sort, start, 10)]
    assert paged == [lead["lead_id"] for lead in expected]


def test_filter_without_any_lead_hides_everything(tmp_path):
    ranking = opened(tmp_path)
    none = ranking.totals_of(Filters("no such company"))
    assert (none.leads, none.revenue) == (0, 0.0)
    assert ranking.totals - none == ranking.totals


def test_no_open_lead_is_said(tmp_path):
    ranking = opened(tmp_path, 0)
    html = pages.render_report(content(tmp_path, ranking))
    assert "No lead was open then" in html
    assert_alone(html)


def test_reasons_absent_are_said_to_be(tmp_path):
    names = write_scores(tmp_path, 3)
    scores = pd.read_parquet(tmp_path / "scores.parquet").assign(reasons_positive="[]", reasons_negative="[]")
    scores.to_parquet(tmp_path / "scores.parquet")
    (tmp_path / "attributions.parquet").unlink()
    seal(tmp_path)
    html = pages.render_report(content(tmp_path, Ranking(tmp_path, names)))
    assert "--explain all" in html


def test_short_history_leaves_the_long_horizon_out(tmp_path):
    names = write_scores(tmp_path, 10)
    scores = pd.read_parquet(tmp_path / "scores.parquet").assign(p_win_365d=None, expected_revenue_365d=None)
    scores.to_parquet(tmp_path / "scores.parquet")
    seal(tmp_path)
    ranking = Ranking(tmp_path, names)
    assert ranking.longest_days == 180
    later = scores.expected_revenue_180d - scores.expected_revenue_this_quarter - scores.expected_revenue_next_quarter
    assert ranking.totals.later == pytest.approx(later.clip(lower=0).sum(), abs=0.1)


@pytest.mark.parametrize("absent", ["scores.parquet", "manifest.json"])
def test_unfinished_scores_say_to_run_score(tmp_path, absent):
    write_scores(tmp_path, 3)
    (tmp_path / absent).unlink()
    with pytest.raises(UserError, match="leadrev score"):
        open_ranking(SimpleNamespace(artifacts_folder=tmp_path))


def test_report_of_a_company_on_disk_shows_its_own_names(tmp_path):
    names = write_scores(tmp_path / "artifacts", 12).to_pandas().head(10)
    leads = names[["lead_id", "name", "company_name", "source"]].assign(created_at="2026-04-01")
    leads.to_csv(tmp_path / "leads.csv", index=False)
    pd.DataFrame(
        {"deal_id": ["D1"], "lead_id": ["L000001"], "outcome": ["won"], "closed_at": ["2026-05-01"], "amount": [10]}
    ).to_csv(tmp_path / "deals.csv", index=False)
    (tmp_path / "params.yaml").write_text(
        "company: Nimbus\ndata:\n  sources:\n    leads: {from: leads.csv}\n    deals: {from: deals.csv}\n"
    )
    written = sales_report.report(load_params(tmp_path / "params.yaml"), tmp_path / "out")
    assert written == tmp_path / "out" / "report.html"
    html = written.read_text()
    assert_alone(html)
    data = packed(html)
    by_id = dict(zip(data["leads"]["id"], data["leads"]["company"], strict=True))
    assert all(by_id[row.lead_id] == row.company_name for row in names.itertuples())
    assert len(by_id) == 12, "a lead without a name is listed all the same"


@pytest.mark.parametrize("money", [True, False])
def test_themes_lead_from_the_typical_lead_to_this_one_as_printed(tmp_path, money):
    ranking = opened(tmp_path, 120, money)
    found = lead_details.Details(tmp_path)
    for lead in ranking.page(Filters(), limit=120):
        told = waterfall.explain_lead(lead)
        steps = waterfall.steps(told, found.themes(ranking, lead), ranking.themes)
        assert told.typical + sum(step.weight for step in steps) == pytest.approx(told.total, abs=1e-6)
        assert {step.theme for step in steps} == set(THEMES.values())
        reasons = [reason for step in steps for reason in step.reasons]
        assert sorted(reasons, key=str) == sorted((*told.reasons_for, *told.reasons_against), key=str)


def test_the_curve_holds_every_chance_that_is_shown_and_never_falls(tmp_path):
    ranking = opened(tmp_path, 120)
    for lead in ranking.page(Filters(), limit=120):
        points = lead_details.curve(ranking, lead)
        assert points[0] == (0.0, 0.0)
        assert all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(points))
        shown = dict(points)
        for days in (30, 90, 180, 365):
            assert shown[days] >= lead[f"p_win_{days}d"]


def test_the_leads_for_now_and_for_later_are_others(tmp_path):
    ranking = opened(tmp_path, 120)
    both = sales_report.now_and_later(ranking)
    ids = [lead["lead_id"] for leads in both.values() for lead in leads]
    assert len(ids) == len(set(ids)) == 2 * sales_report.BEST_ROWS
    assert sales_report.now_and_later(opened(tmp_path / "points", 20, money=False)) == {"now": [], "later": []}


@pytest.mark.parametrize("group_rows", [1, 7, 1000])
def test_a_lead_is_found_wherever_its_rows_stand(tmp_path, group_rows):
    table = pa.table({"lead_id": [f"L{n // 2:03d}" for n in range(60)], "n": list(range(60))})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=group_rows)
    rows = lead_details.LeadRows(tmp_path / "rows.parquet")
    for place in (None, 0, 59, 1000):
        assert [row["n"] for row in rows.of("L013", place)] == [26, 27] or (group_rows == 1 and place is not None)
    assert rows.of("L999") == []
    assert lead_details.LeadRows(tmp_path / "absent.parquet").of("L013") == []
