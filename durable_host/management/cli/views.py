"""Statuses, histories and the catalogue on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rich.console import RenderableType
from rich.text import Text

from durable_host.core.digest import Digest, Entry, EntryKind
from durable_host.core.events import HistoryEvent
from durable_host.core.status import RuntimeStatus
from durable_host.store.shapes import OrchestrationStatus

from .machine import event_json, parsed
from .screen import Cell, Column, Screen, one_line, shown
from .words import age, clock, distance, failure_text, length, outcome_text, status_text, zone

#: from this width on, a list has room for exact times and remarks
_WIDE = 110


def show_status(screen: Screen, status: OrchestrationStatus, *, with_input: bool = True) -> None:
    """Print all that is known of an instance."""
    if not screen.is_plain:
        screen.line(
            Text.assemble(
                status_text(screen, status.runtime_status),
                "  ",
                shown(status.name, "bold"),
                "  ",
                shown(status.instance_id),
            )
        )
    screen.fields(
        [*_identity(screen, status), *_times(status), *_relations(status), *_data(screen, status, with_input)]
    )


def _identity(screen: Screen, status: OrchestrationStatus) -> list[tuple[str, RenderableType]]:
    if not screen.is_plain:
        return []
    return [
        ("Instance", shown(status.instance_id)),
        ("Orchestrator", shown(status.name)),
        ("Status", Text(status.runtime_status.value)),
    ]


def _times(status: OrchestrationStatus) -> list[tuple[str, RenderableType]]:
    pairs: list[tuple[str, RenderableType]] = [("Created", _when(status.created_at, distance(status.created_at)))]
    if status.scheduled_at:
        pairs.append(("Scheduled", _when(status.scheduled_at, distance(status.scheduled_at))))
    if status.completed_at:
        begun = max(status.created_at, status.scheduled_at or status.created_at)
        pairs.append(("Finished", _when(status.completed_at, f"took {length(status.completed_at - begun)}")))
    else:
        pairs.append(("Updated", _when(status.last_updated_at, distance(status.last_updated_at))))
    return pairs


def _when(when: Any, remark: str) -> Text:
    return Text.assemble(f"{clock(when)} {zone()}", (f"  {remark}", "dim"))


def _relations(status: OrchestrationStatus) -> list[tuple[str, RenderableType]]:
    pairs: list[tuple[str, RenderableType]] = []
    if status.parent_instance_id:
        pairs.append(("Parent", shown(status.parent_instance_id)))
    if status.version:
        pairs.append(("Version", shown(status.version)))
    if status.tags:
        pairs.append(("Tags", shown("  ".join(f"{key}={value}" for key, value in sorted(status.tags.items())))))
    if status.generation:
        pairs.append(("Execution", Text(f"{status.generation}  (continue-as-new and rewind count up from 0)")))
    return pairs


def _data(screen: Screen, status: OrchestrationStatus, with_input: bool) -> list[tuple[str, RenderableType]]:
    pairs: list[tuple[str, RenderableType]] = []
    if status.stall_reason:
        pairs.append(("Stalled", shown(status.stall_reason, "yellow")))
    if with_input and status.input is not None:
        pairs.append(("Input", screen.value(status.input)))
    if status.custom_status is not None:
        pairs.append(("Custom status", screen.value(status.custom_status)))
    if status.failure:
        pairs.append(("Failure", failure_text(status.failure)))
        if status.failure.stack_trace:
            pairs.append(("Stack", shown(status.failure.stack_trace.rstrip(), "dim")))
    elif status.output is not None:
        terminated = status.runtime_status is RuntimeStatus.TERMINATED
        pairs.append(("Reason" if terminated else "Output", screen.value(status.output)))
    return pairs


# --- lists ------------------------------------------------------------------------------------------------------------


def show_list(screen: Screen, items: Sequence[OrchestrationStatus]) -> None:
    """Print one line for each instance."""
    exact = screen.is_plain or screen.width >= _WIDE
    narrow_ids = screen.width >= 80 and all(len(item.instance_id) <= 36 for item in items)
    columns = [
        Column("Instance", rigid=narrow_ids),
        Column("Orchestrator"),
        Column("Status", rigid=True),
        Column(f"Created ({zone()})" if exact else "Age", align_right=not exact, rigid=True),
        Column("Took", align_right=True, rigid=True),
        *([Column("Remark")] if exact else []),
    ]
    screen.table(columns, [_list_row(screen, item, exact) for item in items])


def _list_row(screen: Screen, item: OrchestrationStatus, exact: bool) -> list[Cell]:
    row: list[Cell] = [
        shown(item.instance_id),
        shown(item.name),
        status_text(screen, item.runtime_status),
        clock(item.created_at) if exact else age(timezone.now() - item.created_at),
        _took(item),
    ]
    if item.stall_reason and not exact:
        row[2] = Text.assemble(status_text(screen, item.runtime_status), ("\nstalled", "yellow"))
    return [*row, _remark(screen, item)] if exact else row


def _took(item: OrchestrationStatus) -> str:
    begun = max(item.created_at, item.scheduled_at or item.created_at)
    return length(item.completed_at - begun) if item.completed_at else ""


def _remark(screen: Screen, item: OrchestrationStatus) -> Text:
    """What a person would ask next of this instance."""
    if item.stall_reason:
        text = shown(f"stalled: {item.stall_reason}", "yellow")
    elif item.failure:
        text = shown(str(item.failure), "red")
    elif item.runtime_status is RuntimeStatus.PENDING and item.scheduled_at and item.scheduled_at > timezone.now():
        text = Text(f"starts {distance(item.scheduled_at)}", "dim")
    elif item.custom_status is not None and not item.is_finished:
        text = Text(screen.value_line(item.custom_status).plain, "dim")
    else:
        text = Text("")
    if not screen.is_plain:
        text = one_line(text)
        text.truncate(60, overflow="ellipsis")
    return text


# --- histories --------------------------------------------------------------------------------------------------------


def show_digest(screen: Screen, found: Digest, *, payloads: bool) -> None:
    """Print one row for each thing that happened."""
    entries = found.entries
    begin = entries[0].started_at if entries else None
    columns = [
        Column("#", align_right=True, rigid=True),
        Column("At", align_right=True, rigid=True),
        Column("What", rigid=True),
        Column("Name"),
        Column("Outcome", rigid=True),
        Column("Took", align_right=True, rigid=True),
    ]
    rows = [_entry_row(screen, entry, _offset(entry, begin)) for entry in entries]
    screen.table(columns, rows, [_details(screen, entry, payloads) for entry in entries])


def _offset(entry: Entry, begin: Any) -> str:
    """Return when it began, or for the end of the orchestration when it ended, since the start."""
    ends = entry.kind is EntryKind.ORCHESTRATION and entry.ended_at is not None
    at = entry.ended_at if ends and entry.ended_at else entry.started_at
    since = at - begin
    return f"+{length(since)}" if since > timedelta(0) else "0"


def _entry_row(screen: Screen, entry: Entry, offset: str) -> list[Cell]:
    name = f"until {clock(entry.fire_at)}" if entry.fire_at else entry.name
    return [
        Text(str(entry.event_id) if entry.event_id >= 0 else "", "dim"),
        offset,
        Text(entry.kind.value),
        shown(name, "bold" if entry.kind is EntryKind.ORCHESTRATION else ""),
        outcome_text(screen, entry.outcome),
        length(entry.duration),
    ]


def _details(screen: Screen, entry: Entry, payloads: bool) -> list[Text]:
    """What stands below an entry."""
    parts: list[Text] = []
    if entry.instance_id:
        parts.append(shown(f"{'to' if entry.kind is EntryKind.EVENT_SENT else 'instance'} {entry.instance_id}", "dim"))
    if entry.reason:
        parts.append(shown(f"reason: {entry.reason}", "dim"))
    if payloads:
        texts = (("input", entry.input), ("result", entry.result))
        parts += [
            Text.assemble((f"{label} ", "dim"), screen.value_line(parsed(text)))
            for label, text in texts
            if text is not None
        ]
    if entry.failure:
        parts.append(shown(str(entry.failure), "red"))
    return parts


def show_events(screen: Screen, events: Sequence[HistoryEvent], *, payloads: bool) -> None:
    """Print every event with all of its fields."""
    columns = [
        Column("Seq", align_right=True, rigid=True),
        Column(f"Timestamp ({zone()})", rigid=True),
        Column("Event", rigid=True),
        Column("Fields"),
    ]
    rows: list[list[Cell]] = []
    for number, event in enumerate(events):
        when = f"{clock(event.timestamp)}.{event.timestamp.microsecond // 1000:03d}"
        rows.append([Text(str(number), "dim"), when, event.event_type, _event_fields(event, payloads)])
    screen.table(columns, rows)


def _event_fields(event: HistoryEvent, payloads: bool) -> Text:
    data = event_json(event, payloads=payloads)
    hidden = {"eventType", "timestamp"} | ({"eventId"} if event.event_id < 0 else set())
    if data.get("failureDetails"):
        data["failureDetails"] = f"{data['failureDetails']['errorType']}: {data['failureDetails']['errorMessage']}"
    parts = [
        Text.assemble((f"{key}=", "dim"), shown(str(value)))
        for key, value in data.items()
        if key not in hidden and value not in (None, "", [], {})
    ]
    return Text("  ").join(parts)
