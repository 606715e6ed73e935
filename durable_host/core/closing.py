"""Endings that need no user code: termination, and what a parent is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from . import events as ev
from .failure import FailureDetails
from .status import RuntimeStatus
from .turn import TurnResult


def is_terminated_by(received: Sequence[ev.HistoryEvent]) -> bool:
    """Tell whether the inbox asks for the end of the instance."""
    return any(isinstance(event, ev.ExecutionTerminated) for event in received)


def terminated_turn(
    received: Sequence[ev.HistoryEvent], now: datetime, custom_status: str | None
) -> tuple[TurnResult, bool]:
    """Return the last turn of a terminated instance, and whether its sub-orchestrations end with it.

    No history is read and no user code runs, so that a stalled or poisonous instance ends just the same. The output is
    the reason (Durable Functions, TerminateAsync).
    """
    order = next(event for event in received if isinstance(event, ev.ExecutionTerminated))
    completion = ev.ExecutionCompleted(timestamp=now, orchestration_status=RuntimeStatus.TERMINATED, result=order.input)
    result = TurnResult(
        events=(
            ev.OrchestratorStarted(timestamp=now),
            *received,
            completion,
            ev.OrchestratorCompleted(timestamp=now),
        ),
        status=RuntimeStatus.TERMINATED,
        custom_status=custom_status,
        waits=(),
        completion=completion,
    )
    return result, order.recurse


def outcome_for_parent(
    completion: ev.ExecutionCompleted, task_id: int
) -> ev.SubOrchestrationInstanceCompleted | ev.SubOrchestrationInstanceFailed:
    """Return the event that tells a parent how its sub-orchestration ended."""
    if completion.orchestration_status is RuntimeStatus.COMPLETED:
        return ev.SubOrchestrationInstanceCompleted(
            timestamp=completion.timestamp, task_scheduled_id=task_id, result=completion.result
        )
    details = completion.failure_details or FailureDetails(
        error_type=completion.orchestration_status.value,
        error_message=f"The sub-orchestration was {completion.orchestration_status.value.lower()}: {completion.result}",
        is_non_retriable=True,
    )
    return ev.SubOrchestrationInstanceFailed(
        timestamp=completion.timestamp, task_scheduled_id=task_id, failure_details=details
    )
