"""What a host's acts mean for people and for the instruments: a line in the log, a count. After the commit, only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from itertools import chain

from durable_host.store import clock
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity, ClaimedInstance, InstanceHead, Receipt
from durable_host.telemetry import acts, counting, meters

from .turns import Batch
from .witness import Witness

#: what waited longer was missed by its bell; what waited less may hear it yet
_BELLS_TAKE = timedelta(seconds=1)


class Reporter:
    """Reports what one worker does: to people, to the instruments, to the witness."""

    def __init__(self, worker: str, witness: Witness) -> None:
        self._worker = worker
        self._witness = witness
        self.sweeps = SweepWatch()

    def commit(self, batch: Batch, receipt: Receipt, seconds: float) -> None:
        """Report what a checkpoint made true, and how long it took."""
        meters.checkpoint_duration.record(seconds)
        self.sweeps.see_committed(receipt.committed.keys())
        for turn in batch.turns:
            if turn.head.pk in receipt.committed:
                acts.log_turn(self._subject(turn.head), turn.result.events)
                self._witness.turn(turn)
                counting.count_turn(turn.head.name, turn.head.due_at, turn.result.events)
            elif turn.head.pk in receipt.lost:
                meters.turn_conflicts.add(turn.head.name)
        self.outcomes(list(chain(batch.forwarded, *(turn.outcomes for turn in batch.turns))), receipt)

    def outcomes(self, outcomes: Collection[ActivityOutcome], receipt: Receipt) -> None:
        """Report how activities ended, and which outcomes came too late."""
        late = {activity.delivery for activity in receipt.late}
        self._witness.ended(outcomes, receipt)
        for outcome in outcomes:
            if outcome.activity.delivery not in late:
                counting.count_outcome(outcome.activity.name, outcome.event)
        for activity in receipt.late:
            self._late(activity)

    def start(self, activity: ClaimedActivity) -> None:
        """Report that an activity begins to run."""
        name, attempt = activity.name, activity.attempt
        acts.log_activity_started(
            name, activity.instance_id, task_id=activity.task_id, attempt=attempt, worker=self._worker
        )
        counting.count_activity_started(name, attempt, activity.created_at, clock.now())
        self._witness.started(activity)

    def stall(self, head: InstanceHead, reason: str) -> None:
        """Report that an instance was set aside."""
        acts.log_stall(self._subject(head), reason)
        meters.stalls.add(head.name)

    def _late(self, activity: ClaimedActivity) -> None:
        acts.log_late_result(
            activity.name,
            activity.instance_id,
            task_id=activity.task_id,
            attempt=activity.attempt,
            worker=self._worker,
        )
        meters.late_results.add(activity.name)

    def _subject(self, head: InstanceHead) -> acts.Subject:
        return acts.Subject(head.name, head.instance_id, self._worker)


class SweepWatch:
    """Tells what a sweep finds although no bell announced it: how much the bells miss."""

    def __init__(self) -> None:
        self._seeks_turns = self._seeks_activities = False
        self._found: set[int] = set()

    def begin(self, knew_of_turns: bool, knew_of_activities: bool) -> None:
        """Note that a sweep begins, and which work was known of before."""
        self._seeks_turns, self._seeks_activities = not knew_of_turns, not knew_of_activities

    def see_turns(self, claimed: Iterable[ClaimedInstance]) -> None:
        """Note which instances were claimed; they count if they commit, so that stalled ones do not."""
        self._found.clear()
        if self._seeks_turns:
            late = clock.now() - _BELLS_TAKE
            self._found.update(one.head.pk for one in claimed if min(map(counting.ready_at, one.inbox)) < late)
        self._seeks_turns = False

    def see_activities(self, claimed: Iterable[ClaimedActivity]) -> None:
        """Count the activities that were claimed."""
        if self._seeks_activities:
            late = clock.now() - _BELLS_TAKE
            _count(sum(one.created_at < late for one in claimed))
        self._seeks_activities = False

    def see_committed(self, committed: Collection[int]) -> None:
        """Count the instances that a sweep found and a turn has moved on."""
        if self._found:
            _count(len(self._found.intersection(committed)))
            self._found.clear()


def _count(recovered: int) -> None:
    if recovered:
        meters.sweep_recoveries.add(count=recovered)
