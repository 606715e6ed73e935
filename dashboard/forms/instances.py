"""Forms of the list of instances and of operations on many of them."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from dashboard.presenters.listing_operations import DESTRUCTIVE
from durable_host.core.access import Operation
from durable_host.store.listing import CappedCount

_LONGEST_REASON = 1_000


class SaveViewForm(forms.Form):
    """A name for the filters and columns that a page shows."""

    name = forms.CharField(max_length=80)
    is_shared = forms.BooleanField(required=False, label="Share it with everybody")
    query = forms.CharField(max_length=4_000, required=False, widget=forms.HiddenInput)
    columns = forms.CharField(max_length=400, required=False, widget=forms.HiddenInput)


class BatchForm(forms.Form):
    """What an operation on many instances asks before it begins.

    Args:
        operation: what is to be done.
        count: to how many instances; where it ends or removes them, the number must be typed.
    """

    event_name = forms.CharField(max_length=256, label="Event name", help_text="As the orchestrator awaits it.")
    event_data = forms.CharField(
        required=False,
        label="Data",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text='JSON, as true, 12, "text" or {"amount": 12}. Without any, the event has no data.',
    )
    reason = forms.CharField(
        max_length=_LONGEST_REASON,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Kept in the audit of every instance.",
    )
    typed = forms.CharField(max_length=20, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    expected = forms.CharField(max_length=20, widget=forms.HiddenInput, required=False)

    def __init__(self, operation: Operation, count: CappedCount, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if operation is not Operation.RAISE_EVENT:
            del self.fields["event_name"], self.fields["event_data"]
        self.fields["reason"].required = operation in DESTRUCTIVE
        if operation not in DESTRUCTIVE:
            del self.fields["typed"], self.fields["expected"]
            return
        word = operation.value if count.is_capped else str(count.value)
        self.initial["expected"] = word
        expected = (self.data.get("expected") or word) if self.is_bound else word
        self.fields["typed"].label = f"Type {expected} to be sure"
        said = f"There are more than {count.value:,}" if count.is_capped else "It is the number of instances"
        self.fields["typed"].help_text = f"{said} that it will be done to."

    def clean_event_data(self) -> str | None:
        """Check that it is JSON, where there is some."""
        text = self.cleaned_data["event_data"].strip()
        if not text:
            return None
        try:
            json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}. A text needs quotes around it.") from error
        return str(text)

    def clean(self) -> dict[str, Any]:
        """Check that what was typed is what was asked for."""
        cleaned = super().clean() or self.cleaned_data
        typed = cleaned.get("typed")
        if typed is not None and typed.replace(",", "").strip().casefold() != cleaned.get("expected", "").casefold():
            self.add_error("typed", f"Type {cleaned.get('expected')} to be sure, or leave the page.")
        return cleaned


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not in JSON")
