"""The tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .workloads import Line, Mark, Workload

#: enough for the longest figure where the output is no terminal
WIDTH = 100


def print_report(
    console: Console, machine: str, runs: int, results: Sequence[tuple[Workload, dict[str, list[Line]]]]
) -> None:
    """Print a table for each workload, and what they were measured with.

    Args:
        console: where to.
        machine: what the figures were measured with.
        runs: rounds that the medians are taken over.
        results: workloads with their lines by database.
    """
    for workload, by_database in results:
        console.print(_table(workload, by_database))
    console.print(f"Medians of {runs} interleaved rounds. {machine}.", soft_wrap=True, highlight=False)


def _table(workload: Workload, by_database: dict[str, list[Line]]) -> Table:
    table = Table(title=f"{workload.name}: {workload.title}", title_justify="left", min_width=WIDTH)
    table.add_column("figure", ratio=1)
    table.add_column("database")
    for column in ("median", "least", "most", "mark"):
        table.add_column(column, justify="right")
    table.add_column("result")
    for of_all_databases in zip(*by_database.values(), strict=True):
        if len(by_database) > 1:
            table.add_section()
        for database, line in zip(by_database, of_all_databases, strict=True):
            what = f"{line.what}, {line.unit}" if line.unit else line.what
            table.add_row(what if database == next(iter(by_database)) else "", database, *_cells(line))
    return table


def _cells(line: Line) -> list[str]:
    figures = [shown(value) for value in (line.median, min(line.values), max(line.values))]
    return [*figures, mark_text(line.mark), verdict(line)]


def shown(value: float) -> str:
    """Return a figure with the digits that count."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def mark_text(mark: Mark | None) -> str:
    """Return a mark as people write it."""
    return "" if mark is None else f"{'≥' if mark.is_least else '≤'} {mark.limit:g}"


def verdict(line: Line) -> str:
    """Return pass or miss, by the median."""
    if line.mark is None:
        return ""
    return "[green]pass[/green]" if line.mark.is_met(line.median) else "[red]miss[/red]"
