"""The watchdog: an orchestrator that never comes back to its await must not hold its worker for ever."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from datetime import timedelta
from types import FrameType

from django.db import connections

from durable_host.conf import host_settings
from durable_host.store import claims, stalls
from durable_host.store.checkpoint import checkpoint
from durable_host.store.shapes import ActivityOutcome, Holder, InstanceHead, Stall, Wake

from . import doorbell
from .activities import ActivityPool
from .children import is_own
from .turns import TurnRunner

logger = logging.getLogger(__name__)

_LONGEST_LOOK = 1.0
#: seconds in which no Python code could run, as in an endless match of a regular expression or where the process was
#: halted, after which Python itself ends it: all that it holds is others' by then
_PETRIFIED = 60.0
#: seconds after which it is told anew that all is well, by a new thread each time; the end may come as much sooner
_REASSURE = 15.0
#: seconds to tell others before the end
_LAST_WORDS = 5.0


class Watchdog:
    """Ends this process when one turn runs longer than ``TURN_TIMEOUT``, after it has let go of everything else.

    A thread cannot be stopped from outside, so the process must end. What it holds is handed back at once; the instance
    whose turn it was becomes a suspect, which is tried in a process of its own.

    Args:
        worker: name of the worker.
        code: its fingerprint.
        turns: decides turns, and knows the one that runs.
        pool: its activities.
        claimed: primary keys of the instances that it has claimed for turns; shared with the host.
        outcomes: what has ended and is not yet committed; shared with the host.
    """

    def __init__(
        self,
        worker: str,
        code: str,
        turns: TurnRunner,
        pool: ActivityPool,
        claimed: Sequence[int],
        outcomes: Sequence[ActivityOutcome],
    ) -> None:
        self._worker, self._code = worker, code
        self._turns, self._pool = turns, pool
        self._claimed, self._outcomes = claimed, outcomes
        self._settings = host_settings()
        self._limit = self._settings.turn_timeout.total_seconds()
        self._is_over = threading.Event()
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> None:
        self._watched = threading.get_ident()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._turns.has_begun.set()
        self._thread.join()

    def _watch(self) -> None:
        next_reassurance = 0.0
        while not self._is_over.wait(min(_LONGEST_LOOK, self._limit / 4)):
            if time.monotonic() >= next_reassurance:
                next_reassurance = time.monotonic() + _REASSURE
                faulthandler.dump_traceback_later(_PETRIFIED, exit=True)
            turn = self._turns.current
            if turn is None:
                self._sleep()
            elif time.monotonic() - turn[1] > self._limit:
                self._end_process(turn[0])
        faulthandler.cancel_dump_traceback_later()

    def _sleep(self) -> None:
        """Wait for the next turn, but not past the time to reassure: to look each second costs as much as sweeps do."""
        self._turns.has_begun.clear()
        # Whoever sets it has said before what there is to see: nothing can begin between the look and the wait.
        if self._turns.current is None and not self._is_over.is_set():
            self._turns.has_begun.wait(_REASSURE)

    def _end_process(self, head: InstanceHead) -> None:
        frame = sys._current_frames().get(self._watched)
        reason = f"Its turn ran longer than {self._limit:g} s{_where(frame)}: it did not come back to an await."
        logger.critical(
            "A turn ran longer than TURN_TIMEOUT; this worker ends.",
            extra={
                "instance_id": head.instance_id,
                "orchestrator": head.name,
                "reason": reason,
                "stack": "".join(traceback.format_stack(frame)),
            },
        )
        teller = threading.Thread(target=self._let_go, args=(head, reason), daemon=True)
        teller.start()
        teller.join(_LAST_WORDS)
        logging.shutdown()
        os._exit(1)

    def _let_go(self, head: InstanceHead, reason: str) -> None:
        """Hand back what this worker holds; should the database be away, the leases end by themselves."""
        holder = Holder(
            hub=self._settings.task_hub,
            worker=self._worker,
            room={},
            activity_lease=self._settings.activity_lease,
            affinity=self._settings.affinity,
        )
        try:
            stalls.set_aside(Stall(head, reason, timedelta(0), is_suspect=True), self._code)
            checkpoint([], list(self._outcomes), holder)
            claims.give_back([pk for pk in self._claimed if pk != head.pk], self._worker)
            claims.release_instances(self._turns.resident, self._worker)
            queues = claims.release_activities(self._pool.running, self._worker)
            doorbell.ring(Wake(frozenset({*queues, self._settings.turn_queue})))
        finally:
            connections.close_all()


def _where(frame: FrameType | None) -> str:
    """Return the innermost line of a stack that is the user's, as `` at orders.py:12 in add``."""
    while frame is not None and is_own(frame.f_code.co_filename):
        frame = frame.f_back
    return f" at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else ""
