"""The store's clock."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """Return the time, UTC."""
    return timezone.now()
