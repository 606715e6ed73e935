"""What needs attention, and what goes on: one bounded question for each box of the overview.

Every function raises TooSlowError where the database needs too long, so that one slow box leaves the others alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, DateTimeField, F, Q
from django.db.models.functions import Left, Trunc
from pydantic_core import from_json

from durable_host.core.errors import SubOrchestrationFailedError, TaskFailedError
from durable_host.core.fingerprint import fingerprint, first_line
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import ActivityTask, Instance, PendingEvent

from . import clock
from .limits import time_limited
from .listing import CappedCount, capped
from .workers import queues_in_use

#: failures that are read to be grouped
_MOST_FAILURES = 1_000
#: characters of each that are read
_READ_OF_FAILURE = 12_000
#: what an orchestrator does not catch of its work
_WRAPPERS = (TaskFailedError.__name__, SubOrchestrationFailedError.__name__)
_HOUR = timedelta(hours=1)
#: the throughput is exact up to here
_MOST_COUNTED = 20_000
#: Workers take activities in the order of their numbers, so that those they run are among the first of a queue.
_FIRST_OF_QUEUE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures that are the same but for numbers and ids."""

    fingerprint: str
    orchestrator: str
    error_type: str
    #: first line, as the latest has it
    message: str
    count: int
    first_at: datetime
    latest_at: datetime
    #: instance id of the latest
    sample_id: str


@dataclass(frozen=True, slots=True)
class FailureGroups:
    """The groups, most frequent first."""

    groups: tuple[FailureGroup, ...]
    #: failures in all groups, those that are not shown too; where it is capped, the groups count the newest only
    total: CappedCount


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledInstance:
    """An instance that does not go on although it could."""

    instance_id: str
    name: str
    status: RuntimeStatus
    reason: str
    #: when it last went on
    since: datetime


@dataclass(frozen=True, slots=True)
class Stalled:
    """The newest of them."""

    items: tuple[StalledInstance, ...]
    total: CappedCount


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingOff:
    """A call that failed and pauses before another attempt."""

    instance_id: str
    orchestrator: str
    #: the activity or sub-orchestration
    activity: str
    #: number of the attempt that comes next
    attempt: int
    limit: int
    next_at: datetime


@dataclass(frozen=True, slots=True)
class BackingOffs:
    """Those that come next."""

    items: tuple[BackingOff, ...]
    total: CappedCount


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueBacklog:
    """What is in a queue. A worker takes its activities in the order of their numbers."""

    queue: str
    waiting: CappedCount
    running: CappedCount
    #: when the oldest that waits was scheduled
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyActivity:
    """What ended of one orchestrator, one number for each hour, oldest first."""

    name: str
    completed: tuple[int, ...]
    failed: tuple[int, ...]

    @property
    def total(self) -> int:
        """All that ended."""
        return sum(self.completed) + sum(self.failed)


@dataclass(frozen=True, slots=True)
class ActivityTable:
    """What ended in the last hours, busiest orchestrator first."""

    #: beginnings of the hours, oldest first; the last one is not over
    hours: tuple[datetime, ...]
    rows: tuple[HourlyActivity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """How much goes through."""

    finished_last_minute: CappedCount
    finished_last_hour: CappedCount
    started_last_hour: CappedCount
    #: not finished now
    active: CappedCount


def failure_groups(hub: str, *, since: datetime, limit: int = 10) -> FailureGroups:
    """Group what has failed since a time, the most frequent first."""
    rows = (
        Instance.objects.filter(hub=hub, status=RuntimeStatus.FAILED, completed_at__gte=since)
        .order_by("-completed_at", "-pk")
        .values_list("name", "instance_id", "completed_at", Left("failure", _READ_OF_FAILURE))
    )
    with time_limited():
        found = list(rows[: _MOST_FAILURES + 1])
    groups: dict[str, FailureGroup] = {}
    for name, instance_id, at, failure in found[:_MOST_FAILURES]:
        error_type, message = _origin(failure or "{}")
        key = fingerprint(name, error_type, message)
        group = groups.get(key) or FailureGroup(
            fingerprint=key,
            orchestrator=name,
            error_type=error_type,
            message=first_line(message),
            count=0,
            first_at=at,
            latest_at=at,
            sample_id=instance_id,
        )
        groups[key] = replace(group, count=group.count + 1, first_at=at)
    ordered = sorted(groups.values(), key=lambda one: (one.count, one.latest_at), reverse=True)
    return FailureGroups(tuple(ordered[:limit]), CappedCount.of(len(found), _MOST_FAILURES))


def _origin(text: str) -> tuple[str, str]:
    """Return type and message of the failure itself: a wrapper only says which task failed.

    Args:
        text: the beginning of the failure's JSON text; causes that do not fit into it are not looked at.
    """
    failure: Any = from_json(text, allow_partial=True)
    while failure.get("errorType") in _WRAPPERS and failure.get("innerFailure", {}).get("errorMessage") is not None:
        failure = failure["innerFailure"]
    return failure.get("errorType", ""), failure.get("errorMessage", "")


def stalled_instances(hub: str, *, limit: int = 10) -> Stalled:
    """Return what does not go on although it could."""
    rows = Instance.objects.filter(hub=hub).exclude(stall_reason="").exclude(status__in=FINISHED)
    columns = ("instance_id", "name", "status", "stall_reason", "updated_at")
    with time_limited():
        found = list(rows.order_by("-created_at", "-pk").values_list(*columns)[:limit])
        total = capped(rows)
    items = (
        StalledInstance(instance_id=id_, name=name, status=RuntimeStatus(status), reason=reason, since=at)
        for id_, name, status, reason, at in found
    )
    return Stalled(tuple(items), total)


def activities_backing_off(hub: str, *, limit: int = 10) -> BackingOffs:
    """Return the calls that pause before another attempt, next one first."""
    rows = PendingEvent.objects.filter(event_type="TimerFired", name__isnull=False, instance__hub=hub)
    columns = ("instance__instance_id", "instance__name", "name", "detail", "visible_at")
    with time_limited():
        found = list(rows.order_by("visible_at").values_list(*columns)[:limit])
        total = capped(rows)
    items = []
    for instance_id, orchestrator, name, detail, next_at in found:
        _, attempt, most = from_json(detail)["retry"]
        items.append(
            BackingOff(
                instance_id=instance_id,
                orchestrator=orchestrator,
                activity=name,
                attempt=attempt,
                limit=most,
                next_at=next_at,
            )
        )
    return BackingOffs(tuple(items), total)


def queue_backlogs(hub: str) -> tuple[QueueBacklog, ...]:
    """Return every queue that has activities, by name."""
    with time_limited():
        return tuple(_backlog(hub, queue) for queue in queues_in_use(hub))


def _backlog(hub: str, queue: str) -> QueueBacklog:
    now = clock.now()
    rows = ActivityTask.objects.filter(hub=hub, queue=queue)
    waiting = rows.filter(lease_until__lte=now)
    oldest = waiting.order_by("id").values_list("created_at", flat=True).first()
    first = rows.order_by("id")[:_FIRST_OF_QUEUE]
    running = first.aggregate(n=Count("pk", filter=Q(lease_until__gt=now)))["n"]
    return QueueBacklog(queue=queue, waiting=capped(waiting), running=CappedCount.of(running), oldest_at=oldest)


def activity_by_hour(hub: str, *, hours: int = 24, limit: int = 50) -> ActivityTable:
    """Count what has ended in the last hours, this one included, by orchestrator and hour."""
    this_hour = clock.now().replace(minute=0, second=0, microsecond=0)
    begins = tuple(this_hour - _HOUR * back for back in reversed(range(hours)))
    rows = (
        Instance.objects.filter(hub=hub, completed_at__gte=begins[0])
        .values("name", hour=Trunc("completed_at", "hour", output_field=DateTimeField()))
        .annotate(
            # of what is in the index: the table is not read
            completed=Count("status", filter=Q(status=RuntimeStatus.COMPLETED)),
            failed=Count("status", filter=Q(status=RuntimeStatus.FAILED)),
        )
        .order_by()
    )
    place = {hour: number for number, hour in enumerate(begins)}
    counts: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([0] * hours, [0] * hours))
    with time_limited():
        for row in rows:
            number = place.get(row["hour"])
            if number is not None:  # one that ended after we looked at the clock
                completed, failed = counts[row["name"]]
                completed[number], failed[number] = row["completed"], row["failed"]
    table = [
        HourlyActivity(name=name, completed=tuple(completed), failed=tuple(failed))
        for name, (completed, failed) in counts.items()
    ]
    return ActivityTable(begins, tuple(sorted(table, key=lambda one: (-one.total, one.name))[:limit]))


def throughput(hub: str) -> Throughput:
    """Count what started and ended lately."""
    now = clock.now()
    rows = Instance.objects.filter(hub=hub)
    active: Any = [status.value for status in RuntimeStatus if status not in FINISHED]
    with time_limited():
        return Throughput(
            finished_last_minute=capped(rows.filter(completed_at__gte=now - _HOUR / 60), _MOST_COUNTED),
            finished_last_hour=capped(rows.filter(completed_at__gte=now - _HOUR), _MOST_COUNTED),
            started_last_hour=capped(rows.filter(created_at__gte=now - _HOUR), _MOST_COUNTED),
            active=capped(rows.filter(status__in=active), _MOST_COUNTED),
        )


# --- runs longer than usual -----------------------------------------------------------------------------------------

#: finished instances of an orchestrator that say what is usual, and how many there must be to say it
_SAMPLE = 200
_LEAST_SAMPLE = 20
_TIMES_USUAL = 2
_NEVER_LONG = timedelta(minutes=1)
#: running instances that are looked at, the oldest, which alone can be long; and orchestrators of theirs
_MOST_RUNNING = 1_000
_MOST_NAMES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRunner:
    """An instance that has been under way far longer than others of its orchestrator."""

    instance_id: str
    name: str
    started_at: datetime
    #: 95 of 100 recent ones took no longer
    usual: timedelta


def long_runners(hub: str, *, limit: int = 10) -> tuple[LongRunner, ...]:
    """Return what runs more than twice as long as 95 of 100 recent instances of the same orchestrator did.

    An orchestrator with less than 20 finished instances has no usual time, and nothing is long within a minute.
    """
    now = clock.now()
    found: list[LongRunner] = []
    with time_limited():
        for name, instances in _oldest_by_name(hub, now - _NEVER_LONG).items():
            usual = _usual(hub, name)
            if usual is not None:
                found += (
                    LongRunner(instance_id=instance_id, name=name, started_at=started_at, usual=usual)
                    for instance_id, started_at in instances
                    if started_at < now - usual * _TIMES_USUAL
                )
    return tuple(
        sorted(found, key=lambda one: (now - one.started_at) / (one.usual or timedelta(1)), reverse=True)[:limit]
    )


def _oldest_by_name(hub: str, before: datetime) -> dict[str, list[tuple[str, datetime]]]:
    """Return id and creation of the oldest running instances, by orchestrator."""
    rows = Instance.objects.filter(hub=hub, status=RuntimeStatus.RUNNING, created_at__lt=before)
    oldest = rows.order_by("created_at", "pk").values_list("name", "instance_id", "created_at")[:_MOST_RUNNING]
    by_name: dict[str, list[tuple[str, datetime]]] = {}
    for name, instance_id, created_at in oldest:
        if name in by_name or len(by_name) < _MOST_NAMES:
            by_name.setdefault(name, []).append((instance_id, created_at))
    return by_name


def _usual(hub: str, name: str) -> timedelta | None:
    ended = Instance.objects.filter(hub=hub, name=name, status=RuntimeStatus.COMPLETED)
    newest = ended.order_by("-created_at", "-pk").values_list(F("completed_at") - F("created_at"), flat=True)
    durations = sorted(newest[:_SAMPLE])
    if len(durations) < _LEAST_SAMPLE:
        return None
    usual: timedelta = durations[int(len(durations) * 0.95)]
    return usual
