"""Running a transactional activity: its writes and its outcome commit together."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from django.db import InterfaceError, OperationalError, connection

from durable_host.store import transactional
from durable_host.store.shapes import ActivityOutcome, Receipt
from durable_host.store.transactional import LateDeliveryError

from .attempt import Attempt

_TRIES, _FIRST_PAUSE = 5, 0.1


@dataclass(frozen=True, slots=True)
class Committed:
    """An outcome that is in the database already, and what its commit made true."""

    outcome: ActivityOutcome
    receipt: Receipt


@dataclass(slots=True)
class _Call:
    """The function of an attempt, and what it raised, as opposed to what the commit around it raises."""

    attempt: Attempt
    raised: list[BaseException] = field(default_factory=list)

    def __call__(self) -> ActivityOutcome:
        try:
            return self.attempt.completed(self.attempt.call())
        except BaseException as error:  # user code: the activity
            self.raised.append(error)
            raise


def run_transactional(attempt: Attempt) -> ActivityOutcome | Committed:
    """Run the function in one transaction with the record of its outcome.

    Where the database fails around the function, nothing or all of it has been committed: a next try finds out which.
    """
    error: BaseException
    for number in range(_TRIES):
        call = _Call(attempt)
        try:
            return Committed(*transactional.run(attempt.activity, call))
        except LateDeliveryError as late:
            return Committed(attempt.failed(late), Receipt(late=[attempt.activity]))
        except (OperationalError, InterfaceError) as failure:
            error = failure
            connection.close()
            if call.raised:
                break
            time.sleep(_FIRST_PAUSE * 2**number)
        except BaseException as failure:  # user code: the activity
            error = failure
            break
    return attempt.failed(error)
