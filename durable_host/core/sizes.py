"""How much an event adds to its history: the texts that may be of any length, which users make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import events as ev
from .failure import FailureDetails


def stored_bytes(events: Iterable[ev.HistoryEvent]) -> int:
    """Return the bytes of the payloads and failures that these events bring; what all events have is not counted."""
    total = 0
    for event in events:
        count = _COUNTS.get(type(event))
        if count is not None:
            total += count(event)
    return total


def _text(text: str | None) -> int:
    if not text:
        return 0
    # Python knows whether a text is ASCII: nearly always no byte of it is looked at
    return len(text) if text.isascii() else len(text.encode())


def _input(event: Any) -> int:
    return _text(event.input)


def _result(event: Any) -> int:
    return _text(event.result)


def _failure(event: Any) -> int:
    return _details(event.failure_details)


def _details(failure: FailureDetails | None) -> int:
    return sum(_text(one.error_message) + _text(one.stack_trace) for one in failure.chain()) if failure else 0


def _started(event: ev.ExecutionStarted) -> int:
    return _text(event.input) + sum(_text(one.input) for one in event.carried)


def _completed(event: ev.ExecutionCompleted) -> int:
    return _text(event.result) + _details(event.failure_details)


_COUNTS: dict[type[ev.HistoryEvent], Callable[[Any], int]] = {
    ev.ExecutionStarted: _started,
    ev.ExecutionCompleted: _completed,
    ev.ExecutionTerminated: _input,
    ev.TaskScheduled: _input,
    ev.TaskCompleted: _result,
    ev.TaskFailed: _failure,
    ev.SubOrchestrationInstanceCreated: _input,
    ev.SubOrchestrationInstanceCompleted: _result,
    ev.SubOrchestrationInstanceFailed: _failure,
    ev.EventSent: _input,
    ev.EventRaised: _input,
}
