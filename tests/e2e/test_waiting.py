"""Whoever waits for an end hears of it, and a bell wakes the host before RQ has looked for its job."""

from __future__ import annotations

import time
from typing import Any

import django_rq
import pytest

from durable_host import client as client_module
from durable_host.client import DurableClient
from durable_host.dispatch import doorbell
from tests.e2e.conftest import E2E, StartWorker
from tests.services import PATIENCE, wait_until

pytestmark = E2E

#: seconds; nobody comes by so rarely while a test lasts
RARELY = 10 * PATIENCE


def test_who_waits_is_told_of_the_end(
    client: DurableClient, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a client that would look again when this test is long over
    monkeypatch.setattr(client_module, "_POLL_LONGEST", RARELY)
    start_worker()
    id_ = client.start_new("letters", 1)
    looks: list[str] = []

    def answer(status: Any) -> None:
        looks.append(status.runtime_status)
        if len(looks) == 1:  # when: the instance goes on after the client has looked
            client.raise_event(id_, "letter", 7)

    begin = time.monotonic()
    status = client.wait_for_completion(id_, RARELY, on_poll=answer)
    # then: it has looked twice, and not waited
    assert (status.output, len(looks)) == ([7], 2)
    assert time.monotonic() - begin < PATIENCE


def test_who_waits_again_needs_no_new_connection(client: DurableClient, start_worker: StartWorker) -> None:
    start_worker()
    redis = django_rq.get_connection("default")

    def connections() -> int:
        return int(redis.info("stats")["total_connections_received"])

    # given: somebody who has waited, and what a worker opens for its first work
    for _ in range(2):
        client.wait_for_completion(client.start_new("chain", 1), PATIENCE)
    before = connections()
    # when: he starts something and waits for it, again and again
    for _ in range(5):
        assert client.wait_for_completion(client.start_new("chain", 1), PATIENCE).output == 1
    # then: neither hearing nor ringing had to connect
    assert connections() == before


def test_a_host_looks_when_the_bell_rings_whatever_rq_finds(
    client: DurableClient, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(SWEEP_INTERVAL=RARELY)
    assert client.wait_for_completion(client.start_new("chain", 1), PATIENCE).output == 1
    # given: work that nobody was told of
    with monkeypatch.context() as quiet:
        quiet.setattr(doorbell, "_ring_queue", lambda name: None)
        id_ = client.start_new("chain", 1)
    # when: a bell comes whose job is lost
    queue = django_rq.get_queue("default")
    queue.push_job_id("lost")
    # then: the work is done
    wait_until(lambda: (status := client.get_status(id_)) is not None and status.is_finished, "the instance to end")
    assert queue.count == 0
