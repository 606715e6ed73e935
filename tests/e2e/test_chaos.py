"""Workers are killed at random while they work; nobody can tell afterwards."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from subprocess import Popen
from typing import Any

import pytest

from durable_host.client import DurableClient, InstanceFilter
from durable_host.core import events as ev
from durable_host.dispatch.host import Host
from durable_host.models import HistoryEvent
from durable_host.store import queries
from tests.e2e.conftest import BRIEF_LEASES, E2E, StartWorker
from tests.services import wait_until

pytestmark = [*E2E, pytest.mark.slow]

#: orchestrator → input and expected output
MIX: list[tuple[str, Any, Any]] = [
    ("chain", 8, 8),
    ("fan", 12, sum(n * n for n in range(12))),
    ("naps", 4, 14),
    ("letters", 5, [0, 1, 2, 3, 4]),
    ("retried", 7, 7),
    ("family", 4, 0 + 1 + 2 + 3 + sum(n * n for n in range(4))),
    ("rounds", 6, 1),
]
ROUNDS = 10
KILLS = 10
Normal = tuple[Any, ...]
TURN_BOUNDARIES = (ev.OrchestratorStarted, ev.OrchestratorCompleted)


def start_all(client: DurableClient) -> dict[str, Any]:
    """Start every kind many times; return what each instance shall give."""
    expected = {}
    for number in range(ROUNDS):
        for name, input_, output in MIX:
            expected[client.start_new(name, input_, instance_id=f"{name}-{number}")] = output
    return expected


def send_letters(client: DurableClient, number: int) -> None:
    for instance in range(ROUNDS):
        client.raise_event(f"letters-{instance}", "letter", number)


def is_done(client: DurableClient, ids: dict[str, Any]) -> bool:
    return not any(not one.is_finished for one in client.query(page_size=1000).items)


def normal(history: list[ev.HistoryEvent]) -> tuple[list[Normal], Counter[Normal]]:
    """Return what must be equal: what was asked for and received in order, and the outcomes, which may come in any."""
    ordered = [in_order(event) for event in history if not isinstance(event, (*TURN_BOUNDARIES, ev.TaskOutcome))]
    return ordered, Counter(outcome(event) for event in history if isinstance(event, ev.TaskOutcome))


def in_order(event: ev.HistoryEvent) -> Normal:
    fields = ("name", "input", "result", "orchestration_status")
    return (event.event_type, event.event_id, *(getattr(event, field, None) for field in fields))


def outcome(event: ev.TaskOutcome) -> Normal:
    failure = getattr(event, "failure_details", None)
    said = (failure.error_type, failure.error_message) if failure else getattr(event, "result", None)
    return (event.event_type, event.task_scheduled_id, said)


def histories(client: DurableClient) -> dict[str, Any]:
    ids = [one.instance_id for one in client.query(page_size=1000).items]
    return {id_: normal(client.get_history(id_)) for id_ in ids}


def undisturbed(client: DurableClient) -> dict[str, Any]:
    """Run the same instances in this process, in peace; return their histories, and leave no trace."""
    expected = start_all(client)
    for number in range(5):
        send_letters(client, number)
    host = Host("calm", "default")
    while not is_done(client, expected):
        host = Host("calm", "default")
        host.run_until_idle()
    calm = histories(client)
    client.purge_by(InstanceFilter())
    return calm


class Crew:
    """Some workers, one of which is killed and replaced now and then."""

    def __init__(self, start_worker: StartWorker, size: int, random_: random.Random) -> None:
        self._start_worker = start_worker
        self._random = random_
        self.workers = [self._start() for _ in range(size)]

    def _start(self) -> Popen[bytes]:
        return self._start_worker(MAX_DELIVERY_ATTEMPTS=100, **BRIEF_LEASES)

    def kill_one(self) -> None:
        """Kill a worker with SIGKILL and start another."""
        victim: Popen[bytes] = self.workers.pop(self._random.randrange(len(self.workers)))
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        self.workers.append(self._start())


def assert_whole(client: DurableClient) -> None:
    """Check that no row is left over, no number is missing, and nothing happened twice."""
    assert queries.count_open_work("default") == {"messages": 0, "activities": 0, "waits": 0}
    numbers: dict[tuple[int, int], list[int]] = {}
    rows = HistoryEvent.objects.order_by("instance_id", "generation", "sequence")
    for instance, generation, sequence in rows.values_list("instance_id", "generation", "sequence"):
        numbers.setdefault((instance, generation), []).append(sequence)
    assert all(found == list(range(len(found))) for found in numbers.values())
    for one in client.query(page_size=1000).items:
        history = client.get_history(one.instance_id)
        answered = Counter(event.task_scheduled_id for event in history if isinstance(event, ev.TaskOutcome))
        assert set(answered.values()) <= {1}, one.instance_id
        asked = {event.event_id for event in history if isinstance(event, ev.TaskScheduled)}
        assert asked <= set(answered), one.instance_id


def test_it_completes_everything_as_if_no_worker_had_ever_been_killed(
    client: DurableClient, start_worker: StartWorker
) -> None:
    seed = int(os.environ.get("TEST_SEED") or random.randrange(10**6))
    print(f"seed {seed}: TEST_SEED={seed} repeats it")
    random_ = random.Random(seed)
    calm = undisturbed(client)
    crew = Crew(start_worker, 2, random_)
    expected = start_all(client)
    for kill in range(KILLS):
        time.sleep(random_.uniform(0.2, 1.2))  # not a wait: the moment of the kill
        if kill % 2:
            send_letters(client, kill // 2)
        crew.kill_one()
    wait_until(lambda: is_done(client, expected), "all instances to end")
    assert {id_: client.get_status(id_).output for id_ in expected} == expected  # type: ignore[union-attr]
    wait_until(lambda: not any(queries.count_open_work("default").values()), "the last messages to be dropped")
    assert_whole(client)
    assert histories(client) == calm
