"""The fuses of the fault points: one burns once, and nobody takes another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import points
from tests.faults.points import Action, Fuse, Point


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> list[Action]:
    """How the processes failed, in place of failing."""
    found: list[Action] = []
    monkeypatch.setattr(points, "_FAILURES", {action: lambda action=action: found.append(action) for action in Action})
    return found


def test_a_fuse_burns_at_its_visit_and_only_once(tmp_path: Path, failed: list[Action]) -> None:
    fuse = Fuse(tmp_path / "fuse")
    burnt = fuse.arm(Point.BEFORE_EFFECT, 2, Action.STOP)
    fuse.reach(Point.BEFORE_EFFECT)
    fuse.reach(Point.AFTER_EFFECT)
    assert (failed, burnt.exists()) == ([], False)
    fuse.reach(Point.BEFORE_EFFECT)
    fuse.reach(Point.BEFORE_EFFECT)
    assert (failed, burnt.exists()) == ([Action.STOP], True)


def test_who_saw_one_fuse_leaves_the_next_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: list[Action]
) -> None:
    fuse = Fuse(tmp_path / "fuse")
    fuse.arm(Point.BEFORE_EFFECT, 1, Action.STOP)
    count = Fuse._count_visit

    def overtaken(self: Fuse, *visited: Point) -> int:
        """While this thread has seen the fuse, another burns it, and the test arms the next."""
        monkeypatch.setattr(Fuse, "_count_visit", count)
        self.reach(Point.BEFORE_EFFECT)
        self.arm(Point.AFTER_EFFECT, 1, Action.KILL)
        return count(self, *visited)

    monkeypatch.setattr(Fuse, "_count_visit", overtaken)
    fuse.reach(Point.BEFORE_EFFECT)
    assert failed == [Action.STOP]
    fuse.reach(Point.AFTER_EFFECT)
    assert failed == [Action.STOP, Action.KILL]
