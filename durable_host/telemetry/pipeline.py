"""The one pipeline of a process: whether it is on, its start, its flush, its end.

Nothing here imports an SDK before :func:`start` finds that the environment names a destination.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import TYPE_CHECKING, Literal

from .environment import destinations

if TYPE_CHECKING:
    from .providers import Providers

logger = logging.getLogger(__name__)

Role = Literal["web", "worker", "client"]

#: seconds that an ending process gives its telemetry
STOP_SECONDS = 3.0
#: seconds that one flush may take
FLUSH_SECONDS = 5.0


class _Process:
    """What this process has. A forked child goes on with what its parent had: the SDK starts its threads anew."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.providers: Providers | None = None
        #: a start that failed is not tried again by every caller
        self.is_started = False

    def after_fork(self) -> None:
        """Take a new lock: the old one may be held by a thread that the child does not have."""
        self.lock = threading.RLock()


_process = _Process()
os.register_at_fork(after_in_child=_process.after_fork)


def is_on() -> bool:
    """Return whether this process exports anything."""
    return bool(destinations()) and (_process.providers is not None or not _process.is_started)


def start(role: Role) -> None:
    """Build the pipeline of this process, once; do nothing where the environment names no destination.

    What is wrong in the environment is logged as one error, and the host works on without it: telemetry never keeps
    orchestrations from running. ``manage.py check`` shows the same.

    Args:
        role: ``web`` traces incoming requests, too; it must start before the WSGI application is made.
    """
    with _process.lock:
        if _process.is_started:
            return
        _process.is_started = True
        chosen = destinations()
        if chosen.problems:
            logger.error("Telemetry is not set up as asked: %s", " ".join(chosen.problems))
        if not chosen:
            return
        # Here and not above: SDK and exporters take a second to import, which only a host that exports shall pay.
        from .providers import build

        _process.providers = build(chosen, role)
        atexit.register(stop)


def current() -> Providers | None:
    """Return the pipeline, started as a mere client's if nobody has; None where telemetry is off."""
    if _process.providers is None and destinations() and not _process.is_started:
        start("client")
    return _process.providers


def flush(seconds: float = FLUSH_SECONDS) -> bool:
    """Send what waits to be sent.

    A process that ends by ``os._exit``, as RQ's forked ones do, must call it: its queues end with it.

    Args:
        seconds: longest time that it takes, whatever the endpoints do.

    Returns:
        Whether everything was handed over in time.
    """
    providers = _process.providers
    return providers.flush(seconds) if providers else True


def stop(seconds: float = STOP_SECONDS) -> None:
    """Send what waits and end the pipeline; give up after so many seconds. Nothing is told after that.

    Python does it at its end by itself, but for processes that it does not end: children of multiprocessing, as those
    of a worker pool, and whoever leaves by ``os._exit``.
    """
    with _process.lock:
        providers, _process.providers = _process.providers, None
        atexit.unregister(stop)
    if providers:
        providers.stop(seconds)
