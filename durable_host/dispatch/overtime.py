"""RQ's time limit for a job, where a worker that is not ours answers a bell.

RQ raises its exception at whatever line the alarm meets. In the middle of a turn the orchestrator would seem to have
raised it, and would fail for good; in the middle of a commit the host would.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OutOfTimeError(KeyboardInterrupt):
    """A turn is given up in the middle. As with any interrupt, the core does not take it for the orchestrator's own."""


@contextmanager
def keeps_time(give_up: Callable[[], None]) -> Iterator[None]:
    """Have ``give_up`` called, in this thread, when RQ's alarm goes off, in place of RQ's exception.

    Args:
        give_up: may raise :class:`OutOfTimeError`.
    """
    if threading.current_thread() is not threading.main_thread():  # no alarm gets here
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda *_: give_up())
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
