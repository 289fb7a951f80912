"""Two companies that differ only in other owners' leads give one owner the same answers, to the byte."""

import html
import itertools
import json
import re
import uuid
from types import SimpleNamespace
from urllib.parse import urljoin, urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from made_up_scores import (
    made_up_backtest,
    made_up_manifest,
    made_up_names,
    made_up_scores,
    made_up_timeline,
    seal,
    served,
)

from pipeline.common.seals import sealed_json
from pipeline.insights import lead_insights
from pipeline.reporting.lead_names import NAMES
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import pages, score_cache
from pipeline.web.app import create_app
from pipeline.web.tokens import TokenFile, add_token

OWNER = "ana"


def company(others, factor):
    """Scores of 120 leads, of which an owner's are always the same and the others' are scaled, renamed or left out."""
    scores, parts = made_up_scores(120)
    names = made_up_names(scores).to_pandas()
    timeline = made_up_timeline(scores).to_pandas()
    own = (scores["owner_id"] == OWNER).to_numpy()
    keep = own | (np.cumsum(~own) <= others)
    amounts = [name for name in scores if name.startswith(("expected_revenue", "deal_value"))]
    scores.loc[~own, amounts] *= factor
    chances = [name for name in scores if name.startswith("p_")]
    scores.loc[~own, chances] /= 1 + factor
    names.loc[~own, "company_name"] = f"Firm of {factor}"
    parts.loc[~own, parts.columns[2:]] *= factor
    order = np.argsort(-scores.loc[keep, "expected_revenue_90d"].to_numpy(), kind="stable")
    scores = scores[keep].iloc[order].reset_index(drop=True).assign(rank=np.arange(1, keep.sum() + 1))
    insights = pd.DataFrame(dict.fromkeys(lead_insights.SCHEMA.names), index=range(len(scores)))
    insights = insights.assign(
        lead_id=scores["lead_id"], touches_from_us_count=3.0, topics='[{"topic": "pricing", "count": 2}]',
        would_take="[]", changes="[]", won_touches_from_us_p50=factor,
        touches=f"3 touches from us so far; winning took {factor:.0f}",
        like_won=json.dumps([{"lead_id": "W1", "days_to_win": factor, "amount": factor, "did": "3 calls"}]),
    )  # fmt: skip
    manifest = made_up_manifest(scores) | {
        "known_until": f"2026-05-{10 + others % 5:02d}T00:00:00Z",
        "notes": {"few_wins": f"only {others} wins"}, "absent": {"p_win_365d": f"nothing older than {others} days"},
        "totals": {"90d": {"expected": 1e4 * factor, "low": 1e3 * factor, "high": 1e5 * factor}},
        "data_fingerprint": str(factor),
    }  # fmt: skip
    backtest = made_up_backtest()
    backtest["cutoffs"][0]["open_count"] = others
    backtest["cutoffs"][-1]["months"][-1]["actual_revenue"] = 1e6 * factor
    backtest["verdict"]["text"] = f"Forecast {factor} of what came."
    files = {
        "scores": scores, "attributions": parts.set_index("lead_id").loc[scores["lead_id"]].reset_index(),
        "timeline": timeline[timeline["lead_id"].isin(scores["lead_id"])],
    }  # fmt: skip
    names = names[names["lead_id"].isin(scores["lead_id"])]
    return SimpleNamespace(files=files, insights=insights, names=names, manifest=manifest, backtest=backtest)


def site(folder, patch, made, **serve):
    folder.mkdir()
    for name, frame in made.files.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    pq.write_table(
        pa.Table.from_pandas(made.insights, lead_insights.SCHEMA, preserve_index=False), folder / "insights.parquet"
    )
    (folder / "manifest.json").write_text(json.dumps(made.manifest))
    seal(folder)
    (folder / "backtest.json").write_bytes(sealed_json(made.backtest))
    names = pa.Table.from_pandas(made.names, NAMES, preserve_index=False)
    patch.setattr(score_cache, "open_ranking", lambda params: Ranking(folder, names))
    tokens = folder / "tokens.yaml"
    token = add_token(tokens, "Ana", OWNER)
    everybody = add_token(tokens, "Max", None)
    app = create_app(served(folder, **serve), TokenFile(tokens))
    clients = [
        TestClient(app, base_url="https://x", follow_redirects=False, headers={"authorization": f"Bearer {one}"})
        for one in (token, everybody)
    ]
    return SimpleNamespace(owner=clients[0], everybody=clients[1], scores=made.files["scores"])


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("companies")
    with pytest.MonkeyPatch.context() as patch:
        yield [
            site(folder / "small", patch, company(others=20, factor=0.5)),
            site(folder / "large", patch, company(others=200, factor=40.0)),
        ]


def paths(scores):
    own = scores.loc[scores["owner_id"] == OWNER, "lead_id"].tolist()
    assert len(own) > 10
    for sort in (
        "rank",
        "this_quarter",
        "next_quarter",
        "later",
        "next_year",
        "chance",
        "deal_value",
        "soonest",
        "name",
    ):
        yield f"/?sort={sort}"
        yield f"/api/v1/leads?limit=500&sort={sort}"
    yield from ("/leads.csv", "/leads.csv?sort=chance", "/api/v1/summary", "/api/v1/openapi.json")
    for asked in (
        "search=gmbh",
        "search=firm",
        "owner=Ben+Ito",
        "owner=Ana+Costa",
        "grade=A",
        "theme=engagement",
        "x=1",
    ):
        yield from (f"/?{asked}", f"/api/v1/leads?{asked}", f"/leads.csv?{asked}", f"/?{asked}&page=99")
    for lead in own:
        yield from (f"/leads/{lead}", f"/api/v1/leads/{lead}", f"/api/v1/answers?lead_id={lead}")
    yield from (f"/compare?lead={own[0]}&lead={own[1]}", f"/api/v1/compare?a={own[0]}&b={own[-1]}")
    # leads of others, of both companies, of one, and of none; and what is wrong
    for lead in [f"L{n:06d}" for n in range(0, 120, 9) if f"L{n:06d}" not in own] + ["nobody", "%00", "x" * 300]:
        yield from (f"/leads/{lead}", f"/api/v1/leads/{lead}", f"/api/v1/answers?lead_id={lead}")
        yield from (f"/compare?lead={own[0]}&lead={lead}", f"/api/v1/compare?a={lead}&b={own[0]}")
    yield from ("/api/v1/leads?limit=0", "/api/v1/leads?start=99999", "/nothing", "/compare", "/compare/", "/leads")


def answer(client, path, monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr(pages.uuid, "uuid4", lambda: uuid.UUID(int=next(numbers)))
    given = client.get(path)
    return given.status_code, dict(given.headers), given.content


def test_every_answer_to_an_owner_is_the_same_whatever_others_have(both, monkeypatch):
    small, large = both
    assert len(small.scores) != len(large.scores)
    asked = list(paths(small.scores))
    assert asked == list(paths(large.scores)), "the owner's leads are the same, in the same order"
    different = []
    for path in asked:
        if answer(small.owner, path, monkeypatch) != answer(large.owner, path, monkeypatch):
            different.append(path)
    assert not different
    everybody = [answer(one.everybody, "/", monkeypatch) for one in both]
    assert everybody[0] != everybody[1], "the two companies do differ"


def test_ranks_are_among_own_leads(both):
    for one in both:
        leads = one.owner.get("/api/v1/leads?limit=500").json()["leads"]
        assert [lead["rank"] for lead in leads] == list(range(1, len(leads) + 1))
        assert f"of your {len(leads)}" in one.owner.get(f"/leads/{leads[0]['lead_id']}").text


def test_the_company_s_rank_is_shown_where_params_say_so(tmp_path, monkeypatch):
    one = site(tmp_path / "open", monkeypatch, company(others=40, factor=2.0), company_rank=True)
    ranks = one.scores.set_index("lead_id")["rank"]
    leads = one.owner.get("/api/v1/leads?limit=500").json()["leads"]
    assert [lead["rank"] for lead in leads] == [ranks[lead["lead_id"]] for lead in leads]
    assert f"of {len(ranks)}" in one.owner.get(f"/leads/{leads[0]['lead_id']}").text


def test_nothing_that_sums_everybody_s_leads_is_told_to_an_owner(both):
    for one in both:
        told = one.owner.get("/").text + one.owner.get("/api/v1/summary").text
        for words in ("8 times in 10", "How right were we", "only 20 wins", "nothing older", "Forecast"):
            assert words not in told
        lead = one.owner.get("/api/v1/leads?limit=1").json()["leads"][0]["lead_id"]
        page = one.owner.get(f"/leads/{lead}").text
        assert "winning took" not in page
        assert "Like leads that were won" not in page
        assert "3 touches from us so far." in page


def test_everybody_s_figures_are_still_shown_to_who_may_see_all(both):
    page = both[0].everybody.get("/").text
    assert "8 times in 10" in page
    assert "How right were we" in page


def crawled(client, most=600):
    """Follow every link, form and download from the first page on; give each answer by its path."""
    found, waiting = {}, ["/"]
    while waiting and len(found) < most:
        path = waiting.pop(0)
        if path in found:
            continue
        found[path] = given = client.get(path)
        if "text/html" in given.headers.get("content-type", ""):
            for link in re.findall(r'\b(?:href|src|action)="([^"]+)"', given.text):
                whole = urlsplit(urljoin(path, html.unescape(link)))
                if not whole.netloc and not whole.scheme and whole.path:
                    waiting.append(whole.path + (f"?{whole.query}" if whole.query else ""))
    return found


@pytest.fixture(scope="module")
def walks(both):
    return {"everybody": crawled(both[0].everybody), "owner": crawled(both[0].owner)}


@pytest.mark.parametrize("role", ["everybody", "owner"])
def test_a_crawl_meets_no_error_and_never_leaves_the_host(walks, role):
    walk = walks[role]
    assert len(walk) > 25
    wrong = {path: given.status_code for path, given in walk.items() if given.status_code not in (200, 303, 405)}
    wrong.pop("/compare", None)  # a form that asks for two leads, followed without any
    assert not wrong
    for path, given in walk.items():
        assert given.headers["x-content-type-options"] == "nosniff", path
        assert "default-src" in given.headers["content-security-policy"], path
        assert not urlsplit(given.headers.get("location", "/")).netloc, path


def test_a_crawl_as_an_owner_finds_nothing_of_others(both, walks):
    scores = both[0].scores
    others = set(scores.loc[scores["owner_id"] != OWNER, "lead_id"])
    for path, given in walks["owner"].items():
        assert not others & set(re.findall(r"L\d{6}", given.text)), path
    assert others & set(re.findall(r"L\d{6}", " ".join(given.text for given in walks["everybody"].values())))


def test_without_a_token_nothing_that_a_crawl_found_is_shown(both, walks):
    stranger = TestClient(both[0].owner.app, base_url="https://x", follow_redirects=False)
    for path in walks["everybody"]:
        given = stranger.get(path)
        assert given.status_code in (303, 401, 404, 405) or path.startswith(("/login", "/static", "/style", "/app")), (
            path
        )
        assert not re.search(r"L\d{6}", given.text), path
