"""What an orchestrator may know: the same on every replay."""

import logging
import uuid
from datetime import timedelta
from typing import Any

import pytest

from durable_host import OrchestrationContext, OrchestratorCodeError
from durable_host.core.errors import PayloadError

from .story import T0, Story, completed, fired, given, raised, registry_of, started


async def identified(ctx: OrchestrationContext) -> list[Any]:
    """Make ids in two turns."""
    ids = [ctx.new_uuid(), ctx.new_uuid(), ctx.new_guid()]
    await ctx.call_activity("work")
    return [*ids, ctx.new_uuid(), ctx.new_guid()]


def test_ids_are_the_same_on_every_replay_and_distinct() -> None:
    story = given(identified).evicted().when(completed(0))
    ids = story.completion.result
    assert ids is not None
    assert len(set(ids.strip("[]").split(","))) == 5
    assert given(identified).when(completed(0)).completion.result == ids


def test_ids_are_those_of_azure_functions_durable() -> None:
    # From the source of azure-functions-durable 1.7.0, DurableOrchestrationContext.new_uuid and new_guid.
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")
    story = given(identified).when(completed(0))
    story.then_completed(
        [
            str(uuid.uuid5(namespace, "order-1_2024-05-01T12:00:00.000000Z_0")),
            str(uuid.uuid5(namespace, "order-1_2024-05-01T12:00:00.000000Z_1")),
            str(uuid.uuid5(uuid.NAMESPACE_URL, "order-1_2024-05-01 12:00:00+00:00_2")),
            str(uuid.uuid5(namespace, "order-1_2024-05-01T12:00:01.000000Z_3")),
            str(uuid.uuid5(uuid.NAMESPACE_URL, "order-1_2024-05-01 12:00:01+00:00_4")),
        ]
    )


def test_ids_differ_between_instances() -> None:
    ids = set()
    for instance_id in ("order-1", "order-2"):
        story = Story(registry_of(identified), instance_id).when(started("identified")).when(completed(0))
        ids.add(story.completion.result)
    assert len(ids) == 2


async def watching(ctx: OrchestrationContext) -> list[Any]:
    """Read the clock in every turn."""
    times = [ctx.current_utc_datetime]
    for _ in range(3):
        await ctx.call_activity("work")
        times += [ctx.current_utc_datetime]
    assert all(one.utcoffset() == timedelta(0) for one in times)
    return [(one - T0).total_seconds() for one in times]


def test_the_clock_stands_still_within_a_turn_and_is_utc() -> None:
    story = given(watching).when(completed(0), after=5).when(completed(1), after=5).evicted()
    story.when(completed(2), after=5).then_completed([0, 5, 10, 15])


def test_the_clock_never_goes_back() -> None:
    story = given(watching).when(completed(0), after=60).when(completed(1), after=-30).evicted()
    assert story.history[-1].timestamp == T0 + timedelta(seconds=60)
    story.when(completed(2), after=5).then_completed([0, 60, 60, 60])


def test_it_tells_replay_from_the_first_time() -> None:
    seen: list[tuple[str, bool]] = []

    async def looking(ctx: OrchestrationContext) -> None:
        seen.append(("start", ctx.is_replaying))
        await ctx.call_activity("work")
        seen.append(("middle", ctx.is_replaying))
        await ctx.call_activity("work")
        seen.append(("end", ctx.is_replaying))

    story = given(looking).when(completed(0))
    seen.clear()
    story.evicted()
    assert seen == [("start", True), ("middle", True)]
    seen.clear()
    story.live.turn([completed(1)], story.now)
    assert seen == [("end", False)]


def test_the_logger_speaks_once_and_never_on_replay(caplog: pytest.LogCaptureFixture) -> None:
    async def talking(ctx: OrchestrationContext) -> None:
        ctx.logger.info("one %s", 1)
        await ctx.call_activity("work")
        ctx.logger.warning("two", extra={"order": 5})
        await ctx.wait_for_external_event("go")
        try:
            raise LookupError("three")
        except LookupError:
            ctx.logger.exception("failed")

    caplog.set_level(logging.INFO, "orchestrations.talking")
    story = given(talking).evicted().when(completed(0)).evicted().when(raised("go")).then_completed(None)
    assert [record.getMessage() for record in caplog.records] == ["one 1", "two", "failed"]
    assert {record.name for record in caplog.records} == {"orchestrations.talking"}
    assert {vars(record)["instance_id"] for record in caplog.records} == {"order-1"}
    assert vars(caplog.records[1])["order"] == 5
    assert caplog.records[2].exc_info is not None
    caplog.clear()
    story.replayed()
    assert caplog.records == []


def test_the_logger_is_silent_below_its_level(caplog: pytest.LogCaptureFixture) -> None:
    async def quiet(ctx: OrchestrationContext) -> bool:
        ctx.logger.debug("nothing")
        return ctx.logger.isEnabledFor(logging.DEBUG)

    caplog.set_level(logging.INFO, "orchestrations.quiet")
    given(quiet).then_completed(False)
    assert caplog.records == []


# --- custom status ----------------------------------------------------------------------------------------------------


async def reporting(ctx: OrchestrationContext) -> Any:
    """Show progress."""
    before = ctx.custom_status
    ctx.set_custom_status({"done": 0})
    await ctx.call_activity("work")
    ctx.set_custom_status("nearly")
    ctx.set_custom_status({"done": 1})
    await ctx.create_timer(timedelta(seconds=1))
    return [before, ctx.custom_status]


def test_the_custom_status_appears_at_the_end_of_the_turn() -> None:
    story = given(reporting)
    assert story.result.custom_status == '{"done":0}'
    story.when(completed(0))
    assert story.result.custom_status == '{"done":1}'
    story.evicted().when(raised("unrelated"))
    assert story.result.custom_status == '{"done":1}'
    story.when(fired(1)).then_completed([None, {"done": 1}])


def test_the_custom_status_can_be_taken_away() -> None:
    async def clearing(ctx: OrchestrationContext) -> None:
        ctx.set_custom_status(1)
        await ctx.call_activity("work")
        ctx.set_custom_status(None)

    assert given(clearing).when(completed(0)).result.custom_status is None


def test_the_custom_status_has_a_limit() -> None:
    async def verbose(ctx: OrchestrationContext, size: int) -> None:
        ctx.set_custom_status("é" * size)

    given(verbose, 8191).then_completed(None)
    story = given(verbose, 8192)
    story.then_failed(PayloadError, "The custom status is too large: 16,386 bytes of JSON, the limit is 16,384")
    assert "MAX_PAYLOAD_BYTES" not in str(story.completion.failure_details)


def test_the_custom_status_must_be_storable() -> None:
    async def opaque(ctx: OrchestrationContext) -> None:
        ctx.set_custom_status(object())

    given(opaque).then_failed(PayloadError, "The custom status cannot be stored")


def test_the_context_refuses_to_be_used_outside() -> None:
    kept: list[OrchestrationContext] = []

    async def leaking(ctx: OrchestrationContext) -> None:
        kept.append(ctx)
        await ctx.call_activity("work")

    given(leaking)
    with pytest.raises(OrchestratorCodeError, match="outside its turn"):
        kept[0].set_custom_status("hello")
