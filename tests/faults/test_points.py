"""A process fails at each fault point in turn: the five patterns end as if none had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from durable_host.client import DurableClient, InstanceFilter
from durable_host.core.events import EventRaised
from durable_host.core.status import UNFINISHED
from durable_host.dispatch.host import Host
from durable_host.models import PendingEvent
from durable_host.store import queries
from tests.e2e.conftest import E2E, ONE_LEASE
from tests.faults import clients
from tests.faults.conftest import StartPool
from tests.faults.histories import assert_whole, normal
from tests.faults.patterns import PATTERNS
from tests.faults.points import Action, Fuse, Point
from tests.recovery import Recovery
from tests.services import PATIENCE, PROJECT, wait_until

pytestmark = [*E2E, pytest.mark.slow]

IN_WORKERS = [point for point in Point if not point.is_of_client]
#: seconds; longer than a lease
ASLEEP = 1.5
#: the case of the thirty → where a worker is killed in it
KILLED_IN = {
    1: Point.CHECKPOINT_WRITTEN,
    2: Point.CHECKPOINT_COMMITTED,
    3: Point.BEFORE_EFFECT,
    4: Point.AFTER_EFFECT,
}


class Batch:
    """The five patterns, started at the same moment and answered by a client.

    Args:
        client: who starts them.
        effects: where their activities leave traces.
        name: begins the ids of the instances.
    """

    def __init__(self, client: DurableClient, effects: Path, name: str) -> None:
        self._client, self._effects, self.name = client, effects, name

    def start(self) -> None:
        """Start them in one transaction, so that one claim finds them all."""
        with transaction.atomic():
            for pattern, (input_, _, _) in PATTERNS.items():
                self._client.start_new(pattern, input_, instance_id=f"{self.name}.{pattern}")

    def answer(self) -> None:
        """Send the events that they wait for, or will."""
        for pattern, (_, events, _) in PATTERNS.items():
            for event in events:
                self._client.raise_event(f"{self.name}.{pattern}", event, True)

    def results(self) -> dict[str, Any]:
        """Return the output and what must be equal in the history of every pattern, and what effects there were."""
        return {pattern: self._result(f"{self.name}.{pattern}") for pattern in PATTERNS}

    def _result(self, instance_id: str) -> tuple[Any, Any]:
        status = self._client.get_status(instance_id)
        assert status is not None
        return status.output, normal(self._client.get_history(instance_id))

    def ended_at(self) -> float:
        """Return when the last of them ended, in seconds of the clock."""
        found = [self._client.get_status(f"{self.name}.{pattern}") for pattern in PATTERNS]
        return max(one.completed_at.timestamp() for one in found if one and one.completed_at)

    def effects(self) -> Counter[str]:
        """Return how often each effect happened."""
        found = (line.partition(".") for line in self._effects.read_text().splitlines())
        return Counter(effect for name, _, effect in found if name == self.name)


def are_done(client: DurableClient) -> bool:
    """Tell whether all instances have ended and nothing is left to do."""
    unfinished = InstanceFilter(statuses=tuple(UNFINISHED))
    return not client.query(unfinished).items and not any(queries.count_open_work("default").values())


def undisturbed(client: DurableClient, effects: Path) -> tuple[dict[str, Any], set[str]]:
    """Run the patterns in this process, in peace; return their results and effects."""
    batch = Batch(client, effects, "calm")
    batch.start()
    batch.answer()
    while not are_done(client):
        Host("calm", "default").run_until_idle()
    results, had = batch.results(), batch.effects()
    assert [results[pattern][0] for pattern in PATTERNS] == [output for _, _, output in PATTERNS.values()]
    assert set(had.values()) == {1}
    return results, set(had)


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(Action.KILL, marks=pytest.mark.case(1, 2, 3, 4)),
        pytest.param(Action.STOP, marks=pytest.mark.case(5)),
        pytest.param(Action.DISCONNECT, marks=pytest.mark.case(10)),
    ],
)
def test_nobody_can_tell_afterwards_that_a_worker_failed(
    client: DurableClient, start_pool: StartPool, fuse: Fuse, effects: Path, action: Action
) -> None:
    if action is Action.DISCONNECT and connection.vendor == "sqlite":
        pytest.skip("SQLite has no connection that could break")
    expected, once = undisturbed(client, effects)
    start_pool()
    batches = {point: Batch(client, effects, point.name) for point in IN_WORKERS}
    alarms = []
    for point, batch in batches.items():  # one after the other, while those before it recover
        burnt = fuse.arm(point, 1, action)
        if action is Action.STOP:
            alarms.append(wake_later(burnt))
        batch.start()
        wait_until(burnt.exists, f"a worker to {action} at {point.name}")
        batch.answer()
    for alarm in alarms:
        alarm.join()
    wait_until(lambda: are_done(client), "all patterns to end")
    for point, batch in batches.items():
        assert batch.results() == expected, point
        assert set(batch.effects()) == once, point
    assert_whole()


@pytest.mark.case(1, 2, 3, 4)
def test_after_one_death_everything_ends_as_soon_as_what_the_dead_held_is_free(
    client: DurableClient, start_pool: StartPool, fuse: Fuse, effects: Path, recovery: Recovery
) -> None:
    expected, _ = undisturbed(client, effects)
    start_pool()
    for case, point in KILLED_IN.items():
        batch = Batch(client, effects, point.name)
        burnt = fuse.arm(point, 1, Action.KILL)
        batch.start()
        batch.answer()
        wait_until(burnt.exists, f"a worker to die at {point.name}")
        wait_until(lambda: are_done(client), "all patterns to end")
        assert batch.results() == expected, point
        recovery.took(case, batch.ended_at() - burnt.stat().st_mtime, ONE_LEASE)


def wake_later(burnt: Path) -> threading.Thread:
    """Let the process that will stop go on when its leases have ended.

    In a thread: meanwhile it may hold a lock that this test waits for.
    """

    def wake() -> None:
        wait_until(burnt.exists, "a worker to stop")
        time.sleep(ASLEEP)
        os.kill(int(burnt.read_text()), signal.SIGCONT)

    alarm = threading.Thread(target=wake)
    alarm.start()
    return alarm


#: what a client does → where it can die, and whether it has done it then
CLIENTS = {
    "start": {Point.START_WRITTEN: False, Point.START_COMMITTED: True, Point.BEFORE_RING: True},
    "answer": {Point.EVENT_WRITTEN: False, Point.EVENT_COMMITTED: True, Point.BEFORE_RING: True},
}


@pytest.mark.case(2, 12)
def test_a_killed_client_has_done_all_or_nothing_and_nobody_waits_for_its_bell(
    client: DurableClient, start_pool: StartPool, fault_env: dict[str, str], tmp_path: Path
) -> None:
    outcomes = {f"{act}-{point.name}": done for act, points in CLIENTS.items() for point, done in points.items()}
    for name in outcomes:
        if name.startswith("answer"):
            client.start_new("approval", instance_id=name)
    errands = [f"{name.partition('-')[0]}:{name}:{name.partition('-')[2]}" for name in outcomes]
    argv = [sys.executable, "-c", clients.COMMAND, *errands]
    subprocess.run(argv, env={**os.environ, **fault_env}, cwd=PROJECT, check=True)
    done = {name: client.get_status(name) is not None for name in outcomes if name.startswith("start")}
    done |= {name: has_letter(name) for name in outcomes if name.startswith("answer")}
    assert done == outcomes
    start_pool()
    for name in outcomes:
        if not outcomes[name]:  # the client comes back
            client.start_or_get("approval", instance_id=name)
        if not (outcomes[name] and name.startswith("answer")):
            client.raise_event(name, "first", True)
        client.raise_event(name, "second", True)
    ended = [client.wait_for_completion(name, PATIENCE).output for name in outcomes]
    assert ended == [PATTERNS["approval"][2]] * len(outcomes)
    assert all(count_letters(client, name) == 2 for name in outcomes)


def has_letter(instance_id: str) -> bool:
    """Tell whether an event waits for an instance."""
    return PendingEvent.objects.filter(instance__instance_id=instance_id, event_type="EventRaised").exists()


def count_letters(client: DurableClient, instance_id: str) -> int:
    """Return how many events an instance has received."""
    return sum(isinstance(event, EventRaised) for event in client.get_history(instance_id))
