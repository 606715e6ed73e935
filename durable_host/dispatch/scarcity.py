"""Whom the kernel ends first where memory runs out: what eats it, and not the supervisor that would start it again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

#: ranks: a child that runs what has ended a worker, or may, goes before workers; everybody else has 0 and goes last
CHILD, WORKER = 1000, 500


def go_early(rank: int) -> None:
    """Raise the rank of this process, and of those that it starts (Linux, /proc/pid/oom_score_adj)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(rank))
