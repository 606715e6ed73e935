"""What hosts do beside orchestrations, in small parts between two rounds: batches, and removing what is not kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from durable_host.conf import host_settings
from durable_host.core.registry import Registry
from durable_host.store import retention
from durable_host.store.limits import TooSlowError
from durable_host.store.retention import Place

from .batches import BatchRunner

logger = logging.getLogger(__name__)

#: seconds between two questions whether a sweep is due
_LOOK_INTERVAL = 60.0
#: seconds between two parts while there is other work
_PACE = 0.5


class Housekeeper:
    """Gives chores their share of a host's time.

    Args:
        worker: the host's name.
        registry: the functions that it knows.
        wake: has the host look for what a batch has given it to do.
    """

    def __init__(self, worker: str, registry: Registry, wake: Callable[[], None]) -> None:
        self._batches = BatchRunner(registry, wake)
        self._next_part = 0.0
        self._sweeper = RetentionSweeper(worker)

    def look(self) -> None:
        """Ask the database again whether there is a batch: a bell rang, or it is time."""
        self._batches.look()

    def step(self, *, is_idle: bool) -> bool:
        """Do one part of each; tell whether there was one."""
        moved = False
        if is_idle or time.monotonic() >= self._next_part:
            self._next_part = time.monotonic() + _PACE
            moved = self._batches.step()
        return self._sweeper.step(is_idle=is_idle and not moved) or moved


class RetentionSweeper:
    """Removes finished instances that the setting RETENTION no longer keeps, on one worker of the hub at a time."""

    def __init__(self, worker: str) -> None:
        self._settings = host_settings()
        self._worker = worker
        #: None while no sweep is under way
        self._place: Place | None = None
        #: on the monotonic clock
        self._next = 0.0

    def step(self, *, is_idle: bool) -> bool:
        """Remove one part, if a sweep is due and its turn has come; tell whether there was one."""
        is_due = time.monotonic() >= self._next or (is_idle and self._place is not None)
        if not (self._settings.retention and is_due):
            return False
        hub, rules = self._settings.task_hub, self._settings.retention
        if self._place is None:
            self._next = time.monotonic() + min(_LOOK_INTERVAL, self._settings.retention_interval.total_seconds())
            if not retention.begin(hub, self._worker):
                return False
            self._place = Place()
        self._next = time.monotonic() + _PACE
        try:
            self._place = retention.remove_part(hub, self._worker, rules, self._place)
        except TooSlowError:
            logger.warning("Retention: the database is too slow now; the next sweep goes on.")
            self._place = None
        if self._place is None:
            removed = retention.finish(hub, self._worker, rules, self._settings.retention_interval)
            logger.info("Retention: sweep done.", extra={"worker": self._worker, "removed": removed})
        return True
