"""What the tests tell: records as core makes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from durable_host.core.spans import SpanKind, SpanRecord
from durable_host.core.tracing import TraceContext

NOW = datetime.now(UTC).replace(microsecond=123456)
CALLER = TraceContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, state="vendor=1")
ORCHESTRATION = CALLER.child("orchestration")


def span(name: str = "activity:score", kind: SpanKind = SpanKind.CLIENT, **more: object) -> SpanRecord:
    """Return a span under the orchestration, of one second."""
    fields: dict[str, object] = {
        "context": ORCHESTRATION.child(name),
        "parent": ORCHESTRATION,
        "start": NOW - timedelta(seconds=1),
        "end": NOW,
        "attributes": {"durabletask.type": "activity", "durabletask.task.task_id": 3},
    }
    return SpanRecord(name=name, kind=kind, **{**fields, **more})  # type: ignore[arg-type]


def orchestration(status: str = "Completed", took: timedelta = timedelta(seconds=5), **more: object) -> SpanRecord:
    """Return the span of an orchestration that has just ended."""
    attributes: Mapping[str, str | int] = {
        "durabletask.type": "orchestration",
        "durabletask.task.name": "nightly",
        "durabletask.task.instance_id": "n-1",
        "durabletask.task.status": status,
    }
    return span(
        "orchestration:nightly",
        SpanKind.SERVER,
        **{
            "context": ORCHESTRATION,
            "parent": CALLER,
            "start": NOW - took,
            "attributes": attributes,
            **more,
        },
    )
