"""The whole list as a file, a part at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from . import selection
from .listing import InstanceRow, rows_of
from .shapes import InstanceFilter

_EXPORT_PART = 500


def export_rows(hub: str, filter_: InstanceFilter, *, has_payloads: bool = True) -> Iterator[InstanceRow]:
    """Yield everything that fits a filter, newest first; however much it is, a part at a time is in memory.

    Args:
        hub: task hub.
        filter_: which are meant.
        has_payloads: whether the reader may see custom statuses; otherwise they are empty.
    """
    for keys in selection.all_newest(hub, filter_, part=_EXPORT_PART):
        for row in rows_of(keys):
            yield row if has_payloads else replace(row, custom_status="")


def export_ndjson(hub: str, filter_: InstanceFilter, *, has_payloads: bool = True) -> Iterator[str]:
    """Yield :func:`export_rows` as JSON, one object a line."""
    for row in export_rows(hub, filter_, has_payloads=has_payloads):
        yield to_json(_exported(row)).decode() + "\n"


def export_csv(hub: str, filter_: InstanceFilter, *, has_payloads: bool = True) -> Iterator[str]:
    """Yield :func:`export_rows` as CSV with a line of headings. No cell is taken for a formula by a spreadsheet."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(_EXPORTED)
    for row in export_rows(hub, filter_, has_payloads=has_payloads):
        writer.writerow([cell(value) for value in _exported(row).values()])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()


_EXPORTED = (
    "instanceId",
    "name",
    "version",
    "runtimeStatus",
    "createdTime",
    "lastUpdatedTime",
    "completedTime",
    "scheduledTime",
    "tags",
    "customStatus",
    "errorType",
    "errorMessage",
    "parentInstanceId",
    "execution",
    "stallReason",
    "waitingFor",
    "openActivities",
    "openRetries",
    "outputBytes",
)


def _exported(row: InstanceRow) -> dict[str, Any]:
    values = (
        row.instance_id,
        row.name,
        row.version,
        row.status.value,
        row.created_at,
        row.updated_at,
        row.completed_at,
        row.scheduled_at,
        dict(row.tags),
        row.custom_status,
        row.error_type,
        row.error_message,
        row.parent_instance_id,
        row.generation,
        row.stall_reason,
        list(row.waiting_for),
        row.activities_open,
        row.retries_open,
        row.output_size,
    )
    return dict(zip(_EXPORTED, values, strict=True))


def cell(value: Any) -> str:
    """Return a value as a cell of CSV that no spreadsheet takes for a formula."""
    if isinstance(value, datetime):
        return value.isoformat()
    text = to_json(value).decode() if isinstance(value, dict | list) else str("" if value is None else value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
