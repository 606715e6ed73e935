"""Random orchestrators meet random events: whatever happens, replay decides what the live execution decided."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from durable_host import OrchestrationContext, RetryPolicy, RuntimeStatus, Task, TaskFailedError
from durable_host.core import events as ev

from .story import Story, child_completed, child_failed, completed, failed, fired, raised, registry_of, resumed
from .story import started as begun
from .story import suspended as paused

POLICY = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=2)
REQUESTS: dict[str, Callable[[OrchestrationContext], Task[Any]]] = {
    "activity": lambda ctx: ctx.call_activity("work"),
    "retried": lambda ctx: ctx.call_activity("flaky", retry=POLICY),
    "child": lambda ctx: ctx.call_sub_orchestrator("kid"),
    "timer": lambda ctx: ctx.create_timer(timedelta(seconds=5)),
    "event": lambda ctx: ctx.wait_for_external_event("go"),
    "limited": lambda ctx: ctx.wait_for_external_event("stop", timeout=timedelta(seconds=5)),
}
COMBINATIONS = ("when_all", "task_all", "when_any", "each", "none", "nested")

#: an orchestrator is a list of steps: what to ask for, and how to wait for it
steps = st.lists(
    st.tuples(st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=4), st.sampled_from(COMBINATIONS)),
    min_size=1,
    max_size=4,
)
#: what happens: arrivals are chosen by number among what is possible then
happenings = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3), st.booleans()), max_size=25)


async def scripted(ctx: OrchestrationContext, script: list[tuple[list[str], str]]) -> Any:
    """Follow a script; look at everything on the way, and remember it."""
    seen: list[Any] = []
    kept: list[Task[Any]] = []
    for names, combination in script:
        tasks = [REQUESTS[name](ctx) for name in names]
        kept += tasks
        try:
            seen.append(await _wait(ctx, combination, tasks, kept))
        except (TaskFailedError, TimeoutError) as error:
            seen.append(str(error))
        seen.append([task.is_completed for task in kept])
        ctx.set_custom_status(len(seen))
        ctx.send_event("other", "progress", len(seen))
    if len(seen) % 3 == 0:
        ctx.continue_as_new(script[1:])
    return [seen, ctx.new_uuid(), ctx.current_utc_datetime]


async def _wait(ctx: OrchestrationContext, combination: str, tasks: list[Task[Any]], kept: list[Task[Any]]) -> Any:
    match combination:
        case "none":
            return None
        case "each":
            return [await task for task in tasks]
        case "when_any":
            return kept.index(await ctx.when_any(kept))
        case "nested":
            winner = await ctx.when_any([ctx.when_all(tasks), ctx.create_timer(timedelta(seconds=3))])
            return winner.is_failed
        case _:
            return await getattr(ctx, combination)(tasks)


def possible(story: Story) -> list[ev.HistoryEvent]:
    """Return what may arrive next, sensible or not."""
    arrivals: list[ev.HistoryEvent] = [raised("go", 1), raised("STOP", 2), raised("other"), paused(), resumed()]
    for event in story.history:
        match event:
            case ev.TaskScheduled():
                arrivals += [completed(event.event_id, 3), failed(event.event_id, ValueError("no"))]
            case ev.SubOrchestrationInstanceCreated():
                arrivals += [child_completed(event.event_id, 4), child_failed(event.event_id, KeyError("no"))]
            case ev.TimerCreated():
                arrivals.append(fired(event.event_id))
    return arrivals


@settings(max_examples=150, deadline=None)
@for_all(script=steps, happenings=happenings)
def test_replay_decides_as_the_live_execution_did(script: Any, happenings: list[tuple[int, int, bool]]) -> None:
    story = Story(registry_of(scripted)).when(begun("scripted", script))
    for choice, more, evict in happenings:
        if story.live.is_finished:
            break
        arrivals = possible(story)
        story.when(*(arrivals[(choice + 7 * number) % len(arrivals)] for number in range(more + 1)))
        if evict and not story.live.is_finished:
            story.evicted()
    outcomes = [event.task_scheduled_id for event in story.history if isinstance(event, ev.TaskOutcome)]
    assert len(outcomes) == len(set(outcomes)), "an outcome entered history twice"
    numbers = [event.event_id for event in story.history if event.event_id >= 0]
    assert numbers == list(range(len(numbers)))
    if story.result.status is RuntimeStatus.FAILED:
        story.rewound()
