"""``python -m bench``: measure, and print ratios.

Everything runs on private servers that it starts and ends. Exit codes: 0 measured (whether or not every mark is met),
1 a measurement failed, 2 wrong usage or a server is missing, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from durable_host.embedded import EmbeddedError
from tests.services import ServiceMissingError, postgres_bindir

from .environment import DATABASES, Environment, MeasurementError, describe_machine
from .receivers import serving
from .report import WIDTH, print_report
from .workloads import QUICK, Case, Figures, Sizes, Workload, workloads

Rounds = dict[tuple[str, str], list[dict[Case, Figures]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = _parser().parse_args(arguments)
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    chosen = [one for one in workloads(QUICK if options.quick else Sizes()) if one.name in options.workload]
    runs = options.runs or (1 if options.quick else 3)
    try:
        databases = _databases(options.database, progress)
        with Environment(databases) as environment:
            rounds = _measure(environment, databases, chosen, runs, progress)
    except (EmbeddedError, ServiceMissingError) as error:
        progress.print(f"[red]{error}[/red]")
        return 2
    except MeasurementError as error:
        progress.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("Stopped. Its servers and files are gone.")
        return 130
    results = [(one, {database: one.judge(rounds[database, one.name]) for database in databases}) for one in chosen]
    console = Console()
    console.width = max(console.width, WIDTH)
    print_report(console, describe_machine(databases), runs, results)
    return 0


def _measure(
    environment: Environment, databases: Sequence[str], chosen: Sequence[Workload], runs: int, progress: Console
) -> Rounds:
    """Measure every case once a round, so that a change of the machine's load touches all of them."""
    rounds: Rounds = {(database, one.name): [] for database in databases for one in chosen}
    for number in range(1, runs + 1):
        for one in chosen:
            for database in databases:
                figures: dict[Case, Figures] = {}
                for case in one.cases:
                    with serving(case.contender.telemetry) as telemetry, environment.site(database, telemetry) as site:
                        client = (case.contender.client, case.function)
                        figures[case] = site.measure(case.contender.worker, client, case.size)
                    progress.print(f"run {number} of {runs}, {database}, {case}: {_brief(figures[case])}")
                rounds[database, one.name].append(figures)
    return rounds


def _brief(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


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
    names = [one.name for one in workloads(QUICK)]
    parser = argparse.ArgumentParser("python -m bench", description="Measure the host beside others, and print ratios.")
    parser.add_argument("--runs", type=_positive, help="rounds that medians are taken over (3; 1 with --quick)")
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both", help="what to run on (both)")
    parser.add_argument("--workload", choices=names, nargs="+", default=names, help="what to measure (everything)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
