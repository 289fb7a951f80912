"""Which CRM the tables come from, which record each one holds, and what loaded them: by their columns and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipeline.common.errors import UserError
from pipeline.config.crm_facts import Crm, Record, folded, known_crms
from pipeline.onboarding.profile import TableProfile

LOADERS = {
    "Fivetran": "_fivetran_*", "Airbyte": "_airbyte_*", "dlt": "_dlt_*", "Singer": "_sdc_*", "the API": "@odata.*",
}  # fmt: skip
"""What loaded a table, by a column that it adds."""
LOADER_COLUMNS = (*LOADERS.values(), "_ab_*", "attributes", "_rowid", "__index_level_0__")
"""Columns of loaders: none says anything about a lead."""
_EXACT_NAME, _PART_OF_NAME = 0.5, 0.2
_LEAST_SCORE = 1.0


@dataclass(frozen=True)
class Match:
    """A table that holds a record of a CRM.

    Parameters
    ----------
    profile : TableProfile
    crm : Crm
    record : Record
    by_fold : dict of str to str
        The table's filled columns by their folded names.
    score : float
        Share of its columns that the facts explain, and up to a half for its name.
    """

    profile: TableProfile
    crm: Crm
    record: Record
    by_fold: dict[str, str]
    score: float

    @property
    def label(self) -> str:
        """What the table is, in words."""
        return f"{self.crm.title}'s {self.record.record}"

    def find(self, names: list[str]) -> str | None:
        """Find the first of some names among the filled columns."""
        return self.crm.find(names, self.by_fold)


def loader_of(profile: TableProfile) -> str | None:
    """Name what loaded a table; None for an export of the CRM's own."""
    for loader, pattern in LOADERS.items():
        if any(fnmatchcase(name.lower(), pattern) for name in profile.columns):
            return loader
    return None


def is_loader_column(name: str) -> bool:
    """Whether a column was added by what loaded the table."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in LOADER_COLUMNS)


def recognise(profiles: Sequence[TableProfile], wanted: str | None) -> tuple[Crm | None, dict[str, Match]]:
    """Find the CRM that explains the tables best, and the record of each table.

    Parameters
    ----------
    profiles : sequence of TableProfile
    wanted : str or None
        The CRM by a person's word.

    Returns
    -------
    crm : Crm or None
        None where no CRM explains leads or deals.
    matches : dict of str to Match
        By the table's relation; tables that are no record of that CRM are left out.

    Raises
    ------
    UserError
        Nobody knows a CRM of that name.
    """
    crms = known_crms()
    if wanted is not None and wanted not in crms:
        raise UserError(f"--crm: found {wanted}, allowed: {', '.join(crms)}")
    best: tuple[float, Crm | None, dict[str, Match]] = (0.0, None, {})
    for crm in [crms[wanted]] if wanted else crms.values():
        matches = {
            profile.relation: match for profile in profiles if (match := _best_record(profile, crm, wanted)) is not None
        }
        tells = any(match.record.table in ("leads", "deals") for match in matches.values())
        total = sum(match.score for match in matches.values())
        if tells and total > best[0]:
            best = (total, crm, matches)
    return best[1], best[2]


def _best_record(profile: TableProfile, crm: Crm, wanted: str | None) -> Match | None:
    filled = {name: column for name, column in profile.profiles.items() if column.shape != "empty"}
    by_fold: dict[str, str] = {}
    for name in filled:
        by_fold.setdefault(crm.fold(name), name)
    everything = {crm.fold(name): name for name in profile.columns}
    found = None
    for record in crm.records:
        if not _fits(crm, record, everything):
            continue
        score = _recognised_share(profile, crm, record, everything) + _named(profile, record)
        if found is None or score > found.score:
            found = Match(profile, crm, record, by_fold, score)
    least = 0.0 if wanted else _LEAST_SCORE / 4
    return found if found is not None and found.score >= least else None


def _fits(crm: Crm, record: Record, columns: dict[str, str]) -> bool:
    """Whether a table has the columns that a record must have, and none that it must not."""
    together = record.excludes_together
    return (
        all(crm.find(group, columns) for group in record.needs)
        and not crm.find(record.excludes, columns)
        and not (together and all(crm.fold(name) in columns for name in together))
    )


def _recognised_share(profile: TableProfile, crm: Crm, record: Record, by_fold: dict[str, str]) -> float:
    """Share of the columns that the facts say something of."""
    known = {crm.fold(name) for group in (*record.needs, record.deleted, record.merged) for name in group}
    for spec in (*record.columns.values(), *record.as_leads.values(), *record.fallback.values()):
        known |= {crm.fold(name) for name in names_of(spec)}
    if record.outcome:
        outcome = record.outcome
        for names in (outcome.closed, outcome.won, outcome.words, outcome.lost_unless):
            known |= {crm.fold(name) for name in names}
    recognised = [
        name
        for key, name in by_fold.items()
        if key in known or crm.knows_future(record, name) or crm.is_noise(record, name)
    ]
    own = [name for name in profile.columns if not is_loader_column(name)]
    return len(recognised) / max(1, len(own))


def names_of(spec: object) -> list[str]:
    """List every name that the facts give for a column."""
    if isinstance(spec, dict):
        return [name for names in ([spec["from"]] if "from" in spec else spec["first_of"]) for name in names]
    return list(spec) if isinstance(spec, list) else []


def _named(profile: TableProfile, record: Record) -> float:
    name = "".join(letter for letter in folded(profile.place.name) if not letter.isdigit())
    names = [folded(known) for known in record.named]
    if name in names:
        return _EXACT_NAME
    parts = [known for known in names if len(known) > 3 and known in name]
    return _PART_OF_NAME * max(map(len, parts)) / len(name) + 0.05 if parts else 0.0
