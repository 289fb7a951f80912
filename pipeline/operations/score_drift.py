"""Whether tonight's leads look like those that the model was trained on: each feature, its words and what is missing.

The population stability index compares shares of groups (a number's tenths in training, a category's words); 0.1 is
the convention for a change worth a look. As small references make it noisy, a feature counts as drifted only where a
chi-square test rejects as well, with the share of false ones among all features controlled (Benjamini and Hochberg
1995).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from pipeline.model_registry.model_artifact import StoredModel

PSI_LIMIT, FALSE_DISCOVERIES, GROUPS = 0.1, 0.05, 10


def stability_index(reference: ArrayLike, now: ArrayLike) -> float:
    """Give the population stability index of counts by group: 0 where shares are equal.

    Parameters
    ----------
    reference, now : array-like of shape (groups,)

    Examples
    --------
    >>> stability_index([50, 50], [500, 500])
    0.0
    >>> round(stability_index([90, 10], [50, 50]), 1)
    0.9
    """
    was, new = (np.asarray(counts, dtype=float) + 0.5 for counts in (reference, now))
    was, new = was / was.sum(), new / new.sum()
    return float(((new - was) * np.log(new / was)).sum())


def rejected(chances: ArrayLike, share: float = FALSE_DISCOVERIES) -> NDArray[np.bool_]:
    """Say which hypotheses are rejected while at most this share of the rejected are true, in expectation.

    Parameters
    ----------
    chances : array-like of shape (tests,)
        p-values.

    Examples
    --------
    >>> rejected([0.001, 0.5, 0.02, 0.9]).tolist()
    [True, False, True, False]
    """
    values = np.asarray(chances, dtype=float)
    order = np.argsort(values, kind="stable")
    passes = np.flatnonzero(values[order] <= share * np.arange(1, len(values) + 1) / max(len(values), 1))
    found = np.zeros(len(values), dtype=bool)
    if len(passes):
        found[order[: passes[-1] + 1]] = True
    return found


def feature_drift(stored: StoredModel, matrix: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare tonight's features with the leads that the model keeps of its training.

    Parameters
    ----------
    stored : StoredModel
    matrix : DataFrame
        Features of the leads open tonight.

    Returns
    -------
    list of dict
        ``feature, psi, chance, drifted, unseen_share`` (of leads whose word no training lead had), ``missing_share``
        and ``missing_share_in_training``; the most drifted first.
    """
    incidence = stored.forecaster.incidence_
    encoder = incidence.encoder_
    names = list(incidence.feature_names_in_)
    if not len(matrix):
        return []
    now, reference = encoder.transform(matrix[names]), stored.forecaster.background_[0]
    rows = []
    for name in names:
        place = encoder.columns_.index(name)
        was_missing, is_missing = (float(np.isnan(design[:, place]).mean()) for design in (reference, now))
        unseen = 0.0
        if encoder.is_categorical_[name]:
            words = matrix[name].dropna().astype(str)
            unseen = float((~words.isin(set(map(str, encoder.categories_[name])))).sum() / len(matrix))
        counts = _counts(reference[:, place], now[:, place])
        rows.append({
            "feature": name, "psi": round(stability_index(*counts), 4), "chance": _chance(counts), "drifted": False,
            "unseen_share": round(unseen, 4), "missing_share": round(is_missing, 4),
            "missing_share_in_training": round(was_missing, 4),
        })  # fmt: skip
    for row, is_rejected in zip(rows, rejected([row["chance"] for row in rows]), strict=True):
        row["drifted"] = bool(is_rejected and row["psi"] >= PSI_LIMIT)
    return sorted(rows, key=lambda row: (not row["drifted"], -row["psi"], row["feature"]))


def score_shift(scores: pd.DataFrame, before: pd.DataFrame | None) -> dict[str, Any]:
    """Say how far scores moved from the population frozen with the model, and ranks since the night before.

    Parameters
    ----------
    scores, before : DataFrame
        Archived scores of tonight and of the night before.

    Returns
    -------
    dict
        ``psi`` (of scores by tenths, which the frozen population fills evenly), ``leads``, ``rank_correlation`` and
        ``moved_share`` (of leads on both nights whose score moved by ten or more).
    """
    tenths = np.bincount(np.clip(scores["score"].to_numpy(float) // 10, 0, 9).astype(int), minlength=10)
    found: dict[str, Any] = {"leads": len(scores), "psi": None, "rank_correlation": None, "moved_share": None}
    if len(scores):
        found["psi"] = round(stability_index(np.full(10, 1000), tenths), 4)
    if before is not None:
        both = scores.merge(before, on=["lead_id", "episode"], suffixes=("", "_before"))
        if len(both) > 2:
            found["rank_correlation"] = round(float(stats.spearmanr(both["rank"], both["rank_before"])[0]), 4)
            found["moved_share"] = round(float(((both["score"] - both["score_before"]).abs() >= 10).mean()), 4)
    return found


def _counts(reference: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count both by groups that the reference divides evenly, as far as its values allow; missing is a group."""
    filled = reference[~np.isnan(reference)]
    distinct = np.unique(filled)
    edges = distinct[:-1] if len(distinct) <= GROUPS else np.unique(
        np.quantile(filled, np.arange(1, GROUPS) / GROUPS)
    )  # fmt: skip
    if len(distinct) == 1:  # a value that never changed: anything else is a group of its own
        edges = np.array([np.nextafter(distinct[0], -np.inf), distinct[0]])
    found = [
        np.bincount(np.where(np.isnan(v), 0, 1 + np.searchsorted(edges, v)), minlength=len(edges) + 2)
        for v in (reference, now)
    ]
    return found[0], found[1]


def _chance(counts: tuple[np.ndarray, np.ndarray]) -> float:
    table = np.stack(counts)
    table = table[:, table.sum(axis=0) > 0]
    return 1.0 if table.shape[1] < 2 else float(stats.chi2_contingency(table)[1])
