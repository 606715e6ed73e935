"""Runtime statuses, and which event or operation is legal in which.

Everything that decides about statuses lives in the tables of this file.
"""

from __future__ import annotations

from enum import StrEnum


class RuntimeStatus(StrEnum):
    """Durable Functions' statuses, with its names on the wire."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    CANCELED = "Canceled"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens to an instance of this status by itself."""
        return self in FINISHED


FINISHED = frozenset({RuntimeStatus.COMPLETED, RuntimeStatus.FAILED, RuntimeStatus.TERMINATED, RuntimeStatus.CANCELED})
UNFINISHED = frozenset(RuntimeStatus) - FINISHED

_P, _R, _S = RuntimeStatus.PENDING, RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED

#: (status, event) → status; a pair that is missing leaves the status as it is
TRANSITIONS: dict[tuple[RuntimeStatus, str], RuntimeStatus] = {
    (_P, "ExecutionStarted"): _R,
    (RuntimeStatus.CONTINUED_AS_NEW, "ExecutionStarted"): _R,
    (_P, "ExecutionSuspended"): _S,
    (_R, "ExecutionSuspended"): _S,
    (_S, "ExecutionResumed"): _R,
    (RuntimeStatus.FAILED, "ExecutionRewound"): _R,
}

#: operation → statuses in which a client may ask for it (Durable Functions, DurableClient)
LEGAL_IN: dict[str, frozenset[RuntimeStatus]] = {
    "raise an event to": UNFINISHED,
    "terminate": UNFINISHED,
    "suspend": frozenset({_P, _R, RuntimeStatus.CONTINUED_AS_NEW}),
    "resume": frozenset({_S}),
    "rewind": frozenset({RuntimeStatus.FAILED}),
    "restart": FINISHED,
    "purge": FINISHED,
}

#: operation → the event that makes it legal, also while that is still on its way to an unfinished instance
LEGAL_AFTER = {"suspend": "ExecutionResumed", "resume": "ExecutionSuspended"}


def next_status(status: RuntimeStatus, event_type: str) -> RuntimeStatus:
    """Return the status after an event other than ExecutionCompleted, which names its status itself."""
    return TRANSITIONS.get((status, event_type), status)


def allowed_names(operation: str) -> list[str]:
    """Return the statuses in which ``operation`` is legal, in the order of the enum, for messages."""
    return [status.value for status in RuntimeStatus if status in LEGAL_IN[operation]]
