"""Tasks that ask for further work themselves: retries, and a wait with a time limit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .errors import OrchestratorCodeError, TaskFailedError
from .events import RetryNote
from .ledger import Ledger
from .retry import RetryPolicy
from .tasks import EventTask, Task, TimerTask


class RetryTask(Task[Any]):
    """A task that is asked for again, after a durable timer, as its policy says."""

    __slots__ = (
        "_attempt",
        "_first_attempt_at",
        "_first_attempt_id",
        "_ledger",
        "_name",
        "_pause",
        "_policy",
        "_schedule",
    )

    def __init__(
        self, name: str, policy: RetryPolicy, ledger: Ledger, schedule: Callable[[int | None], Task[Any]]
    ) -> None:
        super().__init__()
        self._name = name
        self._policy = policy
        self._ledger = ledger
        self._schedule = schedule
        self._attempt = 1
        self._pause: TimerTask | None = None
        self._first_attempt_at = ledger.now
        self._first_attempt_id = ledger.upcoming_id
        schedule(None)._join(self)

    def _stop(self) -> None:
        """Ask for nothing more: nobody waits for it."""
        self._done = True
        if self._pause is not None and not self._pause.is_completed:
            self._pause.cancel()

    def _on_child(self, child: Task[Any]) -> None:
        if self._done:
            return
        if isinstance(child, TimerTask):
            self._attempt += 1
            self._schedule(self._first_attempt_id)._join(self)
        elif child.exception is None:
            self._complete(child.result)
        else:
            self._on_failure(child.exception)

    def _on_failure(self, error: Exception) -> None:
        try:
            delay = self._delay_after(error)
        except Exception as broken:  # user code: the policy's predicate
            self._fail(broken)
            return
        except SystemExit as broken:  # the same; it ends the task, not the worker
            self._fail(OrchestratorCodeError(f"The handle of a RetryPolicy raised {broken!r}."))
            return
        if delay is None:
            self._fail(error)
        else:
            self._pause = self._ledger.create_timer(self._ledger.now + delay, self._note())
            self._pause._join(self)

    def _note(self) -> RetryNote:
        return RetryNote(
            name=self._name,
            first_attempt_id=self._first_attempt_id,
            attempt=self._attempt + 1,
            limit=self._policy.max_number_of_attempts,
        )

    def _delay_after(self, error: Exception) -> timedelta | None:
        if not isinstance(error, TaskFailedError):
            return None
        return self._policy.next_delay(
            self._attempt, error, now=self._ledger.now, first_attempt_at=self._first_attempt_at
        )


class TimeLimitedEvent(Task[Any]):
    """A wait for an external event that raises ``TimeoutError`` when its timer comes first."""

    __slots__ = ("_event", "_limit", "_timer")

    def __init__(self, event: EventTask[Any], timer: TimerTask, limit: timedelta) -> None:
        super().__init__()
        self._event = event
        self._timer = timer
        self._limit = limit
        event._join(self)
        timer._join(self)

    def cancel(self) -> None:
        """Stop waiting.

        Raises:
            ValueError: the wait has ended already.
        """
        self._event.cancel()
        self._timer.cancel()

    def _on_child(self, child: Task[Any]) -> None:
        if child is self._timer:
            if not self._done:
                self._event.cancel()
                self._fail(TimeoutError(f"Event {self._event.name} not received in {self._limit}."))
            return
        self._settle(child._value, child.exception)
        if not self._timer.is_completed:
            self._timer.cancel()
