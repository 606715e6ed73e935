"""The machine: feeds history to an orchestrator's code and gathers what the code asks for.

A turn goes like this:

1. ``OrchestratorStarted`` sets the orchestrator's clock.
2. Each received event is applied in order. An outcome completes its task; if the code is suspended on that task it
   runs on until it waits for something that has not happened yet.
3. What the code asked for meanwhile becomes scheduling events.
4. ``OrchestratorCompleted`` ends the turn. :class:`TurnResult` holds all of it for one checkpoint.

Replay is the same walk over stored events, with one difference: in step 3 each scheduling event of history must match
what the code asked for (:mod:`determinism`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import get_ident
from typing import Any

from . import events as ev
from .context import OrchestrationContext
from .determinism import Confirmation
from .driver import CodeDriver
from .errors import LimitExceededError, SubOrchestrationFailedError, TaskFailedError
from .failure import describe_failure
from .ledger import Ledger
from .limits import Limits
from .mailbox import WaitInfo
from .payload import PayloadCodec
from .registry import Registry
from .sizes import stored_bytes
from .status import RuntimeStatus, next_status
from .tasks import Parent, Task
from .tracing import ExecutionTrace

_DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """What one turn decided: the argument of its checkpoint."""

    #: the turn's events in order, to be appended to history
    events: tuple[ev.HistoryEvent, ...]
    #: those of ``events`` that ask for work
    scheduled: tuple[ev.SchedulingEvent, ...] = ()
    cancelled_timers: tuple[int, ...] = ()
    status: RuntimeStatus
    custom_status: str | None = None
    #: what the instance listens for now; None where the turn did not change it
    waits: tuple[WaitInfo, ...] | None = None
    #: how the execution ended, if it did
    completion: ev.ExecutionCompleted | None = None
    #: the first event of the next execution after continue-as-new
    next_started: ev.ExecutionStarted | None = None
    #: bytes of the whole history, with this turn; None where nobody has read it
    history_bytes: int | None = None


class Execution:
    """One execution of one instance, alive between turns or rebuilt from history by :meth:`replay`."""

    def __init__(
        self,
        registry: Registry,
        codec: PayloadCodec,
        instance_id: str,
        generation: int = 0,
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        self._registry = registry
        self._limits = limits
        #: events of the history so far
        self._length = 0
        #: and what they hold
        self._bytes = 0
        self._ledger = Ledger(instance_id, codec, self._is_awaited, limits)
        self._ledger.generation = generation
        self._confirmation = Confirmation(self._ledger)
        self._driver: CodeDriver | None = None
        self._started: ev.ExecutionStarted | None = None
        self._trace: ExecutionTrace | None = None
        self._completion: ev.ExecutionCompleted | None = None
        self._status = RuntimeStatus.PENDING
        self._is_suspended = False
        #: received while suspended, and the numbers of the work of which the outcome is among them
        self._held: list[ev.HistoryEvent] = []
        self._held_outcomes: set[int] = set()
        self._shown_waits: tuple[WaitInfo, ...] = ()

    @property
    def started(self) -> ev.ExecutionStarted | None:
        """The event by which the execution began; None before its first turn."""
        return self._started

    @property
    def trace(self) -> ExecutionTrace | None:
        """Where its spans belong; None before its first turn."""
        if self._trace is None and self._started is not None:
            self._trace = ExecutionTrace.of(self._ledger.instance_id, self._started, self._ledger.generation)
        return self._trace

    @property
    def is_finished(self) -> bool:
        """Whether the code has ended."""
        return self._completion is not None

    def replay(self, history: Iterable[ev.HistoryEvent]) -> None:
        """Rebuild the state from stored events.

        Raises:
            NonDeterminismError: the code does not ask for what history says it asked for.
            UnknownOrchestratorError: the orchestrator is not registered here.
        """
        self._ledger.is_replaying = True
        self._ledger.running_in = get_ident()
        try:
            for position, event in enumerate(history):
                self._confirmation.position = position
                self._apply(event)
                self._length += 1
                self._bytes += stored_bytes((event,))
        finally:
            self._ledger.running_in = None
            self._ledger.is_replaying = False
        self._ledger.cancelled_timers.clear()
        self._shown_waits = self._ledger.mailbox.open_waits()

    def turn(self, received: Sequence[ev.HistoryEvent], now: datetime) -> TurnResult:
        """Apply new events and return what the code asks for.

        Outcomes of work that has its outcome already are dropped: history holds each once.

        Args:
            received: new events in the order of their arrival.
            now: the time, UTC.

        Raises:
            NonDeterminismError, UnknownOrchestratorError: as :meth:`replay`.
        """
        now = max(now, self._ledger.now)
        accepted = self._accept(received)
        self._ledger.running_in = get_ident()
        try:
            self._apply(ev.OrchestratorStarted(timestamp=now))
            for event in accepted:
                self._apply(event)
        finally:
            self._ledger.running_in = None
        scheduled = tuple(self._ledger.asked.values())
        self._ledger.asked.clear()
        self._length += len(accepted) + len(scheduled) + 2
        self._bytes += stored_bytes(accepted) + stored_bytes(scheduled)
        self._end_if_too_long()
        return self._result(now, accepted, scheduled)

    def unload(self) -> None:
        """Let go of the suspended code without running it on.

        Raises:
            OrchestratorCodeError: the code caught the cancellation and went on.
        """
        if self._driver is not None:
            self._driver.close()

    # --- one event -------------------------------------------------------------------------------------------------

    def _apply(self, event: ev.HistoryEvent) -> None:
        if self._is_suspended and not isinstance(event, _APPLIED_WHILE_SUSPENDED):
            self._hold(event)
            return
        self._status = next_status(self._status, event.event_type)
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def _hold(self, event: ev.HistoryEvent) -> None:
        self._held.append(event)
        if isinstance(event, ev.TaskOutcome):
            self._held_outcomes.add(event.task_scheduled_id)

    def _on_orchestrator_started(self, event: ev.OrchestratorStarted) -> None:
        self._ledger.now = max(event.timestamp, self._ledger.now)

    def _on_orchestrator_completed(self, event: ev.OrchestratorCompleted) -> None:
        self._confirmation.turn_ended(self._completion)

    def _on_execution_started(self, event: ev.ExecutionStarted) -> None:
        spec = self._registry.orchestrator(event.name)
        self._started = event
        context = OrchestrationContext(self._ledger, self._registry, event, spec)
        for one in event.carried:
            self._ledger.mailbox.receive(ev.EventRaised(timestamp=one.timestamp, name=one.name, input=one.input))
        self._driver = CodeDriver(spec, context)
        self._run_code(self._driver.start)

    def _on_scheduled(self, event: ev.SchedulingEvent) -> None:
        self._confirmation.confirm(event, self._completion)

    def _on_completed(self, event: ev.TaskCompleted | ev.SubOrchestrationInstanceCompleted) -> None:
        work = self._ledger.open.pop(event.task_scheduled_id, None)
        if work is not None:
            self._ledger.settle(work.task, event.result, work.result_type, f"The result of {work.name!r}")
            self._go_on()

    def _on_failed(self, event: ev.TaskFailed | ev.SubOrchestrationInstanceFailed) -> None:
        work = self._ledger.open.pop(event.task_scheduled_id, None)
        if work is not None:
            error = TaskFailedError if isinstance(event, ev.TaskFailed) else SubOrchestrationFailedError
            work.task._fail(error(event.failure_details, task_id=event.task_scheduled_id, name=work.name))
            self._go_on()

    def _on_timer_fired(self, event: ev.TimerFired) -> None:
        work = self._ledger.open.pop(event.task_scheduled_id, None)
        if work is not None:
            work.task._complete(None)
            self._go_on()

    def _on_event_raised(self, event: ev.EventRaised) -> None:
        listener = self._ledger.mailbox.receive(event)
        if listener is not None:
            self._ledger.settle_event(listener, event)
            self._go_on()

    def _on_suspended(self, event: ev.ExecutionSuspended) -> None:
        self._is_suspended = True

    def _on_resumed(self, event: ev.ExecutionResumed) -> None:
        self._is_suspended = False
        held, self._held = self._held, []
        self._held_outcomes.clear()
        for one in held:
            self._apply(one)

    def _on_execution_completed(self, event: ev.ExecutionCompleted) -> None:
        self._confirmation.execution_ended(event, self._completion)
        self._completion = event
        self._status = event.orchestration_status

    # --- the user's code -------------------------------------------------------------------------------------------

    def _is_awaited(self, task: Task[Any] | Parent) -> bool:
        return self._driver is not None and self._driver.awaited is task

    def _go_on(self) -> None:
        driver = self._driver
        if (
            driver is not None
            and self._completion is None
            and driver.awaited is not None
            and driver.awaited.is_completed
        ):
            self._run_code(driver.go_on)

    def _run_code(self, run: Callable[[], Any]) -> None:
        """Run the code until it waits or ends; an error of the code is the failure of the execution."""
        try:
            run()
            self._finish_or_wait()
        except KeyboardInterrupt:  # somebody stops the worker: that is no failure of the orchestrator
            raise
        except BaseException as error:  # user code: the orchestrator; SystemExit ends it, not the worker
            self._end(RuntimeStatus.FAILED, error=error)

    def _finish_or_wait(self) -> None:
        driver = self._driver
        while driver is not None and self._ledger.deliver_early():
            driver.go_on()
        if driver is not None and driver.has_returned:
            self._end(RuntimeStatus.COMPLETED, self._result_text(driver.value))
        elif self._ledger.next_execution is not None:
            # The code was told to return after continue_as_new; it will never be resumed.
            self._end(RuntimeStatus.CONTINUED_AS_NEW)

    def _result_text(self, value: Any) -> str | None:
        if self._ledger.next_execution is not None or value is None or self._started is None:
            return None
        return self._ledger.codec.dumps(value, f"The result of orchestrator {self._started.name!r}")

    def _end(self, status: RuntimeStatus, result: str | None = None, error: BaseException | None = None) -> None:
        if self._ledger.next_execution is not None and error is None:
            status = RuntimeStatus.CONTINUED_AS_NEW
        self._ledger.has_ended = True
        self._ledger.mailbox.close()
        self._completion = ev.ExecutionCompleted(
            timestamp=self._ledger.now,
            orchestration_status=status,
            result=result,
            failure_details=describe_failure(error) if error else None,
        )

    def _end_if_too_long(self) -> None:
        """Fail an execution whose history has outgrown the limit, unless it has just ended by itself."""
        if self._completion is None:
            try:
                self._limits.check_history(self._length, self._bytes)
            except LimitExceededError as error:
                self._end(RuntimeStatus.FAILED, error=error)

    # --- the outcome of a turn ------------------------------------------------------------------------------------

    def _accept(self, received: Sequence[ev.HistoryEvent]) -> tuple[ev.HistoryEvent, ...]:
        """Put ExecutionStarted first (nothing can happen before it) and drop second outcomes of the same work."""
        ordered = sorted(received, key=lambda event: not isinstance(event, ev.ExecutionStarted))
        answered: set[int] = set()
        accepted: list[ev.HistoryEvent] = []
        for event in ordered:
            if isinstance(event, ev.TaskOutcome):
                task_id = event.task_scheduled_id
                if task_id not in self._ledger.open or task_id in answered or task_id in self._held_outcomes:
                    continue
                answered.add(task_id)
            accepted.append(event)
        return tuple(accepted)

    def _result(
        self, now: datetime, accepted: tuple[ev.HistoryEvent, ...], scheduled: tuple[ev.SchedulingEvent, ...]
    ) -> TurnResult:
        completion = self._completion
        ending = () if completion is None else (completion,)
        if completion is not None:
            self._status = completion.orchestration_status
        waits = self._ledger.mailbox.open_waits() if completion is None else ()
        changed, self._shown_waits = waits != self._shown_waits, waits
        cancelled = tuple(self._ledger.cancelled_timers)
        self._ledger.cancelled_timers.clear()
        listening = tuple(self._ledger.listened)
        self._ledger.listened.clear()
        return TurnResult(
            events=(
                ev.OrchestratorStarted(timestamp=now),
                *accepted,
                *scheduled,
                *ending,
                ev.OrchestratorCompleted(timestamp=now, listening=listening),
            ),
            scheduled=scheduled,
            cancelled_timers=cancelled,
            status=self._status,
            custom_status=self._ledger.custom_status,
            waits=waits if changed else None,
            completion=completion,
            next_started=self._next_started(now),
            history_bytes=self._bytes + stored_bytes(ending),
        )

    def _next_started(self, now: datetime) -> ev.ExecutionStarted | None:
        following = self._ledger.next_execution
        if following is None or self._started is None or self._status is not RuntimeStatus.CONTINUED_AS_NEW:
            return None
        return replace(
            self._started,
            timestamp=now,
            input=following.input,
            version=self._started.version if following.version is None else following.version,
            generation=self._ledger.generation + 1,
            first_started=self._started.first_started or self._started.timestamp,
            carried=tuple(self._ledger.mailbox.carried()) if following.save_events else (),
        )


_APPLIED_WHILE_SUSPENDED = (
    ev.OrchestratorStarted,
    ev.OrchestratorCompleted,
    ev.ExecutionSuspended,
    ev.ExecutionResumed,
    ev.ExecutionTerminated,
    ev.ExecutionCompleted,
    ev.TaskScheduled,
    ev.SubOrchestrationInstanceCreated,
    ev.TimerCreated,
    ev.EventSent,
)

#: events without an entry change nothing but the status
_HANDLERS: dict[type[ev.HistoryEvent], Callable[[Execution, Any], None]] = {
    ev.OrchestratorStarted: Execution._on_orchestrator_started,
    ev.OrchestratorCompleted: Execution._on_orchestrator_completed,
    ev.ExecutionStarted: Execution._on_execution_started,
    ev.ExecutionCompleted: Execution._on_execution_completed,
    ev.ExecutionSuspended: Execution._on_suspended,
    ev.ExecutionResumed: Execution._on_resumed,
    ev.TaskScheduled: Execution._on_scheduled,
    ev.SubOrchestrationInstanceCreated: Execution._on_scheduled,
    ev.TimerCreated: Execution._on_scheduled,
    ev.EventSent: Execution._on_scheduled,
    ev.TaskCompleted: Execution._on_completed,
    ev.TaskFailed: Execution._on_failed,
    ev.SubOrchestrationInstanceCompleted: Execution._on_completed,
    ev.SubOrchestrationInstanceFailed: Execution._on_failed,
    ev.TimerFired: Execution._on_timer_fired,
    ev.EventRaised: Execution._on_event_raised,
}
