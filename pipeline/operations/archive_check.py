"""Proof that the archive is as it was sealed."""

from __future__ import annotations

from pipeline.archive.assignments import Assignments
from pipeline.archive.extracts import Extracts
from pipeline.archive.forecasts import Forecasts
from pipeline.common.formatting import count as counted
from pipeline.config.params import Params


def verify(params: Params) -> tuple[list[str], str]:
    """Compare every byte of the archive with the seals, and the seals with one another.

    Returns
    -------
    findings : list of str
        What is not as it was sealed; empty where all is.
    said : str
        The result in a sentence, with the digest of the last seal of each chain: kept elsewhere, it proves that the
        chain was not rewritten as a whole.
    """
    findings, parts = [], []
    for name, chain in (
        ("forecasts", Forecasts(params.archive_folder).chain),
        ("extracts", Extracts(params.archive_folder).chain),
        ("assignments", Assignments(params.archive_folder).chain),
    ):
        found = list(chain.verify())
        findings += found
        if not found:
            entries = chain.all_entries()
            erasures = sum(entry.is_erasure for entry in entries)
            last = f", the last is {entries[-1].name} ({entries[-1].digest})" if entries else ""
            noted = f" and {counted(erasures, 'erasure', 'erasures')}" if erasures else ""
            parts.append(f"{len(entries) - erasures} {name}{noted}{last}")
    if findings:
        return findings, f"The archive was changed: {counted(len(findings), 'finding', 'findings')}"
    return [], f"The archive is as it was sealed: {'; '.join(parts)}"
