"""The host: the loop of one worker process.

One cycle:

1. take what is finished: outcomes of this worker's activities, bells;
2. claim instances with messages, if there may be some;
3. decide their turns (pure code, no transaction);
4. commit all of it in one checkpoint;
5. start the activities that the checkpoint gave to this worker; claim more if there is room; ring for the rest.

When a cycle finds nothing, the host sleeps until an activity ends, a bell rings, a timer is due, or the sweep.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from durable_host.conf import HostSettings, host_settings
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import Registry, default_registry
from durable_host.store import claims, clock, sql, stalls
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity, ClaimedInstance, Receipt, Wake
from durable_host.telemetry import meters

from . import doorbell
from .activities import ActivityPool, Done
from .bells import HeldBells
from .codeprint import code_fingerprint
from .committing import Committer
from .exactly_once import Committed
from .housekeeping import Housekeeper
from .presence import Presence, feed_gauges
from .prospect import Prospect
from .reporter import Reporter
from .turns import Batch, TurnRunner
from .watchdog import Watchdog
from .witness import Witness

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: a bell's job waits this long for the host to look; after that the bell may ring again
_BELL_PATIENCE = 5.0
_MOST_OUTCOMES, _MOST_WAKES = 500, 10_000
#: seconds that the host waits for an activity that has just begun: most that end at once have ended by then
_BLINK = 0.001


class Host:
    """Runs turns and activities of one queue in this process.

    Args:
        name: name of the worker: the owner of what it claims, and the RQ worker that can be told.
        queue_name: queue whose activities it runs; on the turn queue it runs turns too.
        registry: the functions it knows.
        max_activities: how many activities run at a time; by default the setting's.
        is_visit: whether it lives for one bell only.
    """

    def __init__(
        self,
        name: str,
        queue_name: str,
        *,
        registry: Registry = default_registry,
        max_activities: int | None = None,
        is_visit: bool = False,
    ) -> None:
        self._settings: HostSettings = host_settings()
        self.name = name
        self._queue_name = queue_name
        self.runs_turns = queue_name == self._settings.turn_queue
        codec = PayloadCodec(self._settings.max_payload_bytes)
        self._inbox: queue.SimpleQueue[Done | threading.Event | None] = queue.SimpleQueue()
        self._witness = Witness(is_visit=is_visit)
        self._turns = TurnRunner(registry, codec, self._settings, self._witness)
        most = max_activities or self._settings.max_activities
        self._pool = ActivityPool(registry, codec, self._settings, most, self._inbox.put)
        self._reporter = Reporter(name, self._witness)
        self._chores = Housekeeper(name, registry, self.wake)
        self._presence = Presence(name, queue_name, most, registry, is_visit=is_visit)
        self._code = code_fingerprint(registry)
        self._committer = Committer(name, self._code, self._settings, self._reporter)
        self._in_flight: Counter[int] = Counter()
        self._outcomes: list[ActivityOutcome] = []
        #: instances whose turn is claimed and not committed
        self._claimed: list[int] = []
        self._bells = HeldBells(queue_name)
        self._free_turns, self._free_activities = Prospect(), Prospect()
        #: whether an activity was started since the last look at what has ended
        self._has_just_started = False
        #: when it last looked for messages: later ones may be there already
        self.looked_at = clock.now()
        self._next_timer: datetime | None = None
        self._timer_is_known = False
        self._is_running = False
        self._is_stopping = self._is_hurried = False
        self._next_sweep = 0.0
        self._next_renewal = time.monotonic() + self._renewal_interval
        self._backoff = 0.0

    # --- from other threads ----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have the host look for work. One that is far behind has been told often enough."""
        if self._inbox.qsize() < _MOST_WAKES:
            self._inbox.put(None)

    def hear(self) -> threading.Event:
        """Have the host look for work; return what it sets when it has looked."""
        self._inbox.put(bell := threading.Event())
        return bell

    def wait_until_answered(self, bell: threading.Event) -> None:
        """Return when the host has answered a bell. Meanwhile the bell counts as not yet free."""
        if self._is_running:
            bell.wait(_BELL_PATIENCE)

    def stop(self, *, at_once: bool = False) -> None:
        """Have :meth:`run` end: nothing new is claimed, what runs may finish within the grace, or is handed back."""
        self._is_hurried = self._is_hurried or at_once
        self._is_stopping = True
        self.wake()

    def give_up(self) -> None:
        """Stop, and do not wait for the turn that runs; for a handler of signals. Raises as ``TurnRunner.abandon``."""
        self.stop()
        self._turns.abandon()

    # --- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until :meth:`stop`."""
        self._is_running = True
        feed_gauges()
        recovered = self._guarded(lambda: stalls.retry_stalled(self._settings.task_hub, self._code))
        logger.info("Host started.", extra={"worker": self.name, "queue": self._queue_name, "stalled": recovered})
        with Watchdog(self.name, self._code, self._turns, self._pool, self._claimed, self._outcomes):
            while not (self._is_stopping or self._pool.is_worn_out):
                if not self._guarded(self._cycle):
                    self._sleep()
        self._drain_and_leave()

    def run_until_idle(self, longest: timedelta = timedelta(minutes=5)) -> None:
        """Work until nothing is ready and nothing runs, or for ``longest``; then ring for the rest."""
        end = time.monotonic() + longest.total_seconds()
        while time.monotonic() < end and not self._is_stopping:
            if not self._cycle():
                if not self._pool.running and self._inbox.empty():
                    break
                self._sleep()
        else:
            doorbell.ring(Wake(frozenset({self._queue_name})))
        self._drain_and_leave()

    def _cycle(self) -> bool:
        """Do one round of work; tell whether there was any."""
        self._collect()
        self._sweep_if_due()
        self._pool.expire()
        claimed = self._claim_turns()
        if self._outcomes and any(claim.is_suspect for claim in claimed):
            # What has ended is stored before something is tried that may end this worker.
            self._commit(self._turns.decide([], self._outcomes, self._in_flight))
        batch = self._turns.decide(claimed, self._outcomes, self._in_flight)
        if batch:
            self._commit(batch)
        took = self._claim_activities()
        moved = self.runs_turns and not self._is_stopping and self._chores.step(is_idle=not (batch or took))
        is_busy = bool(batch) or took or moved
        self._bells.answer(is_busy=is_busy, is_full=self._free_activities.may_exist and self._pool.room == 0)
        if self._witness.hand_over():
            self._turns.forget_all()
        return is_busy

    def _collect(self) -> None:
        """Take what came from other threads, and wait a blink for what has just begun."""
        waits = self._has_just_started and not (self._free_turns.is_known or self._free_activities.is_known)
        self._has_just_started = False
        with suppress(queue.Empty):
            self._accept(self._inbox.get(block=waits, timeout=_BLINK))
            while len(self._outcomes) < _MOST_OUTCOMES:
                self._accept(self._inbox.get_nowait())

    def _accept(self, item: Done | threading.Event | None) -> None:
        if isinstance(item, ActivityOutcome):
            self._outcomes.append(item)
            self._landed(item)
            return
        if isinstance(item, Committed):
            self._landed(item.outcome)
            self._reporter.outcomes([item.outcome], item.receipt)
            self._after(item.receipt)
            return
        self._look_everywhere()
        if item is not None:
            self._bells.keep(item)

    def _landed(self, outcome: ActivityOutcome) -> None:
        self._in_flight[outcome.activity.instance_pk] -= 1
        if self._in_flight[outcome.activity.instance_pk] <= 0:
            del self._in_flight[outcome.activity.instance_pk]

    def _look_everywhere(self) -> None:
        self._free_turns.know()
        self._free_activities.guess()
        self._timer_is_known = False
        self._chores.look()

    def _sweep_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + self._settings.sweep_interval.total_seconds()
            sql.forget_plans()
            self._reporter.sweeps.begin(self._free_turns.may_exist, self._free_activities.may_exist)
            self._look_everywhere()
            resident, held = len(self._turns.resident), len(self._in_flight)
            self._presence.show(len(self._pool.running), self._pool.abandoned, resident, held)
        if now >= self._next_renewal:
            self._next_renewal = now + self._renewal_interval
            claims.renew_activities(self._pool.running, self.name, self._settings.activity_lease)
        if self._next_timer is not None and clock.now() >= self._next_timer:
            self._free_turns.know()
            self._timer_is_known, self._next_timer = False, None

    def _claim_turns(self) -> list[ClaimedInstance]:
        if not (self.runs_turns and self._free_turns.may_exist) or self._is_stopping:
            return []
        if self._free_turns.can_wait(is_in_step=bool(self._outcomes)):
            return []
        self.looked_at = clock.now()
        hub, lease = self._settings.task_hub, self._settings.turn_lease
        claimed, has_more = claims.claim_turns(
            hub, self.name, limit=self._turns_wanted, lease=lease, at_hand=self._turns
        )
        self._reporter.sweeps.see_turns(claimed)
        if has_more and not self._free_turns.is_known:
            sql.forget_plans()  # a flood begins: what was planned for small tables takes long
        self._free_turns.looked(is_more=has_more)
        self._claimed[:] = [claim.head.pk for claim in claimed]
        if has_more:  # more than this worker takes at once: others may help
            self._bells.call()
        return claimed

    @property
    def _turns_wanted(self) -> int:
        """How many turns to claim: fewer while there is enough to do, so that what has begun ends before more begins.

        Otherwise ten thousand starts would all be halfway through, more than can be kept alive between turns.
        """
        batch = self._settings.turn_batch
        if not (self._outcomes or self._in_flight):
            return batch
        return min(batch, max(batch // 10, self._pool.room - len(self._outcomes)))

    def _commit(self, batch: Batch) -> None:
        receipt = self._committer.commit(batch, {} if self._is_stopping else {self._queue_name: self._pool.room})
        self._outcomes.clear()
        decided = batch.pks
        self._claimed[:] = [pk for pk in self._claimed if pk not in decided]
        self._turns.settle(receipt)
        if receipt.committed:
            # A message may have come while we held the instance: others left it to us, so look again.
            self._free_turns.guess()
        self._after(receipt)

    def _after(self, receipt: Receipt) -> None:
        """Act on what the checkpoint made true."""
        for activity in receipt.taken:
            self._start(activity)
        if receipt.lost:
            claims.release_instances(receipt.lost, self.name)
        if receipt.lost or receipt.has_messages or self.name in receipt.owners:
            self._free_turns.know()
        if receipt.next_timer is not None:
            self._next_timer = min(receipt.next_timer, self._next_timer or receipt.next_timer)
        if self._queue_name in receipt.waiting_queues:
            self._free_activities.know()
        queues = set(receipt.waiting_queues)
        if receipt.has_messages and not self.runs_turns:
            queues.add(self._settings.turn_queue)
        doorbell.ring(Wake(frozenset(queues), frozenset(receipt.owners - {self.name})))

    def _claim_activities(self) -> bool:
        """Take activities that nobody holds; tell whether there is more to do at once."""
        room = self._pool.room
        if not self._free_activities.may_exist or room == 0 or self._is_stopping:
            return False
        if self._free_activities.can_wait(is_in_step=self._has_just_started or not self._inbox.empty()):
            return True
        claimed = claims.claim_activities(
            self._settings.task_hub, self._queue_name, self.name, limit=room, lease=self._settings.activity_lease
        )
        self._reporter.sweeps.see_activities(claimed)
        self._free_activities.looked(is_more=len(claimed) == room)
        for activity in claimed:
            self._start(activity)
        return bool(claimed)

    def _start(self, activity: ClaimedActivity) -> None:
        self._has_just_started = True
        self._in_flight[activity.instance_pk] += 1
        self._reporter.start(activity)
        self._pool.start(activity)

    # --- sleeping, failing, leaving --------------------------------------------------------------------------------

    @property
    def _renewal_interval(self) -> float:
        return self._settings.activity_lease.total_seconds() / 3

    def _sleep(self) -> None:
        """Wait for the next thing that can happen."""
        if self._backoff:
            time.sleep(self._backoff)  # the database is away: nothing that could wake us would help
            return
        try:
            self._accept(self._inbox.get(timeout=max(0.0, self._time_to_sleep())))
        except queue.Empty:
            return

    def _time_to_sleep(self) -> float:
        now = time.monotonic()
        limits = [self._next_sweep - now, self._next_renewal - now]
        if self._pool.next_deadline is not None:
            limits.append(self._pool.next_deadline - now)
        if self.runs_turns and not self._timer_is_known:
            hub = self._settings.task_hub
            self._next_timer = self._guarded(lambda: claims.next_message_at(hub, after=self.looked_at))
            self._timer_is_known = True
        if self._next_timer is not None:
            limits.append((self._next_timer - clock.now()).total_seconds())
        return min(limits)

    def _guarded(self, act: Callable[[], T]) -> T | None:
        """Do database work; when the database fails, forget what was not committed and try again later."""
        try:
            done = act()
        except (DatabaseError, InterfaceError) as error:
            self._turns.forget_undecided()
            self._look_everywhere()
            self._backoff = min(5.0, self._backoff * 2 or 0.1)
            meters.database_failures.add()
            logger.error("The database failed.", extra={"reason": str(error), "retry_in": self._backoff})
            close_old_connections()
            self._give_back()
            return None
        self._backoff = 0.0
        return done

    def _give_back(self) -> None:
        """Let go of what was claimed and not committed; where the database is still away, the lease ends by itself."""
        claimed = list(self._claimed)
        self._claimed.clear()
        if claimed:
            with suppress(DatabaseError, InterfaceError):
                claims.give_back(claimed, self.name)

    def _drain_and_leave(self) -> None:
        """Commit what still finishes within the grace, and hand the rest back."""
        self._is_stopping = True
        end = time.monotonic() + self._settings.shutdown_grace.total_seconds()
        while True:
            self._guarded(self._cycle)
            is_done = not self._pool.running and self._inbox.empty() and not self._outcomes
            if is_done or self._is_hurried or time.monotonic() >= end:
                break
            try:
                self._accept(self._inbox.get(timeout=0.2))
            except queue.Empty:
                continue
        left = self._pool.close(0)
        queues = self._guarded(lambda: self._hand_back(left)) or set()
        doorbell.ring(Wake(frozenset(queues)))
        self._guarded(self._presence.leave)
        self._witness.close()
        logger.info("Host stopped.", extra={"worker": self.name, "handed_back": len(left)})
        connections.close_all()

    def _hand_back(self, left: list[int]) -> set[str]:
        """Let go of what this worker holds, and return the queues that have something to do."""
        queues = claims.release_activities(left, self.name) if left else set()
        if held := self._turns.resident:
            claims.release_instances(held, self.name)
        if self.runs_turns and self._free_turns.may_exist:
            queues.add(self._queue_name)
        return queues
