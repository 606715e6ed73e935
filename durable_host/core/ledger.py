"""What an execution has asked for and what has been answered: the state that context and machine share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import get_ident
from typing import Any

from .errors import OrchestratorCodeError
from .events import (
    EventRaised,
    EventSent,
    RetryNote,
    SchedulingEvent,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from .limits import Limits
from .mailbox import Mailbox, WaitInfo
from .names import child_id
from .payload import PayloadCodec
from .source import caller_line
from .tasks import EventTask, Parent, Task, TimerTask

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class OpenWork:
    """Work that was asked for and has no outcome yet."""

    task: Task[Any]
    name: str
    result_type: Any = Any


@dataclass(frozen=True, slots=True)
class NextExecution:
    """What continue_as_new was given."""

    input: str | None
    save_events: bool
    version: str | None = None


class Ledger:
    """The books of one execution. The context writes requests into it, the machine answers."""

    def __init__(
        self,
        instance_id: str,
        codec: PayloadCodec,
        is_awaited: Callable[[Task[Any] | Parent], bool],
        limits: Limits,
    ) -> None:
        self.instance_id = instance_id
        self._limits = limits
        self.codec = codec
        #: time of the current turn; never goes back
        self.now = EPOCH
        #: number of the execution; keeps the default ids of its sub-orchestrations apart from those of earlier ones
        self.generation = 0
        self.is_replaying = False
        #: the thread in which the machine applies events at this moment, and so the orchestrator's code may run
        self.running_in: int | None = None
        self.has_ended = False
        #: scheduling events that the code asked for and history has not confirmed yet, by number
        self.asked: dict[int, SchedulingEvent] = {}
        #: work without outcome, by number
        self.open: dict[int, OpenWork] = {}
        #: timers withdrawn in this turn
        self.cancelled_timers: list[int] = []
        self.mailbox = Mailbox(is_awaited)
        #: names of the events that the code began to wait for in this turn
        self.listened: list[str] = []
        self.custom_status: str | None = None
        self.next_execution: NextExecution | None = None
        self._next_id = 0

    def require_running(self) -> None:
        """Refuse calls that do not come from the orchestrator's code while its turn runs.

        Raises:
            OrchestratorCodeError: with the file and line of the call.
        """
        if self.has_ended:
            raise OrchestratorCodeError(
                f"{caller_line()}: the context of instance {self.instance_id!r} was used after its orchestrator had "
                f"ended. Do all durable work before returning."
            )
        if self.running_in != get_ident():
            raise OrchestratorCodeError(
                f"{caller_line()}: the context of instance {self.instance_id!r} was used outside its turn (from a "
                f"thread, a callback, or while the orchestrator was being unloaded). Only the orchestrator's own code "
                f"may call it."
            )

    @property
    def upcoming_id(self) -> int:
        """The number that the next request will get."""
        return self._next_id

    def call_activity(
        self, name: str, input_: str | None, result_type: Any, first_attempt_id: int | None = None
    ) -> Task[Any]:
        """Ask for an activity."""
        task: Task[Any] = Task()
        event_id = self._ask(task, name, result_type)
        if event_id is not None:
            self.asked[event_id] = TaskScheduled(
                timestamp=self.now,
                event_id=event_id,
                name=name,
                input=input_,
                first_attempt_id=first_attempt_id,
            )
        return task

    def call_sub_orchestrator(
        self, name: str, input_: str | None, result_type: Any, instance_id: str | None, version: str
    ) -> Task[Any]:
        """Ask for a sub-orchestration."""
        task: Task[Any] = Task()
        event_id = self._ask(task, name, result_type)
        if event_id is not None:
            self.asked[event_id] = SubOrchestrationInstanceCreated(
                timestamp=self.now,
                event_id=event_id,
                name=name,
                instance_id=instance_id or child_id(self.instance_id, self.generation, event_id),
                input=input_,
                version=version,
            )
        return task

    def create_timer(self, fire_at: datetime, retry: RetryNote | None = None) -> TimerTask:
        """Ask for a timer; ``retry`` says which call it is the pause of."""
        task: TimerTask
        task = TimerTask(fire_at, lambda: self._cancel_timer(event_id))
        event_id = self._ask(task, "timer", None)
        if event_id is not None:
            self.asked[event_id] = TimerCreated(timestamp=self.now, event_id=event_id, fire_at=fire_at, retry=retry)
        return task

    def send_event(self, instance_id: str, name: str, input_: str | None) -> None:
        """Ask for an event to be sent; nobody waits for an answer."""
        if self.next_execution is None:
            event_id = self._number()
            self.asked[event_id] = EventSent(
                timestamp=self.now, event_id=event_id, instance_id=instance_id, name=name, input=input_
            )

    def wait_for_event(self, data_type: Any, info: WaitInfo) -> EventTask[Any]:
        """Take the oldest early event of the name, or listen for the next one."""
        task: EventTask[Any] = EventTask(info.name, data_type, on_look=self._take_early, on_cancel=self.mailbox.forget)
        self.mailbox.listen(task, info)
        if not self.is_replaying:
            self.listened.append(info.name)
        self._take_early(task)
        return task

    def deliver_early(self) -> bool:
        """Give one early event to a wait that the code has come back to; tell whether there was one."""
        match = None if self.next_execution is not None else self.mailbox.take_match()
        if match is not None:
            self.settle_event(*match)
        return match is not None

    def _take_early(self, task: EventTask[Any]) -> None:
        early = None if self.next_execution is not None else self.mailbox.take_early(task.name)
        if early is not None:
            self.mailbox.forget(task)
            self.settle_event(task, early)

    def settle_event(self, task: EventTask[Any], event: EventRaised) -> None:
        """Complete a wait with the data of an event."""
        self.settle(task, event.input, task.data_type, f"The data of event {event.name!r}")

    def settle(self, task: Task[Any], payload: str | None, type_: Any, what: str) -> None:
        """Complete a task with a stored value; one that does not fit the declared type fails it."""
        try:
            value = self.codec.loads(payload, type_, what)
        except ValueError as error:
            task._fail(error)
        else:
            task._complete(value)

    def _ask(self, task: Task[Any], name: str, result_type: Any) -> int | None:
        """Number a request; after the end, or continue_as_new, nothing is asked for any more."""
        if self.next_execution is not None or self.has_ended:
            return None
        event_id = self._number()
        self.open[event_id] = OpenWork(task, name, result_type)
        return event_id

    def _number(self) -> int:
        self._limits.check_tasks(len(self.asked) + 1)
        number = self._next_id
        self._next_id += 1
        return number

    def _cancel_timer(self, event_id: int | None) -> None:
        if event_id is not None and self.open.pop(event_id, None) is not None and not self.is_replaying:
            self.cancelled_timers.append(event_id)
