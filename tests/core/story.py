"""Tests speak in histories: ``given(orchestrator, input).when(event, …).then(call, …)``.

Every turn of a :class:`Story` is decided twice: by the live execution, and by a fresh one that first replays the stored
history, through the codec and back. Both must decide the same, to the last letter. So each story proves that each of
its prefixes replays.

A :class:`World` plays the rest of the host: it runs activities, timers, sub-orchestrations and messages to the end,
on a clock that jumps.
"""

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from durable_host.core import events as ev
from durable_host.core.actions import Actions, actions_of
from durable_host.core.closing import is_terminated_by, outcome_for_parent, terminated_turn
from durable_host.core.codec import Record, from_record, to_record
from durable_host.core.errors import OrchestratorCodeError
from durable_host.core.failure import describe_failure
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import Registry
from durable_host.core.rewind import RewindPlan, plan_rewind, with_origin
from durable_host.core.status import RuntimeStatus
from durable_host.core.turn import Execution, TurnResult

T0 = datetime(2024, 5, 1, 12, tzinfo=UTC)
CODEC = PayloadCodec()

Function = Callable[..., Any]


def registry_of(*orchestrators: Function, activities: Iterable[Function] = ()) -> Registry:
    """Return a registry that knows exactly these functions."""
    registry = Registry()
    for function in orchestrators:
        registry.add_orchestrator(function)
    for function in activities:
        registry.add_activity(function)
    return registry


class Story:
    """One execution, turn by turn."""

    def __init__(self, registry: Registry, instance_id: str = "order-1", generation: int = 0) -> None:
        self.registry = registry
        self.instance_id = instance_id
        self.generation = generation
        self.now = T0
        self.records: list[Record] = []
        self.live = self._new_execution()
        self.result: TurnResult
        #: every status that a turn left behind
        self.statuses: list[RuntimeStatus] = []

    def when(self, *received: ev.HistoryEvent, after: float = 1) -> Self:
        """Let these events arrive together, ``after`` so many seconds."""
        self.now += timedelta(seconds=after)
        return self.turn([replace(event, timestamp=self.now) for event in received])

    def then(self, *calls: tuple[Any, ...], status: RuntimeStatus = RuntimeStatus.RUNNING) -> Self:
        """Check what the last turn asked for, and the status it left."""
        assert [call_of(event) for event in self.result.scheduled] == list(calls)
        assert self.result.status is status, self.result.completion
        return self

    def then_completed(self, output: Any = None) -> Self:
        """Check that the last turn ended the execution with this output."""
        completion = self.completion
        assert completion.orchestration_status is RuntimeStatus.COMPLETED, completion.failure_details
        assert CODEC.loads(completion.result, Any, "output") == output
        return self

    def then_failed(self, error: type[BaseException], *words: str) -> Self:
        """Check that the last turn ended the execution with this error, whose message has these words."""
        details = self.completion.failure_details
        assert details is not None, self.completion
        assert details.error_type == error.__name__, details
        for one in words:
            assert one in details.error_message
        return self

    @property
    def completion(self) -> ev.ExecutionCompleted:
        """How the execution ended."""
        assert self.result.completion is not None, f"it has not ended; it asked for {self.result.scheduled}"
        return self.result.completion

    @property
    def history(self) -> list[ev.HistoryEvent]:
        """The stored events."""
        return [from_record(record) for record in self.records]

    @property
    def waits(self) -> list[str]:
        """Names of the external events that a fresh execution listens for."""
        return [wait.name for wait in self.replayed()._ledger.mailbox.open_waits()]

    def turn(self, received: list[ev.HistoryEvent]) -> Self:
        """Decide a turn, live and by replay, and store it."""
        rebuilt = self.replayed()
        self.result = self.live.turn(received, self.now)
        with _silence():
            replayed = rebuilt.turn([_stored(event) for event in received], self.now)
        assert replayed == self.result, "a replayed execution decides otherwise than the live one"
        self._unload(rebuilt)
        assert tuple(_stored(event) for event in self.result.events) == self.result.events
        self.records += [to_record(event) for event in self.result.events]
        self._unload(self.replayed())
        self.statuses.append(self.result.status)
        return self

    def replayed(self) -> Execution:
        """Return a fresh execution, rebuilt from the stored history."""
        execution = self._new_execution()
        execution.replay(from_record(record) for record in self.records)
        return execution

    def evicted(self) -> Self:
        """Go on with a rebuilt execution, as another worker would."""
        self._unload(self.live)
        self.live = self.replayed()
        return self

    def rewound(self, *reruns: ev.HistoryEvent) -> tuple["Story", RewindPlan]:
        """Return the story of the next execution after a rewind, its first turn done, and what was planned."""
        plan = with_origin(plan_rewind(self.history), self.generation)
        story = Story(self.registry, self.instance_id, self.generation + 1)
        story.records = [to_record(event) for event in plan.kept]
        story.live = story.replayed()
        story.now = self.now + timedelta(seconds=60)
        rewound = ev.ExecutionRewound(timestamp=story.now, reason="mended")
        return story.turn([rewound, *plan.redelivered, *reruns]), plan

    def _new_execution(self) -> Execution:
        return Execution(self.registry, CODEC, self.instance_id, self.generation)

    @staticmethod
    def _unload(execution: Execution) -> None:
        with suppress(OrchestratorCodeError):
            execution.unload()


def given(
    orchestrator: Function,
    input_: Any = None,
    *together: ev.HistoryEvent,
    registry: Registry | None = None,
    activities: Iterable[Function] = (),
    **started_fields: Any,
) -> Story:
    """Return the story of an instance that has just had its first turn."""
    story = Story(registry or registry_of(orchestrator, activities=activities))
    return story.when(started(orchestrator.__name__, input_, **started_fields), *together, after=0)


def _stored(event: ev.HistoryEvent) -> ev.HistoryEvent:
    return from_record(to_record(event))


@contextmanager
def _silence() -> Iterator[None]:
    """The second decision of a turn is not a replay: it logs, which the test must not see."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


# --- what may arrive ------------------------------------------------------------------------------------------------


def _json(value: Any) -> str | None:
    return None if value is None else CODEC.dumps(value, "the test's value")


def started(name: str, input_: Any = None, **fields: Any) -> ev.ExecutionStarted:
    """The instance begins."""
    return ev.ExecutionStarted(timestamp=T0, name=name, input=_json(input_), **fields)


def completed(task_id: int, result: Any = None) -> ev.TaskCompleted:
    """An activity returned."""
    return ev.TaskCompleted(timestamp=T0, task_scheduled_id=task_id, result=_json(result))


def failed(task_id: int, error: BaseException) -> ev.TaskFailed:
    """An activity raised."""
    return ev.TaskFailed(timestamp=T0, task_scheduled_id=task_id, failure_details=describe_failure(error))


def fired(task_id: int) -> ev.TimerFired:
    """The time of a timer has come."""
    return ev.TimerFired(timestamp=T0, task_scheduled_id=task_id, fire_at=T0)


def child_completed(task_id: int, result: Any = None) -> ev.SubOrchestrationInstanceCompleted:
    """A sub-orchestration returned."""
    return ev.SubOrchestrationInstanceCompleted(timestamp=T0, task_scheduled_id=task_id, result=_json(result))


def child_failed(task_id: int, error: BaseException) -> ev.SubOrchestrationInstanceFailed:
    """A sub-orchestration failed."""
    details = describe_failure(error)
    return ev.SubOrchestrationInstanceFailed(timestamp=T0, task_scheduled_id=task_id, failure_details=details)


def raised(name: str, data: Any = None) -> ev.EventRaised:
    """An external event arrived."""
    return ev.EventRaised(timestamp=T0, name=name, input=_json(data))


def suspended(reason: str | None = None) -> ev.ExecutionSuspended:
    """Somebody paused the instance."""
    return ev.ExecutionSuspended(timestamp=T0, reason=reason)


def resumed(reason: str | None = None) -> ev.ExecutionResumed:
    """Somebody let the instance go on."""
    return ev.ExecutionResumed(timestamp=T0, reason=reason)


def terminated(reason: Any = None) -> ev.ExecutionTerminated:
    """Somebody ended the instance."""
    return ev.ExecutionTerminated(timestamp=T0, input=_json(reason))


# --- what may be asked for ------------------------------------------------------------------------------------------


def activity(name: str, input_: Any = None) -> tuple[Any, ...]:
    """A call of an activity."""
    return ("activity", name, input_)


def timer(fire_at: datetime) -> tuple[Any, ...]:
    """A timer."""
    return ("timer", fire_at)


def child(name: str, input_: Any = None, *, id: str, version: str = "") -> tuple[Any, ...]:
    """A call of a sub-orchestration."""
    return ("child", name, input_, id, version)


def message(instance_id: str, name: str, data: Any = None) -> tuple[Any, ...]:
    """An event sent to another instance."""
    return ("message", instance_id, name, data)


def at(seconds: float) -> datetime:
    """The time so many seconds after the start of every story."""
    return T0 + timedelta(seconds=seconds)


def call_of(event: ev.SchedulingEvent) -> tuple[Any, ...]:
    """Return a scheduling event in the words above."""
    match event:
        case ev.TaskScheduled():
            return activity(event.name, _value(event.input))
        case ev.TimerCreated():
            return timer(event.fire_at)
        case ev.SubOrchestrationInstanceCreated():
            return child(event.name, _value(event.input), id=event.instance_id, version=event.version)
        case ev.EventSent():
            return message(event.instance_id, event.name, _value(event.input))


def _value(text: str | None) -> Any:
    return CODEC.loads(text, Any, "a stored value")


# --- the rest of the host -------------------------------------------------------------------------------------------


class World:
    """All instances of a registry. Activities take no time; when nothing else is left to do, the next timer fires."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.now = T0
        self.instances: dict[str, Story] = {}
        #: names of the activities that ran, in their order
        self.ran: list[str] = []
        self._parents: dict[str, tuple[str, int]] = {}
        self._inbox: deque[tuple[str, ev.HistoryEvent]] = deque()
        self._timers: list[tuple[datetime, int, str, int, ev.TimerFired]] = []
        self._timer_numbers = itertools.count()
        self._cancelled: set[tuple[str, int, int]] = set()

    def start(self, orchestrator: str, input_: Any = None, instance_id: str = "order-1") -> Self:
        """Start an instance."""
        self._begin(instance_id, replace(started(orchestrator, input_), timestamp=self.now))
        return self

    def raise_event(self, instance_id: str, name: str, data: Any = None) -> Self:
        """Send an external event."""
        self._inbox.append((instance_id, raised(name, data)))
        return self

    def run(self) -> Self:
        """Go on until nothing can happen any more."""
        while self._inbox or self._timers:
            if self._inbox:
                self._deliver(*self._inbox.popleft())
            else:
                self._fire_next()
        return self

    def output_of(self, instance_id: str = "order-1") -> Any:
        """Return what an instance returned."""
        completion = self.instances[instance_id].completion
        assert completion.orchestration_status is RuntimeStatus.COMPLETED, completion.failure_details
        return _value(completion.result)

    def _begin(self, instance_id: str, event: ev.ExecutionStarted, generation: int = 0) -> None:
        self.instances[instance_id] = Story(self.registry, instance_id, generation)
        self._inbox.append((instance_id, event))

    def _fire_next(self) -> None:
        fire_at, _, instance_id, generation, event = heapq.heappop(self._timers)
        key = (instance_id, generation, event.task_scheduled_id)
        if key not in self._cancelled and self.instances[instance_id].generation == generation:
            self.now = max(self.now, fire_at)
            self._deliver(instance_id, event)

    def _deliver(self, instance_id: str, event: ev.HistoryEvent) -> None:
        story = self.instances[instance_id]
        if story.live.is_finished:
            return
        story.now = self.now
        story.turn([replace(event, timestamp=self.now)])
        self._act(story, actions_of(story.result.scheduled, instance_id, self.registry))
        for task_id in story.result.cancelled_timers:
            self._cancelled.add((instance_id, story.generation, task_id))
        if story.result.completion is not None:
            self._end(story, story.result.completion)

    def _act(self, story: Story, actions: Actions) -> None:
        for one in actions.activities:
            self._inbox.append((story.instance_id, self._run_activity(one.task_id, one.name, one.input)))
        for due in actions.timers:
            entry = (due.fired.fire_at, next(self._timer_numbers), story.instance_id, story.generation, due.fired)
            heapq.heappush(self._timers, entry)
        for new in actions.children:
            self._parents[new.instance_id] = (story.instance_id, new.task_id)
            self._begin(new.instance_id, new.started)
        for sent in actions.messages:
            self._inbox.append((sent.instance_id, sent.event))

    def _end(self, story: Story, completion: ev.ExecutionCompleted) -> None:
        following = story.result.next_started
        if following is not None:
            self._begin(story.instance_id, following, following.generation)
        elif story.instance_id in self._parents:
            parent, task_id = self._parents[story.instance_id]
            self._inbox.append((parent, outcome_for_parent(completion, task_id)))

    def _run_activity(self, task_id: int, name: str, input_: str | None) -> ev.TaskOutcome:
        self.ran.append(name)
        spec = self.registry.activities[name]
        arguments = [CODEC.loads(input_, spec.input_type, name)] if spec.takes_input else []
        try:
            result = spec.function(*arguments)
            return completed(task_id, asyncio.run(result) if spec.is_async else result)
        except Exception as error:  # user code: the activity
            return failed(task_id, error)


def terminate(story: Story, *together: ev.HistoryEvent, reason: Any = None) -> tuple[TurnResult, bool]:
    """End an instance as the host does, without its code, and store the turn."""
    received = [*together, terminated(reason)]
    assert is_terminated_by(received)
    result, recurse = terminated_turn(received, story.now, story.result.custom_status)
    story.records += [to_record(event) for event in result.events]
    return result, recurse
