"""What must add up in any funnel."""

from __future__ import annotations

import pandas as pd


def assert_sums_hold(content):
    """Entered = advanced + lost + unknown + there; segments and cohorts add up to all, stage by stage."""
    assert content["rows"]
    rows = content["rows"] + content["existing_business"]["rows"]
    for row in rows:
        if row["stage"] != content["stages"][-1]:
            assert row["entered"] == row["advanced"] + row["lost"] + row["unknown"] + row["there"], row
        assert min(row[key] for key in ("entered", "advanced", "lost", "unknown", "there", "skipped")) >= 0
        assert row["joined"] <= row["unknown"]
        for chance in row["chance"].values():
            assert chance is None or 0 <= chance["low"] <= chance["value"] <= chance["high"] <= 1
    counted = ("entered", "advanced", "lost", "unknown", "there", "skipped")
    frame = pd.DataFrame([{key: row[key] for key in ("cohort", "stage", *counted)} | {
        "segment": row["segment"] if row["segment"] == "all" else row["segment"]["value"]
    } for row in content["rows"]])  # fmt: skip
    whole = frame[(frame.cohort == "all") & (frame.segment == "all")].set_index("stage")[list(counted)]
    parts = (
        frame[(frame.cohort == "all") & (frame.segment != "all")],
        frame[(frame.cohort != "all") & (frame.segment == "all")],
        frame[(frame.cohort != "all") & (frame.segment != "all")],
    )
    for part in parts:
        if len(part):
            pd.testing.assert_frame_equal(part.groupby("stage")[list(counted)].sum().loc[whole.index], whole)
    leads = whole["entered"].iloc[0] + sum(row["entered"] for row in content["existing_business"]["rows"][:1])
    assert leads >= content["leads"]  # an episode each
