"""Writing corrupted tables as two systems export them: the CRM as CSV, the call centre as JSON lines.

The CRM writes local times without an offset and names its columns in its own way; the call centre writes times with an
offset. Each numbers its rows from one, so the same id means different rows in the two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from pipeline.simulation import seasonality
from pipeline.simulation.corruption import CALL_CENTRE, CRM, KEYS, CorruptedTables
from pipeline.simulation.data_errors import HAPPENED

CRM_COLUMNS = {
    "leads": {
        "lead_id": "Lead ID", "created_at": "Created", "account_id": "Account ID", "owner_id": "Owner",
        "source": "Lead Source", "status": "Lead Status", "closed_at": "Closed",
    },
    "deals": {
        "deal_id": "Opportunity ID", "lead_id": "Lead ID", "account_id": "Account ID", "outcome": "Result",
        "opened_at": "Created", "closed_at": "Close Date", "amount": "Amount",
    },
    "accounts": {"account_id": "Account ID", "employees": "Employees"},
    "events": {"lead_id": "Lead ID", "occurred_at": "Date", "kind": "Activity"},
    "changes": {
        "table": "Object", "row_id": "Record ID", "field": "Field", "changed_at": "Changed", "old_value": "Old",
        "new_value": "New",
    },
    "owners": {"owner_id": "Owner"},
    "rates": {"valid_from": "From"},
}  # fmt: skip
"""Our name of a column to the CRM's, where it has one of its own."""
OUTCOME_WORDS = {"won": "Closed Won", "lost": "Closed Lost", "open": "In Progress"}
STATUS_WORDS = {"open": "Working", "lost": "Disqualified", "converted": "Converted to Opportunity"}
VALUES = {
    "deals": {"outcome": {"won": ["Closed Won"], "lost": ["Closed Lost"], "open": ["In Progress"]}},
    "leads": {"status": {"open": ["Working"], "lost": ["Disqualified"], "converted": ["Converted to Opportunity"]}},
}
"""What params say of the CRM's words."""
_PREFIX = {"leads": "L", "deals": "D", "accounts": "A", "events": "E"}


class Exports:
    """The files of both systems, to which territories are appended.

    Parameters
    ----------
    folder : Path
        Where ``crm_<table>.csv`` and ``call_centre_<table>.jsonl`` are written; older ones are replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbered = dict.fromkeys(_PREFIX, 0)
        self._rows: dict[str, dict[str, int]] = {}
        self._mess: dict[str, dict[str, int]] = {}

    def append(self, corrupted: CorruptedTables) -> tuple[pd.DataFrame, pd.Series]:
        """Write a territory: numbered, formatted.

        Returns
        -------
        notes : DataFrame
            The touched rows: ``table``, ``id`` and ``lead_id`` as ``system:id``, ``mess``.
        lead_names : Series
            ``system:id`` of every lead by its clean id.
        """
        names = {table: self._name_rows(table, corrupted) for table in _PREFIX}
        for table, frame in corrupted.tables.items():
            for system in (CRM, CALL_CENTRE):
                rows = frame[frame["system"] == system]
                if table == "rates" and table in self._rows:
                    continue  # every territory has the same ones
                if len(rows):
                    self._write(table, system, _renamed(rows, table, names))
        notes = pd.concat(corrupted.notes, ignore_index=True)
        for name, touched in notes.groupby("table")["mess"]:
            kinds = self._mess.setdefault(str(name), {})
            for kind, count in touched.value_counts().items():
                kinds[str(kind)] = kinds.get(str(kind), 0) + int(count)
        for table, named in names.items():
            at = notes["table"] == table
            notes.loc[at, "id"] = notes.loc[at, "id"].map(named[~named.index.duplicated()])
        notes["lead_id"] = notes["lead_id"].map(names["leads"])
        return notes, names["leads"]

    def summary(self) -> dict[str, dict[str, dict[str, int]]]:
        """Rows per table and system, and touched rows per table and kind of mess."""
        mess = {table: dict(sorted(kinds.items())) for table, kinds in sorted(self._mess.items())}
        return {"rows": self._rows, "mess": mess}

    def sources(self) -> str:
        """Say in YAML where the tables are and how to read them, as ``data.sources`` of the params."""
        sources: dict[str, list[dict]] = {}
        for table, systems in self._rows.items():
            for system in sorted(systems, reverse=True):
                source: dict = {"system": system, "from": self._path(table, system).name}
                if system == CRM:
                    source["columns"] = CRM_COLUMNS[table]
                    if table in VALUES:
                        source["values"] = VALUES[table]
                sources.setdefault(table, []).append(source)
        return yaml.safe_dump(sources, sort_keys=False, default_flow_style=None, width=110)

    def _path(self, table: str, system: str) -> Path:
        return self._folder / f"{system}_{table}.{'csv' if system == CRM else 'jsonl'}"

    def _name_rows(self, table: str, corrupted: CorruptedTables) -> pd.Series:
        """``system:id`` by clean id; an account known to both systems appears once for each."""
        frame = corrupted.tables[table]
        rows = frame[["system", KEYS[table]]].drop_duplicates()
        ids = rows[KEYS[table]].to_numpy(dtype=object).copy()
        there = (rows["system"] == CALL_CENTRE).to_numpy()
        start = self._numbered[table] + 1
        ids[there] = [f"{_PREFIX[table]}{number:07d}" for number in range(start, start + there.sum())]
        self._numbered[table] += int(there.sum())
        return pd.Series(rows["system"].to_numpy() + ":" + ids, index=rows[KEYS[table]].to_numpy())

    def _write(self, table: str, system: str, frame: pd.DataFrame) -> None:
        path = self._path(table, system)
        first = system not in self._rows.get(table, {})
        systems = self._rows.setdefault(table, {})
        systems[system] = systems.get(system, 0) + len(frame)
        times = [name for name in frame if pd.api.types.is_datetime64_any_dtype(frame[name])]
        frame = frame.copy()
        for name in times:
            text = _written(frame[name], with_offset=system == CALL_CENTRE)
            if name == HAPPENED.get(table):
                text = text.where(frame["date_as"] != "day", text.str[:10])
                text = text.where(frame["date_as"].isna() | (frame["date_as"] == "day"), frame["date_as"])
            frame[name] = text
        frame = frame.drop(columns=["system", "date_as"])
        if system == CRM:
            if table in VALUES:
                column, words = ("outcome", OUTCOME_WORDS) if table == "deals" else ("status", STATUS_WORDS)
                frame[column] = frame[column].map(words).fillna(frame[column])
            frame = frame.rename(columns=CRM_COLUMNS[table])
            with path.open("w" if first else "a", encoding="utf-8", newline="") as file:
                frame.to_csv(file, index=False, header=first, lineterminator="\n")
        else:
            with path.open("w" if first else "a", encoding="utf-8", newline="") as file:
                frame.to_json(file, orient="records", lines=True, force_ascii=False)


def _renamed(rows: pd.DataFrame, table: str, names: dict[str, pd.Series]) -> pd.DataFrame:
    """Give one system's rows that system's ids; an id that is nowhere stays as it is."""
    rows = rows.copy()
    system = rows["system"].iloc[0]
    named_by = {"lead_id": "leads", "account_id": "accounts", "parent_id": "accounts"}
    for name, other in ({KEYS[table]: table} | named_by if table in KEYS else named_by).items():
        if name in rows:
            named = names[other][names[other].str.startswith(system + ":")]
            rows[name] = rows[name].map(named.str.removeprefix(system + ":")).fillna(rows[name])
    return rows


def _written(times: pd.Series, *, with_offset: bool) -> pd.Series:
    """Local time as text; null stays null."""
    utc = pd.DatetimeIndex(times.to_numpy()).floor("s").tz_localize("UTC")
    local = utc.tz_convert(seasonality.TIME_ZONE).tz_localize(None)
    known = local.notna()
    text = np.full(len(times), None, dtype=object)
    written = np.datetime_as_string(local[known].to_numpy().astype("datetime64[s]")).astype(object)
    if with_offset:
        hours = ((local[known] - utc[known].tz_localize(None)).total_seconds() // 3600).astype(int)
        text[known] = written + np.where(hours == 2, "+02:00", "+01:00").astype(object)
    else:
        text[known] = pd.Series(written, dtype=object).str.replace("T", " ").to_numpy()
    return pd.Series(text, index=times.index, dtype=object)
