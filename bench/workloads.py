"""What is measured, and the marks that it is held against. Another workload is one more function here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .contenders import (
    ALONE,
    BY_HAND,
    DATABASES,
    DBOS,
    DBOS_QUEUE,
    DURABLETASK,
    FOUR,
    HOST,
    JOBS,
    OWN,
    PEERS,
    POSTGRES,
    RESTATE,
    SQLITE,
    TEMPORAL,
    TEMPORAL_LOCAL,
    TRACED,
    UNHEARD,
    Contender,
    beside_a_past,
)
from .marks import Mark, ahead, at_most, flat, never_slower, own_tail, times, value_at_most
from .results import Case, Figures


@dataclass(frozen=True, slots=True)
class Run:
    """A contender's part in a workload."""

    contender: Contender
    function: str
    size: int

    def case(self, database: str) -> Case:
        """Return the measurement on a database; a peer with storage of its own has the same on all."""
        where = database if self.contender.databases else OWN
        return Case(self.contender.name, self.function, self.size, where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The same work for everybody.

    Args:
        name: how the command line calls it.
        title: how the table calls it.
        unit: of the figure that is compared.
        runs: who takes part; the first is held against the others.
        value: takes that figure from what was measured, given the size.
        is_rate: whether more is better.
        marks: what must be reached.
        is_lengthy: whether it is measured only when it is asked for.
        is_average: whether one round says it all.
    """

    name: str
    title: str
    unit: str
    runs: tuple[Run, ...]
    value: Callable[[Figures, int], float]
    is_rate: bool = False
    marks: tuple[Mark, ...] = ()
    is_lengthy: bool = False
    is_average: bool = False

    def cases(self, database: str) -> Iterator[tuple[Contender, Case]]:
        """Give what is to be measured on a database."""
        for run in self.runs:
            if database in (run.contender.databases or DATABASES):
                yield run.contender, run.case(database)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything."""

    chains: tuple[int, int] = (1000, 10_000)
    fan_outs: tuple[int, int] = (1000, 10_000)
    chain_lengths: tuple[int, int] = (1000, 5000)
    samples: int = 50
    timers: tuple[int, int] = (200, 10_000)
    waits: int = 1000
    live: int = 10_000
    idle_seconds: int = 30
    finished: int = 1_000_000


QUICK = Sizes(
    chains=(20, 40),
    fan_outs=(20, 100),
    chain_lengths=(20, 40),
    samples=10,
    timers=(20, 50),
    waits=50,
    live=50,
    idle_seconds=2,
    finished=500,
)


def workloads(sizes: Sizes) -> list[Workload]:
    """Return all workloads."""
    few, many = sizes.chains
    narrow, wide = sizes.fan_outs
    short, long = sizes.chain_lengths
    compared = [
        _chains("chains", few, of_peers=few),
        # A peer's rate at 10,000 is that at 1,000, which it reaches in bearable time.
        _chains("many-chains", many, of_peers=few),
        _fan_out("fan-out", narrow, PEERS),
        # Temporal's server cannot write so many activities into SQLite at once.
        _fan_out(
            "wide-fan-out", wide, (DBOS, TEMPORAL_LOCAL, RESTATE, DURABLETASK), flat("fan-out", "a task", narrow, 1.2)
        ),
        _long_chain("long-chain", short, (DBOS, TEMPORAL, TEMPORAL_LOCAL, RESTATE)),
        _long_chain("longer-chain", long, (DBOS, TEMPORAL_LOCAL, RESTATE), flat("long-chain", "a step", short, 1.2)),
        _latency(sizes.samples),
        _events(sizes.samples),
        _timers("timers", sizes.timers[0], (DBOS, TEMPORAL, RESTATE), at_most("p95_ms", "p95, ms", 20)),
        _timers("many-timers", sizes.timers[1], (), at_most("seconds", "the last, as the sender saw it, s", 2)),
    ]
    alone = [
        _waits("waits-on-loop", "coroutines", "waits_on_loop", sizes.waits),
        _waits("waits-in-threads", "plain functions", "waits_in_threads", sizes.waits),
        _scale(few),
        _telemetry(few),
        _idle(sizes.idle_seconds),
        _live(sizes.live),
    ]
    return [*compared, *alone, *(_grown(one, sizes.finished) for one in compared)]


# --- beside peers -----------------------------------------------------------------------------------------------------


def _chains(name: str, count: int, *, of_peers: int) -> Workload:
    return Workload(
        name=name,
        title=f"{count:,} instances of a chain of 5",
        unit="instances/s",
        runs=(
            Run(HOST, "chains", count),
            *(Run(peer, "chains", of_peers) for peer in PEERS),
            Run(JOBS, "chains", max(of_peers // 10, 1)),
        ),
        value=_rate,
        is_rate=True,
        marks=(ahead("DBOS", 5), ahead("Temporal", 1), ahead("Restate", 1)),
    )


def _fan_out(name: str, width: int, peers: tuple[Contender, ...], *flatness: Mark) -> Workload:
    return Workload(
        name=name,
        title=f"one instance, {width:,} activities at once",
        unit="ms a task",
        runs=_everybody("fan_out", width, peers),
        value=_milliseconds_each,
        marks=(
            ahead("DBOS", 5),
            ahead("Temporal", 1),
            ahead("Restate", 1),
            ahead("durabletask", 1),
            *flatness,
            at_most("peak_mb", "memory of a worker, MB", 400),
        ),
    )


def _long_chain(name: str, length: int, peers: tuple[Contender, ...], *flatness: Mark) -> Workload:
    return Workload(
        name=name,
        title=f"one instance, a chain of {length:,}",
        unit="ms a step",
        runs=_everybody("long_chain", length, peers),
        value=_milliseconds_each,
        marks=(times(DBOS, {POSTGRES: 1.0, SQLITE: 1.5}), ahead("Temporal", 1), *flatness),
    )


def _latency(samples: int) -> Workload:
    return Workload(
        name="latency",
        title="start to complete, one activity, everything idle before",
        unit="p50, ms",
        runs=_everybody("latency", samples, (*PEERS, BY_HAND)),
        value=_median,
        marks=(
            times(DBOS, {POSTGRES: 1.5}),
            times(DBOS_QUEUE, {POSTGRES: 0.25}),
            ahead("Temporal", 1),
            own_tail(2),
        ),
    )


def _events(samples: int) -> Workload:
    return Workload(
        name="events",
        title="external event to complete",
        unit="p50, ms",
        runs=_everybody("events", samples, (DBOS, TEMPORAL, RESTATE)),
        value=_median,
        marks=(times(DBOS, {POSTGRES: 1.5}), ahead("Temporal", 1)),
    )


def _timers(name: str, count: int, peers: tuple[Contender, ...], mark: Mark) -> Workload:
    return Workload(
        name=name,
        title=f"lateness of {count:,} timers due at one moment",
        unit="p50, ms",
        runs=_everybody("timers", count, peers),
        value=_median,
        marks=(mark,),
    )


# --- the host alone ---------------------------------------------------------------------------------------------------


def _waits(name: str, kind: str, function: str, count: int) -> Workload:
    return Workload(
        name=name,
        title=f"{count:,} activities that wait 1 s, {kind}",
        unit="time ÷ the least that the concurrency allows",
        runs=(Run(HOST, function, count),),
        value=lambda figures, _: figures["seconds"] / figures["ideal"],
        marks=(value_at_most("time ÷ ideal", 1.2),),
    )


def _scale(count: int) -> Workload:
    return Workload(
        name="scale",
        title=f"{count:,} instances of a chain of 5 on 2, 1 and 4 worker processes",
        unit="instances/s",
        runs=tuple(Run(contender, "chains", count) for contender in (HOST, ALONE, FOUR)),
        value=_rate,
        is_rate=True,
        marks=(
            never_slower(ALONE, HOST),
            never_slower(HOST, FOUR),
            at_most("lost_turns", "turns lost to races, 2 workers", 0.02),
            at_most("lost_turns", "turns lost to races, 4 workers", 0.02, of=FOUR),
        ),
    )


def _telemetry(count: int) -> Workload:
    limits = dict.fromkeys(DATABASES, 1.25)
    return Workload(
        name="telemetry",
        title=f"{count:,} instances of a chain of 5, every span and tracking record sent over OTLP",
        unit="ms an instance",
        runs=tuple(Run(contender, "chains", count) for contender in (HOST, TRACED, UNHEARD)),
        value=_milliseconds_each,
        marks=(times(HOST, limits, of=TRACED), times(HOST, limits, of=UNHEARD)),
    )


def _idle(seconds: int) -> Workload:
    return Workload(
        name="idle",
        title=f"2 workers without work for {seconds} s",
        unit="% of a core",
        runs=(Run(HOST, "idle", seconds),),
        value=lambda figures, _: figures["percent_of_core"],
        marks=(
            value_at_most("CPU of both, % of a core", 1),
            # Each sweeps every 5 s, in seven statements that are transactions of their own.
            at_most("transactions_a_second", "transactions a second: what two sweeps each 5 s need", 4),
        ),
        is_average=True,
    )


def _live(count: int) -> Workload:
    return Workload(
        name="live",
        title=f"{count:,} instances that wait for an event at once",
        unit="memory of a worker, MB",
        runs=(Run(HOST, "live", count),),
        value=lambda figures, _: figures["peak_mb"],
        marks=(value_at_most("memory of a worker, MB", 400),),
    )


def _grown(workload: Workload, finished: int) -> Workload:
    """Return a workload of the host beside the same in a database with a past."""
    grown = beside_a_past(finished)
    return replace(
        workload,
        name=f"grown-{workload.name}",
        title=f"{workload.title}, beside {finished:,} finished instances",
        runs=(workload.runs[0], replace(workload.runs[0], contender=grown)),
        marks=(times(HOST, dict.fromkeys(DATABASES, 1.1), of=grown),),
        is_lengthy=True,
    )


# --- details ----------------------------------------------------------------------------------------------------------


def _everybody(function: str, size: int, peers: tuple[Contender, ...]) -> tuple[Run, ...]:
    return tuple(Run(contender, function, size) for contender in (HOST, *peers))


def _rate(figures: Figures, size: int) -> float:
    return size / figures["seconds"]


def _milliseconds_each(figures: Figures, size: int) -> float:
    return figures["seconds"] * 1000 / size


def _median(figures: Figures, _: int) -> float:
    return figures["p50_ms"]
