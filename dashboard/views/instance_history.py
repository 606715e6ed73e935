"""The history of an instance: compact, event by event, as the tracking log, and as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from dashboard.access import allowed, can, is_partial
from dashboard.presenters.acts import Act, ActKind
from dashboard.presenters.history import (
    EVENT_TYPES,
    MARKERS,
    PAGE_SIZE,
    ActLine,
    acts_that_fit,
    event_json,
    event_line,
    is_http_call,
    kinds_in,
    lower_edge,
    part_of,
    shown_payload,
)
from dashboard.presenters.payload import pretty
from durable_host.core import events as ev
from durable_host.core.access import Permission
from durable_host.core.codec import from_record
from durable_host.core.http_messages import HTTP_ACTIVITY
from durable_host.core.tracking import TrackingRecord, tracking_log
from durable_host.store import history

from .instance_head import Head, instance_page, read_head, read_story, tab_url

#: the log of more turns than this is shown without replays: its length grows with their square
MOST_REPLAYED_TURNS = 200
_VIEWS = ("compact", "all", "log")
#: asks for the rows alone, to be put below those that are there
_ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asked for."""

    view: str
    type: str
    text: str
    newest_first: bool
    replays: bool
    #: number with which the page begins; None for the first page
    first: int | None

    @classmethod
    def of(cls, request: HttpRequest) -> Wanted:
        """Read it from the address."""
        view = request.GET.get("view", "")
        first = request.GET.get("first", "")
        return cls(
            view=view if view in _VIEWS else _VIEWS[0],
            type=request.GET.get("type", ""),
            text=request.GET.get("q", "").replace("\x00", "")[:200].strip(),
            newest_first=request.GET.get("order") == "newest",
            replays=request.GET.get("replays") != "no",
            first=int(first) if first.isdecimal() and len(first) < 10 else None,
        )


@require_GET
@allowed(Permission.VIEW)
def history_page(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Show the history; the address says which view, filter, order and part of it."""
    head = read_head(request, instance_id)
    wanted = Wanted.of(request)
    readers = {"compact": _compact, "all": _all, "log": _log}

    def context() -> dict[str, Any]:
        return {"wanted": wanted, "page_size": PAGE_SIZE, **readers[wanted.view](request, head, wanted)}

    if is_partial(request) and request.GET.get("part") == _ROWS:
        return render(request, "dashboard/instance/_next_rows.html", {"head": head, "one": head.status, **context()})
    return instance_page(request, head, "instance-history", context, tag=(request.GET.urlencode(),))


def _compact(request: HttpRequest, head: Head, wanted: Wanted) -> dict[str, Any]:
    story = read_story(head)
    kind = wanted.type if wanted.type in set(ActKind) else ""
    found = acts_that_fit(story.acts, kind=kind, text=wanted.text)
    part = part_of(found, first=wanted.first, newest_first=wanted.newest_first)
    sizes = history.payload_sizes(head.execution, {one for act in part.rows for one in _payload_places(act)})
    return {
        "part": part,
        "lines": [ActLine(act, sizes) for act in part.rows],
        "markers": story.markers,
        "choices": [(kind.value, f"{kind.value} ({count:,})") for kind, count in kinds_in(story.acts)],
        **_links(request, wanted, part.following),
    }


def _payload_places(act: Act) -> Iterator[int]:
    yield act.sequence
    for one in act.attempts:
        yield one.sequence
    if act.end_sequence is not None:
        yield act.end_sequence


def _all(request: HttpRequest, head: Head, wanted: Wanted) -> dict[str, Any]:
    query = history.EventQuery(
        types=(wanted.type,) if wanted.type in EVENT_TYPES else (),
        text=wanted.text,
        with_payloads=can(request, Permission.VIEW_PAYLOAD),
    )
    last = head.execution.size - 1
    first = (last if wanted.newest_first else 0) if wanted.first is None else wanted.first
    size = PAGE_SIZE
    if wanted.newest_first and not query.types and not query.text:
        size = first - lower_edge(first, is_first=wanted.first is None) + 1
    found, following = history.event_page(
        head.execution, query, first=first, size=size, newest_first=wanted.newest_first
    )
    counts = history.count_types(head.execution)
    answered = {one.event.task_scheduled_id for one in found if isinstance(one.event, ev.TaskOutcome)}
    names = history.call_names(head.execution, answered)
    return {
        "lines": [event_line(one.sequence, one.event, one.payload_size, names) for one in found],
        "markers": sum(counts.get(name, 0) for name in MARKERS),
        "choices": [(name, f"{name} ({counts[name]:,})") for name in EVENT_TYPES if name in counts],
        **_links(request, wanted, following),
    }


def _log(request: HttpRequest, head: Head, wanted: Wanted) -> dict[str, Any]:
    """Show what Durable Functions would have told Application Insights, replays and all."""
    events = [one.event for one in history.skeleton(head.execution)]
    turns = sum(isinstance(one, ev.OrchestratorCompleted) for one in events)
    with_replays = wanted.replays and turns <= MOST_REPLAYED_TURNS
    log = tracking_log(events, head.status.instance_id, head.execution.generation, replays=with_replays)
    found = [one for one in log if _fits(one, wanted)]
    part = part_of(found, first=wanted.first, newest_first=wanted.newest_first)
    return {
        "part": part,
        "lines": part.rows,
        "choices": [(state, state) for state in sorted({one.state.value for one in log})],
        "replayed": sum(one.is_replay for one in log),
        "too_many_turns": wanted.replays and not with_replays,
        "turns": turns,
        **_links(request, wanted, part.following),
    }


def _fits(record: TrackingRecord, wanted: Wanted) -> bool:
    text = wanted.text.casefold()
    words = (record.function_name, record.state, record.reason, record.event_name)
    return wanted.type in ("", record.state) and (not text or text in "\n".join(words).casefold())


def _links(request: HttpRequest, wanted: Wanted, following: int | None) -> dict[str, Any]:
    """Return the address of the next page; rows of it alone for scripts."""
    query = request.GET.copy()
    query.pop("part", None)
    query.pop("first", None)
    from_the_start = f"?{query.urlencode()}"
    if following is None:
        return {"from_the_start": from_the_start}
    query["first"] = str(following)
    return {
        "from_the_start": from_the_start,
        "following": following,
        "next_url": f"?{query.urlencode()}",
        "next_rows_url": f"?{query.urlencode()}&part={_ROWS}",
    }


# --- one event ------------------------------------------------------------------------------------------------------


@require_GET
@allowed(Permission.VIEW)
def event(request: HttpRequest, instance_id: str, sequence: int) -> HttpResponse:
    """Show one event with everything; to scripts its payload alone."""
    head = read_head(request, instance_id)
    record = history.get_event(head.execution, sequence)
    if record is None:
        raise Http404(f"Instance {instance_id!r} has no event {sequence}.")
    found = from_record(record)
    is_outcome = isinstance(found, ev.TaskOutcome)
    call = history.get_call(head.execution, found.task_scheduled_id) if isinstance(found, ev.TaskOutcome) else None
    answer = history.get_outcome(head.execution, found.event_id) if found.event_id >= 0 else None
    is_http = is_http_call(call.event if call else found)
    context = {
        "line": event_line(sequence, found, len(record.payload.encode()) if record.payload is not None else None),
        "label": "Result" if is_outcome or isinstance(found, ev.ExecutionCompleted) else "Input",
        "has_payload": record.payload is not None,
        "payload": shown_payload(record.payload, is_http=is_http),
        "head": head,
        "one": head.status,
    }
    if is_partial(request):
        return render(request, "dashboard/instance/_event_payload.html", context)
    context |= {
        "fields_text": pretty(event_json(sequence, record, with_payload=False, is_http=is_http)),
        "call": call,
        "answer": answer,
        "previous_url": tab_url(head, "instance-event", sequence - 1) if sequence else "",
        "next_url": tab_url(head, "instance-event", sequence + 1) if sequence + 1 < head.execution.size else "",
        "call_url": tab_url(head, "instance-event", call.sequence) if call else "",
        "answer_url": tab_url(head, "instance-event", answer.sequence) if answer else "",
        "history_url": tab_url(head, "instance-history"),
        "instance_url": tab_url(head, "instance"),
    }
    return render(request, "dashboard/instance/event.html", context)


# --- downloads ------------------------------------------------------------------------------------------------------


@require_GET
@allowed(Permission.VIEW)
def history_download(request: HttpRequest, instance_id: str, form: str) -> StreamingHttpResponse:
    """Hand out the whole history as a file, ``json`` or ``ndjson``; payloads only to those who may see them."""
    head = read_head(request, instance_id)
    with_payload = can(request, Permission.VIEW_PAYLOAD)
    about = {
        "instanceId": head.status.instance_id,
        "name": head.status.name,
        "execution": head.execution.generation,
        "runtimeStatus": head.status.runtime_status.value,
    }
    if not with_payload:
        about["payloads"] = f"withheld: seeing them needs the permission {Permission.VIEW_PAYLOAD.value}"
    lines = _ndjson(head, about, with_payload) if form == "ndjson" else _json(head, about, with_payload)
    types = {"json": "application/json", "ndjson": "application/x-ndjson"}
    headers = {
        "Content-Disposition": f'attachment; filename="history-{head.execution.generation}.{form}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingHttpResponse(lines, content_type=types[form], headers=headers)


def _ndjson(head: Head, about: dict[str, Any], with_payload: bool) -> Iterator[bytes]:
    yield _dumped(about) + b"\n"
    for one in _events(head, with_payload):
        yield _dumped(one) + b"\n"


def _json(head: Head, about: dict[str, Any], with_payload: bool) -> Iterator[bytes]:
    yield _dumped(about)[:-1] + b', "events": ['
    separator = b"\n"
    for one in _events(head, with_payload):
        yield separator + _dumped(one)
        separator = b",\n"
    yield b"\n]}\n"


def _events(head: Head, with_payload: bool) -> Iterator[dict[str, Any]]:
    http_calls: set[int] = set()
    for sequence, record in history.read_all(head.execution):
        is_http = record.name == HTTP_ACTIVITY or record.task_id in http_calls
        if is_http and record.event_id >= 0:
            http_calls.add(record.event_id)
        yield event_json(sequence, record, with_payload=with_payload, is_http=is_http)


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode(errors="replace")
