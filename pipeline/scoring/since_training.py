"""Today's tables held against those that a model was trained on, before anything is forecast."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from features.schema import SCHEMAS
from pipeline.common.dates import local_iso
from pipeline.common.degradation import Degradation
from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.source_profile import ColumnChange, compare
from pipeline.model_registry.model_artifact import StoredModel

UNREADABLE_LIMIT = 0.05
"""Share of rows that may be unreadable, beyond that at training, before the column counts as another one."""


@dataclass(frozen=True)
class SinceTraining:
    """What is not as it was at training.

    Parameters
    ----------
    refusals : list of str
        Why the model cannot forecast from these tables: a line each, with what to do.
    lines : list of str
        What changed and does no harm.
    degraded : list of Degradation
        Columns that forecasts cannot rely on; `retyped` ones among them.
    retyped : list of str
        As `refusals`, of columns that hold another type than at training.
    """

    refusals: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    degraded: list[Degradation] = field(default_factory=list)
    retyped: list[str] = field(default_factory=list)

    def require_usable(self) -> None:
        """Refuse what cannot be forecast from.

        Raises
        ------
        UserError
            In one line: what changed since training, and what to do.
        """
        if found := [*self.refusals, *self.retyped]:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise UserError(found[0] + more)


def attribute_names(stored: StoredModel) -> dict[str, tuple[str, ...]]:
    """Name the company's own columns that a model reads, by table: another case of a name is the same column."""
    own = {"leads": stored.spec.lead_attributes, "accounts": stored.spec.account_attributes}
    return {table: tuple(name for name, _ in columns) for table, columns in own.items()}


def since_training(company: LoadedCompany, stored: StoredModel, version: str, params: Params) -> SinceTraining:
    """Hold a company's tables against what a stored model needs.

    Parameters
    ----------
    company : LoadedCompany
        Today's.
    stored : StoredModel
    version : str
        What to call the model.
    params : Params
        ``score.new_words_share_limit`` says how many rows may hold new words.
    """
    trained = datetime.fromisoformat(stored.facts.trained_as_of).replace(tzinfo=None)
    changes = compare(company, stored.facts.profile, trained)
    needed = {f"{table}.{name}" for table, names in attribute_names(stored).items() for name in names}
    needed |= set(stored.spec.columns)
    model = f"model version {version} (trained as of {local_iso(trained, params.data.timezone)})"
    found = SinceTraining()
    _gone(changes, needed, set(company.staged), model, found)
    limits = {"unreadable": UNREADABLE_LIMIT, "words": params.score.new_words_share_limit}
    for change in changes:
        name = f"{change.table}.{change.column}"
        if change.kind == "gone" and name in needed:
            continue
        if change.kind == "type" or change.share > limits.get(change.kind, 1.0):
            found.degraded.append(Degradation(change.table, change.text, (change.column,)))
            if change.kind == "type" and name in needed:
                found.retyped.append(
                    f"data.sources.{change.table}: {change.text}, and {model} reads it; bring the old values back, or "
                    "train again (`leadrev train`, `leadrev promote`)"
                )
        else:
            found.lines.append(change.text)
    return found


def _gone(
    changes: Collection[ColumnChange],
    needed: Collection[str],
    tables: Collection[str],
    model: str,
    found: SinceTraining,
) -> None:
    """Say which tables and columns the model needs and no longer has, and what they may be called now."""
    train = "or train a model without it (`leadrev train`, `leadrev promote`)"
    missing: dict[str, list[ColumnChange]] = {}
    for change in changes:
        if change.kind == "gone" and f"{change.table}.{change.column}" in needed:
            missing.setdefault(change.table, []).append(change)
    for table, columns in missing.items():
        names = ", ".join(change.column for change in columns)
        if table not in tables:
            found.refusals.append(
                f"data.sources.{table}: the table is gone since training, and {model} needs it ({names}); bring it "
                f"back, {train}"
            )
            continue
        fresh = [change.column for change in changes if change.kind == "new" and change.table == table]
        for change in columns:
            found.refusals.append(
                f"data.sources.{table}: the column {change.column} is gone, which {model} needs; "
                f"{_renamed(change, fresh)}bring it back, {train}"
            )


def _renamed(change: ColumnChange, fresh: list[str]) -> str:
    if not fresh:
        return ""
    listed = ", ".join(f"'{name}'" for name in fresh[:3])
    if change.column in SCHEMAS[change.table]:
        how = f"`columns: {{{change.column}: {fresh[0]}}}`"
    else:
        how = f"the source must call it '{change.column}' again (or `sql: SELECT {fresh[0]} AS {change.column}, …`)"
    return f"new since training: {listed}; if it was renamed, {how}; else "


def other_settings(params: Params, stored: StoredModel, version: str) -> None:
    """Refuse params under which the model's figures would mean something else.

    Raises
    ------
    UserError
        Naming the key, what it says, and what the model was trained with.
    """
    asked: Mapping[str, object] = {
        "currency": params.currency,
        "fiscal_year_start_month": params.fiscal_year_start_month,
        "data.timezone": params.data.timezone,
    }
    for key, value in asked.items():
        trained = getattr(stored.facts, key.rpartition(".")[2])
        if value != trained:
            raise UserError(
                f"{key}: the params say {value}, model version {version} was trained with {trained}: train again"
            )
