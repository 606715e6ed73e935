"""What is known of Redis: whether it is there, and whether it keeps what it is given."""

from __future__ import annotations

import logging

import pytest
from redis import Redis

from durable_host.dispatch import doorbell, redis_state
from durable_host.dispatch.redis_state import RedisFacts
from durable_host.embedded import EmbeddedRedis

pytestmark = pytest.mark.once


@pytest.fixture
def connection(redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """The Redis of this test process; nothing is remembered of it."""
    monkeypatch.setattr(redis_state._Known, "until", 0.0)
    return doorbell.connection_of("default")


def test_a_redis_that_keeps_everything(connection: Redis, caplog: pytest.LogCaptureFixture) -> None:
    facts = redis_state.facts()
    assert isinstance(facts, RedisFacts)
    assert facts.eviction == "noeviction"
    assert redis_state.is_there()
    redis_state.warn_of_eviction()
    assert not caplog.records


@pytest.mark.case(8)
def test_a_worker_warns_of_a_redis_that_evicts(connection: Redis, caplog: pytest.LogCaptureFixture) -> None:
    connection.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with caplog.at_level(logging.WARNING):
            redis_state.warn_of_eviction()
    finally:
        connection.config_set("maxmemory-policy", "noeviction")
    assert "set maxmemory-policy noeviction" in caplog.text


def test_a_redis_that_is_away(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    away = Redis(unix_socket_path="/nowhere/redis.sock")
    monkeypatch.setattr(doorbell, "connection_of", lambda name: away)
    monkeypatch.setattr(redis_state._Known, "until", 0.0)
    assert not redis_state.is_there()
    assert "/nowhere/redis.sock" in str(redis_state.facts())
    redis_state.warn_of_eviction()
    assert not caplog.records
