"""A host whose own work goes on at once finishes that first, and still looks for other work within a moment."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from durable_host import OrchestrationContext
from durable_host.dispatch import host, prospect
from durable_host.dispatch.prospect import Prospect
from durable_host.store import claims
from tests.store.workbench import STORE, Workbench

STEPS = 20
#: seconds: longer than any test
NEVER = 3600.0


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """How many instances each look for turns has found."""
    found: list[int] = []
    claim = claims.claim_turns

    def counted(*args: object, **options: object) -> object:
        claimed = claim(*args, **options)  # type: ignore[arg-type]
        found.append(len(claimed[0]))
        return claimed

    with patch.object(claims, "claim_turns", counted):
        yield found


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Workbench:
    monkeypatch.setattr(host, "_BLINK", 10.0)  # however slow the machine is, an activity ends within it
    bench = Workbench()
    bench.activity(lambda number: number + 1, name="add_one")

    @bench.orchestrator
    async def chain(ctx: OrchestrationContext, length: int) -> int:
        number = 0
        for _ in range(length):
            number = await ctx.call_activity("add_one", number)
        return number

    return bench


class TestOfAChain:
    pytestmark = STORE

    def test_its_steps_follow_each_other_without_a_look_between(
        self, bench: Workbench, looks: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prospect, "_MOMENT", NEVER)
        assert bench.output(bench.start("chain", STEPS)) == STEPS
        # then: it was looked for its start, and for whatever else there might be once it was over
        assert len(looks) < 5

    def test_others_are_looked_for_when_the_moment_is_over(
        self, bench: Workbench, looks: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prospect, "_MOMENT", 0.0)
        # given: an instance that nobody rings for is started while a chain goes on
        bench.activity(lambda _: bench.client.start_new("chain", 0, instance_id="other"), name="start_other")

        @bench.orchestrator
        async def starting(ctx: OrchestrationContext, _: None) -> None:
            await ctx.call_activity("start_other")
            for number in range(STEPS):
                await ctx.call_activity("add_one", number)

        starter = bench.start("starting")
        # then: it was over before the chain was
        assert bench.status("other").last_updated_at < bench.status(starter).last_updated_at
        assert len(looks) > STEPS


def test_what_is_guessed_waits_for_own_work_and_no_longer_than_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    guessed = Prospect()
    guessed.looked(is_more=False)
    expected = [guessed.may_exist]
    guessed.guess()
    assert [*expected, guessed.may_exist] == [False, True]
    assert guessed.can_wait(is_in_step=True)
    assert not guessed.can_wait(is_in_step=False)
    # when: the moment is over
    monkeypatch.setattr("durable_host.dispatch.prospect.time.monotonic", lambda: guessed._look_by)
    assert not guessed.can_wait(is_in_step=True)


def test_what_is_known_does_not_wait() -> None:
    known = Prospect()
    known.know()
    assert not known.can_wait(is_in_step=True)
    # and: where a look finds more than can be taken, the rest is known
    known.looked(is_more=True)
    assert known.may_exist
    assert not known.can_wait(is_in_step=True)
