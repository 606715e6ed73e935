"""What must be true of all rows after a run, whatever has failed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from durable_host.core import events as ev
from durable_host.core.codec import Record, from_record
from durable_host.core.payload import PayloadCodec
from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.models import AuditRecord, HistoryEvent, Instance
from durable_host.store import clock, queries

from .load import Load, Promise


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    instances: int
    events: int
    #: instances that are missing, have not ended, or ended with something else
    lost: list[str]
    #: executions with an outcome that is there twice
    duplicated: list[str]
    #: whatever else must not be
    wrong: list[str]

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, doubled or wrong."""
        return not (self.lost or self.duplicated or self.wrong)


def judge(load: Load) -> Verdict:
    """Look through all rows."""
    executions = _executions()
    return Verdict(
        instances=Instance.objects.count(),
        events=sum(map(len, executions.values())),
        lost=list(_lost(load.promises)),
        duplicated=[_called(key) for key, history in executions.items() if _has_doubles(history)],
        wrong=[*_gaps(), *_unanswered(executions), *_miscounted(load, executions), *_left_over(), *_unaudited(load)],
    )


Executions = Mapping[tuple[str, int], list[ev.HistoryEvent]]


def _executions() -> Executions:
    """Return the history of every execution: instance id and generation → events."""
    found: dict[tuple[str, int], list[ev.HistoryEvent]] = defaultdict(list)
    rows = HistoryEvent.objects.order_by("instance_id", "generation", "sequence")
    columns = ("instance__instance_id", "generation", *Record._fields)
    for instance_id, generation, *record in rows.values_list(*columns).iterator():
        found[instance_id, generation].append(from_record(Record(*record)))
    return found


def _lost(promises: Mapping[str, Promise]) -> Iterator[str]:
    codec = PayloadCodec()
    found = {one.instance_id: one for one in Instance.objects.all()}
    for id_, promise in promises.items():
        row = found.get(id_)
        if row is None:
            yield f"{id_} is not there"
        elif row.status != promise.status:
            yield f"{id_} is {row.status}, not {promise.status}: {row.stall_reason or row.failure or ''}"
        elif codec.loads(row.output, Any, "The output") != promise.output:
            yield f"{id_} gave {row.output}, not {promise.output}"
    for id_, row in found.items():
        if row.parent_id is None and id_ not in promises:
            yield f"{id_}: nobody asked for it"
        if row.status not in FINISHED:
            yield f"{id_} has not ended"


def _has_doubles(history: list[ev.HistoryEvent]) -> bool:
    answered = Counter(event.task_scheduled_id for event in history if isinstance(event, ev.TaskOutcome))
    asked = Counter(event.event_id for event in history if event.event_id >= 0)
    return any(count > 1 for count in (answered | asked).values())


def _gaps() -> Iterator[str]:
    numbers: dict[tuple[int, int], list[int]] = defaultdict(list)
    rows = HistoryEvent.objects.order_by("instance_id", "generation", "sequence")
    for instance, generation, sequence in rows.values_list("instance_id", "generation", "sequence").iterator():
        numbers[instance, generation].append(sequence)
    for key, found in numbers.items():
        if found != list(range(len(found))):
            yield f"the history of {key} has gaps"


def _unanswered(executions: Executions) -> Iterator[str]:
    """Every activity that was asked for has an outcome, unless its execution was terminated."""
    for key, history in executions.items():
        if any(isinstance(event, ev.ExecutionTerminated) for event in history):
            continue
        asked = {event.event_id for event in history if isinstance(event, ev.TaskScheduled)}
        if asked - {event.task_scheduled_id for event in history if isinstance(event, ev.TaskOutcome)}:
            yield f"{_called(key)}: an activity has no outcome"


def _miscounted(load: Load, executions: Executions) -> Iterator[str]:
    """Every event that was sent was received once and in order; by an instance that was ended, perhaps not the last."""
    codec = PayloadCodec()
    received: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for (id_, _), history in executions.items():
        received[id_] += [
            (event.name, codec.loads(event.input, Any, "The data"))
            for event in history
            if isinstance(event, ev.EventRaised)
        ]
    for id_, promise in load.promises.items():
        is_whole = promise.status is RuntimeStatus.COMPLETED
        if received[id_] != (promise.events if is_whole else promise.events[: len(received[id_])]):
            yield f"{id_} received {received[id_]}, was sent {promise.events}"


def _left_over() -> Iterator[str]:
    for what, count in queries.count_open_work("default").items():
        if count:
            yield f"{count} {what} are left"
    held = Instance.objects.exclude(owner="").filter(available_at__gt=clock.now()).count()
    if held:
        yield f"{held} instances are still held"


def _unaudited(load: Load) -> Iterator[str]:
    recorded = set(AuditRecord.objects.values_list("request_key", flat=True))
    if recorded != load.requests:
        yield f"{len(load.requests ^ recorded)} requests are not in the audit, or nobody made them"


def _called(key: tuple[str, int]) -> str:
    return f"{key[0]} ({key[1]})"
