"""Why an instance is where it is: one sentence for the person who looks at it.

The store fills a :class:`Standing` with what is open; here it becomes words. What a person can do something about comes
first: a stall, a missing worker, a retry; then what the instance waits for by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .status import RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenActivity:
    """An activity that has no outcome yet."""

    name: str
    task_id: int
    queue: str
    #: number of this attempt of the call, and how many its policy allows; None where nobody knows
    attempt: int
    limit: int | None
    scheduled_at: datetime
    #: whether a worker has it now
    is_running: bool
    worker: str
    #: how often it was handed to a worker: more than once where one died over it
    deliveries: int
    #: until when the worker has it without a sign of life
    lease_until: datetime | None
    #: of the attempt before this one
    last_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPause:
    """A call that failed and will be tried again."""

    name: str
    #: number of the attempt that comes next
    attempt: int
    limit: int
    next_at: datetime
    last_failure: str = ""
    failed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEvent:
    """An external event that it listens for."""

    name: str
    title: str
    due: datetime | None
    assignees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChild:
    """A sub-orchestration that has not finished."""

    instance_id: str
    name: str
    status: RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is open of an instance. The lists hold the first few; the totals say how many there are."""

    status: RuntimeStatus
    #: when it is to start, where it was not to start at once
    scheduled_at: datetime | None = None
    completed_at: datetime | None = None
    stall_reason: str = ""
    #: when a stalled instance is tried again
    stall_retry_at: datetime | None = None
    #: whether it is given up: nobody tries it again by himself
    is_parked: bool = False
    #: type and first line of the failure; the reason of a termination
    ending: str = ""
    suspend_reason: str = ""
    activities: tuple[OpenActivity, ...] = ()
    activities_total: int = 0
    retries: tuple[RetryPause, ...] = ()
    retries_total: int = 0
    #: due times of other timers, next first
    timers: tuple[datetime, ...] = ()
    timers_total: int = 0
    waits: tuple[OpenEvent, ...] = ()
    children: tuple[OpenChild, ...] = ()
    children_total: int = 0
    #: since when a message waits that a turn could take
    message_since: datetime | None = None
    #: whether a worker holds it for a turn
    is_held: bool = False
    turn_queue: str = ""
    #: queues for which no worker lives; empty where all have one, or nobody knows
    unserved_queues: frozenset[str] = frozenset()


#: a message that waits no longer than this is only on its way
_PATIENCE = timedelta(seconds=15)


def explain(standing: Standing, now: datetime) -> str:
    """Return one sentence that says why the instance is where it is.

    Args:
        standing: what is open.
        now: the time from which others are counted.
    """
    if standing.status.is_finished:
        return _finished(standing)
    if standing.stall_reason:
        return _stalled(standing, now)
    if standing.status is RuntimeStatus.SUSPENDED:
        reason = f": {_line(standing.suspend_reason)}" if standing.suspend_reason else ""
        return f"Suspended{reason}. Events are kept; it goes on when somebody resumes it."
    if standing.status is RuntimeStatus.PENDING and standing.scheduled_at and standing.scheduled_at > now:
        return f"Starts {until(standing.scheduled_at, now)}."
    if without_worker := _without_worker(standing, now):
        return without_worker
    return _open_work(standing, now)


def _finished(standing: Standing) -> str:
    ending = f": {_line(standing.ending)}" if standing.ending else ""
    match standing.status:
        case RuntimeStatus.COMPLETED:
            return "Completed."
        case RuntimeStatus.FAILED:
            return _sentence(f"Failed{ending}")
        case RuntimeStatus.TERMINATED:
            return _sentence(f"Terminated{ending}")
        case _:
            return f"{standing.status.value}."


def _stalled(standing: Standing, now: datetime) -> str:
    if standing.is_parked:  # its reason says what to do
        return _sentence(_line(standing.stall_reason, 400))
    again = standing.stall_retry_at
    retry = f" Tried again {until(again, now)}." if again is not None and again > now else ""
    return _sentence(f"Stalled: {_line(standing.stall_reason, 300)}") + retry


def _without_worker(standing: Standing, now: datetime) -> str:
    """Name a queue that nobody serves, where something waits in it."""
    since = standing.message_since
    if since is not None and not standing.is_held and standing.turn_queue in standing.unserved_queues:
        return f"No worker is running for queue {standing.turn_queue}: a message has waited for {span(now - since)}."
    stuck = [one for one in standing.activities if not one.is_running and one.queue in standing.unserved_queues]
    if stuck and len(stuck) == len(standing.activities):
        one = stuck[0]
        return (
            f"No worker is running for queue {one.queue}: activity {one.name} has waited for "
            f"{span(now - one.scheduled_at)}."
        )
    return ""


def _open_work(standing: Standing, now: datetime) -> str:
    """Say what it waits for. What is late or failing goes first, and only then what is going well."""
    since = standing.message_since
    if since is not None and now - since > _PATIENCE and not standing.is_held:
        waited = span(now - since)
        return f"Ready for {waited}, and no worker has taken it: all of queue {standing.turn_queue} are busy."
    tellers = (_retrying, _waiting_for_events, _running, _children, _timers)
    said = [text for text in (tell(standing, now) for tell in tellers) if text]
    if said:
        return _sentence(_capital("; ".join(said)))
    if standing.is_held or since is not None:
        return "Running its next turn."
    if standing.status is RuntimeStatus.PENDING:
        return "Waiting for its first turn."
    return "Between two turns: nothing is open."


def _retrying(standing: Standing, now: datetime) -> str:
    if not standing.retries:
        return ""
    one = standing.retries[0]
    text = f"retrying {one.name}, attempt {one.attempt} of {one.limit} {until(one.next_at, now)}"
    if one.last_failure:
        when = f" {span(now - one.failed_at)} ago" if one.failed_at else ""
        text += f" (attempt {one.attempt - 1} failed{when}: {_line(one.last_failure)})"
    return text + _others(standing.retries_total, "call", "calls", "also pausing")


def _waiting_for_events(standing: Standing, now: datetime) -> str:
    if not standing.waits:
        return ""
    ordered = sorted(standing.waits, key=lambda one: (one.due is None, one.due or now))
    texts = []
    for one in ordered[:3]:
        asked = f" from {_list(one.assignees)}" if one.assignees else ""
        texts.append(f"{one.name}{asked}{_due(one.due, now)}")
    more = len(ordered) - len(texts)
    return f"waiting for {_list(texts)}" + (f" and {more} more" if more > 0 else "")


def _due(due: datetime | None, now: datetime) -> str:
    if due is None:
        return ""
    return f" until {moment(due)}" if due > now else f", overdue for {span(now - due)}"


def _running(standing: Standing, now: datetime) -> str:
    if not standing.activities:
        return ""
    one = next((one for one in standing.activities if one.attempt > 1 or one.deliveries > 1), standing.activities[0])
    if standing.activities_total > 1 and one.attempt == 1 and one.deliveries <= 1:
        waiting = [one for one in standing.activities if not one.is_running]
        text = f"running {standing.activities_total:,} activities"
        if len(waiting) == len(standing.activities):
            text = f"{standing.activities_total:,} activities wait for a worker"
        names = list(dict.fromkeys(one.name for one in standing.activities))
        return f"{text} ({_list(names[:3])})" if len(names) <= 3 else text
    return _one_activity(one, now) + _others(standing.activities_total, "activity", "activities", "open")


def _one_activity(one: OpenActivity, now: datetime) -> str:
    attempt = ""
    if one.attempt > 1:
        attempt = f", attempt {one.attempt}" + (f" of {one.limit}" if one.limit else "")
    if one.is_running:
        text = f"running {one.name}{attempt}"
        if one.deliveries > 1:
            text += f", taken over from a worker that died (delivery {one.deliveries})"
    elif one.deliveries > 0:
        text = f"activity {one.name}{attempt} waits for another worker: the one that had it gave no sign of life"
    else:
        waited = span(now - one.scheduled_at)
        text = f"activity {one.name}{attempt} has waited in queue {one.queue} for {waited}"
    return text + (f" (before: {_line(one.last_failure)})" if one.last_failure else "")


def _children(standing: Standing, now: datetime) -> str:
    if not standing.children:
        return ""
    if standing.children_total == 1:
        child = standing.children[0]
        return f"waiting for sub-orchestration {child.name} ({child.instance_id}, {child.status.value})"
    return f"waiting for {standing.children_total:,} sub-orchestrations"


def _timers(standing: Standing, now: datetime) -> str:
    """A timer beside other work mostly is its time limit, and is said there or not at all."""
    if not standing.timers or standing.waits or standing.activities or standing.children or standing.retries:
        return ""
    return f"waiting for a timer {until(standing.timers[0], now)}"


# --- words ----------------------------------------------------------------------------------------------------------


def until(when: datetime, now: datetime) -> str:
    """Return a time to come as people say it: ``in 12 s`` when near, else the moment."""
    left = when - now
    if left <= timedelta(0):
        return "now"
    return f"in {span(left)}" if left < timedelta(hours=12) else f"at {moment(when)}"


def moment(when: datetime) -> str:
    """Return a moment, UTC."""
    return f"{when.day} {when:%b %Y %H:%M} UTC"


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units, as ``2 h 14 min``."""
    seconds = max(0, round(length.total_seconds()))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for place, (unit, size) in enumerate(units):
        if seconds >= size or unit == "s":
            count, rest = divmod(seconds, size)
            smaller = units[place + 1] if place + 1 < len(units) else None
            more = rest // smaller[1] if smaller else 0
            return f"{count} {unit} {more} {smaller[0]}" if smaller and more else f"{count} {unit}"
    return "0 s"


def _others(total: int, one: str, many: str, how: str) -> str:
    rest = total - 1
    return "" if rest < 1 else f", {rest:,} more {one if rest == 1 else many} {how}"


def _line(text: str, longest: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
