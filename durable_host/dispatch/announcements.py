"""What clients tell of their requests: spans and tracking records, after the commit that made them true.

They are told as of the moment of the request: a worker may have acted on it before its client comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from durable_host.core.events import EventRaised, ExecutionStarted, HistoryEvent
from durable_host.core.tracing import ExecutionTrace, TraceContext
from durable_host.core.tracking import told_by_client
from durable_host.store import clock, queries
from durable_host.store.shapes import NewInstance
from durable_host.telemetry import pipeline, propagation, tell


@contextmanager
def starts(news: Sequence[NewInstance]) -> Iterator[list[NewInstance]]:
    """Give new instances their place in the caller's trace; tell of them once the caller's transaction has committed.

    Nothing is told where the block raises, or the transaction is rolled back.
    """
    at = clock.now()
    creations = [propagation.begin_create(new.name, new.instance_id, new.version) for new in news]
    yield [
        replace(new, trace_parent=creation.trace_parent, trace_state=creation.trace_state)
        for new, creation in zip(news, creations, strict=True)
    ]
    if not pipeline.is_on():
        return

    def announce() -> None:
        for new, creation in zip(news, creations, strict=True):
            creation.committed()
            _tell(new.instance_id, new.name, _started(new, at), creation.context)

    transaction.on_commit(announce, robust=True)


def request(hub: str, instance_id: str, event: HistoryEvent) -> None:
    """Tell of a message to an instance, once the caller's transaction has committed.

    An event that nobody traces yet belongs to the trace of the instance that it is for; one that is part of a trace
    already links to it.
    """
    if not pipeline.is_on():
        return
    subject = queries.get_subject(hub, instance_id)
    if subject is None:
        return

    def announce() -> None:
        target = ExecutionTrace.of(instance_id, subject.started, subject.generation).span
        _tell(instance_id, subject.started.name, event, target)
        if isinstance(event, EventRaised):
            propagation.event_sent(event.name, instance_id, target, event.timestamp)

    transaction.on_commit(announce, robust=True)


def _tell(instance_id: str, orchestrator: str, event: HistoryEvent, trace: TraceContext | None) -> None:
    record = told_by_client(instance_id, orchestrator, event)
    if record is not None:
        tell.records([record], trace)


def _started(new: NewInstance, at: datetime) -> ExecutionStarted:
    return ExecutionStarted(timestamp=at, name=new.name, input=new.input, version=new.version)
