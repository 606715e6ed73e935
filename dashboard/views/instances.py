"""The list of instances: found by filters that the address has, counted honestly, exported, kept as views."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from dashboard.access import allowed, can, is_partial
from dashboard.forms.instances import SaveViewForm
from dashboard.live import live_page, live_tag
from dashboard.presenters import listing_columns as columns
from dashboard.presenters import listing_rows as rows
from dashboard.presenters import listing_views
from dashboard.presenters.listing import WINDOWS, ListQuery, chips, narrowed, read, window_times, window_words
from dashboard.presenters.listing_columns import COLUMNS, SIZES, Layout
from dashboard.presenters.listing_operations import for_many
from durable_host import BadRequestError
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.core.registry import default_registry
from durable_host.store import views as saved_views
from durable_host.store.exporting import export_csv, export_ndjson
from durable_host.store.filters import has_search
from durable_host.store.limits import TooSlowError
from durable_host.store.listing import (
    CappedCount,
    ListPage,
    StatusCounts,
    count_matching,
    count_statuses,
    list_instances,
    recent_tags,
)
from durable_host.store.shapes import InstanceFilter
from durable_host.store.views import View

from .instances_query import Asked, asked_of
from .instances_views import LAYOUT_COOKIE

#: pages back that the address remembers
_LONGEST_WAY = 20
#: counting the ways out of an empty list stops then
_WAYS_SECONDS = 1.0
_MOST_SUGGESTIONS = 200
_EXPORTS: dict[str, tuple[str, Callable[..., Iterator[str]]]] = {
    "csv": ("text/csv; charset=utf-8", export_csv),
    "ndjson": ("application/x-ndjson", export_ndjson),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What the store answered; None where it was too slow."""

    page: ListPage | None
    counts: StatusCounts | None


@require_GET
@allowed(Permission.VIEW)
def instances(request: HttpRequest) -> HttpResponse:
    """Show the instances that fit, newest first."""
    given = dict(request.GET.lists())
    if "filter" in given or "and" in given:
        return _tidied(given)
    asked = asked_of(request, given)
    saved = _saved(request, asked)
    layout = _layout(request, asked, saved)
    way = [one for one in given.get("after", []) if one][-_LONGEST_WAY:]
    found, way = _find(asked, layout, way)
    page = found.page
    return live_page(
        request,
        "dashboard/instances/list.html",
        "dashboard/instances/_list.html",
        tag=live_tag(page, found.counts and (found.counts.by_status, found.counts.total), layout.cookie()),
        busy=page is not None and any(not one.is_finished for one in page.rows),
        context=lambda: {
            **_region(request, asked, found, layout, way),
            **({} if is_partial(request) else _frame(request, asked, found, layout, saved)),
        },
    )


def _tidied(given: dict[str, list[str]]) -> HttpResponse:
    """Go from a form, which sends every field, to the address that says only what is chosen."""
    if any(given.get("from", ())) or any(given.get("to", ())):
        given["since"] = [""]
    zone = timezone.get_current_timezone()
    query = narrowed(given, given["and"][-1], zone) if "and" in given else read(given, zone)
    # What is wrong with it is said by the page that it leads to.
    wrong = [(key, text) for key in ("tag", "from", "to") for text in given.get(key, ()) if text.strip()]
    said = urlencode([*query.pairs(), *(wrong if query.problems else ())])
    return redirect(f"{reverse('dashboard:instances')}{'?' if said else ''}{said}")


def _find(asked: Asked, layout: Layout, way: list[str]) -> tuple[Found, list[str]]:
    hub = host_settings().task_hub
    page: ListPage | None = None
    counts: StatusCounts | None = None
    with suppress(TooSlowError):
        try:
            page = list_instances(hub, asked.filter, page_size=layout.size, cursor=way[-1] if way else None)
        except BadRequestError:  # an address from elsewhere: begin at the beginning
            way = []
            page = list_instances(hub, asked.filter, page_size=layout.size)
        with suppress(TooSlowError):
            counts = count_statuses(hub, asked.filter)
    return Found(page, counts), way


def _saved(request: HttpRequest, asked: Asked) -> tuple[View, ...]:
    if is_partial(request) and not asked.query.view:
        return ()
    return saved_views.list_views(host_settings().task_hub, request.user.get_username())


def _layout(request: HttpRequest, asked: Asked, saved: Sequence[View]) -> Layout:
    """Return the columns of the view that is shown, or those that somebody chose."""
    own = columns.of_cookie(request.COOKIES.get(LAYOUT_COOKIE, ""))
    owner = asked.query.by or request.user.get_username()
    view = next((one for one in saved if (one.slug, one.owner) == (asked.query.view, owner)), None)
    return replace(columns.layout(view.columns), size=own.size) if view and view.columns else own


def _region(request: HttpRequest, asked: Asked, found: Found, layout: Layout, way: list[str]) -> dict[str, Any]:
    """Return what moves: statuses, rows, and the ways on."""
    page = found.page
    query = asked.query
    values: dict[str, Any] = {
        "query": query,
        "window_words": window_words(query, asked.times),
        "statuses": rows.status_chips(query, found.counts),
        "counts": found.counts,
        "page": page,
        "columns": layout.columns,
        "is_default_layout": layout.columns == Layout().columns,
        "lines": _lines(request, page, layout),
        "page_number": len(way) + 1,
        "newer": _address(query, way[:-1]) if way else "",
        "older": _address(query, [*way, page.cursor]) if page and page.cursor else "",
        "wider": query.wider(),
        "may_pick": bool(for_many(request.user)),
        "narrower": [] if page else _narrower(query),
    }
    if page is None:
        return values
    if not page.rows and not page.cursor:
        values |= _ways_out(asked)
    elif not page.cursor and asked.filter.created_from:
        values["earlier"] = _earlier(asked)
    return values


def _lines(request: HttpRequest, page: ListPage | None, layout: Layout) -> list[rows.Line]:
    shown = page.rows if page is not None else ()
    return rows.lines(shown, layout.columns, has_payloads=can(request, Permission.VIEW_PAYLOAD))


def _address(query: ListQuery, way: Sequence[str]) -> str:
    pairs = [*query.pairs(), *(("after", cursor) for cursor in way)]
    return f"?{urlencode(pairs)}"


def _narrower(query: ListQuery) -> list[tuple[str, ListQuery]]:
    """Return shorter windows, for a question that took too long."""
    days = {"the last hour": "1h", "the last 24 hours": "24h"}
    return [(said, replace(query, since=key, created_from=None, created_to=None)) for said, key in days.items()]


def _earlier(asked: Asked) -> CappedCount | None:
    """Count what the window hides, where that costs little."""
    earlier = replace(asked.filter, created_from=None, created_to=asked.filter.created_from)
    if has_search(earlier):
        return None
    with suppress(TooSlowError):
        return count_matching(host_settings().task_hub, earlier)
    return None


def _ways_out(asked: Asked) -> dict[str, Any]:
    """Say which filter to give up, and what there would be without it."""
    hub = host_settings().task_hub
    ends = time.monotonic() + _WAYS_SECONDS
    with suppress(TooSlowError):
        if not count_matching(hub, InstanceFilter()).value:
            return {"is_new": True}
    choices = [
        (f"Without “{chip}”", chip.without) for chip in chips(asked.query, asked.times) if chip.label != "Created"
    ]
    choices += [
        (f"Created in {said}" if said != "all time" else "Of all time", one) for said, one in asked.query.wider()
    ]
    if not (asked.query.has_subs or asked.query.parent):
        choices.append(("With sub-orchestrations", replace(asked.query, has_subs=True)))
    ways: list[tuple[str, str, CappedCount | None]] = []
    for said, query in choices:
        count: CappedCount | None = None
        if time.monotonic() < ends:
            with suppress(TooSlowError):
                count = count_matching(hub, query.filter(asked.now, asked.zone))
        if count is None or count.value:
            ways.append((said, query.address(), count))
    return {"ways": ways, "chip_words": "; ".join(map(str, chips(asked.query, asked.times)))}


def _frame(request: HttpRequest, asked: Asked, found: Found, layout: Layout, saved: Sequence[View]) -> dict[str, Any]:
    """Return what stands around the rows: filters, columns, acts, views."""
    query = asked.query
    shown = found.page.rows if found.page is not None else ()
    return {
        # Its windows stand beside the chips, marked.
        "chips": [one for one in chips(query, asked.times) if one.label != "Created" or query.is_custom_window],
        "windows": [(key, replace(query, since=key, created_from=None, created_to=None)) for key in WINDOWS],
        "with_subs": replace(query, has_subs=True),
        "without_subs": replace(query, has_subs=False),
        "inputs": window_times(query, asked.zone, "%Y-%m-%dT%H:%M"),
        "names": sorted({*default_registry.orchestrators, *(one.name for one in shown)}),
        "known_tags": _known_tags(),
        "all_columns": [(column, column in layout.columns) for column in COLUMNS],
        "sizes": SIZES,
        "layout": layout,
        "actions": for_many(request.user),
        **_views_of(request, asked, layout, saved),
    }


def _views_of(request: HttpRequest, asked: Asked, layout: Layout, saved: Sequence[View]) -> dict[str, Any]:
    user = request.user.get_username()
    query = asked.query
    may_share = can(request, Permission.MANAGE)
    links = listing_views.links(query, saved, user, asked.zone)
    current = next((one for one in links if one.is_current and one.saved), None)
    view = current.saved if current is not None else None
    form = SaveViewForm(
        initial={
            "name": view.name if view else "",
            "is_shared": view is not None and view.is_shared,
            "query": query.filters().encoded(),
            "columns": ".".join(layout.keys),
        }
    )
    return {
        "views": links,
        "current_view": current,
        "is_changed": current is not None and current.query.filters() != query.filters(),
        "save_form": form,
        "may_share": may_share,
        "may_delete": view is not None and (may_share or view.owner == user),
    }


def _known_tags() -> list[str]:
    try:
        tags = recent_tags(host_settings().task_hub)
    except TooSlowError:
        return []
    return [f"{name}={value}" for name, values in tags.items() for value in values][:_MOST_SUGGESTIONS]


# --- export and choices ----------------------------------------------------------------------------------------------


@require_GET
@allowed(Permission.VIEW)
def export(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    """Send everything that fits as a file, however much it is."""
    if kind not in _EXPORTS:
        raise Http404(f"There is no export as {kind!r}.")
    asked = asked_of(request, dict(request.GET.lists()))
    content_type, write = _EXPORTS[kind]
    parts = write(host_settings().task_hub, asked.filter, has_payloads=can(request, Permission.VIEW_PAYLOAD))
    name = f"instances-{asked.now.astimezone(asked.zone):%Y%m%d-%H%M%S}.{kind}"
    return StreamingHttpResponse(
        parts, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


urlpatterns = [
    path("instances/", instances, name="instances"),
    path("export/instances.<str:kind>", export, name="instances-export"),
]
