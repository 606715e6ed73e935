"""External events of one execution: those that wait for a listener, and the listeners that wait for one.

Names are compared without case (Durable Functions, DurableOrchestrationContext). Early events are kept in order of
arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from pydantic_core import to_json

from .events import CarriedEvent, EventRaised
from .payload import adapter_of
from .tasks import EventTask, Parent, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitInfo:
    """What an instance listens for, with what the person who answers needs to know."""

    name: str
    title: str = ""
    description: str = ""
    #: user or group names who may answer; empty for everybody with the right
    assignees: tuple[str, ...] = ()
    due: datetime | None = None
    #: JSON schema of the expected data as JSON text; None for any data. It makes the buttons
    schema: str | None = None


class Mailbox:
    """The listeners and the early events of one execution.

    Args:
        is_awaited: tells whether the orchestrator is suspended on exactly this task.
    """

    def __init__(self, is_awaited: Callable[[Task[Any] | Parent], bool]) -> None:
        self._is_awaited = is_awaited
        #: by name without case: early events with the number of their arrival, and listeners, both oldest first
        self._early: dict[str, deque[tuple[int, EventRaised]]] = {}
        self._listeners: dict[str, dict[EventTask[Any], WaitInfo]] = {}
        self._arrivals = 0

    def take_early(self, name: str) -> EventRaised | None:
        """Remove and return the oldest early event of this name."""
        key = name.casefold()
        early = self._early.get(key)
        if early is None:
            return None
        _, event = early.popleft()
        if not early:
            del self._early[key]
        return event

    def listen(self, task: EventTask[Any], info: WaitInfo) -> None:
        """Add a listener."""
        self._listeners.setdefault(task.name.casefold(), {})[task] = info

    def forget(self, task: EventTask[Any]) -> None:
        """Remove a listener that gave up."""
        key = task.name.casefold()
        listeners = self._listeners.get(key, {})
        if listeners.pop(task, None) is not None and not listeners:
            del self._listeners[key]

    def close(self) -> None:
        """Remove all listeners: the code has ended, what comes now is for the next execution."""
        self._listeners.clear()

    def receive(self, event: EventRaised) -> EventTask[Any] | None:
        """Return the listener that this event belongs to, removed from the list; without one, keep the event.

        The oldest listener that the code waits for comes first, then the oldest that it may still wait for. Those that
        a when_any has let go would swallow the event: they get it only if the code comes back to them.
        """
        key = event.name.casefold()
        chosen = self._attended(key)
        if chosen is None:
            chosen = next((task for task in self._listeners.get(key, ()) if not task._is_let_go()), None)
        if chosen is None:
            self._early.setdefault(key, deque()).append((self._arrivals, event))
            self._arrivals += 1
        else:
            self.forget(chosen)
        return chosen

    def take_match(self) -> tuple[EventTask[Any], EventRaised] | None:
        """Remove and return the oldest early event for which the code waits now, and its listener."""
        keys = [key for key in self._early if key in self._listeners]
        for key in sorted(keys, key=lambda key: self._early[key][0][0]):
            task = self._attended(key)
            event = None if task is None else self.take_early(key)
            if task is not None and event is not None:
                self.forget(task)
                return task, event
        return None

    def _attended(self, key: str) -> EventTask[Any] | None:
        return next((task for task in self._listeners.get(key, ()) if self._is_attended(task)), None)

    def _is_attended(self, task: Task[Any] | Parent) -> bool:
        """Tell whether the orchestrator is suspended on the task, or on a combination that it is part of."""
        return self._is_awaited(task) or any(self._is_attended(parent) for parent in task._open_parents())

    def open_waits(self) -> tuple[WaitInfo, ...]:
        """Return one entry for each name whose event would go on to the code; the newest listener speaks for its name.

        A listener that a when_any has let go is none of them: the question is over, so nobody shall be asked any more.
        """
        shown = []
        for listeners in self._listeners.values():
            asked = [info for task, info in listeners.items() if not task._is_let_go() or self._is_attended(task)]
            shown += asked[-1:]
        return tuple(shown)

    def carried(self) -> Iterator[CarriedEvent]:
        """Yield the early events that nobody took, in the order of their arrival."""
        for _, event in sorted(chain.from_iterable(self._early.values()), key=lambda entry: entry[0]):
            yield CarriedEvent(name=event.name, input=event.input, timestamp=event.timestamp)


@lru_cache(maxsize=1024)
def schema_of(data_type: Any) -> str | None:
    """Return the JSON schema of a type as JSON text, None for ``Any``."""
    if data_type is Any:
        return None
    return to_json(adapter_of(data_type).json_schema()).decode()
