"""What is measured, and the marks that it is held against. Another workload is one more function here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .contenders import ALONE, DATABASES, DBOS, DBOS_QUEUE, FOUR, HOST, JOBS, OWN, POSTGRES, SQLITE, TRACED, Contender
from .marks import Mark, ahead, at_most, flat, never_slower, own_tail, times
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
        marks: what the first must reach.
    """

    name: str
    title: str
    unit: str
    runs: tuple[Run, ...]
    value: Callable[[Figures, int], float]
    is_rate: bool = False
    marks: tuple[Mark, ...] = ()

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
    samples: int = 100
    timers: tuple[int, int] = (200, 10_000)
    waits: int = 1000


QUICK = Sizes(chains=(20, 40), fan_outs=(20, 100), chain_lengths=(20, 40), samples=10, timers=(20, 50), waits=50)


def workloads(sizes: Sizes) -> list[Workload]:
    """Return all workloads."""
    few, many = sizes.chains
    narrow, wide = sizes.fan_outs
    short, long = sizes.chain_lengths
    return [
        _chains("chains", few, of_peers=few),
        # A peer's rate at 10,000 is that at 1,000, which it reaches in bearable time.
        _chains("many-chains", many, of_peers=few),
        _fan_out("fan-out", narrow),
        _fan_out("wide-fan-out", wide, flat("fan-out", f"time a task ÷ that of {narrow:,}", 1.2)),
        _long_chain("long-chain", short),
        _long_chain("longer-chain", long, flat("long-chain", f"time a step ÷ that of {short:,}", 1.2)),
        _latency(sizes.samples),
        _scale(few),
        _telemetry(few),
    ]


def _rate(figures: Figures, size: int) -> float:
    return size / figures["seconds"]


def _milliseconds_each(figures: Figures, size: int) -> float:
    return figures["seconds"] * 1000 / size


def _median(figures: Figures, _: int) -> float:
    return figures["p50_ms"]


def _chains(name: str, count: int, *, of_peers: int) -> Workload:
    return Workload(
        name=name,
        title=f"{count:,} instances of a chain of 5",
        unit="instances/s",
        runs=(
            Run(HOST, "chains", count),
            Run(DBOS, "chains", of_peers),
            Run(DBOS_QUEUE, "chains", of_peers),
            Run(JOBS, "chains", max(of_peers // 5, 1)),
        ),
        value=_rate,
        is_rate=True,
        marks=(ahead("DBOS", 5),),
    )


def _fan_out(name: str, width: int, *flatness: Mark) -> Workload:
    return Workload(
        name=name,
        title=f"one instance, {width:,} activities at once",
        unit="ms a task",
        runs=tuple(Run(contender, "fan_out", width) for contender in (HOST, DBOS, DBOS_QUEUE)),
        value=_milliseconds_each,
        marks=(ahead("DBOS", 5), *flatness, at_most("peak_mb", "memory of a worker, MB", 400)),
    )


def _long_chain(name: str, length: int, *flatness: Mark) -> Workload:
    return Workload(
        name=name,
        title=f"one instance, a chain of {length:,}",
        unit="ms a step",
        runs=tuple(Run(contender, "long_chain", length) for contender in (HOST, DBOS)),
        value=_milliseconds_each,
        marks=(times(DBOS, {POSTGRES: 1.0, SQLITE: 1.5}), *flatness),
    )


def _latency(samples: int) -> Workload:
    return Workload(
        name="latency",
        title="start to complete, one activity, idle, the caller in a process of its own (but DBOS in process)",
        unit="p50, ms",
        runs=tuple(Run(contender, "latency", samples) for contender in (HOST, DBOS, DBOS_QUEUE)),
        value=_median,
        marks=(times(DBOS, {POSTGRES: 1.5}), times(DBOS_QUEUE, {POSTGRES: 0.25}), own_tail(2)),
    )


def _scale(count: int) -> Workload:
    return Workload(
        name="scale",
        title=f"{count:,} instances of a chain of 5 on 2, 1 and 4 worker processes",
        unit="instances/s",
        runs=tuple(Run(contender, "chains", count) for contender in (HOST, ALONE, FOUR)),
        value=_rate,
        is_rate=True,
        marks=(never_slower(ALONE, HOST), never_slower(HOST, FOUR), at_most("lost_turns", "turns lost to races", 0.02)),
    )


def _telemetry(count: int) -> Workload:
    return Workload(
        name="telemetry",
        title=f"{count:,} instances of a chain of 5, every span and tracking record sent over OTLP",
        unit="ms an instance",
        runs=tuple(Run(contender, "chains", count) for contender in (TRACED, HOST)),
        value=_milliseconds_each,
        marks=(times(HOST, {SQLITE: 1.25, POSTGRES: 1.25}),),
    )
