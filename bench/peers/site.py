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

_LOOK_EVERY = 0.01


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
    deadline = time.monotonic() + LONGEST
    # Said twice, so that the planner finds the index of those that have not completed.
    others = Instance.objects.filter(hub=os.environ["DURABLE_TASK_HUB"]).exclude(status=RuntimeStatus.COMPLETED)
    while others.exclude(status__in=FINISHED).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{others.count()} instances have not completed after {LONGEST:.0f} s.")
        time.sleep(_LOOK_EVERY)
    assert not others.exists(), f"{others.count()} instances have not completed."
