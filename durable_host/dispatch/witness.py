"""What a worker tells of its turns and activities, after the commit that made them true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from durable_host.core.codec import Record, to_record
from durable_host.store import clock
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity, InstanceHead, Receipt, TurnWrite
from durable_host.telemetry import pipeline
from durable_host.telemetry.chronicle import Attempt, LocalChronicle, Subject
from durable_host.telemetry.relay import Relay


class Witness:
    """Sees to it that each act is told once. With no telemetry configured it does nothing at all.

    Args:
        is_visit: whether the host lives for one bell only, so that a process beside it would come too late.
    """

    def __init__(self, *, is_visit: bool = False) -> None:
        self._chronicle: LocalChronicle | Relay | None = None
        if pipeline.is_on():
            self._chronicle = LocalChronicle() if is_visit else Relay()

    @property
    def is_on(self) -> bool:
        """Whether anybody is told."""
        return self._chronicle is not None

    def replay(self, head: InstanceHead, history: Sequence[Record]) -> None:
        """Note that an execution was rebuilt from history."""
        if self._chronicle is not None:
            self._chronicle.replayed(_subject(head), history)

    def turn(self, write: TurnWrite) -> None:
        """Note a committed turn."""
        if self._chronicle is not None:
            self._chronicle.turn(_subject(write.head), write.records)

    def forget(self, pk: int) -> None:
        """Note that an execution is let go of."""
        if self._chronicle is not None:
            self._chronicle.forget(pk)

    def started(self, activity: ClaimedActivity) -> None:
        """Note that an attempt of an activity begins."""
        if self._chronicle is not None:
            self._chronicle.began(_attempt(activity), clock.now(), activity.input)

    def ended(self, outcomes: Iterable[ActivityOutcome], receipt: Receipt) -> None:
        """Note the activities that have ended, once for all their deliveries.

        A result that came too late is noted only where its execution had ended, so that nobody else tells of it and
        what the activity itself has traced is not left without a parent.
        """
        if self._chronicle is None:
            return
        overtaken = {one.pk for one in receipt.late} - {one.pk for one in receipt.moot}
        for one in outcomes:
            if one.activity.pk not in overtaken:
                self._chronicle.ended(_attempt(one.activity), to_record(one.event))

    def hand_over(self) -> bool:
        """Pass on what was noted; tell whether what was said of executions before is lost, so that replays are due."""
        if not isinstance(self._chronicle, Relay):
            return False
        return self._chronicle.hand_over()

    def close(self) -> None:
        """Tell the rest."""
        if isinstance(self._chronicle, Relay):
            self._chronicle.close()


def _subject(head: InstanceHead) -> Subject:
    return Subject(head.pk, head.instance_id, head.generation)


def _attempt(activity: ClaimedActivity) -> Attempt:
    return Attempt(
        activity.instance_id,
        activity.generation,
        activity.name,
        activity.task_id,
        activity.attempt,
        activity.trace_parent,
    )
