"""Logging in and out, and what somebody chooses to see."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from dashboard.forms.account import LoginForm
from dashboard.preferences import CHOICES
from dashboard.views.login import embedded_login

_YEAR_SECONDS = 365 * 24 * 3600


class Login(LoginView):
    """Ask for a name and a password."""

    template_name = "dashboard/account/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True
    next_page = "dashboard:overview"


class Logout(LogoutView):
    """End the session; POST only."""

    next_page = "dashboard:login"


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Keep what somebody chooses (the theme, the time zone) in a cookie, and go back to the page."""
    chosen = [(name, request.POST[name]) for name in CHOICES if name in request.POST]
    if not chosen or any(value not in CHOICES[name] for name, value in chosen):
        return HttpResponseBadRequest("There is no such choice.\n", "text/plain")
    response = HttpResponseRedirect(_back(request))
    for name, value in chosen:
        response.set_cookie(
            name, value, max_age=_YEAR_SECONDS, samesite="Lax", httponly=True, secure=request.is_secure()
        )
    return response


def _back(request: HttpRequest) -> str:
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        return wanted
    return reverse("dashboard:overview")


urlpatterns = [
    path("login/", Login.as_view(), name="login"),
    path("login/embedded", embedded_login, name="embedded-login"),
    path("logout/", Logout.as_view(), name="logout"),
    path("preferences/", choose, name="preferences"),
]
