"""What each sink gets of the last scores: a row for every source record of every lead, the fields that it asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.errors import UserError
from pipeline.common.seals import check_seal
from pipeline.config.delivery_params import SinkParams
from pipeline.config.near_names import near_miss
from pipeline.config.params import Params
from pipeline.delivery.changes import REASONS, digest_of, fact_of, measure_of
from pipeline.reporting.ranked_leads import read_manifest

TEXTS = ("reasons_positive.text", "reasons_negative.text")
NOTICE, LEAD = "notice", "canonical_lead_id"
"""What is wrong with tonight's sources, in words; the id of the lead that a record belongs to."""
_IDS = ("lead_id", "account_id", "owner_id")
_WORDS = ("kind", "currency", "grade", "model_version", "data_quality_flags", NOTICE, LEAD, *TEXTS)
_DAYS = ("days_to_win_p10", "days_to_win_p50", "days_to_win_p90", "days_to_win_mean")


@dataclass(frozen=True)
class SinkField:
    """One column of a sink.

    Parameters
    ----------
    name : str
        What the sink calls it.
    ours : str
        What of ours goes into it.
    """

    name: str
    ours: str

    @property
    def type_(self) -> pa.DataType:
        """Its type as an Arrow table has it."""
        if self.ours == "as_of":
            return pa.timestamp("us", "UTC")
        if self.ours in ("rank", "score", "episode"):
            return pa.int64()
        return pa.string() if self.ours in (*_IDS, *_WORDS) else pa.float64()


@dataclass(frozen=True)
class Row:
    """What a sink gets under one key.

    Parameters
    ----------
    key : str
    values : dict
        By the sink's name of each column, as JSON can write it; instants as ISO 8601 text in UTC.
    facts : dict
        What changes are measured by; no words, only their digests.
    """

    key: str
    values: dict[str, Any]
    facts: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the content."""
        return digest_of(self.values)


def names_of(params: Params) -> list[str]:
    """Name what may be delivered: columns of the scores, texts of reasons, the notice, the lead of a record."""
    ends = [f"{days}d" for days in params.horizons_days]
    return [
        *_IDS, LEAD, "episode", "as_of", "model_version", "kind", "currency", "rank", "score", "grade",
        *(f"p_win_{end}" for end in (*ends, "ever", "this_quarter")), "p_lost_ever", *_DAYS,
        "deal_value", "deal_value_p10", "deal_value_p90",
        *(f"expected_revenue_{end}" for end in (*ends, "ever", "this_quarter", "next_quarter")),
        *TEXTS, "data_quality_flags", NOTICE,
    ]  # fmt: skip


def fields_of(name: str, sink: SinkParams, params: Params) -> list[SinkField]:
    """Give the columns of a sink without its key: those that params ask for, else figures and ids, and no words.

    Raises
    ------
    UserError
        Params ask for what there is not; the message names it and what is near.
    """
    known = names_of(params)
    if sink.fields:
        for theirs, ours in sink.fields.items():
            if ours not in known:
                raise UserError(
                    f"deliver.{name}.fields.{theirs}: found '{ours}'{near_miss(ours, known)} Allowed: "
                    f"{', '.join(known)}"
                )
        return [SinkField(theirs, ours) for theirs, ours in sink.fields.items()]
    primary = f"{params.primary_horizon_days}d"
    usual = [
        LEAD, "as_of", "model_version", "rank", "score", "grade", f"p_win_{primary}", "p_win_ever", "days_to_win_p50",
        "deal_value", f"expected_revenue_{primary}", "expected_revenue_this_quarter", "currency", NOTICE,
    ]  # fmt: skip
    return [SinkField(ours, ours) for ours in usual if ours != sink.key]


class LastScores:
    """The last scores, as sealed by `score`, and which records each lead has.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    UserError
        There are none, or they are not those that were written.
    """

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        names = ("scores.parquet", "identity.parquet")
        check_seal(folder, self.manifest.get("files", {}), names)
        self.table = pq.read_table(folder / names[0])
        self.lead_ids: list[str] = self.table["lead_id"].to_pylist()
        self.as_of: str = self.manifest["as_of"]
        self.notice = "; ".join(f"{one['source']}: {one['why']}" for one in self.manifest.get("degraded", ())) or None
        self.records: dict[str, list[str]] = {}
        if (folder / names[1]).is_file():
            identity = pq.read_table(folder / names[1], columns=["lead_id", "canonical_id"])
            for record, lead in zip(*(column.to_pylist() for column in identity.columns), strict=True):
                self.records.setdefault(lead, []).append(record)

    def column(self, ours: str) -> tuple[list[Any], list[Any]]:
        """Give what is delivered as `ours`, a value a lead, and what its changes are measured by."""
        measure = measure_of(ours)
        values: list[Any]
        if ours in (NOTICE, "as_of"):
            values = [self.notice if ours == NOTICE else self.as_of] * len(self.lead_ids)
        elif ours == LEAD:
            values = self.lead_ids
        elif measure == REASONS:
            found = [json.loads(text) if text else [] for text in self._column(ours.partition(".")[0])]
            values = ["; ".join(one["text"] for one in reasons) or None for reasons in found]
            # The number of days in a sentence moves every night: other reasons are those of other codes.
            return values, [fact_of([one["code"] for one in reasons], measure) for reasons in found]
        else:
            values = [None if value != value else value for value in self._column(ours)]
        return values, [fact_of(value, measure) for value in values]

    def _column(self, name: str) -> list[Any]:
        found = self.table[name].to_pylist() if name in self.table.column_names else [None] * len(self.lead_ids)
        return [value.decode() if isinstance(value, bytes) else value for value in found]


def rows_of(scores: LastScores, fields: Sequence[SinkField], prefix: str = "") -> list[Row]:
    """Give a sink's rows, one for each record of each lead.

    Parameters
    ----------
    scores : LastScores
    fields : sequence of SinkField
    prefix : str
        Only records whose ids begin so, under what follows: their ids in their own system.
    """
    columns = [scores.column(field.ours) for field in fields]
    names = [field.name for field in fields]
    values = zip(*(column for column, _ in columns), strict=True) if columns else iter([()] * len(scores.lead_ids))
    facts = zip(*(column for _, column in columns), strict=True) if columns else iter([()] * len(scores.lead_ids))
    rows = []
    for lead, lead_values, lead_facts in zip(scores.lead_ids, values, facts, strict=True):
        row_values, row_facts = dict(zip(names, lead_values, strict=True)), dict(zip(names, lead_facts, strict=True))
        for record in scores.records.get(lead, [lead]):
            if record.startswith(prefix):
                rows.append(Row(record.removeprefix(prefix), row_values, row_facts))
    return rows


def measures_of(fields: Iterable[SinkField]) -> Mapping[str, str]:
    """Say how each field's changes are measured."""
    return {field.name: measure_of(field.ours) for field in fields}
