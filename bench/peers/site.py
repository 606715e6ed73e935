"""The project's own rows and Redis, for the peers that work on them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from durable_host.core.status import FINISHED, RuntimeStatus
from durable_host.embedded import EmbeddedRedis
from durable_host.models import Instance

from .common import LONGEST, directory

#: part of what has passed that may pass between two looks: fine enough for a figure, and looking costs next to nothing
_LOOK_AGAIN = 0.02


@contextmanager
def redis() -> Iterator[None]:
    """Run the Redis that ``REDIS_URL`` names."""
    server = EmbeddedRedis(directory() / "redis.sock", directory())
    server.start()
    try:
        yield
    finally:
        server.stop()


def wait_for_all() -> None:
    """Wait until every instance has completed; starting many is one transaction, so that none is still to come.

    Raises:
        TimeoutError: it took too long.
        AssertionError: some have not ended well.
    """
    begin = time.monotonic()
    # Said twice, so that the planner finds the index of those that have not completed.
    others = Instance.objects.filter(hub=os.environ["DURABLE_TASK_HUB"]).exclude(status=RuntimeStatus.COMPLETED)
    while others.exclude(status__in=FINISHED).exists():
        passed = time.monotonic() - begin
        if passed > LONGEST:
            raise TimeoutError(f"{others.count()} instances have not completed after {LONGEST:.0f} s.")
        time.sleep(max(0.001, passed * _LOOK_AGAIN))
    assert not others.exists(), f"{others.count()} instances have not completed."
