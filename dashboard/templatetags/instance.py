"""What the pages of one instance draw with. ``{% load instance %}``."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from dashboard.icons import icon
from dashboard.presenters import sequence_svg, statuses, timeline_svg
from dashboard.presenters.acts import Act, ActKind
from dashboard.presenters.timeline import Group, Row, Timeline
from dashboard.views.instance_head import Head, tab_url

register = template.Library()

register.simple_tag(timeline_svg.axis, name="timeline_axis")
register.simple_tag(sequence_svg.draw, name="sequence_picture")

_ICONS = {
    ActKind.LIFECYCLE: "instances",
    ActKind.ACTIVITY: "activity",
    ActKind.SUB_ORCHESTRATION: "sub",
    ActKind.TIMER: "timer",
    ActKind.WAIT: "bolt",
    ActKind.EVENT: "bolt",
    ActKind.SENT: "arrow-right",
    ActKind.SUSPENSION: "pause",
}


@register.simple_tag
def timeline_bars(row: Row | Group, picture: Timeline) -> SafeString:
    """Show the bars of one row."""
    return timeline_svg.row_picture(row, picture.scale)


@register.simple_tag
def act_icon(act: Act | Group) -> SafeString:
    """Show what kind of thing it is."""
    return icon(_ICONS[act.kind], act.kind.value)


@register.simple_tag
def outcome_word(outcome: str) -> str:
    """Return an outcome in a word, in lower case."""
    return statuses.look(outcome).label.lower()


@register.simple_tag
def event_url(head: Head, sequence: int) -> str:
    """Return where one event is shown."""
    return tab_url(head, "instance-event", sequence)


@register.simple_tag
def group_url(head: Head, group: Group, outcome: str = "") -> str:
    """Return where the calls of one function are shown one by one."""
    chosen = {"outcome": outcome} if outcome else {}
    return tab_url(head, "instance", kind=group.kind.value, name=group.name, **chosen)


@register.simple_tag
def tab_address(head: Head, name: str) -> str:
    """Return the address of a page of the instance, on the execution that is shown."""
    return tab_url(head, name)


@register.simple_tag
def raw_address(head: Head, what: str) -> str:
    """Return where a payload can be downloaded."""
    return tab_url(head, "instance-raw", what)
