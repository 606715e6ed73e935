"""The reference: what an instance must have come to, by what it was asked to do and was sent, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from durable_host import ActivityContext, OrchestrationContext, RetryPolicy, TaskFailedError
from durable_host.core.registry import Registry

#: what a script may consist of; "a" and "b" are external events
STEPS = ("work", "both", "broken", "retried", "nap", "child", "again", "a", "b")
EVENTS = ("a", "b")
_POLICY = RetryPolicy(first_retry_interval=timedelta(seconds=20), max_number_of_attempts=2)
_CHILD = ["work", "nap"]


# --- the real thing ------------------------------------------------------------------------------------------------


async def scripted(ctx: OrchestrationContext, plan: tuple[list[str], list[Any]]) -> Any:
    """Follow a script, and return what came of each step."""
    steps, seen = plan
    while steps:
        step, *steps = steps
        if step == "again":
            ctx.continue_as_new((steps, [*seen, step]))
            return None
        seen.append(await _follow(ctx, step, len(seen)))
    return seen


async def _follow(ctx: OrchestrationContext, step: str, number: int) -> Any:
    match step:
        case "work" | "retried":
            return await ctx.call_activity(step, number)
        case "both":
            return await ctx.when_all([ctx.call_activity("work", number), ctx.call_activity("work", -number)])
        case "broken":
            try:
                return await ctx.call_activity(step)
            except TaskFailedError as error:
                return error.error_type
        case "nap":
            await ctx.create_timer(timedelta(seconds=60))
            return step
        case "child":
            return await ctx.call_sub_orchestrator("scripted", (_CHILD, []))
        case _:
            return await ctx.wait_for_external_event(step)


def work(number: int) -> int:
    return 2 * number


def broken() -> None:
    raise ValueError("as told")


def retried(number: int, context: ActivityContext) -> int:
    """Fail at the first call: history decides which one that is."""
    if context.task_id == int(context.idempotency_key.rpartition(".")[2]):
        raise ConnectionError("not yet")
    return 2 * number


def make_registry() -> Registry:
    """Return the functions of the scripts."""
    registry = Registry()
    registry.add_orchestrator(scripted)
    registry.add_activity(work)
    registry.add_activity(broken)
    registry.add_activity(retried, retry=_POLICY)
    return registry


# --- the model of it -----------------------------------------------------------------------------------------------

#: status and output
End = tuple[str, Any]


@dataclass
class Model:
    """One instance."""

    script: list[str]
    #: what it was sent: name and data
    sent: list[tuple[str, Any]] = field(default_factory=list)
    #: how many of these had been sent when it was suspended, if it is, and when it was terminated, if it was
    suspended_after: int | None = None
    terminated_after: int | None = None

    def ends(self) -> list[End]:
        """Return what it may have come to once everything that can happen has happened.

        A turn that was decided before somebody suspends or terminates the instance may still be committed: that is the
        one thing that is left to chance.
        """
        limit = self.suspended_after if self.suspended_after is not None else self.terminated_after
        if limit is None:
            return [self.outcome(len(self.sent))]
        held = ("Suspended", None) if self.terminated_after is None else ("Terminated", "enough")
        before = self.outcome(limit)
        return [held, before] if before[0] == "Completed" else [held]

    def outcome(self, sent: int) -> End:
        """Return what the script comes to with so many of the events; where it goes on, what it listens for."""
        waiting = defaultdict(list)
        for name, data in self.sent[:sent]:
            waiting[name].append(data)
        seen: list[Any] = []
        for step in self.script:
            if step in EVENTS:
                if not waiting[step]:
                    return ("Running", [step])
                seen.append(waiting[step].pop(0))
            else:
                seen.append(_result(step, len(seen)))
        return ("Completed", seen)


def _result(step: str, number: int) -> Any:
    match step:
        case "work" | "retried":
            return 2 * number
        case "both":
            return [2 * number, -2 * number]
        case "broken":
            return "ValueError"
        case "child":
            return [0, "nap"]
        case _:
            return step
