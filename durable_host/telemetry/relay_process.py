"""The other end of a :class:`~.relay.Relay`: a process that tells what its worker has done.

It yields to the workers, outlives a killed one until all that it was told is sent, and ends when its pipe does.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from durable_host.core.codec import Record

from . import pipeline
from .chronicle import Attempt, LocalChronicle, Subject
from .relay import MEANT_FOR_THE_WORKER

#: seconds of silence after which the relay tells what it was told: a burst of work comes first, its story follows
_LULL = 0.1
#: seconds that it waits for such silence, as an exporter waits for its batch to fill; and bytes that it keeps meanwhile
_PATIENCE, _MOST_KEPT = 5.0, 16 * 1024 * 1024
#: after so many spans and records it rests for so many seconds. A process that never rests, whatever its priority,
#: keeps the kernel from moving a worker to the core that it sits on.
_REST_EVERY, _REST = 4, 0.0002
#: spans and records after which the relay waits until they are sent: its reader then waits, too, and nothing is dropped
_FLUSH_EVERY = 2_000
#: ... but no longer than this, so that it sees the end of its worker although an endpoint hangs
_FLUSH_SECONDS = 20.0
#: seconds to send the rest
_STOP_SECONDS = 5.0
#: bytes that are read at a time
_PART = 1024 * 1024
#: how far the relay steps back behind the workers, 0 to 19; without it, it gets what they leave
_NICENESS = "DURABLE_TELEMETRY_NICENESS"


class _Pace:
    """Waits now and then until what was told is sent, so that the exporters' queues do not overflow.

    One flush at a time: those that a hanging endpoint holds up would pile up.
    """

    def __init__(self) -> None:
        self._told = 0
        self._flush: threading.Thread | None = None

    def __call__(self) -> None:
        """Count one span or record."""
        self._told += 1
        if self._told % _REST_EVERY == 0:
            time.sleep(_REST)
        if self._told < _FLUSH_EVERY:
            return
        self._told = 0
        if self._flush is None or not self._flush.is_alive():
            self._flush = threading.Thread(target=pipeline.flush, args=(threading.TIMEOUT_MAX / 2,), daemon=True)
            self._flush.start()
        self._flush.join(_FLUSH_SECONDS)


def run(fd: int) -> None:
    """Tell of everything that is read from a pipe, then send the rest and return."""
    chronicle = LocalChronicle(_Pace())
    acts: dict[str, Callable[..., None]] = {
        "replayed": lambda subject, history: chronicle.replayed(Subject(*subject), _records(history)),
        "turn": lambda subject, events: chronicle.turn(Subject(*subject), _records(events)),
        "forget": chronicle.forget,
        "forget_all": chronicle.forget_all,
        "began": lambda attempt, at, input_: chronicle.began(Attempt(*attempt), datetime.fromisoformat(at), input_),
        "ended": lambda attempt, outcome: chronicle.ended(Attempt(*attempt), _record(outcome)),
    }
    for line in _in_lulls(fd):
        name, *arguments = from_json(line)
        acts[name](*arguments)
    pipeline.stop(_STOP_SECONDS)


def _in_lulls(fd: int) -> Iterator[bytes]:
    """Give the lines of a pipe, each when nothing else has come for a while, or when it has waited for long enough."""
    waiting: deque[tuple[float, bytes]] = deque()
    unfinished: list[bytes] = []
    kept, is_open, is_calm = 0, True, False
    while is_open or waiting:
        patience = waiting[0][0] + _PATIENCE - time.monotonic() if waiting else _PATIENCE
        is_late = patience <= 0 or kept >= _MOST_KEPT
        pause = None if not waiting else 0.0 if is_calm or is_late else min(_LULL, patience)
        if is_open and kept < _MOST_KEPT and select.select([fd], [], [], pause)[0]:
            part = os.read(fd, _PART)
            is_open, is_calm = bool(part), False
            end, *others = part.split(b"\n")
            unfinished.append(end)
            if others:  # of a killed worker the last line stays unfinished
                lines = [b"".join(unfinished), *others[:-1]]
                unfinished = others[-1:]
                waiting.extend((time.monotonic(), line) for line in lines)
                kept += sum(map(len, lines))
        else:
            is_calm = True
        if waiting and (is_calm or is_late or not is_open):
            _, line = waiting.popleft()
            kept -= len(line)
            yield line


def _records(rows: Sequence[Sequence[Any]]) -> list[Record]:
    return [_record(row) for row in rows]


def _record(row: Sequence[Any]) -> Record:
    event_type, timestamp, *rest = row
    return Record(event_type, datetime.fromisoformat(timestamp), *rest)


def main() -> None:
    """Run the process beside a worker. It ends with the worker's end of the pipe, and not by signals meant for both."""
    from django.conf import settings
    from django.utils.log import configure_logging

    for signum in MEANT_FOR_THE_WORKER:
        signal.signal(signum, signal.SIG_IGN)
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
    pipeline.start("worker")
    os.nice(int(os.environ.get(_NICENESS) or 19))  # not before: on a busy machine it would not even come to start
    run(sys.stdin.fileno())
    logging.shutdown()
    os._exit(0)  # a hanging exporter's thread must not keep it


if __name__ == "__main__":
    main()
