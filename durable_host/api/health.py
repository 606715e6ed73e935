"""``/healthz`` and ``/readyz``: whether this process lives, and whether it can serve.

Anybody may ask, so the answers hold one word for each part and nothing else. docs/operations.md tells how to
use them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse

from durable_host.dispatch import redis_state
from durable_host.store import outage

logger = logging.getLogger(__name__)

_REMEMBERED_SECONDS = 1.0
_OK = "ok"


class HealthMiddleware:
    """Answers both addresses. Put it first.

    Probes ask by the machine's address, over plain HTTP and without a cookie: what comes later would refuse them for
    their host name, send them to HTTPS, or begin a session.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._readiness = Readiness()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a probe; hand on every other request."""
        if request.path_info == "/healthz":
            return _answer({"status": "alive"}, 200)
        if request.path_info == "/readyz":
            report = self._readiness.read()
            return _answer(report, 503 if report["status"] == "unavailable" else 200)
        return self._get_response(request)


class Readiness:
    """Whether this process can serve, looked at no more than once a second, however many ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._report: dict[str, str] = {}
        self._until = 0.0
        #: a schema that was complete stays so, and to find out costs more than all the rest
        self._is_migrated = False

    def read(self) -> dict[str, str]:
        """Return ``status`` (ready, degraded or unavailable) and a word for each part."""
        with self._lock:
            if time.monotonic() >= self._until:
                database, redis = self._database(), _OK if redis_state.is_there() else "away"
                self._report = {"status": _status(database, redis), "database": database, "redis": redis}
                self._until = time.monotonic() + _REMEMBERED_SECONDS
            return self._report

    def _database(self) -> str:
        try:
            outage.ping()
            self._is_migrated = self._is_migrated or not outage.missing_migrations()
        except outage.OUTAGE as error:
            logger.warning("Not ready: the database does not serve.", extra={"reason": str(error)})
            return "away"
        return _OK if self._is_migrated else "not migrated"


def _status(database: str, redis: str) -> str:
    """Without Redis everything works, by the sweep instead of the bell: later, but not less."""
    if database != _OK:
        return "unavailable"
    return "ready" if redis == _OK else "degraded"


def _answer(report: dict[str, str], status: int) -> HttpResponse:
    return JsonResponse(report, status=status, headers={"Cache-Control": "no-store"})
