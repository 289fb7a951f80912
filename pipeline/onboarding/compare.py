"""What a new look at the tables finds that the params of an earlier one do not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipeline.common.formatting import count as counted
from pipeline.onboarding.draft import Draft, SourceDraft
from pipeline.onboarding.write_params import CHECK, SEAL

_WORDS_OF = (("deals", "outcome"), ("leads", "status"))
SHOWN = 6


def whats_new(draft: Draft, content: dict[str, Any], text: str) -> list[str]:
    """List tables, columns and words that the params do not mention, and tables of theirs that are gone.

    Parameters
    ----------
    draft : Draft
        By what the tables hold today.
    content : dict
        The params as YAML reads them.
    text : str
        The params as written: a column counts as known where its name stands anywhere, in a comment too.
    """
    known = {(table, source.get("from")): source for table, source in _sources(content)}
    froms = {str(written) for _, written in known if written is not None}
    looked_at = [source.profile.place for source in draft.sources] + [profile.place for profile, _ in draft.unused]
    looked_at += [place for place, _ in draft.unread]
    lines = []
    for source in draft.sources:
        place = source.profile.place
        if (source.table, place.written) not in known and place.written not in froms:
            lines.append(
                f"a new table, {source.profile.label} "
                f"({counted(source.profile.row_count, 'row', 'rows')}): {source.table}"
            )
    for profile, why in draft.unused:
        if profile.label not in text:
            lines.append(f"a new table, {profile.label} ({counted(profile.row_count, 'row', 'rows')}), not read: {why}")
    if SEAL in text:
        lines += _columns(draft, froms, text)
    for source in draft.sources:
        if old := known.get((source.table, source.profile.place.written)):
            lines += _words(source, old)
    here = {place.written for place in looked_at}
    return lines + [f"{written} is gone" for written in sorted(froms) if written not in here and "*" not in written]


def open_checks(text: str) -> list[str]:
    """List what a params file still marks as to be decided."""
    found: list[str] = []
    goes_on = False
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith(CHECK):
            found.append(bare.removeprefix(CHECK).strip())
            goes_on = True
        elif goes_on and bare.startswith("#   "):
            found[-1] += " " + bare.lstrip("# ")
        else:
            goes_on = False
    return found


def _sources(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    tables = (content.get("data") or {}).get("sources") or {}
    for table, listed in tables.items():
        for source in listed if isinstance(listed, list) else [listed]:
            if isinstance(source, dict):
                yield table, source


def _columns(draft: Draft, froms: set[Any], text: str) -> list[str]:
    lines, seen = [], set()
    for source in draft.sources:
        profile = source.profile
        if profile.place.written not in froms or profile.relation in seen:
            continue
        seen.add(profile.relation)
        judged = source.table in ("leads", "deals", "accounts")
        drafted = (column for other in draft.sources if other.profile is profile for column in other.columns)
        mapped = {name for column in drafted for name in column.theirs}
        names = [name for name in profile.columns if judged or name in mapped]
        new = [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
        if new:
            more = f" and {len(new) - SHOWN} more" if len(new) > SHOWN else ""
            lines.append(f"new columns of {profile.label}: {', '.join(new[:SHOWN])}{more}; the audit judges them")
    return lines


def _words(source: SourceDraft, old: dict[str, Any]) -> list[str]:
    lines = []
    for table, ours in _WORDS_OF:
        if source.table != table or ours not in source.values or not isinstance(old.get("values"), dict):
            continue
        listed = old["values"].get(ours) or {}
        known = {
            str(word).lower() for words in listed.values() for word in (words if isinstance(words, list) else [words])
        }
        for reading, words in source.values[ours].items():
            new = [word for word in words if word.lower() not in known]
            if known and new:
                lines.append(f"new words of {table}.{ours}: {', '.join(new[:SHOWN])}; likely {reading}")
    return lines
