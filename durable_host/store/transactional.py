"""Activities whose own writes and whose completion are one transaction: exactly once, as far as the database goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from durable_host.core.errors import DurableError
from durable_host.models import ActivityTask

from .checkpoint import checkpoint
from .shapes import ActivityOutcome, ClaimedActivity, Holder, Receipt

_READS = ("SELECT", "SHOW", "EXPLAIN", "PRAGMA")


class LateDeliveryError(DurableError):
    """Another delivery of the activity has its outcome, or its instance has ended: nothing was written."""


class OtherDatabaseError(DurableError):
    """A transactional activity wrote to a database which does not commit together with the host's own."""


def run(activity: ClaimedActivity, call: Callable[[], ActivityOutcome]) -> tuple[ActivityOutcome, Receipt]:
    """Call a function and record its outcome in one transaction, so that its writes count if its outcome does.

    Args:
        activity: the delivery.
        call: runs the function; whatever it raises undoes its writes.

    Raises:
        LateDeliveryError: the delivery no longer counts.
        OtherDatabaseError: the function wrote elsewhere.
    """
    with transaction.atomic():
        if not ActivityTask.objects.filter(pk=activity.pk, attempt=activity.attempt).exists():
            raise LateDeliveryError(f"Activity {activity.name!r} of {activity.instance_id!r} has its outcome already.")
        with _no_other_database(activity.name):
            outcome = call()
        receipt = checkpoint([], [outcome], _nobody())
        if receipt.late:  # another delivery was faster, while the function ran
            raise LateDeliveryError(f"Activity {activity.name!r} of {activity.instance_id!r} was delivered again.")
    return outcome, receipt


def _nobody() -> Holder:
    """Return a holder that takes on nothing: whoever holds the instance is told."""
    return Holder(hub="", worker="", room={}, activity_lease=timedelta(), affinity=timedelta())


@contextmanager
def _no_other_database(name: str) -> Iterator[None]:
    def refuse(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if not sql.lstrip(" (").upper().startswith(_READS):
            raise OtherDatabaseError(
                f"Activity {name!r} is transactional and writes to database {context['connection'].alias!r}, which "
                f"does not commit together with {DEFAULT_DB_ALIAS!r}. Write there in an activity of its own."
            )
        return execute(sql, params, many, context)

    with ExitStack() as guards:
        for other in connections.all():
            if other.alias != DEFAULT_DB_ALIAS:
                guards.enter_context(other.execute_wrapper(refuse))
        yield
