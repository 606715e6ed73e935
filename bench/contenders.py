"""Who is measured: every way to run the work, as its users would run it for the most it can give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .receivers import Endpoint
from .tools import Tools

SQLITE, POSTGRES = "sqlite", "postgres"
DATABASES = (SQLITE, POSTGRES)
#: where a peer keeps its work that brings its own storage
OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to run the work.

    Args:
        name: how the table calls it.
        peer: of whom it is a configuration; a mark that names a peer is held against the fastest of them.
        module: the module in :mod:`bench.peers`.
        tools: the environment that it runs in.
        databases: where it can keep its work.
        workers: worker processes, or processes that share the work where there are no workers.
        telemetry: where its processes send what they have to tell.
        finished: finished instances that its database holds before the work starts.
        settings: environment variables besides.
    """

    name: str
    peer: str
    module: str
    tools: Tools = Tools.PEERS
    databases: tuple[str, ...] = DATABASES
    workers: int = 2
    telemetry: Endpoint = Endpoint.NONE
    finished: int = 0
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)


#: the durable host as it is deployed
HOST = Contender(name="host", peer="host", module="bench.peers.host", tools=Tools.PROJECT)
#: the same, telling a backend everything
TRACED = replace(HOST, name="host, telemetry on", telemetry=Endpoint.TAKES)
#: the same, with a backend that has fallen silent
UNHEARD = replace(HOST, name="host, endpoint hangs", telemetry=Endpoint.HANGS)
ALONE = replace(HOST, name="host, 1 worker", workers=1)
FOUR = replace(HOST, name="host, 4 workers", workers=4)
#: one RQ job for each turn and each activity
JOBS = Contender(name="RQ jobs", peer="RQ", module="bench.peers.rq_jobs", tools=Tools.PROJECT)
#: its commits and words between processes, with nothing on them
BY_HAND = Contender(name="four commits by hand", peer="floor", module="bench.peers.by_hand", tools=Tools.PROJECT)
#: in the caller's process, without a queue between
DBOS = Contender(name="DBOS in process", peer="DBOS", module="bench.peers.dbos")
#: through its queue to its workers
DBOS_QUEUE = Contender(name="DBOS queue", peer="DBOS", module="bench.peers.dbos_queue")
#: its steps inside the handler
RESTATE = Contender(
    name="Restate, steps in the handler",
    peer="Restate",
    module="bench.peers.restate",
    tools=Tools.RESTATE,
    databases=(),
)
#: each activity a service of its own
RESTATE_SERVICES = replace(
    RESTATE, name="Restate, activities as services", settings={"BENCH_RESTATE_STYLE": "services"}
)
#: each activity a task that any worker may take
TEMPORAL = Contender(name="Temporal, activities", peer="Temporal", module="bench.peers.temporal", databases=())
#: activities that run beside the workflow
TEMPORAL_LOCAL = replace(TEMPORAL, name="Temporal, local activities", settings={"BENCH_TEMPORAL_STYLE": "local"})
DURABLETASK = Contender(
    name="durabletask in memory", peer="durabletask", module="bench.peers.durabletask", databases=()
)
PEERS = (DBOS, DBOS_QUEUE, TEMPORAL, TEMPORAL_LOCAL, RESTATE, RESTATE_SERVICES, DURABLETASK)


def beside_a_past(finished: int) -> Contender:
    """Return the host with so many finished instances in its database."""
    return replace(HOST, name=f"host, {finished:,} finished", finished=finished)
