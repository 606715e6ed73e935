"""The fields of typed forms. ``{% load typed_forms %}``; see :mod:`dashboard.forms.schema`."""

from __future__ import annotations

from typing import Any

from django import template

from dashboard.forms.nodes import Node
from dashboard.forms.schema import PRESS, BoundForm

register = template.Library()


@register.inclusion_tag("dashboard/forms/fields.html")
def typed_fields(bound: BoundForm) -> dict[str, Any]:
    """Show all fields of a form."""
    return {"bound": bound, "node": bound.root}


@register.inclusion_tag("dashboard/forms/summary.html")
def error_summary(*forms: BoundForm) -> dict[str, Any]:
    """Show what is wrong in forms, with the way to each field; nothing where nothing is."""
    return {"errors": [error for form in forms for error in form.summary]}


@register.inclusion_tag("dashboard/forms/toggle.html")
def json_toggle(bound: BoundForm) -> dict[str, Any]:
    """Show the button that turns a form into JSON, or back."""
    return {"bound": bound, "press": PRESS}


@register.inclusion_tag("dashboard/forms/node.html")
def typed_node(node: Node) -> dict[str, Any]:
    """Show one field, with all that is in it."""
    return {"node": node, "press": PRESS}
