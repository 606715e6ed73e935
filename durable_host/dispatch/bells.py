"""The bells that rang for a host and that it has not answered yet."""

from __future__ import annotations

import threading

from durable_host.store.shapes import Wake

from . import doorbell


class HeldBells:
    """Bells that wait for their host to have looked for work.

    Args:
        queue_name: the queue that they rang for.
    """

    def __init__(self, queue_name: str) -> None:
        self._queue_name = queue_name
        self._bells: list[threading.Event] = []
        #: whether another worker was told of the bells that this one keeps
        self._has_passed_on = False

    def keep(self, bell: threading.Event) -> None:
        """Take a bell that has just rung."""
        self._bells.append(bell)

    def answer(self, *, is_full: bool) -> None:
        """Let go of the bells. A worker that is full keeps them, and rings once for a worker that has room."""
        if not self._bells:
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
