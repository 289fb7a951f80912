# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""How a deal's outcome and a lead's status are read: from flags, a table of stages, words known or guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.common.sql import literal
from pipeline.config.outcome_words import likely_outcome, likely_status
from pipeline.ingest.outcome_flags import FALSE_WORDS
from pipeline.onboarding.draft import SourceDraft, money_of
from pipeline.onboarding.profile import TableProfile, is_true_sql
from pipeline.onboarding.recognise import Match

SHOWN_WORDS = 8


def read_outcome(source: SourceDraft, match: Match, others: Sequence[Match]) -> None:
    """Say how a table of deals, or of their versions, tells won from lost; the table's words are looked up.

    Flags say it best; a table of stages (`others`) next; then the words that the CRM has from the start; then what a
    word is likely to mean. A word that nothing tells is open, and a doubt.
    """
    outcome = match.record.outcome
    if outcome is None:
        return
    profile = match.profile
    closed, won = match.find(outcome.closed), match.find(outcome.won)
    words = match.find(outcome.words)
    if closed and won:
        source.map("outcome", {"closed": closed, "won": won}, "both flags together: neither set is open")
        source.reading["won"] = is_true_sql(profile, won)
        source.reading["closed"] = is_true_sql(profile, closed)
        return
    if words is None:
        return
    readings = _lookup("deals.outcome", others)
    stays = match.find(outcome.lost_unless)
    if not readings:
        readings = _flags_elsewhere(match, words, others)
    source.map("outcome", words, match.record.why.get("outcome"))
    gone = {word.lower() for word in source.values.get("deleted", {}).get("deleted", []) if source.deleted == words}
    readings |= dict.fromkeys(gone, "deleted")
    read_words(source, match, "outcome", words, readings, likely_outcome)
    won_words = [literal(word.lower()) for word in source.values["outcome"].get("won", [])] or ["NULL"]
    open_words = [literal(word.lower()) for word in source.values["outcome"].get("open", [])] or ["NULL"]
    source.reading["won"] = f"(lower({profile.text(words)}) IN ({', '.join(won_words)}))"
    source.reading["closed"] = f"(NOT lower({profile.text(words)}) IN ({', '.join(open_words)}))"
    if stays:
        source.map("outcome", {"won": words, "lost": stays}, match.record.why.get("outcome"))
        gone_words = [word for word in profile.words(stays) if word.lower() in FALSE_WORDS]
        source.values["outcome"] = {"won": source.values["outcome"].get("won", []), "lost": gone_words}
        source.reading["closed"] = f"({source.reading['won']} OR NOT {is_true_sql(profile, stays)})"


def read_status(source: SourceDraft, match: Match, others: Sequence[Match]) -> None:
    """Say what the words of a lead's status mean."""
    column = source.column("status")
    if column is not None:
        read_words(source, match, "status", column, _lookup("leads.status", others), likely_status)


def read_words(
    source: SourceDraft,
    match: Match,
    ours: str,
    column: str,
    readings: dict[str, str],
    likely: Callable[[str], str | None],
    more_words: Sequence[str] = (),
) -> None:
    """Sort a column's words, and `more_words` of its history, under ours.

    Parameters
    ----------
    source, match, ours, column
        Whose.
    readings : dict of str to str
        Our word by the source's in small letters, where it is known beyond doubt.
    likely : callable
        What a word is likely to mean, or None.
    """
    counts = match.profile.words(column)
    counts |= {word: 0 for word in more_words if word not in counts}
    known = {
        word.lower(): name
        for name, listed in match.crm.words.get(f"{source.table}.{ours}", {}).items()
        for word in listed
    }
    values: dict[str, list[str]] = {}
    untold: dict[str, int] = {}
    for word, count in counts.items():
        reading = readings.get(word.lower()) or known.get(word.lower()) or likely(word)
        if reading is None:
            untold[word] = count
        values.setdefault(reading or "open", []).append(word)
    # A word that marks deleted rows is no outcome.
    source.values[ours] = {name: values[name] for name in ("won", "converted", "lost", "open") if name in values}
    if any(untold.values()):
        unread = [f"{word} ({count:,})" for word, count in list(untold.items())[:SHOWN_WORDS]]
        more = f" and {len(untold) - SHOWN_WORDS} more" if len(untold) > SHOWN_WORDS else ""
        listed = ", ".join(literal(word.lower()) for word in untold)
        where = f"lower({match.profile.text(column)}) IN ({listed})"
        source.doubt(
            ours,
            f"nothing says what these words of {column} mean; they are read as open: {', '.join(unread)}{more}",
            money_of(match.profile, source.column("amount"), where),
        )


def name_sources(source: SourceDraft, others: Sequence[Match]) -> None:
    """Give sources that are numbers the names that a table of their own has for them."""
    column = source.column("source")
    for match in others:
        if match.record.lookup != "leads.source" or column is None:
            continue
        word, label = (match.find(match.record.columns[name]) for name in ("word", "label"))
        if word is None or label is None:
            continue
        used = source.profile.words(column)
        rows = match.profile.query(
            f"SELECT {match.profile.text(label)}, {match.profile.text(word)} FROM {{}} ORDER BY 1, 2"
        )
        names: dict[str, list[str]] = {}
        for name, number in rows:
            if name and str(number) in used:
                names.setdefault(str(name), []).append(str(number))
        if names:
            source.values["source"] = names


def _lookup(of: str, others: Sequence[Match]) -> dict[str, str]:
    """Read a table of stages: our word by the source's."""
    readings: dict[str, str] = {}
    for match in others:
        if match.record.lookup != of:
            continue
        word, won = (match.find(match.record.columns.get(name, [])) for name in ("word", "won"))
        closed = match.find(match.record.columns.get("closed", []))
        if word is None or won is None:
            continue
        profile: TableProfile = match.profile
        is_closed = is_true_sql(profile, closed) if closed else "false"
        rows = profile.query(
            f"SELECT lower({profile.text(word)}), {is_true_sql(profile, won)}, {is_closed} FROM {{}} "
            f"WHERE {profile.text(word)} IS NOT NULL"
        )
        for name, is_won, ended in rows:
            readings[name] = "won" if is_won else "lost" if ended else "open"
    return readings


def _flags_elsewhere(match: Match, words: str, others: Sequence[Match]) -> dict[str, str]:
    """Read the stages of versions by the flags of the deals themselves: what stage is won, lost or open there."""
    if match.record.versions_of is None:
        return {}
    for other in others:
        if other.record.record != match.record.versions_of or other.record.outcome is None:
            continue
        outcome = other.record.outcome
        closed, won, stage = (other.find(names) for names in (outcome.closed, outcome.won, outcome.words))
        if closed and won and stage:
            profile = other.profile
            rows = profile.query(
                f"SELECT lower({profile.text(stage)}), avg({is_true_sql(profile, won)}::INT), "
                f"avg({is_true_sql(profile, closed)}::INT) FROM {{}} GROUP BY 1"
            )
            return {
                name: "won" if won_share > 0.5 else "lost" if closed_share > 0.5 else "open"
                for name, won_share, closed_share in rows
                if name is not None
            }
    return {}
