"""Clients that start the patterns without end, answer them, pause and end some; each knows what must come of it."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.core.access import Operation
from durable_host.core.errors import InvalidOperationError
from durable_host.store.audit import AlreadyDoneError, Asked, perform
from tests.faults.patterns import PATTERNS

#: orchestrator → input, events that it waits for, output
MIX: dict[str, tuple[Any, tuple[str, ...], Any]] = {
    **PATTERNS,
    "chain": (8, (), 8),
    "fan": (12, (), sum(n * n for n in range(12))),
    "naps": (4, (), 14),
    "letters": (5, ("letter",) * 5, [0, 1, 2, 3, 4]),
    "retried": (7, (), 7),
    "family": (4, (), 0 + 1 + 2 + 3 + sum(n * n for n in range(4))),
    "rounds": (6, (), 1),
}
_ENDED = "ended by its client"
#: one in so many that wait for events is ended, and paused
_ENDS_ONE_IN, _PAUSES_ONE_IN = 6, 4


@dataclass
class Promise:
    """What one instance must have come to."""

    status: RuntimeStatus
    output: Any
    #: what it was sent
    events: list[tuple[str, Any]] = field(default_factory=list)


class Load:
    """Some clients, each in a thread of its own.

    Args:
        seed: decides what they ask for.
        clients: how many they are.
    """

    def __init__(self, seed: int, clients: int = 3) -> None:
        self._ends = threading.Event()
        self._chances = [random.Random(f"{seed}.{number}") for number in range(clients)]
        self.promises: dict[str, Promise] = {}
        #: keys of all that was asked for
        self.requests: set[str] = set()
        #: how often something was asked for again because the database had failed
        self.repeats = 0

    def run(self, seconds: float) -> None:
        """Ask for things, for so long."""
        with ThreadPoolExecutor(len(self._chances)) as clients:
            working = [clients.submit(self._work, number, chance) for number, chance in enumerate(self._chances)]
            time.sleep(seconds)  # not a wait: the length of the run
            self._ends.set()
        for one in working:
            one.result()  # raises what ended it

    def _work(self, number: int, chance: random.Random) -> None:
        client = DurableClient()
        try:
            for count in range(1_000_000):
                self._one(client, f"{number}-{count}", chance)
                if self._ends.wait(chance.uniform(0, 0.2)):
                    return
        finally:
            connections.close_all()

    def _one(self, client: DurableClient, suffix: str, chance: random.Random) -> None:
        """See one instance through all that it is sent."""
        name = chance.choice(list(MIX))
        input_, events, output = MIX[name]
        id_ = f"{name}-{suffix}"
        self._do(Operation.START, id_, lambda: client.start_new(name, input_, instance_id=id_))
        promise = self.promises[id_] = Promise(RuntimeStatus.COMPLETED, output)
        last = len(events) - 1
        for number, event in enumerate(events):
            if chance.randrange(_PAUSES_ONE_IN * len(events)) == 0:
                self._do(Operation.SUSPEND, id_, lambda: client.suspend(id_))
                self._do(Operation.RESUME, id_, lambda: client.resume(id_))
            if number == last and chance.randrange(_ENDS_ONE_IN) == 0:
                self._do(Operation.TERMINATE, id_, lambda: client.terminate(id_, _ENDED))
                promise.status, promise.output = RuntimeStatus.TERMINATED, _ENDED
                return
            data = number if event == "letter" else True
            self._do(Operation.RAISE_EVENT, id_, partial(client.raise_event, id_, event, data))
            promise.events.append((event, data))

    def _do(self, operation: Operation, instance_id: str, act: Callable[[], Any]) -> None:
        """Have something done once, in one transaction with its record, however often the database fails meanwhile."""
        key = uuid.uuid4().hex
        asked = Asked(
            hub="default",
            actor_kind="user",
            actor="chaos",
            address="",
            operation=operation,
            instance_id=instance_id,
            request_key=key,
        )
        while True:
            try:
                perform(asked, act)
            except AlreadyDoneError:  # the answer to the commit was lost, not the commit
                break
            except InvalidOperationError:
                if operation not in (Operation.SUSPEND, Operation.RESUME):
                    raise
                time.sleep(0.1)  # it has not taken notice of the other one yet
            except (DatabaseError, InterfaceError):
                self.repeats += 1
                connections.close_all()
                time.sleep(0.1)
            else:
                break
        self.requests.add(key)
