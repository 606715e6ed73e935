"""Code that cannot be replayed fails at once, with the file and line of the mistake and the durable alternative."""

import asyncio
import inspect
import re
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from durable_host import NonDurableAwaitError, OrchestrationContext, OrchestratorCodeError, RuntimeStatus, Task

from .story import Story, completed, given, registry_of, started

MARK = "# here"


def marked_line(function: Callable[..., Any]) -> str:
    """Return ``file:line`` of the line of a function that carries the mark."""
    lines, first = inspect.getsourcelines(function)
    [offset] = [number for number, line in enumerate(lines) if MARK in line]
    return f"{__file__}:{first + offset}"


def then_names_the_line(story: Story, error: type[BaseException], function: Callable[..., Any], *words: str) -> None:
    """Check that the instance failed with a message that begins with the marked line."""
    story.then_failed(error, *words)
    details = story.completion.failure_details
    assert details is not None
    assert details.error_message.startswith(f"{marked_line(function)}: "), details.error_message


# --- waiting for something else ---------------------------------------------------------------------------------------


async def sleeps_nothing(ctx: OrchestrationContext) -> None:
    """Yield to an event loop that is not there."""
    await ctx.call_activity("work")
    await asyncio.sleep(0)  # here


async def sleeps(ctx: OrchestrationContext) -> None:
    """Sleep."""
    await ctx.call_activity("work")
    await asyncio.sleep(1)  # here


async def helped(ctx: OrchestrationContext) -> None:
    """Sleep in a helper."""
    await ctx.call_activity("work")
    await sleeping_helper()


async def sleeping_helper() -> None:
    """Sleep."""
    await asyncio.sleep(0)  # here


async def waits_for_event_object(ctx: OrchestrationContext) -> None:
    """Wait for asyncio's own event."""
    await ctx.call_activity("work")
    await asyncio.Event().wait()  # here


async def waits_for_queue(ctx: OrchestrationContext) -> None:
    """Wait for asyncio's own queue."""
    await ctx.call_activity("work")
    await asyncio.Queue[int]().get()  # here


async def times_out(ctx: OrchestrationContext) -> None:
    """Use asyncio's time limit."""
    async with asyncio.timeout(1):  # here
        await ctx.call_activity("work")


async def to_thread(ctx: OrchestrationContext) -> None:
    """Use asyncio's threads."""
    await ctx.call_activity("work")
    await asyncio.to_thread(print)  # here


@pytest.mark.parametrize(
    "function", [sleeps_nothing, sleeps, waits_for_event_object, waits_for_queue, times_out, to_thread]
)
def test_awaiting_asyncio_names_the_line(function: Any) -> None:
    story = given(function)
    if story.result.status is RuntimeStatus.RUNNING:
        story.when(completed(0))
    then_names_the_line(story, NonDurableAwaitError, function, "create_timer for time", "call_activity for I/O")


def test_awaiting_asyncio_in_a_helper_names_the_line_of_the_helper() -> None:
    then_names_the_line(given(helped).when(completed(0)), NonDurableAwaitError, sleeping_helper, "'helped'")


def test_awaiting_a_bare_future_names_the_line() -> None:
    loop = asyncio.new_event_loop()

    async def impatient(ctx: OrchestrationContext) -> None:
        await loop.create_future()  # here

    story = given(impatient)
    then_names_the_line(
        story, NonDurableAwaitError, impatient, "'impatient' waits for a Future, which is not a durable"
    )
    loop.close()


def test_gathering_durable_tasks_with_asyncio_fails() -> None:
    async def gathering(ctx: OrchestrationContext) -> None:
        await asyncio.wait_for(ctx.call_activity("work"), 5)  # here

    then_names_the_line(given(gathering), NonDurableAwaitError, gathering)


def test_asyncio_in_a_thread_without_loop_fails_alike() -> None:
    async def gathering(ctx: OrchestrationContext) -> None:
        asyncio.get_event_loop()  # here

    stories: list[Story] = []
    thread = threading.Thread(target=lambda: stories.append(given(gathering)))
    thread.start()
    thread.join()
    then_names_the_line(stories[0], NonDurableAwaitError, gathering)


def test_other_runtime_errors_are_left_alone() -> None:
    async def unlucky(ctx: OrchestrationContext) -> None:
        raise RuntimeError("the event horizon")

    given(unlucky).then_failed(RuntimeError, "the event horizon")


# --- yielding something else ------------------------------------------------------------------------------------------


def yields_a_value(context: OrchestrationContext) -> Generator[Any, Any, None]:
    """Yield a value."""
    yield context.call_activity("work")
    yield 5  # here


def yields_nothing(context: OrchestrationContext) -> Generator[Any, Any, None]:
    """Yield nothing."""
    yield context.call_activity("work")
    yield  # here


def yields_a_list(context: OrchestrationContext) -> Generator[Any, Any, None]:
    """Forget task_all."""
    yield context.call_activity("work")
    yield [context.call_activity("a"), context.call_activity("b")]  # here


def yields_from_helper(context: OrchestrationContext) -> Generator[Any, Any, None]:
    """Yield a value in a helper."""
    yield context.call_activity("work")
    yield from yielding_helper()


def yielding_helper() -> Generator[Any, Any, None]:
    """Yield a value."""
    yield "value"  # here


@pytest.mark.parametrize(
    ("function", "place", "what"),
    [
        (yields_a_value, yields_a_value, "waits for a int"),
        (yields_nothing, yields_nothing, "waits for nothing"),
        (yields_a_list, yields_a_list, "waits for a list"),
        (yields_from_helper, yielding_helper, "waits for a str"),
    ],
)
def test_yielding_something_else_names_the_line(function: Any, place: Any, what: str) -> None:
    then_names_the_line(given(function).when(completed(0)), NonDurableAwaitError, place, what)


def test_an_async_generator_is_refused_when_it_is_registered() -> None:
    async def mixed(context: OrchestrationContext) -> AsyncGenerator[Task[Any], Any]:
        yield context.call_activity("work")

    with pytest.raises(TypeError, match="mixes async def with yield"):
        registry_of(mixed)


# --- using the context at the wrong time ------------------------------------------------------------------------------


def error_of(function: Callable[[], Any]) -> str:
    """Return the message of the error that a call raises."""
    with pytest.raises(OrchestratorCodeError) as caught:
        function()
    return str(caught.value)


def kept_context(end: bool) -> OrchestrationContext:
    """Return the context of an orchestrator that has ended, or waits."""
    kept: list[OrchestrationContext] = []

    async def leaking(ctx: OrchestrationContext) -> None:
        kept.append(ctx)
        if not end:
            await ctx.call_activity("work")

    story = Story(registry_of(leaking))
    story.live.turn([started("leaking")], story.now)
    return kept[0]


CALLS: dict[str, Callable[[OrchestrationContext], Any]] = {
    "call_activity": lambda ctx: ctx.call_activity("a"),
    "call_sub_orchestrator": lambda ctx: ctx.call_sub_orchestrator("a"),
    "create_timer": lambda ctx: ctx.create_timer(ctx.current_utc_datetime),
    "wait_for_external_event": lambda ctx: ctx.wait_for_external_event("a"),
    "send_event": lambda ctx: ctx.send_event("a", "b"),
    "continue_as_new": lambda ctx: ctx.continue_as_new(),
    "set_custom_status": lambda ctx: ctx.set_custom_status(1),
}


@pytest.mark.parametrize("call", CALLS)
def test_calling_after_the_end_names_the_line(call: str) -> None:
    message = error_of(lambda: CALLS[call](kept_context(end=True)))
    assert re.match(rf"{re.escape(__file__)}:\d+: the context of instance 'order-1' was used after its orch", message)


@pytest.mark.parametrize("call", CALLS)
def test_calling_between_turns_names_the_line(call: str) -> None:
    message = error_of(lambda: CALLS[call](kept_context(end=False)))
    assert re.match(rf"{re.escape(__file__)}:\d+: the context of instance 'order-1' was used outside its", message)


def test_calling_from_a_thread_names_the_line() -> None:
    async def threaded(ctx: OrchestrationContext) -> None:
        errors: list[Exception] = []

        def work() -> None:
            try:
                ctx.call_activity("work")  # here
            except OrchestratorCodeError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        raise errors[0]

    story = given(threaded)
    then_names_the_line(story, OrchestratorCodeError, threaded, "from a thread")
    assert list(story.result.scheduled) == []


def test_an_execution_may_move_from_thread_to_thread() -> None:
    async def steady(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("a")
        await ctx.call_activity("b")

    story = given(steady)
    thread = threading.Thread(target=lambda: story.when(completed(0)))
    thread.start()
    thread.join()
    story.when(completed(1)).then_completed(None)


# --- catching the cancellation of a turn ------------------------------------------------------------------------------


async def catches_everything(ctx: OrchestrationContext) -> None:
    """Wait again after GeneratorExit."""
    task = ctx.call_activity("work")
    try:
        await task
    except BaseException:
        await task  # here


def yields_again(context: OrchestrationContext) -> Generator[Task[Any], Any, None]:
    """Wait again after GeneratorExit."""
    task = context.call_activity("work")
    try:
        yield task
    except BaseException:
        yield task  # here


async def cleans_up(ctx: OrchestrationContext) -> None:
    """Do durable work in finally."""
    try:
        await ctx.call_activity("work")
    finally:
        ctx.call_activity("clean up")  # here


async def breaks(ctx: OrchestrationContext) -> None:
    """Raise in finally."""
    try:
        await ctx.call_activity("work")
    finally:
        raise LookupError("oops")  # here


def breaks_yielding(context: OrchestrationContext) -> Generator[Task[Any], Any, None]:
    """Raise on the cancellation."""
    try:
        yield context.call_activity("work")
    except GeneratorExit:
        raise RuntimeError("oops") from None  # here


@pytest.mark.parametrize("function", [catches_everything, yields_again, cleans_up, breaks, breaks_yielding])
def test_it_names_the_line_where_the_cancellation_of_a_turn_is_caught(function: Any) -> None:
    story = Story(registry_of(function))
    story.live.turn([started(function.__name__)], story.now)
    message = error_of(story.live.unload)
    assert message.startswith(f"{marked_line(function)}: "), message


def test_the_message_says_what_to_do() -> None:
    story = Story(registry_of(catches_everything))
    story.live.turn([started("catches_everything")], story.now)
    assert "Catch Exception instead of BaseException, and do no durable work in finally" in error_of(story.live.unload)


@pytest.mark.parametrize("end", [False, True])
def test_letting_go_of_well_behaved_code_is_silent(end: bool) -> None:
    seen: list[str] = []

    async def tidy(ctx: OrchestrationContext) -> None:
        try:
            await ctx.call_activity("work")
        finally:
            seen.append("closed")

    story = Story(registry_of(tidy))
    story.live.turn([started("tidy")], story.now)
    if end:
        story.live.turn([completed(0)], story.now)
    story.live.unload()
    story.live.unload()
    assert seen == ["closed"]


def test_durable_work_in_finally_works_where_the_code_is_not_unloaded() -> None:
    async def cleaning(ctx: OrchestrationContext) -> str:
        try:
            return str(await ctx.call_activity("work"))
        finally:
            await ctx.call_activity("clean up")

    given(cleaning).when(completed(0, "done")).when(completed(1)).then_completed("done")


def test_it_names_the_orchestrators_line_where_all_code_is_installed_as_a_library() -> None:
    source = (
        "async def installed(ctx):\n    await ctx.call_activity('work')\n    await __import__('asyncio').sleep(0)\n"
    )
    names: dict[str, Any] = {"__name__": "shop.orders"}
    exec(compile(source, "/venv/lib/site-packages/shop/orders.py", "exec"), names)  # noqa: S102
    story = given(names["installed"]).when(completed(0))
    story.then_failed(NonDurableAwaitError, "/venv/lib/site-packages/shop/orders.py:3: ")
