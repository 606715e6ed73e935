"""One attempt of an activity: what its function is given, and what is made of how it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from durable_host.core.events import TaskCompleted, TaskFailed
from durable_host.core.failure import FailureDetails, describe_failure
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import ActivityContext, ActivitySpec
from durable_host.store import clock
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity


@dataclass(slots=True, eq=False)
class Attempt:
    """An activity that a worker holds, with the function that it calls."""

    activity: ClaimedActivity
    spec: ActivitySpec
    codec: PayloadCodec
    #: when the function began; None while it waits for its thread
    started_at: datetime | None = None
    #: processes of its own that it has ended in this delivery
    deaths: int = 0

    def call(self) -> Any:
        """Call the function; of an ``async def`` one, return the coroutine."""
        self.started_at = clock.now()
        return self.spec.function(**self._arguments())

    def completed(self, value: Any) -> ActivityOutcome:
        """Return the outcome of a function that has returned; raises PayloadError where the value cannot be stored."""
        result = None if value is None else self.codec.dumps(value, f"The result of activity {self.spec.name!r}")
        event = TaskCompleted(
            timestamp=clock.now(),
            task_scheduled_id=self.activity.task_id,
            result=result,
            started_at=self.started_at,
        )
        return ActivityOutcome(self.activity, event)

    def failed(self, error: BaseException) -> ActivityOutcome:
        """Return the outcome of a function that has raised."""
        return failed(self.activity, describe_failure(error), self.started_at)

    def outran(self, stack: str | None = None) -> ActivityOutcome:
        """Return the outcome of a function that ran longer than its limit."""
        error = TimeoutError(f"Activity {self.spec.name!r} ran longer than its limit of {self.spec.timeout}.")
        return failed(self.activity, replace(describe_failure(error), stack_trace=stack), self.started_at)

    def _arguments(self) -> dict[str, Any]:
        activity, spec = self.activity, self.spec
        arguments: dict[str, Any] = {}
        if spec.takes_input and not (activity.input is None and spec.input_is_optional):
            what = f"The input {spec.input_name!r} of activity {spec.name!r}"
            arguments[spec.input_name] = self.codec.loads(activity.input, spec.input_type, what)
        if spec.context_parameter:
            arguments[spec.context_parameter] = ActivityContext(
                instance_id=activity.instance_id,
                task_id=activity.task_id,
                name=activity.name,
                attempt=activity.attempt + self.deaths,
                idempotency_key=f"{activity.instance_id}/{activity.instance_pk}.{activity.call_key}",
            )
        return arguments


def failed(activity: ClaimedActivity, details: FailureDetails, started_at: datetime | None = None) -> ActivityOutcome:
    """Return the outcome of an activity that has failed."""
    event = TaskFailed(
        timestamp=clock.now(),
        task_scheduled_id=activity.task_id,
        failure_details=details,
        started_at=started_at,
    )
    return ActivityOutcome(activity, event)


def poisonous(activity: ClaimedActivity, deaths: int, last: str = "") -> ActivityOutcome:
    """Return the outcome of an activity that has ended every process that ran it."""
    how = f" The last one: {last}." if last else ""
    details = FailureDetails(
        error_type="PoisonousActivityError",
        error_message=(
            f"Activity {activity.name!r} was run {deaths} times by processes that died over it.{how} It is not tried "
            f"again."
        ),
        is_non_retriable=True,
    )
    return failed(activity, details)
