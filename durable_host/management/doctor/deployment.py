"""The settings: what Django's own checks and ours say of them."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import ERROR, run_checks

from .findings import Finding, Level, good


def examine() -> Iterator[Finding]:
    """Run the system checks; those for deployment too, unless this is a host of one's own machine."""
    is_local = bool(getattr(settings, "DURABLE_EMBEDDED", False) or settings.DEBUG)
    found = run_checks(include_deployment_checks=not is_local)
    for message in found:
        level = Level.BAD if message.level >= ERROR else Level.WARN
        yield Finding(level, f"{message.msg} ({message.id})", "", message.hint or "")
    if not found:
        which = "settings" if is_local else "settings, and the hints for deployment (manage.py check --deploy),"
        yield good(f"Django's checks of the {which} find nothing.")
