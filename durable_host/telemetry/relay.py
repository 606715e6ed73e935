"""Telling by a process beside the worker, so that telemetry costs the worker next to nothing.

To build a span or a log record and to send it costs the SDK some hundred microseconds, in Python, under the same lock
as the turns: several times what the work itself costs. So a worker writes down what it has done, a line of JSON for
each act, and a process of its own (:mod:`.relay_process`) makes spans and records of it.

What cannot be written for a while waits in memory, up to a bound; then new acts are left out, and counted, until the
rest is written. A dead or hanging endpoint, or a relay that dies, costs telemetry and nothing else.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from weakref import WeakSet

from pydantic_core import to_json

from durable_host.core.codec import Record

from .chronicle import Attempt, Subject
from .environment import TOLD_FOR

logger = logging.getLogger(__name__)

#: bytes that wait to be written
_MOST_WAITING = 32 * 1024 * 1024
#: bytes that the pipe holds, where the system lets it: they arrive also if the worker is killed
_PIPE = 1024 * 1024
#: bytes after which the worker hands over what it has noted, although its cycle goes on
_LARGE_PART = 1024 * 1024
#: seconds that an ending worker waits for its relay to get and send the rest
_FAREWELL = 3.0
#: seconds between looks whether the relay is alive, where there is nothing to write
_LOOK_EVERY = 5.0
#: seconds before another relay starts, where several in a row were lost: from, to
_PAUSES = (1.0, 60.0)
#: what a terminal or a supervisor sends to all processes of a group: the relay ends with its pipe instead
MEANT_FOR_THE_WORKER = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_COMMAND = (sys.executable, "-P", "-m", "durable_host.telemetry.relay_process")


class Outbox:
    """What waits to be written: bounded, between the worker's thread and the writer's.

    Once it is full everything is left out until it is empty again. So there is one gap and not many, and the relay then
    begins anew: its picture of the executions has the same gap.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._left_out = 0
        self._is_closing = False
        self._has_forgotten = False
        self._is_to_forget = False

    def put(self, acts: Sequence[bytes]) -> bool:
        """Add acts, without waiting.

        Returns:
            Whether what was said of executions before is lost; said once.
        """
        with self._changed:
            has_forgotten, self._has_forgotten = self._has_forgotten, False
            begins_gap = bool(acts) and not self._has_room(acts) and not self._left_out
            if acts and (self._left_out or begins_gap):
                self._left_out += len(acts)
            elif acts:
                self._add(acts)
        if begins_gap:
            logger.warning("Telemetry falls behind; what comes now is left out until it has caught up.")
        return has_forgotten

    def take(self, seconds: float) -> bytes | None:
        """Wait for the next part; empty where none comes in time, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing, seconds)
            if not self._waiting:
                return None if self._is_closing else b""
            part = self._waiting.popleft()
            self._waiting_bytes -= len(part)
            left_out = 0
            if not self._waiting and self._left_out:
                left_out, self._left_out = self._left_out, 0
                self._has_forgotten = self._is_to_forget = True
        _report(left_out)
        return part

    def note_loss(self) -> None:
        """Note that whoever was told has forgotten it."""
        with self._changed:
            self._has_forgotten = True

    def close(self) -> None:
        """Let nothing more come."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Forget what waits, and count it."""
        with self._changed:
            left_out = self._left_out + sum(part.count(b"\n") for part in self._waiting)
            self._waiting.clear()
            self._waiting_bytes = self._left_out = 0
        _report(left_out)

    def is_closed_within(self, seconds: float) -> bool:
        """Wait so long, or until the end; tell whether that has come."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_closing, seconds)

    def _has_room(self, acts: Sequence[bytes]) -> bool:
        """Whether acts may be added; one that is larger than the bound comes through alone."""
        size = sum(map(len, acts)) + len(acts)
        return not self._waiting or self._waiting_bytes + size <= _MOST_WAITING

    def _add(self, acts: Sequence[bytes]) -> None:
        begin = [to_json(("forget_all",))] if self._is_to_forget else []
        self._is_to_forget = False
        part = b"\n".join([*begin, *acts, b""])
        self._waiting.append(part)
        self._waiting_bytes += len(part)
        self._changed.notify_all()


def _report(left_out: int) -> None:
    if left_out:
        logger.warning("Telemetry was left out: %d acts.", left_out, extra={"acts": left_out})


class Relay:
    """The worker's end: a chronicle that writes down. To be used by one thread.

    Args:
        command: starts the other end.
    """

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        self._command = command
        self._acts: list[bytes] = []
        self._acts_bytes = 0
        self._has_forgotten = False
        self._outbox = Outbox()
        #: the writer's own
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause = 0.0
        self._writer = threading.Thread(target=self._write, name="telemetry-relay", daemon=True)
        self._writer.start()
        _relays.add(self)

    # --- a chronicle -----------------------------------------------------------------------------------------------

    def replayed(self, subject: Subject, history: Sequence[Record]) -> None:
        """An execution was rebuilt from its history."""
        self._note("replayed", subject, [list(one) for one in history])  # a list is written in a quarter of the time

    def turn(self, subject: Subject, events: Sequence[Record]) -> None:
        """A turn was committed."""
        self._note("turn", subject, [list(one) for one in events])

    def forget(self, pk: int) -> None:
        """No more turns of an instance come."""
        self._note("forget", pk)

    def began(self, attempt: Attempt, at: datetime, input_: str | None) -> None:
        """An activity begins to run."""
        self._note("began", attempt, at, input_)

    def ended(self, attempt: Attempt, outcome: Record) -> None:
        """The outcome of an activity was committed."""
        self._note("ended", attempt, outcome)

    def _note(self, *act: Any) -> None:
        line = to_json(act)
        self._acts.append(line)
        self._acts_bytes += len(line)
        if self._acts_bytes >= _LARGE_PART:
            self._pass_on()

    # --- to the other end ------------------------------------------------------------------------------------------

    def hand_over(self) -> bool:
        """Have what was noted written; never waits.

        Returns:
            Whether the other end was lost, or its picture has a gap: each execution has to be replayed before its next
            turn can be told. Said once.
        """
        self._pass_on()
        has_forgotten, self._has_forgotten = self._has_forgotten, False
        return has_forgotten

    def close(self) -> None:
        """Have the other end send what it has, and end. A slow one is not waited for: it goes on alone."""
        self._pass_on()
        self._outbox.close()
        self._writer.join(_FAREWELL)
        if self._writer.is_alive():
            self._outbox.abandon()

    def let_go(self) -> None:
        """Close the pipe in a forked child: the relay shall end with its worker, not with the last of its children."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _pass_on(self) -> None:
        acts, self._acts, self._acts_bytes = self._acts, [], 0
        self._has_forgotten |= self._outbox.put(acts)

    # --- the writer's thread: it alone has to do with the process ----------------------------------------------------

    def _write(self) -> None:
        """Write what waits, and start another process where one is lost."""
        # Inherited by the process: what is meant for the worker must not end it while it starts, either.
        signal.pthread_sigmask(signal.SIG_BLOCK, MEANT_FOR_THE_WORKER)
        self._start()
        while (part := self._outbox.take(_LOOK_EVERY)) is not None:
            while self._process is None or self._process.poll() is not None or (part := self._send(part)):
                if not self._replace():
                    self._outbox.abandon()
                    return
        if self._process is not None:
            self.let_go()
            self._process.wait()

    def _send(self, part: bytes) -> bytes:
        """Write a part; return what is left of it where nobody reads any more.

        What was begun may have been read and told, so that is not said again.
        """
        if self._process is None or self._process.stdin is None:
            return part
        sent = 0
        try:
            while sent < len(part):
                sent += os.write(self._process.stdin.fileno(), memoryview(part)[sent:])
        except OSError:
            return part[part.find(b"\n", sent - 1) + 1 :] if sent else part
        return b""

    def _replace(self) -> bool:
        """Start another process, after a pause where the last one was lost early; tell whether the worker goes on."""
        if self._process is not None:
            self.let_go()
            self._process.kill()
            code = self._process.wait()
            logger.warning("The telemetry relay was lost (exit code %d); another one starts.", code)
            self._process = None
        self._outbox.note_loss()
        least, most = _PAUSES
        is_old = time.monotonic() - self._started_at > most
        self._pause = 0.0 if is_old else min(most, self._pause * 2 or least)
        if self._outbox.is_closed_within(self._pause):
            return False
        self._start()
        return True

    def _start(self) -> None:
        """Start the process; where that fails it is tried again later."""
        # The worker's own path: its settings may lie beside its manage.py, wherever it was started.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        env = {**os.environ, TOLD_FOR: str(os.getpid()), "OTEL_METRICS_EXPORTER": "none", "PYTHONPATH": path}
        self._started_at = time.monotonic()
        try:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=env, bufsize=0)  # noqa: S603 - our own command
        except OSError as error:
            logger.error("The telemetry relay cannot be started.", extra={"reason": str(error)})
            return
        if sys.platform == "linux" and self._process.stdin is not None:
            with suppress(OSError):
                fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, _PIPE)


_relays: WeakSet[Relay] = WeakSet()


def _let_go_in_child() -> None:
    for relay in _relays:
        relay.let_go()


os.register_at_fork(after_in_child=_let_go_in_child)
