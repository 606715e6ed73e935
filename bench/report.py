"""The table: contenders with their ratios, and marks with their verdicts, for each workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .contenders import DATABASES
from .marks import Mark, Values, View, speed_ratio
from .results import Results
from .workloads import Run, Workload

TITLES = dict(zip(DATABASES, ("SQLite", "PostgreSQL"), strict=True))
#: enough for the longest line where the output is no terminal
WIDTH = 110


class Verdict(StrEnum):
    """Whether a mark was reached."""

    MET = "met"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a contender, or a mark with its verdicts; cells by database."""

    what: str
    cells: Mapping[str, str]
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """The part of the table that holds one workload."""

    title: str
    rows: list[Row]


def sections(results: Results, chosen: Sequence[Workload], databases: Sequence[str]) -> list[Section]:
    """Return the table's content; without the parts in which nobody was measured who could be compared."""
    by_name = {one.name: one for one in chosen}
    found = []
    for workload in chosen:
        views = {database: _View(results, workload, by_name, database) for database in databases}
        first, *others = (_contender(run, views) for run in workload.runs)
        measured = _with_figures(others)
        if any(first.cells.values()) and (measured or not others):
            marks = _with_figures(_mark(mark, views) for mark in workload.marks)
            found.append(Section(f"{workload.title} ({workload.unit})", [first, *measured, *marks]))
    return found


def _with_figures(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if any(row.cells.values())]


def print_report(console: Console, results: Results, content: Sequence[Section], databases: Sequence[str]) -> None:
    """Print the table, and what it was measured with."""
    table = Table(show_header=True, min_width=WIDTH)
    table.add_column("", ratio=1)
    for database in databases:
        table.add_column(TITLES[database], justify="right", min_width=30)
    for section in content:
        table.add_section()
        table.add_row(f"[bold]{escape(section.title)}[/bold]")
        for row in section.rows:
            table.add_row(f"  {row.what}", *(_coloured(row, database) for database in databases))
    console.print(table)
    for line in (legend(results), *results.machine):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def legend(results: Results) -> str:
    """Return what the cells tell."""
    return (
        f"Medians (least to most) of {results.rounds} interleaved rounds, in {results.minutes:.0f} minutes. × tells "
        "how many times as fast the first line of a part was, round by round; → is a mark."
    )


def shown(value: float, other: float | None = None) -> str:
    """Return a figure with the digits that count; with more where it would look like another one, and is not."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    while other is not None and value != other and float(f"{value:.{digits}f}") == other:
        digits += 1
    return f"{value:,.{digits}f}"


def _coloured(row: Row, database: str) -> str:
    verdict = row.verdicts.get(database)
    text = escape(row.cells.get(database, ""))
    colour = "green" if verdict is Verdict.MET else "red"
    return f"{text} [{colour}]{verdict}[/{colour}]" if verdict else text


def _contender(run: Run, views: Mapping[str, _View]) -> Row:
    size = f" ({run.size:,})" if run.size != next(iter(views.values())).size else ""
    return Row(run.contender.name + size, {database: _figure(run, view) for database, view in views.items()})


def _figure(run: Run, view: _View) -> str:
    name = run.contender.name
    if reason := view.missing(run):
        return reason
    values = view.values(name)
    if values is None:
        return ""
    spread = f" ({shown(min(values))}–{shown(max(values))})" if len(values) > 1 else ""
    ratio = speed_ratio(view, view.first, name) if name != view.first else None
    return f"{shown(median(values))}{spread}" + (f"  ×{shown(median(ratio))}" if ratio else "")


def _mark(mark: Mark, views: Mapping[str, _View]) -> Row:
    cells, verdicts = {}, {}
    for database, view in views.items():
        values = mark.judge(view) if database in mark.limits else None
        if values:
            sign = "≥" if mark.is_least else "≤"
            limit, is_met = mark.limits[database], mark.is_met(database, values)
            cells[database] = f"{shown(median(values), None if is_met else limit)} {sign} {limit:g}"
            verdicts[database] = Verdict.MET if is_met else Verdict.MISSED
    return Row(f"→ {mark.text}", cells, verdicts)


class _View:
    """The figures of one workload on one database."""

    def __init__(self, results: Results, workload: Workload, all_: Mapping[str, Workload], database: str) -> None:
        self._results, self._workload, self._all, self._database = results, workload, all_, database
        self._runs = {run.contender.name: run for run in workload.runs}

    @property
    def first(self) -> str:
        return self._workload.runs[0].contender.name

    @property
    def size(self) -> int:
        """The size that the first contender ran."""
        return self._workload.runs[0].size

    @property
    def is_rate(self) -> bool:
        return self._workload.is_rate

    def values(self, contender: str, key: str | None = None) -> Values | None:
        run = self._runs.get(contender)
        rounds = run and self._results.figures.get(run.case(self._database))
        if not run or not rounds or (key and key not in rounds[0]):
            return None
        return [one[key] if key else self._workload.value(one, run.size) for one in rounds]

    def configurations(self, peer: str) -> list[str]:
        return [run.contender.name for run in self._workload.runs if run.contender.peer == peer]

    def of(self, workload: str) -> View | None:
        other = self._all.get(workload)
        return _View(self._results, other, self._all, self._database) if other else None

    def missing(self, run: Run) -> str:
        """Return why a contender has no figures here."""
        return self._results.missing.get(run.case(self._database), "")
