"""Leads whose intent decides how they end, as the audit takes them: to hold its signs against."""

import numpy as np

from pipeline.audit.audit_sample import strata
from pipeline.audit.outcome_groups import OutcomeGroups

DAYS = 900


def company(seed, n=1200, losses=True):
    """Leads whose intent decides how they end, if they have by now; about one in six is won."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2023-01-01", "us")
    created = start + np.sort(rng.integers(0, DAYS * 86_400, n)).astype("timedelta64[s]")
    intent = rng.normal(size=n)
    ended = created + (rng.exponential(90, n) * 86_400).astype("timedelta64[s]")
    fate = 1.2 * intent + rng.normal(size=n)
    will = np.where(fate > np.quantile(fate, 0.8), "won", "lost" if losses else "open")
    outcome = np.where(ended <= start + np.timedelta64(DAYS, "D"), will, "open")
    ended = np.where(outcome == "open", np.datetime64("NaT", "us"), ended)
    won, lost, open_ = (outcome == word for word in ("won", "lost", "open"))
    return rng, OutcomeGroups(won, lost, open_, strata(created), rng.integers(0, 2, n), created, ended), intent
