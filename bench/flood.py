"""``python -m bench.http_api --flood 20000``: starts come as fast as clients can ask, over HTTP and from Python.

Nobody holds back: the clients of the API wait for each answer and then ask again, other processes call
``DurableClient`` on the same database. Meanwhile somebody looks at the dashboard once a second, and the memory of all
processes is noted.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_BASE = "/runtime/webhooks/durabletask"
#: pages that a person would look at
_PAGES = ("/", "/instances/")
#: steps of each chain
_LENGTH = 2
#: processes that start by DurableClient, and what part of the starts is theirs
_DIRECT, _DIRECT_PART = 2, 0.25
_CLIENT = """
import sys
import django
django.setup()
from durable_host.client import DurableClient
client = DurableClient()
for _ in range(int(sys.argv[1])):
    client.start_new("bench_chain", {length})
"""


@dataclass
class Flood:
    """What was seen."""

    starts: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    #: answers that ask to come again, by status
    refused: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    #: role → most bytes that its processes had, and how many they were
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)
    took_in: float = 0.0
    done: float = 0.0
    completed: int = 0


async def flood(url: str, login: str, env: dict[str, str], pid: int, starts: int, clients: int) -> Flood:
    """Start so many instances as fast as so many clients can, and wait until all have ended."""
    seen, began = Flood(), time.perf_counter()
    direct = int(starts * _DIRECT_PART) // _DIRECT
    numbers = iter(range(starts - direct * _DIRECT))
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(None)) as http:
        watchers = [asyncio.create_task(_look(url, login, seen)), asyncio.create_task(_weigh(pid, seen))]
        argv = [sys.executable, "-c", _CLIENT.format(length=_LENGTH), str(direct)]
        pythons = [await asyncio.create_subprocess_exec(*argv, env=env) for _ in range(_DIRECT)]
        await asyncio.gather(*(_start(http, numbers, seen) for _ in range(clients)))
        seen.failures += [f"a Python client ended with {code}" for one in pythons if (code := await one.wait())]
        seen.took_in = time.perf_counter() - began
        seen.completed = await _wait_for_all(http, seen)
        seen.done = time.perf_counter() - began
        for one in watchers:
            one.cancel()
            with suppress(asyncio.CancelledError):
                await one
    return seen


async def _start(http: aiohttp.ClientSession, numbers: Any, seen: Flood) -> None:
    for number in numbers:
        began = time.perf_counter()
        while not await _is_taken(http, f"flood-{number}", seen):
            pass
        seen.starts.append(time.perf_counter() - began)


async def _is_taken(http: aiohttp.ClientSession, instance_id: str, seen: Flood) -> bool:
    """Ask once; wait as told where it is to come again. Whatever else goes wrong is noted, and not tried again."""
    try:
        path = f"{_BASE}/orchestrators/bench_chain/{instance_id}"
        async with http.post(path, json=_LENGTH) as response:
            if response.status in (429, 503):
                seen.refused[response.status] += 1
                await asyncio.sleep(float(response.headers["Retry-After"]))
                return False
            if response.status != 202:
                seen.failures.append(f"{response.status} {await response.text()}")
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.failures.append(repr(error))
    return True


async def _look(url: str, login: str, seen: Flood) -> None:
    """Look at pages as a person with a browser would."""
    async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        await (await browser.get(login)).read()
        while True:
            for page in _PAGES:
                began = time.perf_counter()
                async with browser.get(page) as response:
                    await response.text()
                seen.pages.append(time.perf_counter() - began)
                if response.status != 200 or response.url.path != page:
                    seen.failures.append(f"{page}: {response.status} at {response.url}")
            await asyncio.sleep(1)


async def _wait_for_all(http: aiohttp.ClientSession, seen: Flood) -> int:
    """Wait until nothing is unfinished; return how many have completed."""
    while True:
        async with http.get(f"{_BASE}/instances?runtimeStatus=Pending&runtimeStatus=Running&top=1") as response:
            unfinished = await response.json()
        if not unfinished:
            break
        await asyncio.sleep(0.5)
    completed, more = 0, ""
    while True:
        headers = {"x-ms-continuation-token": more} if more else {}
        async with http.get(f"{_BASE}/instances?runtimeStatus=Completed&top=1000", headers=headers) as response:
            completed += len(await response.json())
            more = response.headers.get("x-ms-continuation-token", "")
        if not more:
            return completed


async def _weigh(pid: int, seen: Flood) -> None:
    while True:
        rows = await asyncio.to_thread(_tree, pid)
        weights: dict[str, list[int]] = defaultdict(list)
        for command, size in rows:
            weights[_role(command)].append(size)
        for role, sizes in weights.items():
            most, _ = seen.memory.get(role, (0, 0))
            seen.memory[role] = max(most, *sizes), len(sizes)
        await asyncio.sleep(1)


def _tree(pid: int) -> list[tuple[str, int]]:
    """Return command and resident bytes of each process below one."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,rss=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 3) for line in listing.stdout.splitlines()]
    below = {str(pid)}
    for number, parent, *_ in rows * 4:  # a few generations, whatever the order
        if parent in below:
            below.add(number)
    return [(command, int(size) * 1024) for number, _, size, command in rows if number in below]


def _role(command: str) -> str:
    for word, role in (("gunicorn", "web"), ("durable_worker", "worker"), ("relay", "relay"), ("redis", "redis")):
        if word in command:
            return role
    return "other"
