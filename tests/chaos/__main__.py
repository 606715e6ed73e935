"""``python -m tests.chaos``: let everything fail under load, then look whether anybody can tell.

It starts servers and workers of its own, and ends them. The seed decides what is asked for and what fails when, so that
a run can be repeated. Exit codes: 0 nothing lost, doubled or wrong; 1 something was; 2 a server is missing.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from durable_host.embedded import EmbeddedError
from tests.services import PROJECT, ServiceMissingError

from .plan import Fault, Kind, make_plan
from .stage import Stage

#: run by Python with the settings of the stage
_ASKING = "import django; django.setup(); from tests.chaos import process; process.main()"


def main() -> int:
    """Run it."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its servers and workers end with it
    console = Console(highlight=False)
    seed, seconds = options.seed, options.minutes * 60
    console.print(f"Chaos on {options.database} for {options.minutes:g} minutes, seed {seed}.")
    console.print(
        f"Again: python -m tests.chaos --database {options.database} --minutes {options.minutes:g} --seed {seed}"
    )
    plan = make_plan(seed, seconds, options.database)
    directory = Path(tempfile.mkdtemp(prefix="durable-chaos-"))
    try:
        found = _run(Stage(options.database, directory), plan, seed, seconds, console)
        if not _report(console, found):
            console.print(f"Its database, if it is SQLite's, and its logs are in {directory}")
            return 1
    except (EmbeddedError, ServiceMissingError) as error:
        console.print(f"[red]{error}[/red]")
        return 2
    shutil.rmtree(directory)
    return 0


def _run(stage: Stage, plan: list[Fault], seed: int, seconds: float, console: Console) -> dict[str, Any]:
    """Have the load run while the plan goes on; return what was found."""
    argv = [sys.executable, "-c", _ASKING, str(seed), str(seconds)]
    with ExitStack() as cleanup:
        cleanup.enter_context(stage)
        log = cleanup.enter_context(open(stage.directory / "clients.log", "w", encoding="utf-8"))
        asking = subprocess.Popen(argv, env=stage.env, cwd=PROJECT, stdout=subprocess.PIPE, stderr=log, text=True)
        cleanup.enter_context(asking)
        cleanup.callback(asking.kill)  # before it is waited for: without the stage it would never end
        assert asking.stdout is not None
        asking.stdout.readline()
        hits = _follow(plan, stage, console)
        console.print("Nothing fails any more; what is open comes to its end.")
        said = asking.communicate()[0]
    if asking.returncode:
        raise RuntimeError(f"The clients failed: {Path(log.name).read_text(encoding='utf-8')[-2000:]}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found | {"faults": hits}


def _follow(plan: list[Fault], stage: Stage, console: Console) -> Counter[Kind]:
    """Have every fault happen at its time, and end; count those that hit something."""
    begun = time.monotonic()
    hits: Counter[Kind] = Counter()
    for fault in plan:
        stage.wait(begun + fault.at)
        stage.tend()
        hit = stage.inflict(fault)
        lasts = f" for {fault.lasts:.1f} s" if fault.lasts else ""
        console.print(f"{fault.at:7.1f} s  {fault.kind}{lasts}  [dim]{hit or 'nothing was there to hit'}[/dim]")
        hits[fault.kind] += bool(hit)
    stage.wait()
    stage.tend()
    return hits


def _report(console: Console, found: dict[str, Any]) -> bool:
    """Print the summary; tell whether all is well."""
    table = Table(title="What happened, and what came of it", show_header=False)
    for kind in Kind:
        if found["faults"][kind]:
            table.add_row(kind[0].upper() + kind[1:], str(found["faults"][kind]))
    table.add_section()
    table.add_row("Instances", f"{found['instances']:,}")
    table.add_row("Events in their histories", f"{found['events']:,}")
    table.add_row("Requests, each in the audit", f"{found['requests']:,}")
    table.add_row("Requests made again after a database failure", f"{found['repeats']:,}")
    table.add_row("Longest that ready work stood still", f"{found['standstill']:.1f} s")
    table.add_section()
    for title, key in (("Lost", "lost"), ("Duplicated outcomes", "duplicated"), ("Otherwise wrong", "wrong")):
        table.add_row(title, str(len(found[key])), style="red" if found[key] else "green")
    console.print(table)
    troubles = [*found["lost"], *found["duplicated"], *found["wrong"]]
    for trouble in troubles[:20]:
        console.print(trouble, style="red", markup=False)
    return not troubles


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.chaos", description=__doc__.partition("\n\n")[0].partition(": ")[2]
    )
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite", help="(sqlite)")
    parser.add_argument("--minutes", type=float, default=2, help="how long things fail (2)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeat a run (random)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
