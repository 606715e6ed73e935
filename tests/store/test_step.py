"""What is said of the time of a step is measured on the statements that a step sends."""

from __future__ import annotations

import pytest

from bench.peers import step
from durable_host.dispatch import host, prospect
from durable_host.store import sql
from tests.store.workbench import STORE

pytestmark = STORE


def test_the_statements_of_a_chain_are_all_sent_again_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prospect, "_MOMENT", 0.0)  # whether a look is put off hangs on time,
    monkeypatch.setattr(host, "_BLINK", 10.0)  # ... and so does whether an activity ends before one
    few, more = step.steps(3), step.steps(8)
    # then: five steps more cost five times the same (to PostgreSQL a look and one statement, a transaction of its
    # own), and by hand they leave the rows that the host left
    is_one = sql.is_postgresql()
    assert more["statements"] - few["statements"] == 5 * (2 if is_one else 6)
    assert more["transactions"] - few["transactions"] == (0 if is_one else 5)
    assert all(more[f"{part}, {step.WALL}"] > 0 for part, _, name in step._PARTS if not (is_one and name == "_commit"))
    assert step.outcome() == "8"
