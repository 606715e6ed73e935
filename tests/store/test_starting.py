"""Starting instances: ids, duplicates, all or none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from durable_host import (
    BadRequestError,
    InstanceAlreadyExistsError,
    OrchestrationContext,
    PayloadError,
    RuntimeStatus,
    UnknownOrchestratorError,
)
from durable_host.conf import HostSettings
from tests.bells import Bells
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench, assert_nothing_is_left, row_counts, row_of

pytestmark = STORE


async def echo(ctx: OrchestrationContext, value: Any = None) -> Any:
    return value


async def wait_for_go(ctx: OrchestrationContext, value: Any = None) -> Any:
    await ctx.wait_for_external_event("go")
    return value


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    bench.orchestrator(echo)
    bench.orchestrator(wait_for_go)


def in_threads(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Do the same in many threads at once; return results, and errors where there were any."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def body(number: int) -> None:
        try:
            barrier.wait()
            results[number] = act(number)
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_it_starts_under_a_new_id_and_runs(bench: Workbench, bells: Bells) -> None:
    first, second = bench.client.start_new("echo", 1), bench.client.start_new(echo, 2)
    assert first != second
    assert bells.queues == ["default", "default"]
    assert bench.status(first).runtime_status is RuntimeStatus.PENDING
    assert bench.status(first).input == 1
    bench.run()
    assert (bench.output(first), bench.output(second)) == (1, 2)
    assert_nothing_is_left()


def test_it_starts_under_a_chosen_id_with_tags_and_version(bench: Workbench) -> None:
    bench.client.start_new("echo", {"a": [1]}, instance_id="order 7:é", tags={"team": "blue"}, version="1.4")
    bench.run()
    status = bench.status("order 7:é")
    assert (status.input, status.output) == ({"a": [1]}, {"a": [1]})
    assert (status.tags, status.version, status.name) == ({"team": "blue"}, "1.4", "echo")
    assert status.created_at <= status.last_updated_at
    assert status.completed_at is not None


def test_it_gives_the_default_version_of_the_settings(settings: Any, bench: Workbench) -> None:
    settings.DURABLE_HOST = {"DEFAULT_VERSION": "2026.1"}
    assert bench.status(bench.start("echo")).version == "2026.1"
    assert bench.status(bench.client.start_new("echo", version="")).version == ""
    assert HostSettings().default_version == ""


@pytest.mark.case(17)
def test_it_refuses_the_id_of_an_unfinished_instance_and_names_its_status(bench: Workbench) -> None:
    bench.client.start_new("wait_for_go", 1, instance_id="one")
    with pytest.raises(InstanceAlreadyExistsError, match="'one' already exists and is Pending") as refused:
        bench.client.start_new("echo", 2, instance_id="one")
    assert (refused.value.instance_id, refused.value.status) == ("one", "Pending")
    bench.run()
    before = row_counts()
    with pytest.raises(InstanceAlreadyExistsError, match="is Running"):
        bench.client.start_new("echo", 2, instance_id="one")
    assert row_counts() == before
    assert bench.status("one").input == 1


@pytest.mark.case(17)
def test_it_replaces_a_finished_instance_of_the_same_id(bench: Workbench) -> None:
    bench.start("echo", 1, instance_id="one")
    before = row_of("one").pk
    bench.start("echo", 2, instance_id="one", tags={"again": "yes"})
    assert bench.output("one") == 2
    assert bench.status("one").tags == {"again": "yes"}
    assert row_of("one").pk != before
    assert row_counts()["Instance"] == 1
    assert bench.kinds("one").count("ExecutionStarted") == 1


def test_it_keeps_hubs_apart(bench: Workbench) -> None:
    other = type(bench.client)("other", registry=bench.registry)
    bench.client.start_new("wait_for_go", 1, instance_id="same")
    other.start_new("wait_for_go", 2, instance_id="same")
    bench.run()
    assert bench.status("same").runtime_status is RuntimeStatus.RUNNING
    there = other.get_status("same")
    assert there is not None
    assert (there.runtime_status, there.input) == (RuntimeStatus.PENDING, 2)


def test_it_starts_at_the_chosen_time_and_not_before(bench: Workbench, moving_clock: MovingClock) -> None:
    at = moving_clock.now() + timedelta(hours=1)
    bench.start("echo", 5, instance_id="later", start_at=at)
    status = bench.status("later")
    assert (status.runtime_status, status.scheduled_at, status.input) == (RuntimeStatus.PENDING, at, 5)
    moving_clock.advance(hours=1, seconds=1)
    bench.run()
    assert bench.output("later") == 5


def test_it_starts_at_once_when_the_chosen_time_is_over(bench: Workbench) -> None:
    naive = datetime(2020, 1, 1)
    bench.start("echo", 1, instance_id="past", start_at=naive)
    assert bench.output("past") == 1
    assert bench.status("past").scheduled_at == naive.replace(tzinfo=UTC)


def test_it_starts_or_gets_in_one_step(bench: Workbench) -> None:
    assert bench.client.start_or_get("wait_for_go", 1, instance_id="one") == ("one", True)
    assert bench.client.start_or_get("wait_for_go", 2, instance_id="one") == ("one", False)
    bench.run()
    bench.client.raise_event("one", "go")
    bench.run()
    assert bench.output("one") == 1
    assert bench.client.start_or_get("echo", 3, instance_id="one") == ("one", True)


@pytest.mark.case(17)
def test_it_lets_exactly_one_of_eight_threads_start(bench: Workbench) -> None:
    answers = in_threads(8, lambda number: bench.client.start_or_get("echo", number, instance_id="race"))
    assert sorted(answers) == [("race", False)] * 7 + [("race", True)]
    winner = answers.index(("race", True))
    bench.run()
    assert bench.output("race") == winner
    assert row_counts()["Instance"] == 1


def test_it_lets_exactly_one_of_eight_threads_replace_a_finished_instance(bench: Workbench) -> None:
    bench.start("echo", "old", instance_id="race")
    answers = in_threads(8, lambda number: bench.client.start_or_get("wait_for_go", number, instance_id="race"))
    assert sorted(answers) == [("race", False)] * 7 + [("race", True)]
    assert bench.status("race").input == answers.index(("race", True))
    assert row_counts()["Instance"] == 1


def test_it_starts_many_in_order(bench: Workbench, bells: Bells) -> None:
    ids = bench.client.start_many("echo", range(250), tags={"batch": "1"}, version="3")
    assert len(set(ids)) == 250
    assert bells.queues == ["default"]
    bench.run()
    assert [bench.output(one) for one in ids[::50]] == [0, 50, 100, 150, 200]
    assert bench.status(ids[7]).tags == {"batch": "1"}
    assert_nothing_is_left()


def test_it_starts_all_or_none_when_an_id_is_in_use(bench: Workbench, bells: Bells) -> None:
    bench.start("echo", 0, instance_id="done")
    bench.start("wait_for_go", instance_id="busy")
    before, rung = row_counts(), list(bells.queues)
    with pytest.raises(InstanceAlreadyExistsError, match="busy"):
        bench.client.start_many("echo", [1, 2, 3], instance_ids=["new", "done", "busy"])
    assert row_counts() == before
    assert bells.queues == rung
    assert bench.output("done") == 0


@pytest.mark.parametrize(
    ("inputs", "ids", "error"),
    [
        ([1, 2], ["a", "a"], BadRequestError),
        ([1, 2], ["a"], BadRequestError),
        ([1, float("nan")], None, PayloadError),
        ([1, 2], ["a", "b/c"], BadRequestError),
    ],
)
def test_it_starts_none_when_one_is_refused(
    bench: Workbench, inputs: list[Any], ids: list[str] | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        bench.client.start_many("echo", inputs, instance_ids=ids)
    assert set(row_counts().values()) == {0}


def test_it_starts_nothing_for_no_inputs(bench: Workbench) -> None:
    assert bench.client.start_many("echo", []) == []
    with pytest.raises(UnknownOrchestratorError, match="Did you mean 'echo'"):
        bench.client.start_new("ecko")
