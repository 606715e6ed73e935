"""Takes records of Python's logging to the exporters."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any

from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber
from opentelemetry.context import get_current

from durable_host.conf import host_settings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: lines for people, which say again what the tracking records say
_FOR_PEOPLE = "durable_host.acts"
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL, "FATAL"),
    (logging.ERROR, SeverityNumber.ERROR, "ERROR"),
    (logging.WARNING, SeverityNumber.WARN, "WARN"),
    (logging.INFO, SeverityNumber.INFO, "INFO"),
    (logging.NOTSET, SeverityNumber.DEBUG, "DEBUG"),
)


def severity(level: int) -> tuple[SeverityNumber, str]:
    """Return OpenTelemetry's name for a level of logging."""
    return next((number, text) for least, number, text in _SEVERITIES if level >= least)


class ExportHandler(logging.Handler):
    """Exports the records of the host and of the orchestrations, and of nobody else.

    Above all not the exporters' own: a warning that something cannot be sent would be sent.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider
        self._loggers = [logging.getLogger(name) for name in _heard()]

    def attach(self) -> None:
        """Listen."""
        for one in self._loggers:
            one.addHandler(self)

    def detach(self) -> None:
        """Stop listening."""
        for one in self._loggers:
            one.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Export one record."""
        if record.name == _FOR_PEOPLE:
            return
        try:
            self._provider.get_logger(record.name).emit(_translated(record))
        except Exception:  # as every handler of logging does: a line that cannot be written must not break its writer
            self.handleError(record)


def _heard() -> list[str]:
    """Return the loggers whose records are exported: none is an ancestor of another one that propagates to it."""
    names = sorted({"durable_host", "orchestrations", *host_settings().modules})
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def _translated(record: logging.LogRecord) -> LogRecord:
    number, text = severity(record.levelno)
    attributes = {name: _value(value) for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info and record.exc_info[0] is not None:
        kind, error, _ = record.exc_info
        attributes["exception.type"] = kind.__name__
        attributes["exception.message"] = str(error)
        attributes["exception.stacktrace"] = "".join(traceback.format_exception(*record.exc_info))
    return LogRecord(
        timestamp=int(record.created * 10**6) * 1000,
        context=get_current(),
        severity_number=number,
        severity_text=text,
        body=record.getMessage(),
        attributes=attributes,
    )


def _value(value: Any) -> Any:
    """Return a field as a destination shows it best: structures as JSON, where Azure would write Python."""
    if isinstance(value, str | int | float):
        return value
    return json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value)
