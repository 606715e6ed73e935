"""Setting instances aside that cannot go on, and letting them go on again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import random
from typing import Any

from django.db import transaction
from django.db.models.functions import Greatest

from durable_host.core.errors import InstanceNotFoundError, InvalidOperationError
from durable_host.core.status import FINISHED
from durable_host.models import EPOCH, Instance

from . import clock
from .filters import named
from .operations import wake_for
from .shapes import SHARED_TRIES, Stall, Wake

_FOREVER = datetime(9000, 1, 1, tzinfo=UTC)
#: tries of one that is let go: the next is its own, as what kills a worker shall not take others with it
_SUSPECT = SHARED_TRIES


def set_aside(stall: Stall, code: str) -> bool:
    """Set an instance aside, with its reason; its messages stay. Return False where another worker was faster.

    Args:
        stall: which instance, why, and for how long.
        code: fingerprint of the worker's code: what is parked waits for another one, or for a person.
    """
    is_parked = stall.retry_after is None
    changes: dict[str, Any] = {
        "stall_reason": stall.reason,
        "parked_under": code if is_parked else "",
        "owner": "",
        "available_at": _FOREVER if stall.retry_after is None else clock.now() + _some_of(stall.retry_after),
    }
    changes["turn_attempts"] = Greatest("turn_attempts", _SUSPECT) if stall.is_suspect else 0
    return bool(Instance.objects.filter(pk=stall.head.pk, revision=stall.head.revision).update(**changes))


def _some_of(pause: timedelta) -> timedelta:
    """Return half of a pause or more. Sweeps keep their rhythm: otherwise the same worker would always come first."""
    return pause * (1 - random() / 2)  # noqa: S311  nobody gains by guessing it


def retry_stalled(hub: str, code: str) -> int:
    """Let stalled instances be tried at once, because the code may be new. Return how many there are.

    A parked one is tried only where the code is new indeed: otherwise each start of a worker would be its death.
    """
    stalled = Instance.objects.filter(hub=hub).exclude(stall_reason="").exclude(status__in=FINISHED)
    parked = stalled.exclude(parked_under="").exclude(parked_under=code)
    others = stalled.filter(parked_under="").update(available_at=EPOCH)
    return others + parked.update(available_at=EPOCH, parked_under="", turn_attempts=_SUSPECT)


def release(hub: str, instance_id: str) -> Wake:
    """Let a stalled or parked instance be tried again at once.

    Raises:
        InstanceNotFoundError: there is no such instance.
        InvalidOperationError: it is not stalled.
    """
    with transaction.atomic():
        row = named(hub, instance_id).first()
        if row is None:
            raise InstanceNotFoundError(instance_id)
        if row.is_finished or not row.stall_reason:
            raise InvalidOperationError("release", instance_id, row.status, ["stalled"])
        changes = {"available_at": EPOCH, "parked_under": "", "turn_attempts": _SUSPECT}
        Instance.objects.filter(pk=row.pk).update(**changes)
        return wake_for(row)
