"""What is kept of an exception: enough to understand it, never the object itself."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import TaskFailedError

_MESSAGE_LIMIT = 8_000
_STACK_LIMIT = 16_000
_CHAIN_LIMIT = 10
_OWN_PACKAGE = __name__.rpartition(".")[0].rpartition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetails:
    """A failure as history keeps it (DTFx, FailureDetails)."""

    #: name of the exception's class
    error_type: str
    error_message: str
    stack_trace: str | None = None
    inner_failure: FailureDetails | None = None
    #: retry policies stop at such a failure
    is_non_retriable: bool = False
    #: names of the exception's base classes, so that ``is_caused_by(LookupError)`` works for a KeyError
    bases: tuple[str, ...] = ()
    #: the durable tasks whose failure this one reports: what a rewind runs again
    task_ids: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type

    def chain(self) -> Iterator[FailureDetails]:
        """Yield this failure and then its causes, nearest first."""
        current: FailureDetails | None = self
        while current is not None:
            yield current
            current = current.inner_failure

    def type_names(self) -> tuple[str, ...]:
        """Return the class name and the names of its bases."""
        return (self.error_type, *self.bases)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form: only what is set."""
        data: dict[str, Any] = {"errorType": self.error_type, "errorMessage": self.error_message}
        optional = {
            "stackTrace": self.stack_trace,
            "innerFailure": self.inner_failure.to_json() if self.inner_failure else None,
            "isNonRetriable": self.is_non_retriable or None,
            "bases": list(self.bases) or None,
            "taskIds": list(self.task_ids) or None,
        }
        return data | {key: value for key, value in optional.items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FailureDetails:
        """Build from the stored form."""
        inner = data.get("innerFailure")
        return cls(
            error_type=data["errorType"],
            error_message=data["errorMessage"],
            stack_trace=data.get("stackTrace"),
            inner_failure=cls.from_json(inner) if inner else None,
            is_non_retriable=data.get("isNonRetriable", False),
            bases=tuple(data.get("bases", ())),
            task_ids=tuple(data.get("taskIds", ())),
        )


@dataclass(slots=True)
class _Walk:
    """The exceptions already seen, so that a cycle of causes ends."""

    seen: set[int] = field(default_factory=set)

    def cause_of(self, error: BaseException) -> BaseException | None:
        self.seen.add(id(error))
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in self.seen or len(self.seen) >= _CHAIN_LIMIT:
            return None
        return cause


def describe_failure(error: BaseException) -> FailureDetails:
    """Turn an exception and its chain of causes into details that every database stores.

    Messages and stacks are cut to a bounded size, NUL and lone surrogates are replaced. An exception class may set
    ``is_non_retriable = True`` to end every retry policy.
    """
    return _describe(error, _Walk())


def _describe(error: BaseException, walk: _Walk) -> FailureDetails:
    cause = walk.cause_of(error)
    if isinstance(error, TaskFailedError):
        inner: FailureDetails | None = error.details
        task_ids: tuple[int, ...] = (error.task_id,)
    else:
        inner = _describe(cause, walk) if cause is not None else None
        task_ids = inner.task_ids if inner else ()
    return FailureDetails(
        error_type=type(error).__name__,
        error_message=storable_text(_message_of(error), _MESSAGE_LIMIT),
        stack_trace=storable_text(_stack_of(error), _STACK_LIMIT) or None,
        inner_failure=inner,
        is_non_retriable=getattr(error, "is_non_retriable", False) is True,
        bases=tuple(base.__name__ for base in type(error).__mro__[1:-1]),
        task_ids=task_ids,
    )


def _message_of(error: BaseException) -> str:
    """Return ``str(error)``, also for exceptions whose own ``__str__`` fails."""
    try:
        return str(error)
    except Exception as broken:  # user code: any __str__ may raise
        return f"<the message of this {type(error).__name__} cannot be shown: {type(broken).__name__}>"


def _stack_of(error: BaseException) -> str:
    """Format the traceback from the user's first frame on: the host's own frames in front say nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    own = 0
    walker = error.__traceback__
    while walker is not None and walker.tb_frame.f_globals.get("__name__", "").startswith(f"{_OWN_PACKAGE}."):
        own += 1
        walker = walker.tb_next
    return "".join(traceback.format_list(frames[own:]))


def storable_text(text: str, limit: int) -> str:
    """Return ``text`` as every database takes it (no NUL, no lone surrogate), at most ``limit`` characters long."""
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= limit:
        return clean
    half = limit // 2 - 30  # room for the line between
    return f"{clean[:half]}\n… {len(clean) - 2 * half:,} characters left out …\n{clean[-half:]}"
