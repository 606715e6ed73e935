"""One structured line for each act, written after the commit that made it true, so never for a replayed one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from durable_host.core import events as ev

logger = logging.getLogger("durable_host.acts")

_ACTIONS: dict[type[ev.HistoryEvent], tuple[int, str]] = {
    ev.ExecutionStarted: (logging.INFO, "orchestration started"),
    ev.ExecutionTerminated: (logging.WARNING, "termination received"),
    ev.ExecutionSuspended: (logging.INFO, "orchestration suspended"),
    ev.ExecutionResumed: (logging.INFO, "orchestration resumed"),
    ev.ExecutionRewound: (logging.WARNING, "orchestration rewound"),
    ev.TaskScheduled: (logging.DEBUG, "activity scheduled"),
    ev.TaskCompleted: (logging.INFO, "activity completed"),
    ev.TaskFailed: (logging.WARNING, "activity failed"),
    ev.SubOrchestrationInstanceCreated: (logging.DEBUG, "sub-orchestration scheduled"),
    ev.SubOrchestrationInstanceCompleted: (logging.INFO, "sub-orchestration completed"),
    ev.SubOrchestrationInstanceFailed: (logging.WARNING, "sub-orchestration failed"),
    ev.TimerCreated: (logging.DEBUG, "timer created"),
    ev.TimerFired: (logging.INFO, "timer fired"),
    ev.EventSent: (logging.INFO, "event sent"),
    ev.EventRaised: (logging.INFO, "event received"),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The instance that an act belongs to, and the worker that did it."""

    orchestrator: str
    instance_id: str
    worker: str

    def fields(self) -> dict[str, object]:
        """Return the fields that every line has."""
        return {"orchestrator": self.orchestrator, "instance_id": self.instance_id, "worker": self.worker}


def log_turn(subject: Subject, events: Iterable[ev.HistoryEvent]) -> None:
    """Log what a committed turn did."""
    for event in events:
        if isinstance(event, ev.ExecutionCompleted):
            _log_end(subject, event)
            continue
        level, action = _ACTIONS.get(type(event), (logging.NOTSET, ""))
        if action and logger.isEnabledFor(level):
            logger.log(level, action, extra=subject.fields() | _event_fields(event))


def log_activity_started(activity: str, instance_id: str, *, task_id: int, attempt: int, worker: str) -> None:
    """Log that an activity begins to run."""
    _log_activity(logging.INFO, "activity started", activity, instance_id, task_id, attempt, worker)


def log_late_result(activity: str, instance_id: str, *, task_id: int, attempt: int, worker: str) -> None:
    """Log that a result was dropped because a later delivery, or the end of its execution, overtook it."""
    _log_activity(logging.WARNING, "late result dropped", activity, instance_id, task_id, attempt, worker)


def log_stall(subject: Subject, reason: str) -> None:
    """Log that an instance was set aside."""
    logger.error("orchestration stalled", extra=subject.fields() | {"reason": reason})


def _log_end(subject: Subject, event: ev.ExecutionCompleted) -> None:
    failure = event.failure_details
    extra = subject.fields() | ({"reason": str(failure)} if failure else {})
    logger.log(
        logging.ERROR if failure else logging.INFO,
        f"orchestration {event.orchestration_status.value.lower()}",
        extra=extra,
    )


def _log_activity(
    level: int, action: str, activity: str, instance_id: str, task_id: int, attempt: int, worker: str
) -> None:
    if logger.isEnabledFor(level):
        fields = {"target": activity, "instance_id": instance_id, "task_id": task_id, "attempt": attempt}
        logger.log(level, action, extra={**fields, "worker": worker})


def _event_fields(event: ev.HistoryEvent) -> dict[str, object]:
    fields: dict[str, object] = {}
    if isinstance(event, ev.TaskOutcome):
        fields["task_id"] = event.task_scheduled_id
    elif event.event_id >= 0:
        fields["task_id"] = event.event_id
    target = getattr(event, "name", None)
    if target and not isinstance(event, ev.ExecutionStarted):
        fields["target"] = target
    failure = getattr(event, "failure_details", None)
    if failure is not None:
        fields["reason"] = str(failure)
    return fields
