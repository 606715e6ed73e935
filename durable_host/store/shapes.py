"""What goes into and comes out of the store: plain frozen data, no rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from durable_host.core.actions import Actions
from durable_host.core.codec import Record, to_record
from durable_host.core.events import HistoryEvent, TaskCompleted, TaskFailed
from durable_host.core.failure import FailureDetails
from durable_host.core.status import RuntimeStatus
from durable_host.core.turn import TurnResult


@dataclass(frozen=True, slots=True)
class Wake:
    """Who must be told that there is something to do, once the transaction has committed."""

    #: queues whose bell is to ring
    queues: frozenset[str] = frozenset()
    #: workers that hold an instance which has a new message
    owners: frozenset[str] = frozenset()
    #: ids of instances that have ended: somebody may wait for that
    ended: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHead:
    """What a turn must know of its instance."""

    pk: int
    instance_id: str
    name: str
    version: str
    status: RuntimeStatus
    generation: int
    revision: int
    next_sequence: int
    #: bytes of the payloads in its history; None where they have not been counted yet
    history_bytes: int | None
    custom_status: str | None
    parent_pk: int | None
    parent_generation: int | None
    parent_task_id: int | None
    #: when it was created, or was to start if that was later
    due_at: datetime


#: tries of a turn that it shares with others; each further one it has a process to itself
SHARED_TRIES = 2


@dataclass(frozen=True, slots=True)
class ClaimedInstance:
    """An instance that this worker holds for one turn, with its inbox."""

    head: InstanceHead
    inbox: tuple[HistoryEvent, ...]
    inbox_ids: tuple[int, ...]
    #: claims since the last committed turn, this one included
    attempts: int = 1
    #: why its inbox cannot be read here; empty where it can
    problem: str = ""

    @property
    def is_suspect(self) -> bool:
        """Whether its last claim ended without a turn: its worker died, and it may be why."""
        return self.attempts > 1


#: one handing-out of an activity: its primary key, and the number of the attempt
Delivery = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedActivity:
    """An activity that this worker holds."""

    pk: int
    instance_pk: int
    instance_id: str
    generation: int
    task_id: int
    name: str
    input: str | None
    #: the same for all attempts of one call
    call_key: str
    #: W3C traceparent of the span of the call; empty where nobody traces
    trace_parent: str = ""
    attempt: int
    created_at: datetime

    @property
    def delivery(self) -> Delivery:
        """Which handing-out of the activity this is; only the latest may record its outcome."""
        return self.pk, self.attempt


@dataclass(frozen=True, slots=True)
class ActivityOutcome:
    """How a held activity ended."""

    activity: ClaimedActivity
    event: TaskCompleted | TaskFailed


@dataclass(frozen=True, kw_only=True)
class TurnWrite:
    """One turn to be committed."""

    head: InstanceHead
    result: TurnResult
    actions: Actions = field(default_factory=Actions)
    #: inbox rows that the turn took
    inbox_ids: tuple[int, ...] = ()
    #: outcomes of this worker's own activities that the turn took without an inbox row
    outcomes: tuple[ActivityOutcome, ...] = ()
    #: whether unfinished sub-orchestrations end with it
    end_children: bool = False
    #: whether this worker runs further activities of the instance
    keeps_running: bool = False

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The turn's events as history stores them, and as telemetry is told of them."""
        return tuple(to_record(event) for event in self.result.events)

    @cached_property
    def next_head(self) -> InstanceHead:
        """The head of the instance after its turn."""
        head, result = self.head, self.result
        moved = replace(
            head,
            status=result.status,
            revision=head.revision + 1,
            next_sequence=head.next_sequence + len(result.events),
            history_bytes=head.history_bytes if result.history_bytes is None else result.history_bytes,
            # an execution that has not set one shows what the one before it showed
            custom_status=head.custom_status if result.custom_status is None else result.custom_status,
        )
        if result.next_started is None:
            return moved
        version = result.next_started.version
        return replace(moved, generation=head.generation + 1, next_sequence=0, history_bytes=None, version=version)

    def prepare(self) -> None:
        """Make what takes long to make: nobody shall wait for it while a checkpoint holds locks."""
        _ = self.records, self.next_head


@dataclass(frozen=True, slots=True)
class Stall:
    """An instance that cannot go on now."""

    head: InstanceHead
    reason: str
    #: when it is tried again by itself; None to park it, until a person or new code comes
    retry_after: timedelta | None
    #: whether its turn has ended a process: then that counts, and the next try has a process to itself
    is_suspect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The worker that commits, and what it can take on at once."""

    hub: str
    worker: str
    #: queue → number of new activities that it takes without asking again
    room: Mapping[str, int]
    activity_lease: timedelta
    #: how long an instance stays with the worker that runs its activities
    affinity: timedelta


@dataclass(slots=True)
class Receipt:
    """What a checkpoint did."""

    #: heads as they are now, by primary key
    committed: dict[int, InstanceHead] = field(default_factory=dict)
    #: instances whose turn lost: another worker committed first
    lost: set[int] = field(default_factory=set)
    #: activities whose result came too late
    late: list[ClaimedActivity] = field(default_factory=list)
    #: those of ``late`` whose execution had ended, so that no other delivery has answered
    moot: list[ClaimedActivity] = field(default_factory=list)
    #: new activities that this worker holds already
    taken: list[ClaimedActivity] = field(default_factory=list)
    #: whether some instance got a message that a turn can take now
    has_messages: bool = False
    #: queues that have new activities which nobody holds
    waiting_queues: set[str] = field(default_factory=set)
    #: other workers that hold an instance which got a message
    owners: set[str] = field(default_factory=set)
    #: earliest timer that was written
    next_timer: datetime | None = None

    def add(self, other: Receipt) -> None:
        """Add what another checkpoint of the same worker did."""
        self.committed |= other.committed
        self.lost |= other.lost
        self.late += other.late
        self.moot += other.moot
        self.taken += other.taken
        self.has_messages |= other.has_messages
        self.waiting_queues |= other.waiting_queues
        self.owners |= other.owners
        times = [time for time in (self.next_timer, other.next_timer) if time is not None]
        self.next_timer = min(times, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """An instance to be started."""

    instance_id: str
    name: str
    input: str | None
    version: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    start_at: datetime | None = None
    #: W3C traceparent and tracestate of whoever starts it
    trace_parent: str | None = None
    trace_state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationStatus:
    """What is known of one instance (Durable Functions, DurableOrchestrationStatus)."""

    instance_id: str
    name: str
    version: str
    runtime_status: RuntimeStatus
    created_at: datetime
    last_updated_at: datetime
    completed_at: datetime | None
    scheduled_at: datetime | None
    input: Any
    output: Any
    custom_status: Any
    failure: FailureDetails | None
    tags: Mapping[str, str]
    parent_instance_id: str | None
    #: executions before this one (continue-as-new, rewind)
    generation: int
    #: why it does not go on although it could; empty otherwise
    stall_reason: str

    @property
    def is_finished(self) -> bool:
        """Whether the instance has ended."""
        return self.runtime_status.is_finished


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, and where the next part begins."""

    items: tuple[OrchestrationStatus, ...]
    #: hand it to the next query; None at the end
    continuation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """Which instances are meant. Filters combine; an empty one means all of the hub."""

    statuses: tuple[RuntimeStatus, ...] = ()
    name: str | None = None
    #: orchestrators by pattern, as ``invoice_*``
    name_pattern: str | None = None
    instance_id_prefix: str | None = None
    #: text that the custom status holds
    custom_status: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    created_from: datetime | None = None
    created_to: datetime | None = None
    #: text that the failure holds: error types, messages, stacks; finds failed instances only
    error_text: str | None = None
    #: leave out sub-orchestrations
    roots_only: bool = False
    #: only what does not go on although it could
    stalled: bool = False
    #: only what listens for an external event
    waiting: bool = False
    #: only sub-orchestrations of this instance
    parent_id: str | None = None
