"""How long work stood still that somebody should have done."""

from __future__ import annotations

import threading
import time

from django.db import DatabaseError, InterfaceError, connections

from durable_host.models import ActivityTask, PendingEvent
from durable_host.store import clock

#: a message or an activity → when it was first seen to be ready
Seen = dict[tuple[str, int], float]


class Standstill:
    """Looks now and then at what is ready, and remembers the longest time that anything was.

    A message counts from when it is visible; an activity from when it is scheduled, until its outcome is recorded.
    """

    def __init__(self) -> None:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look)
        #: seconds
        self.longest = 0.0

    def __enter__(self) -> Standstill:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _look(self) -> None:
        seen: Seen = {}
        while not self._ends.wait(0.2):
            try:
                seen = self._note(seen)
            except (DatabaseError, InterfaceError):
                connections.close_all()
        connections.close_all()

    def _note(self, before: Seen) -> Seen:
        now = time.monotonic()
        messages = PendingEvent.objects.filter(visible_at__lte=clock.now()).values_list("pk", flat=True)
        ready = [("message", pk) for pk in messages]
        ready += [("activity", pk) for pk in ActivityTask.objects.values_list("pk", flat=True)]
        seen = {key: before.get(key, now) for key in ready}
        self.longest = max(self.longest, *(now - at for at in seen.values()), 0.0)
        return seen
