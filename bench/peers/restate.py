"""Restate: its server, which is native code, its Python SDK under Hypercorn, and a client over HTTP.

In two styles: with the steps inside the handler, and with every activity a service of its own, which is what lets
other processes run them. ``BENCH_RESTATE_STYLE`` chooses.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import restate

from .common import (
    CHAIN_OF,
    IDLE,
    LONGEST,
    WARM,
    Figures,
    directory,
    free_port,
    percentiles,
    processes,
    workers,
)

_AS_SERVICES = os.environ.get("BENCH_RESTATE_STYLE") == "services"
#: requests of the client at a time
_IN_FLIGHT = 200

activities = restate.Service("activities")
orchestrators = restate.Service("orchestrators")
listeners = restate.Workflow("listeners")


@activities.handler()
async def add_one_there(ctx: restate.Context, number: int) -> int:
    """Return a small JSON value, in a service of its own."""
    return number + 1


def _add_one(ctx: restate.Context, number: int) -> Any:
    if _AS_SERVICES:
        return ctx.service_call(add_one_there, number)
    return ctx.run_typed("add one", lambda: number + 1)


@orchestrators.handler()
async def chain(ctx: restate.Context, length: int) -> int:
    """Call one activity after the other."""
    number = 0
    for _ in range(length):
        number = await _add_one(ctx, number)
    return number


@orchestrators.handler()
async def fan(ctx: restate.Context, width: int) -> int:
    """Call all activities at once."""
    futures = [_add_one(ctx, number) for number in range(width)]
    # Not restate.gather, whose time grows with the square of the width.
    return sum([await future for future in futures])


@orchestrators.handler()
async def sleep_until(ctx: restate.Context, due: float) -> float:
    """Wait for a moment; return how late it was."""
    await ctx.sleep(timedelta(seconds=due - time.time()))
    return time.time() - due


@listeners.main()
async def listen(ctx: restate.WorkflowContext, _: int) -> int:
    """Wait for one event."""
    number: int = await ctx.promise("go").value()
    return number


@listeners.handler()
async def go(ctx: restate.WorkflowSharedContext, number: int) -> None:
    """Send it."""
    await ctx.promise("go").resolve(number)


app = restate.app([activities, orchestrators, listeners])


def chains(count: int) -> Figures:
    """Call chains, many at a time."""

    async def measure(call: Call) -> Figures:
        begin = time.perf_counter()
        await _run(call, count)
        return {"seconds": time.perf_counter() - begin}

    return asyncio.run(_with_server(measure))


def fan_out(width: int) -> Figures:
    """Run one handler that calls its activities at once."""
    return asyncio.run(_with_server(lambda call: _run_one(call, "fan", width, width * (width + 1) // 2)))


def long_chain(length: int) -> Figures:
    """Run one handler that calls its activities one after the other."""
    return asyncio.run(_with_server(lambda call: _run_one(call, "chain", length, length)))


def latency(samples: int) -> Figures:
    """Call a handler of one step, again and again."""

    async def measure(call: Call) -> Figures:
        taken = []
        for _ in range(samples):
            await asyncio.sleep(IDLE)
            begin = time.perf_counter()
            assert await call("orchestrators/chain", 1) == 1
            taken.append(time.perf_counter() - begin)
        return percentiles(taken)

    return asyncio.run(_with_server(measure))


def events(samples: int) -> Figures:
    """Resolve a promise that a workflow waits for, again and again."""

    async def measure(call: Call) -> Figures:
        taken = []
        for number in range(samples):
            waiting = asyncio.create_task(call(f"listeners/{number}/listen", 0))
            await asyncio.sleep(2 * IDLE)
            begin = time.perf_counter()
            await call(f"listeners/{number}/go", 1)
            assert await waiting == 1
            taken.append(time.perf_counter() - begin)
        return percentiles(taken)

    return asyncio.run(_with_server(measure))


def timers(count: int) -> Figures:
    """Have handlers wait for one moment."""

    async def measure(call: Call) -> Figures:
        due = time.time() + 3
        return percentiles(await asyncio.gather(*[call("orchestrators/sleep_until", due) for _ in range(count)]))

    return asyncio.run(_with_server(measure))


# --- details ----------------------------------------------------------------------------------------------------------

Call = Callable[[str, Any], Coroutine[Any, Any, Any]]


async def _with_server(measure: Callable[[Call], Awaitable[Figures]]) -> Figures:
    """Run the server and the services, warm, and measure with a client."""
    ingress, admin, node, service = (free_port() for _ in range(4))
    env = {
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_LOG_FILTER": "error",
        "DO_NOT_TRACK": "1",
    }
    server = ["env", *(f"{name}={value}" for name, value in env.items())]
    server += [os.environ["BENCH_RESTATE_SERVER"], "--no-logo", "--base-dir", str(directory() / "restate")]
    services = [sys.executable, "-m", "hypercorn", "--workers", str(workers()), "--bind", f"127.0.0.1:{service}"]
    with ExitStack() as cleanup:
        cleanup.enter_context(processes([server, [*services, "bench.peers.restate:app"]]))
        async with _http() as http:
            await _register(http, f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{service}")

            async def call(path: str, argument: Any) -> Any:
                async with http.post(f"http://127.0.0.1:{ingress}/{path}", json=argument) as response:
                    said = await response.text()
                    assert response.status in (200, 204), said
                    return json.loads(said or "null")

            await _run(call, WARM)
            return await measure(call)


@asynccontextmanager
async def _http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=_IN_FLIGHT * 2)
    timeout = aiohttp.ClientTimeout(total=LONGEST)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        yield http


async def _register(http: aiohttp.ClientSession, admin: str, service: str) -> None:
    """Tell the server where the services are, as soon as both answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            async with http.post(f"{admin}/deployments", json={"uri": service}) as response:
                if response.status in (200, 201):
                    return
                said = f"{response.status} {await response.text()}"
        except aiohttp.ClientError as error:
            said = repr(error)
        if time.monotonic() > deadline:
            raise TimeoutError(f"Restate's server does not take the services: {said}")
        await asyncio.sleep(0.1)


async def _run(call: Call, count: int) -> None:
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def one() -> Any:
        async with gate:
            return await call("orchestrators/chain", CHAIN_OF)

    assert set(await asyncio.gather(*[one() for _ in range(count)])) == {CHAIN_OF}


async def _run_one(call: Call, handler: str, size: int, expected: int) -> Figures:
    begin = time.perf_counter()
    output = await call(f"orchestrators/{handler}", size)
    assert output == expected, output
    return {"seconds": time.perf_counter() - begin}
