"""Application Insights' ingestion: what it takes, what it refuses, and the rows that it makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.telemetry.inbox import Inbox

Row = dict[str, Any]

INSTRUMENTATION_KEY = "00000000-1111-2222-3333-444444444444"
TABLES = {
    "RequestData": "requests",
    "RemoteDependencyData": "dependencies",
    "MessageData": "traces",
    "ExceptionData": "exceptions",
    "EventData": "customEvents",
    "MetricData": "customMetrics",
}
#: fields that the service insists on
_REQUIRED = {
    "RequestData": ("id", "duration", "responseCode", "success"),
    "RemoteDependencyData": ("name", "duration"),
    "MessageData": ("message",),
    "ExceptionData": ("exceptions",),
    "EventData": ("name",),
    "MetricData": ("metrics",),
}
_DURATION = re.compile(r"(?:(\d+)\.)?(\d\d):(\d\d):(\d\d)(?:\.(\d+))?")
_NO_PARENT = "0" * 16


class AppInsights(Inbox):
    """Application Insights' ingestion endpoint. What it accepts becomes rows of tables, named as in the portal."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.tables: dict[str, list[Row]] = {name: [] for name in TABLES.values()}
        self.refused: list[tuple[int, str]] = []
        self.requests = 0
        #: answers to give before the true one: (status, headers)
        self.scripted: list[tuple[int, dict[str, str]]] = []
        self.body_seen = b""

    @property
    def env(self) -> dict[str, str]:
        """The environment that sends to it."""
        text = f"InstrumentationKey={INSTRUMENTATION_KEY};IngestionEndpoint={self.address}"
        return {"APPLICATIONINSIGHTS_CONNECTION_STRING": text}

    def clear(self) -> None:
        """Forget everything."""
        with self.changed:
            for rows in self.tables.values():
                rows.clear()
            self.refused.clear()
            self.scripted.clear()
            self.body_seen = b""

    def rows(self, table: str, **where: Any) -> list[Row]:
        """Return the rows of a table, oldest first, that have these values."""
        with self.changed:
            found = [row for row in self.tables[table] if all(row.get(key) == value for key, value in where.items())]
        return sorted(found, key=lambda row: row["timestamp"])

    def wait_for_rows(self, table: str, count: int = 1, **where: Any) -> list[Row]:
        """Return the rows once there are so many."""
        self.wait_for(lambda: len(self.rows(table, **where)) >= count, f"{count} of {table} {where}")
        return self.rows(table, **where)

    def take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Accept or refuse each envelope; return the answer."""
        try:
            envelopes = json.loads(body)
        except ValueError:
            envelopes = [json.loads(line) for line in body.splitlines()]
        errors = []
        with self.changed:
            self.body_seen += body
            for index, envelope in enumerate(envelopes):
                if trouble := _trouble(envelope):
                    errors.append({"index": index, "statusCode": 400, "message": trouble})
                    self.refused.append((400, trouble))
                else:
                    table, rows = rows_of(envelope)
                    self.tables[table].extend(rows)
            self.changed.notify_all()
        accepted = len(envelopes) - len(errors)
        status = 200 if not errors else 206 if accepted else 400
        return status, {"itemsReceived": len(envelopes), "itemsAccepted": accepted, "errors": errors}


def _trouble(envelope: Mapping[str, Any]) -> str:
    """Return why the service refuses an envelope."""
    for name in ("name", "time", "iKey", "data"):
        if not envelope.get(name):
            return f"101: Field '{name}' on type 'Envelope' is required but missing or empty"
    if envelope["iKey"] != INSTRUMENTATION_KEY:
        return "Invalid instrumentation key"
    now, when = datetime.now(UTC), _time(envelope["time"])
    if when < now - timedelta(hours=48):
        return "103: Field 'time' on type 'Envelope' is older than the allowed min date. Expected: now - 172800000ms"
    if when > now + timedelta(hours=2):
        return "104: Field 'time' on type 'Envelope' is later than the allowed max date."
    return _data_trouble(envelope["data"].get("baseType"), envelope["data"].get("baseData") or {})


def _data_trouble(kind: str, data: Mapping[str, Any]) -> str:
    if kind not in TABLES:
        return f"Unknown type {kind}"
    for name in _REQUIRED[kind]:
        if data.get(name) in (None, "", []):
            return f"101: Field '{name}' on type '{kind}' is required but missing or empty"
    wrong = [key for key, value in (data.get("properties") or {}).items() if not isinstance(value, str)]
    return f"Property {wrong[0]} is no string" if wrong else ""


def rows_of(envelope: Mapping[str, Any]) -> tuple[str, list[Row]]:
    """Return the table that an envelope goes to, and the rows that it makes there."""
    tags, data = envelope.get("tags") or {}, envelope["data"]["baseData"]
    table = TABLES[envelope["data"]["baseType"]]
    row: Row = {
        "timestamp": _time(envelope["time"]),
        "itemType": table.removesuffix("s").replace("dependencie", "dependency"),
        "operation_Id": tags.get("ai.operation.id", ""),
        "operation_ParentId": tags.get("ai.operation.parentId", "").replace(_NO_PARENT, ""),
        "operation_Name": tags.get("ai.operation.name", ""),
        "cloud_RoleName": tags.get("ai.cloud.role", ""),
        "cloud_RoleInstance": tags.get("ai.cloud.roleInstance", ""),
        "application_Version": tags.get("ai.application.ver", ""),
        "customDimensions": dict(data.get("properties") or {}),
        "customMeasurements": dict(data.get("measurements") or {}),
    }
    return table, [row | columns for columns in _COLUMNS[table](data)]


def _call_columns(data: Mapping[str, Any]) -> list[Row]:
    shared = {key: data.get(key, "") for key in ("id", "name", "type", "target", "data", "url", "source")}
    code = data.get("responseCode", data.get("resultCode", ""))
    return [{**shared, "resultCode": code, "success": data.get("success", True), "duration": _ms(data["duration"])}]


def _exception_columns(data: Mapping[str, Any]) -> list[Row]:
    outer = data["exceptions"][0]
    columns = {"type": outer.get("typeName", ""), "outerMessage": outer.get("message", "")}
    return [{**columns, "details": outer.get("stack", ""), "severityLevel": data.get("severityLevel")}]


def _metric_columns(data: Mapping[str, Any]) -> list[Row]:
    return [
        {
            "name": point["name"],
            "value": point["value"],
            "valueSum": point["value"],
            "valueCount": point.get("count") or 1,
            "valueMin": point.get("min"),
            "valueMax": point.get("max"),
        }
        for point in data["metrics"]
    ]


_COLUMNS: dict[str, Any] = {
    "requests": _call_columns,
    "dependencies": _call_columns,
    "traces": lambda data: [{"message": data["message"], "severityLevel": data.get("severityLevel")}],
    "exceptions": _exception_columns,
    "customEvents": lambda data: [{"name": data["name"]}],
    "customMetrics": _metric_columns,
}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text.replace("Z", "+00:00")))


def _ms(text: str) -> float:
    """Read a .NET time span as milliseconds."""
    found = _DURATION.fullmatch(text)
    assert found, text
    days, hours, minutes, seconds, fraction = found.groups()
    whole = ((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)
    return whole * 1000 + float(f"0.{fraction or 0}") * 1000
