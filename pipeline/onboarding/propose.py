"""From places to a draft of the params: look at every table, recognise it, settle what the tables can tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.common.errors import UserError
from pipeline.common.memory_limit import duckdb_settings
from pipeline.common.scratch import ScratchFolder
from pipeline.common.sql import literal
from pipeline.onboarding.company_settings import settle_currency, settle_time_zone
from pipeline.onboarding.contents import draft_by_contents
from pipeline.onboarding.crm_sources import draft_sources
from pipeline.onboarding.draft import Draft
from pipeline.onboarding.places import Place
from pipeline.onboarding.profile import TableProfile, profile_place
from pipeline.onboarding.recognise import loader_of, recognise

Ask = Callable[[str, str], str]
"""Asks a person something, with the safe choice; gives what is chosen."""


@contextmanager
def proposed(
    places: Sequence[Place], folder: Path, company: str, crm: str | None = None, ask: Ask | None = None
) -> Iterator[Draft]:
    """Draft the params of a company; the tables can be asked as long as the context lasts.

    Parameters
    ----------
    places : sequence of Place
    folder : Path
        Where the params will lie.
    company : str
        Its name.
    crm : str, optional
        The CRM by a person's word.
    ask : callable, optional
        Asks on a terminal; without it the safe choice stands, with its doubt.

    Yields
    ------
    Draft

    Raises
    ------
    UserError
        No table can be read, or none looks like deals.
    """
    with ScratchFolder() as scratch:
        connection = duckdb.connect(str(Path(scratch) / "init.duckdb"), config=dict(duckdb_settings()))
        try:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"SET file_search_path = {literal(str(folder))}")
            profiles, unread = _profiles(connection, places, folder, Path(scratch))
            draft = _draft(profiles, company, crm)
            draft.unread = unread
            if ask is not None:
                _ask(draft, ask)
            yield draft
        finally:
            connection.close()


def _profiles(
    connection: duckdb.DuckDBPyConnection, places: Sequence[Place], folder: Path, scratch: Path
) -> tuple[list[TableProfile], list[tuple[Place, str]]]:
    """Read every table; one that cannot be read is told, not fatal."""
    profiles, unread = [], []
    for number, place in enumerate(places):
        try:
            profiles.append(profile_place(connection, place, number, folder, scratch))
        except UserError as error:
            unread.append((place, str(error)))
    if not profiles:
        raise UserError(f"none of the tables can be read: {unread[0][1]}")
    return profiles, unread


def _draft(profiles: Sequence[TableProfile], company: str, wanted: str | None) -> Draft:
    crm, matches = recognise(profiles, wanted)
    if crm is None:
        draft = Draft(company, None)
        draft_by_contents(draft, profiles)
    else:
        loaders = sorted({loader for match in matches.values() if (loader := loader_of(match.profile))})
        draft = Draft(company, f"{crm.title}{f', loaded by {loaders[0]}' if loaders else ''}")
        ordered = [matches[profile.relation] for profile in profiles if profile.relation in matches]
        draft_sources(draft, ordered)
        draft.unused += [
            (profile, f"no record of {crm.title} that leadrev knows")
            for profile in profiles
            if profile.relation not in matches
        ]
    for table in ("leads", "deals"):
        if not draft.of(table):
            looked = ", ".join(f"{profile.label} ({', '.join(list(profile.columns)[:8])}…)" for profile in profiles[:6])
            raise UserError(
                f"no table looks like {table}: leadrev needs one whose rows are won or lost, with a date. Looked at: "
                f"{looked}. Name the files, or write data.sources by hand (see params.yaml)."
            )
    settle_currency(draft)
    settle_time_zone(draft, list(matches.values()) if crm else [])
    zone = draft.settings["data.timezone"][0]
    for source in draft.sources:
        source.timezone = None if source.timezone == zone else source.timezone
    return draft


def _ask(draft: Draft, ask: Ask) -> None:
    """Ask for the company's settings that are in doubt; an answer settles them."""
    for doubt in list(draft.doubts):
        if doubt.where not in draft.settings:
            continue
        value, why = draft.settings[doubt.where]
        answer = ask(f"{doubt.where}: {doubt.text}", value).strip()
        if answer:
            draft.settings[doubt.where] = (answer, "as answered" if answer != value else why)
            draft.doubts.remove(doubt)


def company_name(given: Sequence[str], folder: Path) -> str:
    """Name a company after the folder or database that its tables lie in."""
    first = given[0]
    if "://" in first:
        name = first.rstrip("/").rpartition("/")[2].partition("?")[0].removesuffix(".db")
    else:
        path = Path(first).resolve()
        name = path.name if path.is_dir() else path.parent.name
    name = re.sub(r"[^\w-]+", "-", name).strip("-_").lower()
    return name or re.sub(r"[^\w-]+", "-", folder.resolve().name).strip("-_").lower() or "company"
