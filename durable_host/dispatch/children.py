"""Calls in a process of their own, so that what kills a process kills nothing else.

The process is forked from Python's fork server, which has loaded the project's code and does nothing: to fork the
worker itself, with its threads, locks and connections, is what no library promises to survive. The server starts with
the first such call of a worker, which takes about as long as a worker's own start; a fork takes milliseconds.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import signal
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import django
from django.apps import apps
from django.utils.module_loading import import_string

from . import scarcity

T = TypeVar("T")

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["durable_host.dispatch.nursery"])
#: seconds that a child gets to start, and after its limit to end by itself
_START, _MARGIN = 60.0, 5.0
_FRAME = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+) in (?P<name>.+)')
_OWN = (str(Path(__file__).parents[1]), str(Path(os.__file__).parent), "<")


class ChildError(Exception):
    """The process ended before it had answered."""

    def __init__(self, how: str, stack: str) -> None:
        self.how = how
        #: where its code was, as far as it could tell
        self.stack = stack
        super().__init__(f"{how}{where_of(stack)}")


class ChildDiedError(ChildError):
    """It exited, crashed, or was killed."""


class ChildTimeoutError(ChildError):
    """It ran longer than its limit."""


class Children:
    """The processes of one worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[multiprocessing.process.BaseProcess] = set()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._is_closed

    def call(self, function: str, order: bytes, read: Callable[[bytes], T], *, limit: float | None = None) -> T:
        """Call a function in a process of its own and return what it returns.

        Args:
            function: its dotted path; it runs in the main thread, with Django set up, takes bytes and returns bytes.
            order: what it is given.
            read: makes sense of its answer; raises ValueError, LookupError or TypeError where there is none.
            limit: seconds that it may run.

        Raises:
            ChildTimeoutError: it ran longer; it was killed.
            ChildDiedError: its process ended without an answer that makes sense.
        """
        with tempfile.NamedTemporaryFile(prefix="durable-stack-") as stack:
            receiver, sender = _SERVER.Pipe(duplex=False)
            process = _SERVER.Process(target=_serve, args=(sender, _Order(function, order, limit, stack.name)))
            kills = _memory_kills()
            with receiver:
                self._begin(process)
                sender.close()
                try:
                    return read(_answer(process, receiver, limit))
                except (ValueError, LookupError, TypeError, OSError) as error:
                    raise ChildDiedError(f"gave an answer that makes no sense: {error}", "") from error
                except EOFError:
                    process.join(_MARGIN)
                    lacks_memory = _memory_kills() > kills
                    said = Path(stack.name).read_text(errors="replace")
                    raise _ending(process.exitcode, said, lacks_memory=lacks_memory) from None
                finally:
                    process.kill()
                    process.join()
                    with self._lock:
                        self._running.discard(process)

    def close(self) -> None:
        """Kill those that run, and let no other begin."""
        with self._lock:
            self._is_closed = True
            for process in self._running:
                process.kill()

    def _begin(self, process: multiprocessing.process.BaseProcess) -> None:
        with self._lock:
            if self._is_closed:
                raise ChildDiedError("not begun: the worker stops", "")
            try:
                process.start()
            except OSError as error:
                raise ChildDiedError(f"not begun: {error}", "") from error
            self._running.add(process)


def _answer(process: Any, receiver: Connection, limit: float | None) -> bytes:
    """Wait for the answer; EOFError says that none will come, as the child has ended."""
    patience = None if limit is None else _START + limit + _MARGIN  # the child ends itself at its limit, and says where
    if not wait([receiver, process.sentinel], patience):
        raise ChildTimeoutError("ran out of time and could not say where", "")
    return receiver.recv_bytes()


def _ending(code: int | None, stack: str, *, lacks_memory: bool = False) -> ChildError:
    """Say how a process ended."""
    if stack.startswith("Timeout"):
        return ChildTimeoutError("ran out of time", stack)
    if code == -signal.SIGKILL and lacks_memory:
        return ChildDiedError("killed by SIGKILL as memory ran out", stack)
    if code is not None and code < 0:
        return ChildDiedError(f"killed by {_signal_name(-code)}", stack)
    return ChildDiedError(f"exit code {code}", stack)


def _memory_kills() -> int:
    """Return how many processes the kernel has ended for want of memory (Linux, /proc/vmstat); 0 where it is not told.

    It counts for the whole machine, so it only explains a death that looks like one of these.
    """
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def where_of(stack: str) -> str:
    """Return the innermost line of a stack (most recent first) that is the user's, as `` at orders.py:12 in add``."""
    frames = [(match["file"], match["line"], match["name"]) for match in _FRAME.finditer(stack)]
    for file, line, name in frames:
        if not is_own(file):
            return f" at {file}:{line} in {name}"
    return ""


def is_own(file: str) -> bool:
    """Tell whether code is this package's or Python's own, which is on every stack and nobody looks for."""
    return file.startswith(_OWN) and "site-packages" not in file


# --- in the child -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """What a child is to do. The function goes by name: its module may need Django, which is set up first.

    It is part of what multiprocessing tells a process at its start, which is pickled and goes this way only.
    """

    function: str
    order: bytes
    limit: float | None
    stack: str


def _serve(sender: Connection, order: _Order) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which decides what becomes of its children
        signal.signal(signum, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    scarcity.go_early(scarcity.CHILD)
    if not apps.ready:
        django.setup()
    function = import_string(order.function)
    with open(order.stack, "w", encoding="utf-8") as stack:
        faulthandler.enable(stack)
        if order.limit is not None:  # a watchdog in C, which needs no cooperation of the code
            faulthandler.dump_traceback_later(order.limit, exit=True, file=stack)
        answer = function(order.order)
        faulthandler.cancel_dump_traceback_later()
        with suppress(BrokenPipeError):  # the worker has gone, and with it whoever wanted to know
            sender.send_bytes(answer)
        faulthandler.enable()  # the file closes


def _end_with_parent() -> None:
    """A worker that was killed cannot kill its children."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
