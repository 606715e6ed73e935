"""Traces of what surrounds orchestrations: requests that come in, and calls that activities make."""

from __future__ import annotations

import logging
import os
from importlib.metadata import EntryPoint, entry_points

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

logger = logging.getLogger(__name__)

#: paths that machines ask for all day, and files
UNTRACED_PATHS = "/static/,/metrics$,/healthz$,/readyz$,/favicon.ico$"
_INCOMING = "django"
_OUTGOING = ("httpx", "requests", "urllib", "urllib3")


def instrument(role: str, tracers: TracerProvider, meters: MeterProvider) -> None:
    """Instrument what is installed, but for what OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names.

    Args:
        role: ``web`` instruments Django, too, whose application must not have been made yet.
        tracers: where spans go.
        meters: where the instrumentations' own metrics go.
    """
    disabled = {name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    os.environ.setdefault("OTEL_PYTHON_DJANGO_EXCLUDED_URLS", UNTRACED_PATHS)
    wanted = {*_OUTGOING, *([_INCOMING] if role == "web" else [])} - disabled
    for found in entry_points(group="opentelemetry_instrumentor"):
        if found.name in wanted and not disabled & {"*", "all"}:
            _instrument(found, tracers, meters)


def _instrument(found: EntryPoint, tracers: TracerProvider, meters: MeterProvider) -> None:
    try:
        instrumentor = found.load()()
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(tracer_provider=tracers, meter_provider=meters)
    except Exception as error:  # others' code, and a wrong version of a library is no reason to stand still
        logger.warning("Calls of %s are not traced: %s: %s", found.name, type(error).__name__, error)
