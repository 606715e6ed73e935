"""Clients that are killed at their fault points, one after the other.

Runs in a process of its own; each client is a fork of it, so that they cost next to nothing.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from durable_host.client import DurableClient
from tests.faults.environment import FUSE
from tests.faults.points import Action, Fuse, Point

COMMAND = "import django; django.setup(); from tests.faults import clients; clients.main()"


def main() -> None:
    """Have a fork run each errand (``act:instance id:point``) until its point kills it; fail if one survives."""
    for errand in sys.argv[1:]:
        child = os.fork()
        if not child:
            _run(*errand.split(":"))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"{errand}: the client was not killed")


def _run(act: str, instance_id: str, point: str) -> None:
    client = DurableClient()
    acts: dict[str, Callable[[], object]] = {
        "start": lambda: client.start_new("approval", instance_id=instance_id),
        "answer": lambda: client.raise_event(instance_id, "first", True),
    }
    Fuse(Path(os.environ[FUSE])).arm(Point[point], 1, Action.KILL)
    acts[act]()
