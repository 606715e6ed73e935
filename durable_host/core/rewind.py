"""Takes a failed history back to just before its failure.

What a rewind keeps and repeats:

1. The failure names the tasks that caused it (``FailureDetails.task_ids``). The cut is made before the turn that
   received the first of their failures; where no task failed (the code itself raised), before the last turn.
2. Turns before the cut are kept as they are, so that the code replays them unchanged.
3. Everything received since the cut is delivered again in its order, except failures and the end: results that were
   paid for are not computed twice.
4. Work scheduled before the cut that has no outcome now is owed: it runs again. Work scheduled after the cut never
   happened; the code will ask for it again if it still wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from . import events as ev

E = TypeVar("E", bound=ev.HistoryEvent)

_FAILURES = (ev.TaskFailed, ev.SubOrchestrationInstanceFailed)
_NOT_REDELIVERED = (
    ev.OrchestratorStarted,
    ev.OrchestratorCompleted,
    ev.ExecutionCompleted,
    ev.ExecutionRewound,
    ev.TaskScheduled,
    ev.TimerCreated,
    ev.SubOrchestrationInstanceCreated,
    ev.EventSent,
    *_FAILURES,
)


@dataclass(frozen=True, slots=True)
class RewindPlan:
    """What becomes of a failed history."""

    kept: tuple[ev.HistoryEvent, ...]
    redelivered: tuple[ev.HistoryEvent, ...]
    #: scheduling events of ``kept`` whose work must be done (again)
    owed: tuple[ev.SchedulingEvent, ...]


def plan_rewind(history: Sequence[ev.HistoryEvent]) -> RewindPlan:
    """Return what to keep, deliver again and run again so that a failed execution gets another chance."""
    turns = _turns(history)
    cut = _cut(turns, history)
    kept = tuple(event for turn in turns[:cut] for event in turn)
    scheduled_ids = {event.event_id for event in kept}
    redelivered = tuple(event for turn in turns[cut:] for event in turn if _is_redelivered(event, scheduled_ids))
    answered = {event.task_scheduled_id for event in (*kept, *redelivered) if isinstance(event, ev.TaskOutcome)}
    owed = tuple(
        event
        for event in kept
        if isinstance(event, ev.TaskScheduled | ev.TimerCreated | ev.SubOrchestrationInstanceCreated)
        and event.event_id not in answered
    )
    return RewindPlan(kept, redelivered, owed)


def with_origin(plan: RewindPlan, generation: int) -> RewindPlan:
    """Note on kept activities in which execution they were scheduled: their idempotency keys must not change.

    Args:
        plan: what a rewind keeps.
        generation: number of the execution that failed.
    """
    return replace(
        plan,
        kept=tuple(_marked(event, generation) for event in plan.kept),
        owed=tuple(_marked(event, generation) for event in plan.owed),
    )


def _marked(event: E, generation: int) -> E:
    if isinstance(event, ev.TaskScheduled) and event.origin is None:
        return replace(event, origin=generation)
    return event


def _turns(history: Sequence[ev.HistoryEvent]) -> list[list[ev.HistoryEvent]]:
    turns: list[list[ev.HistoryEvent]] = []
    for event in history:
        if isinstance(event, ev.OrchestratorStarted) or not turns:
            turns.append([])
        turns[-1].append(event)
    return turns


def _cut(turns: list[list[ev.HistoryEvent]], history: Sequence[ev.HistoryEvent]) -> int:
    culprits = {
        task_id
        for event in history
        if isinstance(event, ev.ExecutionCompleted) and event.failure_details
        for task_id in event.failure_details.task_ids
    }
    for number, turn in enumerate(turns):
        if any(isinstance(event, _FAILURES) and event.task_scheduled_id in culprits for event in turn):
            return number
    return len(turns) - 1


def _is_redelivered(event: ev.HistoryEvent, scheduled_ids: set[int]) -> bool:
    if isinstance(event, _NOT_REDELIVERED):
        return False
    return not isinstance(event, ev.TaskOutcome) or event.task_scheduled_id in scheduled_ids
