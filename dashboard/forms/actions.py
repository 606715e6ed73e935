"""What somebody is asked before an action."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from dashboard.presenters.actions import Verb
from durable_host.conf import host_settings
from durable_host.core.errors import PayloadError
from durable_host.core.names import MAX_LENGTH, check_name
from durable_host.core.payload import PayloadCodec

_REASON_LENGTH = 1_000
_KEY = re.compile(r"[0-9a-f]{32}")


class OnceForm(forms.Form):
    """A form that counts once, however often its button is pressed: it carries a name of its own."""

    request_key = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("request_key", secrets.token_hex(16))

    def clean_request_key(self) -> str:
        """Take only names that this host gives."""
        key: str = self.cleaned_data["request_key"]
        return key if _KEY.fullmatch(key) else ""


class ReasonForm(OnceForm):
    """Asks why."""

    reason = forms.CharField(
        max_length=_REASON_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2, "class": "prose"}),
        help_text="Whoever reads the audit or the history later will see it.",
        error_messages={"required": "Say why, for whoever reads the audit later."},
    )

    def __init__(self, *args: Any, must_say_why: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = must_say_why


class RestartForm(OnceForm):
    """Asks under which id."""

    under = forms.ChoiceField(
        label="Instance id",
        choices=[("new", "A new id; this instance stays as it is"), ("same", "The same id; replaces this instance")],
        initial="new",
        widget=forms.RadioSelect,
    )


class EventForm(OnceForm):
    """Asks for any event, by name and data."""

    event_name = forms.CharField(
        max_length=MAX_LENGTH,
        label="Event name",
        help_text="Capitals make no difference. An event that nobody listens for yet is kept.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "off"}),
    )
    event_data = forms.CharField(
        required=False,
        strip=False,
        label="Data, as JSON",
        help_text="Empty is null.",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "autocapitalize": "off"}),
    )

    def clean_event_name(self) -> str:
        """Take only names that an event can have."""
        try:
            return check_name(self.cleaned_data["event_name"], "An event name")
        except PayloadError as error:
            raise ValidationError(str(error)) from error

    def clean_event_data(self) -> Any:
        """Return the JSON value."""
        text = self.cleaned_data["event_data"].strip()
        try:
            return json.loads(PayloadCodec(host_settings().max_payload_bytes).check_json(text or "null", "The data"))
        except PayloadError as error:
            raise ValidationError(str(error)) from error


def form_for(verb: Verb, data: Any = None, initial: dict[str, Any] | None = None) -> OnceForm:
    """Return the form of an action; empty where no data are given."""
    if verb is Verb.RAISE_EVENT:
        return EventForm(data, initial=initial)
    if verb is Verb.RESTART:
        return RestartForm(data, initial=initial)
    return ReasonForm(data, initial=initial, must_say_why=verb in _WHY)


#: actions for which a reason must be given
_WHY = frozenset({Verb.TERMINATE, Verb.REWIND, Verb.PURGE})
