"""Questions to people, for pages of others. ``{% load approvals %}{% answer_box wait %}``."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils import timezone

from dashboard.forms.approvals import AnswerForm
from dashboard.presenters import approvals as presenter
from dashboard.views.approvals import is_asked, may_decide
from durable_host.core.access import Permission
from durable_host.store.approvals import OpenWait

register = template.Library()
register.filter("answer_look", presenter.answer_look)
register.filter("listed", presenter.listed)


@register.inclusion_tag("dashboard/approvals/_box.html", takes_context=True)
def answer_box(context: dict[str, Any], wait: OpenWait) -> dict[str, Any]:
    """Show a question on the page of its instance: with its buttons for those who may press them.

    Args:
        context: the template's; its request says who looks.
        wait: the question.
    """
    request = context["request"]
    return {
        "wait": wait,
        "form": AnswerForm(wait) if may_decide(request, wait) else None,
        "is_asked": is_asked(request, wait),
        "permission": Permission.RAISE_EVENT.value,
        "csrf_token": context.get("csrf_token"),
        "request": request,
        "perms": context.get("perms"),
        "is_overdue": wait.is_overdue(timezone.now()),
        "back": "instance",
    }
