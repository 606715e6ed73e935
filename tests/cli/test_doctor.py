"""The doctor: what is, why it matters, what to do; and an exit code for those who do not read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection

from durable_host.core.registry import default_registry
from durable_host.dispatch import redis_state
from durable_host.dispatch.redis_state import RedisFacts
from durable_host.models import ActivityTask, Instance, PendingEvent, WorkerState
from durable_host.store import clock, diagnosis, outage, workers
from tests.cli.conftest import durable, start

pytestmark = [pytest.mark.store, pytest.mark.django_db]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
#: PostgreSQL in the tests does not wait for the disk, and the doctor rightly complains
FSYNC = "PostgreSQL runs with fsync=off"


@pytest.fixture(autouse=True)
def well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is well: a Redis that evicts nothing, a worker, and no functions of other tests on other queues."""
    ours = {name: spec for name, spec in default_registry.activities.items() if spec.queue == "default"}
    monkeypatch.setattr(default_registry, "activities", ours)
    monkeypatch.setattr(redis_state, "facts", lambda: RedisFacts("7.4.1", "noeviction"))
    now = clock.now()
    report = workers.WorkerReport(
        hub="default", name="w1", queue="default", hostname="box", pid=1, version="1", started_at=now
    )
    workers.show(report)


def findings() -> dict[str, dict[str, str]]:
    """What it finds wrong: what is → the rest."""
    answer = durable("doctor", "--json")
    found = {one["what"]: one for one in answer.json()["findings"] if one["level"] != "good"}
    assert answer.code == int(any(one["level"] == "bad" for one in found.values()))
    return {what: one for what, one in found.items() if not what.startswith(FSYNC)}


def only(start_of_what: str, level: str) -> dict[str, str]:
    """The one finding, which must begin so, and must say why and what to do."""
    (found,) = findings().values()
    assert found["what"].startswith(start_of_what), found
    assert found["level"] == level
    assert found["why"]
    assert found["remedy"]
    return found


def test_a_host_that_is_well() -> None:
    assert not findings()
    answer = durable("doctor")
    assert "Everything that is under way is code that this project knows." in answer.out
    assert ("0 problems, 0 warnings" in answer.err) is (connection.vendor == "sqlite")


def test_a_queue_without_a_worker() -> None:
    WorkerState.objects.all().delete()
    assert "durable_worker --queues default" in only("Nobody works on the queue 'default'.", "bad")["remedy"]
    answer = durable("doctor")
    assert answer.code == 1
    first = next(line for line in answer.out.splitlines() if "Nobody" in line)
    assert first == "BAD  Nobody works on the queue 'default'."


def test_a_worker_that_was_killed_and_one_whose_clock_is_off() -> None:
    WorkerState.objects.filter(name="w1").update(clock_offset=-3600.0)
    assert "w1 by -3600.0 s" in only("Clocks of workers differ", "warn")["what"]
    WorkerState.objects.create(
        hub="default", name="dead", queue="default", hostname="box", pid=2, version="1", started_at=LONG_AGO,
        seen_at=clock.now() - timedelta(minutes=2),
    )  # fmt: skip
    assert any("A worker went silent" in what and "box, process 2" in what for what in findings())


def test_a_worker_with_activities_that_nobody_can_stop() -> None:
    WorkerState.objects.filter(name="w1").update(abandoned_activities=4)
    assert (
        "isolated=True"
        in only("Activities ran longer than their limit and were abandoned: 4 on box, process 1", "warn")["remedy"]
    )


def test_redis_that_is_away_or_evicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_state, "facts", lambda: "Connection refused")
    assert "Nothing is lost" in only("Redis does not answer: Connection refused", "warn")["why"]
    monkeypatch.setattr(redis_state, "facts", lambda: RedisFacts("7.4.1", "allkeys-lru"))
    assert "noeviction" in only("Redis may throw away bells: its maxmemory-policy is allkeys-lru", "warn")["remedy"]


def test_a_database_that_is_away_is_all_that_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(outage, "ping", refuse)
    only("The database does not serve: connection refused", "bad")


def test_migrations_that_have_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    WorkerState.objects.all().delete()  # of whose table nothing is asked then
    monkeypatch.setattr(outage, "missing_migrations", lambda: ["durable_host.0002_more"])
    assert "manage.py migrate" in only("1 migrations have not run: durable_host.0002_more", "bad")["remedy"]


def test_a_database_that_may_forget_what_was_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = diagnosis.database_settings() | {"synchronous": "1", "synchronous_commit": "off"}
    monkeypatch.setattr(diagnosis, "database_settings", lambda: settings)
    bad = [one["what"] for one in durable("doctor", "--json").json()["findings"] if one["level"] == "bad"]
    says = {"sqlite": "not true that synchronous is FULL", "postgresql": "fsync=off and synchronous_commit=off"}
    assert any(says[connection.vendor] in what for what in bad), bad


def test_what_is_stuck() -> None:
    start("stalled")
    start("late")
    Instance.objects.filter(instance_id="stalled").update(stall_reason="Non-deterministic orchestrator: at event 3")
    PendingEvent.objects.filter(instance__instance_id="late").update(timestamp=LONG_AGO)
    late = Instance.objects.get(instance_id="late")
    ActivityTask.objects.create(
        hub="default", queue="default", instance=late, generation=0, task_id=0, name="cli_gone", call_key="k",
        created_at=LONG_AGO, owner="dead", lease_until=LONG_AGO,
    )  # fmt: skip
    found = findings()
    for begin, says in {
        "Instances have stalled: 1.": "stalled (cli_shout): Non-deterministic orchestrator: at event 3",
        "A message has waited for": "a sweep takes what is older than",
        "1 activities were left behind": "by workers that died",
        "Activities wait that this project does not know": "cli_gone",
    }.items():
        assert any(what.startswith(begin) and says in what for what in found), (begin, found)


def test_code_that_is_gone() -> None:
    start("orphan")
    Instance.objects.update(name="removed_last_week")
    only("Instances go on whose orchestrators this project does not know: removed_last_week", "bad")


def test_settings_that_are_no_good_for_others_to_reach(settings: Any) -> None:
    settings.DURABLE_EMBEDDED = False
    settings.SECRET_KEY = "short"
    found = findings()
    assert any("SECRET_KEY" in what and "security.W009" in what for what in found), found
