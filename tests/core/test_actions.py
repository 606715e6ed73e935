"""What a turn asks of the world, as plain data for the store."""

from datetime import timedelta

from durable_host import OrchestrationContext, RetryPolicy
from durable_host.core import events as ev
from durable_host.core.actions import Actions, ScheduleActivity, ScheduleTimer, SendMessage, StartChild, actions_of
from durable_host.core.registry import Registry

from .story import T0, at, failed, fired, given


async def busy(ctx: OrchestrationContext) -> None:
    """Ask for one of each."""
    ctx.call_activity("work", [1])
    ctx.create_timer(timedelta(seconds=9))
    ctx.call_sub_orchestrator("kid", 2, version="3")
    ctx.send_event("order-2", "go", 4)
    await ctx.call_activity("elsewhere", retry=RetryPolicy(first_retry_interval=timedelta(seconds=1)))


def slow(n: int) -> None:
    """Work in a queue of its own."""


def test_each_request_has_its_action() -> None:
    registry = Registry()
    registry.add_orchestrator(busy)
    registry.add_activity(slow, "work", queue="slow")
    story = given(busy, registry=registry)
    fires = ev.TimerFired(timestamp=at(9), task_scheduled_id=1, fire_at=at(9))
    kid = ev.ExecutionStarted(timestamp=T0, name="kid", input="2", version="3", parent_instance_id="order-1")
    assert actions_of(story.result.scheduled, "order-1", registry) == Actions(
        activities=(
            ScheduleActivity(0, "work", "[1]", "slow", 0),
            ScheduleActivity(4, "elsewhere", None, "default", 4),
        ),
        timers=(ScheduleTimer(1, fires),),
        children=(StartChild(2, "order-1:0:0002", kid),),
        messages=(SendMessage("order-2", ev.EventRaised(timestamp=T0, name="go", input="4")),),
    )


def test_a_retry_remembers_its_first_attempt() -> None:
    story = given(busy).when(failed(4, ValueError())).when(fired(5))
    [again] = actions_of(story.result.scheduled, "order-1", story.registry).activities
    assert (again.task_id, again.first_attempt_id) == (6, 4)


def test_nothing_asks_for_nothing() -> None:
    assert actions_of((), "order-1", Registry()) == Actions()
