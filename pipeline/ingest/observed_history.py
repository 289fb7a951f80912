"""What extracts saw up to a night: gathered for the comparison with today's tables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb

from pipeline.archive.chain import Entry
from pipeline.archive.extracts import Extracts, taken_at
from pipeline.common.errors import UserError
from pipeline.common.memory_limit import duckdb_settings
from pipeline.common.sql import literal
from pipeline.config.params import Params
from pipeline.ingest.night_extract import NightExtract, reading_fingerprint
from pipeline.ingest.observed_changes import WATCHED, Observed, add_states, states_in, write_states
from pipeline.ingest.stage_sources import stage_sources


def observed_so_far(params: Params, night: NightExtract | None, scratch: Path) -> Observed | None:
    """Gather what extracts saw up to the night before.

    Parameters
    ----------
    params : Params
    night : NightExtract, optional
        Tonight's; without one, what the tables hold beyond the last extract counts as changed at once after it.
    scratch : Path
        A folder for temporary files.

    Returns
    -------
    Observed or None
        None where no extract was ever taken.
    """
    extracts = Extracts(params.archive_folder)
    before = extracts.last() if night is None else night.before
    if before is None:
        return None if night is None else Observed((), {}, None, night.taken_at)
    seen_at = taken_at(before)
    states = states_in(before.folder)
    if before.seal["reading"] != reading_fingerprint(params):
        states = _restated(params, before, scratch)
    now = seen_at + timedelta(microseconds=1) if night is None else night.taken_at
    return Observed(extracts.changes_until(before), states, seen_at if states else None, now)


def _restated(params: Params, before: Entry, scratch: Path) -> dict[str, Path]:
    """Read how rows stood in an extract as today's params read it: another reading is no change."""
    folder = scratch / "before"
    folder.mkdir()
    try:
        with duckdb.connect(config=dict(duckdb_settings())) as connection:
            connection.execute(f"SET TimeZone = {literal(params.data.timezone)}")
            read = NightExtract.of(before, taken_at(before)).read
            staged, *_ = stage_sources(connection, params, tuple(WATCHED), read, folder)
            add_states(connection, staged)
            return write_states(connection, folder)
    except UserError:
        return {}  # the sources of then are no longer kept, or lack what the params name now
