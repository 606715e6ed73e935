"""DBOS in the process that asks, without a queue between: its fastest way.

Steps of the synchronous API, in a pool of threads that fits the machine, and several processes where the work can be
shared; a fan-out gathers asynchronous steps, which is a third faster than child workflows. On SQLite it gets WAL mode,
which it does not set itself, and the newer library that it needs.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from typing import Any

import pysqlite3.dbapi2
from dbos import DBOS, DBOSConfig

from .common import CHAIN_OF, IDLE, WARM, Figures, crew, database_url, percentiles, wait_for_go

_THREADS = 4


@DBOS.step()
def add_one(number: int) -> int:
    """Return a small JSON value."""
    return number + 1


@DBOS.step()
async def add_one_async(number: int) -> int:
    """Do the same on the event loop."""
    return number + 1


@DBOS.workflow()
def chain(length: int) -> int:
    """Call one step after the other."""
    number = 0
    for _ in range(length):
        number = add_one(number)
    return number


@DBOS.workflow()
async def gather(width: int) -> int:
    """Call all steps at once."""
    return sum(await asyncio.gather(*[add_one_async(number) for number in range(width)]))


@DBOS.workflow()
def listen() -> int:
    """Wait for one message."""
    number: int = DBOS.recv()
    return number


@DBOS.workflow()
async def sleep_until(due: float) -> float:
    """Wait for a moment; return how late it was."""
    await DBOS.sleep_async(due - time.time())
    return time.time() - due


def chains(count: int) -> Figures:
    """Share chains between processes."""
    configuration()  # the mode of a SQLite file cannot be changed by two at once
    return crew("bench.peers.dbos", "some_chains", count)


def some_chains(count: int) -> None:
    """Run a process's share."""
    launch()
    wait_for_go()
    handles = [DBOS.start_workflow(chain, CHAIN_OF) for _ in range(count)]
    assert {handle.get_result() for handle in handles} == {CHAIN_OF}


def fan_out(width: int) -> Figures:
    """Run one workflow that calls all its steps at once."""
    launch()
    begin = time.perf_counter()
    assert asyncio.run(gather(width)) == width * (width + 1) // 2
    return {"seconds": time.perf_counter() - begin}


def long_chain(length: int) -> Figures:
    """Run one workflow that calls its steps one after the other."""
    launch()
    begin = time.perf_counter()
    assert chain(length) == length
    return {"seconds": time.perf_counter() - begin}


def latency(samples: int) -> Figures:
    """Call a workflow of one step, again and again."""
    launch()
    taken = []
    for _ in range(samples):
        time.sleep(IDLE)
        begin = time.perf_counter()
        assert chain(1) == 1
        taken.append(time.perf_counter() - begin)
    return percentiles(taken)


def events(samples: int) -> Figures:
    """Send a message to a workflow that waits for it, again and again."""
    launch()
    taken = []
    for _ in range(samples):
        handle = DBOS.start_workflow(listen)
        time.sleep(2 * IDLE)
        begin = time.perf_counter()
        DBOS.send(handle.workflow_id, 1)
        assert handle.get_result() == 1
        taken.append(time.perf_counter() - begin)
    return percentiles(taken)


def timers(count: int) -> Figures:
    """Have workflows wait for one moment."""
    launch()
    due = time.time() + 3

    async def measure() -> list[float]:
        handles = [await DBOS.start_workflow_async(sleep_until, due) for _ in range(count)]
        return [await handle.get_result() for handle in handles]

    return percentiles(asyncio.run(measure()))


# --- details ----------------------------------------------------------------------------------------------------------


def configuration() -> DBOSConfig:
    """Return what every process of it needs."""
    url = database_url()
    engine: dict[str, Any] = {}
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        engine = {"module": pysqlite3.dbapi2}
    return {
        "name": "bench",
        "executor_id": str(os.getpid()),
        "system_database_url": url.replace("postgres://", "postgresql+psycopg://"),
        "db_engine_kwargs": engine,
        "sys_db_pool_size": 2 * _THREADS,
        "max_executor_threads": _THREADS,
        # How often SQLite is asked for messages; PostgreSQL tells.
        "notification_listener_polling_interval_sec": 0.01,
        "log_level": "ERROR",
    }


def launch() -> None:
    """Start it in this process, and warm it up."""
    DBOS(config=configuration())
    DBOS.launch()
    assert {chain(CHAIN_OF) for _ in range(WARM)} == {CHAIN_OF}
