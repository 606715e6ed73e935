"""What ``--json`` prints. The keys are Durable Functions' own where it has one; docs/cli.md lists them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from pydantic_core import from_json

from durable_host.core.digest import Entry
from durable_host.core.events import CarriedEvent, HistoryEvent, RetryNote
from durable_host.core.failure import FailureDetails
from durable_host.store.shapes import OrchestrationStatus

#: fields of events and entries that hold JSON text
PAYLOADS = frozenset({"input", "result"})


def stamp(when: datetime | None) -> str | None:
    """Return a time in ISO form, UTC."""
    return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def status_json(status: OrchestrationStatus, *, with_input: bool) -> dict[str, Any]:
    """Return what is known of an instance."""
    data = {
        "instanceId": status.instance_id,
        "name": status.name,
        "version": status.version,
        "runtimeStatus": status.runtime_status.value,
        "createdTime": stamp(status.created_at),
        "lastUpdatedTime": stamp(status.last_updated_at),
        "completedTime": stamp(status.completed_at),
        "scheduledTime": stamp(status.scheduled_at),
        "input": status.input,
        "output": status.output,
        "customStatus": status.custom_status,
        "failure": status.failure.to_json() if status.failure else None,
        "tags": dict(status.tags),
        "parentInstanceId": status.parent_instance_id,
        "execution": status.generation,
        "stallReason": status.stall_reason or None,
    }
    if not with_input:
        del data["input"]
    return data


def entry_json(entry: Entry, *, payloads: bool) -> dict[str, Any]:
    """Return one entry of a compact history."""
    took = entry.duration
    data: dict[str, Any] = {
        "eventId": entry.event_id if entry.event_id >= 0 else None,
        "kind": entry.kind.value,
        "name": entry.name or None,
        "outcome": entry.outcome.value,
        "startedTime": stamp(entry.started_at),
        "completedTime": stamp(entry.ended_at),
        "durationSeconds": None if took is None else took.total_seconds(),
        "instanceId": entry.instance_id,
        "fireAt": stamp(entry.fire_at),
        "reason": entry.reason,
        "failure": entry.failure.to_json() if entry.failure else None,
    }
    if payloads:
        data |= {"input": parsed(entry.input), "result": parsed(entry.result)}
    return data


def event_json(event: HistoryEvent, *, payloads: bool) -> dict[str, Any]:
    """Return one history event with all of its fields."""
    data: dict[str, Any] = {"eventType": event.event_type}
    for field in fields(event):
        if field.name in PAYLOADS:
            if payloads:
                data[field.name] = parsed(getattr(event, field.name))
        else:
            data[_camel(field.name)] = _plain(getattr(event, field.name), payloads)
    return data


def parsed(text: str | None) -> Any:
    """Return the value of a JSON text."""
    return None if text is None else from_json(text)


def _plain(value: Any, payloads: bool) -> Any:
    plain = next((form for kind, form in _FORMS if isinstance(value, kind)), None)
    return value if plain is None else plain(value, payloads)


def _carried(event: CarriedEvent, payloads: bool) -> dict[str, Any]:
    kept: dict[str, Any] = {"name": event.name, "timestamp": stamp(event.timestamp)}
    return kept | ({"input": parsed(event.input)} if payloads else {})


#: how what is no JSON of itself is shown
_FORMS: tuple[tuple[type[Any], Callable[[Any, bool], Any]], ...] = (
    (datetime, lambda value, _: stamp(value)),
    (timedelta, lambda value, _: value.total_seconds()),
    (FailureDetails, lambda value, _: value.to_json()),
    (Enum, lambda value, _: value.value),
    (tuple, lambda value, payloads: [_plain(one, payloads) for one in value]),
    (CarriedEvent, _carried),
    (RetryNote, lambda value, _: {_camel(field.name): getattr(value, field.name) for field in fields(value)}),
    (Mapping, lambda value, _: dict(value)),
)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
