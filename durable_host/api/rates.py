"""How often one caller may ask."""

from __future__ import annotations

import logging
import math
import time
from functools import lru_cache

from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from durable_host.conf import host_settings
from durable_host.core.access import Operation

from .errors import TooManyError

logger = logging.getLogger(__name__)


def check_rate(operation: Operation, caller: str) -> None:
    """Count a start or an event of a caller.

    Raises:
        TooManyError: there were too many; it says when to try again.
    """
    settings = host_settings()
    rates = {Operation.START: settings.start_rate, Operation.RAISE_EVENT: settings.event_rate}
    rate = rates.get(operation, "")
    seconds = _count(rate, operation.value, caller)
    if seconds:
        raise TooManyError(f"More than {rate}.", seconds)


def check_denials(address: str) -> None:
    """Count a denied attempt from an address; raises as :func:`check_rate`."""
    seconds = _count(host_settings().denied_rate, "denied", address)
    if seconds:
        raise TooManyError("Too many denied attempts.", seconds)


def forget_rates() -> None:
    """Begin to count anew, in this process."""
    _limiter.cache_clear()
    _spare.cache_clear()


def _count(rate: str, *names: str) -> int:
    """Count one, and return how many seconds to wait: none while the rate is kept."""
    if not rate:
        return 0
    item = _item(rate)
    try:
        return _hit(_limiter(host_settings().rate_storage), item, names)
    except StorageError as error:
        # No reason to turn anybody away: each process counts for itself until it is back.
        logger.warning("The storage of rates is away.", extra={"reason": str(error)})
        return _hit(_spare(), item, names)


def _hit(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, names: tuple[str, ...]) -> int:
    if limiter.hit(item, *names):
        return 0
    return max(1, math.ceil(limiter.get_window_stats(item, *names).reset_time - time.time()))


@lru_cache
def _item(rate: str) -> RateLimitItem:
    return parse(rate)


@lru_cache
def _limiter(storage: str) -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(storage_from_string(storage, wrap_exceptions=True))


@lru_cache
def _spare() -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(MemoryStorage())
