"""Statuses in the form of Durable Functions' HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from durable_host.client import OrchestrationStatus
from durable_host.core.status import RuntimeStatus


def status_payload(status: OrchestrationStatus) -> dict[str, Any]:
    """Return what is known of an instance; Azure's fields always, others only where they say something."""
    extras = {
        "version": status.version,
        "tags": dict(status.tags),
        "parentInstanceId": status.parent_instance_id,
        "scheduledStartTime": _seconds(status.scheduled_at) if status.scheduled_at else None,
        "stallReason": status.stall_reason,
    }
    return {
        "name": status.name,
        "instanceId": status.instance_id,
        "runtimeStatus": status.runtime_status.value,
        "input": status.input,
        "customStatus": status.custom_status,
        "output": _output(status),
        "createdTime": _seconds(status.created_at),
        "lastUpdatedTime": _seconds(status.last_updated_at),
        **{name: value for name, value in extras.items() if value},
    }


def _output(status: OrchestrationStatus) -> Any:
    if status.runtime_status is RuntimeStatus.FAILED and status.failure is not None:
        return f"Orchestrator function '{status.name}' failed: {status.failure}"
    return status.output


def _seconds(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
