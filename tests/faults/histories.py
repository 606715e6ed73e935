"""What must be the same in every run, whatever failed on the way, and what must never be."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from durable_host.core import events as ev
from durable_host.models import HistoryEvent
from durable_host.store import queries

Normal = tuple[Any, ...]
_EXECUTION = ("instance_id", "generation")
_OUTCOMES = [name for name, kind in ev.EventTypes.BY_NAME.items() if issubclass(kind, ev.TaskOutcome)]
_TURN_BOUNDARIES = (ev.OrchestratorStarted, ev.OrchestratorCompleted)


def normal(history: list[ev.HistoryEvent]) -> tuple[list[Normal], list[Normal], Counter[Normal]]:
    """Return what was asked for and what was received, each in order, and the outcomes, which may come in any.

    Without times, workers, ids, and where one turn ends and the next begins.
    """
    outcomes = [event for event in history if isinstance(event, ev.TaskOutcome)]
    received = [event for event in history if isinstance(event, ev.EventRaised)]
    apart = (*_TURN_BOUNDARIES, ev.TaskOutcome, ev.EventRaised)
    asked = [event for event in history if not isinstance(event, apart)]
    return [_normal(one) for one in asked], [_normal(one) for one in received], Counter(map(_outcome, outcomes))


def _normal(event: ev.HistoryEvent) -> Normal:
    fields = ("name", "input", "result", "orchestration_status")
    return (event.event_type, event.event_id, *(getattr(event, field, None) for field in fields))


def _outcome(event: ev.TaskOutcome) -> Normal:
    failure = getattr(event, "failure_details", None)
    said = (failure.error_type, failure.error_message) if failure else getattr(event, "result", None)
    return (event.event_type, event.task_scheduled_id, said)


def assert_whole() -> None:
    """Check that no row is left over, no number is missing, and no outcome is, or is there twice."""
    assert queries.count_open_work("default") == {"messages": 0, "activities": 0, "waits": 0}
    assert_gap_free()
    assert_outcomes_are_single()
    asked = HistoryEvent.objects.filter(event_type="TaskScheduled").values_list(*_EXECUTION, "event_id")
    answered = HistoryEvent.objects.filter(event_type__in=_OUTCOMES).values_list(*_EXECUTION, "task_id")
    assert set(asked) <= set(answered)


def assert_gap_free() -> None:
    """Check that the events of every execution are numbered from 0 without a gap."""
    numbers: dict[tuple[int, int], list[int]] = defaultdict(list)
    rows = HistoryEvent.objects.order_by(*_EXECUTION, "sequence").values_list(*_EXECUTION, "sequence")
    for instance, generation, sequence in rows:
        numbers[instance, generation].append(sequence)
    assert all(found == list(range(len(found))) for found in numbers.values())


def assert_outcomes_are_single() -> None:
    """Check that nothing that was asked for has two outcomes."""
    answered = HistoryEvent.objects.filter(event_type__in=_OUTCOMES).values_list(*_EXECUTION, "task_id")
    assert max(Counter(answered).values(), default=1) == 1
