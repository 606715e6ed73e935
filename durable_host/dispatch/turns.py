"""Runs turns, and keeps the executions of recently active instances alive so that their next turn needs no replay."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeGuard

from durable_host.conf import HostSettings
from durable_host.core.actions import actions_of
from durable_host.core.closing import is_terminated_by, terminated_turn
from durable_host.core.codec import Record, from_record, to_record
from durable_host.core.errors import NonDeterminismError, OrchestratorCodeError, UnknownOrchestratorError
from durable_host.core.events import ExecutionStarted, HistoryEvent
from durable_host.core.payload import PayloadCodec
from durable_host.core.registry import Registry, default_registry
from durable_host.core.tracing import ExecutionTrace
from durable_host.core.turn import Execution, TurnResult
from durable_host.store import clock, rows
from durable_host.store.shapes import (
    SHARED_TRIES,
    ActivityOutcome,
    ClaimedInstance,
    InstanceHead,
    Receipt,
    Stall,
    TurnWrite,
)
from durable_host.telemetry import meters

from . import crossing
from .apart import DECIDE_TURN
from .children import ChildError, Children
from .overtime import OutOfTimeError
from .witness import Witness

logger = logging.getLogger(__name__)

#: before a suspect is tried again
_PAUSE = timedelta(seconds=0.5)
#: a suspect whose tries all end unseen, as its worker dies too, is parked after so many times MAX_DELIVERY_ATTEMPTS:
#: workers die for many reasons, and who is innocent shall not be parked for them
_UNSEEN_FOR_ONE_SEEN = 4


@dataclass(slots=True)
class Batch:
    """What one cycle decided."""

    turns: list[TurnWrite] = field(default_factory=list)
    #: outcomes for instances that this worker does not hold
    forwarded: list[ActivityOutcome] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.turns or self.forwarded or self.stalls)

    @property
    def pks(self) -> set[int]:
        """Primary keys of the instances that were decided."""
        return {turn.head.pk for turn in self.turns} | {stall.head.pk for stall in self.stalls}


@dataclass(slots=True)
class _Work:
    """One instance's part of a cycle."""

    head: InstanceHead
    events: list[HistoryEvent] = field(default_factory=list)
    inbox_ids: tuple[int, ...] = ()
    outcomes: list[ActivityOutcome] = field(default_factory=list)
    attempts: int = 1
    #: why its inbox cannot be read
    problem: str = ""

    @property
    def own_tries(self) -> int:
        """How many tries it has had in a process of its own, this one included."""
        return max(0, self.attempts - SHARED_TRIES)


class TurnRunner:
    """Decides turns and remembers executions between them.

    A remembered execution is used only if the instance's revision is still the one it left behind; any doubt means
    replay.
    """

    def __init__(self, registry: Registry, codec: PayloadCodec, settings: HostSettings, witness: Witness) -> None:
        self._registry = registry
        self._witness = witness
        self._codec = codec
        self._settings = settings
        #: least recently used first
        self._resident: OrderedDict[int, tuple[Execution, InstanceHead]] = OrderedDict()
        #: executions whose turn is decided and not yet committed; None for one that ends without its code
        self._deciding: dict[int, Execution | None] = {}
        self._children = Children()
        #: the turn that runs in this process, and since when on the monotonic clock
        self.current: tuple[InstanceHead, float] | None = None
        #: set once there is one; cleared by who waits for it
        self.has_begun = threading.Event()

    @property
    def resident(self) -> list[int]:
        """Primary keys of the instances whose executions are kept."""
        return list(self._resident)

    def __contains__(self, pk: object) -> bool:
        """Tell whether an instance's execution is kept."""
        return pk in self._resident

    def decide(
        self, claimed: Sequence[ClaimedInstance], outcomes: Sequence[ActivityOutcome], busy: Iterable[int]
    ) -> Batch:
        """Run one turn of each instance that has something new.

        Args:
            claimed: instances that this worker holds, with their inbox.
            outcomes: outcomes of this worker's own activities.
            busy: instances of which further activities run here.
        """
        batch = Batch()
        works = self._gather(claimed, outcomes, batch)
        for work in works.values():
            if work.attempts > 1:
                self._forget(work.head.pk)
        histories = self._load(works)
        still_busy = set(busy)
        for work in works.values():
            decided = self._decide_one(work, histories.get(work.head.pk, ()), work.head.pk in still_busy)
            if isinstance(decided, Stall):
                self._forget(work.head.pk)
                batch.stalls.append(decided)
                batch.forwarded.extend(work.outcomes)
            else:
                batch.turns.append(decided)
        return batch

    def settle(self, receipt: Receipt) -> None:
        """Remember the executions whose turn was committed; let go of those that ended or lost."""
        for pk, execution in self._deciding.items():
            head = receipt.committed.get(pk)
            if execution is None or head is None or head.status.is_finished or execution.is_finished:
                self._unload(pk, execution)
            else:
                self._resident[pk] = (execution, head)
        self._deciding.clear()
        while len(self._resident) > self._settings.resident_executions:
            pk, (execution, _) = self._resident.popitem(last=False)
            self._unload(pk, execution)

    def forget_all(self) -> None:
        """Let go of every execution, so that the next turns replay."""
        for pk in self.resident:
            self._forget(pk)

    def forget_undecided(self) -> None:
        """Let go of executions whose checkpoint did not happen."""
        self.settle(Receipt())

    def abandon(self) -> None:
        """Give up the turn that runs, if one does; for a handler of signals in the thread that runs it.

        Raises:
            OutOfTimeError: one does. It becomes a suspect.
        """
        if self.current is not None:
            head, began = self.current
            lasted = time.monotonic() - began
            raise OutOfTimeError(
                f"The turn of {head.instance_id!r} was given up after {lasted:.0f} s: its job was over."
            )

    # --- one cycle -------------------------------------------------------------------------------------------------

    def _gather(
        self, claimed: Sequence[ClaimedInstance], outcomes: Sequence[ActivityOutcome], batch: Batch
    ) -> dict[int, _Work]:
        """Bring inboxes and outcomes together by instance; outcomes of instances that live elsewhere are forwarded."""
        works = {
            one.head.pk: _Work(one.head, list(one.inbox), one.inbox_ids, attempts=one.attempts, problem=one.problem)
            for one in claimed
        }
        for outcome in outcomes:
            pk = outcome.activity.instance_pk
            if pk not in works and pk in self._resident:
                works[pk] = _Work(self._resident[pk][1])
            work = works.get(pk)
            if work is None or work.head.generation != outcome.activity.generation or outcome.activity.attempt > 1:
                # what was delivered again is stored first: it may be the turn with its outcome that ends its worker
                batch.forwarded.append(outcome)
            else:
                work.events.append(outcome.event)
                work.outcomes.append(outcome)
        return works

    def _load(self, works: dict[int, _Work]) -> dict[int, list[Record]]:
        """Read the histories of instances that are not resident and have one."""
        needed = {
            pk: work.head.generation
            for pk, work in works.items()
            if work.head.next_sequence
            and not self._is_current(work.head)
            and (self._witness.is_on or not is_terminated_by(work.events))
        }
        return rows.read_history(needed) if needed else {}

    def _is_current(self, head: InstanceHead) -> bool:
        entry = self._resident.get(head.pk)
        return entry is not None and entry[1].revision == head.revision

    def _decide_one(self, work: _Work, history: Sequence[Record], is_busy: bool) -> TurnWrite | Stall:
        head = work.head
        if is_terminated_by(work.events):
            return self._terminated(work, history)
        if work.problem:
            return Stall(head, work.problem, self._settings.stall_retry)
        if work.own_tries:
            if (apart := self._decide_apart(work, list(history))) is not None:
                return apart
            if work.attempts > self._settings.max_delivery_attempts:
                return Stall(head, _poison_reason(work.attempts - 1), None)
        return self._decide_here(work, history, is_busy)

    def _decide_here(self, work: _Work, history: Sequence[Record], is_busy: bool) -> TurnWrite | Stall:
        head = work.head
        try:
            began = time.perf_counter()
            self.current = (head, time.monotonic())
            self.has_begun.set()
            execution = self._execution(head, history)
            result = execution.turn(work.events, clock.now())
            meters.turn_duration.record(time.perf_counter() - began, head.name)
            meters.turn_replayed.record(len(history), head.name)
        except (NonDeterminismError, UnknownOrchestratorError) as error:
            return Stall(head, str(error), self._settings.stall_retry)
        except OutOfTimeError as late:
            return Stall(head, str(late), timedelta(0), is_suspect=True)
        except (
            Exception
        ) as error:  # a history that this version cannot read, or a fault of the host: one instance's alone
            logger.exception("A turn failed outside the orchestrator's code.", extra={"instance_id": head.instance_id})
            return Stall(head, f"{type(error).__name__}: {error}", self._settings.stall_retry)
        finally:
            self.current = None
        self._deciding[head.pk] = execution
        trace = execution.trace if self._is_traced(execution.started) else None
        return self._written(work, result, trace, is_busy)

    def _written(self, work: _Work, result: TurnResult, trace: ExecutionTrace | None, is_busy: bool) -> TurnWrite:
        head = work.head
        self._warn_before_limits(head, result)
        return TurnWrite(
            head=head,
            result=result,
            actions=actions_of(result.scheduled, head.instance_id, self._registry, trace),
            inbox_ids=work.inbox_ids,
            outcomes=tuple(work.outcomes),
            keeps_running=is_busy,
        )

    def _warn_before_limits(self, head: InstanceHead, result: TurnResult) -> None:
        """Say once, in the turn that gets there, that a history comes near one of its limits."""
        limits = self._settings.limits
        now = limits.warning(head.next_sequence + len(result.events), result.history_bytes or 0)
        if now and not limits.warning(head.next_sequence, head.history_bytes or 0):
            logger.warning("%s", now, extra={"instance_id": head.instance_id, "orchestrator": head.name})

    def _decide_apart(self, work: _Work, history: list[Record]) -> TurnWrite | Stall | None:
        """Have a suspect's turn decided in a process of its own, so that it ends nothing else.

        Return None where no other process knows its function.
        """
        head = work.head
        spec = self._registry.orchestrators.get(head.name)
        if spec is None or spec is not default_registry.orchestrators.get(head.name):
            return None
        if work.own_tries > self._settings.max_delivery_attempts * _UNSEEN_FOR_ONE_SEEN:
            return Stall(head, _poison_reason(work.attempts - 1), None)
        self._witness.replay(head, history)
        order = crossing.TurnOrder(
            module=spec.function.__module__,
            name=head.name,
            instance_id=head.instance_id,
            generation=head.generation,
            history=history,
            events=[to_record(event) for event in work.events],
            now=clock.now(),
        )
        limit = self._settings.turn_timeout.total_seconds()
        try:
            decided = self._children.call(
                DECIDE_TURN, crossing.TURN_ORDER.dump_json(order), crossing.read_decided, limit=limit
            )
        except ChildError as death:
            return self._suspected(work, str(death))
        if decided is None:
            return None
        if isinstance(decided, str):
            return Stall(head, decided, self._settings.stall_retry)
        self._deciding[head.pk] = None
        started = decided.started
        trace = ExecutionTrace.of(head.instance_id, started, head.generation) if self._is_traced(started) else None
        return self._written(work, decided.result, trace, is_busy=False)

    def _suspected(self, work: _Work, death: str) -> Stall:
        """Try again what has ended its process, until it has done so too often."""
        if work.own_tries >= self._settings.max_delivery_attempts:
            return Stall(work.head, _poison_reason(work.own_tries, death), None)
        reason = f"Its turn has ended a process: {death}. This was try {work.attempts}; it is tried again, alone."
        return Stall(work.head, reason, _PAUSE, is_suspect=True)

    def _terminated(self, work: _Work, history: Iterable[Record]) -> TurnWrite:
        """End an instance without running its code. Its history was read for the witness alone."""
        if not self._is_current(work.head):
            self._witness.replay(work.head, list(history))
        if entry := self._resident.pop(work.head.pk, None):
            self._close(work.head.pk, entry[0])
        self._deciding[work.head.pk] = None
        result, recurse = terminated_turn(work.events, clock.now(), work.head.custom_status)
        return TurnWrite(
            head=work.head,
            result=result,
            inbox_ids=work.inbox_ids,
            outcomes=tuple(work.outcomes),
            end_children=recurse,
        )

    def _is_traced(self, started: ExecutionStarted | None) -> TypeGuard[ExecutionStarted]:
        """Tell whether anybody wants to know where the spans of an execution belong."""
        return started is not None and bool(started.trace_parent or self._witness.is_on)

    def _execution(self, head: InstanceHead, history: Iterable[Record]) -> Execution:
        """Return the remembered execution if it is current, else one rebuilt from history."""
        entry = self._resident.pop(head.pk, None)
        if entry is not None:
            if entry[1].revision == head.revision:
                return entry[0]
            self._unload(head.pk, entry[0])
        execution = Execution(self._registry, self._codec, head.instance_id, head.generation, self._settings.limits)
        records = list(history)
        execution.replay(from_record(record) for record in records)
        self._witness.replay(head, records)
        return execution

    def _forget(self, pk: int) -> None:
        entry = self._resident.pop(pk, None)
        if entry is not None:
            self._unload(pk, entry[0])

    def _unload(self, pk: int, execution: Execution | None) -> None:
        self._witness.forget(pk)
        if execution is not None:
            self._close(pk, execution)

    def _close(self, pk: int, execution: Execution) -> None:
        try:
            execution.unload()
        except OrchestratorCodeError as error:
            logger.warning("An orchestrator could not be unloaded.", extra={"instance": pk, "reason": str(error)})


def _poison_reason(attempts: int, last: str = "") -> str:
    how = f" The last one: {last}." if last else ""
    return (
        f"Parked: {attempts} turns in a row ended with the death of their process.{how} Mend the orchestrator and "
        f"start a worker with the new code, try again (release) as it is, or terminate it."
    )
