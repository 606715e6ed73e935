"""The parameters of a saved query as a form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from django import forms

from durable_host.telemetry.kusto import Parameter, SavedQuery, Value

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_SPAN = re.compile(r"(\d{1,6})\s*([dhms])")
_TEXT = re.compile(r'"(.*)"')
_LONGEST = 256


def span(text: str) -> timedelta | None:
    """Return a length of time as ``7d``, ``12h``, ``30m`` or ``45s``; None for anything else."""
    found = _SPAN.fullmatch(text.strip().lower())
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


class SpanField(forms.CharField):
    """A length of time, as the query language writes it."""

    def clean(self, value: str) -> timedelta:
        """Return it as a timedelta.

        Raises:
            ValidationError: it is none.
        """
        found = span(super().clean(value))
        if not found:
            raise forms.ValidationError("A number and a unit: 30m, 12h or 7d.")
        return found


class QueryForm(forms.Form):
    """The parameters of one saved query, with the query's own defaults."""

    def __init__(self, query: SavedQuery, given: Mapping[str, str] | None = None) -> None:
        self.query = query
        super().__init__(given, auto_id=f"{query.slug}-%s", use_required_attribute=False)
        for one in query.parameters:
            self.fields[one.name] = _field(one)

    @property
    def text(self) -> str:
        """The query with what was filled in; with its defaults where that is wrong."""
        values: dict[str, Value] = self.cleaned_data if self.is_bound and self.is_valid() else {}
        return self.query.filled(values)


def _field(parameter: Parameter) -> forms.CharField:
    label = parameter.description[:1].upper() + parameter.description[1:]
    literal = _TEXT.fullmatch(parameter.default)
    widget = forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"})
    if literal:
        return forms.CharField(label=label, max_length=_LONGEST, widget=widget)
    return SpanField(label=label, initial=parameter.default, max_length=16, widget=widget)
