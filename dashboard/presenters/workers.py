"""Workers and queues as they are shown: who serves what, what waits, and what to type where nobody does."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from durable_host.conf import host_settings
from durable_host.store.holding import QueuedActivity
from durable_host.store.listing import CappedCount
from durable_host.store.overview import QueueBacklog
from durable_host.store.workers import WorkerInfo

_NOTHING = CappedCount(0)
#: seconds by which a clock may be wrong before timers fire at times that people notice
_CLOCK_TOLERANCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLine:
    """A queue, and who serves it."""

    name: str
    workers: int
    waiting: CappedCount
    running: CappedCount
    #: since when the activity that comes next has waited
    oldest_at: datetime | None
    #: whether its workers also run the turns of all orchestrations
    runs_turns: bool
    #: whether the settings name it
    is_known: bool
    #: not finished instances, which do not move where nobody runs turns
    unfinished: CappedCount = _NOTHING

    @property
    def is_unserved(self) -> bool:
        """Whether nobody does its work."""
        return self.workers == 0

    @property
    def tone(self) -> str:
        """How bad it is that nobody serves it."""
        if not self.is_unserved:
            return "good"
        return "bad" if self.waiting.value or self.unfinished.value else "warn"

    @property
    def trouble(self) -> str:
        """What does not happen for want of a worker, in a plain sentence; empty where one is there."""
        if not self.is_unserved:
            return ""
        if not self.runs_turns:
            return f"Nobody serves this queue: {_activities(self.waiting)} {_waits(self.waiting)}."
        if self.waiting.value:
            return (
                f"Nobody runs turns: no orchestration goes on, and {_activities(self.waiting)} {_waits(self.waiting)}."
            )
        if self.unfinished.value:
            return f"Nobody runs turns: {_orchestrations(self.unfinished)}."
        return "Nobody runs turns: what is started now waits until a worker comes."

    @property
    def command(self) -> str:
        """What starts a worker for it."""
        return worker_command(self.name, runs_turns=self.runs_turns)


def _activities(count: CappedCount) -> str:
    return f"{count} {'activity' if str(count) == '1' else 'activities'}"


def _waits(count: CappedCount) -> str:
    return "waits" if str(count) == "1" else "wait"


def _orchestrations(count: CappedCount) -> str:
    return "1 orchestration does not go on" if str(count) == "1" else f"{count} orchestrations do not go on"


def worker_command(queue: str, *, runs_turns: bool) -> str:
    """Return the command that starts a worker for a queue."""
    return "python manage.py durable_worker" + ("" if runs_turns else f" --queues {shlex.quote(queue)}")


def queue_lines(
    backlogs: Iterable[QueueBacklog],
    live: Mapping[str, int],
    *,
    turn_queue: str,
    known: Collection[str],
    unfinished: CappedCount = _NOTHING,
) -> list[QueueLine]:
    """Return the queues that have activities or workers, and the turn queue: those that nobody serves first.

    Args:
        backlogs: what is in those that have activities.
        live: queue → workers that are there.
        turn_queue: the one whose workers run turns.
        known: queues that the settings name.
        unfinished: instances that have not finished.
    """
    found = {one.queue: one for one in backlogs}
    lines = []
    for name in {turn_queue, *found, *live}:
        backlog = found.get(name)
        lines.append(
            QueueLine(
                name=name,
                workers=live.get(name, 0),
                waiting=backlog.waiting if backlog else _NOTHING,
                running=backlog.running if backlog else _NOTHING,
                oldest_at=backlog.oldest_at if backlog else None,
                runs_turns=name == turn_queue,
                is_known=name in known,
                unfinished=unfinished if name == turn_queue else _NOTHING,
            )
        )
    return sorted(lines, key=lambda one: (not one.is_unserved, not one.runs_turns, one.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLine:
    """A worker."""

    info: WorkerInfo
    #: activities that the rows say it has; of many, only some are looked at
    held: int

    @property
    def key(self) -> str:
        """Names its row in the page."""
        return self.info.report.name

    @property
    def is_full(self) -> bool:
        """Whether it can take no more activities."""
        report = self.info.report
        return 0 < report.max_activities <= report.running_activities

    @property
    def clock_trouble(self) -> str:
        """By how much its clock is wrong; empty where it is right or nobody knows."""
        offset = self.info.clock_offset
        if offset is None or abs(offset) < _CLOCK_TOLERANCE:
            return ""
        return f"{abs(offset):.1f} s {'ahead' if offset > 0 else 'behind'}"


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers, by whether they are there."""

    live: tuple[WorkerLine, ...]
    #: they went silent without a good-bye
    lost: tuple[WorkerLine, ...]
    #: they said good-bye lately
    left: tuple[WorkerLine, ...]
    #: how many activities that nobody can stop wear a worker out; 0 while no worker has one
    most_abandoned: int = 0


def crew(infos: Sequence[WorkerInfo], held: Iterable[QueuedActivity]) -> Crew:
    """Sort the workers, each with the number of activities that it has."""
    counts = Counter(one.owner for one in held)
    lines = [WorkerLine(info=info, held=counts[info.report.name]) for info in infos]
    has_abandoned = any(one.is_live and one.report.abandoned_activities for one in infos)
    return Crew(
        most_abandoned=host_settings().max_abandoned if has_abandoned else 0,
        live=tuple(one for one in lines if one.info.is_live),
        lost=tuple(one for one in lines if one.info.is_lost),
        left=tuple(one for one in lines if one.info.left_at is not None),
    )


def degraded_words(is_degraded: bool) -> dict[str, object]:
    """Return what ``parts/degraded.html`` says while Redis is away."""
    return {"is_degraded": is_degraded, "sweep_seconds": f"{host_settings().sweep_interval.total_seconds():g}"}
