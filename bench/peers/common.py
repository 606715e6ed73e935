"""What the peers share: what a process is told, timing, and processes that work side by side."""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

Figures = dict[str, float]

#: calls of a chain
CHAIN_OF = 5
#: instances that warm everything up before the clock starts
WARM = 20
#: pause before each sample of a latency, so that everybody sleeps again, in seconds
IDLE = 0.05
#: without any work for so long, a process has got ready; several ticks of the clock that counts its time
_REST = 0.3
#: how long anything may take, in seconds
LONGEST = 900.0


def database_url() -> str:
    """Return the address of this measurement's own database."""
    return os.environ["DATABASE_URL"]


def directory() -> Path:
    """Return a directory for this measurement's files, which goes with it."""
    return Path(os.environ["BENCH_DIRECTORY"])


def workers() -> int:
    """Return how many worker processes share the work."""
    return int(os.environ["BENCH_WORKERS"])


def percentiles(seconds: Sequence[float]) -> Figures:
    """Return the median and the 95th percentile in milliseconds."""
    cuts = statistics.quantiles([one * 1000 for one in seconds], n=20, method="inclusive")
    return {"p50_ms": cuts[9], "p95_ms": cuts[18]}


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Meter:
    """What passes from its making on: wall time, and what some processes use.

    Args:
        pids: the processes.
    """

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._pids = list(pids)
        self._cpu = _cpu_seconds(self._pids)
        self._begin = time.perf_counter()

    def figures(self) -> Figures:
        """Return seconds; where there is a /proc also CPU seconds, and the greatest memory of one process in MB."""
        figures = {"seconds": time.perf_counter() - self._begin}
        if self._pids and Path("/proc/self/stat").exists():
            figures["cpu"] = _cpu_seconds(self._pids) - self._cpu
            figures["peak_mb"] = max(_peak_megabytes(pid) for pid in self._pids)
        return figures


def are_at_rest(pids: Iterable[int]) -> bool:
    """Tell whether neither processes nor their children do anything for a moment; True where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return True
    family = [one for pid in pids for one in (pid, *_children(pid))]
    before = _cpu_seconds(family)
    time.sleep(_REST)
    return _cpu_seconds(family) == before


# --- processes side by side -------------------------------------------------------------------------------------------


def command(module: str, function: str, size: int) -> list[str]:
    """Return the command that calls a peer's function in a process of this interpreter."""
    return [sys.executable, "-m", "bench.process", module, function, str(size)]


@contextmanager
def processes(commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run commands side by side and end them afterwards."""
    with ExitStack() as cleanup:
        started = []
        for argv in commands:
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            cleanup.callback(_end, process)
            started.append(process)
        yield started


def crew(module: str, function: str, size: int) -> Figures:
    """Share work that runs in the caller's own process between as many such processes as there would be workers.

    The clock starts when all have come to :func:`wait_for_go`, and stops when all have returned.

    Args:
        module: the peer.
        function: its function; each process calls it with its share of the size.
        size: how much in all.
    """
    count = workers()
    shares = [size // count + (number < size % count) for number in range(count)]
    with processes([command(module, function, share) for share in shares]) as members:
        await_lines(members, "ready")
        begin = time.perf_counter()
        for member in members:
            print("go", file=member.stdin, flush=True)
        await_lines(members, "{")
        return {"seconds": time.perf_counter() - begin}


def wait_for_go() -> None:
    """In a process of a crew: say that all is warm, and wait for the others."""
    print("ready", flush=True)
    sys.stdin.readline()


def await_lines(started: Iterable[subprocess.Popen[str]], beginning: str) -> None:
    """Wait until each process has printed a line that begins so.

    Raises:
        RuntimeError: one has ended without.
    """
    for process in started:
        assert process.stdout is not None
        if not any(line.startswith(beginning) for line in process.stdout):
            raise RuntimeError(f"{process.args!r} ended with {process.wait(10)} before it printed {beginning!r}")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cpu_seconds(pids: Iterable[int]) -> float:
    ticks = 0
    for pid in pids:
        with suppress(FileNotFoundError):
            user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        found = (task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(child) for children in found for child in children]
    return []


def _peak_megabytes(pid: int) -> float:
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
