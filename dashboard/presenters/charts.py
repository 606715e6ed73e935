"""Small pictures as SVG: no script, no style, and the numbers in words for whoever cannot see them."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_BAR, _GAP, _HEIGHT = 5, 1, 24


def sparkbars(values: Sequence[float], label: str, *, tones: Sequence[str] = ()) -> SafeString:
    """Return a row of small bars, scaled to the largest.

    Args:
        values: one for each bar, oldest first; none negative.
        label: what they are, for screen readers and as the tooltip.
        tones: the tone of each bar; by default the accent.
    """
    top = max(values, default=0) or 1
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"{}/>',
        ((*_bar(number, value / top), _tone(tones, number)) for number, value in enumerate(values)),
    )
    width = max(1, len(values) * (_BAR + _GAP) - _GAP)
    return format_html(
        '<svg class="sparkbars" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
        "{}</svg>",
        width, _HEIGHT, width, _HEIGHT, label, label, bars,
    )  # fmt: skip


def _bar(number: int, share: float) -> tuple[int, float, int, float]:
    height = max(1.0 if share == 0 else 2.0, round(share * _HEIGHT, 1))
    return number * (_BAR + _GAP), _HEIGHT - height, _BAR, height


def _tone(tones: Sequence[str], number: int) -> SafeString:
    return format_html(' class="tone-{}"', tones[number]) if number < len(tones) else SafeString("")
