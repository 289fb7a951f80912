"""From signs to a verdict: which of them are beyond chance, which leave it open, and what a person has said."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.audit.audit_sample import Audited, Column
from pipeline.audit.leakage_tests import nested, signs
from pipeline.audit.outcome_groups import FILLED_LEAST, GROUP_LEAST, Finding, OutcomeGroups
from pipeline.audit.pii import personal_data
from pipeline.audit.single_feature_auc import single_column_auc
from pipeline.common.errors import UserError
from pipeline.config.crm_facts import knows_future

ERROR = 0.01
"""Family-wise: the chance that an audit names even one column that has nothing to do with how leads end."""
DOUBT = 0.002
"""What chance gives to fewer columns than this, but to too many to be sure, keeps a column out for the time being."""
FREE_COLUMNS = frozenset({"title", "campaign", "source", "product", "kind", "entry", "country", "industry", "owner_id"})
"""Columns that features read in ways of their own: a value of its own for every lead, or one for all, does no harm."""
AT_CREATION = frozenset({"source", "campaign", "kind", "entry"})
"""Where a lead comes from is known when it comes: that all leads of a list are lost says nothing against the column."""
HARMLESS = frozenset({"constant", "id", "text"})
WORDS_SHARE_LIMIT = 0.5
"""Words that stand with more of the won (lost) leads than this are the outcome, not words of an honest column."""
DOMINATING_AUC, DOMINATING_LEAD, DOMINATING_ERRORS = 0.75, 0.15, 5.0
"""A column dominates with such an AUC alone, so far ahead of the next one, and so many standard errors above 0.5."""
NAMED_AUC = 0.65
"""A column that some CRM works out from the outcome, by its name, is kept out where it tells so much."""
NEVER_FEATURES = ("mail addresses", "phone numbers")
CLEARED, KEPT_OUT, CANNOT_TELL, VOUCHED = "cleared", "kept out", "cannot tell yet", "vouched for"


@dataclass
class Judged:
    """A column or a kind of event, the signs against it, and what comes of them.

    Parameters
    ----------
    table, name : str
        For a kind of event ``events`` and the kind.
    findings : list of Finding
    column : Column, optional
        None for a kind.
    groups : OutcomeGroups, optional
    key : str
        The name in ``excluded``.
    verdict : str
        `CLEARED`, `KEPT_OUT`, `CANNOT_TELL` or `VOUCHED`.
    code, reason : str
        Of the sign that decided.
    is_sure : bool
        Whether the sign that decided is beyond what honest columns reach.
    words : dict of str to str
        Words of the column that are set aside, and why; the column itself stays in.
    witness : str
        What is known of a column of that name in exports of some CRM, where that speaks against it.
    """

    table: str
    name: str
    findings: list[Finding]
    column: Column | None = None
    groups: OutcomeGroups | None = None
    key: str = ""
    verdict: str = CLEARED
    code: str = ""
    reason: str = ""
    is_sure: bool = True
    words: dict[str, str] = field(default_factory=dict)
    witness: str = ""

    @property
    def is_out(self) -> bool:
        """Whether it stays out of the model."""
        return self.verdict in (KEPT_OUT, CANNOT_TELL)

    def figures(self) -> dict[str, Any]:
        """As ``audit.json`` holds it."""
        figures: dict[str, Any] = {
            "key": self.key,
            "table": self.table,
            "column": None if self.column is None else self.name,
            "verdict": self.verdict,
            "code": self.code or None,
            "reason": self.reason or None,
        }
        if self.column is None or self.groups is None:
            return figures
        filled, won = self.column.values.notna().to_numpy(), self.groups.won
        others = self.groups.open | self.groups.lost
        auc = self.auc_alone[0]
        shares = {"filled": filled, "filled_won": filled[won], "filled_others": filled[others]}
        return figures | {
            **{name: round(float(rows.mean()), 4) if len(rows) else None for name, rows in shares.items()},
            "auc": None if auc is None else round(auc, 4),
            "set_aside": sorted(self.words),
        }

    @cached_property
    def auc_alone(self) -> tuple[float | None, float]:
        """How well the column alone, less the words set aside, tells won leads from others, and its standard error."""
        if self.column is None or self.groups is None or self.code in ("personal", "constant"):
            return None, float("nan")
        values = _numbers(self.column, self.groups)
        if self.column.filled_only:
            values = self.column.values.notna().astype(float)
        elif self.words:
            values = values.where(~values.isin(list(self.words)))
        others = self.groups.open | self.groups.lost
        return single_column_auc(values, self.groups.won, others, self.groups)


def _numbers(column: Column, groups: OutcomeGroups) -> pd.Series:
    values = column.values
    if pd.api.types.is_datetime64_any_dtype(values):
        days = (values.to_numpy("datetime64[us]") - groups.created) / np.timedelta64(1, "D")
        return pd.Series(days, index=values.index)
    return values


def judge_columns(part: Audited) -> tuple[list[Judged], int]:
    """List every column of leads (companies) with the signs against it.

    Returns
    -------
    judged : list of Judged
    tests : int
        How many comparisons were made.
    """
    judged, tests = [], 0
    for column in part.columns:
        personal = (
            None if column.filled_only else personal_data(column.name if column.is_attribute else "", column.values)
        )
        if personal:
            findings, made = [Finding("personal", f"holds {personal}: personal data")], 0
        elif column.filled_only:
            findings, made = signs(column.values.notna().map({True: 1.0}), part.groups)
        else:
            findings, made = signs(column.values, part.groups)
        if column.filled_only or (column.name in FREE_COLUMNS and not column.is_attribute):
            findings = [finding for finding in findings if finding.code not in HARMLESS]
        if column.name in AT_CREATION and not column.is_attribute:
            findings = [finding for finding in findings if finding.code != "value" or finding.ending == "won"]
        witness = knows_future(column.name) if column.is_attribute else None
        judged.append(Judged(column.table, column.name, findings, column, part.groups, witness=witness or ""))
        tests += made
    return judged, tests


def decide(columns: list[Judged], kinds: list[Judged], tests: int) -> None:
    """Settle each verdict by its signs, all chances together held to `ERROR`."""
    chance = math.log(ERROR / max(tests + len(columns), 1))
    for item in (*columns, *kinds):
        _weigh(item, chance)
        if item.verdict == KEPT_OUT and item.code == "value":
            _set_words_aside(item, chance)
    for table in ("leads", "accounts"):
        those = [item for item in columns if item.table == table and item.column is not None]
        anchors = [item for item in those if item.verdict == KEPT_OUT and item.code == "filled" and item.is_sure]
        for item in those:
            if anchors and item.verdict != KEPT_OUT:
                _weigh_nested(item, anchors, chance)
    for item in columns:
        _demand(item)


def _weigh(item: Judged, chance: float) -> None:
    doubtful = None
    if item.witness and (finding := _second_sign(item)) is not None:
        item.verdict, item.code, item.reason = KEPT_OUT, finding.code, f"{finding.reason}; {item.witness}"
        return
    for finding in item.findings:
        if finding.log_chance <= chance and finding.is_sure:
            item.verdict, item.code, item.reason = KEPT_OUT, finding.code, finding.reason
            return
    for finding in item.findings:
        # A column has many values; a kind of event at the closing is of no use, sure or not.
        is_doubtful = finding.log_chance <= math.log(DOUBT) and finding.code != "value"
        if doubtful is None and (is_doubtful or finding.code == "event"):
            doubtful = finding
    if doubtful is not None and doubtful.log_chance <= chance:
        # It is no chance, and more leads say no more: how strong the sign is leaves it open.
        item.verdict, item.code, item.is_sure = KEPT_OUT, doubtful.code, False
        item.reason = (
            f"may be written with the outcome: {doubtful.reason.removesuffix(': written with the outcome')}; if it is "
            "known before, list it under audit.keep, else under ignore"
        )
    elif doubtful is not None:
        item.verdict, item.code = CANNOT_TELL, doubtful.code
        item.reason = f"cannot tell yet, there are too few: {doubtful.reason}"


def _second_sign(item: Judged) -> Finding | None:
    """Find a sign that is enough where the column's name speaks against it too: no name alone keeps a column out."""
    for finding in item.findings:
        if finding.log_chance <= math.log(DOUBT) and finding.code not in HARMLESS:
            return finding
    auc, error = item.auc_alone
    if auc is not None and auc >= NAMED_AUC and auc - 0.5 >= DOMINATING_ERRORS * error:
        noun = item.groups.row_noun if item.groups else "leads"
        return Finding("telling", f"alone tells won {noun} from the others (AUC {auc:.2f})")
    return None


def _set_words_aside(item: Judged, chance: float) -> None:
    """Set single words aside where the rest of the column is honest: then the column stays in.

    It is not where half of an ending stands with such words, as in a status, or where the leads that have other words
    show a sign of their own.
    """
    column, groups = item.column, item.groups
    if column is None or groups is None or column.filled_only:
        return
    sure = [finding for finding in item.findings if finding.log_chance <= chance and finding.is_sure]
    words = {finding.word: finding.reason for finding in reversed(sure) if finding.word is not None}
    if any(finding.word is None and finding.code not in HARMLESS for finding in sure) or not words:
        return
    has_word = column.values.isin(list(words)).to_numpy()
    for flag in (groups.won, groups.lost):
        if flag.any() and has_word[flag].mean() > WORDS_SHARE_LIMIT:
            return
    rest = column.values[~has_word].reset_index(drop=True)
    findings, _ = signs(rest, groups.take(~has_word))
    left = {finding.code for finding in findings if finding.log_chance <= chance and finding.is_sure} - HARMLESS
    if left or rest.nunique() < 2:
        return
    item.verdict, item.code, item.reason, item.words = CLEARED, "", "", {str(word): why for word, why in words.items()}


def _weigh_nested(item: Judged, anchors: list[Judged], chance: float) -> None:
    if item.column is None or item.groups is None:
        return
    rows = item.column.values.notna().to_numpy()
    filled = [anchor.column.values.notna().to_numpy() for anchor in anchors if anchor.column is not None]
    shared = [int((rows & other).sum()) for other in filled]
    best = shared.index(max(shared))
    finding = nested(rows, filled[best], anchors[best].key, item.groups)
    if finding is not None:
        item.findings = [finding]
        _weigh(item, chance)


def _demand(item: Judged) -> None:
    """Ask for proof of a column of the company's own: with too few leads the audit cannot clear it."""
    column, groups = item.column, item.groups
    if column is None or groups is None or not column.is_attribute or item.is_out:
        return
    filled, won = int(column.values.notna().sum()), int(groups.won.sum())
    alike = int(column.values.value_counts(dropna=False).max()) if len(column.values) else 0
    for count, least, counted in (
        (won, GROUP_LEAST, f"only {won:,} of the {groups.row_noun} {'is' if won == 1 else 'are'} won so far"),
        (filled, FILLED_LEAST, f"filled for only {filled:,} of the {groups.row_noun} so far"),
        (
            len(column.values) - alike,
            FILLED_LEAST,
            f"all {groups.row_noun} but {len(column.values) - alike:,} have the same",
        ),
    ):
        if count < least and filled:
            item.verdict, item.code = CANNOT_TELL, "few"
            item.reason = f"cannot tell yet: {counted}, {least} are needed"
            return


def name_keys(columns: Iterable[Judged], kinds: Iterable[Judged]) -> None:
    """Give each its name in ``excluded``: bare for attributes and kinds, with its table if it could mean two things."""
    columns, kinds = list(columns), list(kinds)
    uses = Counter(item.name.lower() for item in (*columns, *kinds))
    uses.update(f"{item.table}.{item.name}".lower() for item in columns)
    for item in columns:
        is_own = item.column is not None and item.column.is_attribute
        item.key = item.name if is_own and uses[item.name.lower()] == 1 else f"{item.table}.{item.name}"
    for item in kinds:
        item.key = item.name if uses[item.name.lower()] == 1 else f"event:{item.name}"


def apply_overrides(
    judged: Collection[Judged], keep: Iterable[str], at_creation: Collection[str]
) -> list[dict[str, Any]]:
    """Let in what a person vouches for, and say so.

    Parameters
    ----------
    judged : collection of Judged
    keep : iterable of str
        As ``audit.keep`` has them.
    at_creation : collection of str
        Columns under ``known_at_creation``, as ``table.column``.

    Returns
    -------
    list of dict
        Warnings.

    Raises
    ------
    UserError
        A name in ``audit.keep`` means two things.
    """
    warnings = []
    vouched = {name.lower() for name in at_creation}
    heard = {item.name.lower() for item in judged} | {f"{item.table}.{item.name}".lower() for item in judged}
    heard |= {item.key.lower() for item in judged}
    for name in keep:
        those = [item for item in judged if name.lower() in _names(item)]
        if len(those) > 1:
            raise UserError(
                f"audit.keep: '{name}' means more than one thing; write "
                + " or ".join(item.key for item in those)
                + "."
            )
        vouched |= {those[0].key.lower()} if those else set()
        if not those and name.lower() not in heard:
            text = f"audit.keep names '{name}', but there is no such column, nor kind of event so far"
            warnings.append({"code": "keep_unknown", "text": text, "column": name})
    for item in judged:
        own = {item.key.lower()} | ({f"{item.table}.{item.name}".lower()} if item.column is not None else set())
        if not item.is_out or item.code == "constant" or not own & vouched:
            continue
        if item.code == "personal" and any(word in item.reason for word in NEVER_FEATURES):
            text = f"{item.key} {item.reason}, which nobody's word makes a feature"
            warnings.append({"code": "never", "text": text, "column": item.key})
            continue
        noun = "the event" if item.column is None else "the column"
        text = f"{noun} {item.key} is kept by a person's word, against the audit: {item.reason}"
        warnings.append({"code": "kept", "text": text, "column": item.key})
        item.verdict = VOUCHED
    return warnings


def leave_out_unreached(columns: Collection[Judged]) -> None:
    """Leave out what is reached only through a column that stays out: all of the company, without its id on leads."""
    for link in columns:
        if link.table == "leads" and link.name == "account_id" and link.is_out:
            for item in columns:
                if item.table == "accounts" and not item.is_out:
                    item.verdict, item.code = KEPT_OUT, "unreached"
                    item.reason = f"is reached only through {link.key}, which stays out"


def dominating(columns: Iterable[Judged], at_creation: Collection[str], keep: Iterable[str]) -> Judged | None:
    """Find the column that a forecast would hang on, though nothing proves that it is written with the outcome.

    Parameters
    ----------
    columns : iterable of Judged
    at_creation, keep : collections of str
        What a person has vouched for, as for `apply_overrides`: of that nobody is asked again.
    """
    named = {name.lower() for name in (*at_creation, *keep)}
    known = [(item.auc_alone, item) for item in columns if not item.is_out and item.column is not None]
    found = sorted(
        ((auc, error, item) for (auc, error), item in known if auc is not None), key=lambda one: one[0], reverse=True
    )
    if not found:
        return None
    auc, error, first = found[0]
    following = found[1][0] if len(found) > 1 else 0.5
    is_far = auc >= DOMINATING_AUC and auc - following >= DOMINATING_LEAD
    if not is_far or auc - 0.5 < DOMINATING_ERRORS * error or _names(first) & named or first.verdict == VOUCHED:
        return None
    return first


def _names(item: Judged) -> set[str]:
    """Every way to write an item in ``audit.keep``, in lower case."""
    names = {item.key.lower(), item.name.lower()}
    return names | {f"{item.table}.{item.name}".lower()} if item.column is not None else names
