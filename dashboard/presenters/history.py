"""A history as rows: compact, event by event, and as JSON to take away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from durable_host.core import events as ev
from durable_host.core.codec import Record
from durable_host.core.failure import FailureDetails
from durable_host.core.http_messages import CREDENTIALS, HTTP_ACTIVITY
from durable_host.telemetry.redaction import redacted_value

from .acts import Act, ActKind

T = TypeVar("T")

PAGE_SIZE = 200
HIDDEN = "[hidden]"
#: headers of answers that prove who somebody is, beside those of requests
_SECRET_HEADERS = CREDENTIALS | {"set-cookie"}

MARKERS = frozenset({ev.OrchestratorStarted.__name__, ev.OrchestratorCompleted.__name__})
#: every event type, in the order in which a filter offers them
EVENT_TYPES = tuple(ev.EventTypes.BY_NAME)


# --- compact --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """Some rows, and where the next ones begin."""

    rows: tuple[T, ...]
    #: how many fit in all
    total: int
    #: number of the first row of the next page; None at the end
    following: int | None


def part_of(found: Sequence[T], *, first: int | None = None, newest_first: bool = False) -> Part[T]:
    """Return a page of some rows.

    Pages are cut where they stay the same while rows are added at the end: at multiples of the page's size.

    Args:
        found: all that fit, oldest first.
        first: number of the row with which the page begins; by default the first page.
        newest_first: the order of the page.
    """
    total = len(found)
    if not newest_first:
        begin = first or 0
        end = begin + PAGE_SIZE
        return Part(tuple(found[begin:end]), total, end if end < total else None)
    begin = min(total - 1 if first is None else first, total - 1)
    end = lower_edge(begin, is_first=first is None)
    return Part(tuple(reversed(found[end : begin + 1])), total, end - 1 if end > 0 else None)


def lower_edge(begin: int, *, is_first: bool) -> int:
    """Return the number of the last row of a page that begins with this one and goes down."""
    whole = begin // PAGE_SIZE * PAGE_SIZE
    return max(0, whole - PAGE_SIZE) if is_first else whole


def acts_that_fit(acts: Sequence[Act], *, kind: str = "", text: str = "") -> list[Act]:
    """Return the acts of a kind that have a text in their name, their error, their reason or an instance id."""
    wanted = text.casefold()
    return [act for act in acts if kind in ("", act.kind) and (not wanted or wanted in _words(act))]


def _words(act: Act) -> str:
    failures = [str(one) for attempt in act.attempts if attempt.failure for one in attempt.failure.chain()]
    if act.failure:
        failures += [str(one) for one in act.failure.chain()]
    return "\n".join((act.name, act.kind, act.outcome, act.reason or "", act.instance_id or "", *failures)).casefold()


@dataclass(frozen=True, slots=True)
class ActLine:
    """An act as a row, with what is known of its payloads."""

    act: Act
    #: bytes of payloads, by the place in history of their events
    _sizes: Mapping[int, int]

    @property
    def input_size(self) -> int | None:
        """Bytes of what it was called with, or of an event's data; None where there is none."""
        return None if self.act.kind is ActKind.LIFECYCLE and self.act.reason else self._sizes.get(self.act.sequence)

    @property
    def result_size(self) -> int | None:
        """Bytes of what came back; None where nothing did."""
        end = self.act.end_sequence
        return None if end is None or end == self.act.sequence else self._sizes.get(end)

    @property
    def failures(self) -> list[tuple[str, FailureDetails]]:
        """How its attempts failed, each with a label; the same failure of attempts in a row is told once."""
        told: list[tuple[int, int, FailureDetails]] = []
        for number, one in enumerate(self.act.attempts, 1):
            if one.failure is None:
                continue
            if told and told[-1][1] == number - 1 and str(told[-1][2]) == str(one.failure):
                told[-1] = (told[-1][0], number, one.failure)
            else:
                told.append((number, number, one.failure))
        if not self.act.attempts and self.act.failure:
            told = [(1, 1, self.act.failure)]
        return [(_attempts(first, last, len(self.act.attempts)), failure) for first, last, failure in told]


def _attempts(first: int, last: int, total: int) -> str:
    if total <= 1:
        return ""
    return f"attempt {first}" if first == last else f"attempts {first} to {last}"


def kinds_in(acts: Sequence[Act]) -> tuple[tuple[ActKind, int], ...]:
    """Return the kinds of acts that there are, with their numbers, in the order of the enum."""
    counts = {kind: 0 for kind in ActKind}
    for act in acts:
        counts[act.kind] += 1
    return tuple((kind, count) for kind, count in counts.items() if count)


# --- event by event -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One event as a row."""

    sequence: int
    at: datetime
    type: str
    #: of the function or the external event
    name: str = ""
    note: str = ""
    #: number of the call that it makes or answers; -1 where it does neither
    task_id: int = -1
    due: datetime | None = None
    failure: FailureDetails | None = None
    instance_id: str | None = None
    payload_size: int | None = None

    @property
    def is_marker(self) -> bool:
        """Whether it only marks where a turn begins or ends."""
        return self.type in MARKERS

    @property
    def is_answer(self) -> bool:
        """Whether it is the outcome of a call."""
        return self.type in _ANSWERS


_ANSWERS = frozenset(name for name, type_ in ev.EventTypes.BY_NAME.items() if issubclass(type_, ev.TaskOutcome))


def event_line(
    sequence: int, event: ev.HistoryEvent, payload_size: int | None = None, names: Mapping[int, str] | None = None
) -> EventLine:
    """Return an event as a row.

    Args:
        sequence: its place in history.
        event: the event.
        payload_size: bytes of its payload; None where it has none.
        names: what was called, by the number of the call: outcomes do not say it themselves.
    """
    answers = event.task_scheduled_id if isinstance(event, ev.TaskOutcome) else event.event_id
    return EventLine(
        sequence=sequence,
        at=event.timestamp,
        type=event.event_type,
        name=getattr(event, "name", "") or (names or {}).get(answers, ""),
        note=_note(event),
        task_id=answers,
        due=getattr(event, "fire_at", None),
        failure=getattr(event, "failure_details", None),
        instance_id=getattr(event, "instance_id", None) or getattr(event, "parent_instance_id", None),
        payload_size=payload_size,
    )


def _note(event: ev.HistoryEvent) -> str:
    match event:
        case ev.ExecutionStarted():
            return f"execution {event.generation}" + (f", version {event.version}" if event.version else "")
        case ev.ExecutionCompleted():
            return str(event.orchestration_status.value)
        case ev.OrchestratorCompleted(listening=names) if names:
            return f"listens for {', '.join(names)}"
        case ev.TaskScheduled(first_attempt_id=int() as first):
            return f"tries call {first} again"
        case ev.TimerCreated(retry=ev.RetryNote() as note) | ev.TimerFired(retry=ev.RetryNote() as note):
            return f"before attempt {note.attempt} of {note.limit} of {note.name}"
        case _:
            return getattr(event, "reason", None) or ""


# --- payloads and JSON ----------------------------------------------------------------------------------------------


def is_http_call(event: ev.HistoryEvent | None) -> bool:
    """Tell whether an event is the call of a durable HTTP request."""
    return isinstance(event, ev.TaskScheduled) and event.name == HTTP_ACTIVITY


def shown_payload(text: str | None, *, is_http: bool) -> Any:
    """Return a stored payload as a value; of durable HTTP calls without what proves who the caller is.

    Args:
        text: JSON text.
        is_http: whether it is the request or the answer of a durable HTTP call.
    """
    value = None if text is None else from_json(text)
    return redacted_value("", _without_credentials(value)) if is_http else value


def _without_credentials(value: Any, *, in_headers: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if in_headers and key.lower() in _SECRET_HEADERS
            else _without_credentials(part, in_headers=key.lower() == "headers")
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [_without_credentials(part) for part in value]
    return value


def event_json(sequence: int, record: Record, *, with_payload: bool, is_http: bool) -> dict[str, Any]:
    """Return an event with all its fields.

    Args:
        sequence: its place in history.
        record: the event as it is stored.
        with_payload: whether inputs and results are in it; otherwise only that they are withheld.
        is_http: whether it belongs to a durable HTTP call.
    """
    fields: dict[str, Any] = {
        "sequence": sequence,
        "eventType": record.event_type,
        "timestamp": stamp(record.timestamp),
    }
    if record.event_id >= 0:
        fields["eventId"] = record.event_id
    if record.task_id is not None:
        fields["taskScheduledId"] = record.task_id
    if record.name is not None:
        fields["name"] = record.name
    if record.payload is not None:
        fields["payload"] = shown_payload(record.payload, is_http=is_http) if with_payload else HIDDEN
    details = from_json(record.detail) if record.detail else {}
    if "carried" in details and not with_payload:
        details["carried"] = [[name, HIDDEN, at] for name, _, at in details["carried"]]
    return fields | details


def stamp(moment: datetime) -> str:
    """Return a moment in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
