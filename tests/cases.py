"""``make cases``: run the tests of the cases in ``docs/reliability.md`` on both databases, and say how each recovered.

A test that shows a case has the mark ``case`` with its number; one in which something has to recover notes with the
fixture ``recovery`` how long that took.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from rich import box
from rich.console import Console
from rich.table import Table

from tests.recovery import Recovery
from tests.services import PROJECT

DOCUMENT = PROJECT / "docs" / "reliability.md"
SELECTIONS = {"sqlite": "case", "postgres": "case and (store or e2e) and not once"}
_ROW = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A row of the tables in the document."""

    number: int
    what: str
    outcome: str
    #: modules of tests, as ``e2e/test_redis``
    shown_by: frozenset[str]


def documented() -> list[Case]:
    """Read the tables."""
    rows = [(number, row.split(" | ")) for number, row in _ROW.findall(DOCUMENT.read_text())]
    return [
        Case(int(number), cells[0].strip(), cells[1], frozenset(re.findall(r"`(\w+/test_\w+)`", cells[-1])))
        for number, cells in rows
    ]


def marked() -> dict[int, frozenset[str]]:
    """Find the marks in the modules of tests: number of a case → modules."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for path in (PROJECT / "tests").rglob("test_*.py"):
        module = path.relative_to(PROJECT / "tests").with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
                for argument in node.args:
                    found[ast.literal_eval(argument)].add(module)
    return {number: frozenset(modules) for number, modules in found.items()}


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the tests of one case came to on one database."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    #: seconds, and what they are spent on
    recoveries: list[tuple[float, str]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.failed:
            return f"FAILED: {', '.join(self.failed)}"
        return f"right ({self.passed})" if self.passed else "–"

    @property
    def seconds(self) -> str:
        """How long the fastest and the slowest recovery took."""
        ends = dict.fromkeys(f"{end(self.recoveries)[0]:.1f}" for end in (min, max)) if self.recoveries else ["–"]
        return " – ".join(ends)

    @property
    def within(self) -> set[str]:
        """What the recoveries wait for."""
        return {within for _, within in self.recoveries}


#: number of a case, database → what was seen
Sights = defaultdict[tuple[int, str], Seen]


def look(database: str, junit: Path, sights: Sights) -> None:
    """Add the tests of a run."""
    for test in ElementTree.parse(junit).iter("testcase"):  # noqa: S314  pytest has written it
        noted = [(one.get("name"), one.get("value", "")) for one in test.iter("property")]
        times = [json.loads(value) for name, value in noted if name == Recovery.PROPERTY]
        #: a test may have servers of its own
        own = {one["database"] for one in times} or {database}
        for number in [int(value) for name, value in noted if name == "case"]:
            for one in own:
                _note(sights[number, one], test)
        for one in times:
            sights[one["case"], one["database"]].recoveries.append((one["seconds"], one["within"]))


def _note(seen: Seen, test: ElementTree.Element) -> None:
    if test.find("failure") is not None or test.find("error") is not None:
        seen.failed.append(test.get("name", ""))
    elif test.find("skipped") is None:
        seen.passed += 1


def table(sights: Sights) -> Table:
    """Show every case."""
    shown = Table(box=box.MARKDOWN, title=f"load average {os.getloadavg()[0]:.0f}, {os.cpu_count()} cores")
    for heading in ("#", "case", "right outcome", "SQLite", "s", "PostgreSQL", "s", "waits for"):
        shown.add_column(heading, no_wrap=True)
    for case in documented():
        both = [sights[case.number, database] for database in SELECTIONS]
        within = ", ".join(sorted(set().union(*(seen.within for seen in both)))) or "–"
        cells = [cell for seen in both for cell in (seen.verdict, seen.seconds)]
        shown.add_row(str(case.number), case.what, case.outcome, *cells, within)
    return shown


def main(args: list[str]) -> int:
    """Run the tests on both databases; return the first exit code that is not zero."""
    sights: Sights = defaultdict(Seen)
    codes = []
    with tempfile.TemporaryDirectory() as directory:
        for database, selection in SELECTIONS.items():
            junit = Path(directory) / f"{database}.xml"
            argv = [sys.executable, "-m", "pytest", "-q", "-m", selection, f"--junitxml={junit}", *args]
            env = {**os.environ, "TEST_DATABASE": database}
            codes.append(subprocess.run(argv, env=env, check=False).returncode)
            look(database, junit, sights)
    Console(width=None if sys.stdout.isatty() else 500).print(table(sights))
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
