"""What a start to completion costs with nothing on it: its commits, and its words between processes, by hand.

A client writes a row and pushes its number into a queue. A worker takes it, and writes that it is claimed, that an
activity is called, and that all is done, each in a commit of its own; then it says so, and the client reads the row.
No history, no replay, no lease, no retry: what the machine takes for as many commits and words as the host's own way.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection
from redis import Redis

from bench.functions import add_one

from .common import IDLE, LONGEST, WARM, Figures, await_lines, command, percentiles, processes
from .site import redis

_STARTED, _ENDED = "started", "ended"


def latency(samples: int) -> Figures:
    """Start a row on an idle worker, again and again, until the client has read its end."""
    _write("CREATE TABLE by_hand (number integer PRIMARY KEY, state text NOT NULL)")
    with redis(), processes([command("bench.peers.by_hand", "work", 0)]) as started:
        await_lines(started, "ready")
        taken = [_time(number) for number in range(WARM + samples)]
    return percentiles(taken[WARM:])


def work(_: int) -> None:
    """Take rows until told to stop."""
    print("ready", flush=True)
    while True:
        number = int(_hear(_STARTED))
        _write("UPDATE by_hand SET state = 'claimed' WHERE number = %s", number)
        _write("UPDATE by_hand SET state = 'called' WHERE number = %s", number)
        result = add_one(number)
        _write("UPDATE by_hand SET state = %s WHERE number = %s", str(result), number)
        _redis().lpush(_ENDED, number)


# --- details ----------------------------------------------------------------------------------------------------------


def _time(number: int) -> float:
    time.sleep(IDLE)
    begin = time.perf_counter()
    _write("INSERT INTO by_hand (number, state) VALUES (%s, 'started')", number)
    _redis().lpush(_STARTED, number)
    _hear(_ENDED)
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM by_hand WHERE number = %s", [number])
        state = cursor.fetchone()[0]
    seconds = time.perf_counter() - begin
    assert state == str(number + 1), state
    return seconds


def _write(statement: str, *parameters: int | str) -> None:
    """Run a statement, which is a transaction of its own."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def _hear(queue: str) -> bytes:
    """Wait for the next word in a queue."""
    heard: Any = _redis().brpop([queue], timeout=LONGEST)
    assert heard is not None, f"nothing came into {queue!r}"
    return bytes(heard[1])


@cache
def _redis() -> Redis:
    return Redis.from_url(settings.REDIS_URL)
