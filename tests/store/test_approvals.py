"""Questions to people: whose they are, which come first, and that each is answered once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from durable_host import OrchestrationContext, desk
from durable_host.core.access import Operation, may_answer
from durable_host.store import approvals, audit
from durable_host.store.approvals import Person, VerdictKind, WaitFilter, WaitScope
from durable_host.store.audit import Asked
from tests.store.conftest import MovingClock
from tests.store.workbench import STORE, Workbench

pytestmark = STORE
HUB = "default"


async def ask(ctx: OrchestrationContext, asked: dict[str, Any]) -> Any:
    due = asked.get("due")
    wait = ctx.wait_for_external_event(
        "Approval",
        bool,
        title=f"Question of {ctx.instance_id}",
        assignees=asked.get("who", []),
        timeout=None if due is None else timedelta(minutes=due),
    )
    try:
        return await wait
    except TimeoutError:
        return "late"


async def ask_twice(ctx: OrchestrationContext) -> list[bool]:
    return [await ctx.wait_for_external_event("Approval", bool), await ctx.wait_for_external_event("approval", bool)]


async def escalate(ctx: OrchestrationContext) -> str:
    timer = ctx.create_timer(ctx.current_utc_datetime + timedelta(minutes=1))
    await ctx.when_any([ctx.wait_for_external_event("Approval", bool), timer])
    await ctx.wait_for_external_event("Escalated")
    return "escalated"


@pytest.fixture(autouse=True)
def functions(bench: Workbench) -> None:
    for one in (ask, ask_twice, escalate):
        bench.orchestrator(one)


def by(who: str, instance_id: str = "one") -> Asked:
    return Asked(
        hub=HUB, actor_kind="user", actor=who, address="::1", operation=Operation.RAISE_EVENT, instance_id=instance_id
    )


def shown(**wanted: Any) -> list[str]:
    return [one.instance_id for one in approvals.open_waits(HUB, WaitFilter(**wanted)).waits]


def test_the_most_urgent_comes_first_on_every_page(bench: Workbench, moving_clock: MovingClock) -> None:
    for name, due in (("calm", None), ("later", 60), ("calm2", None), ("soon", 5)):
        bench.start("ask", {"due": due}, instance_id=name)
    found: list[str] = []
    cursor = None
    while cursor or not found:
        page = approvals.open_waits(HUB, WaitFilter(), page_size=1, cursor=cursor)
        found += [one.instance_id for one in page.waits]
        cursor = page.cursor
    assert found == ["soon", "later", "calm", "calm2"]
    moving_clock.advance(minutes=10)
    assert shown(overdue_only=True) == ["soon"]
    assert shown(orchestrator="ask", instance_id="calm") == ["calm"]
    assert shown(orchestrator="other") == []


def test_whose_question_it_is(bench: Workbench) -> None:
    for name, who in (("anns", ["ann"]), ("bobs", ["bob"]), ("finance", ["finance", "bob"]), ("anybody", [])):
        bench.start("ask", {"who": who}, instance_id=name)
    ann = Person("ann", frozenset({"finance"}))
    assert shown(scope=WaitScope.MINE, person=ann) == ["anns"]
    assert shown(scope=WaitScope.MY_GROUPS, person=ann) == ["finance"]
    assert shown(scope=WaitScope.OPEN_TO_ME, person=ann) == ["anns", "finance", "anybody"]
    assert len(shown()) == 4
    assert str(approvals.count_open_waits(HUB, WaitFilter(scope=WaitScope.OPEN_TO_ME, person=ann))) == "3"
    assert all((may_answer([], "ann", []), may_answer(["ann"], "ann", []), may_answer(["finance"], "x", {"finance"})))
    assert not may_answer(["Ann", "Finance"], "ann", {"finance"})


def test_a_decision_is_taken_and_recorded(bench: Workbench) -> None:
    bench.start("ask", {}, instance_id="one")
    verdict = desk.decide(by("ann"), "approval", True, "looks fine")
    assert verdict.is_decided
    bench.run()
    assert bench.output("one") is True
    (decided,) = approvals.decided_waits(HUB, since=timezone.now() - timedelta(days=1)).items
    assert (decided.by, decided.event_name, decided.answer, decided.comment, decided.orchestrator) == (
        "ann",
        "Approval",
        True,
        "looks fine",
        "ask",
    )
    assert approvals.decided_waits(HUB, since=timezone.now() - timedelta(days=1), by="bob").items == ()
    assert audit.latest(HUB)[0].outcome == "done"


def test_a_second_decision_changes_nothing_before_and_after_the_turn(bench: Workbench) -> None:
    bench.start("ask", {}, instance_id="one")
    assert desk.decide(by("ann"), "Approval", True).is_decided
    early = desk.decide(by("bob"), "Approval", False)
    bench.run()
    late = desk.decide(by("bob"), "Approval", False)
    for verdict in (early, late):
        assert verdict.kind is VerdictKind.ALREADY_DECIDED
        assert verdict.by == "ann"
        assert "ann has answered already" in verdict.message
    assert bench.output("one") is True
    assert len(audit.latest(HUB)) == 1


def test_the_next_question_of_the_same_name_can_be_answered(bench: Workbench) -> None:
    bench.start("ask_twice", instance_id="one")
    assert desk.decide(by("ann"), "Approval", True).is_decided
    bench.run()
    assert desk.decide(by("ann"), "Approval", False).is_decided
    bench.run()
    assert bench.output("one") == [True, False]


def test_after_its_time_a_question_is_not_answered_even_before_the_timer_was_taken(
    bench: Workbench, moving_clock: MovingClock
) -> None:
    bench.start("ask", {"due": 5}, instance_id="one")
    moving_clock.advance(minutes=6)
    verdict = desk.decide(by("ann"), "Approval", True)
    assert verdict.kind is VerdictKind.TIMED_OUT
    bench.run()
    assert bench.output("one") == "late"
    assert desk.decide(by("ann"), "Approval", True).kind is VerdictKind.ENDED
    assert desk.decide(by("ann"), "Other", True).kind is VerdictKind.ENDED
    assert desk.decide(by("ann", "nobody"), "Approval", True).kind is VerdictKind.NOT_FOUND


def test_a_question_that_the_code_has_let_go_is_asked_no_more(bench: Workbench, moving_clock: MovingClock) -> None:
    bench.start("escalate", instance_id="one")
    assert [one.event_name for one in approvals.open_waits(HUB, WaitFilter()).waits] == ["Approval"]
    moving_clock.advance(minutes=2)
    bench.run()
    assert [one.event_name for one in approvals.open_waits(HUB, WaitFilter()).waits] == ["Escalated"]
    assert desk.decide(by("ann"), "Approval", True).kind is VerdictKind.NOT_OPEN


def test_of_many_who_decide_at_once_one_does(bench: Workbench) -> None:
    bench.start("ask", {}, instance_id="one")
    verdicts: list[Any] = []

    def decide(number: int) -> None:
        try:
            verdicts.append(approvals.decide(by(f"person {number}"), "Approval", "true")[0])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.kind for one in verdicts) == [VerdictKind.ALREADY_DECIDED] * 5 + [VerdictKind.DECIDED]
    winner = next(one.by for one in verdicts if one.is_decided)
    assert {one.by for one in verdicts} == {winner}
