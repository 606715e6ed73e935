"""The filters of the audit, as its address has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms

from dashboard.presenters.audit import label
from durable_host.core.access import Operation
from durable_host.store.audit import Outcome
from durable_host.store.auditing import AuditFilter

#: window → its length, and the words for it
WINDOWS: dict[str, tuple[timedelta | None, str]] = {
    "24h": (timedelta(hours=24), "24 hours"),
    "7d": (timedelta(days=7), "7 days"),
    "30d": (timedelta(days=30), "30 days"),
    "all": (None, "all time"),
}
DEFAULT_WINDOW = "30d"
_LONGEST = 256
_ANY = ("", "Any")
#: read-only requests are not audited when they are done; denied ones are
_OPERATIONS = [_ANY, *((one.value, label(one)) for one in Operation)]
_OUTCOMES = [_ANY, ("done", "Done"), ("refused", "Refused"), ("denied", "Denied")]


def _moment(label_: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(label=label_, required=False, widget=widget)


class AuditForm(forms.Form):
    """Who, what, what came of it, on which instance, when; what is wrong is said beside its field."""

    actor = forms.CharField(label="Who", required=False, max_length=_LONGEST)
    operation = forms.ChoiceField(label="What", required=False, choices=_OPERATIONS)
    outcome = forms.ChoiceField(label="Outcome", required=False, choices=_OUTCOMES)
    instance = forms.CharField(label="Instance id", required=False, max_length=_LONGEST)
    after = _moment("From")
    before = _moment("To")

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given, use_required_attribute=False)
        self.is_valid()
        since = str(given.get("since", ""))
        self._since = since if since in WINDOWS else ""

    @property
    def window(self) -> str:
        """The window that is meant; empty where times are given."""
        if self.cleaned_data.get("after") or self.cleaned_data.get("before"):
            return ""
        # Whoever asks for one instance means all that was ever done to it.
        return self._since or ("all" if self.cleaned_data.get("instance") else DEFAULT_WINDOW)

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the window is chosen."""
        return any(self.cleaned_data.values())

    def filter(self, now: datetime) -> AuditFilter:
        """Return what is meant, for the store; fields that are wrong do not narrow."""
        said = self.cleaned_data
        length = WINDOWS[self.window][0] if self.window else None
        return AuditFilter(
            actor=said.get("actor", ""),
            operation=Operation(said["operation"]) if said.get("operation") else None,
            outcome=Outcome(said["outcome"]) if said.get("outcome") else None,
            instance_id=said.get("instance", ""),
            since=said.get("after") or (now - length if length else None),
            until=said.get("before"),
        )

    def query(self, **changes: str) -> str:
        """Return it as a query string without what is empty; ``changes`` go before what it has."""
        has = {name: str(self.data.get(name, "")) for name in (*self.fields, "since")} | changes
        return urlencode([(name, text) for name, text in has.items() if text.strip()])
