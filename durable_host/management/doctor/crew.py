"""The workers: whether every queue has one, whether they are well, and whether the code that is asked for is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from durable_host.conf import host_settings
from durable_host.core.registry import default_registry
from durable_host.store import diagnosis, workers
from durable_host.store.workers import WorkerInfo

from .findings import Finding, bad, good, warn

_CLOCKS_APART = 1.0
_SHOWN = 5


def examine() -> Iterator[Finding]:
    """Look at the workers of the hub."""
    hub = host_settings().task_hub
    found = workers.list_workers(hub)
    yield from _queues(hub, [one for one in found if one.is_live])
    yield from _lost([one for one in found if one.is_lost])
    yield from _overrun([one for one in found if one.is_live])
    yield from _clocks([one for one in found if one.is_live])
    yield from _code(hub)


def _queues(hub: str, live: Sequence[WorkerInfo]) -> Iterator[Finding]:
    unserved = workers.queues_without_worker(hub)
    turn_queue = host_settings().turn_queue
    for queue in unserved:
        what = "orchestrations" if queue == turn_queue else "activities"
        yield bad(
            f"Nobody works on the queue {queue!r}.",
            f"Its {what} wait until somebody does; nothing is lost.",
            f"manage.py durable_worker --queues {queue}",
        )
    if live:
        queues = sorted({one.report.queue for one in live})
        who = "A worker is" if len(live) == 1 else f"{len(live)} workers are"
        yield good(f"{who} there, for {', '.join(map(repr, queues))}.")


def _lost(lost: Sequence[WorkerInfo]) -> Iterator[Finding]:
    if lost:
        who = "A worker" if len(lost) == 1 else f"{len(lost)} workers"
        names = "; ".join(f"{one.report.hostname}, process {one.report.pid}" for one in lost[:_SHOWN])
        yield warn(
            f"{who} went silent in the last ten minutes without a good-bye: {names}.",
            "They were killed or cut off. What they held is taken over when its lease ends.",
            "Where nobody wanted that, see why in their log and in their machine's: out of memory, perhaps.",
        )


def _overrun(live: Sequence[WorkerInfo]) -> Iterator[Finding]:
    worn = [one.report for one in live if one.report.abandoned_activities]
    if worn:
        most = host_settings().max_abandoned
        said = "; ".join(f"{one.abandoned_activities} on {one.hostname}, process {one.pid}" for one in worn[:_SHOWN])
        yield warn(
            f"Activities ran longer than their limit and were abandoned: {said}.",
            f"They cannot be stopped and keep a thread each. A worker with {most} of them ends.",
            'See which in its log ("outran its limit"). Functions that may hang belong into @activity(isolated=True).',
        )


def _clocks(live: Sequence[WorkerInfo]) -> Iterator[Finding]:
    apart = [one for one in live if one.clock_offset is not None and abs(one.clock_offset) > _CLOCKS_APART]
    if apart:
        said = ", ".join(f"{one.report.name} by {one.clock_offset:+.1f} s" for one in apart[:_SHOWN])
        yield warn(
            f"Clocks of workers differ from the database server's: {said}.",
            "Workers follow the server's clock, so nothing fires early or twice. But their logs and traces are off.",
            "Have NTP set the clocks of these machines (timedatectl status).",
        )


def _code(hub: str) -> Iterator[Finding]:
    unknown = sorted(diagnosis.orchestrators_going(hub) - set(default_registry.orchestrators))
    if unknown:
        yield bad(
            f"Instances go on whose orchestrators this project does not know: {', '.join(unknown[:_SHOWN])}.",
            "They stall until a worker has that code, and go on then as if nothing had been.",
            "Bring the code back (see MODULES, DURABLE_MODULES), or terminate them.",
        )
    missing = sorted(diagnosis.activities_open(hub) - set(default_registry.activities))
    if missing:
        yield bad(
            f"Activities wait that this project does not know: {', '.join(missing[:_SHOWN])}.",
            "A worker without them fails them, with an error that the orchestrator may catch.",
            "Bring the code back before a worker takes them (see MODULES, DURABLE_MODULES).",
        )
    if not unknown and not missing:
        yield good("Everything that is under way is code that this project knows.")
