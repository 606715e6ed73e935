"""Committing what a cycle decided, and setting aside what cannot be committed."""

from __future__ import annotations

import time

from django.db import DataError, IntegrityError

from durable_host.conf import HostSettings
from durable_host.store import stalls
from durable_host.store.checkpoint import checkpoint
from durable_host.store.shapes import Holder, Receipt, Stall, Wake

from . import doorbell
from .reporter import Reporter
from .turns import Batch


class Committer:
    """Commits the batches of one worker, tells whoever waits for an end, and reports them.

    Args:
        name: name of the worker.
        code: fingerprint of its code.
    """

    def __init__(self, name: str, code: str, settings: HostSettings, reporter: Reporter) -> None:
        self._name, self._code = name, code
        self._settings, self._reporter = settings, reporter

    def commit(self, batch: Batch, room: dict[str, int]) -> Receipt:
        """Commit a batch.

        Args:
            batch: what was decided.
            room: queue → number of new activities that the worker takes without asking again.
        """
        holder = Holder(
            hub=self._settings.task_hub,
            worker=self._name,
            room=room,
            activity_lease=self._settings.activity_lease,
            affinity=self._settings.affinity,
        )
        for stall in batch.stalls:
            self._set_aside(stall)
        began = time.monotonic()
        receipt = self._checkpoint(batch, holder)
        seconds = time.monotonic() - began
        ended = frozenset(head.instance_id for head in receipt.committed.values() if head.status.is_finished)
        doorbell.ring(Wake(ended=ended))  # first of all: somebody may wait for it
        self._reporter.commit(batch, receipt, seconds)
        return receipt

    def _checkpoint(self, batch: Batch, holder: Holder) -> Receipt:
        """Commit the batch; where the database refuses what one turn holds, set aside that instance only."""
        try:
            return checkpoint(batch.turns, batch.forwarded, holder)
        except (DataError, IntegrityError):
            receipt = checkpoint([], batch.forwarded, holder)
        for turn in batch.turns:
            try:
                receipt.add(checkpoint([turn], [], holder))
            except (DataError, IntegrityError) as error:
                reason = f"The database refused this turn: {error}"
                self._set_aside(Stall(turn.head, reason, self._settings.stall_retry))
                receipt.add(checkpoint([], turn.outcomes, holder))
        return receipt

    def _set_aside(self, stall: Stall) -> None:
        if stalls.set_aside(stall, self._code):
            self._reporter.stall(stall.head, stall.reason)
