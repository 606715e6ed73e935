"""RQ's time limit for a job goes off while a worker that is not ours answers a bell."""

from __future__ import annotations

import time

from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from durable_host import OrchestrationContext
from durable_host.dispatch.host import Host
from durable_host.dispatch.overtime import keeps_time
from durable_host.store.shapes import SHARED_TRIES
from tests.services import PATIENCE
from tests.store.workbench import STORE, Workbench, row_of

pytestmark = STORE


def visit(bench: Workbench) -> None:
    """Answer a bell in the time that RQ gives it."""
    with UnixSignalDeathPenalty(1, JobTimeoutException):  # type: ignore[no-untyped-call]
        host = Host("bell", "default", registry=bench.registry, is_visit=True)
        with keeps_time(host.give_up):
            host.run_until_idle()


def test_a_turn_that_outlasts_its_job_is_given_up_and_tried_again(bench: Workbench) -> None:
    is_slow = True

    async def slow(ctx: OrchestrationContext) -> str:
        ctx.set_custom_status("begun")
        end = time.monotonic() + PATIENCE
        while is_slow and time.monotonic() < end:
            pass
        return "done"

    async def quick(ctx: OrchestrationContext) -> str:
        return "done"

    bench.orchestrator(slow)
    bench.orchestrator(quick)
    ids = bench.client.start_many("quick", [None] * 3)
    bench.client.start_new("slow", instance_id="slow")
    visit(bench)
    # then: nothing of it is there, it is a suspect, and those beside it are done
    assert bench.history("slow") == []
    row = row_of("slow")
    assert (row.revision, row.turn_attempts, row.owner, row.custom_status) == (0, SHARED_TRIES, "", None)
    assert "The turn of 'slow' was given up after " in row.stall_reason
    # and when: it is quick
    is_slow = False
    bench.run()
    assert [bench.output(id_) for id_ in ids] == ["done"] * 3
    assert (bench.output("slow"), bench.status("slow").stall_reason) == ("done", "")


def test_a_job_that_is_over_between_two_turns_leaves_in_good_order(bench: Workbench) -> None:
    def rest(_: object) -> str:
        time.sleep(1.5)  # longer than the job
        return "rested"

    bench.activity(rest)

    async def resting(ctx: OrchestrationContext) -> str:
        return str(await ctx.call_activity("rest"))

    bench.orchestrator(resting)
    id_ = bench.client.start_new("resting")
    visit(bench)
    bench.run()
    assert bench.output(id_) == "rested"
    assert bench.calls["rest"] == 1
