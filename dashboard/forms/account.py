"""The form to log in."""

from __future__ import annotations

from django.contrib.auth.forms import AuthenticationForm


class LoginForm(AuthenticationForm):
    """A name and a password."""

    error_messages = {  # noqa: RUF012  as Django declares it
        "invalid_login": "The name or the password is not right. Both count capitals.",
        "inactive": "This account is closed.",
    }
