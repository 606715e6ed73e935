"""When a failed task is tried again. Judged by recorded time only, so that replay always decides the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from .errors import TaskFailedError

#: longer waits would leave the calendar
_LONGEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a failed activity or sub-orchestration is tried again (Durable Functions, RetryOptions).

    Raises:
        ValueError: an interval is not positive, or there is not at least one attempt.
    """

    #: wait before the second attempt
    first_retry_interval: timedelta = timedelta(seconds=5)
    #: attempts in all, the first one included
    max_number_of_attempts: int = 3
    #: each further wait is the one before times this
    backoff_coefficient: float = 1.0
    #: longest wait; None for no limit
    max_retry_interval: timedelta | None = None
    #: no attempt begins later than this after the first one began; None for no limit
    retry_timeout: timedelta | None = None
    #: called with the failure; False ends the attempts. It must be deterministic, like all orchestrator code
    handle: Callable[[TaskFailedError], bool] | None = None

    def __post_init__(self) -> None:
        if self.first_retry_interval <= timedelta(0):
            raise ValueError(f"first_retry_interval must be positive, it is {self.first_retry_interval}.")
        for name, limit in (("max_retry_interval", self.max_retry_interval), ("retry_timeout", self.retry_timeout)):
            if limit is not None and limit <= timedelta(0):
                raise ValueError(f"{name} must be positive or None, it is {limit}.")
        if self.max_number_of_attempts < 1:
            raise ValueError(f"max_number_of_attempts must be at least 1, it is {self.max_number_of_attempts}.")
        if not self.backoff_coefficient >= 1:  # so that NaN is refused, too
            raise ValueError(f"backoff_coefficient must be at least 1, it is {self.backoff_coefficient}.")

    def next_delay(
        self, attempt: int, error: TaskFailedError, *, now: datetime, first_attempt_at: datetime
    ) -> timedelta | None:
        """Return how long to wait before the next attempt, or None to give up.

        Args:
            attempt: number of the attempt that has just failed, from 1.
            error: its failure.
            now: recorded time of the failure.
            first_attempt_at: recorded time at which the first attempt was scheduled.
        """
        if attempt >= self.max_number_of_attempts or error.details.is_non_retriable:
            return None
        if self.handle is not None and not self.handle(error):
            return None
        delay = self._delay_after(attempt)
        if self.retry_timeout is not None and now - first_attempt_at + delay > self.retry_timeout:
            return None
        return delay

    def _delay_after(self, attempt: int) -> timedelta:
        longest = min(self.max_retry_interval or _LONGEST, _LONGEST)
        try:
            return min(self.first_retry_interval * self.backoff_coefficient ** (attempt - 1), longest)
        except OverflowError:
            return longest


def RetryOptions(first_retry_interval_in_milliseconds: int, max_number_of_attempts: int) -> RetryPolicy:
    """Return a :class:`RetryPolicy` from the arguments of ``azure.durable_functions.RetryOptions``."""
    return RetryPolicy(
        first_retry_interval=timedelta(milliseconds=first_retry_interval_in_milliseconds),
        max_number_of_attempts=max_number_of_attempts,
    )
