"""From exact attributions to at most four sentences for a lead and four against it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.catalogue import Feature, sentence

MOST = 4
LEAST_SHARE = 0.01  # of what all reasons of a lead weigh together: less than that nobody repeats on the phone


def reasons(
    X: pd.DataFrame, catalogue: Sequence[Feature], points: pd.DataFrame, money: pd.DataFrame | None
) -> pd.DataFrame:
    """Say why each lead ranks where it does: the strongest signals for it and against it, with their weight.

    Columns of one group (windows of one signal, the codes of one category) count as one reason. What ranks decides
    which reasons are strongest: money where the company has amounts, else percentage points. A reason's feature is the
    column of the group that moves the forecast most in the reason's direction.

    Parameters
    ----------
    X : data frame of shape (n_leads, n_features)
        The leads' features, as the forecaster saw them.
    catalogue : sequence of Feature
        An entry for every column of `X`.
    points, money : data frame of shape (n_leads, n_features)
        Attributions to the chance to be won and to the expected revenue, both within the primary horizon; None for
        `money` where there are no amounts.

    Returns
    -------
    data frame of shape (n_leads, 2)
        ``reasons_positive`` and ``reasons_negative``: JSON lists of at most four
        ``{code, text, feature, value, money, points}``.
    """
    entries = {entry.name: entry for entry in catalogue}
    columns = [column for column in points.columns if column in entries and entries[column].is_reason]
    groups = sorted({entries[column].group for column in columns})
    group_of = np.array([groups.index(entries[column].group) for column in columns])
    ranked_by = points if money is None else money
    weights = ranked_by[columns].to_numpy(float)
    membership = np.eye(len(groups))[group_of]
    by_group = weights @ membership
    points_by_group = points[columns].to_numpy(float) @ membership
    least = LEAST_SHARE * np.abs(by_group).sum(axis=1)
    members = [np.flatnonzero(group_of == group) for group in range(len(groups))]
    values = {column: X[column].to_numpy(object) for column in columns}

    def listed(lead: int, sign: int) -> str:
        signed = sign * by_group[lead]
        strongest = np.argsort(-signed, kind="stable")[:MOST]
        found = []
        for group in strongest[signed[strongest] > least[lead]]:
            of_group = members[group]
            column = columns[of_group[np.argmax(sign * weights[lead, of_group])]]
            value = _plain(values[column][lead])
            text = sentence(entries[column], value, favourable=sign > 0)
            found.append(
                {
                    "code": groups[group],
                    "text": text,
                    "feature": column,
                    "value": value,
                    "money": None if money is None else round(float(by_group[lead, group]), 2) + 0.0,
                    "points": round(float(points_by_group[lead, group]), 2) + 0.0,  # no minus before nothing
                }
            )
        return json.dumps(found, ensure_ascii=False)

    return pd.DataFrame(
        {
            name: pd.Series([listed(lead, sign) for lead in range(len(X))], index=X.index, dtype="str")
            for name, sign in (("reasons_positive", 1), ("reasons_negative", -1))
        }
    )


def _plain(value: object) -> str | float | int | None:
    """Give a cell as JSON holds it: missing is null, a whole number is an integer."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float | int | np.number):
        number = float(value)
        return int(number) if number.is_integer() else round(number, 4)
    return str(value)
