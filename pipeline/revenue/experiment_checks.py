"""What is wrong with an experiment: reasons not to believe its difference, each in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.common.dates import local_iso
from pipeline.common.formatting import count, percent
from pipeline.revenue.arm_difference import arm_difference, sequence_width
from pipeline.revenue.experiment_leads import ExperimentLeads

FAULT_ERROR = 0.001
"""Chance that a sound experiment is ever called unequal, by each check."""
STOPPED_DAYS = 30
EXPOSED_SHARE_LIMIT = 0.05
"""Share of the control arm that may have had the treatment."""

Check = dict[str, Any]


def experiment_checks(
    leads: ExperimentLeads, probability: NDArray[np.float64], chance: NDArray[np.float64] | None, timezone: str
) -> list[Check]:
    """Find what is wrong with an experiment.

    Parameters
    ----------
    leads : ExperimentLeads
    probability : ndarray of shape (n_leads,)
        With which each lead's account got its arm.
    chance : ndarray of shape (n_leads,) or None
        What was forecast of all leads of the frame, in its order; NaN: nothing.
    timezone : str
        The company's.

    Returns
    -------
    list of dict
        ``code``, ``kind`` (``contaminated``: the comparison is not to be trusted; ``stopped``; ``note``), ``count`` and
        ``text``.
    """
    return [
        *_movements(leads),
        *_unequal(leads, probability, chance),
        *_exposure(leads),
        *_stopped(leads, timezone),
        *_notes(leads),
    ]


def _check(code: str, kind: str, number: int, text: str) -> Check:
    return {"code": code, "kind": kind, "count": int(number), "text": text}


def _movements(leads: ExperimentLeads) -> Iterator[Check]:
    """Leads that changed arms, accounts in several, leads that had ended before they were assigned."""
    frame = leads.frame
    if switched := int((frame["arms_count"] > 1).sum()):
        verb = "was" if switched == 1 else "were"
        yield _check(
            "switched_arm", "contaminated", switched,
            f"{count(switched, 'lead', 'leads')} {verb} assigned to more than one arm: counted in the first.",
        )  # fmt: skip
    arms = frame.groupby("account")["arm"].nunique()
    if split := int((arms > 1).sum()):
        verb = "has" if split == 1 else "have"
        yield _check(
            "account_in_two_arms", "contaminated", split,
            f"{count(split, 'account', 'accounts')} {verb} leads in more than one arm: what is done for one lead "
            "reaches the other.",
        )  # fmt: skip
    if closed := int(frame["was_closed"].sum()):
        yield _check(
            "assigned_after_outcome", "contaminated", closed,
            f"{count(closed, 'lead', 'leads')} had ended before being assigned: left out.",
        )  # fmt: skip


def _unequal(
    leads: ExperimentLeads, probability: NDArray[np.float64], chance: NDArray[np.float64] | None
) -> Iterator[Check]:
    """Arms of another size than drawn, filled at other times, or with leads that looked better from the start."""
    frame = leads.frame
    for arm in leads.arms[1:]:
        pair = frame["arm"].isin([leads.settings.control, arm]).to_numpy()
        own = frame[pair].assign(probability=probability[pair]).reset_index(drop=True)
        accounts = own.drop_duplicates("account")
        is_treated = (accounts["arm"] == arm).to_numpy()
        drawn = accounts["probability"].to_numpy()
        treated_chance = np.where(is_treated, drawn, 1 - drawn)
        spread = math.sqrt(float((treated_chance * (1 - treated_chance)).sum()))
        distance = abs(float((is_treated - treated_chance).sum()))
        if len(leads.arms) == 2 and distance > sequence_width(len(accounts), FAULT_ERROR) * max(spread, 1e-12):
            yield _check(
                "sample_ratio_mismatch", "contaminated", len(accounts),
                f"{count(is_treated.sum())} of {count(len(accounts), 'account', 'accounts')} are in '{arm}' where "
                f"{count(treated_chance.sum())} were to be expected: some are missing, or it was not drawn as written.",
            )  # fmt: skip
        days = (own["assigned_at"] - own["assigned_at"].min()) / pd.Timedelta(days=1)
        if _differs(own, arm, days.to_numpy(float)):
            yield _check(
                "unequal_exposure", "contaminated", len(accounts),
                f"'{arm}' and '{leads.settings.control}' were filled at different times: they saw different days.",
            )  # fmt: skip
        expected = None if chance is None else chance[pair]
        if expected is not None and not np.isnan(expected).all():
            filled = np.where(np.isnan(expected), np.nanmean(expected), expected)
            if _differs(own, arm, filled):
                yield _check(
                    "unequal_forecast", "contaminated", len(accounts),
                    f"'{arm}' and '{leads.settings.control}' differed in what was forecast of them before anything was "
                    "done: the draw was not blind.",
                )  # fmt: skip


def _differs(own: pd.DataFrame, arm: str, values: NDArray[np.float64]) -> bool:
    found = arm_difference(
        values, (own["arm"] == arm).to_numpy(), own["cluster"].to_numpy(), own["probability"].to_numpy(float)
    )
    return found is not None and found.is_told(FAULT_ERROR)


def _exposure(leads: ExperimentLeads) -> Iterator[Check]:
    """Who got the treatment: known only where an event stands for it."""
    if leads.settings.event is None:
        return
    frame = leads.counted()
    counts = {arm: int(n) for arm, n in frame.groupby("arm")["is_touched"].sum().items()}
    shares = {arm: float(share) for arm, share in frame.groupby("arm")["is_touched"].mean().items()}
    control, event = leads.settings.control, leads.settings.event
    if shares.get(control, 0.0) > EXPOSED_SHARE_LIMIT:
        yield _check(
            "control_exposed", "contaminated", counts[control],
            f"{percent(shares[control])} of '{control}' had '{event}', which was not for them: the difference is that "
            "of being drawn, and less than that of the treatment.",
        )  # fmt: skip
    for arm in leads.arms[1:]:
        if arm in shares and shares[arm] <= shares.get(control, 0.0):
            yield _check(
                "not_carried_out", "contaminated", counts[arm],
                f"'{arm}' had '{event}' no more often than '{control}': it was not carried out.",
            )  # fmt: skip


def _stopped(leads: ExperimentLeads, timezone: str) -> Iterator[Check]:
    """Say when nobody was assigned any more, though leads went on coming."""
    last = leads.frame["assigned_at"].max().to_pydatetime()
    planned = leads.settings.accounts
    accounts = leads.frame["account"].nunique()
    newest = leads.newest_lead_at
    if newest is None or (newest - last).days < STOPPED_DAYS:
        return
    until, still = local_iso(last, timezone), local_iso(newest, timezone)
    text = f"Nobody was assigned after {until}, while leads came until {still}"
    if planned and accounts < planned:
        text += f"; {count(accounts)} of {count(planned)} planned accounts were reached"
    is_early = planned is None or accounts < planned
    yield _check(
        "stopped_early" if is_early else "finished", "stopped" if is_early else "note", accounts,
        f"{text}. What the sequence says stays valid however the stop came about; the interval of one look does not.",
    )  # fmt: skip


def _notes(leads: ExperimentLeads) -> Iterator[Check]:
    if leads.unknown_leads:
        yield _check(
            "unknown_leads", "note", leads.unknown_leads,
            f"{count(leads.unknown_leads, 'assigned id is', 'assigned ids are')} no lead that is known.",
        )  # fmt: skip
    counted = leads.counted()
    if unreadable := int((counted["ended_how"] == "unknown").sum()):
        yield _check(
            "unreadable_ends", "note", unreadable,
            f"{count(unreadable, 'lead', 'leads')} ended in a way that nobody can read: counted as not won.",
        )  # fmt: skip
    written = leads.settings.horizon_days
    if leads.laid_down and written not in (None, leads.horizon_days):
        yield _check(
            "horizon_kept", "note", leads.horizon_days,
            f"The horizon stays at the {leads.horizon_days} days that were laid down at first; params say {written}.",
        )  # fmt: skip
