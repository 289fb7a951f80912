# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Tables that nobody recognises, read by what they hold: words that look like outcomes, ids that join, dates, amounts.

What columns are called is the second witness only. Every choice says how sure it is; one below `SURE` is a doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.common.formatting import count as counted
from pipeline.common.sql import literal
from pipeline.config.outcome_words import likely_outcome, likely_status
from pipeline.onboarding.draft import Draft, SourceDraft
from pipeline.onboarding.name_hints import column_hint, split_words, table_hint
from pipeline.onboarding.profile import TableProfile, joined_share

SURE = 0.6
_TIMES = ("time", "date", "epoch")
_KEYS = ("id", "number", "epoch", "text", "word")
_LEAST_JOINED = 0.5


@dataclass(frozen=True)
class Join:
    """A column whose values are another table's ids."""

    column: str
    to: TableProfile
    key: str
    share: float


@dataclass(frozen=True)
class OutcomeColumn:
    """A column that says won, lost and open, each word under its reading; or a flag that says won."""

    column: str
    values: dict[str, list[str]]
    sure: float


def draft_by_contents(draft: Draft, profiles: Sequence[TableProfile]) -> None:
    """Add sources for tables of no known CRM; in place.

    Deals are where words look like outcomes; leads what the deals point to, else the deals themselves; events what
    points to leads many times and has a date; accounts what leads or deals point to besides.
    """
    outcomes = {profile.relation: found for profile in profiles if (found := _outcome_of(profile))}
    candidates = [profile for profile in profiles if profile.relation in outcomes and _times(profile)]
    if not candidates:
        return
    keys = {profile.relation: _key_of(profile) for profile in profiles}
    joins = {profile.relation: _joins(profile, profiles, keys) for profile in profiles}

    def deal_score(profile: TableProfile) -> float:
        points_to = sum(join.share for join in joins[profile.relation])
        return outcomes[profile.relation].sure + table_hint("deals", profile.place.name) + 0.3 * min(points_to, 1)

    deals = max(candidates, key=deal_score)
    outcome = outcomes[deals.relation]
    leads, lead_join = _leads_of(deals, profiles, joins)
    deal_source = _deals(deals, outcome, keys)
    if leads is None:
        key = keys[deals.relation]
        lead_source = _leads(
            deals,
            key,
            f"{counted(deals.row_count, 'row', 'rows')}; each deal is its own lead, as no table is pointed to",
        )
        if key is not None:
            lead_source.map("deal_id", key)
            deal_source.map("lead_id", key, "each deal is its own lead")
        _leave_to_deals(lead_source, deal_source)
        leads = deals
    else:
        lead_source = _leads(leads, keys[leads.relation], _how_sure("the leads", lead_join))
        _link(lead_source, deal_source, lead_join, deals)
    draft.sources += [lead_source, deal_source]
    _others(draft, profiles, {leads.relation, deals.relation}, keys, joins, lead_source, deal_source)
    for source in draft.sources:
        _finish(source)


def _outcome_of(profile: TableProfile) -> OutcomeColumn | None:
    best = None
    for name, column in profile.profiles.items():
        if column.shape == "flag" and split_words(name) in ("won", "is won", "gewonnen", "ganho", "ganado", "gagne"):
            flags: dict[str, list[str]] = {"won": [], "lost": []}
            for word in profile.words(name):
                flags["won" if word.lower() in ("true", "t", "1", "yes", "y") else "lost"].append(word)
            best = best or OutcomeColumn(name, flags, 0.5)
        if column.shape != "word":
            continue
        counts = profile.words(name)
        readings = {word: likely_outcome(word) for word in counts}
        if "won" not in readings.values():
            continue
        share = sum(counts[word] for word, reading in readings.items() if reading) / max(1, sum(counts.values()))
        sure = min(1.0, 0.5 * share + 0.2 * ("lost" in readings.values()) + 0.5 * column_hint("outcome", name))
        values = {
            ours: [w for w, reading in readings.items() if (reading or "open") == ours]
            for ours in ("won", "lost", "open")
        }
        if best is None or sure > best.sure:
            best = OutcomeColumn(name, {ours: words for ours, words in values.items() if words}, sure)
    return best


def _times(profile: TableProfile) -> list[str]:
    return [name for name, column in profile.profiles.items() if column.shape in _TIMES]


def _key_of(profile: TableProfile) -> str | None:
    """Find the column whose every value is another: the first by name, else the first at all."""
    columns = [
        name for name, column in profile.profiles.items()
        if column.shape in _KEYS and column.filled_share > 0.99 and column.distinct_share > 0.99
    ]  # fmt: skip
    unique = []
    for name in columns[:12]:
        text = profile.text(name)
        rows, distinct = profile.query(f"SELECT count(*), count(DISTINCT {text}) FROM {{}}")[0]
        if distinct >= 0.99 * rows:
            unique.append(name)
    named = [
        name
        for name in unique
        if set(split_words(name).split()) & {"id", "key", "number", "nr", "no", "code", "numero", "nummer", "uuid"}
    ]
    found = named or unique
    return found[0] if found else None


def _joins(profile: TableProfile, others: Sequence[TableProfile], keys: dict[str, str | None]) -> list[Join]:
    """Find the columns that hold other tables' ids; numbers only where the name speaks for it too."""
    found = []
    for name, column in profile.profiles.items():
        if column.shape not in _KEYS or column.filled_share == 0:
            continue
        for other in others:
            key = keys[other.relation]
            if other is profile or key is None:
                continue
            named = _names_alike(name, other, key)
            if other.profiles[key].shape == "number" and not named:
                continue
            share = joined_share(profile, name, other, key)
            if share >= _LEAST_JOINED or (named and share > 0.2):
                found.append(Join(name, other, key, min(1.0, share + 0.2 * named)))
    best: dict[tuple[str, str], Join] = {}
    for join in found:
        place = (join.to.relation, "")
        if place not in best or join.share > best[place].share:
            best[place] = join
    return sorted(best.values(), key=lambda join: -join.share)


def _names_alike(name: str, other: TableProfile, key: str) -> bool:
    words, table = split_words(name), split_words(other.place.name)
    return (words == split_words(key) and words != "id") or any(
        word.rstrip("s") in words for word in table.split() if len(word) > 3
    )


def _leads_of(
    deals: TableProfile, profiles: Sequence[TableProfile], joins: dict[str, list[Join]]
) -> tuple[TableProfile | None, Join | None]:
    """Find what the deals point to, or what points to the deals once, that begins with a date and is no company."""

    def score(other: TableProfile, join: Join) -> float:
        people = any(column.shape == "email" for column in other.profiles.values())
        source = max((column_hint("source", name) for name in other.columns), default=0)
        company = table_hint("accounts", other.place.name)
        return join.share + table_hint("leads", other.place.name) + 0.3 * people + 0.3 * source - company

    pointed = [(join.to, join) for join in joins[deals.relation] if _times(join.to)]
    pointing = [
        (other, join)
        for other in profiles
        for join in joins[other.relation]
        if join.to is deals and other.profiles[join.column].distinct_share > 0.95 and _times(other)
        and other.row_count >= 0.5 * deals.row_count
    ]  # fmt: skip
    scored = [(score(other, join), place, other, join) for place, (other, join) in enumerate([*pointed, *pointing])]
    if not scored or max(scored)[0] < _LEAST_JOINED:
        return None, None
    best = max(scored, key=lambda item: (item[0], -item[1]))
    return best[2], best[3]


def _how_sure(what: str, join: Join | None) -> str:
    return what if join is None else f"{what}: {min(join.share, 1):.0%} of {join.column} are ids of {join.to.label}"


def _deals(profile: TableProfile, outcome: OutcomeColumn, keys: dict[str, str | None]) -> SourceDraft:
    source = SourceDraft(
        "deals", profile, f"{counted(profile.row_count, 'row', 'rows')}; its {outcome.column} holds outcomes"
    )
    if key := keys[profile.relation]:
        source.map("deal_id", key, "each value once")
    source.map("outcome", outcome.column, _sure(outcome.sure, "its words"))
    source.values["outcome"] = outcome.values
    text = f"lower({profile.text(outcome.column)})"
    listed = {
        ours: ", ".join(literal(word.lower()) for word in words) or "NULL" for ours, words in outcome.values.items()
    }
    source.reading["won"] = f"({text} IN ({listed.get('won', 'NULL')}))"
    ended = f"({text} IN ({listed.get('won', 'NULL')}, {listed.get('lost', 'NULL')}))"
    _pick_closing(source, ended)
    _pick(source, "opened_at", _TIMES, hint="created_at")
    _pick(source, "amount", ("number",), least=0.5)
    _pick(source, "currency", ("word",), least=0.5)
    if outcome.sure < SURE:
        source.doubt("outcome", f"{outcome.column} looks like the outcome ({outcome.sure:.0%} sure): {outcome.values}")
    return source


def _pick_closing(source: SourceDraft, ended: str) -> None:
    """Take the date that ended deals have and open ones lack; else the one whose name says so."""
    profile = source.profile
    best, best_score = None, 0.0
    for name in _times(profile):
        text = profile.text(name)
        filled, open_filled = profile.query(
            f"SELECT avg(({text} IS NOT NULL)::INT) FILTER ({ended}), "
            f"avg(({text} IS NOT NULL)::INT) FILTER (NOT {ended}) FROM {{}}"
        )[0]
        score = (filled or 0.0) * (0.3 + 0.4 * (1 - (open_filled if open_filled is not None else 1.0)))
        score += 0.5 * column_hint("closed_at", name) - 0.5 * column_hint("created_at", name)
        if score > best_score:
            best, best_score = name, score
    if best is None:
        return
    source.map("closed_at", best, _sure(min(best_score, 1.0), "filled where a deal has ended"))
    if best_score < SURE:
        source.doubt("closed_at", f"{best} looks like the closing date ({best_score:.0%} sure)")


def _pick(source: SourceDraft, ours: str, shapes: Sequence[str], hint: str | None = None, least: float = 0.0) -> None:
    """Take the column of the right shape whose name speaks most for it."""
    taken = {name for column in source.columns for name in column.theirs}
    scored = [
        (column_hint(hint or ours, name) + 0.2 * column.filled_share, -place, name)
        for place, (name, column) in enumerate(source.profile.profiles.items())
        if column.shape in shapes and name not in taken and column_hint(hint or ours, name) >= least
    ]
    if scored and (best := max(scored))[0] > 0.2:
        source.map(ours, best[2], _sure(min(1.0, best[0]), "its name"))


def _sure(share: float, why: str) -> str:
    return f"{share:.0%} sure: {why}"


def _leads(profile: TableProfile, key: str | None, about: str) -> SourceDraft:
    source = SourceDraft(
        "leads", profile, about if "rows" in about else f"{counted(profile.row_count, 'row', 'rows')}; {about}"
    )
    if key is not None:
        source.map("lead_id", key, "each value once")
    times = [name for name in _times(profile) if profile.profiles[name].filled_share > 0.9]
    scored = sorted(times, key=lambda name: -column_hint("created_at", name) + 0.5 * column_hint("closed_at", name))
    if scored:
        best = scored[0]
        sure = 0.9 if column_hint("created_at", best) else 0.75 if len(times) == 1 else 0.4
        source.map("created_at", best, _sure(sure, "always filled"))
        if sure < SURE:
            source.doubt("created_at", f"{best} looks like the lead's beginning; it might be {', '.join(scored[1:3])}")
    if emails := [name for name, column in profile.profiles.items() if column.shape == "email"]:
        source.map("email", emails[0])
    for ours, shapes in (
        ("source", ("word",)), ("campaign", ("word",)), ("owner_id", ("word", "id", "number")),
        ("title", ("word", "text")), ("phone", ("number", "text", "id")), ("company_name", ("text", "word", "id")),
        ("name", ("text", "word", "id")),
    ):  # fmt: skip
        _pick(source, ours, shapes, least=0.5)
    return source


def _leave_to_deals(leads: SourceDraft, deals: SourceDraft) -> None:
    """Keep what a deal says of its end out of what its lead says."""
    own = {name for column in leads.columns for name in column.theirs}
    for column in deals.columns:
        for name in column.theirs:
            if name not in own:
                leads.ignore[name] = "read as the deal's, at its date"


def _link(leads: SourceDraft, deals: SourceDraft, join: Join | None, profile: TableProfile) -> None:
    if join is None:
        return
    if join.to is profile:
        leads.map("deal_id", join.column, f"{join.share:.0%} are ids of {join.to.label}")
    else:
        deals.map("lead_id", join.column, f"{join.share:.0%} are ids of {join.to.label}")


def _others(
    draft: Draft,
    profiles: Sequence[TableProfile],
    taken: set[str],
    keys: dict[str, str | None],
    joins: dict[str, list[Join]],
    leads: SourceDraft,
    deals: SourceDraft,
) -> None:
    for profile in profiles:
        if profile.relation in taken:
            continue
        source = _account(profile, joins, leads, deals) or _events(profile, keys[profile.relation], joins, leads, deals)
        if source is not None:
            draft.sources.append(source)
        else:
            draft.unused.append((profile, f"nothing in it joins; it has {', '.join(list(profile.columns)[:6])}"))


def _account(
    profile: TableProfile, joins: dict[str, list[Join]], leads: SourceDraft, deals: SourceDraft
) -> SourceDraft | None:
    pointing = [
        (source, join) for source in (leads, deals) for join in joins[source.profile.relation] if join.to is profile
    ]
    if not pointing:
        return None
    is_people = table_hint("owners", profile.place.name) > 0 and not table_hint("accounts", profile.place.name)
    table, ours = ("owners", "owner_id") if is_people else ("accounts", "account_id")
    found = SourceDraft(
        table, profile, f"{counted(profile.row_count, 'row', 'rows')}; {_how_sure(table, pointing[0][1])}"
    )
    found.map(ours, pointing[0][1].key, "each value once")
    for source, join in pointing:
        source.map(ours, join.column, f"{join.share:.0%} are ids of {profile.label}")
    if table == "owners":
        _pick(found, "name", ("text", "word", "id"), least=0.5)
    else:
        for column, shapes in (
            ("employees", ("number",)), ("annual_revenue", ("number",)), ("industry", ("word",)),
            ("country", ("word",)),
        ):  # fmt: skip
            _pick(found, column, shapes, least=0.5)
    return found


def _events(
    profile: TableProfile, key: str | None, joins: dict[str, list[Join]], leads: SourceDraft, deals: SourceDraft
) -> SourceDraft | None:
    by = {leads.profile.relation: "lead_id", deals.profile.relation: "deal_id"} | {leads.profile.relation: "lead_id"}
    found = [(by[join.to.relation], join) for join in joins[profile.relation] if join.to.relation in by]
    if not found or not _times(profile):
        return None
    source = SourceDraft(
        "events", profile, f"{counted(profile.row_count, 'row', 'rows')}; {_how_sure('events', found[0][1])}"
    )
    for ours, join in found:
        source.map(ours, join.column, f"{join.share:.0%} are ids of {join.to.label}")
    if key is not None:
        source.map("event_id", key, "each value once")
    _pick(source, "occurred_at", _TIMES)
    if source.column("occurred_at") is None:
        source.map("occurred_at", _times(profile)[0], "its only date")
    _pick(source, "kind", ("word", "flag"))
    if source.column("kind") is None:
        words = [name for name, column in profile.profiles.items() if column.shape == "word"]
        source.map("kind", words[0] if words else {"constant": split_words(profile.place.name)})
    return source


def _finish(source: SourceDraft) -> None:
    """Read the words of a lead's status, and list what is for the audit."""
    if source.table == "leads" and (column := source.column("status")):
        values: dict[str, list[str]] = {}
        for word in source.profile.words(column):
            values.setdefault(likely_status(word) or "open", []).append(word)
        source.values["status"] = values
    taken = {name for column in source.columns for name in column.theirs} | set(source.ignore)
    if source.table in ("leads", "deals", "accounts"):
        source.attributes = [name for name in source.profile.columns if name not in taken]
