"""What a status looks like: an icon, a word and a tone; never a colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from durable_host.core.digest import Outcome
from durable_host.core.status import RuntimeStatus


@dataclass(frozen=True, slots=True)
class Look:
    """How something is marked."""

    label: str
    icon: str
    #: neutral, info, good, warn, bad or pause: the CSS class is ``tone-<tone>``
    tone: str


_LOOKS: dict[str, Look] = {
    RuntimeStatus.PENDING: Look("Pending", "clock", "neutral"),
    RuntimeStatus.RUNNING: Look("Running", "running", "info"),
    RuntimeStatus.SUSPENDED: Look("Suspended", "pause", "pause"),
    RuntimeStatus.COMPLETED: Look("Completed", "check-circle", "good"),
    RuntimeStatus.FAILED: Look("Failed", "x-circle", "bad"),
    RuntimeStatus.TERMINATED: Look("Terminated", "stop", "warn"),
    RuntimeStatus.CONTINUED_AS_NEW: Look("Continued as new", "refresh", "info"),
    RuntimeStatus.CANCELED: Look("Canceled", "minus-circle", "neutral"),
    "Stalled": Look("Stalled", "warning", "warn"),
    Outcome.STARTED: Look("Started", "play", "neutral"),
    Outcome.NOT_AWAITED: Look("Not awaited", "minus-circle", "neutral"),
    Outcome.WAITING: Look("Waiting", "timer", "info"),
    Outcome.FIRED: Look("Fired", "timer", "good"),
    Outcome.CANCELLED: Look("Cancelled", "minus-circle", "neutral"),
    Outcome.RECEIVED: Look("Received", "bolt", "good"),
    Outcome.SENT: Look("Sent", "bolt", "neutral"),
    Outcome.TERMINATE_ASKED: Look("Terminate asked", "stop", "warn"),
    Outcome.RESUMED: Look("Resumed", "play", "info"),
    Outcome.REWOUND: Look("Rewound", "rewind", "info"),
    "done": Look("Done", "check-circle", "good"),
    "refused": Look("Refused", "warning", "warn"),
    "denied": Look("Denied", "lock", "bad"),
}


def look(status: str, *, stalled: bool = False) -> Look:
    """Return the look of a runtime status, an outcome in history or an outcome in the audit.

    Args:
        status: its value; one that is not known looks neutral, under its own name.
        stalled: whether the instance does not go on although it could.
    """
    return _LOOKS["Stalled"] if stalled else _LOOKS.get(status) or Look(str(status), "dot", "neutral")
