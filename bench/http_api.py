"""``python -m bench.http_api``: 200 clients start orchestrations over HTTP and 200 poll them, all at once.

They meet the server of ``make run`` with its two workers, on data of its own. ``--flood 20000`` starts that many as
fast as 200 clients and two Python processes can (:mod:`flood`). Exit code 1 if a request failed or an instance was
lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.services import PROJECT, PostgresCluster, running, wait_until

from .contenders import POSTGRES, SQLITE
from .flood import Flood, flood

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


@dataclass(frozen=True)
class Server:
    """The server that is measured."""

    url: str
    #: path by which a browser comes in
    login: str
    pid: int
    #: for processes that work on the same data
    env: dict[str, str]


@contextmanager
def server(database: str = SQLITE) -> Iterator[Server]:
    """Run ``make run``'s own command, on one of the databases."""
    with ExitStack() as cleanup:
        directory = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="durable-bench-"))
        database_url = f"sqlite:///{directory}/durable.sqlite3"
        if database == POSTGRES:
            cluster = PostgresCluster(is_durable=True)
            cleanup.callback(cluster.stop)
            cluster.start()
            database_url = cluster.database_url("postgres")
        log = Path(directory) / "run.log"
        env = {"DURABLE_VAR": directory, "PORT": str(_free_port()), "DURABLE_MODULES": "bench.functions"}
        env |= {"DATABASE_URL": database_url, "REDIS_URL": "", "SECRET_KEY": ""}
        env |= {"DURABLE_EMBEDDED": "1", "LOG_LEVEL": "ERROR"}
        with running([sys.executable, str(PROJECT / "manage.py"), "durable_run"], env, log) as process:
            wait_until(lambda: process.poll() is not None or "Open " in log.read_text(), "the server")
            found = re.search(r"(http://[^/]+)(\S+)", log.read_text())
            if found is None:
                raise RuntimeError(log.read_text())
            settings = {"DJANGO_SETTINGS_MODULE": "durable_host.settings"}
            yield Server(found[1], found[2], process.pid, {**os.environ, **env, **settings})


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


def main(argv: list[str] | None = None) -> int:
    """Measure once and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.http_api", description=__doc__)
    parser.add_argument("--flood", type=int, metavar="N", help="start N instances as fast as all clients can")
    parser.add_argument("--database", choices=[SQLITE, POSTGRES], default=SQLITE)
    options = parser.parse_args(argv)
    with server(options.database) as served:
        if options.flood:
            wave = flood(served.url, served.login, served.env, served.pid, options.flood, CLIENTS)
            return _report_flood(asyncio.run(wave), options.flood, options.database)
        began = time.perf_counter()
        tally = asyncio.run(measure(served.url))
        seconds = time.perf_counter() - began
    return _report(tally, seconds, options.database)


def _report_flood(seen: Flood, total: int, database: str) -> int:
    print(f"{total:,} starts by {CLIENTS} HTTP clients and two Python processes, {os.cpu_count()} cores, {database}")
    print(f"  taken in after {seen.took_in:.0f} s, all done after {seen.done:.0f} s; {seen.completed:,} completed")
    for name, times in (("start", seen.starts), ("page", seen.pages)):
        print(f"  {name:<6} {len(times):>6} requests, {_spread(times)}, longest {max(times):.2f} s")
    for role, (size, count) in sorted(seen.memory.items()):
        print(f"  {role:<6} {count} processes, the largest had {size / 2**20:.0f} MB at most")
    print(f"  asked to come again: {dict(seen.refused) or 'nobody'}; {len(seen.failures)} failed requests")
    for failure in seen.failures[:5]:
        print(f"  {failure}")
    return 0 if seen.completed == total and not seen.failures else 1


def _spread(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return f"median {cuts[49] * 1000:.0f} ms, 99th percentile {cuts[98] * 1000:.0f} ms"


def _report(tally: Tally, seconds: float, database: str) -> int:
    total = CLIENTS * STARTS_EACH
    print(f"{CLIENTS} starters and {CLIENTS} pollers, {os.cpu_count()} cores, {database}, {seconds:.1f} s in all")
    for name, times in (("start", tally.starts), ("poll", tally.polls)):
        print(f"  {name:<6} {len(times):>6} requests, {len(times) / seconds:.0f} a second, {_spread(times)}")
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
