"""Runs activities: plain functions in threads, ``async def`` ones on an event loop, isolated ones in processes."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from durable_host.conf import HostSettings
from durable_host.core.errors import did_you_mean
from durable_host.core.failure import FailureDetails
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import Registry, default_registry
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity
from durable_host.telemetry.propagation import activity_context

from . import crossing
from .apart import RUN_ACTIVITY
from .attempt import Attempt, failed, poisonous
from .children import ChildDiedError, Children, ChildTimeoutError
from .exactly_once import Committed, run_transactional

logger = logging.getLogger(__name__)

Done = ActivityOutcome | Committed
#: seconds before another process takes the place of one that died, times those that have
_PAUSE = 0.1
#: workers that an activity may outlive before it is suspected. One dies for many reasons, and a hundred activities that
#: it leaves behind shall go on together, not one process each.
_WORKERS_TO_DIE = 2


class ActivityPool:
    """The activities that one worker runs at a time.

    A plain function that outruns its limit cannot be stopped. It is abandoned: its outcome is a TimeoutError, and
    another thread takes its place, of which there are ``max_abandoned`` to spare. The worker is to be replaced when
    they are used up.

    Args:
        size: how many.
        on_done: called with each outcome, from whatever thread.
    """

    def __init__(
        self,
        registry: Registry,
        codec: PayloadCodec,
        settings: HostSettings,
        size: int,
        on_done: Callable[[Done], None],
    ) -> None:
        self._registry = registry
        self._codec = codec
        self._size = size
        self._most_abandoned = settings.max_abandoned
        self._most_deaths = settings.max_delivery_attempts
        self._on_done = on_done
        self._threads = ThreadPoolExecutor(size + settings.max_abandoned, thread_name_prefix="activity")
        self._children = Children()
        self._may_have_child = threading.BoundedSemaphore(settings.max_isolated)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._running: set[Attempt] = set()
        #: (deadline, number, attempt) of activities with a time limit; the number only breaks ties
        self._deadlines: list[tuple[float, int, Attempt]] = []
        self._numbers = itertools.count()
        #: plain functions that outran their limit and still hold a thread
        self.abandoned = 0

    @property
    def is_worn_out(self) -> bool:
        """Whether all spare threads are held by functions that nobody can stop."""
        return self.abandoned >= self._most_abandoned

    @property
    def room(self) -> int:
        """How many more activities can start now."""
        return max(0, self._size - len(self._running))

    @property
    def running(self) -> list[int]:
        """Primary keys of the activities that run."""
        with self._lock:
            return [attempt.activity.pk for attempt in self._running]

    @property
    def next_deadline(self) -> float | None:
        """When the next time limit ends, on the monotonic clock."""
        return self._deadlines[0][0] if self._deadlines else None

    def start(self, activity: ClaimedActivity) -> None:
        """Run an activity; its outcome goes to ``on_done``."""
        spec = self._registry.activities.get(activity.name)
        if spec is None:
            self._on_done(failed(activity, _not_registered(activity, self._registry)))
            return
        attempt = Attempt(activity, spec, self._codec)
        with self._lock:
            self._running.add(attempt)
        is_suspect = activity.attempt > _WORKERS_TO_DIE
        if (spec.isolated or is_suspect) and default_registry.activities.get(spec.name) is spec:
            self._threads.submit(self._run_apart, attempt)
        else:
            self._run_here(attempt)

    def _run_here(self, attempt: Attempt) -> None:
        """Run it in this process. Of one that no other process knows, deliveries are counted instead of deaths."""
        spec = attempt.spec
        if attempt.activity.attempt > self._most_deaths:
            self._finish(attempt, poisonous(attempt.activity, self._most_deaths))
            return
        if spec.timeout is not None:
            deadline = time.monotonic() + spec.timeout.total_seconds()
            heapq.heappush(self._deadlines, (deadline, next(self._numbers), attempt))
        if spec.is_async:
            asyncio.run_coroutine_threadsafe(self._run_async(attempt), self._event_loop())
        else:
            self._threads.submit(self._run_plain, attempt)

    def expire(self) -> None:
        """Fail activities that have outrun their time limit. A plain function cannot be stopped: it is abandoned."""
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            _, _, attempt = heapq.heappop(self._deadlines)
            if attempt not in self._running:
                continue
            self._finish(attempt, attempt.outran(), abandons_thread=not attempt.spec.is_async)
            if not attempt.spec.is_async:
                logger.warning(
                    "An activity outran its limit and cannot be stopped: its thread is abandoned.",
                    extra={"target": attempt.spec.name, "abandoned": self.abandoned, "of": self._most_abandoned},
                )

    def close(self, grace: float) -> list[int]:
        """Wait up to ``grace`` seconds for what runs; return the primary keys of what still does."""
        deadline = time.monotonic() + grace
        while self._running and time.monotonic() < deadline:
            time.sleep(0.01)  # shutting down: nothing else is waiting for this thread
        left = self.running
        self._children.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
        return left

    # --- running ---------------------------------------------------------------------------------------------------

    def _run_plain(self, attempt: Attempt) -> None:
        try:
            with activity_context(attempt.activity.trace_parent):
                done = run_transactional(attempt) if attempt.spec.transactional else _outcome(attempt)
        finally:
            connections.close_all()  # pooled ones go back to their pool; this thread may idle for hours
        if not self._finish(attempt, done):
            with self._lock:
                self.abandoned -= 1

    async def _run_async(self, attempt: Attempt) -> None:
        limit = attempt.spec.timeout.total_seconds() if attempt.spec.timeout else None
        try:
            with activity_context(attempt.activity.trace_parent):
                async with asyncio.timeout(limit) as timer:
                    value = await attempt.call()
            done = attempt.completed(value)
        except BaseException as error:  # user code: the activity
            done = attempt.outran() if isinstance(error, TimeoutError) and timer.expired() else attempt.failed(error)
        self._finish(attempt, done)

    def _finish(self, attempt: Attempt, done: Done, *, abandons_thread: bool = False) -> bool:
        """Report an outcome unless the activity has one already."""
        with self._lock:
            if attempt not in self._running:
                return False
            self._running.discard(attempt)
            self.abandoned += abandons_thread
        self._on_done(done)
        return True

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(self._loop,), name="activity-loop", daemon=True).start()
        return self._loop

    # --- in a process of its own -----------------------------------------------------------------------------------

    def _run_apart(self, attempt: Attempt) -> None:
        with self._may_have_child:
            done = self._outlive(attempt)
        if done is not None:
            self._finish(attempt, done)
        elif not self._children.is_closed:
            self._run_here(attempt)

    def _outlive(self, attempt: Attempt) -> Done | None:
        """Run it in a process of its own, and in another where that dies; only these deaths are held against it.

        Return None where the worker stops meanwhile, and where no other process knows the function.
        """
        last = ""
        while attempt.deaths < self._most_deaths:
            try:
                return self._ask_child(attempt)
            except ChildDiedError as death:
                if self._children.is_closed:
                    return None
                last = str(death)
                attempt.deaths += 1
                time.sleep(_PAUSE * attempt.deaths)  # the memory that it took may be needed again
        return poisonous(attempt.activity, attempt.deaths, last)

    def _ask_child(self, attempt: Attempt) -> Done | None:
        limit = attempt.spec.timeout.total_seconds() if attempt.spec.timeout else None
        order = crossing.ActivityOrder(
            module=attempt.spec.function.__module__, activity=attempt.activity, deaths=attempt.deaths
        )
        try:
            return self._children.call(
                RUN_ACTIVITY,
                crossing.ACTIVITY_ORDER.dump_json(order),
                lambda answer: crossing.read_done(answer, attempt.activity),
                limit=limit,
            )
        except ChildTimeoutError as timeout:
            return attempt.outran(timeout.stack)


def _outcome(attempt: Attempt) -> ActivityOutcome:
    try:
        return attempt.completed(attempt.call())
    except BaseException as error:  # user code: the activity; SystemExit fails it, not the worker
        return attempt.failed(error)


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


def _not_registered(activity: ClaimedActivity, registry: Registry) -> FailureDetails:
    return FailureDetails(
        error_type="ActivityNotRegisteredError",
        error_message=(
            f"No activity {activity.name!r} is registered on the worker that was to run it. "
            f"{did_you_mean(activity.name, registry.activities)}"
        ),
        is_non_retriable=True,
    )
