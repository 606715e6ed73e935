"""The icons: lines on a grid of 16, drawn for these pages, in the colour of the text around them."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

_CIRCLE = '<circle cx="8" cy="8" r="6"/>'

#: name → the shapes of the picture
ICONS: dict[str, str] = {
    "activity": '<path d="M1.5 8.5h3l2-5.5 3.5 10 2-4.5h2.5"/>',
    "approvals": '<path d="M2 9.5V12a1.5 1.5 0 0 0 1.5 1.5h9A1.5 1.5 0 0 0 14 12V9.5M5 6.5l2.2 2.2L13 2.8M2 9.5h3l1 1.5h4l1-1.5h3"/>',
    "arrow-left": '<path d="M13 8H3m4-4L3 8l4 4"/>',
    "arrow-right": '<path d="M3 8h10M9 4l4 4-4 4"/>',
    "audit": '<path d="M4 2.5h8A1.5 1.5 0 0 1 13.5 4v8a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 12V4A1.5 1.5 0 0 1 4 2.5ZM5.5 6h5M5.5 8.5h5M5.5 11h3"/>',
    "bolt": '<path d="M9 1.5 3.5 9H8l-1 5.5L12.5 7H8l1-5.5Z"/>',
    "check": '<path d="m3 8.5 3.5 3.5L13 4.5"/>',
    "check-circle": _CIRCLE + '<path d="m5.3 8.2 2 2 3.4-4"/>',
    "chevron-down": '<path d="m4 6 4 4 4-4"/>',
    "chevron-left": '<path d="M10 4 6 8l4 4"/>',
    "chevron-right": '<path d="m6 4 4 4-4 4"/>',
    "clock": _CIRCLE + '<path d="M8 4.5V8l2.2 1.6"/>',
    "code": '<path d="M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5"/>',
    "columns": '<path d="M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10"/>',
    "copy": '<path d="M5.5 5.5h7a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-7ZM10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2"/>',
    "display": '<circle cx="8" cy="8" r="5.5"/><path d="M8 2.5v11a5.5 5.5 0 0 0 0-11Z" fill="currentColor"/>',
    "dot": '<circle cx="8" cy="8" r="2.5" fill="currentColor" stroke="none"/>',
    "download": '<path d="M8 2.5v8M4.5 7.5 8 11l3.5-3.5M2.5 13.5h11"/>',
    "edit": '<path d="m3 13 .6-2.8L11 2.8a1.2 1.2 0 0 1 1.7 0l.5.5a1.2 1.2 0 0 1 0 1.7L5.8 12.4 3 13Z"/>',
    "external": '<path d="M9.5 2.5h4v4M13.5 2.5 7.5 8.5M11.5 9.5v3a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1h3"/>',
    "eye": '<path d="M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8Z"/><circle cx="8" cy="8" r="2"/>',
    "filter": '<path d="M2 4h12M4.5 8h7M6.5 12h3"/>',
    "info": _CIRCLE + '<path d="M8 7.5v3.3M8 5.2v.1"/>',
    "instances": '<path d="M2.5 3.5h11M2.5 8h11M2.5 12.5h11"/>',
    "keyboard": '<path d="M1.5 4.5h13v7h-13zM4 7h.1M6.7 7h.1M9.3 7h.1M12 7h.1M5 9.3h6"/>',
    "link": '<path d="M6.5 9.5 9.5 6.5M7.5 4.5l1.2-1.2a2.6 2.6 0 0 1 3.9 3.9L11.5 8.5M8.5 11.5l-1.2 1.2a2.6 2.6 0 0 1-3.9-3.9L4.5 7.5"/>',
    "lock": '<path d="M4 7h8a1 1 0 0 1 1 1v4.5a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1ZM5 7V5a3 3 0 0 1 6 0v2"/>',
    "logout": '<path d="M6.5 2.5h-3a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1h3M10 4.5 13.5 8 10 11.5M13.5 8H6"/>',
    "menu": '<path d="M2 4h12M2 8h12M2 12h12"/>',
    "minus-circle": _CIRCLE + '<path d="M5.3 8h5.4"/>',
    "moon": '<path d="M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7Z"/>',
    "more": '<circle cx="3.5" cy="8" r=".8" fill="currentColor"/><circle cx="8" cy="8" r=".8" fill="currentColor"/><circle cx="12.5" cy="8" r=".8" fill="currentColor"/>',
    "operations": '<path d="m8 2 6 3-6 3-6-3 6-3ZM2 8l6 3 6-3M2 11l6 3 6-3"/>',
    "overview": '<path d="M2.5 2.5h4.5v6H2.5zM9 2.5h4.5v3H9zM9 7.5h4.5v6H9zM2.5 10.5h4.5v3H2.5z"/>',
    "pause": '<circle cx="8" cy="8" r="6"/><path d="M6.5 6v4M9.5 6v4"/>',
    "play": '<path d="M4.5 2.8v10.4L13 8 4.5 2.8Z"/>',
    "plus": '<path d="M8 3v10M3 8h10"/>',
    "refresh": '<path d="M13.5 8A5.5 5.5 0 1 1 11.7 3.9M13.5 2v3h-3"/>',
    "rewind": '<path d="M7.5 4v8L2 8l5.5-4ZM14 4v8L8.5 8 14 4Z"/>',
    "running": '<path d="M8 2a6 6 0 1 1-6 6"/><circle cx="8" cy="8" r="1.5" fill="currentColor" stroke="none"/>',
    "search": '<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>',
    "settings": '<circle cx="8" cy="8" r="2"/><path d="M8 1.8v2M8 12.2v2M1.8 8h2M12.2 8h2M3.6 3.6 5 5M11 11l1.4 1.4M3.6 12.4 5 11M11 5l1.4-1.4"/>',
    "sort": '<path d="M5 3v10M2.5 10.5 5 13l2.5-2.5M11 13V3M8.5 5.5 11 3l2.5 2.5"/>',
    "start": '<circle cx="8" cy="8" r="6"/><path d="M6.5 5.5v5l4-2.5-4-2.5Z"/>',
    "stop": '<circle cx="8" cy="8" r="6"/><path d="M6 6h4v4H6z" fill="currentColor"/>',
    "sub": '<path d="M3 2.5v6a2 2 0 0 0 2 2h7M9.5 8l2.5 2.5L9.5 13"/>',
    "sun": '<circle cx="8" cy="8" r="2.8"/><path d="M8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9"/>',
    "system": '<path d="M2 3h12v8H2zM6 13.5h4M8 11v2.5"/>',
    "tag": '<path d="M2.5 2.5h5l6 6-5 5-6-6v-5ZM5.3 5.3h.1"/>',
    "telemetry": '<path d="M2.5 2.5v11h11M5.5 10.5V8M8.5 10.5v-5M11.5 10.5V7"/>',
    "timer": '<circle cx="8" cy="9" r="5"/><path d="M8 6.5V9M6 1.5h4"/>',
    "trash": '<path d="M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.6 8a1 1 0 0 0 1 1h4.8a1 1 0 0 0 1-1l.6-8M6.8 7v4M9.2 7v4"/>',
    "user": '<circle cx="8" cy="5.5" r="2.8"/><path d="M2.8 13.7a5.3 5.3 0 0 1 10.4 0"/>',
    "warning": '<path d="M8 2 14.5 13.5h-13L8 2ZM8 6.5v3.3M8 11.6v.1"/>',
    "workers": '<path d="M2.5 2.5h11v4h-11zM2.5 9.5h11v4h-11zM5 4.5h.1M5 11.5h.1"/>',
    "x": '<path d="m4 4 8 8M12 4l-8 8"/>',
    "x-circle": _CIRCLE + '<path d="m5.8 5.8 4.4 4.4M10.2 5.8l-4.4 4.4"/>',
}  # fmt: skip


def icon(name: str, label: str = "") -> SafeString:
    """Return an icon as SVG.

    Args:
        name: one of ``ICONS``.
        label: what it says, where no text beside it does; without one, screen readers skip it.
    """
    # Constants of this file, written here and nowhere else.
    shapes = mark_safe(ICONS[name])  # noqa: S308
    if label:
        return format_html(
            '<svg class="icon icon-{}" viewBox="0 0 16 16" role="img" aria-label="{}">{}</svg>', name, label, shapes
        )
    return format_html('<svg class="icon icon-{}" viewBox="0 0 16 16" aria-hidden="true">{}</svg>', name, shapes)
