"""``python -m bench.page FILE …``: writes measured figures into docs/performance.md, in place of those that are there.

The files are what ``python -m bench --output FILE`` has written. Each becomes a table of its own, so that nobody is
held against others of other rounds; a workload that several hold is shown where it comes first.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.services import PROJECT

from .contenders import DATABASES, OWN
from .report import TITLES, Row, Section, Verdict, legend, sections
from .results import Results
from .workloads import Sizes, workloads

_PAGE = PROJECT / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures: written by python -m bench.page -->", "<!-- end of figures -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Put the figures into the page."""
    parser = argparse.ArgumentParser("python -m bench.page", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    tables = figures([Results.load([file]) for file in parser.parse_args(arguments).files])
    page = _PAGE.read_text()
    between = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    _PAGE.write_text(between.sub(lambda _: f"{_BEGIN}\n\n{tables}\n\n{_END}", page))
    return 0


def figures(measured: Iterable[Results]) -> str:
    """Return the figures of each run of the benchmark as Markdown."""
    tables, shown = [], set[str]()
    for results in measured:
        databases = [one for one in DATABASES if any(case.database == one for case in results.figures)] or [OWN]
        found = sections(results, workloads(Sizes()), databases)
        tables.append(_table(results, [section for section in found if section.title not in shown], databases))
        shown.update(section.title for section in found)
    return "\n\n".join(tables)


def _table(results: Results, content: Sequence[Section], databases: Sequence[str]) -> str:
    commands = " and ".join(f"`{one}`" for one in results.commands)
    lines = [*(f"{line}\n" for line in results.machine), f"By {commands}. {legend(results)}\n"]
    lines += ["| | " + " | ".join(TITLES[one] for one in databases) + " |", "|---|" + "---:|" * len(databases)]
    for section in content:
        lines += _rows(section, databases)
    return "\n".join(lines)


def _rows(section: Section, databases: Sequence[str]) -> list[str]:
    return [f"| **{section.title}** |" + " |" * len(databases), *(_row(row, databases) for row in section.rows)]


def _row(row: Row, databases: Sequence[str]) -> str:
    return f"| {row.what} | " + " | ".join(_cell(row, one) for one in databases) + " |"


def _cell(row: Row, database: str) -> str:
    verdict = row.verdicts.get(database)
    said = f" **{verdict}**" if verdict is Verdict.MISSED else f" {verdict}" if verdict else ""
    return row.cells.get(database, "") + said


if __name__ == "__main__":
    sys.exit(main())
