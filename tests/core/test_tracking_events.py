"""Tracking records of external events, and of what clients steer."""

from dataclasses import replace

from durable_host.core.context import OrchestrationContext
from durable_host.core.status import RuntimeStatus
from durable_host.core.tracking import (
    Teller,
)

from .lives import log_of, sketch
from .story import (
    Story,
    at,
    completed,
    fired,
    given,
    raised,
    resumed,
    started,
    suspended,
    terminate,
)


async def listener(ctx: OrchestrationContext, names: list[str]) -> None:
    for name in names:
        await ctx.wait_for_external_event(name)
    await ctx.call_activity("work")


def test_an_event_that_somebody_waits_for_is_raised() -> None:
    story = given(listener, ["Go"]).when(raised("gO", 1))
    log = log_of(story)

    assert sketch(log)[1:] == [
        "turn listener Started",
        "turn listener Listening WaitForExternalEvent:Go",
        "turn listener Awaited",
        "client listener Scheduled RaiseEvent:gO",
        "turn listener ExternalEventRaised gO",
        "turn work Scheduled listener",
        "turn listener Awaited",
    ]
    assert log[5].input == "1"


def test_an_event_that_nobody_waits_for_is_dropped_and_raised_when_somebody_does() -> None:
    """The extension tells no Listening for a wait that a saved event satisfies at once."""
    story = given(listener, ["first", "second"]).when(raised("SECOND", 2)).when(raised("first", 1))

    assert sketch(log_of(story))[4:] == [
        "client listener Scheduled RaiseEvent:SECOND",
        "turn listener ExternalEventDropped SECOND",
        "turn listener Awaited",
        "client listener Scheduled RaiseEvent:first",
        "turn listener ExternalEventRaised first",
        "turn work Scheduled listener",
        "turn listener ExternalEventRaised second",
        "turn listener Awaited",
    ]


def test_events_that_come_together_find_the_waits_of_their_turn() -> None:
    story = given(listener, ["Go", "go", "GO"], raised("go", 1), raised("go", 2))

    assert sketch(log_of(story)) == [
        "client listener Scheduled NewInstance",
        "client listener Scheduled RaiseEvent:go",
        "client listener Scheduled RaiseEvent:go",
        "turn listener Started",
        "turn listener Listening WaitForExternalEvent:Go",
        "turn listener ExternalEventRaised go",
        "turn listener Listening WaitForExternalEvent:go",
        "turn listener ExternalEventRaised go",
        "turn listener Listening WaitForExternalEvent:GO",
        "turn listener Awaited",
    ]


async def keeper(ctx: OrchestrationContext, left: int) -> None:
    await ctx.call_activity("work")
    if left:
        ctx.continue_as_new(left - 1, save_events=True)
    else:
        await ctx.wait_for_external_event("late")


def test_a_new_execution_keeps_the_events_that_nobody_took() -> None:
    first = given(keeper, 1).when(raised("late", 7)).when(completed(0))
    following = first.result.next_started
    assert following is not None
    second = Story(first.registry, generation=1).when(following).when(completed(0))

    assert sketch(log_of(first))[-2:] == ["activity work Completed", "turn keeper Completed anew"]
    assert log_of(first)[-1].runtime_status is RuntimeStatus.COMPLETED
    assert sketch(log_of(second)) == [
        "turn keeper Started",
        "turn keeper ExternalEventDropped late",
        "turn work Scheduled keeper",
        "turn keeper Awaited",
        "activity work Completed",
        "turn keeper ExternalEventRaised late",
        "turn keeper Completed",
    ]


async def sleeper(ctx: OrchestrationContext) -> None:
    await ctx.create_timer(at(60))
    await ctx.wait_for_external_event("go")


def test_what_a_client_steers_is_told_and_what_waits_for_the_end_of_a_pause_is_told_then() -> None:
    story = given(sleeper).when(suspended("lunch")).when(replace(fired(0), fire_at=at(60)), raised("go"), after=99)
    story.when(resumed("back"))
    log = log_of(story)

    assert sketch(log)[2:] == [
        "turn sleeper Listening CreateTimer:2024-05-01T12:01:00.0000000Z",
        "turn sleeper Awaited",
        "client sleeper Suspended lunch",
        "turn sleeper Awaited",
        "client sleeper Scheduled RaiseEvent:go",
        "turn sleeper Awaited",
        "client sleeper Scheduled back",
        "turn sleeper TimerExpired 12:01:00",
        "turn sleeper Listening WaitForExternalEvent:go",
        "turn sleeper ExternalEventRaised go",
        "turn sleeper Completed",
    ]
    assert [one.runtime_status for one in log if one.teller is Teller.CLIENT] == [
        RuntimeStatus.PENDING,
        RuntimeStatus.SUSPENDED,
        RuntimeStatus.PENDING,
        RuntimeStatus.RUNNING,
    ]


def test_the_end_by_termination_is_the_clients_to_tell() -> None:
    """No code runs in that turn: the event that came with it is neither raised nor dropped, nothing completes."""
    story = given(listener, ["go"])
    terminate(story, raised("go"), completed(9), reason="enough")
    last = log_of(story)[-1]

    assert sketch(log_of(story))[4:] == [
        "client listener Scheduled RaiseEvent:go",
        "client listener Terminated enough",
    ]
    assert last.runtime_status is RuntimeStatus.TERMINATED


def test_an_instance_that_is_ended_before_its_first_turn_never_started() -> None:
    story = given(listener, ["go"])
    del story.records[:]
    terminate(story, started("listener", ["go"]), reason={"why": 1})

    assert sketch(log_of(story)) == ["client listener Scheduled NewInstance", 'client listener Terminated {"why":1}']
