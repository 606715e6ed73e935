"""What the dashboard adds to the Django admin: starting from the list of instances, and the ways between both."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.access import can
from dashboard.forms.start import StartForm
from dashboard.views import start as pages
from durable_host.admin import InstanceAdmin
from durable_host.core.access import Permission
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.registry import OrchestratorSpec
from durable_host.models import Instance

admin.site.unregister(Instance)


@admin.register(Instance)
class StartingInstanceAdmin(InstanceAdmin):
    """Instances, with the way to the dashboard; and the same form as there, to start one."""

    list_display = (InstanceAdmin.list_display[0], "page_link", *InstanceAdmin.list_display[1:])
    readonly_fields = (*InstanceAdmin.readonly_fields, "page_link")
    change_list_template = "admin/durable_host/instance/change_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let those start who may: it is the same right."""
        return can(request, Permission.START)

    def get_urls(self) -> list[URLPattern]:
        """Add the form of each orchestrator below the catalogue, which is the page to add an instance."""
        own = path("add/<str:name>/", self.admin_site.admin_view(self.start_view), name="durable_host_instance_start")
        return [own, *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what can be started."""
        pages.require_start(request)
        return self._page(request, "catalogue.html", "Start orchestration", pages.catalogue(request))

    def start_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show the form of one orchestrator, and start it."""
        try:
            return self._start(request, pages.spec_of(name))
        except InstanceNotFoundError as error:
            raise Http404(str(error)) from error

    def _start(self, request: HttpRequest, spec: OrchestratorSpec) -> HttpResponse:
        title = f"Start {spec.name}"
        if request.method != "POST":
            pages.require_start(request)
            return self._page(request, "form.html", title, pages.page_of(request, pages.shown_form(request, spec)))
        form = StartForm.posted(spec, request.POST)
        if form.is_edit:
            pages.require_start(request)
            return self._page(request, "form.html", title, pages.page_of(request, form))
        started = form.start(request, detail=pages.detail_of(request))
        if started is None:
            return self._page(request, "form.html", title, pages.page_of(request, form), status=422)
        where = reverse("dashboard:instance", args=[started.instance_id])
        link = format_html('<a href="{}">{}</a>', where, started.instance_id)
        self.message_user(request, format_html("{} {}.", started.said, link), messages.SUCCESS)
        return redirect("admin:durable_host_instance_changelist")

    def _page(
        self, request: HttpRequest, template: str, title: str, values: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        context = {**self.admin_site.each_context(request), **values, "title": title, "opts": self.opts}
        return TemplateResponse(request, f"admin/durable_host/instance/{template}", context, status=status)

    @admin.display(description="dashboard")
    def page_link(self, one: Instance) -> SafeString:
        """Lead to its page."""
        return format_html('<a href="{}">Open</a>', reverse("dashboard:instance", args=[one.instance_id]))
