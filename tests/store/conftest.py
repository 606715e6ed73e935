"""Fixtures: functions of a test's own, a host that runs them until nothing is left to do, and no Redis."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from durable_host.store import clock
from tests.bells import Bells, hear_bells
from tests.store.workbench import Workbench


@pytest.fixture(autouse=True)
def bells(monkeypatch: pytest.MonkeyPatch) -> Bells:
    """Every bell that is rung, in place of the Redis that would carry it."""
    return hear_bells(monkeypatch)


@pytest.fixture
def bench() -> Workbench:
    """A registry, a client and hosts."""
    return Workbench()


class MovingClock:
    """A clock that goes on by itself and can be moved ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """The time that the store and the host see."""
        return timezone.now() + self.ahead

    def advance(self, **how_far: float) -> None:
        """Move it ahead, by the arguments of timedelta."""
        self.ahead += timedelta(**how_far)


@pytest.fixture
def moving_clock(monkeypatch: pytest.MonkeyPatch) -> MovingClock:
    """A clock of the store that a test can move ahead, so that nobody waits for timers and leases."""
    moving = MovingClock()
    monkeypatch.setattr(clock, "now", moving.now)
    return moving
