"""``python -m bench.sweep``: what a sweep of the retention costs those who work meanwhile.

A database with 200,000 finished instances that are all out of date; two workers; a client that starts chains. The sweep
runs without the pauses that it makes while there is other work, which is worse than it ever is, and ends after 20,000.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

from .contenders import DATABASES, HOST
from .environment import Environment
from .results import Case


def main(argv: list[str] | None = None) -> int:
    """Measure on each database and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__)
    parser.add_argument("--count", type=int, default=200_000, help="finished instances (default: %(default)s)")
    parser.add_argument("--database", choices=DATABASES, action="append", help="one of them; default: both")
    options = parser.parse_args(argv)
    databases = options.database or DATABASES
    contender = replace(HOST, module="bench.peers.sweep")
    with Environment(databases) as environment:
        for database in databases:
            figures = environment.measure(contender, Case(HOST.name, "sweep", options.count, database))
            shown = {name: round(value, 1) for name, value in figures.items()}
            print(database, json.dumps(shown), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
