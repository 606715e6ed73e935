"""Real workers, and a scrape: each act counts once, whichever process did it."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from durable_host.client import DurableClient
from durable_host.core.access import Scope
from durable_host.store import keys, workers
from tests.e2e.conftest import StartWorker
from tests.services import PATIENCE, wait_until

# All applications: the scrape goes through the middleware of the site.
pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

Totals = Counter[tuple[str, str]]


@pytest.fixture
def key(live_env: dict[str, str]) -> str:
    return keys.create("default", "prometheus", [Scope.READ])[1]


def scrape(key: str) -> Totals:
    """The counters and the counts of histograms: name and function → sum over the workers."""
    response = Client().get("/metrics", headers={"x-functions-key": key})
    assert response.status_code == 200
    totals: Totals = Counter()
    for family in text_string_to_metric_families(response.content.decode()):
        for sample in family.samples:
            if sample.name.endswith(("_total", "_count")):
                function = sample.labels.get("orchestrator", sample.labels.get("activity", ""))
                totals[sample.name.removeprefix("durabletask_"), function] += int(sample.value)
    return totals


def test_a_chain_and_a_failing_activity_are_counted_exactly(
    client: DurableClient, start_worker: StartWorker, key: str
) -> None:
    first, second = start_worker(), start_worker()
    chains = [client.start_new("chain", 5) for _ in range(12)]
    ids = [*chains, client.start_new("retried", 1), client.start_new("rounds", 2)]
    for id_ in ids:
        client.wait_for_completion(id_, PATIENCE)
    expected = {
        ("orchestrations_started_total", "chain"): 12,
        ("orchestrations_completed_total", "chain"): 12,
        ("orchestration_end_to_end_seconds_count", "chain"): 12,
        ("activities_completed_total", "add_one"): 12 * 5 + 3,
        ("activity_duration_seconds_count", "add_one"): 12 * 5 + 3,
        ("orchestrations_completed_total", "retried"): 1,
        ("activities_failed_total", "third_time_lucky"): 2,
        ("activities_retried_total", "third_time_lucky"): 2,
        ("activities_completed_total", "third_time_lucky"): 1,
        ("orchestrations_started_total", "rounds"): 1,
        ("orchestrations_continued_as_new_total", "rounds"): 2,
        ("orchestrations_completed_total", "rounds"): 1,
        ("orchestrations_failed_total", "chain"): 0,
    }
    wait_until(lambda: matching(scrape(key), expected) == expected, "the workers to show what they have counted")
    for worker in (first, second):
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    # What a worker counted outlives it for a while, so that the last scrape misses nothing.
    assert matching(scrape(key), expected) == expected
    assert [one.is_lost for one in workers.list_workers("default")] == [False, False]


def matching(totals: Totals, expected: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {name: totals[name] for name in expected}


def test_a_killed_worker_is_seen_to_be_lost(
    client: DurableClient, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start_worker()
    wait_until(lambda: workers.list_live_workers("default"), "the worker to show itself")
    (seen,) = workers.list_live_workers("default")
    assert (seen.report.queue, seen.report.pid) == ("default", worker.pid)
    assert workers.queues_without_worker("default") == []
    worker.kill()
    worker.wait(PATIENCE)
    monkeypatch.setattr(workers, "_LEAST_PATIENCE", workers.patience() / 10)
    monkeypatch.setattr(workers, "_SWEEPS_MISSED", 0)
    wait_until(lambda: not workers.list_live_workers("default"), "its silence to be noticed")
    assert [one.is_lost for one in workers.list_workers("default")] == [True]
    assert workers.queues_without_worker("default") == ["default"]
