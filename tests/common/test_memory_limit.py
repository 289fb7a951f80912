"""How much memory is taken: never more than a limit on the process leaves."""

from __future__ import annotations

import pytest

from pipeline.common import memory_limit

resource = pytest.importorskip("resource")


def test_a_limit_on_the_process_lowers_what_the_tables_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory_limit.allowed_bytes()
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 30, resource.RLIM_INFINITY))
    assert memory_limit.allowed_bytes() == 1 << 30 < free
    assert memory_limit.duckdb_settings() == {"memory_limit": "409MiB"}


def test_where_nothing_is_known_duckdb_keeps_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "allowed_bytes", lambda: None)
    assert memory_limit.duckdb_settings() == {}
