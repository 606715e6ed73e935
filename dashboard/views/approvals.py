"""What instances ask of people: the questions, the answers to them, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from dashboard import navigation
from dashboard.access import allowed, can
from dashboard.acting import acting
from dashboard.forms.approvals import AnswerForm
from dashboard.live import live_page, live_tag
from dashboard.presenters.approvals import listed, most_asked
from dashboard.presenters.tabs import Tab
from durable_host import desk
from durable_host.client import DurableClient, OrchestrationStatus
from durable_host.conf import host_settings
from durable_host.core.access import Operation, Permission, may_answer
from durable_host.core.errors import BadRequestError
from durable_host.core.registry import default_registry
from durable_host.store import approvals, audit
from durable_host.store.approvals import Decided, OpenWait, Person, Verdict, VerdictKind, WaitFilter, WaitScope
from durable_host.store.limits import TooSlowError

PAGE_SIZE = 50
#: how far back Done looks
DONE_FOR = timedelta(days=90)
_CONFLICT, _INVALID, _FORBIDDEN = 409, 422, 403
#: word in the address → label, and whose questions it shows
TABS: dict[str, tuple[str, WaitScope]] = {
    "open": ("Open to me", WaitScope.OPEN_TO_ME),
    "mine": ("Mine", WaitScope.MINE),
    "groups": ("My groups", WaitScope.MY_GROUPS),
    "all": ("All", WaitScope.ALL),
    "overdue": ("Overdue", WaitScope.ALL),
}
DONE = "done"


@dataclass(frozen=True, slots=True)
class Row:
    """A question, as somebody sees it in the list."""

    wait: OpenWait
    is_overdue: bool
    may_answer: bool


def person_of(request: HttpRequest) -> Person:
    """Return who looks, with the groups: assignees name either."""
    known: Person | None = getattr(request, "_durable_person", None)
    if known is None:
        groups = request.user.groups.values_list("name", flat=True)
        known = Person(request.user.get_username(), frozenset(groups))
        request._durable_person = known  # type: ignore[attr-defined]  # one query for a page, not one for each question
    return known


def may_decide(request: HttpRequest, wait: OpenWait) -> bool:
    """Tell whether somebody has the right to answer: one of those who are asked, or a manager in their place."""
    is_in_place = can(request, Permission.MANAGE)
    return can(request, Permission.RAISE_EVENT) and (is_in_place or is_asked(request, wait))


def is_asked(request: HttpRequest, wait: OpenWait) -> bool:
    """Tell whether the question is put to somebody, by name, by group, or as to everybody."""
    person = person_of(request)
    return may_answer(wait.assignees, person.name, person.groups)


# --- the lists -------------------------------------------------------------------------------------------------------


@require_GET
@allowed(Permission.VIEW)
def inbox(request: HttpRequest) -> HttpResponse:
    """Show what waits for people; ``tab``, ``orchestrator`` and ``page`` come from the address."""
    tab = request.GET.get("tab", "open")
    if tab == DONE:
        return _done(request)
    return _open(request, tab if tab in TABS else "open")


def _open(request: HttpRequest, tab: str) -> HttpResponse:
    filter_ = _filter(request, tab)
    try:
        page = _page(lambda cursor: approvals.open_waits(_hub(), filter_, page_size=PAGE_SIZE, cursor=cursor), request)
    except TooSlowError as error:
        return _too_slow(request, tab, error)
    now = timezone.now()
    rows = [Row(wait, wait.is_overdue(now), may_decide(request, wait)) for wait in page.waits]

    def context() -> Mapping[str, Any]:
        counts = {name: _count(_filter(request, name)) for name in TABS}
        return {
            "rows": rows,
            "tab": tab,
            "older": _older(request, page.cursor),
            "tabs": _tabs(request, tab, counts),
            "orchestrator": filter_.orchestrator or "",
            "orchestrators": sorted({*default_registry.orchestrators, filter_.orchestrator or ""} - {""}),
            "elsewhere": () if rows else most_asked(approvals.open_waits(_hub(), WaitFilter()).waits),
        }

    tag = live_tag(tab, page.cursor, [(row.wait.instance_id, row.wait.key, row.is_overdue) for row in rows])
    return live_page(
        request,
        "dashboard/approvals/list.html",
        "dashboard/approvals/_list.html",
        tag=tag,
        busy=False,
        context=context,
    )


def _done(request: HttpRequest) -> HttpResponse:
    since = timezone.now() - DONE_FOR
    by = person_of(request).name if request.GET.get("by") == "me" else None
    try:
        page = _page(
            lambda cursor: approvals.decided_waits(_hub(), since=since, by=by, page_size=PAGE_SIZE, cursor=cursor),
            request,
        )
    except TooSlowError as error:
        return _too_slow(request, DONE, error)

    def context() -> Mapping[str, Any]:
        counts = {name: _count(_filter(request, name)) for name in TABS}
        return {
            "decided": page.items,
            "tab": DONE,
            "by_me": by is not None,
            "days": DONE_FOR.days,
            "older": _older(request, page.cursor),
            "tabs": _tabs(request, DONE, counts),
        }

    return live_page(
        request,
        "dashboard/approvals/list.html",
        "dashboard/approvals/_list.html",
        tag=live_tag(DONE, by, [(one.instance_id, one.at) for one in page.items]),
        busy=False,
        context=context,
    )


def _page(read: Any, request: HttpRequest) -> Any:
    try:
        return read(request.GET.get("page") or None)
    except BadRequestError:  # an address from elsewhere: begin at the beginning
        return read(None)


def _filter(request: HttpRequest, tab: str) -> WaitFilter:
    return WaitFilter(
        scope=TABS[tab][1],
        person=person_of(request),
        orchestrator=request.GET.get("orchestrator") or None,
        overdue_only=tab == "overdue",
    )


def _tabs(request: HttpRequest, current: str, counts: Mapping[str, str]) -> list[Tab]:
    kept = {"orchestrator": request.GET["orchestrator"]} if request.GET.get("orchestrator") else {}
    here = reverse("dashboard:approvals")

    def tab(name: str, label: str) -> Tab:
        return Tab(label, f"{here}?{urlencode({'tab': name, **kept})}", name == current, counts.get(name))

    return [*(tab(name, label) for name, (label, _) in TABS.items()), tab(DONE, "Done")]


def _count(filter_: WaitFilter) -> str:
    try:
        return str(approvals.count_open_waits(_hub(), filter_))
    except TooSlowError:
        return "?"


def _older(request: HttpRequest, cursor: str | None) -> str:
    if cursor is None:
        return ""
    query = request.GET.copy()
    query["page"] = cursor
    return "?" + query.urlencode()


def _too_slow(request: HttpRequest, tab: str, error: TooSlowError) -> HttpResponse:
    context = {"tabs": _tabs(request, tab, {}), "tab": tab, "too_slow": error}
    return render(request, "dashboard/approvals/list.html", context, status=503)


# --- one question ----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@allowed(Permission.VIEW)
def approval(request: HttpRequest, instance_id: str, event_name: str) -> HttpResponse:
    """Show one question, and take the answer to it."""
    status = DurableClient().get_status(instance_id)
    if status is None:
        raise Http404(f"No instance {instance_id!r} exists.")
    wait = approvals.get_wait(_hub(), instance_id, event_name)
    if request.method == "POST":
        return _answer(request, status, wait, event_name)
    return _show(request, status, wait, event_name)


def _show(
    request: HttpRequest,
    status: OrchestrationStatus,
    wait: OpenWait | None,
    event_name: str,
    *,
    form: AnswerForm | None = None,
    code: int = 200,
    **more: Any,
) -> HttpResponse:
    """Show a question as it stands: open, answered and not taken yet, or over.

    Args:
        request, status, wait, event_name: who looks at which question; None for one that does not wait.
        form: what was typed.
        code: HTTP status of the answer to a POST.
        more: the verdict on an answer, and the comment that was lost with it.
    """
    context = {**_standing(request, status, wait, event_name, form), **more}
    if request.method == "POST":
        return render(request, "dashboard/approvals/page.html", context, status=code)
    key = None if wait is None else wait.key
    return live_page(
        request,
        "dashboard/approvals/page.html",
        "dashboard/approvals/_state.html",
        tag=live_tag(key, context["decided"], status.runtime_status, context["is_overdue"]),
        busy=context["is_open"],
        context=lambda: context,
    )


def _standing(
    request: HttpRequest,
    status: OrchestrationStatus,
    wait: OpenWait | None,
    event_name: str,
    form: AnswerForm | None,
) -> dict[str, Any]:
    person = person_of(request)
    decided = _latest_decision(status.instance_id, wait.event_name if wait else event_name)
    is_open = wait is not None and not wait.is_answered
    may = wait is not None and may_decide(request, wait)
    if form is None and wait is not None and is_open and may:
        form = AnswerForm(wait)
    return {
        "one": status,
        "heading": (wait and wait.title) or (decided and decided.title) or event_name,
        "wait": wait,
        "event_name": event_name,
        "is_open": is_open,
        "is_overdue": wait is not None and wait.is_overdue(timezone.now()),
        "is_asked": wait is not None and is_asked(request, wait),
        "decided": decided,
        "is_mine": decided is not None and decided.by == person.name,
        "form": form if is_open and may else None,
    }


def _latest_decision(instance_id: str, event_name: str) -> Decided | None:
    since = timezone.now() - DONE_FOR
    found = approvals.decided_waits(_hub(), since=since, instance_id=instance_id, page_size=20).items
    return next((one for one in found if one.event_name.casefold() == event_name.casefold()), None)


def _answer(request: HttpRequest, status: OrchestrationStatus, wait: OpenWait | None, event_name: str) -> HttpResponse:
    """Record an answer, or say kindly why it does not count; whoever was not asked is told so, and the audit too."""
    question = request.POST.get("question", "")
    is_the_one = wait is not None and wait.key == question
    form = AnswerForm(wait, request.POST) if wait is not None and is_the_one else None
    if form is not None and form.is_edit:
        return _show(request, status, wait, event_name, form=form)
    comment = request.POST.get("comment", "").strip()
    try:
        with acting(
            request, Operation.RAISE_EVENT, target=status.name, instance_id=status.instance_id, detail=event_name
        ) as deed:
            if form is not None and not may_decide(request, form.wait):
                audit.record(deed.asked, audit.Outcome.DENIED, f"is put to {listed(form.wait.assignees)}")
                return _show(request, status, wait, event_name, code=_FORBIDDEN)
            if form is not None and not form.is_valid():
                return _show(request, status, wait, event_name, form=form, code=_INVALID)
            # Of a question that is over no answer counts, whatever it is: the store finds out what has become of it.
            answer = None if form is None else form.value
            verdict = desk.decide(deed.asked, event_name, answer, comment, question=question)
            if not verdict.is_decided and verdict.by != deed.asked.actor:
                audit.record(deed.asked, audit.Outcome.REFUSED, verdict.message)
    except BadRequestError as error:  # the answer cannot be stored; the audit knows
        refusal = Verdict(VerdictKind.NOT_OPEN, str(error))
        return _show(request, status, wait, event_name, form=form, verdict=refusal, code=_INVALID)
    if form is not None and verdict.is_decided:
        return _next(request, form)
    return _too_late(request, status.instance_id, event_name, verdict, comment)


def _too_late(request: HttpRequest, instance_id: str, event_name: str, verdict: Verdict, comment: str) -> HttpResponse:
    """Show how things stand now, and what was typed: it may be needed elsewhere."""
    status = DurableClient().get_status(instance_id)
    if status is None:
        raise Http404(verdict.message)
    wait = approvals.get_wait(_hub(), instance_id, event_name)
    return _show(request, status, wait, event_name, verdict=verdict, lost=comment, code=_CONFLICT)


def _next(request: HttpRequest, form: AnswerForm) -> HttpResponse:
    """Go where the person came from, or on to the next question."""
    wait = form.wait
    said = f"{form.label}: {wait.title or wait.event_name}."
    if request.POST.get("back") == "instance":
        messages.success(request, said)
        return redirect("dashboard:instance", wait.instance_id)
    others = [
        one for one in _open_to(request) if (one.instance_id, one.event_name) != (wait.instance_id, wait.event_name)
    ]
    if not others:
        messages.success(request, f"{said} Nothing else waits for you.")
        return redirect("dashboard:approvals")
    messages.success(request, f"{said} This one waits next.")
    return redirect("dashboard:approval", others[0].instance_id, others[0].event_name)


def _open_to(request: HttpRequest) -> tuple[OpenWait, ...]:
    try:
        return approvals.open_waits(_hub(), _filter(request, "open"), page_size=2).waits
    except TooSlowError:
        return ()


# --- the badge -------------------------------------------------------------------------------------------------------


def badge(request: HttpRequest) -> int:
    """Count what waits for whoever looks; nothing for those who may not answer."""
    if not can(request, Permission.RAISE_EVENT):
        return 0
    try:
        return approvals.count_open_waits(
            _hub(), WaitFilter(scope=WaitScope.OPEN_TO_ME, person=person_of(request))
        ).value
    except TooSlowError:
        return 0


def _hub() -> str:
    return host_settings().task_hub


navigation.BADGES["dashboard:approvals"] = badge
urlpatterns = [
    path("approvals/", inbox, name="approvals"),
    # Names of events may hold a slash; ids of instances do not.
    path("approvals/<str:instance_id>/<path:event_name>/", approval, name="approval"),
]
