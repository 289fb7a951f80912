"""The whole job on a small company: what the contract promises of scores, whatever happens around them."""

import json
import os
import random
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import TABLES, leadrev

from pipeline.common.atomic_write import sha256_of
from pipeline.model_registry.mlflow_registry import Registry

HORIZONS = ("30d", "90d", "180d", "365d", "ever")
COLUMNS = [
    "lead_id", "episode", "as_of", "model_version", "account_id", "owner_id", "kind", "currency", "rank", "score",
    "grade", *(f"p_win_{horizon}" for horizon in HORIZONS), "p_lost_ever", "p_win_this_quarter", "days_to_win_p10",
    "days_to_win_p50", "days_to_win_p90", "days_to_win_mean", "deal_value", "deal_value_p10", "deal_value_p90",
    *(f"expected_revenue_{horizon}" for horizon in HORIZONS), "expected_revenue_this_quarter",
    "expected_revenue_next_quarter", "reasons_positive", "reasons_negative", "data_quality_flags",
]  # fmt: skip
FORECAST = COLUMNS[COLUMNS.index("p_win_30d") : COLUMNS.index("reasons_positive")]
RESULT = ("scores.parquet", "scores.csv", "attributions.parquet", "attributions_points.parquet")
RESULT += ("attributions_days.parquet", "identity.parquet", "insights.parquet", "timeline.parquet", "manifest.json")


def read_scores(folder):
    return pd.read_parquet(folder / "scores.parquet")


def hashes(folder):
    return {name: sha256_of(folder / name) for name in RESULT}


def is_whole(folder):
    """Whether the manifest is there and every file is as it says."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return False
    files = json.loads(manifest.read_text())["files"]
    return all(sha256_of(folder / name) == said["sha256"] for name, said in files.items())


@pytest.fixture(scope="module")
def scores(company):
    return read_scores(company.folder)


@pytest.fixture(scope="module")
def manifest(company):
    return json.loads((company.folder / "manifest.json").read_text())


class TestContract:
    def test_every_column_in_the_order_of_the_contract(self, scores):
        assert list(scores.columns) == COLUMNS

    def test_one_row_for_each_lead_that_is_open(self, company, scores):
        leads = pd.read_parquet(company.folder / "leads.parquet")
        truth = pd.read_parquet(company.folder / "truth.parquet")
        known_until = pd.Timestamp(company.params.data.known_until, tz="Europe/Berlin")
        still_open = truth.loc[truth["outcome"] == "open", "lead_id"]
        created = leads.set_index("lead_id")["created_at"]
        assert sorted(scores["lead_id"]) == sorted(still_open[(created[still_open] <= known_until).to_numpy()])
        assert scores["as_of"].eq(known_until.tz_convert("UTC").tz_localize(None)).all()

    def test_rank_follows_expected_revenue_and_ties_follow_the_id(self, scores):
        assert scores["rank"].tolist() == list(range(1, len(scores) + 1))
        by_hand = scores.sort_values(["expected_revenue_90d", "lead_id"], ascending=[False, True])
        assert by_hand["rank"].is_monotonic_increasing

    def test_score_and_grade_keep_their_ranges_and_fall_with_rank(self, scores):
        assert scores["score"].between(1, 99).all()
        assert scores["score"].is_monotonic_decreasing
        assert set(scores["grade"]) <= set("ABCD")
        assert scores["grade"].is_monotonic_increasing

    def test_chances_days_and_money_are_of_one_piece(self, scores):
        chances = scores[[f"p_win_{horizon}" for horizon in HORIZONS]].to_numpy()
        revenue = scores[[f"expected_revenue_{horizon}" for horizon in HORIZONS]].to_numpy()
        for monotone_increasing in (chances, revenue):
            assert (monotone_increasing >= 0).all()
            assert (np.diff(monotone_increasing, axis=1) >= -1e-12).all()
        assert (scores["p_win_ever"] + scores["p_lost_ever"] <= 1 + 1e-12).all()
        assert (np.diff(scores[["days_to_win_p10", "days_to_win_p50", "days_to_win_p90"]], axis=1) >= 0).all()
        assert (np.diff(scores[["deal_value_p10", "deal_value_p90"]], axis=1) > 0).all()
        worth = scores["expected_revenue_ever"] / scores["p_win_ever"]
        np.testing.assert_allclose(scores["deal_value"], worth, rtol=1e-9)

    @pytest.mark.parametrize(
        ("suffix", "base", "shown", "scale"),
        [
            ("", "base_money", "expected_revenue_90d", 1),
            ("_points", "base_points", "p_win_90d", 100),
            ("_days", "base_days", "days_to_win_mean", 1),
        ],
    )
    def test_attributions_add_up_to_the_forecast(self, company, scores, manifest, suffix, base, shown, scale):
        parts = pd.read_parquet(company.folder / f"attributions{suffix}.parquet")
        assert list(parts.columns[:2]) == ["lead_id", base]
        assert parts["lead_id"].tolist() == scores["lead_id"].tolist()
        assert parts[base].eq(manifest[base]).all()
        np.testing.assert_allclose(parts.iloc[:, 1:].sum(axis=1), scale * scores[shown], rtol=1e-6)

    def test_reasons_are_at_most_four_with_the_keys_of_the_contract(self, scores):
        for side, sign in (("reasons_positive", 1), ("reasons_negative", -1)):
            for text in scores[side]:
                listed = json.loads(text)
                assert len(listed) <= 4
                for reason in listed:
                    assert list(reason) == ["code", "text", "feature", "value", "money", "points"]
                    assert reason["text"]
                    assert sign * reason["money"] >= 0
                assert [abs(r["money"]) for r in listed] == sorted((abs(r["money"]) for r in listed), reverse=True)
            assert "-0.0," not in "".join(scores[side])
            assert "-0.0}" not in "".join(scores[side])
        assert scores["reasons_positive"].ne("[]").any()

    def test_the_csv_holds_what_the_parquet_holds(self, company):
        table = pq.read_table(company.folder / "scores.parquet")
        options = pa.csv.ConvertOptions(
            column_types=table.schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        text = pa.csv.read_csv(company.folder / "scores.csv", convert_options=options)
        assert text.equals(table)

    def test_the_manifest_says_what_was_written(self, company, scores, manifest):
        assert is_whole(company.folder)
        assert set(manifest["files"]) == set(RESULT) - {"manifest.json"}
        assert manifest["rows"] == len(scores)
        assert manifest["absent"] == {}
        for name, total in manifest["totals"].items():
            assert total["expected"] == pytest.approx(scores[f"expected_revenue_{name}"].sum())
            assert total["low"] < total["expected"] < total["high"]
        assert {"this_quarter", "90d"} <= set(manifest["totals"])

    def test_nothing_but_progress_on_standard_error(self, company):
        for command in ("train", "promote", "score", "features"):
            assert (company.folder / f"{command}.err").read_text() == "", command


class TestRepeated:
    def test_another_process_and_folder_write_the_same_bytes(self, company, tmp_path):
        command = [sys.executable, "-m", "pipeline.cli", "score", "-p", company.params_file, "--out", tmp_path]
        env = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3", "TZ": "Asia/Tokyo"}
        ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert hashes(tmp_path) == hashes(company.folder)

    def test_the_order_of_the_rows_in_the_sources_does_not_matter(self, company, tmp_path):
        shuffled = company.copy(tmp_path)
        for table in TABLES:
            rows = pd.read_parquet(tmp_path / f"{table}.parquet").sample(frac=1, random_state=3)
            rows.to_parquet(tmp_path / f"{table}.parquet", index=False)
        shuffled.run("score")
        assert hashes(tmp_path) == hashes(company.folder)
        assert trained_state(shuffled) == state_of(Registry(company.params).load("champion")[1])


def trained_state(company, as_of=None):
    """The model that training on a company gives, as bytes."""
    from pipeline.ingest.as_of import parse_as_of
    from pipeline.ingest.load import load_tables
    from pipeline.training.fit import learn

    loaded = load_tables(company.params)
    instant = parse_as_of(as_of, company.params) if as_of else loaded.known_until
    return state_of(learn(loaded, company.params, instant).stored)


def state_of(stored):
    return {**stored.forecaster.to_dict(), "spec": stored.spec.to_json(), "excluded": stored.facts.excluded}


def with_history(folder):
    """Say when company facts came to hold and when events were recorded, as a table that goes on will."""
    accounts, events = (pd.read_parquet(folder / f"{name}.parquet") for name in ("accounts", "events"))
    accounts.assign(valid_from=pd.Timestamp("2020-01-01")).to_parquet(folder / "accounts.parquet", index=False)
    events.assign(recorded_at=events["occurred_at"]).to_parquet(folder / "events.parquet", index=False)


def go_on(folder, as_of):
    """Let a company go on after `as_of`: new leads, deals, events and facts, and what was open is won and lost."""
    after = pd.Timestamp(as_of, tz="Europe/Berlin").tz_convert("UTC")
    leads, deals, accounts, events = (pd.read_parquet(folder / f"{name}.parquet") for name in TABLES)
    rng = np.random.default_rng(5)

    def soon(rows, column):
        days = pd.to_timedelta(rng.uniform(0.01, 60, len(rows)), unit="D").floor("s")
        return pd.Series(after + days, index=rows.index).astype(rows[column].dtype)

    newer = leads.sample(300, random_state=1)
    newer = newer.assign(lead_id="N" + newer["lead_id"], created_at=soon(newer, "created_at"), source="a new source")
    newer = newer.assign(status="open", closed_at=pd.NaT)
    still_open = leads[leads["status"] == "open"]
    lost = still_open.sample(frac=0.4, random_state=2)
    leads.loc[lost.index, "closed_at"] = soon(lost, "closed_at")
    leads.loc[lost.index, "status"] = "lost"
    won = still_open.drop(lost.index)
    sales = deals.sample(len(won), replace=True, random_state=3).reset_index(drop=True)
    sales = sales.assign(deal_id="N" + won["lead_id"].to_numpy(), lead_id=won["lead_id"].to_numpy(), amount=1e6)
    sales = sales.assign(opened_at=soon(sales, "opened_at"), outcome=np.where(sales.index < 20, "who knows", "won"))
    sales["closed_at"] = (sales["opened_at"] + timedelta(days=9)).astype(deals["closed_at"].dtype)
    ends = deals[deals["outcome"] == "open"]
    deals.loc[ends.index, "closed_at"] = soon(ends, "closed_at")
    deals.loc[ends.index, "outcome"] = rng.choice(["won", "lost"], len(ends))
    deals.loc[ends.index, "amount"] = 5e5
    facts = accounts.assign(employees=9e5, industry="to come", valid_from=(after + timedelta(days=1)).tz_localize(None))
    more = events.sample(3000, random_state=4)
    more = more.assign(event_id="N" + more["event_id"], kind="a new kind", occurred_at=soon(more, "occurred_at"))
    more = more.assign(recorded_at=more["occurred_at"])
    late = events.sample(2000, random_state=6)
    late = late.assign(event_id="R" + late["event_id"], recorded_at=soon(late, "occurred_at"))
    for name, rows in (
        ("leads", [leads, newer]),
        ("deals", [deals, sales]),
        ("accounts", [accounts, facts]),
        ("events", [events, more, late]),
    ):
        pd.concat(rows, ignore_index=True).to_parquet(folder / f"{name}.parquet", index=False)


def test_what_comes_after_as_of_changes_neither_score_nor_model(company, tmp_path):
    as_of = "2026-05-15"
    before = company.copy(tmp_path / "before")
    with_history(before.folder)
    data = before.params.model_dump(mode="json", by_alias=True, exclude_none=True)["data"]
    after = before.copy(tmp_path / "after", data=data | {"known_until": "2026-08-30"})
    go_on(after.folder, as_of)
    for one in (before, after):
        one.run("score", "--as-of", as_of, "--explain", "none")
    then, now = read_scores(before.folder), read_scores(after.folder)
    pd.testing.assert_frame_equal(
        then[["lead_id", "rank", *FORECAST]], now[["lead_id", "rank", *FORECAST]], check_exact=True
    )
    assert trained_state(before, as_of) == trained_state(after, as_of)


class TestKilled:
    def test_killed_at_any_step_of_writing_the_result_is_whole_or_none(self, company, tmp_path):
        """Each write, each move into place, and the moment before the seal, in a process forked for each."""
        code = f"""
import json, os, signal, sys
from pathlib import Path
from pipeline.commands import score
from pipeline.common import atomic_write
from pipeline.config.params import load_params
from pipeline.ingest import load
from pipeline.scoring import artifacts, forecast
import pyarrow.parquet

params, out = load_params({str(company.params_file)!r}), Path({str(tmp_path)!r})
kept = {{}}
def once(name, make):
    def made(*given, **named):
        if name not in kept:
            kept[name] = make(*given, **named)
        return kept[name]
    return made
load.load_tables = once("tables", load.load_tables)
artifacts.forecast_leads = once("scores", artifacts.forecast_leads)
artifacts.day_moves = once("moves", artifacts.day_moves)
honest_blocks = forecast.explained_blocks
artifacts.prepare_insights = once("insights", artifacts.prepare_insights)
forecast.explained_blocks = once("blocks", lambda *given: list(honest_blocks(*given)))
score.Registry.load = once("model", score.Registry.load)
run = lambda: score.score(params, None, model="champion", explain="30", out=out)
run()
whole = {{path.name: atomic_write.sha256_of(path) for path in out.glob("[!.]*")}}
writer = artifacts.pq.ParquetWriter
for what, module, name in (("write", writer, "write_table"), ("move", os, "replace"), ("flush", os, "fsync")):
    for moment in range(7):
        child = os.fork()
        if child == 0:
            honest, count = getattr(module, name), iter(range(100))
            def dying(*given, **named):
                if next(count) == moment:
                    if what == "write":
                        honest(*given, **named)
                    os.kill(os.getpid(), signal.SIGKILL)
                return honest(*given, **named)
            setattr(module, name, dying)
            run()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        there = {{path.name: atomic_write.sha256_of(path) for path in out.glob("[!.]*")}}
        died = os.WIFSIGNALED(status)
        print(json.dumps([what, moment, died, there == whole, "manifest.json" in there]))
        run()
        assert {{path.name: atomic_write.sha256_of(path) for path in out.glob("[!.]*")}} == whole
        assert not list(out.glob(".staging-*"))
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        found = [json.loads(line) for line in ran.stdout.splitlines()]
        assert sum(died for _, _, died, _, _ in found) >= 4 + 6 + 6
        for what, moment, _, as_before, sealed in found:
            assert as_before or not sealed, (what, moment)

    def test_killed_at_a_random_time_and_run_again(self, company, tmp_path):
        command = [sys.executable, "-m", "pipeline.cli", "score", "-p", company.params_file, "--out", tmp_path]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with_luck = random.Random().uniform(0, 8)
        try:
            run.wait(timeout=with_luck)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
        assert is_whole(tmp_path) or not (tmp_path / "manifest.json").exists(), with_luck
        company.run("score", "--out", tmp_path)
        assert hashes(tmp_path) == hashes(company.folder)


def test_a_result_without_its_seal_is_not_shown(company, tmp_path):
    copied = company.copy(tmp_path)
    for name in RESULT[:-1]:
        (tmp_path / name).write_bytes((company.folder / name).read_bytes())
    ran = leadrev("report", folder=copied.folder)
    assert ran.code == 2
    assert len(ran.mistakes) == 1
    assert not (tmp_path / "report.html").exists()


def test_the_registered_model_gives_the_same_numbers_alone(company, tmp_path):
    """As an MLflow pyfunc in another process and folder, where the project itself cannot be imported."""
    code = f"""
import sys
project = {str(Path(__file__).resolve().parents[2])!r}
sys.path = [path for path in sys.path if path not in ("", project)]
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
import importlib.util
assert not any(importlib.util.find_spec(name) for name in ("pipeline", "features", "models"))
import mlflow, pandas as pd
mlflow.set_tracking_uri({company.params.tracking_uri!r})
model = mlflow.pyfunc.load_model("models:/{company.params.model_name}@champion")
import features, models, pipeline
assert not any(package.__file__.startswith(project + "/") for package in (features, models, pipeline))
forecast = model.predict(pd.read_parquet({str(company.folder / "matrix.parquet")!r}))
matrix = pd.read_parquet({str(company.folder / "matrix.parquet")!r})
forecast.insert(0, "lead_id", matrix["lead_id"])
forecast.to_parquet("forecast.parquet")
"""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    forecast = pd.read_parquet(tmp_path / "forecast.parquet").set_index("lead_id")
    scores = read_scores(company.folder).set_index("lead_id")
    columns = [*FORECAST, "score", "grade"]
    pd.testing.assert_frame_equal(forecast.loc[scores.index, columns], scores[columns], check_exact=True)


def test_the_forecast_finds_the_truth_again(company, scores):
    truth = pd.read_parquet(company.folder / "truth.parquet").set_index("lead_id").loc[scores["lead_id"]]
    assert scores["p_win_90d"].corr(truth["p_win_90d"].reset_index(drop=True), method="spearman") > 0.35
    money = truth["expected_revenue_90d"].reset_index(drop=True)
    assert scores["expected_revenue_90d"].corr(money, method="spearman") > 0.5
    assert 0.6 < scores["p_win_90d"].sum() / truth["p_win_90d"].sum() < 1.6
    assert 0.6 < scores["p_lost_ever"].sum() / truth["p_lost_365d"].sum() < 1.6
    top = scores["rank"].to_numpy() <= len(scores) / 10
    assert money[top].sum() > 2 * money.sum() / 10
