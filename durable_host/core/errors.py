"""Every error that the host raises on purpose.

Each says what was recorded or given, what is now, where, and what to do about it. Errors of the caller derive from
:class:`BadRequestError`; errors in an orchestrator's code from :class:`OrchestratorCodeError`; the failure of a piece
of durable work arrives in the orchestrator as :class:`TaskFailedError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .failure import FailureDetails


class DurableError(Exception):
    """Base of all errors of the durable host."""


class BadRequestError(DurableError):
    """The call was refused; nothing was stored."""


class PayloadError(BadRequestError, ValueError):
    """A value cannot be stored, or does not have the type that the function declares. A retry would bring it again."""

    is_non_retriable = True


class InvalidInstanceIdError(BadRequestError, ValueError):
    """An instance id that the host refuses (Durable Functions, DurableClient.StartNewAsync, for the rules)."""


class UnknownOrchestratorError(BadRequestError, LookupError):
    """No orchestrator of that name is registered."""


class InstanceNotFoundError(BadRequestError, LookupError):
    """No instance of that id exists in the task hub."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            f"No instance {instance_id!r} exists in this task hub. It was never started, was purged, or belongs to "
            f"another hub."
        )
        self.instance_id = instance_id


class InstanceAlreadyExistsError(BadRequestError):
    """An unfinished instance already has the id that was chosen for a new one."""

    def __init__(self, instance_id: str, status: str) -> None:
        super().__init__(
            f"Instance {instance_id!r} already exists and is {status}. Choose another id, wait until it has finished, "
            f"or use start_or_get() to accept the one that is there."
        )
        self.instance_id = instance_id
        self.status = status


class InvalidOperationError(BadRequestError):
    """The operation is not legal in the status that the instance has now."""

    def __init__(self, operation: str, instance_id: str, status: str, allowed: Iterable[str]) -> None:
        super().__init__(
            f"Cannot {operation} instance {instance_id!r}: it is {status}. This is possible only while it is "
            f"{' or '.join(allowed)}."
        )
        self.operation = operation
        self.instance_id = instance_id
        self.status = status


class OrchestratorCodeError(DurableError):
    """The orchestrator's code did something that cannot be replayed; the message names file and line."""


class LimitExceededError(OrchestratorCodeError):
    """An execution has grown beyond what the settings allow, in one turn or over all of them."""

    is_non_retriable = True


class NonDurableAwaitError(OrchestratorCodeError):
    """The orchestrator waited for something that is not a durable task."""


class NonDeterminismError(DurableError):
    """The code no longer asks for what history says it asked for. The instance stalls until the right code is back."""


class TaskFailedError(DurableError):
    """A piece of durable work failed: an activity, or a sub-orchestration.

    Attributes:
        details: the original failure with its type, message, stack and causes.
        task_id: number of the scheduling event in history.
        name: name of the activity or orchestrator that failed.
    """

    kind = "activity"

    def __init__(self, details: FailureDetails, *, task_id: int, name: str) -> None:
        super().__init__(f"The {self.kind} {name!r} (task {task_id}) failed: {details}")
        self.details = details
        self.task_id = task_id
        self.name = name

    @property
    def error_type(self) -> str:
        """Name of the original exception's class, for example ``"ValueError"``."""
        return self.details.error_type

    @property
    def error_message(self) -> str:
        """The original exception's message."""
        return self.details.error_message

    @property
    def stack_trace(self) -> str | None:
        """The original traceback as text."""
        return self.details.stack_trace

    def causes(self) -> Iterator[FailureDetails]:
        """Yield the failure itself, then its cause, the cause's cause, and so on."""
        return self.details.chain()

    def is_caused_by(self, error: type[BaseException] | str) -> bool:
        """Tell whether the failure, or any of its causes, is of this type (a class, or a class's name)."""
        name = error if isinstance(error, str) else error.__name__
        return any(name in details.type_names() for details in self.causes())


class SubOrchestrationFailedError(TaskFailedError):
    """A sub-orchestration failed, was terminated, or could not be started."""

    kind = "sub-orchestration"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the tail of an unknown-name message: the nearest names, or what there is."""
    names = sorted(known)
    if not names:
        return "None is registered."
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(repr(one) for one in near)}?"
    shown = ", ".join(repr(one) for one in names[:10])
    return f"Registered are: {shown}{', …' if len(names) > 10 else ''}."
