"""Who may see which page: one decorator for every view."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from durable_host.core.access import ROLES, Permission
from durable_host.core.errors import InstanceNotFoundError
from durable_host.store.outage import OUTAGE, RETRY_SECONDS

from .preferences import preferences_of

logger = logging.getLogger(__name__)

#: exports stream, and are answers as well
View = Callable[..., HttpResponseBase]
_HELPERS_SHOWN = 3


class MissingPermissionError(PermissionDenied):
    """Somebody who is logged in may not do this."""

    def __init__(self, permission: Permission) -> None:
        super().__init__(f"This needs the permission {permission.value}.")
        self.permission = permission


def can(request: HttpRequest, permission: Permission) -> bool:
    """Tell whether whoever asks has a permission."""
    return bool(request.user.is_authenticated and request.user.has_perm(permission.value))


def allowed(permission: Permission | None) -> Callable[[View], View]:
    """Show a page only to those who may see it, in their own time zone.

    Strangers go to the login page; users without the permission see which one is missing and who can grant it. While
    the database cannot be reached the answer is 503. A region that refreshes itself gets the bare status instead.

    Args:
        permission: what the user needs; None for whoever is logged in.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return _answer(view, permission, request, *args, **kwargs)
            except MissingPermissionError as error:
                return denied(request, error)
            except InstanceNotFoundError as error:
                raise Http404(str(error)) from error
            except OUTAGE as error:
                return unavailable(request, error)

        guarded.needs = permission  # type: ignore[attr-defined]  # for the test that walks all addresses
        return guarded

    return decorate


def _answer(
    view: View, permission: Permission | None, request: HttpRequest, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    if not request.user.is_authenticated:
        # The login page must not land inside a page that refreshes itself.
        return HttpResponse(status=401) if is_partial(request) else redirect_to_login(request.get_full_path())
    if permission is not None and not can(request, permission):
        raise MissingPermissionError(permission)
    with timezone.override(preferences_of(request).timezone):
        response = view(request, *args, **kwargs)
    response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


def is_partial(request: HttpRequest) -> bool:
    """Tell whether htmx asks, for a part of a page."""
    return bool(getattr(request, "htmx", False))


def denied(request: HttpRequest, error: MissingPermissionError) -> HttpResponse:
    """Answer 403: which permission is missing, which group has it, who can grant it."""
    if is_partial(request):
        return HttpResponse(status=403)
    roles = [name for name, held in ROLES.items() if error.permission in held]
    groups = Group.objects.filter(name__in=roles).values_list("name", flat=True).order_by("name")
    helpers = User.objects.filter(is_superuser=True, is_active=True).order_by("username")
    context = {
        "permission": error.permission.value,
        "groups": list(groups),
        "helpers": list(helpers.values_list("username", flat=True)[:_HELPERS_SHOWN]),
    }
    return render(request, "dashboard/errors/403.html", context, status=403)


def unavailable(request: HttpRequest, error: BaseException) -> HttpResponse:
    """Answer 503, without the database: it is away, full or read-only."""
    logger.error("The database does not serve.", extra={"reason": str(error)})
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if is_partial(request):
        return HttpResponse(status=503, headers=headers)
    response = render(request, "dashboard/errors/503.html", {"seconds": RETRY_SECONDS}, status=503)
    response["Retry-After"] = headers["Retry-After"]
    return response
