"""The way in for the person at whose machine a local host runs: the address that it prints at its start."""

import secrets

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseForbidden
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

OPERATOR = "operator"


@never_cache
@require_GET
def embedded_login(request: HttpRequest) -> HttpResponse:
    """Log the local operator in, if the token is the one that this run has printed."""
    expected: str = getattr(settings, "DURABLE_LOGIN_TOKEN", "")
    if not (expected and getattr(settings, "DURABLE_EMBEDDED", False)):
        raise Http404("This host is not embedded.")
    given = request.GET.get("token", "")
    # As bytes: compare_digest refuses text outside ASCII.
    if not secrets.compare_digest(given.encode(), expected.encode()):
        return HttpResponseForbidden("This login address is not of the host that runs now.\n", "text/plain")
    login(request, _operator(), backend="django.contrib.auth.backends.ModelBackend")
    return redirect("dashboard:overview")


def _operator() -> User:
    """The local operator's account: it may do everything, and has no password that could leak."""
    user, created = get_user_model().objects.get_or_create(
        username=OPERATOR, defaults={"is_staff": True, "is_superuser": True}
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user
