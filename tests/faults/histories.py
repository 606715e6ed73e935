"""What must be the same in every run, whatever failed on the way, and what must never be."""

from __future__ import annotations

from collections import Counter
from typing import Any

from durable_host.client import DurableClient
from durable_host.core import events as ev
from durable_host.models import HistoryEvent
from durable_host.store import queries

Normal = tuple[Any, ...]
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


def assert_whole(client: DurableClient) -> None:
    """Check that no row is left over, no number is missing, and no outcome is, or is there twice."""
    assert queries.count_open_work("default") == {"messages": 0, "activities": 0, "waits": 0}
    numbers: dict[tuple[int, int], list[int]] = {}
    rows = HistoryEvent.objects.order_by("instance_id", "generation", "sequence")
    for instance, generation, sequence in rows.values_list("instance_id", "generation", "sequence"):
        numbers.setdefault((instance, generation), []).append(sequence)
    assert all(found == list(range(len(found))) for found in numbers.values())
    for one in client.query(page_size=1000).items:
        history = client.get_history(one.instance_id)
        answered = Counter(event.task_scheduled_id for event in history if isinstance(event, ev.TaskOutcome))
        assert set(answered.values()) <= {1}, one.instance_id
        asked = {event.event_id for event in history if isinstance(event, ev.TaskScheduled)}
        assert asked <= set(answered), one.instance_id
