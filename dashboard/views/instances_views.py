"""What somebody keeps of the list of instances: its columns in a cookie, its filters as views."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST

from dashboard.access import MissingPermissionError, allowed, can
from dashboard.forms.instances import SaveViewForm
from dashboard.presenters import listing_columns as columns
from dashboard.presenters import listing_views
from durable_host import BadRequestError
from durable_host.conf import host_settings
from durable_host.core.access import Permission
from durable_host.store import views as saved_views

from .instances_query import asked_of, list_address

#: keeps columns and rows of somebody's list
LAYOUT_COOKIE = "dashboard_columns"
_YEAR_SECONDS = 365 * 24 * 3600


@require_POST
@allowed(Permission.VIEW)
def choose_columns(request: HttpRequest) -> HttpResponse:
    """Keep the columns and the number of rows in a cookie."""
    chosen = columns.layout(request.POST.getlist("column"), request.POST.get("size", ""))
    asked = asked_of(request, listing_views.parameters(request.POST.get("query", "")))
    # A saved view has columns of its own: what is chosen now would not show.
    response = redirect(list_address(asked.query.filters()))
    response.set_cookie(
        LAYOUT_COOKIE, chosen.cookie(), max_age=_YEAR_SECONDS, samesite="Lax", httponly=True, secure=request.is_secure()
    )
    return response


@require_POST
@allowed(Permission.VIEW)
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep filters and columns under a name; sharing them needs the right to change instances."""
    form = SaveViewForm(request.POST)
    asked = asked_of(request, listing_views.parameters(request.POST.get("query", "")))
    if not form.is_valid():
        messages.error(request, "The view was not saved. Give it a name of at most 80 characters.")
        return redirect(list_address(asked.query))
    if form.cleaned_data["is_shared"] and not can(request, Permission.MANAGE):
        raise MissingPermissionError(Permission.MANAGE)
    chosen = columns.layout(form.cleaned_data["columns"].split("."))
    user = request.user.get_username()
    try:
        view = saved_views.save_view(
            host_settings().task_hub,
            user,
            form.cleaned_data["name"],
            asked.query.filters().encoded(),
            chosen.keys,
            is_shared=form.cleaned_data["is_shared"],
        )
    except BadRequestError as refusal:
        messages.error(request, str(refusal))
        return redirect(list_address(asked.query))
    messages.success(request, f"The view “{view.name}” was saved{' for everybody' if view.is_shared else ''}.")
    return redirect(list_address(listing_views.opened(view, user, asked.zone)))


@require_POST
@allowed(Permission.VIEW)
def delete_view(request: HttpRequest) -> HttpResponse:
    """Remove a view: one's own, or a shared one with the right to change instances."""
    user = request.user.get_username()
    owner, slug = request.POST.get("owner", user), request.POST.get("slug", "")
    if owner != user and not can(request, Permission.MANAGE):
        raise MissingPermissionError(Permission.MANAGE)
    if saved_views.delete_view(host_settings().task_hub, user, slug, owner=owner):
        messages.success(request, "The view was deleted. The instances are as they were.")
    else:
        messages.info(request, "The view was deleted before.")
    return redirect("dashboard:instances")


urlpatterns = [
    path("views/columns/", choose_columns, name="instances-columns"),
    path("views/save/", save_view, name="view-save"),
    path("views/delete/", delete_view, name="view-delete"),
]
