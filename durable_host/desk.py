"""What people do from the dashboard beyond the client's operations: decide what they are asked, and act on many.

Views check who may, and hand in who asks; these functions check the data, commit, and have workers told.
"""

from __future__ import annotations

from typing import Any

from .conf import host_settings
from .core.events import EventRaised
from .core.names import check_name
from .core.payload import PayloadCodec
from .dispatch import announcements
from .dispatch.doorbell import ring_after_commit
from .store import approvals, batches, clock
from .store.approvals import Verdict
from .store.audit import Asked
from .store.batches import BatchRequest


def decide(asked: Asked, event_name: str, data: Any, comment: str = "", *, question: str | None = None) -> Verdict:
    """Answer a question if it is still open; otherwise change nothing and say what has happened.

    Args:
        asked: who decides, about which instance; recorded in the audit with the decision.
        event_name: the question.
        data: the answer.
        comment: kept in the audit.
        question: key of the very question that is answered (``OpenWait.key``); by default whichever is open.

    Raises:
        PayloadError: the answer cannot be stored.
    """
    codec = PayloadCodec(host_settings().max_payload_bytes)
    payload = codec.dumps(data, f"The answer to {event_name!r}")
    codec.dumps(comment, "The comment")
    event = EventRaised(timestamp=clock.now(), name=event_name, input=payload)
    verdict, wake = approvals.decide(asked, event_name, payload, comment, question=question)
    if verdict.is_decided:
        ring_after_commit(wake)
        announcements.request(asked.hub, asked.instance_id, event)
    return verdict


def start_batch(request: BatchRequest, asked: Asked) -> str:
    """Have one operation done to many instances by the workers; return the id under which its progress is read.

    Args:
        request: what is to be done to which instances.
        asked: who asks; every change is audited in this name.

    Raises:
        BadRequestError: the operation is none for many, it does not say which instances, or the event has a bad name.
    """
    if request.event_name:
        check_name(request.event_name, "An event name")
    batch_id, wake = batches.create(
        asked.hub, request, actor_kind=asked.actor_kind, actor=asked.actor, address=asked.address
    )
    ring_after_commit(wake)
    return batch_id
