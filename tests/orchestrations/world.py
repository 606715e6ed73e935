"""A small world for one orchestrator: a clock of its own, activities at once, every turn replayed from its records."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from durable_host.core import events as ev
from durable_host.core.actions import actions_of
from durable_host.core.codec import from_record, to_record
from durable_host.core.failure import FailureDetails, describe_failure
from durable_host.core.mailbox import WaitInfo
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import ActivityContext, ActivitySpec, default_registry
from durable_host.core.status import RuntimeStatus
from durable_host.core.turn import Execution, TurnResult

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
INSTANCE_ID = "test-instance"
CODEC = PayloadCodec()


class World:
    """Runs one instance to its end.

    Args:
        orchestrator: its registered name.
        input_: its input, as a client would send it.
        fakes: activity name → function of the input, in place of the real activity.
    """

    def __init__(self, orchestrator: str, input_: Any, fakes: dict[str, Callable[[Any], Any]] | None = None) -> None:
        self.now = START
        self.statuses: list[Any] = []
        self.waits: tuple[WaitInfo, ...] = ()
        #: histories of the executions, the current one last
        self.executions: list[list[ev.HistoryEvent]] = [[]]
        self.completion: ev.ExecutionCompleted | None = None
        self._fakes = fakes or {}
        self._order = count()
        self._inbox: list[tuple[datetime, int, ev.HistoryEvent]] = []
        self._deliver(ev.ExecutionStarted(timestamp=START, name=orchestrator, input=CODEC.dumps(input_, "The input")))

    def raise_event(self, after: timedelta, name: str, data: Any) -> World:
        """Have an event arrive this long after the start."""
        self._deliver(ev.EventRaised(timestamp=START + after, name=name, input=CODEC.dumps(data, "The data")))
        return self

    def run(self, until: timedelta | None = None) -> World:
        """Go on until the instance ends, or only for some time after the start."""
        while self._inbox and self.completion is None:
            if until is not None and self._inbox[0][0] > START + until:
                break
            self._turn()
        return self

    @property
    def output(self) -> Any:
        """The result of the instance, which must have completed."""
        assert self.completion is not None, "the instance waits"
        assert self.completion.orchestration_status is RuntimeStatus.COMPLETED, self.completion.failure_details
        return CODEC.loads(self.completion.result, Any, "The output")

    @property
    def failure(self) -> FailureDetails:
        """Why the instance failed, which it must have done."""
        assert self.completion is not None, "the instance waits"
        assert self.completion.failure_details is not None, self.completion
        return self.completion.failure_details

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way any more: no timer, no activity."""
        return not self._inbox

    @property
    def calls(self) -> list[str]:
        """Names of the activities that were called, in order, over all executions."""
        return [event.name for one in self.executions for event in one if isinstance(event, ev.TaskScheduled)]

    # --- the machinery ----------------------------------------------------------------------------------------------

    def _deliver(self, event: ev.HistoryEvent) -> None:
        heapq.heappush(self._inbox, (event.timestamp, next(self._order), event))

    def _turn(self) -> None:
        self.now = max(self.now, self._inbox[0][0])
        received = []
        while self._inbox and self._inbox[0][0] <= self.now:
            received.append(heapq.heappop(self._inbox)[2])
        execution = Execution(default_registry, CODEC, INSTANCE_ID, len(self.executions) - 1)
        execution.replay([from_record(to_record(event)) for event in self.executions[-1]])
        result = execution.turn(received, self.now)
        execution.unload()
        self.executions[-1] += result.events
        self._note(result)
        self._act(result)

    def _note(self, result: TurnResult) -> None:
        status = None if result.custom_status is None else CODEC.loads(result.custom_status, Any, "The status")
        if status is not None and status not in self.statuses[-1:]:
            self.statuses.append(status)
        if result.waits is not None:
            self.waits = result.waits

    def _act(self, result: TurnResult) -> None:
        cancelled = set(result.cancelled_timers)
        self._inbox = [one for one in self._inbox if getattr(one[2], "task_scheduled_id", None) not in cancelled]
        heapq.heapify(self._inbox)
        actions = actions_of(result.scheduled, INSTANCE_ID, default_registry)
        for activity in actions.activities:
            self._deliver(self._outcome(activity.task_id, activity.name, activity.input))
        for timer in actions.timers:
            if timer.task_id not in cancelled:
                self._deliver(timer.fired)
        if result.next_started is not None:
            self.executions.append([])
            self._deliver(replace(result.next_started, timestamp=self.now))
        else:
            self.completion = result.completion

    def _outcome(self, task_id: int, name: str, payload: str | None) -> ev.HistoryEvent:
        later = self.now + timedelta(milliseconds=1)
        try:
            result = self._run_activity(default_registry.activities[name], task_id, payload)
        except Exception as error:
            return ev.TaskFailed(timestamp=later, task_scheduled_id=task_id, failure_details=describe_failure(error))
        text = None if result is None else CODEC.dumps(result, f"The result of {name}")
        return ev.TaskCompleted(timestamp=later, task_scheduled_id=task_id, result=text)

    def _run_activity(self, spec: ActivitySpec, task_id: int, payload: str | None) -> Any:
        input_ = CODEC.loads(payload, spec.input_type, f"The input of {spec.name}")
        if spec.name in self._fakes:
            return self._fakes[spec.name](input_)
        context = {spec.context_parameter: activity_context(task_id)} if spec.context_parameter else {}
        result = spec.function(input_, **context)
        return asyncio.run(result) if spec.is_async else result


def activity_context(task_id: int = 0, attempt: int = 1) -> ActivityContext:
    """Return what a host tells an activity about its run."""
    return ActivityContext(
        instance_id=INSTANCE_ID,
        task_id=task_id,
        name="test",
        attempt=attempt,
        idempotency_key=f"{INSTANCE_ID}:{task_id}",
    )
