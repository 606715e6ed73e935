"""What stands on top of every page of an instance: its status, why it is where it is, and what can be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from dashboard.access import can
from dashboard.live import live_page, live_tag
from dashboard.presenters.actions import Action, Verb, offered
from dashboard.presenters.acts import OpenNow, Story, tell
from dashboard.presenters.payload import compact
from dashboard.presenters.tabs import Tab
from durable_host.client import DurableClient, InstanceFilter, OrchestrationStatus
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.events import ExecutionStarted
from durable_host.core.explain import OpenActivity, Standing, explain
from durable_host.core.registry import default_registry
from durable_host.core.tracing import ExecutionTrace
from durable_host.store import history, listing, standing
from durable_host.store.limits import TooSlowError
from durable_host.telemetry import kusto

#: actions that stand beside the title, where they are legal; the others are in the menu
_IN_SIGHT = frozenset({Verb.REWIND, Verb.RELEASE, Verb.RESUME, Verb.SUSPEND, Verb.RESTART})
_SHOWN_CHILDREN = 20
_SHOWN_OPEN = 6
_SHORT_STATUS = 100


@dataclass(frozen=True, slots=True)
class ActionLink:
    """An action, for whoever looks."""

    action: Action
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of an instance before any of its history is read."""

    status: OrchestrationStatus
    execution: history.Execution
    standing: Standing
    now: datetime
    #: why it is where it is
    sentence: str

    @property
    def is_moving(self) -> bool:
        """Whether the execution that is shown goes on."""
        return self.execution.is_latest and not self.status.is_finished

    @property
    def near_limit(self) -> str:
        """Whether its history comes near a limit, in words; empty where it does not."""
        if not self.is_moving:
            return ""
        return host_settings().limits.warning(self.execution.size, self.execution.payload_bytes or 0)


def read_head(request: HttpRequest, instance_id: str) -> Head:
    """Read the head; ``?execution=`` chooses one that is not the latest.

    Raises:
        Http404: there is no such instance, or its execution is no longer stored.
    """
    hub = host_settings().task_hub
    wanted = request.GET.get("execution", "")
    try:
        execution = history.find_execution(hub, instance_id, int(wanted) if wanted.isdecimal() else None)
    except InstanceNotFoundError as error:
        raise Http404(str(error)) from error
    status = DurableClient().get_status(instance_id, show_input=False)
    found = standing.standing(hub, instance_id, registry=default_registry)
    if status is None or found is None:
        raise Http404(f"No instance {instance_id!r} exists any more.")
    now = timezone.now()
    return Head(status=status, execution=execution, standing=found, now=now, sentence=explain(found, now))


def read_story(head: Head) -> Story:
    """Read the acts of the execution that is shown."""
    events = ((one.sequence, one.event) for one in history.skeleton(head.execution))
    return tell(events, _open_now(head.standing) if head.is_moving else None)


def _open_now(found: Standing) -> OpenNow:
    # What has come due and was not taken yet is in neither list.
    are_all_known = found.timers_total == len(found.timers) and found.message_since is None
    return OpenNow([wait.name for wait in found.waits], set(found.timers) if are_all_known else None)


def instance_page(
    request: HttpRequest, head: Head, tab: str, context: Callable[[], dict[str, Any]], *, tag: Sequence[object] = ()
) -> HttpResponse:
    """Answer one of the pages of an instance.

    Args:
        request: the request.
        head: what :func:`read_head` found.
        tab: name of the address, as "instance-history"; its templates are history.html and _history.html.
        context: reads what this tab shows.
        tag: what else it depends on.
    """
    name = "timeline" if tab == "instance" else tab.removeprefix("instance-")
    return live_page(
        request,
        f"dashboard/instance/{name}.html",
        f"dashboard/instance/_{name}.html",
        tag=live_tag(head.status, head.execution, head.standing, head.sentence, *tag),
        busy=not head.status.is_finished,
        context=lambda: {**_head_context(request, head, tab), **_read(context)},
    )


def _read(context: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Read what a tab shows, or say that it takes too long: the head is shown all the same."""
    try:
        return context()
    except TooSlowError as error:
        return {"too_slow": str(error)}


def _head_context(request: HttpRequest, head: Head, tab: str) -> dict[str, Any]:
    started = history.get_started(head.execution)
    first_turn = history.first_turn_at(head.execution)
    actions = action_links(request, head.status)
    children = _children(head.status.instance_id)
    return {
        "head": head,
        "one": head.status,
        "standing": head.standing,
        "begun": _begun(head, started, first_turn),
        "tabs": tabs(request, head, tab),
        "timeline_url": tab_url(head, "instance"),
        "history_url": tab_url(head, "instance-history"),
        "data_url": tab_url(head, "instance-data"),
        "tab": tab,
        "short_status": _short_status(request, head),
        "actions": [link for link in actions if link.action.verb in _IN_SIGHT],
        "more_actions": [link for link in actions if link.action.verb not in _IN_SIGHT],
        "waits": [(wait, answer_url(request, head, wait.name)) for wait in head.standing.waits],
        "open_activities": sorted(head.standing.activities, key=_least_urgent)[:_SHOWN_OPEN],
        # Of few, all are in the list below.
        "open_children": head.standing.children[:_SHOWN_OPEN] if children.cursor else (),
        "custom_url": reverse("dashboard:instance-raw", args=[head.status.instance_id, "custom-status"]),
        "executions": _executions(request, head),
        "children": children,
        "trace": _trace(head, started),
    }


def _short_status(request: HttpRequest, head: Head) -> str:
    """Return the custom status on one line, where it is short enough for that and may be seen."""
    if head.status.custom_status is None or not head.execution.is_latest or not can(request, Permission.VIEW_PAYLOAD):
        return ""
    text = compact(head.status.custom_status)
    return text if len(text) <= _SHORT_STATUS else ""


def _least_urgent(one: OpenActivity) -> tuple[bool, datetime]:
    """Order activities: those in trouble first, then the oldest."""
    return one.attempt == 1 and one.deliveries <= 1, one.scheduled_at


@dataclass(frozen=True, slots=True)
class Begun:
    """When the execution that is shown was asked for, began and ended."""

    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    now: datetime

    @property
    def waited(self) -> timedelta | None:
        """How long it waited for its first turn."""
        return None if self.started_at is None else max(self.started_at - self.asked_at, timedelta(0))

    @property
    def took(self) -> timedelta | None:
        """How long it took, or takes so far, since its first turn."""
        return None if self.started_at is None else max((self.ended_at or self.now) - self.started_at, timedelta(0))


def _begun(head: Head, started: object, first_turn: datetime | None) -> Begun:
    asked = started.timestamp if isinstance(started, ExecutionStarted) else head.status.created_at
    if head.execution.generation == 0:
        asked = max(filter(None, (head.status.created_at, head.status.scheduled_at)))
    if head.execution.is_latest:
        return Begun(asked, first_turn, head.status.completed_at, head.now)
    ending = history.get_ending(head.execution)
    return Begun(asked, first_turn, ending.timestamp if ending else None, head.now)


def tabs(request: HttpRequest, head: Head, current: str) -> list[Tab]:
    """Return the tabs for whoever looks, all on the same execution."""
    entries = [
        ("Timeline", "instance"),
        ("History", "instance-history"),
        ("Sequence", "instance-sequence"),
        ("Input and output", "instance-data"),
    ]
    if can(request, Permission.VIEW_AUDIT):
        entries.append(("Audit", "instance-audit"))
    return [
        Tab(label, tab_url(head, name), name == current, f"{head.execution.size:,}" if label == "History" else None)
        for label, name in entries
    ]


def tab_url(head: Head, tab: str, /, *parts: str | int, **query: str | int) -> str:
    """Return the address of a tab, or of what is below it, on the execution that is shown."""
    if not head.execution.is_latest:
        query["execution"] = head.execution.generation
    address = reverse(f"dashboard:{tab}", args=[head.status.instance_id, *parts])
    return f"{address}?{urlencode(query)}" if query else address


def action_links(request: HttpRequest, status: OrchestrationStatus) -> list[ActionLink]:
    """Return what whoever looks may do to an instance in this status, and where."""
    links = (
        ActionLink(one, _action_url(status.instance_id, one.verb))
        for one in offered(status.runtime_status, request.user, is_stalled=bool(status.stall_reason))
    )
    return [link for link in links if link.url]


def answer_url(request: HttpRequest, head: Head, event_name: str) -> str:
    """Return where whoever looks can answer an event; nothing where they may not."""
    if not can(request, Permission.RAISE_EVENT):
        return ""
    url = _action_url(head.status.instance_id, Verb.RAISE_EVENT)
    return f"{url}?{urlencode({'event': event_name})}" if url else ""


def _action_url(instance_id: str, verb: str) -> str:
    try:
        return reverse("dashboard:action", kwargs={"instance_id": instance_id, "verb": verb})
    except NoReverseMatch:
        return ""


@dataclass(frozen=True, slots=True)
class ExecutionLink:
    """A stored execution, and where it is shown."""

    generation: int
    url: str
    is_current: bool
    is_latest: bool


def _executions(request: HttpRequest, head: Head) -> list[ExecutionLink]:
    shown, latest = head.execution.generation, head.execution.latest
    return [
        ExecutionLink(
            one, request.path if one == latest else f"{request.path}?execution={one}", one == shown, one == latest
        )
        for one in reversed(head.execution.stored)
    ]


def _children(instance_id: str) -> listing.ListPage:
    """Return the newest sub-orchestrations, those that go on first."""
    page = listing.list_instances(
        host_settings().task_hub, InstanceFilter(parent_id=instance_id), page_size=_SHOWN_CHILDREN
    )
    return replace(page, rows=tuple(sorted(page.rows, key=lambda row: row.is_finished)))


@dataclass(frozen=True, slots=True)
class Trace:
    """Where an instance is found in Application Insights."""

    trace_id: str
    query: str
    portal: str | None


def _trace(head: Head, started: object) -> Trace | None:
    if not isinstance(started, ExecutionStarted):
        return None
    instance_id = head.status.instance_id
    context = ExecutionTrace.of(instance_id, started, head.execution.generation).span
    query = kusto.saved_query("one-instance-trace").filled({"targetInstanceId": instance_id})
    return Trace(f"{context.trace_id:032x}", query, kusto.portal_link(query))
