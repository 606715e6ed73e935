"""The doctor beside faults that are real, not made up: of the database's settings, of Redis, of workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from redis import Redis

from durable_host.dispatch import doorbell, redis_state
from durable_host.embedded import EmbeddedRedis
from tests.cli.conftest import durable

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]


def said() -> list[str]:
    """What the doctor finds wrong, each with what to do."""
    found = durable("doctor", "--json").json()["findings"]
    wrong = [one for one in found if one["level"] != "good"]
    assert all(one["remedy"] for one in wrong), wrong
    return [f"{one['level']}: {one['what']} {one['remedy']}" for one in wrong]


@contextmanager
def forgetful() -> Iterator[str]:
    """Have this connection not wait for the disk; give how the doctor calls it."""
    is_sqlite = connection.vendor == "sqlite"
    before, off = ("synchronous", "OFF") if is_sqlite else ("synchronous_commit", "off")
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {before}=OFF" if is_sqlite else f"SET {before} = {off}")
        try:
            yield "bad: SQLite is not set up" if is_sqlite else "synchronous_commit=off"
        finally:
            cursor.execute("PRAGMA synchronous=FULL" if is_sqlite else "RESET synchronous_commit")


def test_a_database_that_does_not_wait_for_the_disk() -> None:
    with forgetful() as begin:
        assert any(begin in one for one in said())
    assert not any(begin in one for one in said())


@pytest.mark.once
def test_writers_that_do_not_wait_for_each_other() -> None:
    with connection.cursor() as cursor:
        (before,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute("PRAGMA busy_timeout=0")
        try:
            assert any("not true that busy_timeout is 5000 ms or more" in one for one in said())
        finally:
            cursor.execute(f"PRAGMA busy_timeout={before}")


@pytest.mark.once
def test_a_redis_that_evicts(redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_state._Known, "until", 0.0)
    redis: Redis = doorbell.connection_of("default")
    redis.config_set("maxmemory-policy", "volatile-lru")
    try:
        assert any("maxmemory-policy is volatile-lru" in one and "noeviction" in one for one in said())
    finally:
        redis.config_set("maxmemory-policy", "noeviction")


def test_a_worker_that_nobody_has_started() -> None:
    assert any("Nobody works on the queue 'default'" in one and "durable_worker" in one for one in said())
