"""The bells that rang for a host and that it has not answered yet, and those by which it calls others."""

from __future__ import annotations

import threading
import time

from durable_host.store.shapes import Wake

from . import doorbell

#: seconds that a busy host keeps a bell. It looks for work anyway, and what RQ does between two bells takes as long as
#: a few turns; whoever is idle hears the next bell.
_BUSY = 0.05
#: seconds between two calls for help in one flood: whoever has come needs no other, and each waits for Redis
_CALL = 0.1


class HeldBells:
    """Bells that wait for their host to have looked for work.

    Args:
        queue_name: the queue that they rang for.
    """

    def __init__(self, queue_name: str) -> None:
        self._queue_name = queue_name
        self._bells: list[threading.Event] = []
        #: when the first of them rang, on the monotonic clock
        self._since = 0.0
        #: whether another worker was told of the bells that this one keeps
        self._has_passed_on = False
        #: not before, on the monotonic clock
        self._next_call = 0.0

    def call(self) -> None:
        """Ring for others, as there is more than this host takes at once."""
        now = time.monotonic()
        if now >= self._next_call:
            self._next_call = now + _CALL
            doorbell.ring(Wake(frozenset({self._queue_name})))

    def keep(self, bell: threading.Event) -> None:
        """Take a bell that has just rung."""
        self._since = self._since if self._bells else time.monotonic()
        self._bells.append(bell)

    def answer(self, *, is_busy: bool, is_full: bool) -> None:
        """Let go of the bells; a busy host does so after a while.

        One that is full keeps them, and rings once for a worker that has room.
        """
        if not self._bells or (is_busy and not is_full and time.monotonic() < self._since + _BUSY):
            return
        if is_full:
            if not self._has_passed_on:
                doorbell.ring(Wake(frozenset({self._queue_name})))
            self._has_passed_on = True
            return
        for bell in self._bells:
            bell.set()
        self._bells.clear()
        self._has_passed_on = False
