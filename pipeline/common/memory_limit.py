"""How much memory the tables may take: a share of what the process may have, and what is more goes to disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SHARE = 0.4
"""The rest is for Python, its libraries, and the matrix itself, which DuckDB knows nothing of."""
CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def allowed_bytes() -> int | None:
    """Say how many bytes this process may take: the machine's memory, or less where a limit is set; None: unknown."""
    found = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on Windows
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in CGROUP_FILES:
        with contextlib.suppress(OSError, ValueError):  # none, or "max"
            found.append(int(Path(path).read_text()))
    with contextlib.suppress(ImportError):
        import resource

        limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
        found += [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min((size for size in found if size > 0), default=None)


def duckdb_settings() -> dict[str, str]:
    """Give what to open DuckDB with."""
    allowed = allowed_bytes()
    return {} if allowed is None else {"memory_limit": f"{int(allowed * SHARE) >> 20}MiB"}
