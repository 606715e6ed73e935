"""The process that asks and judges: it knows Django, and nothing of the faults.

It says ``ready`` when it begins, and at the end prints what it found as a line of JSON.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict

from django.db import DatabaseError, InterfaceError, connections

from durable_host.core.status import UNFINISHED
from durable_host.models import Instance
from durable_host.store import queries
from tests.services import wait_until

from .load import Load
from .standstill import Standstill
from .verdict import judge

#: seconds that everything may take to end once nothing fails any more
_LONGEST = 120.0


def main() -> None:
    """Run the load for some seconds, have everything end, and judge. Arguments: seed, seconds."""
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    load = Load(seed)
    print("ready", flush=True)
    with Standstill() as standstill:
        load.run(seconds)
        with suppress(TimeoutError):  # the verdict says what has not ended
            wait_until(_is_quiet, "everything to end", _LONGEST)
    verdict = judge(load)
    found = asdict(verdict) | {
        "standstill": standstill.longest,
        "repeats": load.repeats,
        "requests": len(load.requests),
    }
    print(json.dumps(found))


def _is_quiet() -> bool:
    try:
        is_over = not Instance.objects.filter(status__in=UNFINISHED).exists()
        return is_over and not any(queries.count_open_work("default").values())
    except (DatabaseError, InterfaceError):
        connections.close_all()
        return False
