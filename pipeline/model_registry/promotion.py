"""Which version scores by default: moved by a person, refused on bad evidence, undone in one command, written down."""

from __future__ import annotations

import os

from pipeline.common.errors import UserError
from pipeline.common.seals import SealError, read_sealed_json
from pipeline.config.params import Params
from pipeline.model_registry.model_artifact import StoredModel


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
        Promote although audit or backtest say no, or there is no backtest of this way of training; that is written
        down too.

    Returns
    -------
    str
        What was done, in one line.

    Raises
    ------
    UserError
        If the version does not exist, `by` or `because` is blank, or something speaks against it and `force` is off.
    """
    from pipeline.model_registry.mlflow_registry import Registry

    for option, text in (("--by", by), ("--because", because)):
        if not text.strip():
            raise UserError(f"{option}: found nothing; a promotion needs a name and a reason, for those who ask later")
    registry = Registry(params)
    versions = registry.versions()
    if versions and version not in {"latest", *versions}:
        raise UserError(
            f"version {version} of {registry.model_name} does not exist: there are {', '.join(versions)}, and the word "
            "latest for the newest"
        )
    version, stored = registry.load(version)
    objections = _objections(params, stored)
    if objections and not force:
        raise UserError(f"version {version} is not promoted: {'; '.join(objections)} (--force does it all the same)")
    note = "; ".join(objections) and f"forced although {'; '.join(objections)}"
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
    from pipeline.model_registry.mlflow_registry import Registry

    registry = Registry(params)
    standing: list[str | None] = [None]
    for entry in registry.history():
        if entry["action"] == "promote":
            standing.append(entry["version"])
        elif entry["action"] == "rewrite":  # somebody was erased from it: the same model, another version
            standing = [entry["version"] if one == entry["previous"] else one for one in standing]
        else:
            standing.pop()
    if len(standing) == 1:
        raise UserError(f"{registry.model_name} has no promotion to undo: no version is champion")
    undone, back = standing[-1], standing[-2]
    who, why = by.strip() or os.environ.get("USER", "unknown"), because.strip() or "no reason given"
    registry.make_champion(back, action="rollback", by=who, because=why)
    now = f"version {back} is champion again" if back else "no version is champion now"
    return f"version {undone} of {registry.model_name} was rolled back; {now}"


def _objections(params: Params, stored: StoredModel) -> list[str]:
    """Say what speaks against a version: its audit, the backtest, or that no backtest tested this way of training."""
    objections = [stored.facts.audit_failed] if stored.facts.audit_failed else []
    path = params.artifacts_folder / "backtest.json"
    if not path.exists():
        return [*objections, f"no backtest is there to judge by ({path}): run `leadrev backtest` first"]
    try:
        tested = read_sealed_json(path, "run `leadrev backtest` again")
    except SealError as error:
        return [*objections, str(error)]
    if tested["company"] != stored.facts.company:
        objections.append(f"the backtest in {path} is of another company, {tested['company']}")
    if tested["verdict"]["use"] == "no":
        objections.append(f"the backtest says: {tested['verdict']['text']}")
    settings = stored.forecaster.get_params()
    other = [
        f"model.{name} {value} where this version has {settings[name]}"
        for name, value in tested["settings"].items()
        if name in settings and settings[name] != value
    ]
    if other:
        objections.append(f"the backtest tested other settings ({', '.join(other)}): put them right and run it again")
    elif tested["source_fingerprint"] != stored.facts.source_fingerprint:
        objections.append("the backtest was run by other code: run `leadrev backtest` again")
    return objections
