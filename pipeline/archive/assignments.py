"""Who was drawn for which arm of an experiment, as it was drawn, for ever.

``archive/experiments/NUMBER/assignments.parquet`` holds the leads that one run drew, with the columns of the table
``experiments``: a source of that table may read them all (``from: …/archive/experiments/*/assignments.parquet``). The
seal beside them says what was laid down when the experiment began. An arm follows from the account's name, the
experiment's and a secret key, so that nobody can choose it, and an account is in the same arm whenever it is asked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.archive.chain import Chain, Entry
from pipeline.common.errors import UserError

FOLDER, KEY, FILE = "experiments", "key", "assignments.parquet"
TREATMENT = "treatment"
COLUMNS = pa.schema(
    {
        "experiment": pa.string(),
        "lead_id": pa.string(),
        "account_id": pa.string(),
        "arm": pa.string(),
        "assigned_at": pa.timestamp("us", "UTC"),
        "probability": pa.float64(),
    }
)
_STEPS = 2**53


class Assignments:
    """The assignments of a company's experiments.

    Parameters
    ----------
    archive : Path
        The company's archive.
    """

    def __init__(self, archive: Path) -> None:
        self.chain = Chain(archive / FOLDER)

    def entries(self, experiment: str) -> list[Entry]:
        """Give the runs that drew leads for an experiment, the oldest first."""
        return [entry for entry in self.chain.entries() if entry.seal["experiment"] == experiment]

    def names(self) -> list[str]:
        """Name the experiments that leads were drawn for."""
        return sorted({entry.seal["experiment"] for entry in self.chain.entries()})

    def read(self, experiment: str) -> pd.DataFrame:
        """Read all that was drawn for an experiment: the columns of `COLUMNS`, times in UTC without a zone."""
        tables = [pq.read_table(entry.folder / FILE) for entry in self.entries(experiment)]
        frame = pa.concat_tables([COLUMNS.empty_table(), *tables]).to_pandas()
        return frame.assign(assigned_at=frame["assigned_at"].dt.tz_localize(None))

    def append(self, experiment: str, drawn: pd.DataFrame, at: datetime, facts: Mapping[str, Any]) -> Entry:
        """Seal the leads that one run drew.

        Parameters
        ----------
        experiment : str
        drawn : DataFrame
            ``lead_id, account_id, arm, probability``.
        at : datetime
            Naive UTC.
        facts : mapping
            What the seal says: what was laid down.
        """
        name = f"{len(self.chain.entries()) + 1:06d}"
        folder = self.chain.begin(name)
        rows = drawn.assign(experiment=experiment, assigned_at=pd.Timestamp(at, tz="UTC").as_unit("us"))
        pq.write_table(pa.Table.from_pandas(rows, COLUMNS, preserve_index=False), folder / FILE, compression="zstd")
        return self.chain.seal(name, {"experiment": experiment, **facts})

    def key(self) -> bytes:
        """Give the secret key that arms follow from; made from the machine's randomness the first time.

        Raises
        ------
        UserError
            Others than its owner may read it.
        """
        path = self.chain.folder / KEY
        self.chain.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise UserError(f"{path}: others may read the key that arms follow from; chmod 600 it") from None
            return path.read_bytes()
        with open(descriptor, "wb") as file:
            file.write(key := secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        return key


def draw(key: bytes, experiment: str, account: str) -> float:
    """Give an account's number in [0, 1): it is in the treatment arm where that is below the arm's share."""
    digest = hmac.new(key, f"{experiment}\0{account}".encode(), hashlib.sha256).digest()
    return (int.from_bytes(digest[:8]) >> 11) / _STEPS
