"""Which version scores by default: moved by a person, refused on bad evidence, undone in one command, written down."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pipeline.errors import UserError
from pipeline.params import Params


def promote(params: Params, version: str, *, by: str, because: str, force: bool = False) -> str:
    """Make a version champion.

    Parameters
    ----------
    params : Params
        Names the registry, and the artifacts folder whose ``backtest.json`` is the evidence.
    version : str
        A version number, or ``latest``.
    by, because : str
        Who decides, and why; kept with the registry.
    force : bool
        Promote although audit or backtest say no; that is written down too.

    Returns
    -------
    str
        What was done, in one line.

    Raises
    ------
    UserError
        If the version does not exist, `by` or `because` is blank, or the evidence says no and `force` is off.
    """
    from pipeline.registry import Registry

    for option, text in (("--by", by), ("--because", because)):
        if not text.strip():
            raise UserError(f"{option}: found nothing; a promotion needs a name and a reason, for those who ask later")
    registry = Registry(params)
    version, stored = registry.load(version)
    objections = [stored.facts.audit_failed] if stored.facts.audit_failed else []
    evidence = _backtest_verdict(params.artifacts_folder)
    if evidence is not None and evidence["use"] == "no":
        objections.append(f"the backtest says: {evidence['text']}")
    if objections and not force:
        raise UserError(f"version {version} is not promoted: {'; '.join(objections)} (--force does it all the same)")
    note = "; ".join(objections) and f"forced although {'; '.join(objections)}"
    if evidence is None:
        note = "; ".join(filter(None, [note, "no backtest was there to judge by"]))
    before = registry.champion()
    if before == version:
        return f"version {version} is champion of {registry.model_name} already; nothing was changed"
    registry.make_champion(version, action="promote", by=by, because=because, note=note)
    was = f"was version {before}" if before else "there was none"
    return f"version {version} is champion of {registry.model_name} ({was})" + (f"; {note}" if note else "")


def rollback(params: Params, *, by: str = "", because: str = "") -> str:
    """Undo the last promotion that still stands.

    Raises
    ------
    UserError
        If there is no promotion to undo.
    """
    from pipeline.registry import Registry

    registry = Registry(params)
    standing: list[str | None] = [None]
    for entry in registry.history():
        if entry["action"] == "promote":
            standing.append(entry["version"])
        else:
            standing.pop()
    if len(standing) == 1:
        raise UserError(f"{registry.model_name} has no promotion to undo: no version is champion")
    undone, back = standing[-1], standing[-2]
    who, why = by.strip() or os.environ.get("USER", "unknown"), because.strip() or "no reason given"
    registry.make_champion(back, action="rollback", by=who, because=why)
    now = f"version {back} is champion again" if back else "no version is champion now"
    return f"version {undone} of {registry.model_name} was rolled back; {now}"


def _backtest_verdict(folder: Path) -> dict[str, str] | None:
    path = folder / "backtest.json"
    return json.loads(path.read_text())["verdict"] if path.exists() else None
