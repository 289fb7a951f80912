"""Scores of a company that never was, written as the contract says, for tests of what people read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.atomic_write import sha256_of
from pipeline.config.params import ServeParams
from pipeline.insights.timeline import TIMELINE
from pipeline.reporting.lead_names import NAMES

HORIZONS_DAYS = (30, 90, 180, 365)
PRIMARY = 90
AS_OF = pd.Timestamp("2026-05-15")
NASTY_NAME = "<script>alert('x')</script>"
OWNERS = {"ana": "Ana Costa", "ben": "Ben Ito"}  # chi is in no table of owners
THEMES = {
    "touch_demo_requests": "engagement",
    "acct_employees": "fit",
    "lead_source": "source",
    "touch_days_since_call": "sales activity",
    "deal_meetings": "sales activity",
    "lead_age_days": "timing",
}
FEATURES = {
    "touch_demo_requests": "Asked for a demo {n} times in the last {d} days",
    "acct_employees": "Company of {n} people",
    "lead_source": "Came through a source whose leads win {n}% of the time",
    "touch_days_since_call": "No call for {n} days",
    "deal_meetings": "{n} meetings in the last {d} days",
    "lead_age_days": "Open for {n} days",
}


def made_up_scores(rows: int = 60, seed: int = 0, money: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and attributions: base_money + the attributions = expected revenue within 90 days, in every row."""
    rng = np.random.default_rng(seed)
    small = rng.random(rows) < 0.6
    p_longest = rng.beta(1.2, 5, rows)
    speed = np.where(small, 60.0, 240.0) * rng.uniform(0.6, 1.4, rows)
    value = np.where(small, 4_000, 60_000) * rng.lognormal(0, 0.6, rows)
    curve = {h: p_longest * (1 - np.exp(-h / speed)) / (1 - np.exp(-365 / speed)) for h in (*HORIZONS_DAYS, 47, 139)}
    scores = pd.DataFrame(
        {
            "lead_id": [f"L{i:06d}" for i in range(rows)],
            "episode": 1,
            "as_of": AS_OF,
            "model_version": "3",
            "account_id": [f"A{i:06d}" for i in range(rows)],
            "owner_id": rng.choice(["ana", "ben", "chi", None], rows),
            "kind": rng.choice(["new_business", "expansion"], rows, p=[0.8, 0.2]),
            "currency": "EUR",
        }
    )
    for h in HORIZONS_DAYS:
        scores[f"p_win_{h}d"] = curve[h]
        scores[f"expected_revenue_{h}d"] = curve[h] * value if money else np.nan
    scores["p_win_ever"] = curve[365]
    scores["p_lost_ever"] = (1 - curve[365]) * 0.7
    scores["p_win_this_quarter"] = curve[47]
    for which, factor in (("p10", 0.2), ("p50", 0.9), ("p90", 2.4), ("mean", 1.1)):
        scores[f"days_to_win_{which}"] = np.minimum(speed * factor, 365)
    scores["deal_value"] = value if money else np.nan
    scores["deal_value_p10"], scores["deal_value_p90"] = scores.deal_value * 0.4, scores.deal_value * 2.1
    scores["expected_revenue_ever"] = scores["expected_revenue_365d"]
    scores["expected_revenue_this_quarter"] = curve[47] * scores.deal_value
    scores["expected_revenue_next_quarter"] = (curve[139] - curve[47]) * scores.deal_value
    primary = f"expected_revenue_{PRIMARY}d" if money else f"p_win_{PRIMARY}d"
    scores = scores.sort_values([primary, "lead_id"], ascending=[False, True]).reset_index(drop=True)
    scores["rank"] = np.arange(1, rows + 1)
    scores["score"] = np.clip(np.ceil(99 * (1 - (scores["rank"] - 0.5) / rows)), 1, 99).astype(int)
    scores["grade"] = pd.cut(scores.score, [0, 40, 70, 90, 100], labels=list("DCBA")).astype(str)
    scale = 1 if money else 100
    base = float(scores[primary].mean()) * scale
    weights = rng.normal(0.5, 0.3, (rows, len(FEATURES)))
    weights *= ((scores[primary].to_numpy() * scale - base) / weights.sum(axis=1))[:, None]
    attributions = pd.DataFrame(weights, columns=list(FEATURES))
    attributions.insert(0, "base_money", base)
    attributions.insert(0, "lead_id", scores.lead_id)
    signs = {"reasons_positive": 1, "reasons_negative": -1}
    for column, sign in signs.items():
        scores[column] = [_reasons(row, sign, rng, money) for row in weights]
    scores["data_quality_flags"] = np.where(rng.random(rows) < 0.1, '["closed_before_created"]', "[]")
    return scores, attributions


def _reasons(weights: np.ndarray, sign: int, rng: np.random.Generator, money: bool) -> str:
    order = np.argsort(-sign * weights)
    found = []
    for j in order[:4]:
        if sign * weights[j] > 0:
            feature = list(FEATURES)[j]
            n = int(rng.integers(2, 30))
            text = FEATURES[feature].format(n=n, d=rng.choice([7, 30, 90]))
            found.append(
                {
                    "code": feature,
                    "text": text,
                    "feature": feature,
                    "value": n,
                    "money": round(float(weights[j]), 2) if money else None,
                    "points": round(float(weights[j] / 500 if money else weights[j]), 2),
                }
            )
    return json.dumps(found)


def made_up_timeline(scores: pd.DataFrame, seed: int = 0) -> pa.Table:
    """What happened to each lead; some days of the first ones moved the forecast."""
    rng = np.random.default_rng(seed)
    kinds = ["mail_click", "call", "demo_request", "page_visit"]
    rows = []
    for place, lead in enumerate(scores.lead_id):
        for days in sorted(rng.uniform(0.1, 50, rng.integers(0, 6)), reverse=True):
            moved = float(rng.normal(0, 300)) if place < 20 else None
            kind, topic = str(rng.choice(kinds)), str(rng.choice(["pricing", "security"]))
            at = (AS_OF - pd.Timedelta(days=days)).floor("us").to_pydatetime()
            direction = "outbound" if kind == "call" else "inbound"
            rows.append((lead, at, kind, direction, "mail", topic, moved, None if moved is None else moved / 500))
    columns = list(zip(*sorted(rows, key=lambda row: row[:2]), strict=True)) or [[]] * len(TIMELINE)
    return pa.table(columns, schema=TIMELINE)


def made_up_names(scores: pd.DataFrame, seed: int = 0) -> pa.Table:
    """Names for the leads of `scores`; the first one is nasty."""
    rng = np.random.default_rng(seed)
    first = ["Alma", "Bruno", "Clara", "Dário", "Eva", "Farid", "Grete", "Hugo", "Inês", "Jonas"]
    last = ["Costa", "Weber", "Silva", "Novak", "Duarte", "Meyer", "Rossi", "Larsen"]
    firms = ["Nordlicht", "Padaria Sol", "Vega", "Holzbau", "Orbis", "Casa Verde", "Kestrel", "Ponte"]
    forms = ["GmbH", "Lda", "AS", "Ltd", "AG"]
    rows = len(scores)
    names = pd.DataFrame(
        {
            "lead_id": scores.lead_id,
            "name": [f"{a} {b}" for a, b in zip(rng.choice(first, rows), rng.choice(last, rows), strict=True)],
            "company_name": [f"{a} {b}" for a, b in zip(rng.choice(firms, rows), rng.choice(forms, rows), strict=True)],
            "title": rng.choice(["Head of Operations", "Owner", "Buyer"], rows),
            "source": rng.choice(["web", "trade fair", "bought list", "referral"], rows),
            "entry": rng.choice(["hand_raised", "contact"], rows, p=[0.75, 0.25]),
            "record_url": [f"https://crm.example/leads/{lead}" for lead in scores.lead_id],
            "employees": np.where(scores.deal_value.fillna(0) > 12_000, 400.0, 7.0),
            "owner_name": scores.owner_id.map(OWNERS),
        }
    )
    names.loc[0, ["name", "record_url"]] = [NASTY_NAME, "javascript:alert(1)"]
    return pa.Table.from_pandas(names, NAMES, preserve_index=False)


def made_up_manifest(scores: pd.DataFrame, money: bool = True) -> dict:
    """What the scores say of themselves."""
    return {
        "as_of": "2026-05-15T00:00:00Z",
        "model_version": "3",
        "company": "Nimbus",
        "currency": "EUR",
        "primary_horizon_days": PRIMARY,
        "horizons_days": list(HORIZONS_DAYS),
        "rows": len(scores),
        "known_until": "2026-05-15T00:00:00Z",
        "themes": THEMES,
        "files": {},
        "totals": {"90d": {"expected": 5e4, "low": 3e4, "high": 8e4}} if money else {},
        "absent": {} if money else {"deal_value": "no amounts in the deals"},
    }


def made_up_backtest(money: bool = True) -> dict:
    """A backtest of two cutoffs with every model."""

    def figures(auc: float, capture: float, ratio: float | None) -> dict:
        return {
            "auc": auc, "brier": 0.08, "ece": 0.012, "ibs": 0.11, "capture_at_10": capture if money else None,
            "forecast_ratio": ratio if money else None, "interval_coverage": 0.79, "expected_wins": 61.0,
            "actual_wins": 58, "wins_ratio": 61 / 58,
            "intervals": {"auc": [auc - 0.03, auc + 0.03], "capture_at_10": [capture - 0.08, capture + 0.08],
                          "forecast_ratio": [0.8, 1.3], "wins_ratio": [0.9, 1.2]},
        }  # fmt: skip

    calibration = [
        {
            "p_mean": p,
            "observed": min(1.0, p * 0.95 + 0.004),
            "count": int(400 * (1 - p)),
            "low": p * 0.8,
            "high": p * 1.1,
        }
        for p in (0.005, 0.02, 0.04, 0.09, 0.16, 0.33)
    ]
    months = [
        {"month": month, "from_days": 0.0, "until_days": 90.0, "expected_wins": 61.0, "actual_wins": 58}
        | ({"expected_revenue": 678e3, "actual_revenue": 640e3, "low": 5e5, "high": 9e5} if money else {})
        for month in ("2026-02", "total")
    ]
    cutoffs = [
        {
            "cutoff": cutoff, "open_count": 1_240, "won_count": 58,
            "actual_revenue": 640_000.0 if money else None,
            "models": {"leadrev": figures(0.81, 0.46, 1.06), "recent_activity": figures(0.66, 0.22, None),
                       "biggest_company": figures(0.55, 0.31, None),
                       "logistic_regression": figures(0.77, 0.39, None), "oracle": figures(0.86, 0.51, 1.0)},
            "calibration": calibration, "months": months, "caveats": {}, "absent": {"champion": "trained later"},
        }
        for cutoff in ("2025-11-15T00:00:00Z", "2026-02-14T00:00:00Z")
    ]  # fmt: skip
    return {
        "company": "Nimbus", "currency": "EUR", "primary_horizon_days": PRIMARY, "known_until": "2026-05-15T00:00:00Z",
        "timezone": "UTC", "capacity_calls": 100, "settings": {"trees": 150}, "cutoffs": cutoffs,
        "overall": {
            "models": cutoffs[0]["models"], "calibration": calibration, "totals": {"inside": 2, "count": 2},
            "differences": {"logistic_regression": {
                "auc": {"difference": 0.04, "low": 0.01, "high": 0.07},
                "brier": {"difference": -0.01, "low": -0.02, "high": -0.005}}},
            "segments": [{"by": "source", "value": NASTY_NAME, "leads": 300, "won": 20, "revenue": 9e4,
                          "models": {"leadrev": figures(0.8, 0.4, 1.1)}}],
        },
        "verdict": {"use": "with care", "text": "Ranks well; the level is 6% high.", "doubts": [], "facts": [],
                    "watch": ["source web: 30 wins expected, 20 came"]},
    }  # fmt: skip


def made_up_audit() -> dict:
    """An audit with something in every part."""
    months = [
        {
            "month": f"2026-{month:02d}", "source_deals": 20 + month, "loaded_deals": 20 + month - (month == 3),
            "quarantined_deals": int(month == 3), "source_amount": 10_000.0 * month + 0.25,
            "loaded_amount": 10_000.0 * month + 0.25 - (500 if month == 3 else 0),
            "quarantined_amount": 500.0 if month == 3 else 0.0,
        }
        for month in range(1, 6)
    ]  # fmt: skip
    total = {key: sum(row[key] for row in months) for key in months[0] if key != "month"}
    return {
        "company": "Nimbus", "currency": "EUR", "as_of": "2026-05-15T00:00:00Z",
        "excluded": {"lead_loss_reason": "written only for deals that are over"},
        "warnings": [{"code": "few_lost", "text": "Only 12 deals are lost."}],
        "counts": {
            "leads": {"rows": 1_400, "loaded": 1_397, "quarantined": 3, "reasons": {"lead_id: is missing": 3},
                      "unreadable": {"closed_at": 2}},
        },
        "reconciliation": {"months": months,
                           "total": total, "unattached": {"deals": 2, "amount": 1_800.0},
                           "differences": ["deals.csv row 14: amount 'abc' is not a number"]},
        "outcomes": {"open": 500, "won": 113, "lost": 12},
        "quarantine": [{"table": "leads", "source": "leads.csv", "system": None, "row": 7, "column": "lead_id",
                        "value": None, "reason": "is missing", "amount": None}],
        "definitions": {"marketing": 1_400, "sales accepted": 310},
    }  # fmt: skip


def served(folder: Path, **serve):
    """Params that `create_app` needs: where the results are, and how they are served."""
    return SimpleNamespace(artifacts_folder=folder, serve=ServeParams(**serve))


def bearer(app):
    """The header that lets whoever started an application in."""
    return {"authorization": f"Bearer {app.state.startup_token}"}


def write_scores(folder: Path, rows: int = 60, seed: int = 0, money: bool = True) -> pa.Table:
    """Write scores, attributions and manifest as ``leadrev score`` does; the names are returned."""
    folder.mkdir(parents=True, exist_ok=True)
    scores, attributions = made_up_scores(rows, seed, money)
    scores.to_parquet(folder / "scores.parquet", index=False)
    if money:
        attributions.to_parquet(folder / "attributions.parquet", index=False)
    else:
        points = attributions.rename(columns={"base_money": "base_points"})
        points.to_parquet(folder / "attributions_points.parquet", index=False)
    pq.write_table(made_up_timeline(scores, seed), folder / "timeline.parquet")
    (folder / "manifest.json").write_text(json.dumps(made_up_manifest(scores, money)))
    seal(folder)
    return made_up_names(scores, seed)


def seal(folder: Path) -> None:
    """Write into the manifest what files there are, as ``leadrev score`` does."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in sorted(folder.glob("*.parquet"))
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
