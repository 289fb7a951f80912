# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""From a recognised table to a source of the params: its columns, words, and what is left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.common.formatting import count as counted
from pipeline.common.sql import literal
from pipeline.config.crm_facts import folded
from pipeline.config.data_contract import TABLES
from pipeline.config.outcome_words import likely_status
from pipeline.onboarding.draft import Draft, SourceDraft
from pipeline.onboarding.outcomes import name_sources, read_outcome, read_status, read_words
from pipeline.onboarding.profile import is_true_sql, joined_share
from pipeline.onboarding.recognise import Match, is_loader_column, loader_of, names_of

VERSION_START = "_fivetran_start"
"""When a version of a record began, in the history mode of a loader."""
LEAST_LINKED = 0.5
"""Where leads hold less than this share of the won deals, the deals are the leads."""
KIND_WORDS = {
    "new_business": ("new business", "newbusiness", "new", "new customer", "neukunde", "neugeschaft"),
    "expansion": ("existing business", "existingbusiness", "existing customer", "expansion", "upsell", "upgrade"),
    "renewal": ("renewal", "existing customer - renewal", "erneuerung"),
}


def draft_sources(draft: Draft, matches: Sequence[Match]) -> None:
    """Add a source for every recognised table; in place.

    Opportunities become the leads where the CRM has no other, or where its leads hold fewer than half of the won
    deals: then nearly all revenue would be without a lead.
    """
    matches = _without_current_copies(draft, matches)
    leads = [match for match in matches if match.record.table == "leads"]
    deals = [match for match in matches if match.record.table == "deals"]
    deal_sources = [_deals(match, matches) for match in deals]
    reason = _why_deals_are_leads(leads, deals, deal_sources)
    if reason is None:
        draft.sources += [_leads(match, matches, deals) for match in leads]
    else:
        draft.unused += [(match.profile, f"{match.label}: {reason}") for match in leads]
        for match, source in zip(deals, deal_sources, strict=True):
            if match.record.versions_of is None:
                draft.sources.append(_deals_as_leads(match, source, reason, matches))
            as_leads = match.record.as_leads.get("lead_id")
            if column := as_leads and match.find(names_of(as_leads)):
                source.map("lead_id", column, "each deal is its own lead")
                source.columns = [column for column in source.columns if column.ours != "account_id"]
    draft.sources += deal_sources
    for match in matches:
        table = match.record.table
        if table in (None, "leads", "deals"):
            continue
        source = _plain(match, as_leads=reason is not None and table == "events")
        if table == "changes":
            if reason is not None and match.record.constants.get("table") == "leads":
                draft.unused.append((match.profile, f"{match.label}: {reason}"))
                continue
            _name_fields(source, match, draft, matches)
        if table == "accounts" and not any(source.column("account_id") for source in draft.of("leads")):
            why = "leads name no company before they are converted, so nothing would find its company"
            draft.unused.append((match.profile, f"{match.label}: {why}"))
            continue
        draft.sources.append(source)
    draft.unused += [
        (match.profile, f"{match.label}: looked up for the words of {match.record.lookup}")
        for match in matches
        if match.record.lookup
    ]


def is_history_mode(match: Match) -> bool:
    """Whether a table holds every version of its records, as Fivetran's history mode writes them."""
    return match.find([VERSION_START]) is not None


def _without_current_copies(draft: Draft, matches: Sequence[Match]) -> list[Match]:
    """Leave out a table of which another holds every version."""
    versions = {match.record.record for match in matches if is_history_mode(match)}
    kept = []
    for match in matches:
        if match.record.record in versions and not is_history_mode(match):
            draft.unused.append((match.profile, f"{match.label}: another table holds all its versions"))
        else:
            kept.append(match)
    return kept


def written(match: Match, spec: Any) -> Any:
    """Give what params write for a column by the facts; None where the table has none of its names."""
    if isinstance(spec, dict) and "first_of" in spec:
        found = [name for names in spec["first_of"] if (name := match.find(names))]
        return found[0] if len(found) == 1 else found or None
    name = match.find(names_of(spec))
    if name is None or not isinstance(spec, dict):
        return name
    mark = spec["split"]
    several = match.profile.query(
        f"SELECT count(*) FROM {{}} WHERE contains({match.profile.text(name)}, {literal(mark)})"
    )[0][0]
    return {"column": name, "split": mark} if several else name


def _plain(match: Match, *, as_leads: bool = False) -> SourceDraft:
    """Map what the facts say, and sort the other columns into left out and to be judged."""
    record, profile = match.record, match.profile
    loader = loader_of(profile)
    about = f"{match.label}{f' as {loader} loads it' if loader else ''}, {counted(profile.row_count, 'row', 'rows')}"
    source = SourceDraft(record.table or "", profile, about, crm=match.crm.crm)
    specs = dict(record.columns)
    if as_leads and record.as_leads:
        specs = {ours: spec for ours, spec in specs.items() if ours not in ("lead_id", "deal_id", "contact_id")}
        specs |= record.as_leads
    for ours, value in record.constants.items():
        source.map(ours, {"constant": value}, "the table says it")
    for ours, spec in specs.items():
        if ours in TABLES[source.table] and (name := written(match, spec)) is not None:
            source.map(ours, name, record.why.get(ours))
    if is_history_mode(match) and "recorded_at" in TABLES[source.table]:
        source.map("recorded_at", match.find([VERSION_START]), "each row is one version, as it was from then on")
    source.values |= record.words
    _settle_kind(source, match)
    if record.table == "events":
        _settle_time(source, match)
    source.timezone = _time_zone(match)
    _mark_deleted(source, match)
    if record.only:
        _keep_only(source, match)
    _sort_out(source, match)
    return source


def _sort_out(source: SourceDraft, match: Match) -> None:
    """Leave out what knows the future or says nothing; the rest is for the audit."""
    taken = {name for column in source.columns for name in column.theirs} | {source.deleted}
    source.ignore, source.attributes = {}, []
    if source.table not in ("leads", "deals", "accounts"):
        return
    for name in source.profile.columns:
        if name in taken:
            continue
        why = match.crm.knows_future(match.record, name)
        if why is None and (match.crm.is_noise(match.record, name) or is_loader_column(name)):
            why = "says nothing"
        if why is None and source.profile.profiles[name].shape == "empty":
            why = "empty"
        if why is not None:
            source.ignore[name] = why
        else:
            source.attributes.append(name)


def _leads(match: Match, matches: Sequence[Match], deals: Sequence[Match]) -> SourceDraft:
    source = _plain(match)
    read_status(source, match, matches)
    name_sources(source, matches)
    has_history = any(
        other.record.constants.get("table") == "leads" and other.record.table == "changes" for other in matches
    )
    lost = source.values.get("status", {}).get("lost")
    for ours, names in match.record.fallback.items():
        if ours == "closed_at" and (has_history or not lost or source.column("status") is None):
            continue
        if column := match.find(names):
            source.map(ours, column, match.record.why.get(ours, "the only date that a lost lead has"))
            if ours not in match.record.settled:
                rows = match.profile.query(
                    f"SELECT count(*) FROM {{}} WHERE {match.profile.text(source.column('status') or '')} IN "
                    f"({', '.join(map(literal, lost or ['']))})"
                )[0][0]
                source.doubt(
                    ours,
                    f"{match.crm.title} keeps no date at which a lead was lost; {column} is the nearest, and too late "
                    f"where somebody changed a lost lead afterwards ({counted(rows, 'lead', 'leads')})",
                )
    _sort_out(source, match)
    return source


def _deals(match: Match, matches: Sequence[Match]) -> SourceDraft:
    source = _plain(match)
    read_outcome(source, match, matches)
    if source.deleted:
        source.reading["deleted"] = is_true_sql(match.profile, source.deleted)
    if match.record.versions_of is not None and source.column("recorded_at") is None:
        source.doubt("recorded_at", f"{match.label} has no date of its versions")
    _sort_out(source, match)
    return source


def _deals_as_leads(match: Match, deals: SourceDraft, reason: str, matches: Sequence[Match]) -> SourceDraft:
    """Read a table of deals as leads: what is true of one from its start, and nothing of how it goes on."""
    source = SourceDraft(
        "leads", match.profile, f"{deals.about}; the leads, as {reason}", crm=deals.crm, timezone=deals.timezone
    )
    for ours, spec in match.record.as_leads.items():
        if ours in TABLES["leads"] and (name := written(match, spec)) is not None:
            source.map(ours, name, match.record.why.get(ours) if ours != "closed_at" else None)
    _settle_kind(source, match)
    name_sources(source, matches)
    source.deleted, source.reading = (
        deals.deleted,
        {name: sql for name, sql in deals.reading.items() if name == "deleted"},
    )
    source.values |= {ours: words for ours, words in deals.values.items() if ours == "deleted"}
    _sort_out(source, match)
    own = {name for column in source.columns for name in column.theirs}
    for column in deals.columns:
        for name in column.theirs:
            if name not in own and name != source.deleted:
                source.ignore[name] = "read as the deal's, at its date"
    source.attributes = [name for name in source.attributes if name not in source.ignore]
    for name in list(deals.attributes):
        deals.ignore[name] = "read as the lead's"
    deals.attributes = []
    return source


def _why_deals_are_leads(leads: Sequence[Match], deals: Sequence[Match], sources: Sequence[SourceDraft]) -> str | None:
    """Say why opportunities are the leads; None where leads are."""
    now = [(match, source) for match, source in zip(deals, sources, strict=True) if match.record.versions_of is None]
    if not now or not now[0][0].record.as_leads:
        return None
    match, source = now[0]
    if match.record.only_leads:
        return f"{match.crm.title} keeps them in one table"
    if not leads:
        return "there is no table of leads"
    won = source.reading.get("won", "true")
    if "deleted" in source.reading:
        won = f"{won} AND NOT {source.reading['deleted']}"
    share = max(_linked(lead, match, source, won) for lead in leads)
    if share >= LEAST_LINKED:
        return None
    return f"only {share:.0%} of the won deals come from a lead"


def _linked(lead: Match, deal: Match, source: SourceDraft, won: str) -> float:
    """Share of the won deals that find a lead, by whichever key finds most."""
    short = lead.crm.crm == "salesforce"
    lead_id = lead.find(names_of(lead.record.columns["lead_id"]))
    deal_id = source.column("deal_id")
    shares = [0.0]
    by_lead = source.column("lead_id")
    if by_lead and lead_id:
        mapped = next(column.written for column in source.columns if column.ours == "lead_id")
        if isinstance(mapped, dict):
            shares.append(_linked_cells(lead, lead_id, deal, by_lead, mapped["split"], won))
        else:
            shares.append(joined_share(deal.profile, by_lead, lead.profile, lead_id, short=short, where=won))
    converted = lead.find(names_of(lead.record.columns.get("deal_id", [])))
    if converted and deal_id:
        shares.append(joined_share(deal.profile, deal_id, lead.profile, converted, short=short, where=won))
    company = lead.find(names_of(lead.record.columns.get("account_id", [])))
    account_id = source.column("account_id")
    if company and account_id:
        shares.append(joined_share(deal.profile, account_id, lead.profile, company, short=short, where=won))
    return max(shares)


def _linked_cells(lead: Match, lead_id: str, deal: Match, column: str, mark: str, won: str) -> float:
    text = deal.profile.text(column)
    ids = lead.profile.query(f"SELECT DISTINCT {lead.profile.text(lead_id)} FROM {{}}")
    known = {key for (key,) in ids}
    cells = deal.profile.query(f"SELECT {text} FROM {{}} WHERE ({won})")
    found = [any(part.strip() in known for part in (cell or "").split(mark)) for (cell,) in cells]
    return sum(found) / len(found) if found else 0.0


def _settle_kind(source: SourceDraft, match: Match) -> None:
    """Keep a kind only where its words can be read; of events, take the column with words, else one word for all."""
    mapped = source.column("kind")
    if source.table in ("leads", "deals"):
        if mapped is None:
            return
        values: dict[str, list[str]] = {}
        counts = match.profile.words(mapped)
        for word in counts:
            for ours, known in KIND_WORDS.items():
                if word.lower() in known or folded(word) in {folded(name) for name in known}:
                    values.setdefault(ours, []).append(word)
        known_count = sum(counts[word] for words in values.values() for word in words)
        if known_count < 0.8 * sum(counts.values()):
            source.columns = [column for column in source.columns if column.ours != "kind"]
        else:
            values.pop("renewal", None)
            source.values["kind"] = values
    elif source.table == "events" and "kind" not in match.record.constants:
        candidates = [name for name in names_of(match.record.columns.get("kind", [])) if match.find([name])]
        columns = [column for name in candidates if (column := match.find([name]))]
        shapes = {name: match.profile.profiles[name] for name in columns}
        words = [name for name in columns if shapes[name].shape in ("word", "flag") and shapes[name].filled_share > 0.5]
        if words:
            source.map("kind", words[0])
        else:
            source.map("kind", {"constant": match.record.record.lower()}, "the table says it")


def _settle_time(source: SourceDraft, match: Match) -> None:
    """Where the best date of an event is not always filled, the next one serves."""
    names = names_of(match.record.columns.get("occurred_at", []))
    columns = list(dict.fromkeys(column for name in names if (column := match.find([name]))))
    kept: list[str] = []
    for column in columns:
        kept.append(column)
        if match.profile.profiles[column].filled_share > 0.999:
            break
    if len(kept) > 1:
        source.map("occurred_at", kept, "the first that is filled")


def _time_zone(match: Match) -> str | None:
    """Give the zone of a table's times without an offset, where it is not the company's."""
    names = [name for name in match.profile.columns if not is_loader_column(name)]
    snake = sum(name == name.lower() and " " not in name for name in names) > 0.8 * len(names)
    zone = match.crm.api_times if snake and match.crm.api_times else match.crm.times
    if loader_of(match.profile) is not None:
        zone = "UTC"
    return None if zone == "company" else zone


def _mark_deleted(source: SourceDraft, match: Match) -> None:
    names = [*match.record.deleted, "_fivetran_deleted", "_sdc_deleted_at", "_ab_cdc_deleted_at"]
    source.deleted = match.find(names)
    words = match.crm.words.get(f"{source.table}.deleted", {}).get("deleted", [])
    if source.deleted is None and words and match.record.outcome:
        column = match.find(match.record.outcome.words)
        if column and any(word in match.profile.words(column) for word in words):
            source.deleted = column
            source.values["deleted"] = {"deleted": words}


def _keep_only(source: SourceDraft, match: Match) -> None:
    """Tell of rows that are about something else."""
    for name, value in match.record.only.items():
        column = match.find([name])
        counts = match.profile.words(column) if column else {}
        others = {word: count for word, count in counts.items() if word != value}
        if column and others:
            source.doubt(
                "kind",
                f"{sum(others.values()):,} rows have another {column} than {value}: {', '.join(list(others)[:4])}",
            )


def _name_fields(source: SourceDraft, match: Match, draft: Draft, matches: Sequence[Match]) -> None:
    """Say which of our columns a history means, where it calls them by other names than the table itself does."""
    table = match.record.constants.get("table")
    field = source.column("field")
    if field is None or table is None:
        return
    words = list(match.profile.words(field, 300))
    for target in (other for other in matches if other.record.table == table and other.record.versions_of is None):
        drafted = next((one for one in draft.of(table) if one.profile is target.profile), None)
        if drafted is None:
            continue
        meant: dict[str, list[str]] = {}
        for column in drafted.columns:
            names = {target.crm.fold(name) for name in _every_name(target, column.ours)}
            own = {name.lower() for name in column.theirs}
            listed = [word for word in words if target.crm.fold(word) in names and word.lower() not in own]
            if listed and column.theirs and column.ours not in ("lead_id", "deal_id", "account_id"):
                meant[column.theirs[0]] = listed
        if meant:
            source.values["field"] = meant
        _add_history_words(source, match, drafted, target, field)


def _every_name(match: Match, ours: str) -> list[str]:
    return names_of(match.record.columns.get(ours, []))


def _add_history_words(source: SourceDraft, match: Match, drafted: SourceDraft, target: Match, field: str) -> None:
    """Read the words that only the history of a status or a stage has."""
    new = source.column("new_value")
    for ours in ("status", "stage"):
        column = drafted.column(ours)
        if new is None or column is None:
            continue
        names = {column.lower(), *(name.lower() for name in source.values.get("field", {}).get(column, []))}
        rows = match.profile.query(
            f"SELECT DISTINCT {match.profile.text(new)} FROM {{}} "
            f"WHERE lower({match.profile.text(field)}) IN ({', '.join(map(literal, sorted(names)))})"
        )
        words = sorted(word for (word,) in rows if word)
        if ours == "status" and "status" in drafted.values:
            read_words(drafted, target, "status", column, {}, likely_status, words)
        if ours == "stage":
            now = {folded(word): word for word in drafted.profile.words(column)}
            same = {now[folded(word)]: [word] for word in words if now.get(folded(word), word) != word}
            if same:
                drafted.values["stage"] = same
