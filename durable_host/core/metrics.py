"""What is measured: one table for the instruments, the exporters, the documents, and the dashboard.

Names and units are OpenTelemetry's (UCUM). Nothing is labelled by instance: a metric has as many series as there are
functions, queues or workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

#: the label of a function that is not, or no longer, registered: names come from callers, so they must not make series
OTHER = "other"

#: what was counted, as JSON can hold it: metric → label → numbers. One number for a counter; for a histogram the sum
#: of the values and then how many fell into each bucket, the last one for those above all bounds.
Tallies = dict[str, dict[str, list[float]]]


class Kind(StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


class Label(StrEnum):
    """What may tell the series of a metric apart."""

    NONE = ""
    ORCHESTRATOR = "orchestrator"
    ACTIVITY = "activity"
    STATUS = "status"
    QUEUE = "queue"
    WORKER = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric."""

    name: str
    kind: Kind
    unit: str
    label: Label = Label.NONE
    #: one sentence, for people
    meaning: str
    #: upper bounds of a histogram's buckets, each inclusive
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers a series of it has in :data:`Tallies`."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of a gauge."""

    metric: Metric
    value: float
    label: str = ""


_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_WAIT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_WORK = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_LONG = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400, 604800, 2592000)
_EVENTS = (0, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000)


def _counter(name: str, unit: str, meaning: str, label: Label = Label.NONE) -> Metric:
    return Metric(name=f"durabletask.{name}", kind=Kind.COUNTER, unit=unit, label=label, meaning=meaning)


def _histogram(
    name: str, unit: str, meaning: str, bounds: tuple[float, ...], label: Label = Label.ORCHESTRATOR
) -> Metric:
    name = f"durabletask.{name}"
    return Metric(name=name, kind=Kind.HISTOGRAM, unit=unit, label=label, meaning=meaning, bounds=bounds)


def _gauge(name: str, unit: str, meaning: str, label: Label = Label.NONE) -> Metric:
    return Metric(name=f"durabletask.{name}", kind=Kind.GAUGE, unit=unit, label=label, meaning=meaning)


# --- counted and timed by the workers, from what they have committed --------------------------------------------------

ORCHESTRATIONS_STARTED = _counter(
    "orchestrations.started",
    "{orchestration}",
    "Instances that had their first turn; a continue-as-new does not count.",
    Label.ORCHESTRATOR,
)
ORCHESTRATIONS_COMPLETED = _counter(
    "orchestrations.completed", "{orchestration}", "Instances that completed.", Label.ORCHESTRATOR
)
ORCHESTRATIONS_FAILED = _counter(
    "orchestrations.failed", "{orchestration}", "Instances that failed.", Label.ORCHESTRATOR
)
ORCHESTRATIONS_TERMINATED = _counter(
    "orchestrations.terminated", "{orchestration}", "Instances that were terminated.", Label.ORCHESTRATOR
)
ORCHESTRATIONS_CONTINUED = _counter(
    "orchestrations.continued_as_new", "{orchestration}", "Executions that continued as new.", Label.ORCHESTRATOR
)
END_TO_END = _histogram(
    "orchestration.end_to_end",
    "s",
    "From the creation of an instance (or its scheduled start) to its end, however it ended.",
    _LONG,
)
ACTIVITIES_STARTED = _counter("activities.started", "{activity}", "Activities that began to run.", Label.ACTIVITY)
ACTIVITIES_COMPLETED = _counter(
    "activities.completed", "{activity}", "Activities whose result was recorded.", Label.ACTIVITY
)
ACTIVITIES_FAILED = _counter(
    "activities.failed", "{activity}", "Activities whose failure was recorded; each failed try counts.", Label.ACTIVITY
)
ACTIVITIES_RETRIED = _counter(
    "activities.retried", "{activity}", "Retries that a retry policy asked for.", Label.ACTIVITY
)
ACTIVITIES_REDELIVERED = _counter(
    "activities.redelivered",
    "{activity}",
    "Activities that were begun again because the worker before died or lost its lease.",
    Label.ACTIVITY,
)
ACTIVITY_WAIT = _histogram(
    "activity.schedule_to_start", "s", "From the turn that asked for an activity to its begin.", _WAIT, Label.ACTIVITY
)
ACTIVITY_DURATION = _histogram(
    "activity.duration", "s", "Run of an activity whose outcome was recorded.", _WORK, Label.ACTIVITY
)
TURN_DURATION = _histogram("turn.duration", "s", "Replay and decision of one turn, without the database.", _FAST)
TURN_REPLAYED = _histogram(
    "turn.replayed_events",
    "{event}",
    "Events that a turn replayed before it could go on; 0 where the execution was still in memory.",
    _EVENTS,
)
TURN_WAIT = _histogram(
    "turn.schedule_to_start", "s", "From the oldest message that a turn took to the begin of the turn.", _WAIT
)
TURN_CONFLICTS = _counter(
    "turn.conflicts", "{turn}", "Turns that lost to another worker's; their work left no trace.", Label.ORCHESTRATOR
)
CHECKPOINT_DURATION = _histogram(
    "checkpoint.duration", "s", "One checkpoint transaction, which may hold many turns.", _FAST, Label.NONE
)
STALLS = _counter(
    "stalls",
    "{orchestration}",
    "Times that an instance was set aside: its code is missing, does not match history, or killed its worker.",
    Label.ORCHESTRATOR,
)
LATE_RESULTS = _counter(
    "late_results", "{activity}", "Activity results that were dropped because they came too late.", Label.ACTIVITY
)
SWEEP_RECOVERIES = _counter(
    "sweep_recoveries", "{item}", "Instances and activities that a sweep found although no bell had announced them."
)
DATABASE_FAILURES = _counter("database.failures", "{failure}", "Times that the database failed a worker.")

#: what each worker counts
TALLIED: tuple[Metric, ...] = tuple(metric for metric in list(vars().values()) if isinstance(metric, Metric))

# --- read from the rows -----------------------------------------------------------------------------------------------

INSTANCES = _gauge("instances", "{instance}", "Instances by status; of more than 20,000, about.", Label.STATUS)
INSTANCES_ESTIMATED = _gauge(
    "instances.is_estimate", "1", "1 where the number of instances of that status is an estimate.", Label.STATUS
)
INSTANCES_STALLED = _gauge("instances.stalled", "{instance}", "Instances that are set aside now.")
OLDEST_MESSAGE = _gauge(
    "messages.oldest_age", "s", "Age of the oldest message that no turn has taken; stalled instances do not count."
)
TIMER_LAG = _gauge("timers.lag", "s", "How long the timer that is due longest has been due.")
BACKLOG = _gauge(
    "activities.waiting", "{activity}", "Activities that wait for a worker; of more than 20,000, about.", Label.QUEUE
)
OLDEST_ACTIVITY = _gauge(
    "activities.oldest_wait", "s", "How long the first activity of the queue has waited.", Label.QUEUE
)
EVENT_WAITS = _gauge("event_waits", "{wait}", "External events that instances listen for; of more than 20,000, about.")
WORKERS = _gauge("workers", "{worker}", "Workers that are alive.", Label.QUEUE)

#: what the hub's rows tell; every worker and every scrape sees the same
HUB_GAUGES: tuple[Metric, ...] = (
    INSTANCES,
    INSTANCES_ESTIMATED,
    INSTANCES_STALLED,
    OLDEST_MESSAGE,
    TIMER_LAG,
    BACKLOG,
    OLDEST_ACTIVITY,
    EVENT_WAITS,
    WORKERS,
)

WORKER_SEEN_AGE = _gauge("worker.seen_age", "s", "Time since the worker was last seen.", Label.WORKER)
WORKER_RUNNING = _gauge("worker.running_activities", "{activity}", "Activities that the worker runs.", Label.WORKER)
WORKER_ROOM = _gauge(
    "worker.max_activities", "{activity}", "Activities that the worker can run at a time.", Label.WORKER
)
WORKER_ABANDONED = _gauge(
    "worker.abandoned_activities",
    "{activity}",
    "Activities that outran their limit, cannot be stopped, and hold a thread of the worker.",
    Label.WORKER,
)
WORKER_RESIDENT = _gauge(
    "worker.resident_executions", "{execution}", "Executions that the worker keeps in memory.", Label.WORKER
)
WORKER_HELD = _gauge(
    "worker.held_instances",
    "{instance}",
    "Instances that stay with the worker while their activities run.",
    Label.WORKER,
)
WORKER_CLOCK = _gauge(
    "worker.clock_offset", "s", "Clock of the worker minus the database server's; PostgreSQL only.", Label.WORKER
)

#: what each worker's row tells of it
WORKER_GAUGES: tuple[Metric, ...] = (
    WORKER_SEEN_AGE,
    WORKER_RUNNING,
    WORKER_ROOM,
    WORKER_ABANDONED,
    WORKER_RESIDENT,
    WORKER_HELD,
    WORKER_CLOCK,
)

METRICS: tuple[Metric, ...] = (*TALLIED, *HUB_GAUGES, *WORKER_GAUGES)


def total(one: Tallies, other: Mapping[str, Mapping[str, Sequence[float]]], sign: int = 1) -> Tallies:
    """Return what was counted in both; with ``sign=-1``, what was counted in one and not yet in the other.

    Series of nothing are left out. Series whose buckets differ, because another version of the host wrote them, are
    taken from ``one`` as they are.
    """
    result = {name: {label: list(numbers) for label, numbers in series.items()} for name, series in one.items()}
    for name, series in other.items():
        mine = result.setdefault(name, {})
        for label, numbers in series.items():
            present = mine.get(label, [0.0] * len(numbers))
            if len(present) == len(numbers):
                mine[label] = [left + sign * right for left, right in zip(present, numbers, strict=True)]
    kept = {name: {label: ns for label, ns in series.items() if any(ns)} for name, series in result.items()}
    return {name: series for name, series in kept.items() if series}
