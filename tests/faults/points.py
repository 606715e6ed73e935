"""Fault points: the named places around every commit and hand-over, where a test has a process fail.

The product knows nothing of them: :func:`install` wraps its functions in the processes under test (see
:mod:`tests.faults.armed`). A test arms one point by a :class:`Fuse`, a file whose name says ``point.nth.action``; the
process that reaches the point for the nth time since (all processes count together) takes the file away and fails.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any

from django.db import connection

from durable_host.dispatch import committing, doorbell
from durable_host.dispatch.activities import ActivityPool
from durable_host.store import checkpoint, claims, operations, starting

from .environment import FUSE


class Point(StrEnum):
    """Where a process can fail; in the order in which work passes."""

    START_WRITTEN = "client: a start is written, not committed"
    START_COMMITTED = "client: a start is committed, nobody is told"
    EVENT_WRITTEN = "client: an event is written, not committed"
    EVENT_COMMITTED = "client: an event is committed, nobody is told"
    TURNS_CLAIMED = "worker: turns are claimed"
    TURNS_DECIDED = "worker: turns are decided, the checkpoint has not begun"
    CHECKPOINT_WRITTEN = "worker: the checkpoint is written, not committed"
    CHECKPOINT_COMMITTED = "worker: the checkpoint is committed, nothing begun"
    BEFORE_RING = "worker: about to ring"
    AFTER_RING = "worker: has rung"
    ACTIVITIES_CLAIMED = "worker: activities are claimed, none begun"
    BEFORE_EFFECT = "activity: before its effect"
    AFTER_EFFECT = "activity: after its effect"
    OUTCOME_KNOWN = "activity: has an outcome, the host does not know"
    OUTCOME_HANDED_OVER = "activity: the host has the outcome, nothing is committed"

    @property
    def is_of_client(self) -> bool:
        """Whether it lies in the process that asks, not in a worker."""
        return self.startswith("client")


class Action(StrEnum):
    """How the process fails."""

    KILL = "kill"
    STOP = "stop"
    #: its connection to the database server breaks
    DISCONNECT = "disconnect"


@dataclass(frozen=True)
class Fuse:
    """The file that arms one point.

    Every point has a file of its own: a process, or a thread of one that was stopped, may have seen the fuse of one
    point, and come to take it away only when that has burnt and the next point is armed.

    Args:
        path: how the names of its files begin; processes find them by the environment variable
            :data:`~.environment.FUSE`.
    """

    path: Path

    def arm(self, point: Point, nth: int, action: Action) -> Path:
        """Have the process fail that reaches the point for the nth time from now.

        Returns:
            A file that is there once it has failed, and holds the number of that process.
        """
        self._visits(point).unlink(missing_ok=True)
        self._burnt(point).unlink(missing_ok=True)
        self._armed(point, f"{nth}.{action}").touch()
        return self._burnt(point)

    def reach(self, point: Point) -> None:
        """Fail if the point is armed and this is its nth visit."""
        for armed in self.path.parent.glob(self._armed(point, "*").name):
            _, nth, action = armed.name.rsplit(".", 2)
            if self._count_visit(point) >= int(nth) and self._burn(point, armed):
                _FAILURES[Action(action)]()

    def _armed(self, point: Point, how: str) -> Path:
        return self.path.with_suffix(f".armed.{point.name}.{how}")

    def _visits(self, point: Point) -> Path:
        return self.path.with_suffix(f".visits.{point.name}")

    def _burnt(self, point: Point) -> Path:
        return self.path.with_suffix(f".burnt.{point.name}")

    def _count_visit(self, point: Point) -> int:
        with open(self._visits(point), "ab") as file:
            file.write(b"x")
            file.flush()
            return file.tell()

    def _burn(self, point: Point, armed: Path) -> bool:
        """Take the file away; of several threads and processes one succeeds."""
        try:
            armed.unlink()
        except FileNotFoundError:
            return False
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_text(str(os.getpid()))
        draft.rename(self._burnt(point))
        return True


def reach(point: Point) -> None:
    """Pass a point: nothing happens unless this process has a fuse for it."""
    if path := os.environ.get(FUSE):
        Fuse(Path(path)).reach(point)


def install() -> None:
    """Put the points into the product, in this process."""
    _after(checkpoint, "_write", Point.CHECKPOINT_WRITTEN)
    _before(committing, "checkpoint", Point.TURNS_DECIDED)
    _after(committing, "checkpoint", Point.CHECKPOINT_COMMITTED)
    _after(claims, "claim_turns", Point.TURNS_CLAIMED, when=lambda claimed: bool(claimed[0]))
    _after(claims, "claim_activities", Point.ACTIVITIES_CLAIMED, when=bool)
    _before(doorbell, "ring", Point.BEFORE_RING)
    _after(doorbell, "ring", Point.AFTER_RING)
    _before(ActivityPool, "_finish", Point.OUTCOME_KNOWN)
    _after(ActivityPool, "_finish", Point.OUTCOME_HANDED_OVER)
    _after(starting, "start_instances", Point.START_WRITTEN)
    _before(starting, "_start_at_once", Point.START_WRITTEN)  # which writes and commits in one
    _after(starting, "start_all", Point.START_COMMITTED)
    _after(operations, "send", Point.EVENT_WRITTEN)
    _after(operations, "raise_event", Point.EVENT_COMMITTED)


def _before(owner: Any, name: str, point: Point) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def armed(*args: Any, **kwargs: Any) -> Any:
        reach(point)
        return original(*args, **kwargs)

    setattr(owner, name, armed)


def _after(owner: Any, name: str, point: Point, when: Callable[[Any], bool] = lambda result: True) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def armed(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if when(result):
            reach(point)
        return result

    setattr(owner, name, armed)


def _disconnect() -> None:
    """Cut the line to the database server under the driver; SQLite has none."""
    if connection.vendor == "postgresql" and connection.connection is not None:
        with socket.socket(fileno=os.dup(connection.connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


_FAILURES: dict[Action, Callable[[], None]] = {
    Action.KILL: lambda: os.kill(os.getpid(), signal.SIGKILL),
    Action.STOP: lambda: os.kill(os.getpid(), signal.SIGSTOP),
    Action.DISCONNECT: _disconnect,
}
