"""What fails when: decided before the run by a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A fault."""

    KILL_WORKER = "worker killed"
    PAUSE_WORKER = "worker paused"
    KILL_POOL = "machine with its workers killed"
    FLUSH_REDIS = "Redis emptied"
    RESTART_REDIS = "Redis down"
    DOUBLE_BELLS = "bells doubled"
    WITHHOLD_BELLS = "bells withheld"
    CRASH_DATABASE = "PostgreSQL crashed"
    DROP_CONNECTIONS = "connections dropped"
    LOCK_DATABASE = "SQLite locked"


#: fault → how often, compared with the others, and how many seconds it lasts at most
_EVERYWHERE = {
    Kind.KILL_WORKER: (6, 0.0),
    Kind.PAUSE_WORKER: (4, 8.0),
    Kind.KILL_POOL: (1, 0.0),
    Kind.FLUSH_REDIS: (2, 0.0),
    Kind.RESTART_REDIS: (1, 5.0),
    Kind.DOUBLE_BELLS: (2, 0.0),
    Kind.WITHHOLD_BELLS: (2, 2.0),
}
_OF_DATABASE = {
    "postgres": {Kind.CRASH_DATABASE: (1, 3.0), Kind.DROP_CONNECTIONS: (3, 0.0)},
    "sqlite": {Kind.LOCK_DATABASE: (3, 3.0)},
}
#: seconds between two faults, on average
_PAUSE = 1.5


@dataclass(frozen=True)
class Fault:
    """One fault of a run."""

    #: seconds after the start of the run
    at: float
    kind: Kind
    #: which of those that it can hit: a share of their number
    whom: float
    #: seconds until it is over
    lasts: float


def make_plan(seed: int, seconds: float, database: str) -> list[Fault]:
    """Return the faults of a run; the same for the same arguments."""
    chance = random.Random(f"{seed} {database}")
    kinds = _EVERYWHERE | _OF_DATABASE[database]
    weights = [weight for weight, _ in kinds.values()]
    faults: list[Fault] = []
    at = chance.expovariate(1 / _PAUSE)
    while at < seconds:
        kind = chance.choices(list(kinds), weights)[0]
        faults.append(Fault(at, kind, chance.random(), chance.uniform(0.3, 1) * kinds[kind][1]))
        at += chance.expovariate(1 / _PAUSE)
    return faults
