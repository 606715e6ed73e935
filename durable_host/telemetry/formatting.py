"""Log lines for people: the message, then its fields as ``key=value``."""

from __future__ import annotations

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """Appends the ``extra`` fields of a record to its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the formatted line with its fields."""
        fields = " ".join(f"{key}={_shown(value)}" for key, value in vars(record).items() if key not in _STANDARD)
        line = super().formatMessage(record)
        return f"{line}  {fields}" if fields else line


def _shown(value: object) -> str:
    """Return a value on one line, quoted where it would not be read as one word."""
    text = str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)
