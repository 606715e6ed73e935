"""Tracking records as log records, with the texts and fields of Durable Functions' EndToEndTraceHelper."""

from __future__ import annotations

import itertools
import logging
import os
import uuid
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import NamedTuple

from durable_host.conf import HostSettings, host_settings
from durable_host.core.status import RuntimeStatus
from durable_host.core.timestamps import round_trip
from durable_host.core.tracking import FunctionType, TrackingRecord, TrackingState

from .environment import told_process

#: the scope under which they are exported
TRACKING_SCOPE = "durable_host.tracking"

CATEGORY = "Host.Triggers.DurableTask"
_WHO = "{instanceId}: Function '{functionName} ({functionType})'"
_HOST = (
    " HubName: {hubName}. AppName: {appName}. SlotName: {slotName}. ExtensionVersion: {extensionVersion}."
    " SequenceNumber: {sequenceNumber}."
)
_STATE = " State: {state}. RuntimeStatus: {runtimeStatus}." + _HOST
_TASK = " TaskEventId: {taskEventId}"
_RESUMED = "{instanceId}: Resuming function '{functionName} ({functionType})'. Reason: {reason}." + _STATE
_TEMPLATES = {
    TrackingState.SCHEDULED: _WHO + " scheduled. Reason: {reason}. IsReplay: {isReplay}." + _STATE,
    TrackingState.STARTED: _WHO + " started. IsReplay: {isReplay}. Input: {input}." + _STATE + _TASK,
    TrackingState.AWAITED: _WHO + " awaited. IsReplay: {isReplay}." + _STATE,
    TrackingState.LISTENING: _WHO + " is waiting for input. Reason: {reason}. IsReplay: {isReplay}." + _STATE,
    TrackingState.COMPLETED: (
        _WHO + " completed. ContinuedAsNew: {continuedAsNew}. IsReplay: {isReplay}. Output: {output}." + _STATE + _TASK
    ),
    TrackingState.FAILED: _WHO + " failed with an error. Reason: {reason}. IsReplay: {isReplay}." + _STATE + _TASK,
    TrackingState.TERMINATED: _WHO + " was terminated. Reason: {reason}." + _STATE,
    TrackingState.SUSPENDED: (
        "{instanceId}: Suspending function '{functionName} ({functionType})'. Reason: {reason}." + _STATE
    ),
    TrackingState.REWOUND: _WHO + " was rewound. Reason: {reason}." + _STATE,
    TrackingState.TIMER_EXPIRED: (
        _WHO + " was resumed by a timer scheduled for '{expirationTime}'. IsReplay: {isReplay}." + _STATE
    ),
    TrackingState.EXTERNAL_EVENT_RAISED: _WHO + " received a '{eventName}' event." + _STATE,
    TrackingState.EXTERNAL_EVENT_DROPPED: _WHO + " saved a '{eventName}' event to an in-memory queue." + _STATE,
}
_LEVELS = {
    TrackingState.FAILED: logging.ERROR,
    TrackingState.TERMINATED: logging.WARNING,
    TrackingState.REWOUND: logging.WARNING,
}
#: states whose reason somebody wrote, so that it may hold anything
_WRITTEN_REASONS = {TrackingState.TERMINATED, TrackingState.SUSPENDED, TrackingState.REWOUND}
#: Microsoft.Extensions.Logging's names of the levels
_LEVEL_NAMES = {logging.INFO: "Information", logging.WARNING: "Warning", logging.ERROR: "Error"}


class TrackingLog(NamedTuple):
    """A tracking record as exporters send it."""

    text: str
    level: int
    attributes: dict[str, str]


_host_instance_id = str(uuid.uuid4())
_sequence = itertools.count()


def _begin_process() -> None:
    """Give a forked child an identity of its own."""
    global _host_instance_id, _sequence
    _host_instance_id, _sequence = str(uuid.uuid4()), itertools.count()


os.register_at_fork(after_in_child=_begin_process)


def tracking_log_of(record: TrackingRecord) -> TrackingLog | None:
    """Return what is exported of a tracking record; None for a replayed one, unless the settings ask for those."""
    settings = host_settings()
    if record.is_replay and not settings.trace_replay_events:
        return None
    level = _LEVELS.get(record.state, logging.INFO)
    template = _template(record)
    fields = _fields(record, settings)
    attributes = {
        "Category": CATEGORY,
        "LogLevel": _LEVEL_NAMES[level],
        "HostInstanceId": _host_instance_id,
        "ProcessId": str(told_process()),
        "prop__{OriginalFormat}": template,
        **{f"prop__{name}": value for name, value in fields.items()},
    }
    return TrackingLog(template.format_map(fields), level, attributes)


def _template(record: TrackingRecord) -> str:
    is_resume = record.state is TrackingState.SCHEDULED and record.runtime_status is RuntimeStatus.RUNNING
    return _RESUMED if is_resume else _TEMPLATES[record.state]


def _fields(record: TrackingRecord, settings: HostSettings) -> dict[str, str]:
    """Return the fields of a record, all as text, as Application Insights has them."""
    fields = {
        "instanceId": record.instance_id,
        "functionName": record.function_name,
        "functionType": record.function_type.value,
        "reason": _reason(record, settings),
        "isReplay": str(record.is_replay),
        "state": record.state.value,
        "runtimeStatus": record.runtime_status.value if record.runtime_status else "",
        "hubName": settings.task_hub,
        **_names(),
        "sequenceNumber": str(next(_sequence)),
    }
    return fields | _fields_of_state(record, settings)


def _fields_of_state(record: TrackingRecord, settings: HostSettings) -> dict[str, str]:
    """Return the fields that only some states have."""
    found: dict[str, str] = {}
    if record.state in {TrackingState.STARTED, TrackingState.COMPLETED, TrackingState.FAILED}:
        found["taskEventId"] = str(record.task_event_id)
    if record.state is TrackingState.STARTED:
        found["input"] = _payload(record.input, settings)
    elif record.state is TrackingState.COMPLETED:
        found["continuedAsNew"] = str(record.continued_as_new)
        found["output"] = record.output if record.is_replay and record.output else _payload(record.output, settings)
    elif record.state is TrackingState.TIMER_EXPIRED and record.expiration_time:
        found["expirationTime"] = round_trip(record.expiration_time)
    elif record.event_name:
        found["eventName"] = record.event_name
    return found


def _payload(text: str | None, settings: HostSettings) -> str:
    """Return an input, an output or a reason, or only how long it is."""
    if text is None:
        return "(null)"
    return text if settings.trace_inputs_and_outputs else f"(Redacted {len(text)} characters)"


def _reason(record: TrackingRecord, settings: HostSettings) -> str:
    is_resume = record.state is TrackingState.SCHEDULED and record.runtime_status is RuntimeStatus.RUNNING
    if record.state in _WRITTEN_REASONS or is_resume:
        return _payload(record.reason, settings) if record.reason else ""
    failure = record.failure
    if record.state is not TrackingState.FAILED or settings.trace_inputs_and_outputs or failure is None:
        return record.reason
    # Durable Functions shows of an exception, too, what can hold no data: its type and its stack.
    stacks = [f"{one.error_type}\n{one.stack_trace or ''}".strip() for one in failure.chain()]
    return "\n".join([f"(Redacted {len(record.reason)} characters)", *stacks])


@cache
def _names() -> Mapping[str, str]:
    """Return what tells this host from others; App Service's variables, where it runs there."""
    try:
        version = metadata.version("durable-host")
    except metadata.PackageNotFoundError:
        version = "0"
    return {
        "appName": os.environ.get("WEBSITE_SITE_NAME") or os.environ.get("OTEL_SERVICE_NAME") or "durable-host",
        "slotName": os.environ.get("WEBSITE_SLOT_NAME", ""),
        "extensionVersion": version,
    }


def is_orchestration_start(record: TrackingRecord) -> bool:
    """Whether an execution of an orchestration begins here."""
    return (
        record.state is TrackingState.STARTED
        and record.function_type is FunctionType.ORCHESTRATOR
        and not record.is_replay
    )
