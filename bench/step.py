"""``python -m bench.step``: where the time of one step of a chain goes, and how far that is from the floor.

One host runs one long chain in one process, with nothing beside it: no bell and no second worker. Its parts are timed
and its statements kept. Then the tables are emptied, the chain is started again, and the same statements are sent by
hand through sqlite3 or psycopg. Of PostgreSQL's own process only the waiting for it is seen.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from .contenders import DATABASES, Contender
from .environment import Environment
from .results import Case, Figures
from .tools import Tools

_STEP = Contender(name="step", peer="host", module="bench.peers.step", tools=Tools.PROJECT)


def main() -> int:
    """Measure, and print a table for each database."""
    parser = argparse.ArgumentParser("python -m bench.step", description="Tell where the time of one step goes.")
    parser.add_argument("--database", choices=DATABASES, nargs="+", default=DATABASES, help="what to run on (both)")
    parser.add_argument("--steps", type=int, default=1000, help="length of the chain (1000)")
    options = parser.parse_args()
    with Environment(options.database) as environment:
        for database in options.database:
            figures = environment.measure(_STEP, Case(_STEP.name, "steps", options.steps, database))
            Console().print(_table(database, figures, options.steps))
    return 0


def _table(database: str, figures: Figures, count: int) -> Table:
    title = f"{database}: one of {count:,} steps, {figures['statements'] / count:.1f} statements"
    table = Table("part", "wall, µs", "CPU of its thread, µs", title=title)
    for part in [name.removesuffix(", wall") for name in figures if name.endswith(", wall")]:
        table.add_row(part, *(f"{figures[f'{part}, {kind}'] / count * 1e6:,.0f}" for kind in ("wall", "CPU")))
    return table


if __name__ == "__main__":
    sys.exit(main())
