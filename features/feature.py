"""One entry of the catalogue: a feature's name, unit, theme and origin, and the words that sales reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SETBACK = re.compile("^touch_.*(unsubscri|bounce|complain|cancel|declin|reject|no_show)")
"""Kinds of events that are no good news."""

THEMES = ("fit", "source", "engagement", "sales activity", "history", "timing")


@dataclass(frozen=True)
class Feature:
    """One column of the feature matrix and what it tells.

    Parameters
    ----------
    name : str
        Its column; the prefix is its provenance.
    unit : str
        'count', 'days', 'share', 'ratio' (1 is average), 'money', 'number', 'yes or no', 'rank', 'weekday', 'month',
        'years' or 'category'.
    theme : str
        One of `THEMES`.
    provenance : str
        The tables and columns it is built from.
    group : str
        Features that tell the same signal; a reader is shown one of them.
    meaning : str
        What it is, for people who work with data.
    text : str
        What sales reads. It may hold ``{value}`` (with its unit), ``{times}``, ``{count}``.
    unknown : str
        What sales reads where it is unknown; also says what unknown means.
    none : str
        What sales reads for 0; as `text` where empty.
    against : str
        What sales reads of a word, or of a time of a day or more, that speaks against the lead; as `text` where empty.
    low, low_below : str, float
        What sales reads for a value below ``low_below``; as `text` where empty.
    noun, plural : str
        What ``{count}`` counts.
    is_reason : bool
        Whether sales may be shown it. What tells of the person and not of the business is never a reason, nor is what
        is the same for every lead on a day.
    clearer_columns : tuple of str
        Columns of the same signal with a clearer sentence, where they apply: in this order for a reason in favour of a
        lead, in reverse order for one against it. A column of days keeps its own sentence as long as it applies.
    is_monotone_increasing : bool
        Whether, by its meaning, more of it can only raise the win probability: the model may be constrained to that.
    """

    name: str
    unit: str
    theme: str
    provenance: str
    group: str
    meaning: str
    text: str
    unknown: str
    none: str = ""
    against: str = ""
    low: str = ""
    low_below: float = 0.0
    noun: str = ""
    plural: str = ""
    is_reason: bool = True
    clearer_columns: tuple[str, ...] = ()
    is_monotone_increasing: bool = False

    @property
    def sense(self) -> int:
        """How people take more of it: 1 for good news (more was done), −1 for bad news (longer ago, lost), 0 either."""
        if _SETBACK.search(self.name):
            return {"count": -1, "days": 1}.get(self.unit, 0)
        if self.is_monotone_increasing or (self.theme == "engagement" and self.unit in ("count", "number", "ratio")):
            return 1
        if self.theme == "sales activity" and self.name.startswith("touch_") and self.unit in ("count", "share"):
            return -1 if "attempt" in self.name else 1
        worse = ("_recency_days", "_delay_days", "_speed_to_lead_days", "_lost_count", "_pushed_count")
        return -1 if self.name.endswith(worse) else 0

    @property
    def is_fact(self) -> bool:
        """Whether it stands still while nothing is learnt: neither a time that passes nor how others fared lately."""
        return self.unit not in ("days", "ratio")

    @property
    def is_category(self) -> bool:
        """Whether the column holds words."""
        return self.unit == "category"
