"""What is measured, and what the figures are held against.

A workload is a list of cases, each run once a round, and a judge that turns the rounds' figures into lines of the
report. Another contender or workload is one more entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from .receivers import Endpoint

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to run the work."""

    name: str
    #: Python's arguments for its worker process
    worker: tuple[str, ...]
    #: module whose functions, one for each kind of case, are the client
    client: str
    #: where worker and client send their telemetry
    telemetry: Endpoint = Endpoint.NONE


#: the durable host as it is deployed
HOST = Contender("host", ("manage.py", "durable_worker"), "bench.host_client")
#: the same, telling a backend everything
TRACED = replace(HOST, name="host, telemetry on", telemetry=Endpoint.TAKES)
#: the same, with a backend that has fallen silent
UNHEARD = replace(HOST, name="host, endpoint hangs", telemetry=Endpoint.HANGS)
#: one RQ job for each turn and each activity
JOBS = Contender("RQ jobs", ("-m", "bench.process", "bench.baseline_rq", "work"), "bench.baseline_rq")


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: who does what, and how much of it."""

    contender: Contender
    function: str
    size: int

    def __str__(self) -> str:
        return f"{self.contender.name}: {self.function} {self.size:,}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a figure must reach."""

    limit: float
    is_least: bool = False

    def is_met(self, value: float) -> bool:
        """Tell whether a figure reaches it."""
        return value >= self.limit if self.is_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: a figure of every round, and its mark if it has one."""

    what: str
    values: tuple[float, ...]
    unit: str = ""
    mark: Mark | None = None

    @property
    def median(self) -> float:
        """The figure to quote."""
        return median(self.values)


Rounds = Sequence[Mapping[Case, Figures]]


@dataclass(frozen=True, slots=True)
class Workload:
    """Cases that are measured in turn and judged together."""

    name: str
    title: str
    cases: tuple[Case, ...]
    judge: Callable[[Rounds], list[Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything."""

    chains: int = 1000
    chain_length: int = 1000
    fan_outs: tuple[int, int] = (1000, 10_000)
    latency_samples: int = 200


QUICK = Sizes(chains=20, chain_length=20, fan_outs=(20, 100), latency_samples=10)


def workloads(sizes: Sizes) -> list[Workload]:
    """Return all workloads."""
    return [
        _chains(sizes.chains),
        _long_chain(sizes.chain_length),
        _fan_out(*sizes.fan_outs),
        _latency(sizes.latency_samples),
        _telemetry(sizes.chains),
    ]


def _chains(count: int) -> Workload:
    # Each chain costs RQ jobs the same, whatever their number: a fifth of them gives the rate in bearable time.
    cases = (Case(HOST, "chains", count), Case(JOBS, "chains", max(count // 5, 1)))

    def judge(rounds: Rounds) -> list[Line]:
        rates = {case: tuple(case.size / one[case]["seconds"] for one in rounds) for case in cases}
        ratios = tuple(ours / theirs for ours, theirs in zip(*rates.values(), strict=True))
        return [
            *(Line(case.contender.name, rates[case], "instances/s") for case in cases),
            *(line for case in cases for line in _cpu(case, rounds, "ms an instance")),
            Line(f"{HOST.name} ÷ {JOBS.name}", ratios, mark=Mark(5, is_least=True)),
        ]

    return Workload("chains", f"{count:,} instances of a chain of 5 on one worker process", cases, judge)


def _long_chain(length: int) -> Workload:
    case = Case(HOST, "long_chain", length)

    def judge(rounds: Rounds) -> list[Line]:
        halves = [(one[case]["first_half"], one[case]["second_half"]) for one in rounds]
        per_step = 1000 / (length / 2)
        return [
            Line("first half", tuple(first * per_step for first, _ in halves), "ms a step"),
            Line("second half", tuple(second * per_step for _, second in halves), "ms a step"),
            Line("second ÷ first", tuple(second / first for first, second in halves), mark=Mark(1.3)),
        ]

    return Workload("long-chain", f"one instance, a chain of {length:,}", (case,), judge)


def _fan_out(small: int, large: int) -> Workload:
    narrow, wide = Case(HOST, "wide_fan_out", small), Case(HOST, "wide_fan_out", large)

    def judge(rounds: Rounds) -> list[Line]:
        per_task = {case: tuple(one[case]["seconds"] * 1000 / case.size for one in rounds) for case in (narrow, wide)}
        ratios = tuple(much / little for much, little in zip(per_task[wide], per_task[narrow], strict=True))
        peaks = tuple(one[wide]["worker_peak_mb"] for one in rounds if "worker_peak_mb" in one[wide])
        return [
            *(Line(f"{case.size:,} activities", values, "ms each") for case, values in per_task.items()),
            *_cpu(wide, rounds, "ms an activity"),
            Line(f"{large:,} ÷ {small:,}, time of one", ratios, mark=Mark(1.2)),
            *([Line(f"peak memory of the worker, {large:,}", peaks, "MB", Mark(400))] if peaks else []),
        ]

    return Workload("fan-out", "one instance, all activities at once", (narrow, wide), judge)


def _latency(samples: int) -> Workload:
    case = Case(HOST, "latency", samples)

    def judge(rounds: Rounds) -> list[Line]:
        return [Line(name, tuple(one[case][f"{name}_ms"] for one in rounds), "ms") for name in ("p50", "p95")]

    return Workload("latency", "start to complete, one activity, idle host, rung from another process", (case,), judge)


def _telemetry(count: int) -> Workload:
    silent, *told = (Case(contender, "chains", count) for contender in (HOST, TRACED, UNHEARD))

    def judge(rounds: Rounds) -> list[Line]:
        lines = [Line(silent.contender.name, tuple(count / one[silent]["seconds"] for one in rounds), "instances/s")]
        for case in told:
            ratios = tuple(one[case]["seconds"] / one[silent]["seconds"] for one in rounds)
            lines.append(Line(f"{case.contender.name} ÷ without, time", ratios, mark=Mark(1.25)))
        return lines

    title = f"{count:,} instances of a chain of 5, every span and tracking record sent over OTLP"
    return Workload("telemetry", title, (silent, *told), judge)


def _cpu(case: Case, rounds: Rounds, unit: str) -> list[Line]:
    """Return the worker's CPU time, which a busy machine disturbs less than it does wall time."""
    values = tuple(one[case]["worker_cpu"] * 1000 / case.size for one in rounds if "worker_cpu" in one[case])
    return [Line(f"{case.contender.name}: CPU of the worker", values, unit)] if values else []
