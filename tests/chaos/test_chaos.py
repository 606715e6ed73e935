"""A short chaos run, with servers of its own; ``make chaos`` runs longer ones."""

from __future__ import annotations

import os
import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.services import running

from .plan import Kind, make_plan

#: of faults; the servers' start and the end of what is open come to it
MINUTES = 0.4


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.case(9, 11, 12)
def test_nothing_is_lost_and_nothing_happens_twice_whatever_fails(tmp_path: Path) -> None:
    seed = os.environ.get("TEST_SEED") or str(random.randrange(10**6))
    database = os.environ.get("TEST_DATABASE", "sqlite")
    argv = ["--database", database, "--minutes", str(MINUTES), "--seed", seed]
    log = tmp_path / "chaos.log"
    with running([sys.executable, "-m", "tests.chaos", *argv], {}, log) as chaos:
        result = chaos.wait()
    print(log.read_text())
    if result == 2:
        missing(log.read_text().splitlines()[-1])
    assert result == 0


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_seed_always_gives_the_same_faults_of_every_kind(database: str) -> None:
    plan = make_plan(7, 600, database)
    assert plan == make_plan(7, 600, database) != make_plan(8, 600, database)
    absent = {"sqlite": {Kind.CRASH_DATABASE, Kind.DROP_CONNECTIONS}, "postgres": {Kind.LOCK_DATABASE}}
    assert {fault.kind for fault in plan} == set(Kind) - absent[database]
    assert all(before.at < after.at < 600 for before, after in pairwise(plan))
