"""The watchdog sleeps while there is nothing to watch, and misses nothing."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext
from durable_host.conf import host_settings
from durable_host.core.payload import PayloadCodec
from durable_host.dispatch import watchdog
from durable_host.dispatch.activities import ActivityPool
from durable_host.dispatch.turns import TurnRunner
from durable_host.dispatch.watchdog import Watchdog
from durable_host.dispatch.witness import Witness
from durable_host.store import claims
from tests.services import PATIENCE
from tests.store.workbench import STORE, Workbench

pytestmark = STORE


def test_a_turn_that_begins_while_it_sleeps_is_ended_at_its_limit(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a watchdog that sleeps for longer than anybody waits
    asleep, ended = threading.Event(), threading.Event()
    sleep = Watchdog._sleep

    def fall_asleep(self: Watchdog) -> None:
        asleep.set()
        sleep(self)

    monkeypatch.setattr(watchdog, "_REASSURE", 10 * PATIENCE)
    monkeypatch.setattr(watchdog, "_PETRIFIED", 20 * PATIENCE)
    monkeypatch.setattr(Watchdog, "_sleep", fall_asleep)
    monkeypatch.setattr(Watchdog, "_end_process", lambda *_: ended.set())
    settings, codec = host_settings(), PayloadCodec()
    turns = TurnRunner(bench.registry, codec, settings, Witness())
    pool = ActivityPool(bench.registry, codec, settings, 1, lambda _: None)
    dog = Watchdog("worker", "code", turns, pool, [], [])
    monkeypatch.setattr(dog, "_limit", 0.2)

    # when: a turn begins that does not come back before its end is wanted
    async def endless(ctx: OrchestrationContext) -> Any:
        return ended.wait(PATIENCE)

    bench.orchestrator(endless)
    bench.client.start_new("endless")
    claimed, _ = claims.claim_turns("default", "worker", limit=1, lease=timedelta(seconds=10))
    with dog:
        assert asleep.wait(PATIENCE)
        turns.decide(claimed, [], ())

    # then
    assert ended.is_set()
