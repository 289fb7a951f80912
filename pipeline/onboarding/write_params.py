"""A first params file that a person can read: every table, every column with its reason, every doubt in its place."""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

from pipeline.common.formatting import count as counted
from pipeline.onboarding.draft import REASONS, Draft, MappedColumn, SourceDraft

CHECK = "# CHECK:"
SEAL = "# leadrev init: as written, "
_COMMENT_COLUMN = 50
_WIDTH = 118
_ORDER = {name: place for place, name in enumerate(REASONS)}
_TABLES = ("leads", "deals", "accounts", "events", "changes", "owners")


def params_text(draft: Draft) -> str:
    """Write a draft as YAML with comments.

    Every doubt is a comment that begins with ``# CHECK:`` above the line it is about. The last line holds a digest of
    all others, by which a later run knows whether a person has edited the file.

    Parameters
    ----------
    draft : Draft

    Returns
    -------
    str
        The same draft gives the same text.
    """
    doubts = draft.every_doubt
    origin = f" {draft.crm}." if draft.crm else " No CRM was recognised: what stands here was read off the contents."
    lines = [f"# Params of leadrev, written by `leadrev init` from what the tables hold.{origin}"]
    if doubts:
        lines += _comment(
            f'Look for "{CHECK}": {len(doubts)} left to decide; what stands below each is the safe choice.'
        )
    lines += _comment(
        "Run `leadrev init` again after a new export: it changes nothing that you edit, and says what is new. All keys "
        "are explained in leadrev's own params.yaml.",
    )
    lines += ["", _line("company", draft.company, "shown in reports; names the model; from the folder's name")]
    lines += _setting(draft, "currency", "currency", "")
    lines += ["", "data:", *_setting(draft, "data.timezone", "timezone", "  ")]
    if draft.hosts:
        lines += [_line("hosts", draft.hosts, "passwords may be sent there, and nowhere else", "  ")]
    lines += ["  sources:"]
    for table in _TABLES:
        sources = draft.of(table)
        if sources:
            lines += [f"    {table}:"]
            for source in sources:
                lines += _source(source, is_one=len(sources) == 1)
    if draft.unused:
        lines += ["", "    # Not read:"]
        for profile, why in draft.unused:
            lines += _comment(
                f"{profile.label} ({counted(profile.row_count, 'row', 'rows')}): {why}",
                "    #   ",
                hanging="    #     ",
            )
    body = "\n".join(line.rstrip() for line in lines) + "\n"
    return f"{body}\n{SEAL}{_digest(body)}\n"


def is_untouched(text: str) -> bool:
    """Whether a params file is as `params_text` wrote it."""
    body, mark, digest = text.rpartition(f"\n{SEAL}")
    return bool(mark) and digest.strip() == _digest(body)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def flow(value: Any) -> str:
    """Give a value as YAML on one line, read back as the same text."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _line(key: str, value: Any, why: str = "", indent: str = "") -> str:
    return _with_reason(f"{indent}{flow(key)}: {flow(value)}", why)


def _with_reason(text: str, why: str) -> str:
    return f"{text:<{_COMMENT_COLUMN}}  # {why}" if why else text


def _comment(text: str, start: str = "# ", hanging: str | None = None) -> list[str]:
    """Break a comment into lines."""
    words, lines, line = text.split(), [], start
    for word in words:
        if len(line) + len(word) > _WIDTH and line.strip("# "):
            lines.append(line.rstrip())
            line = hanging or start
        line += word + " "
    return [*lines, line.rstrip()]


def _check(text: str, indent: str) -> list[str]:
    return _comment(text, f"{indent}{CHECK} ", hanging=f"{indent}#   ")


def _setting(draft: Draft, where: str, key: str, indent: str) -> list[str]:
    value, why = draft.settings[where]
    doubts = [doubt for doubt in draft.doubts if doubt.where == where]
    return [line for doubt in doubts for line in _check(doubt.text, indent)] + [_line(key, value, why, indent)]


def _source(source: SourceDraft, *, is_one: bool) -> list[str]:
    indent = "      "
    lines = _comment(f"{source.profile.label}: {source.about}", f"{indent}# ")
    lines += [_line("from", source.profile.place.written, "", indent)]
    if source.crm:
        lines += [_line("crm", source.crm, "", indent)]
    if source.timezone:
        lines += [_line("timezone", source.timezone, "of its times without an offset", indent)]
    if source.deleted:
        lines += [_line("deleted", source.deleted, "rows that somebody threw away are left out", indent)]
    doubts = {doubt.where.partition(".")[2]: doubt for doubt in source.doubts}
    lines += [f"{indent}columns:"]
    for column in sorted(source.columns, key=_place):
        if column.ours in doubts:
            lines += _check(doubts.pop(column.ours).text, indent + "  ")
        lines += [_line(column.ours, column.written, column.why, indent + "  ")]
    for doubt in doubts.values():
        lines += _check(doubt.text, indent)
    lines += _values(source, indent)
    if source.ignore:
        lines += [f"{indent}ignore:"]
        lines += [_line_of_list(name, why, indent + "  ") for name, why in source.ignore.items()]
    if source.attributes:
        lines += _comment(f"For the audit to judge: {', '.join(source.attributes)}", f"{indent}# ", f"{indent}#   ")
    if not is_one:
        first = next(place for place, line in enumerate(lines) if not line.strip().startswith("#"))
        rest = [f"  {line}" for line in lines[first + 1 :]]
        lines = [*lines[:first], f"{indent}- {lines[first].strip()}", *rest]
    return lines


def _place(column: MappedColumn) -> int:
    return _ORDER.get(column.ours, len(_ORDER))


def _line_of_list(name: str, why: str, indent: str) -> str:
    return _with_reason(f"{indent}- {flow(name)}", why)


def _values(source: SourceDraft, indent: str) -> list[str]:
    lines: list[str] = []
    for column, words in source.values.items():
        if not words:
            continue
        lines += [f"{indent}  {flow(column)}:"]
        for ours, theirs in words.items():
            line = _line(ours, theirs, "", indent + "    ")
            if len(line) <= _WIDTH:
                lines += [line]
            else:
                lines += [f"{indent}    {flow(ours)}:", *(f"{indent}      - {flow(word)}" for word in theirs)]
    return [f"{indent}values:", *lines] if lines else []
