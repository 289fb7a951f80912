"""Erase a person, and say what was removed where, what was searched, and what only the company can do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pipeline.common.formatting import count as counted
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.operations import erasure


@dataclass(frozen=True)
class Erased:
    """What an erasure did, for the one who asked for it."""

    erasure: erasure.Erasure

    def summary(self) -> str:
        """Say it in lines: store by store, the search, what is left to do."""
        done = self.erasure
        lines = [f"Erasure {done.number}: {counted(len(done.removed), 'file', 'files')} changed"]
        stores = Counter(store for store, _, _ in done.removed)
        for store, changed in stores.items():
            lines.append(f"{store}: {counted(changed, 'file', 'files')}")
            lines += [f"  {place}: {what}" for of, place, what in done.removed if of == store]
        searched = f"{counted(done.files_count, 'file', 'files')}, {done.bytes_count:,} bytes, unpacked where packed"
        if done.is_complete:
            lines.append(f"Searched all that leadrev keeps ({searched}): the person is in none of it")
        else:
            lines.append(f"INCOMPLETE: searched {searched}; the person is still in:")
            lines += [f"  {place}" for place in done.remaining]
        lines.append("The person is on the suppression list, as keyed hashes, and is not loaded again")
        lines.append(
            "Left for you: delete the person in your CRM and its exports, in backups, in copies of leadrev's files"
        )
        lines += [f"  still names the person, and is yours: {place}" for place in done.theirs]
        return "\n".join([*lines, *(f"Note: {note}" for note in done.notes)])


def erase(params: Params, *, lead: str | None, email: str | None, contact: str | None, by: str, because: str) -> Erased:
    """Erase a person out of everything leadrev keeps.

    Parameters
    ----------
    params : Params
    lead, email, contact : str, optional
        One of them: who.
    by, because : str
        Who asks for it, and why.

    Raises
    ------
    UserError
        Nobody is known by it, or a run is at work.
    """
    with step("removing the person, and searching for them"):
        return Erased(erasure.erase(params, lead=lead, email=email, contact=contact, by=by, because=because))
