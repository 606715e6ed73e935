"""``python -m bench.http_api``: 200 clients start orchestrations over HTTP and 200 poll them, all at once.

They meet the server of ``make run`` with its two workers, on data of its own. Exit code 1 if a request failed or an
instance was lost.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.services import PROJECT, running, wait_until

CLIENTS = 200
STARTS_EACH = 5
_BASE = "/runtime/webhooks/durabletask"


@dataclass
class Tally:
    """What the clients saw."""

    starts: list[float] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    started: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    completed: int = 0


@contextmanager
def server() -> Iterator[str]:
    """Run ``make run``'s own command and give its address."""
    with tempfile.TemporaryDirectory(prefix="durable-bench-") as directory:
        log = Path(directory) / "run.log"
        env = {"DURABLE_VAR": directory, "PORT": str(_free_port()), "DURABLE_MODULES": "bench.functions"}
        env |= {"DATABASE_URL": f"sqlite:///{directory}/durable.sqlite3", "REDIS_URL": "", "SECRET_KEY": ""}
        env |= {"DURABLE_EMBEDDED": "1", "LOG_LEVEL": "ERROR"}
        with running([sys.executable, str(PROJECT / "manage.py"), "durable_run"], env, log) as process:
            wait_until(lambda: process.poll() is not None or "Open " in log.read_text(), "the server")
            found = re.search(r"http://[^/]+", log.read_text())
            if found is None:
                raise RuntimeError(log.read_text())
            yield found[0]


async def measure(url: str) -> Tally:
    """Let all clients loose."""
    tally = Tally()
    connector = aiohttp.TCPConnector(limit=2 * CLIENTS)
    async with aiohttp.ClientSession(url, connector=connector) as http:
        starters = [_start(http, tally) for _ in range(CLIENTS)]
        pollers = [_poll(http, tally) for _ in range(CLIENTS)]
        await asyncio.gather(*starters, *pollers)
    return tally


async def _start(http: aiohttp.ClientSession, tally: Tally) -> None:
    for number in range(STARTS_EACH):
        answer = await _ask(http, "POST", f"{_BASE}/orchestrators/bench_chain", tally, tally.starts, number)
        tally.started.put_nowait(answer.get("id", ""))


async def _poll(http: aiohttp.ClientSession, tally: Tally) -> None:
    """Follow as many instances to their end as one starter starts."""
    for _ in range(STARTS_EACH):
        instance_id = await tally.started.get()
        status = "Pending" if instance_id else ""
        while status in ("Pending", "Running"):
            answer = await _ask(http, "GET", f"{_BASE}/instances/{instance_id}", tally, tally.polls)
            status = answer.get("runtimeStatus", "")
            await asyncio.sleep(0.1)
        tally.completed += status == "Completed"


async def _ask(
    http: aiohttp.ClientSession, method: str, path: str, tally: Tally, times: list[float], body: object = None
) -> dict[str, Any]:
    """Return the answer; nothing, with a note, where there is none."""
    began = time.perf_counter()
    try:
        async with http.request(method, path, json=body) as response:
            answer: dict[str, Any] = await response.json()
            status = response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        tally.failures.append(repr(error))
        return {}
    times.append(time.perf_counter() - began)
    if status not in (200, 202):
        tally.failures.append(f"{status} {answer}")
        return {}
    return answer


def main() -> int:
    """Measure once and print the figures."""
    with server() as url:
        began = time.perf_counter()
        tally = asyncio.run(measure(url))
        seconds = time.perf_counter() - began
    total = CLIENTS * STARTS_EACH
    print(f"{CLIENTS} starters and {CLIENTS} pollers, {os.cpu_count()} cores, SQLite, {seconds:.1f} s in all")
    for name, times in (("start", tally.starts), ("poll", tally.polls)):
        cuts = statistics.quantiles(times, n=100)
        figures = f"median {cuts[49] * 1000:.0f} ms, 99th percentile {cuts[98] * 1000:.0f} ms"
        print(f"  {name:<6} {len(times):>6} requests, {len(times) / seconds:.0f} a second, {figures}")
    print(f"  {tally.completed} of {total} instances completed; {len(tally.failures)} failed requests")
    for failure in tally.failures[:5]:
        print(f"  {failure}")
    return 0 if tally.completed == total and not tally.failures else 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
