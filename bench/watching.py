"""Watching a worker process at work, from the client's process."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import Instance

_LOOK_EVERY = 0.01


class Meter:
    """What passes from its making on: wall time, and what one process uses.

    Args:
        pid: the worker process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu = _cpu_seconds(pid)
        self._begin = time.perf_counter()

    def figures(self) -> dict[str, float]:
        """Return seconds passed, CPU seconds that the worker used, and its greatest memory ever in MB.

        The last two only where there is a /proc.
        """
        figures = {"seconds": time.perf_counter() - self._begin}
        if self._cpu is not None:
            figures["worker_cpu"] = (_cpu_seconds(self._pid) or 0.0) - self._cpu
            figures["worker_peak_mb"] = _peak_megabytes(self._pid)
        return figures


def wait_for_all(count: int, seconds: float) -> None:
    """Wait until the database holds so many finished instances.

    Raises:
        TimeoutError: it took longer than ``seconds``.
        AssertionError: some have not ended well.
    """
    deadline = time.monotonic() + seconds
    while (ended := Instance.objects.filter(status__in=FINISHED).count()) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{ended} of {count} instances have finished after {seconds:.0f} s.")
        time.sleep(_LOOK_EVERY)
    failed = Instance.objects.exclude(status=RuntimeStatus.COMPLETED).count()
    assert failed == 0, f"{failed} of {count} instances have not completed."


def _cpu_seconds(pid: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _peak_megabytes(pid: int) -> float:
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
