"""The cells of the list. Written in Python: a page has hundreds, and a template needs ten times as long for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.icons import icon
from dashboard.templatetags.dashboard import instance_link, plain, status_badge, took, when
from durable_host.core.access import Permission
from durable_host.core.status import RuntimeStatus
from durable_host.store.listing import InstanceRow

from .listing_columns import Column

_NOTHING = SafeString("")
_TAGS_SHOWN = 2


def cells(row: InstanceRow, columns: Iterable[Column], *, has_payloads: bool) -> SafeString:
    """Return the cells of a row.

    Args:
        row: the instance.
        columns: which, in order.
        has_payloads: whether the reader may see custom statuses.
    """
    return format_html_join(
        "",
        '<td data-label="{}" class="c-{}">{}</td>',
        (
            (column.label, f"{column.key} number" if column.is_number else column.key, _cell(row, column, has_payloads))
            for column in columns
        ),
    )


def _cell(row: InstanceRow, column: Column, has_payloads: bool) -> SafeString:
    return _custom(row, has_payloads) if column.key == "custom" else _CELLS[column.key](row)


def _narrowing(condition: str, said: str, shown: SafeString, look: str = "cell") -> SafeString:
    """A button that shows only what has the same: it works without scripts, and a row's first link stays its own."""
    return format_html(
        '<button class="{}" form="narrow" name="and" value="{}" title="Show only {}">{}</button>',
        look, condition, said, shown,
    )  # fmt: skip


def _isolated(text: str) -> SafeString:
    return format_html("<bdi>{}</bdi>", text)


def _status(row: InstanceRow) -> SafeString:
    badge = status_badge(row.status, stalled=bool(row.stall_reason))
    if row.stall_reason:
        return _narrowing("stalled=1", "stalled ones", badge)
    return _narrowing(f"status={row.status.value}", row.status.value, badge)


def _name(row: InstanceRow) -> SafeString:
    return _narrowing(f"name={row.name}", row.name, _isolated(row.name))


def _now(row: InstanceRow) -> SafeString:
    if row.stall_reason:
        return _clamped(plain(row.stall_reason, 300))
    if row.error_type:
        words = format_html('<span class="error-text">{}</span> ', plain(row.error_type, 60))
        return _clamped(words + format_html('<span class="muted">{}</span>', plain(row.error_message, 300)))
    waits = format_html_join(
        "", '<span class="wait">{}{}</span>', ((icon("bolt"), plain(one, 60)) for one in row.waiting_for)
    )
    many = "activity" if row.activities_open == 1 else "activities"
    counts = [f"{row.activities_open:,} {many}"] if row.activities_open else []
    counts += [f"{row.retries_open:,} to be retried"] if row.retries_open else []
    shown = waits + format_html_join("", '<span class="wait muted">{}</span>', ((one,) for one in counts))
    if row.status is RuntimeStatus.PENDING and row.scheduled_at is not None:
        shown += format_html('<span class="wait muted">starts {}</span>', when(row.scheduled_at))
    return shown


def _clamped(shown: SafeString) -> SafeString:
    return format_html('<div class="clamp">{}</div>', shown)


def _custom(row: InstanceRow, has_payloads: bool) -> SafeString:
    if not row.custom_status:
        return _NOTHING
    if has_payloads:
        return _clamped(plain(row.custom_status, 200))
    said = f"Seeing it needs the permission {Permission.VIEW_PAYLOAD.value}"
    return format_html('<span title="{}">{}</span>', said, icon("lock", label="hidden"))


def _tags(row: InstanceRow) -> SafeString:
    tags = [f"{name}={value}" for name, value in row.tags.items()]
    if not tags:
        return _NOTHING
    buttons = (_narrowing(f"tag={one}", one, _isolated(one), "chip tag") for one in tags[:_TAGS_SHOWN])
    shown = format_html_join("", "{}", ((one,) for one in buttons))
    rest = tags[_TAGS_SHOWN:]
    more = format_html('<span class="muted tight" title="{}">+{}</span>', ", ".join(rest), len(rest)) if rest else ""
    return format_html('<div class="tags">{}{}</div>', shown, more)


def _parent(row: InstanceRow) -> SafeString:
    return instance_link(row.parent_instance_id) if row.parent_instance_id else _NOTHING


_CELLS: dict[str, Callable[[InstanceRow], SafeString]] = {
    "status": _status,
    "name": _name,
    "id": lambda row: instance_link(row.instance_id),
    "now": _now,
    "tags": _tags,
    "created": lambda row: when(row.created_at),
    "duration": lambda row: took(row.duration),
    "updated": lambda row: when(row.updated_at),
    "version": lambda row: plain(row.version, 40) if row.version else _NOTHING,
    "parent": _parent,
    "retries": lambda row: SafeString(row.retries_open or ""),
}
