"""Bars as SVG. Places are in hundredths of the width, so that one picture fits every window; no script, no style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .scale import Scale
from .timeline import Bar, Group, Row, Timeline
from .words import duration

_HEIGHT = 20
_HEIGHTS = {"run": 12, "queued": 8, "wait": 4}
_GROUP_HEIGHT = 34
_AXIS_HEIGHT = 28
#: narrower bars would not be seen
_NARROWEST = 0.35


def axis(picture: Timeline) -> SafeString:
    """Return the axis with its labels; it also holds the grid that all rows show."""
    return format_html(
        '<svg class="timeline-axis" width="100%" height="{}" aria-hidden="true">{}{}'
        '<symbol id="timeline-grid">{}</symbol></svg>',
        _AXIS_HEIGHT,
        format_html_join("", '<text class="{}" x="{}%" y="19" dx="{}">{}</text>', _tick_labels(picture.scale)),
        format_html_join(
            "",
            '<g class="timeline-fold"><title>{} without anything new</title>'
            '<text x="{}%" y="19" text-anchor="middle">{}</text></g>',
            ((duration(fold.length), _number((fold.begin + fold.end) / 2), fold.label) for fold in picture.scale.folds),
        ),
        _grid(picture),
    )  # fmt: skip


def _tick_labels(drawn: Scale) -> Iterable[tuple[str, str, int, str]]:
    for tick in drawn.ticks:
        yield "minor" if tick.is_minor else "major", _number(tick.at), 3, tick.label


def _grid(picture: Timeline) -> SafeString:
    lines = format_html_join(
        "",
        '<line class="grid-line" x1="{}%" x2="{}%" y1="0" y2="100%"/>',
        ((_number(tick.at), _number(tick.at)) for tick in picture.scale.ticks),
    )
    folds = format_html_join(
        "",
        '<rect class="grid-fold" x="{}%" width="{}%" y="0" height="100%"/>',
        ((_number(fold.begin), _number(fold.end - fold.begin)) for fold in picture.scale.folds),
    )
    pauses = format_html_join(
        "",
        '<rect class="grid-suspended" x="{}%" width="{}%" y="0" height="100%"/>',
        ((_number(low), _number(high - low)) for low, high in picture.suspended),
    )
    now = SafeString("")
    if picture.now is not None:
        place = _number(picture.now)
        now = format_html('<line class="grid-now" x1="{}%" x2="{}%" y1="0" y2="100%"/>', place, place)
    return format_html("{}{}{}{}", lines, pauses, folds, now)


def row_picture(row: Row | Group, drawn: Scale) -> SafeString:
    """Return the bars of one row."""
    return _group_picture(row, drawn) if isinstance(row, Group) else _row_picture(row.bars, drawn)


def _row_picture(bars: Sequence[Bar], drawn: Scale) -> SafeString:
    return _svg(_HEIGHT, "timeline-bars", format_html_join("", "{}", ((_bar(bar, drawn),) for bar in bars)))


def _svg(height: int, css: str, shapes: SafeString) -> SafeString:
    """Return a picture that is as high as its row; the shapes keep to its middle, which is their zero."""
    return format_html(
        '<svg class="{}" width="100%" height="{}" aria-hidden="true"><use href="#timeline-grid" width="100%" '
        'height="100%"/><svg y="50%" width="100%" height="100%" overflow="visible">{}</svg></svg>',
        css, height, shapes,
    )  # fmt: skip


def _bar(bar: Bar, drawn: Scale) -> SafeString:
    low, high = drawn.place(bar.begin), drawn.place(bar.end)
    if bar.look == "point":
        return format_html(
            '<circle class="bar-point tone-{}" cx="{}%" cy="0" r="4.5"><title>{}</title></circle>',
            bar.tone, _number(min(max(low, 0.6), 99.4)), bar.title,
        )  # fmt: skip
    if bar.look == "pause":
        return format_html(
            '<line class="bar-pause" x1="{}%" x2="{}%" y1="0" y2="0"><title>{}</title></line>',
            _number(low), _number(high), bar.title,
        )  # fmt: skip
    height = _HEIGHTS[bar.look]
    width = max(high - low, _NARROWEST)
    return format_html(
        '<rect class="bar-{}{} tone-{}" x="{}%" y="{}" width="{}%" height="{}" rx="2"><title>{}</title></rect>',
        bar.look, " is-open" if bar.is_open else "", bar.tone, _number(min(low, 100 - width)),
        -height // 2, _number(width), height, bar.title,
    )  # fmt: skip


def _group_picture(group: Group, drawn: Scale) -> SafeString:
    top = max(group.load, default=0) or 1
    heights = [max(1.5, load / top * _GROUP_HEIGHT) if load else 0 for load in group.load]
    base = _GROUP_HEIGHT / 2 - 2
    columns = format_html_join(
        "",
        '<rect x="{}%" y="{}" width="1%" height="{}"/>',
        ((place, _number(base - height), _number(height)) for place, height in enumerate(heights) if height),
    )
    failures = format_html_join(
        "", '<rect class="group-failure" x="{}%" y="{}" width="1%" height="4"/>',
        ((place, _number(base + 1)) for place in group.failures),
    )  # fmt: skip
    tone = "info" if group.is_open else "good"
    shapes = format_html(
        '<g class="group-load tone-{}"><title>up to {} open at a time</title>{}</g>{}',
        tone, f"{top:,}", columns, failures,
    )  # fmt: skip
    return _svg(_GROUP_HEIGHT + 12, "timeline-bars is-group", shapes)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
