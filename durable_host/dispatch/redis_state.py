"""How the Redis stands that carries the bells."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from redis.exceptions import RedisError

from durable_host.conf import host_settings

from . import doorbell

logger = logging.getLogger(__name__)

#: the one ``maxmemory-policy`` under which nothing is thrown away
NO_EVICTION = "noeviction"
_REMEMBERED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a Redis says of itself."""

    version: str
    #: its ``maxmemory-policy``: what it throws away when its memory is full
    eviction: str


def facts() -> RedisFacts | str:
    """Ask Redis what it is; where it does not answer, or not to us, return why."""
    try:
        info = doorbell.connection_of(host_settings().turn_queue).info()
    except (RedisError, KeyError) as error:
        return str(error)
    return RedisFacts(str(info["redis_version"]), str(info["maxmemory_policy"]))


def warn_of_eviction() -> None:
    """Say in the log what a Redis that evicts keys would do; call it where a worker starts."""
    found = facts()
    if isinstance(found, RedisFacts) and found.eviction != NO_EVICTION:
        logger.warning(
            "Redis may throw away bells, and what they announced waits for a sweep: set maxmemory-policy noeviction.",
            extra={"maxmemory_policy": found.eviction},
        )


class _Known:
    lock = threading.Lock()
    #: on the monotonic clock
    until = 0.0
    is_there = False


def is_there() -> bool:
    """Tell whether Redis answers; asked at most once a second, whoever wants to know."""
    with _Known.lock:
        if time.monotonic() >= _Known.until:
            _Known.is_there = _answers()
            _Known.until = time.monotonic() + _REMEMBERED_SECONDS
        return _Known.is_there


def _answers() -> bool:
    try:
        return bool(doorbell.connection_of(host_settings().turn_queue).ping())
    except (RedisError, KeyError):
        return False
