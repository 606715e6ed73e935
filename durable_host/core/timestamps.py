"""Times as .NET writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def round_trip(when: datetime) -> str:
    """Return a time in .NET's round-trip format "o": UTC, with seven digits of its second."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}0Z"
