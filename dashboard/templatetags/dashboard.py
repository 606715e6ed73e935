"""What the pages are made of. ``{% load dashboard %}``; each tag escapes whatever it is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard import icons, navigation
from dashboard.access import can
from dashboard.live import Live
from dashboard.preferences import Preferences, preferences_of
from dashboard.presenters import charts, payload, statuses, words
from dashboard.presenters.tabs import Tab
from durable_host.core.access import Permission
from durable_host.core.errors import InvalidInstanceIdError
from durable_host.core.names import check_instance_id

register = template.Library()

register.simple_tag(icons.icon, name="icon")
register.simple_tag(charts.sparkbars, name="sparkbars")
register.filter("duration", words.duration)
register.filter("size", words.size)
register.filter("compact", payload.compact)
register.filter("failure_text", payload.failure_text)


@register.filter
def thousands(value: int) -> str:
    """Return a number as ``1,234``."""
    return f"{value:,}"


# --- status and time -------------------------------------------------------------------------------------------------


@register.simple_tag
def status_badge(status: str, *, stalled: bool = False) -> SafeString:
    """Show a status as a badge; see :func:`dashboard.presenters.statuses.look`."""
    look = statuses.look(status, stalled=stalled)
    return format_html('<span class="badge tone-{}">{}{}</span>', look.tone, icons.icon(look.icon), look.label)


@register.simple_tag
def when(moment: datetime | None, form: str = "relative") -> SafeString:
    """Show a moment.

    Args:
        moment: when; nothing is shown for None.
        form: "relative" ("3 min ago", kept up to date), "exact", "time" (of the day) or "date". The tooltip is always
            exact, in the zone that the reader chose.
    """
    if moment is None:
        return SafeString("")
    local = timezone.localtime(moment)
    texts = {
        "relative": lambda: words.relative(moment, timezone.now()),
        "exact": lambda: f"{local:%Y-%m-%d %H:%M:%S}",
        "time": lambda: words.exact(local)[11:23],
        "date": lambda: f"{local:%Y-%m-%d}",
    }
    return format_html(
        '<time class="when" datetime="{}" title="{}" data-when="{}">{}</time>',
        moment.isoformat(), words.exact(local), form, texts[form](),
    )  # fmt: skip


@register.simple_tag
def took(value: timedelta | None) -> SafeString:
    """Show a duration, exact in its tooltip; nothing for None."""
    if value is None:
        return SafeString("")
    seconds = value.total_seconds()
    return format_html('<span class="number" title="{} s">{}</span>', f"{seconds:,.3f}", words.duration(value))


# --- text from outside -----------------------------------------------------------------------------------------------


@register.simple_tag
def plain(text: object, limit: int = 160) -> SafeString:
    """Show a text from outside: on its own direction, cut after so many characters; the tooltip has up to 1,000."""
    whole = "" if text is None else str(text)
    if len(whole) <= limit:
        return format_html('<bdi class="plain">{}</bdi>', whole)
    return format_html('<bdi class="plain" title="{}">{}…</bdi>', whole[:1000], whole[:limit])


@register.simple_tag
def instance_link(instance_id: str, text: str = "") -> SafeString:
    """Show a link to an instance; a long id ends in dots, whole in the tooltip.

    A text that cannot be an id, as the audit has of refused requests, is shown without a link.
    """
    try:
        check_instance_id(instance_id)
    except InvalidInstanceIdError:
        return format_html('<bdi class="id">{}</bdi>', text or instance_id)
    return format_html(
        '<a class="{}" href="{}" title="{}"><bdi>{}</bdi></a>',
        "instance-link" if text else "instance-link id",
        reverse("dashboard:instance", args=[instance_id]),
        instance_id,
        text or instance_id,
    )


@register.simple_tag
def copy(text: str, label: str = "Copy") -> SafeString:
    """Show a button that copies a short text; where scripts do not run, nothing."""
    return format_html(
        '<button type="button" class="copy" data-copy="{}" aria-label="{}" title="{}">{}</button>',
        text, label, label, icons.icon("copy"),
    )  # fmt: skip


@register.inclusion_tag("dashboard/parts/payload.html", takes_context=True, name="payload")
def payload_block(context: dict[str, Any], value: Any, label: str = "", more: str = "") -> dict[str, Any]:
    """Show a payload as indented JSON, with its size, to those who may see payloads.

    Args:
        context: the template's; its request says who looks.
        value: the payload; a ``str`` is shown as the JSON text that it is.
        label: what it is, as "Input".
        more: where the whole is, if it is cut.
    """
    if not can(context["request"], Permission.VIEW_PAYLOAD):
        return {"hidden": True, "label": label, "permission": Permission.VIEW_PAYLOAD.value}
    return {"shown": payload.show(value), "label": label, "more": more}


@register.inclusion_tag("dashboard/parts/payload.html", name="text_block")
def text_block(text: str, label: str = "", more: str = "") -> dict[str, Any]:
    """Show a longer plain text (a stack, a query, source) as :func:`payload_block`, to whoever sees the page."""
    return {"shown": payload.show_text(text), "label": label, "more": more}


@register.simple_tag(takes_context=True)
def payload_later(context: dict[str, Any], url: str, size: int | None = None, label: str = "Show") -> SafeString:
    """Show a button that loads a payload when somebody wants it; without scripts it leads to the page of it."""
    if not can(context["request"], Permission.VIEW_PAYLOAD):
        return SafeString('<span class="muted">hidden</span>')
    text = label if size is None else f"{label} ({words.size(size)})"
    return format_html(
        '<span class="payload-later"><a class="button small" href="{}" hx-get="{}" hx-target="closest .payload-later" '
        'hx-swap="outerHTML">{}{}</a></span>',
        url, url, icons.icon("eye"), text,
    )  # fmt: skip


# --- finding one's way -----------------------------------------------------------------------------------------------


@register.simple_tag
def breadcrumb(*parts: str) -> SafeString:
    """Show the way to this page: label and address in turn, then the label of the page itself."""
    pairs = list(zip(parts[:-1:2], parts[1::2], strict=True))
    items = format_html_join("", '<li><a href="{}"><bdi>{}</bdi></a></li>', ((url, label) for label, url in pairs))
    return format_html(
        '<nav class="breadcrumb" aria-label="Breadcrumb"><ol>{}<li aria-current="page"><bdi>{}</bdi></li></ol></nav>',
        items, parts[-1],
    )  # fmt: skip


@register.inclusion_tag("dashboard/parts/tabs.html", name="tabs")
def tab_list(tabs: Sequence[Tab], label: str) -> dict[str, Any]:
    """Show tabs; each is an address of its own."""
    return {"tabs": tabs, "label": label}


@register.inclusion_tag("dashboard/parts/pager.html")
def pager(newer: str = "", older: str = "", summary: str = "") -> dict[str, str]:
    """Show the way to the pages before and after; where there is none, nothing.

    Args:
        newer, older: their addresses; make them with Django's ``{% querystring %}``.
        summary: what is shown now, as "1 to 50".
    """
    return {"newer": newer, "older": older, "summary": summary}


@register.inclusion_tag("dashboard/parts/field.html")
def field(bound: Any) -> dict[str, Any]:
    """Show a form's field: label, input, help and errors, tied to one another for screen readers."""
    return {"field": bound}


@register.simple_tag(takes_context=True)
def navigation_links(context: dict[str, Any]) -> list[navigation.Link]:
    """Return the entries of the navigation for whoever looks."""
    return navigation.links_for(context["request"])


@register.simple_tag(takes_context=True)
def preferences(context: dict[str, Any]) -> Preferences:
    """Return what whoever looks has chosen."""
    request: HttpRequest | None = context.get("request")
    return preferences_of(request or HttpRequest())


# --- blocks ----------------------------------------------------------------------------------------------------------


@register.simple_block_tag
def live_region(content: str, live: Live, name: str = "region") -> SafeString:
    """Put what keeps itself up to date into ``<section id="live-…">``; see :mod:`dashboard.live`."""
    return format_html(
        '<section id="live-{}" class="live-region" data-live-url="{}" data-live-tag="{}"{}>{}</section>',
        name, live.url, live.tag, SafeString(" data-live-busy") if live.busy else "", content,
    )  # fmt: skip


@register.simple_block_tag
def empty(content: str, title: str, icon_name: str = "instances") -> SafeString:
    """Show that there is nothing, and in the block what to do about it."""
    return format_html('<div class="empty">{}<h2>{}</h2><div>{}</div></div>', icons.icon(icon_name), title, content)


_CALLOUT_ICONS = {"info": "info", "good": "check-circle", "warn": "warning", "bad": "x-circle", "pause": "pause"}


@register.simple_block_tag
def callout(content: str, tone: str = "info", title: str = "") -> SafeString:
    """Show a note that stands out; ``tone`` is info, good, warn, bad or pause."""
    heading = format_html("<strong>{}</strong>", title) if title else ""
    return format_html(
        '<div class="callout tone-{}">{}<div>{}{}</div></div>', tone, icons.icon(_CALLOUT_ICONS[tone]), heading, content
    )
