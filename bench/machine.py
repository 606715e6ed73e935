"""What the figures were measured with, so that nobody compares them with those of another machine."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from durable_host.embedded import find_redis_server
from tests.services import postgres_bindir

from .contenders import POSTGRES, SQLITE

_FLUSHES = 200


def describe_machine(databases: Sequence[str]) -> list[str]:
    """Return lines about the machine, the versions and the durability of what was measured."""
    parts = [f"Python {platform.python_version()}"]
    if SQLITE in databases:
        parts.append(f"SQLite {sqlite3.sqlite_version} (WAL, synchronous=FULL)")
    if POSTGRES in databases:
        version = _first_line([str(postgres_bindir() / "postgres"), "--version"]).split()[2]
        parts.append(f"PostgreSQL {version} (fsync and synchronous_commit on)")
    parts.append(f"Redis {_first_line([find_redis_server(), '--version']).split()[2].removeprefix('v=')}")
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} cores ({_processor()}), {_memory()}, "
        f"{platform.system()} {platform.release()}; load before it began {load}.",
        f"{', '.join(parts)}. A write to this disk is safe after {_flush_microseconds():,.0f} µs.",
    ]


def _processor() -> str:
    with_name = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", with_name.read_text(), re.MULTILINE) if with_name.exists() else None
    return found[1].strip() if found else platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB"


def _flush_microseconds() -> float:
    """Return what one append that is safe costs, where the databases are."""
    with tempfile.TemporaryFile(prefix="durable-bench-", buffering=0) as file:
        begin = time.perf_counter()
        for _ in range(_FLUSHES):
            file.write(b"\0" * 4096)
            os.fsync(file.fileno())
        return (time.perf_counter() - begin) / _FLUSHES * 1e6


def _first_line(argv: Sequence[str]) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()[0]
