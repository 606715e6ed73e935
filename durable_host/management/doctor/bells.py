"""Redis: whether bells can ring, and stay until they are heard."""

from __future__ import annotations

from collections.abc import Iterator

from durable_host.conf import host_settings
from durable_host.dispatch import redis_state

from .findings import Finding, good, warn


def examine() -> Iterator[Finding]:
    """Look at the Redis of the turn queue."""
    sweep = f"{host_settings().sweep_interval.total_seconds():g} s"
    facts = redis_state.facts()
    if isinstance(facts, str):
        yield warn(
            f"Redis does not answer: {facts}",
            f"Nothing is lost and all goes on, but by the sweep: a start may wait {sweep} for a worker.",
            "See that its server runs and that REDIS_URL names it.",
        )
        return
    yield good(f"Redis {facts.version} answers.")
    if facts.eviction != redis_state.NO_EVICTION:
        yield warn(
            f"Redis may throw away bells: its maxmemory-policy is {facts.eviction}.",
            f"What they announced then waits for the sweep ({sweep}); RQ may lose sight of its workers.",
            "redis-cli CONFIG SET maxmemory-policy noeviction; and the same in redis.conf",
        )
    else:
        yield good("Redis evicts nothing.")
