"""Durable tasks: what an orchestrator awaits.

A task is completed by the machine, from history; never by a thread or a clock. Awaiting one that is not complete hands
it to the machine, which resumes the code once the task is done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .errors import OrchestratorCodeError

if TYPE_CHECKING:
    from datetime import datetime

T = TypeVar("T")

#: combinations within combinations: far below what Python's stack holds
_MAX_DEPTH = 100


class Parent(Protocol):
    """What waits for tasks: a combination, or a retry."""

    @property
    def is_completed(self) -> bool: ...

    def _on_child(self, child: Task[Any]) -> None: ...

    def _open_parents(self) -> list[Parent]: ...

    def _is_let_go(self) -> bool: ...


class Task(Generic[T]):
    """The future result of one piece of durable work.

    ``await`` it in an ``async def`` orchestrator, ``yield`` it in a generator. A task may be awaited again.
    """

    __slots__ = ("_done", "_error", "_parents", "_parents_kept", "_value")

    #: how many combinations are within each other here
    _depth = 0

    def __init__(self) -> None:
        self._done = False
        self._value: T | None = None
        self._error: Exception | None = None
        self._parents: list[Parent] = []
        #: so many parents may gather before the ended ones are let go
        self._parents_kept = 8

    @property
    def is_completed(self) -> bool:
        """Whether the work has ended, well or not."""
        return self._done

    @property
    def is_failed(self) -> bool:
        """Whether the work has ended with an error."""
        return self._error is not None

    #: the same, under an older name of azure-functions-durable
    is_faulted = is_failed

    @property
    def exception(self) -> Exception | None:
        """The error that the work ended with, if it did."""
        return self._error

    @property
    def result(self) -> T:
        """The value that the work ended with.

        Raises:
            OrchestratorCodeError: the task is not complete; await it first.
            Exception: the error that the work ended with.
        """
        if not self._done:
            raise OrchestratorCodeError(f"This {type(self).__name__} has no result yet: await it first.")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator[Task[Any], Any, T]:
        if not self._done:
            yield self
        return self.result

    # The machine's side. Orchestrator code never calls what follows.

    def _open_parents(self) -> list[Parent]:
        return [parent for parent in self._parents if not parent.is_completed]

    def _is_let_go(self) -> bool:
        """Tell whether the task was part of combinations that have all ended, as a loser of when_any is."""
        return bool(self._parents) and all(parent._is_let_go() for parent in self._open_parents())

    def _join(self, parent: Parent) -> None:
        """Have ``parent`` told when this task ends; now and then let go of the parents that ended meanwhile."""
        if len(self._parents) >= self._parents_kept:
            self._parents = self._open_parents()
            self._parents_kept = 2 * max(4, len(self._parents))
        self._parents.append(parent)

    def _complete(self, value: Any) -> None:
        self._settle(value, None)

    def _fail(self, error: Exception) -> None:
        self._settle(None, error)

    def _settle(self, value: Any, error: Exception | None) -> None:
        if self._done:
            return
        self._done, self._value, self._error = True, value, error
        parents, self._parents = self._parents, []
        for parent in parents:
            parent._on_child(self)


class TimerTask(Task[None]):
    """A durable timer."""

    __slots__ = ("_on_cancel", "fire_at", "is_cancelled")

    def __init__(self, fire_at: datetime, on_cancel: Callable[[], None]) -> None:
        super().__init__()
        #: when it fires, UTC
        self.fire_at = fire_at
        self.is_cancelled = False
        self._on_cancel = on_cancel

    def cancel(self) -> None:
        """Withdraw the timer. It will not fire, and awaiting it would wait for ever.

        Raises:
            ValueError: it has fired already.
        """
        if self._done:
            raise ValueError("Cannot cancel a completed task.")
        if not self.is_cancelled:
            self.is_cancelled = True
            self._on_cancel()


class EventTask(Task[T]):
    """A wait for an external event."""

    __slots__ = ("_on_cancel", "_on_look", "data_type", "is_cancelled", "name")

    def __init__(
        self,
        name: str,
        data_type: Any,
        *,
        on_look: Callable[[EventTask[Any]], None],
        on_cancel: Callable[[EventTask[Any]], None],
    ) -> None:
        super().__init__()
        #: name as the orchestrator wrote it
        self.name = name
        self.data_type = data_type
        self.is_cancelled = False
        self._on_look = on_look
        self._on_cancel = on_cancel

    @property
    def is_completed(self) -> bool:
        """Whether the event is there. One that came after a when_any had let go of this wait is taken now."""
        if not self._done and not self.is_cancelled:
            self._on_look(self)
        return self._done

    def cancel(self) -> None:
        """Stop waiting: a later event of the name goes to the next wait.

        Raises:
            ValueError: the event has arrived already.
        """
        if self._done:
            raise ValueError("Cannot cancel a completed task.")
        if not self.is_cancelled:
            self.is_cancelled = True
            self._on_cancel(self)


class _Composite(Task[T]):
    """A task made of tasks."""

    __slots__ = ("_depth", "_open", "children")

    def __init__(self, tasks: Iterable[Task[Any]], what: str) -> None:
        super().__init__()
        self.children = list(tasks)
        for child in self.children:
            if not isinstance(child, Task):
                raise OrchestratorCodeError(
                    f"{what} combines durable tasks; it was given a {type(child).__name__}. Pass what the methods of "
                    f"the context return, without awaiting it."
                )
        self._depth = 1 + max((child._depth for child in self.children), default=0)
        if self._depth > _MAX_DEPTH:
            raise OrchestratorCodeError(
                f"{what} was nested more than {_MAX_DEPTH} times. A loop that combines the last combination with one "
                f"more task grows without end: keep the tasks in a list, and combine the list."
            )
        self._open = sum(not child.is_completed for child in self.children)

    def _attach(self) -> None:
        """Look at the children that are done, and listen to the others; called once the subclass is ready."""
        for child in self.children:
            if child.is_completed:
                self._look_at(child)
            elif not self._done:
                child._join(self)
        self._check_all_done()

    def _on_child(self, child: Task[Any]) -> None:
        self._open -= 1
        self._look_at(child)
        self._check_all_done()

    def _look_at(self, child: Task[Any]) -> None:
        raise NotImplementedError

    def _check_all_done(self) -> None:
        """Settle if nothing is open any more; any() has nothing to do here."""


class WhenAll(_Composite[list[Any]]):
    """Waits for all, then gives their results in order, or raises the first failure that history has."""

    __slots__ = ("_first_error",)

    def __init__(self, tasks: Iterable[Task[Any]]) -> None:
        super().__init__(tasks, "when_all")
        self._first_error: Exception | None = None
        self._attach()

    def _look_at(self, child: Task[Any]) -> None:
        if self._first_error is None:
            self._first_error = child.exception

    def _check_all_done(self) -> None:
        if self._open or self._done:
            return
        if self._first_error is not None:
            self._fail(self._first_error)
        else:
            self._complete([child.result for child in self.children])


class TaskAll(WhenAll):
    """As :class:`WhenAll`, but the first failure ends the wait (azure-functions-durable, task_all)."""

    __slots__ = ()

    def _look_at(self, child: Task[Any]) -> None:
        if child.exception is not None:
            self._fail(child.exception)


class WhenAny(_Composite[Task[Any]]):
    """Waits for the first to end and gives that task; the others go on."""

    __slots__ = ()

    def __init__(self, tasks: Iterable[Task[Any]]) -> None:
        super().__init__(tasks, "when_any")
        if not self.children:
            raise OrchestratorCodeError("when_any of no tasks would wait for ever. Pass at least one.")
        self._attach()

    def _look_at(self, child: Task[Any]) -> None:
        self._complete(child)
