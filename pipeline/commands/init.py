"""Look at a company's tables, write params that read them, check them, and say what is left to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.common.atomic_write import write_whole
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.progress import step
from pipeline.config.params import load_params
from pipeline.config.yaml_loader import read_yaml
from pipeline.onboarding.compare import open_checks, whats_new
from pipeline.onboarding.draft import Draft
from pipeline.onboarding.places import find_places, hosts_of
from pipeline.onboarding.propose import Ask, company_name, proposed
from pipeline.onboarding.write_params import is_untouched, params_text


@dataclass(frozen=True)
class InitResult:
    """What was found and written.

    Parameters
    ----------
    params : Path
    is_written : bool
        False where a person has edited the params: they stay as they are.
    found : list of str
        A line a table, and what cannot be read.
    new : list of str
        What the tables hold that the params, written earlier, do not say.
    checked : str
        What `leadrev check` says.
    decisions : list of str
        What a person should decide, most money first.
    """

    params: Path
    is_written: bool
    found: list[str]
    new: list[str]
    checked: str
    decisions: list[str]

    def summary(self) -> str:
        """Tell it in the terminal."""
        lines = [*self.found, ""]
        if self.new:
            lines += ["New since these params were written:", *(f"  {line}" for line in self.new), ""]
        lines += [
            f"Written: {self.params}" if self.is_written else f"{self.params} holds edits: it stays as it is.",
            "",
            self.checked,
            "",
        ]
        if self.decisions:
            lines += ["Left to decide, in order of money:"]
            lines += [f"  {place}. {text}" for place, text in enumerate(self.decisions, start=1)]
        else:
            lines += ["Nothing is left to decide."]
        return "\n".join([*lines, "", f"Next: leadrev backtest -p {self.params}"])


def init(given: Sequence[str], out: Path, *, crm: str | None = None, ask: Ask | None = None) -> InitResult:
    """Write params for a folder of exports, files or a database, and check them.

    Parameters
    ----------
    given : sequence of str
        A folder, files, or the address of a database.
    out : Path
        The params file. One that a person has edited is never changed.
    crm : str, optional
        The CRM, where its tables do not tell.
    ask : callable, optional
        Asks a person, on a terminal.

    Raises
    ------
    UserError
        Nothing there can be read; or the params are written, and the check cannot go on.
    """
    folder = out.resolve().parent
    places = find_places(given, folder)
    written = out.read_text(encoding="utf-8") if out.is_file() else None
    is_edited = written is not None and not is_untouched(written)
    with (
        step(f"looking at {counted(len(places), 'table', 'tables')}"),
        proposed(places, folder, company_name(given, folder), crm, None if is_edited else ask) as draft,
    ):
        draft.hosts = hosts_of(given)
        text = params_text(draft)
        new = whats_new(draft, read_yaml(out)[0], written) if written is not None else []
        money = {" ".join(doubt.text.split()): doubt.money for doubt in draft.every_doubt}
        found = _found(draft)
    if not is_edited:
        yaml.safe_load(text)
        write_whole(folder, {out.name: text.encode()})
    content, checked = _check(out)
    asked = open_checks(written if is_edited and written is not None else text)
    decisions = [(money.get(question), question) for question in asked] + _from_check(content)
    ordered = sorted(decisions, key=lambda decision: -(decision[0] or 0.0))
    currency = content["currency"]
    question_lines = [f"{amount:,.2f} {currency}: {question}" if amount else question for amount, question in ordered]
    return InitResult(out, not is_edited, found, new, checked, question_lines)


def _found(draft: Draft) -> list[str]:
    lines = [f"Recognised: {draft.crm}" if draft.crm else "No CRM recognised: read by what the tables hold"]
    for source in draft.sources:
        parts = [f"{counted(len(source.columns), 'column', 'columns')} read"]
        parts += [f"{len(source.ignore)} left out"] if source.ignore else []
        parts += [f"{len(source.attributes)} for the audit to judge"] if source.attributes else []
        lines.append(f"  {source.table} from {source.profile.label}: {', '.join(parts)}")
    lines += [f"  not read: {profile.label}: {why}" for profile, why in draft.unused]
    lines += [f"  cannot be read: {place.written}: {why}" for place, why in draft.unread]
    return lines


def _check(out: Path) -> tuple[dict[str, Any], str]:
    from pipeline.commands.check import check, summary

    params = load_params(out)
    try:
        with step("checking"):
            result = check(params, params.artifacts_folder)
    except UserError as error:
        raise UserError(f"{out} is written, but its check stops: {error}") from None
    return result.content, summary(result)


def _from_check(content: dict[str, Any]) -> list[tuple[float | None, str]]:
    """List what the check found that costs money: deals without a lead, and deals that cannot be used."""
    reconciled = content["reconciliation"]
    found: list[tuple[float | None, str]] = []
    alone = reconciled["unattached"]
    if alone["deals"]:
        deals = counted(alone["deals"], "won deal leads", "won deals lead")
        text = f"{deals} to no lead: is there a key between them that is not read?"
        found.append((alone["amount"], text))
    total = reconciled["total"]
    if total["quarantined_deals"]:
        deals = counted(total["quarantined_deals"], "won deal", "won deals")
        text = f"{deals} cannot be used; quarantine.parquet says why"
        found.append((total["quarantined_amount"], text))
    return found
