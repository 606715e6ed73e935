"""``python -m bench``: measure this host beside others, and print ratios.

Everything runs on private servers that it starts and ends. Exit codes: 0 measured (whether or not every mark is met),
1 a measurement of the host failed, 2 wrong usage or a server is missing, 130 stopped, with Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import fnmatch
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from durable_host.embedded import EmbeddedError
from tests.services import ServiceMissingError, postgres_bindir

from .contenders import DATABASES, HOST
from .environment import Environment, MeasurementError
from .machine import describe_machine
from .report import WIDTH, print_report, sections
from .results import Results
from .tools import ToolsMissingError
from .workloads import QUICK, Sizes, Workload, workloads


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = _parser()
    options = parser.parse_args(arguments)
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    chosen = _chosen(options)
    if not chosen:
        parser.error(f"No such workload. Known are: {', '.join(one.name for one in workloads(Sizes()))}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its servers go, too
    begin = time.monotonic()
    try:
        databases = _databases(options.database, progress)
        results = Results(machine=describe_machine(databases), rounds=options.runs or (1 if options.quick else 3))
        results.commands = [shlex.join(["python", "-m", "bench", *sys.argv[1:]])]
        with Environment(databases) as environment:
            _measure(environment, databases, chosen, results, progress)
    except (EmbeddedError, ServiceMissingError) as error:
        progress.print(f"[red]{error}[/red]")
        return 2
    except KeyboardInterrupt:
        progress.print("Stopped. Its servers and files are gone.")
        return 130
    results.minutes = (time.monotonic() - begin) / 60
    if options.output:
        results.save(options.output)
    console = Console()
    console.width = max(console.width, WIDTH)
    print_report(console, results, sections(results, chosen, databases), databases)
    return 1 if any(case.contender == HOST.name for case in results.missing) else 0


def _measure(
    environment: Environment, databases: Sequence[str], chosen: Sequence[Workload], results: Results, progress: Console
) -> None:
    """Measure every case once a round, so that a change of the machine's load touches all of them."""
    averages = {case for database in databases for one in chosen if one.is_average for _, case in one.cases(database)}
    pairs = {case: contender for database in databases for one in chosen for contender, case in one.cases(database)}
    for number in range(1, results.rounds + 1):
        for case, contender in pairs.items():
            if case in results.missing or (number > 1 and case in averages):
                continue
            begin = time.monotonic()
            try:
                figures = environment.measure(contender, case)
            except (MeasurementError, ToolsMissingError) as error:
                results.give_up(case, "failed" if isinstance(error, MeasurementError) else str(error))
                progress.print(f"{case}: {error}", style="red", markup=False)
                continue
            results.add(case, figures)
            shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
            progress.print(
                f"run {number} of {results.rounds}, {case}: {shown} [{time.monotonic() - begin:.0f} s]", markup=False
            )


def _chosen(options: argparse.Namespace) -> list[Workload]:
    """Return the workloads that were asked for, without the peers that were not."""
    found = []
    for one in workloads(QUICK if options.quick else Sizes()):
        if not one.is_lengthy if options.workload is None else _matches(one.name, options.workload):
            wanted = {HOST.peer, *options.peer}
            runs = tuple(run for run in one.runs if "all" in options.peer or run.contender.peer in wanted)
            found.append(replace(one, runs=runs))
    return found


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _databases(asked: str, progress: Console) -> list[str]:
    """Return the databases to measure; PostgreSQL only where the machine has it, unless it was asked for."""
    if asked != "both":
        return [asked]
    try:
        postgres_bindir()
    except ServiceMissingError as error:
        progress.print(f"[yellow]SQLite only: {error}.[/yellow]")
        return ["sqlite"]
    return list(DATABASES)


def _parser() -> argparse.ArgumentParser:
    everything = workloads(Sizes())
    names = [one.name for one in everything]
    peers = sorted({run.contender.peer for one in everything for run in one.runs})
    parser = argparse.ArgumentParser(
        "python -m bench",
        description="Measure this host beside others, and print ratios.",
        epilog=f"Workloads: {', '.join(names)}.",
    )
    lengthy = "everything but the grown ones, which fill a database first"
    parser.add_argument("--workload", nargs="+", metavar="NAME", help=f"what to measure; * matches ({lengthy})")
    parser.add_argument(
        "--peer",
        nargs="+",
        default=["all"],
        choices=["all", *peers],
        help="whom beside the host; host for nobody (all)",
    )
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both", help="what to run on (both)")
    parser.add_argument("--runs", type=_positive, help="rounds that medians are taken over (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the figures to a JSON file")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
