"""Which columns know the future: what a column's values, and their absence, tell of how leads ended.

A field that is written because of the outcome stands only with that outcome; an honest one, however telling, also
stands with leads that end otherwise and with leads that are still open. Each sign below compares leads created at
about the same time (so that a field that was only kept years ago, when every lead has ended since, is not mistaken for
one written at the end), and has two parts: an *effect* that goes beyond what honest columns reach, and the *chance* of
as much in a column that has nothing to do with how leads end. The caller holds all chances of an audit against one
family-wise error (Bonferroni), and calls a sign with too few leads behind it "cannot tell yet".

Where the end is known, won leads are compared with lost ones: a table without history shows what was written later even
for leads that were open at an earlier date, so that open leads alone would make a leak look harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.audit.closing_period import closing_period_findings
from pipeline.audit.outcome_groups import FILLED_LEAST, GROUP_LEAST, Finding, Flags, OutcomeGroups
from pipeline.audit.post_outcome_tests import post_outcome_findings
from pipeline.audit.single_feature_auc import single_column_findings
from pipeline.common.masking import masked

PURE_SHARE = 0.98
"""A pattern that stands with one ending alone, but for slips of the pen."""
USUAL_LIMIT = 0.8
"""Where this share of the leads of the time ended so anyway, nothing can be told."""
FILLED_DIFFERENCE = 0.8
"""Filled for so much more of one ending than of another (Youden's J): no honest field tells them apart so well."""
FILLED_ODDS, ODDS_CHANCE = 25.0, 1e-5
"""Odds ratio of being filled, one ending against another, that no honest field has; to be sure, its lower limit (passed
so rarely by chance) lies above."""
DOUBTFUL_ODDS, HONEST_ODDS, DOUBTFUL_CHANCE = 40.0, 10.0, 0.01
"""In doubt: the estimate lies above the first, and the lower limit above what honest fields often have."""
VALUE_LEAST, VALUE_SHARE_LEAST, VALUES_LIMIT = 20, 0.05, 20
RESETS_COUNT = 3
"""Values of a column, the most frequent first, of which it is asked whether an outcome resets it to them."""
DISTINCT_SHARE, DISTINCT_LEAST, TEXT_LENGTH = 0.9, 50, 60
NAMED_PURITY = 0.6
GROUP_WORDS = {
    "won": frozenset({
        "customer", "client", "won", "closed won", "deal won", "signed", "contract", "contracted", "paid", "paying",
        "active customer", "converted", "onboarded", "kunde", "gewonnen", "cliente", "ganho", "ganado", "gagné",
    }),
    "lost": frozenset({
        "lost", "closed lost", "deal lost", "archived", "archive", "disqualified", "dead", "rejected", "declined",
        "churned", "junk", "verloren", "abgelehnt", "perdido", "perdu",
    }),
}  # fmt: skip
"""Words for an ending: a value named so need not be quite as pure."""


def signs(values: pd.Series, groups: OutcomeGroups) -> tuple[list[Finding], int]:
    """List the signs that a column must stay out of the model, the plainest first.

    Parameters
    ----------
    values : Series, shape (n,)
        Numbers, texts or dates, missing where there is none.
    groups : OutcomeGroups

    Returns
    -------
    findings : list of Finding
    tests : int
        How many comparisons were made, for the family-wise error.
    """
    filled = values.notna().to_numpy()
    if not filled.any():
        return [], 0
    if values[filled].nunique() == 1 and filled.all():
        return [Finding("constant", "has one value only")], 0
    found: list[Finding] = []
    tests = 0
    for part in (_fill_signs, closing_period_findings, _value_signs, post_outcome_findings, single_column_findings):
        made = list(part(values, filled, groups))
        tests += len(made)
        found += sorted((finding for finding in made if finding is not None), key=_plainness)
    if (shape := _shape_sign(values, filled, groups)) is not None:
        found.append(shape)
    return found, tests


def _plainness(finding: Finding) -> int:
    order = ("won", "lost", "ended", "open")
    return order.index(finding.ending) if finding.ending in order else len(order)


def stands_only(
    rows: Flags,
    groups: OutcomeGroups,
    what: str,
    code: str,
    *,
    flags: tuple[str, ...] = ("won", "lost", "ended", "open"),
    word: str | None = None,
) -> Iterator[Finding | None]:
    """Judge rows that nearly all ended alike, where those created at the time did not.

    The chance of a pure pattern is binomial in the mean of the usual shares, which bounds it for unequal ones
    (Hoeffding 1956).
    """
    everyone = np.ones(len(rows), dtype=bool)
    of = {"won": groups.won, "lost": groups.lost, "ended": ~groups.open, "open": groups.open}
    words = {"won": "that are won", "lost": "that are lost", "ended": "that have ended", "open": "that are still open"}
    # Where no loss is written down, "still open" is only "not won", and what never wins may well be known beforehand.
    losses_known = groups.lost.sum() >= GROUP_LEAST
    compared = [(name, everyone) for name in flags if losses_known or name != "open"]
    if "won" in flags and losses_known:
        compared.append(("won", groups.won | groups.lost))
    for name, among in compared:
        flag, judged = of[name], rows & among
        count, together = int(judged.sum()), int((judged & flag).sum())
        usual = groups.usual_share(flag, rows, among)
        if count < FILLED_LEAST or together < PURE_SHARE * count or usual > USUAL_LIMIT:
            yield None
            continue
        says = f"{what} only for {groups.row_noun} {words[name]}"
        if among is not everyone:
            says = f"{what}, among {groups.row_noun} that have ended, only for won ones"
        tail = "emptied at the end" if name == "open" else "written afterwards"
        yield Finding(
            code,
            f"{says} ({together:,} of {count:,}; usual would be {usual:.0%}): {tail}",
            float(stats.binom.logsf(together - 1, count, usual)),
            name,
            word=word,
        )


def nested(rows: Flags, others: Flags, other_name: str, groups: OutcomeGroups) -> Finding | None:
    """Judge a column that is filled only where another one is that is written with the outcome."""
    count, together = int(rows.sum()), int((rows & others).sum())
    usual = groups.usual_share(others, rows)
    if count < FILLED_LEAST or together < PURE_SHARE * count or usual > USUAL_LIMIT:
        return None
    return Finding(
        "nested",
        f"filled only where {other_name} is ({together:,} of {count:,}; usual would be {usual:.0%}): written with it",
        float(stats.binom.logsf(together - 1, count, usual)),
    )


def _fill_signs(values: pd.Series, filled: Flags, groups: OutcomeGroups) -> Iterator[Finding | None]:
    yield from stands_only(filled, groups, "filled", "filled")
    yield from _contrasts(filled, groups, "filled")
    if not filled.sum() >= FILLED_LEAST or pd.api.types.is_datetime64_any_dtype(values):
        return
    # A field that everybody has and only the outcome moves, as a total of invoices does, or that one outcome resets, as
    # an expected revenue does.
    is_number = pd.api.types.is_numeric_dtype(values)
    counts = values[filled].value_counts()
    if len(counts) <= (2 if is_number else VALUES_LIMIT):
        return
    order = sorted(counts.index[: 5 * RESETS_COUNT], key=lambda value: (-counts[value], str(value)))
    for usual in order[:RESETS_COUNT]:
        if counts[usual] < max(FILLED_LEAST, VALUE_SHARE_LEAST * filled.sum()):
            break
        moved = filled & (values != usual).to_numpy(dtype=bool)
        shown = f"{usual:g}" if is_number else f"'{masked(str(usual))}'"
        yield from stands_only(moved, groups, f"differs from {shown}", "value")
        yield from _contrasts(moved, groups, f"other than {shown}")


def _contrasts(rows: Flags, groups: OutcomeGroups, what: str) -> Iterator[Finding | None]:
    """Judge how much more often a pattern stands with one ending than with another, created at the same times."""
    comparisons = (
        ("won", groups.won, "the others", ~groups.won & (groups.open | groups.lost)),
        ("won", groups.won, "lost", groups.lost),
        ("lost", groups.lost, "the others", groups.won | groups.open),
        ("ended", ~groups.open, "still open", groups.open),
        ("still open", groups.open & (groups.lost.sum() >= GROUP_LEAST), "ended", ~groups.open),
    )
    for name, ones, other_name, others in comparisons:
        yield _contrast(rows, groups, what, (name, ones), (other_name, others))


def _contrast(
    rows: Flags, groups: OutcomeGroups, what: str, one: tuple[str, Flags], other: tuple[str, Flags]
) -> Finding | None:
    (name, ones), (other_name, others) = one, other
    size = int(groups.stratum.max(initial=0)) + 1
    compared = (np.bincount(groups.stratum[others], minlength=size) > 0)[groups.stratum] & ones
    n, m = int(compared.sum()), int(others.sum())
    if n < GROUP_LEAST or m < GROUP_LEAST:
        return None
    with_, share = int(rows[compared].sum()), float(rows[compared].mean())
    usual = _standard(rows, compared, others, groups)
    difference = share - usual
    # Odds are told by the times at which the pattern occurs at all.
    telling = (np.bincount(groups.stratum[rows], minlength=size) > 0)[groups.stratum]
    among, beside = int((compared & telling).sum()), int((others & telling).sum())
    theirs = beside * (_standard(rows, compared & telling, others, groups) if with_ else 0.0)
    cells = np.array([with_, among - with_, theirs, beside - theirs]) + 0.5
    log_odds, error = np.log(cells[0] * cells[3] / (cells[1] * cells[2])), np.sqrt((1 / cells).sum())
    sure, doubtful = (log_odds - stats.norm.isf(chance) * error for chance in (ODDS_CHANCE, DOUBTFUL_CHANCE))
    is_sure = abs(difference) >= FILLED_DIFFERENCE or (what == "filled" and sure >= np.log(FILLED_ODDS))
    seems = what == "filled" and log_odds >= np.log(DOUBTFUL_ODDS) and doubtful >= np.log(HONEST_ODDS)
    if not (is_sure or seems):
        return None
    floor = min(max(usual, 1 / (m + 2)), 1 - 1 / (m + 2))
    chance = stats.binom.logsf(with_ - 1, n, floor) if difference > 0 else stats.binom.logcdf(with_, n, floor)
    of_others = "the others" if other_name == "the others" else f"{other_name} ones"
    state = "have ended" if name == "ended" else f"are {name}"
    tail = "emptied at the end" if name == "still open" else "written with the outcome"
    says = f"{what} for {share:.0%} of {groups.row_noun} that {state}, but for {usual:.0%} of {of_others}: {tail}"
    return Finding("filled", says, float(chance), is_sure=is_sure)


def _standard(rows: Flags, ones: Flags, others: Flags, groups: OutcomeGroups) -> float:
    """Share of `rows` among `others`, created at the times at which `ones` were."""
    size = int(groups.stratum.max(initial=0)) + 1
    total = np.bincount(groups.stratum[others], minlength=size)
    with_ = np.bincount(groups.stratum[others & rows], minlength=size)
    return float((with_ / np.maximum(total, 1))[groups.stratum[ones]].mean())


def _value_signs(values: pd.Series, filled: Flags, groups: OutcomeGroups) -> Iterator[Finding | None]:
    is_number = pd.api.types.is_numeric_dtype(values)
    if pd.api.types.is_datetime64_any_dtype(values) or (is_number and values.nunique() > VALUES_LIMIT):
        return
    counts = values.value_counts()
    order = sorted(counts.index, key=lambda value: (-counts[value], str(value)))
    for value in order:
        if counts[value] < FILLED_LEAST:
            break
        rows = (values == value).to_numpy(dtype=bool)
        shown = f"{value:g}" if is_number else f"'{masked(str(value))}'"
        what, word = f"has {shown}", None if is_number else str(value)
        yield from stands_only(rows, groups, what, "value", flags=("won",), word=word)
        for name, flag in (("lost", groups.lost), ("open", groups.open), ("ended", ~groups.open)):
            if counts[value] >= max(VALUE_LEAST, VALUE_SHARE_LEAST * flag.sum()):
                yield from stands_only(rows, groups, what, "value", flags=(name,), word=word)
        yield _named(str(value), rows, groups)


def _named(value: str, rows: Flags, groups: OutcomeGroups) -> Finding | None:
    """Judge a value that is named like an ending and mostly stands with it."""
    for name, flag in (("won", groups.won), ("lost", groups.lost)):
        if value.strip().lower() in GROUP_WORDS[name]:
            count, together = int(rows.sum()), int((rows & flag).sum())
            usual = groups.usual_share(flag, rows)
            if together >= NAMED_PURITY * count and usual <= NAMED_PURITY / 2:
                reason = f"has '{value}' for {groups.row_noun} that are {name} ({together:,} of {count:,}): the outcome"
                return Finding(
                    "value", f"{reason} by another name", float(stats.binom.logsf(together - 1, count, usual))
                )
    return None


def _shape_sign(values: pd.Series, filled: Flags, groups: OutcomeGroups) -> Finding | None:
    """Judge ids and free text by their shape."""
    known = values[filled]
    if len(known) < DISTINCT_LEAST or pd.api.types.is_datetime64_any_dtype(values):
        return None
    distinct = known.nunique()
    if pd.api.types.is_numeric_dtype(values):
        is_whole = bool((known == known.round()).all())
        if is_whole and distinct > 0.99 * len(known):
            order = abs(known.rank().corr(pd.Series(groups.created[filled], index=known.index).rank()))
            if order > 0.95:
                return Finding("id", "a different whole number for each, counting up with time: an id")
        return None
    if distinct > DISTINCT_SHARE * len(known):
        return Finding("id", f"nearly every value is different ({distinct:,} of {len(known):,}): an id or free text")
    if known.astype(str).str.len().median() > TEXT_LENGTH:
        return Finding("text", "holds free text")
    return None
