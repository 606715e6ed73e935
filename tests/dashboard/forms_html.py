"""What a browser would send of the HTML of a form, as it stands."""

from __future__ import annotations

from html.parser import HTMLParser

from django.http import QueryDict
from django.template.loader import render_to_string

from dashboard.forms.schema import BoundForm

Pairs = list[tuple[str, str]]


class _Fields(HTMLParser):
    """Collects names and values by the rules of HTML: what is ticked, chosen, typed; no buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Pairs = []
        self._select: str | None = None
        self._options: list[tuple[str, bool]] = []
        self._area: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input":
            self._input(given, dict(attrs))
        elif tag == "select":
            self._select, self._options = given["name"], []
        elif tag == "option":
            self._options.append((given["value"], "selected" in given))
        elif tag == "textarea":
            self._area, self._text = given["name"], ""

    def _input(self, given: dict[str, str], attrs: dict[str, str | None]) -> None:
        if "name" not in given:
            return
        if given["type"] in ("checkbox", "radio") and "checked" not in attrs:
            return
        self.sent.append((given["name"], given.get("value", "on").replace("\n", "")))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select is not None and self._options:
            chosen = [value for value, is_selected in self._options if is_selected] or [self._options[0][0]]
            self.sent.append((self._select, chosen[-1]))
            self._select = None
        elif tag == "textarea" and self._area is not None:
            # The first line break belongs to the tag; the others are sent as CRLF.
            text = self._text[1:] if self._text.startswith("\n") else self._text
            self.sent.append((self._area, text.replace("\n", "\r\n")))
            self._area = None


def html_of(bound: BoundForm) -> str:
    """Return the fields of a form as the pages show them."""
    return render_to_string("dashboard/forms/fields.html", {"bound": bound, "node": bound.root})


def sent(html: str, *more: tuple[str, str]) -> QueryDict:
    """Return what a browser sends of some HTML, with the button that was pressed or what was typed besides.

    A pair of ``more`` replaces what stands in a field of its name.
    """
    parser = _Fields()
    parser.feed(html)
    parser.close()
    data = QueryDict(mutable=True)
    for name, value in parser.sent:
        data.appendlist(name, value)
    for name, value in more:
        data[name] = value
    return data
