"""A group of processes that the kernel gives only so much memory: Linux's memory cgroups, both versions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.services import wait_until

_ROOT = Path("/sys/fs/cgroup")
#: where groups are made → the file that has the limit
_PLACES = {_ROOT / "memory": "memory.limit_in_bytes", _ROOT: "memory.max"}


class NoMemoryGroupsError(Exception):
    """This machine lets us make none."""


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Make a group; a process whose id is written to its ``cgroup.procs`` is in it, and so are its children.

    Raises:
        NoMemoryGroupsError: there are no memory cgroups here, or only root may make them.
    """
    group = _make(limit)
    try:
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group's processes to end")
        group.rmdir()


def _make(limit: int) -> Path:
    for place, limit_file in _PLACES.items():
        group = place / f"durable-test-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            if (group / limit_file).exists():
                (group / limit_file).write_text(str(limit))
                return group
            group.rmdir()
    raise NoMemoryGroupsError("needs memory cgroups that we may make: Linux, and root")
