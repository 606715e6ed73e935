"""What comes while a turn is being committed is neither lost nor left to the sweep, and ending always works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durable_host import InvalidOperationError, OrchestrationContext
from durable_host.client import DurableClient
from durable_host.dispatch import committing, doorbell
from durable_host.store.checkpoint import checkpoint
from tests.faults.histories import assert_gap_free
from tests.store.workbench import STORE, Workbench

pytestmark = STORE


async def two_letters(ctx: OrchestrationContext) -> list[Any]:
    return [await ctx.wait_for_external_event("letter") for _ in range(2)]


#: what comes → status in the end, and output
COMES: dict[str, tuple[Callable[[DurableClient], None], str, Any]] = {
    "an event": (lambda client: client.raise_event("one", "letter", 2), "Completed", [1, 2]),
    "a suspension": (lambda client: client.suspend("one"), "Suspended", None),
    "a termination": (lambda client: client.terminate("one", "enough"), "Terminated", "enough"),
}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """An instance to which the first of two letters is under way; bells are not heard."""
    monkeypatch.setattr(doorbell, "ring", lambda wake: None)
    found = Workbench()
    found.orchestrator(two_letters)
    found.start("two_letters", instance_id="one")
    found.client.raise_event("one", "letter", 1)
    return found


@pytest.mark.parametrize("what", COMES)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.case(14, 29)
def test_what_comes_around_a_commit_is_taken_in_the_next_turn(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, what: str, moment: str
) -> None:
    act, status, output = COMES[what]
    acts = [act]

    def beset(*args: Any) -> Any:
        if moment == "before" and acts:
            acts.pop()(bench.client)
        receipt = checkpoint(*args)
        if moment == "after" and acts:
            acts.pop()(bench.client)
        return receipt

    monkeypatch.setattr(committing, "checkpoint", beset)
    bench.run()  # until nothing is ready: no sweep comes to its help
    assert (bench.status("one").runtime_status, bench.status("one").output) == (status, output)
    assert bench.kinds("one").count("EventRaised") == (2 if what == "an event" else 1)
    assert_gap_free()


@pytest.mark.case(29)
def test_an_instance_is_not_purged_under_its_turn(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def beset(*args: Any) -> Any:
        with pytest.raises(InvalidOperationError):
            bench.client.purge("one")
        return checkpoint(*args)

    monkeypatch.setattr(committing, "checkpoint", beset)
    bench.run()
    bench.client.raise_event("one", "letter", 2)
    bench.run()
    assert bench.output("one") == [1, 2]
