"""What load balancers ask: does the process live, and can it serve."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import Client

from durable_host.api import health
from durable_host.dispatch import redis_state
from durable_host.store import outage

#: a probe knows the machine's address and nothing else
PROBE = {"HTTP_HOST": "10.1.2.3:8000"}


@pytest.fixture
def redis_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_state, "is_there", lambda: True)


def refuse() -> None:
    raise OperationalError("could not connect to server at db.internal")


def test_the_process_lives_whatever_the_database_does() -> None:
    answer = Client().get("/healthz", **PROBE)  # type: ignore[arg-type]  # pytest-django would refuse a query here
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_is_there")
def test_it_is_ready_with_database_schema_and_redis() -> None:
    answer = Client().get("/readyz", **PROBE)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "database": "ok", "redis": "ok"})


@pytest.mark.django_db
def test_without_redis_it_serves_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_state, "is_there", lambda: False)
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "degraded", "database": "ok", "redis": "away"})


@pytest.mark.usefixtures("redis_is_there")
def test_without_its_database_it_is_not_ready_and_tells_strangers_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "ping", refuse)
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "database": "away", "redis": "ok"})


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_is_there")
def test_it_is_not_ready_before_the_migrations_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "missing_migrations", lambda: ["durable_host.0002_more"])
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "not migrated")


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_is_there")
def test_many_probes_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(outage, "ping", lambda: asked.append("database"))
    monkeypatch.setattr(health, "_REMEMBERED_SECONDS", 60.0)
    client = Client()
    assert [client.get("/readyz").status_code for _ in range(20)] == [200] * 20
    assert asked == ["database"]
