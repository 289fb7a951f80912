from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from random_company import random_tables

from features import labels, lifecycle, snapshots
from models import outcome_codes

CUTOFF = datetime(2023, 11, 10)


@pytest.mark.parametrize("seed", range(4))
def test_labels_tell_what_became_of_each_snapshot_as_known_at_the_cutoff(seed: int) -> None:
    tables = random_tables(seed)
    grid = snapshots.training_snapshots(tables, CUTOFF, rows_limit=500)
    outcomes = lifecycle.outcomes(tables, CUTOFF)
    rows = labels.labels(grid, outcomes, CUTOFF).to_pandas()
    facts = rows[["lead_id", "episode"]].merge(outcomes.to_pandas(), on=["lead_id", "episode"], validate="many_to_one")
    assert len(rows) == len(grid.to_pandas())
    assert (rows.duration_days > 0).all()
    days = np.timedelta64(1, "D")
    to_cutoff = ((np.datetime64(CUTOFF) - rows.as_of) / days).to_numpy()
    assert (rows.duration_days <= to_cutoff + 1e-9).all()
    names = {0: {"open", "unknown"}, 1: {"won"}, 2: {"lost"}}
    assert all(outcome in names[event] for event, outcome in zip(rows.event, facts.outcome, strict=True))
    still = (facts.outcome == "open").to_numpy()
    np.testing.assert_allclose(rows.duration_days[still], to_cutoff[still], rtol=1e-12)
    ahead = (facts.ended_at > rows.as_of).to_numpy()
    np.testing.assert_allclose(rows.duration_days[ahead], ((facts.ended_at - rows.as_of) / days)[ahead], rtol=1e-12)
    # Over before the date, but heard of only later: it counts when it was heard of.
    heard = ~still & ~ahead
    np.testing.assert_allclose(rows.duration_days[heard], ((facts.end_known_at - rows.as_of) / days)[heard], rtol=1e-12)
    assert rows.amount[rows.event != 1].isna().all()
    same = rows.amount[rows.event == 1].fillna(-1).to_numpy() == facts.amount[(rows.event == 1)].fillna(-1).to_numpy()
    assert same.all()


def test_labels_and_estimators_mean_the_same_by_their_codes():
    assert (labels.WON, labels.LOST) == (outcome_codes.WON, outcome_codes.LOST)
