"""How fast the pages answer over many leads: ``python -m tests.bench pages``."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

LEADS, QUICK_LEADS, MADE = 1_000_000, 100_000, 20_000
ASKED = {
    "first page": "/",
    "by name": "/?sort=name",
    "last page": "/?sort=deal_value&page=1000000",
    "page 10,000 by chance": "/?sort=chance&page=10000",
    "one owner": "/?owner=Ana+Costa&sort=next_quarter",
    "one owner, last page": "/?owner=Ana+Costa&sort=chance&page=1000000",
    "one theme": "/?theme=engagement",
    "search": "/?search=padaria",
    "search, page 1,200": "/?search=padaria&sort=soonest&page=1200",
    "search, source and size": "/?search=weber&source=web&size=1%E2%80%939+people",
    "a lead's page": "/leads/L0500000",
    "two leads compared": "/compare?lead=L0500000&lead=L0000007",
    "API, 500 leads": "/api/v1/leads?limit=500&sort=chance",
}


def many(folder: Path, leads: int) -> pa.Table:
    """Write the scores of a made-up company many times over, each time with other ids and amounts."""
    from made_up_scores import FEATURES, made_up_manifest, made_up_names, made_up_scores, seal

    scores, parts = made_up_scores(MADE)
    names = made_up_names(scores).to_pandas()
    times = leads // MADE
    rng = np.random.default_rng(0)
    factor, ids = rng.uniform(0.5, 1.5, leads), [f"L{i:07d}" for i in rng.permutation(leads)]
    frames = [pd.concat([frame] * times, ignore_index=True).assign(lead_id=ids) for frame in (scores, parts, names)]
    scores, parts, names = frames
    for frame, columns in ((scores, scores.filter(regex="^(expected|deal)").columns), (parts, list(FEATURES))):
        frame[columns] = frame[columns].mul(factor, axis=0)
    order = np.argsort(-scores["expected_revenue_90d"].to_numpy(), kind="stable")
    scores = scores.iloc[order].assign(rank=np.arange(1, leads + 1))
    for name, frame in (("scores", scores), ("attributions", parts.iloc[order])):
        pq.write_table(
            pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet", row_group_size=10_000
        )
    (folder / "manifest.json").write_text(json.dumps(made_up_manifest(scores)))
    seal(folder)
    from pipeline.reporting.lead_names import NAMES

    return pa.Table.from_pandas(names, NAMES, preserve_index=False)


def run(quick: bool) -> None:
    """Measure each address in this process, page rendered: the best of five, in wall and processor time."""
    from fastapi.testclient import TestClient
    from made_up_scores import bearer
    from made_up_scores import served as served_params

    from pipeline.reporting import html, sales_report
    from pipeline.reporting.lead_details import Details
    from pipeline.reporting.ranked_leads import Ranking
    from pipeline.web import score_cache
    from pipeline.web.app import create_app

    leads = QUICK_LEADS if quick else LEADS
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        names = many(folder, leads)
        started = time.perf_counter()
        ranking = Ranking(folder, names)
        print(f"\n{leads:,} leads: opened in {time.perf_counter() - started:.1f} s")
        honest, score_cache.open_ranking = score_cache.open_ranking, lambda params: ranking
        try:
            params: Any = served_params(folder)
            app = create_app(params)
            client = TestClient(app, base_url="http://127.0.0.1", headers=bearer(app))
        finally:
            score_cache.open_ranking = honest
        print(f"{'asked for':<26}{'wall ms':>9}{'processor ms':>14}{'KB':>8}")
        for what, address in ASKED.items():
            address = address.replace("L0500000", f"L{leads // 2:07d}")
            walls, cpus = [], []
            for _ in range(5):
                wall, cpu = time.perf_counter(), time.process_time()
                answer = client.get(address)
                walls.append(time.perf_counter() - wall)
                cpus.append(time.process_time() - cpu)
                assert answer.status_code == 200, (address, answer.text[:200])
            print(f"{what:<26}{min(walls) * 1e3:>9.0f}{min(cpus) * 1e3:>14.0f}{len(answer.content) / 1e3:>8.0f}")
        started = time.perf_counter()
        page = html.render_report(sales_report.report_content(ranking, None, Details(folder)))
        took, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"report.html: {len(page.encode()) / 1e6:.1f} MB in {took:.1f} s; peak memory {peak:.1f} GB")
