"""A sequence diagram as SVG, in pixels: it keeps its size and scrolls where the window is narrow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .sequence import Arrow, ArrowKind, Diagram, Lifeline
from .words import duration

_COLUMN = 190
#: column of the times
_LEFT = 76
_TOP = 58
_STEP = 34
_HEAD = 34
#: more characters do not fit beside a line
_LABEL, _NAME = 26, 22


def draw(diagram: Diagram) -> SafeString:
    """Return the picture."""
    width = _LEFT + max(2, len(diagram.lifelines)) * _COLUMN
    height = _TOP + len(diagram.arrows) * _STEP + 24
    return format_html(
        '<svg class="sequence" width="{}" height="{}" viewBox="0 0 {} {}" role="img" '
        'aria-label="Sequence diagram; the same follows as text">'
        '<defs><marker id="seq-full" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path class="seq-head" d="M0 0 9 4 0 8Z"/></marker>'
        '<marker id="seq-bad" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path class="seq-head is-bad" d="M0 0 9 4 0 8Z"/></marker></defs>{}{}{}</svg>',
        width, height, width, height,
        format_html_join("", "{}", ((_lifeline(line, place, height),) for place, line in enumerate(diagram.lifelines))),
        format_html_join("", "{}", ((_arrow(one, place),) for place, one in enumerate(diagram.arrows))),
        format_html_join("", '<text class="seq-time" x="4" y="{}">{}</text>', _times(diagram)),
    )  # fmt: skip


def _times(diagram: Diagram) -> Iterator[tuple[int, str]]:
    """Yield when each arrow began, from the first one, where it is not the time of the one before."""
    shown = ""
    for place, one in enumerate(diagram.arrows):
        text = duration(max(one.at - diagram.arrows[0].at, timedelta(0)))
        if text != shown:
            yield _TOP + place * _STEP + 18, text
        shown = text


def _middle(place: int) -> int:
    return _LEFT + place * _COLUMN + _COLUMN // 2


def _lifeline(line: Lifeline, place: int, height: int) -> SafeString:
    middle = _middle(place)
    return format_html(
        '<line class="seq-life" x1="{}" x2="{}" y1="{}" y2="{}"/><g class="seq-who is-{}"><title>{}: {}</title>'
        '<rect x="{}" y="4" width="{}" height="{}" rx="6"/><text x="{}" y="{}" text-anchor="middle">{}</text></g>',
        middle, middle, _HEAD + 4, height, line.kind, line.kind, line.label,
        middle - _COLUMN // 2 + 8, _COLUMN - 16, _HEAD, middle, _HEAD // 2 + 9, _cut(line.label, _NAME),
    )  # fmt: skip


def _arrow(one: Arrow, place: int) -> SafeString:
    y = _TOP + place * _STEP + 14
    shape = _note(one, y) if one.kind is ArrowKind.NOTE or one.source == one.target else _line(one, y)
    if not one.instance_id:
        return shape
    return format_html('<a href="{}">{}</a>', reverse("dashboard:instance", args=[one.instance_id]), shape)


def _note(one: Arrow, y: int) -> SafeString:
    middle = _middle(one.source)
    return format_html(
        '<g class="seq-note"><title>{}</title><circle cx="{}" cy="{}" r="3.5"/><text x="{}" y="{}">{}</text></g>',
        one.label, middle, y, middle + 10, y + 4, _cut(one.label, 44),
    )  # fmt: skip


def _line(one: Arrow, y: int) -> SafeString:
    begin, end = _middle(one.source), _middle(one.target)
    # The label stands beside the orchestrator's column, where every arrow begins or ends.
    near = begin if one.kind in (ArrowKind.CALL, ArrowKind.EVENT) else end
    far = end if near == begin else begin
    rightwards = far > near
    room = _LABEL * max(1, abs(one.target - one.source))
    return format_html(
        '<g class="seq-arrow is-{}"><title>{}</title><line x1="{}" x2="{}" y1="{}" y2="{}" marker-end="url(#{})"/>'
        '<text x="{}" y="{}" text-anchor="{}">{}</text></g>',
        one.kind.value, one.label, begin, end, y, y, "seq-bad" if one.kind is ArrowKind.FAILURE else "seq-full",
        near + (12 if rightwards else -12), y - 5, "start" if rightwards else "end", _cut(one.label, room),
    )  # fmt: skip


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
