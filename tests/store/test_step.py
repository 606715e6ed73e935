"""What is said of the time of a step is measured on the statements that a step sends."""

from __future__ import annotations

from bench.peers import step
from tests.store.workbench import STORE

pytestmark = STORE


def test_the_statements_of_a_chain_are_all_sent_again_by_hand() -> None:
    few, more = step.steps(3), step.steps(8)
    # then: five steps more cost five times the same, and by hand they leave the rows that the host left
    assert more["statements"] - few["statements"] == 5 * 6
    # so short a chain may never wait: its activities end while the host still looks around
    parts = {part for part, _, _ in step._PARTS} - {"wait for the activity"}
    assert all(more[f"{part}, {step.WALL}"] > 0 for part in parts)
    assert step.outcome() == "8"
