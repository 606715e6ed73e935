"""Runs activities: plain functions in threads, ``async def`` ones on an event loop, all at the same time."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections

from durable_host.core.errors import did_you_mean
from durable_host.core.events import TaskCompleted, TaskFailed
from durable_host.core.failure import FailureDetails, describe_failure
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import ActivityContext, ActivitySpec, Registry
from durable_host.store import clock
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity
from durable_host.telemetry.propagation import activity_context

#: primary key and attempt
Key = tuple[int, int]


@dataclass(slots=True)
class _Run:
    """One attempt of an activity."""

    activity: ClaimedActivity
    #: when the function began; None while it waits for its thread
    started_at: datetime | None = None


class ActivityPool:
    """The activities that one worker runs at a time.

    Args:
        size: how many.
        on_done: called with each outcome, from whatever thread.
    """

    def __init__(
        self, registry: Registry, codec: PayloadCodec, size: int, on_done: Callable[[ActivityOutcome], None]
    ) -> None:
        self._registry = registry
        self._codec = codec
        self._size = size
        self._on_done = on_done
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="activity")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._running: dict[Key, _Run] = {}
        #: (deadline, key) of activities with a time limit
        self._deadlines: list[tuple[float, Key]] = []
        #: plain functions that outran their limit and still hold a thread
        self._abandoned = 0

    @property
    def room(self) -> int:
        """How many more activities can start now."""
        return max(0, self._size - len(self._running) - self._abandoned)

    @property
    def running(self) -> list[int]:
        """Primary keys of the activities that run."""
        with self._lock:
            return [pk for pk, _ in self._running]

    @property
    def next_deadline(self) -> float | None:
        """When the next time limit ends, on the monotonic clock."""
        return self._deadlines[0][0] if self._deadlines else None

    def start(self, activity: ClaimedActivity) -> None:
        """Run an activity; its outcome goes to ``on_done``."""
        key = (activity.pk, activity.attempt)
        run = _Run(activity)
        with self._lock:
            self._running[key] = run
        spec = self._registry.activities.get(activity.name)
        if spec is None:
            self._finish(key, _failed(run, _not_registered(activity, self._registry)))
            return
        if spec.timeout is not None:
            heapq.heappush(self._deadlines, (time.monotonic() + spec.timeout.total_seconds(), key))
        if spec.is_async:
            asyncio.run_coroutine_threadsafe(self._run_async(key, run, spec), self._event_loop())
        else:
            self._threads.submit(self._run_plain, key, run, spec)

    def expire(self) -> None:
        """Fail activities that have outrun their time limit. A plain function cannot be stopped: it is abandoned."""
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            _, key = heapq.heappop(self._deadlines)
            run = self._running.get(key)
            if run is None:
                continue
            spec = self._registry.activities[run.activity.name]
            failure = describe_failure(_outran(run.activity, spec))
            self._finish(key, _failed(run, failure), abandons_thread=not spec.is_async)

    def close(self, grace: float) -> list[int]:
        """Wait up to ``grace`` seconds for what runs; return the primary keys of what still does."""
        deadline = time.monotonic() + grace
        while self._running and time.monotonic() < deadline:
            time.sleep(0.01)  # shutting down: nothing else is waiting for this thread
        left = self.running
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
        return left

    # --- running ---------------------------------------------------------------------------------------------------

    def _run_plain(self, key: Key, run: _Run, spec: ActivitySpec) -> None:
        run.started_at = clock.now()
        try:
            with activity_context(run.activity.trace_parent):
                outcome = self._outcome(run, lambda: spec.function(**self._arguments(run.activity, spec)), spec)
        finally:
            connections.close_all()  # pooled ones go back to their pool; this thread may idle for hours
        if not self._finish(key, outcome):
            with self._lock:
                self._abandoned -= 1

    async def _run_async(self, key: Key, run: _Run, spec: ActivitySpec) -> None:
        run.started_at = clock.now()
        limit = spec.timeout.total_seconds() if spec.timeout else None
        try:
            with activity_context(run.activity.trace_parent):
                async with asyncio.timeout(limit):
                    value = await spec.function(**self._arguments(run.activity, spec))
            outcome = self._outcome(run, lambda: value, spec)
        except TimeoutError as error:
            outcome = _failed(run, describe_failure(error if limit is None else _outran(run.activity, spec)))
        except BaseException as error:  # user code: the activity
            outcome = _failed(run, describe_failure(error))
        self._finish(key, outcome)

    def _outcome(self, run: _Run, call: Callable[[], Any], spec: ActivitySpec) -> ActivityOutcome:
        try:
            value = call()
            result = None if value is None else self._codec.dumps(value, f"The result of activity {spec.name!r}")
        except BaseException as error:  # user code: the activity; SystemExit fails it, not the worker
            return _failed(run, describe_failure(error))
        event = TaskCompleted(
            timestamp=clock.now(),
            task_scheduled_id=run.activity.task_id,
            result=result,
            started_at=run.started_at,
        )
        return ActivityOutcome(run.activity, event)

    def _arguments(self, activity: ClaimedActivity, spec: ActivitySpec) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        if spec.takes_input and not (activity.input is None and spec.input_is_optional):
            what = f"The input {spec.input_name!r} of activity {spec.name!r}"
            arguments[spec.input_name] = self._codec.loads(activity.input, spec.input_type, what)
        if spec.context_parameter:
            arguments[spec.context_parameter] = ActivityContext(
                instance_id=activity.instance_id,
                task_id=activity.task_id,
                name=activity.name,
                attempt=activity.attempt,
                idempotency_key=f"{activity.instance_id}/{activity.instance_pk}.{activity.call_key}",
            )
        return arguments

    def _finish(self, key: Key, outcome: ActivityOutcome, *, abandons_thread: bool = False) -> bool:
        """Report an outcome unless the activity has one already."""
        with self._lock:
            if self._running.pop(key, None) is None:
                return False
            self._abandoned += abandons_thread
        self._on_done(outcome)
        return True

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(self._loop,), name="activity-loop", daemon=True).start()
        return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run an event loop until it is stopped, then let what still runs on it clean up."""
    loop.run_forever()
    loop.run_until_complete(_cancel_the_rest())
    loop.close()


async def _cancel_the_rest() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _failed(run: _Run, details: FailureDetails) -> ActivityOutcome:
    event = TaskFailed(
        timestamp=clock.now(),
        task_scheduled_id=run.activity.task_id,
        failure_details=details,
        started_at=run.started_at,
    )
    return ActivityOutcome(run.activity, event)


def _outran(activity: ClaimedActivity, spec: ActivitySpec) -> TimeoutError:
    return TimeoutError(f"Activity {activity.name!r} ran longer than its limit of {spec.timeout}.")


def _not_registered(activity: ClaimedActivity, registry: Registry) -> FailureDetails:
    return FailureDetails(
        error_type="ActivityNotRegisteredError",
        error_message=(
            f"No activity {activity.name!r} is registered on the worker that was to run it. "
            f"{did_you_mean(activity.name, registry.activities)}"
        ),
        is_non_retriable=True,
    )


def poisonous(activity: ClaimedActivity, limit: int) -> ActivityOutcome:
    """Return the outcome of an activity whose deliveries have all ended with their worker."""
    details = FailureDetails(
        error_type="PoisonousActivityError",
        error_message=(
            f"Activity {activity.name!r} was delivered {limit} times, and each time its worker died or lost its lease. "
            f"It is not tried again."
        ),
        is_non_retriable=True,
    )
    return _failed(_Run(activity), details)
