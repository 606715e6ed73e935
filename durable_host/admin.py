"""The Django admin's pages: API keys are made and revoked there, everything else is for reading.

Tables may have millions of rows: nothing counts them, sorts them otherwise than an index does, or lists their values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .conf import host_settings
from .core.access import Permission, Scope
from .core.errors import BadRequestError
from .core.registry import default_registry
from .models import ApiKey, AuditRecord, BatchOperation, HistoryEvent, Instance, SavedView, WorkerState
from .store import keys
from .store.filters import indexed
from .store.shapes import InstanceFilter

_MOST_LISTED = 1_000


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What somebody says of a new key; its secret is made by the host."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope], widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "name_pattern", "expires_at")

    def clean(self) -> dict[str, Any]:
        """Say at the form what the key's maker would refuse."""
        data = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                keys.check(host_settings().task_hub, data["name"], data["name_pattern"], data["expires_at"])
            except BadRequestError as error:
                raise forms.ValidationError(str(error)) from error
        return data


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Keys: made, shown once, revoked; never changed."""

    form = ApiKeyForm
    list_display = (
        "name",
        "public_id",
        "scopes",
        "name_pattern",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    list_filter = ("revoked_at",)
    search_fields = ("name", "public_id")
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Let nobody change a key: lists and actions need the right, forms have no use for it."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Keep keys: the audit names them. They are revoked instead."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key."""
        data = form.cleaned_data
        scopes = {Scope(scope) for scope in data["scopes"]}
        info, text = keys.create(
            host_settings().task_hub,
            data["name"],
            scopes,
            name_pattern=data["name_pattern"],
            expires_at=data["expires_at"],
        )
        obj.pk, request.META["durable_new_key"] = info.pk, text

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key, this once. It goes into no message: those travel in cookies."""
        context = {**self.admin_site.each_context(request), "title": obj.name, "key": request.META["durable_new_key"]}
        return TemplateResponse(
            request, "admin/durable_host/apikey/made.html", context, headers={"Cache-Control": "no-store"}
        )

    @admin.action(description="Revoke the chosen keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Take keys back."""
        for key in queryset:
            keys.revoke(key.hub, key.name)
        self.message_user(request, "They open nothing any more.", messages.SUCCESS)


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic when it runs
    """Pages of the first rows. What comes after is found by searching: nobody turns a thousand pages."""

    @cached_property
    def count(self) -> int:
        """How many there are, up to a limit."""
        rows: Any = self.object_list
        return len(rows.values_list("pk")[:_MOST_LISTED]) if isinstance(rows, QuerySet) else len(rows)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows of this host's task hub, for reading."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    change_list_template = "admin/durable_host/change_list.html"
    #: what one needs to look; by default Django's own permission for the table
    needed: Permission | None = None
    #: fields that only those see who may see payloads
    payloads: frozenset[str] = frozenset()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the hub."""
        return super().get_queryset(request).filter(hub=host_settings().task_hub)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Leave out what the user may not see."""
        shown = list(super().get_fields(request, obj))
        is_allowed = request.user.has_perm(Permission.VIEW_PAYLOAD.value)
        return shown if is_allowed else [name for name in shown if name not in self.payloads]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Say how many rows a list has at most."""
        return super().changelist_view(request, {"most_listed": _MOST_LISTED, **(extra_context or {})})

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let those look who may see the same in the dashboard."""
        if self.needed is None:
            return super().has_view_permission(request, obj)
        return request.user.has_perm(self.needed.value)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let nobody write."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let nobody write."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let nobody write."""
        return False


class OrchestratorFilter(admin.SimpleListFilter):
    """One orchestrator, of those that are registered: the names in the table are not looked through."""

    title = "orchestrator"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the registered names."""
        return [(name, name) for name in sorted(default_registry.orchestrators)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return its instances."""
        return queryset if self.value() is None else queryset.filter(name=self.value())


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    """Instances, newest first; found by the beginning of their id."""

    list_display: tuple[Any, ...] = ("instance_id", "status", "name", "version", "created_at", "completed_at")
    list_filter = ("status", OrchestratorFilter)
    search_fields = ("instance_id",)
    search_help_text = "The beginning of an instance id."
    ordering = ("-created_at", "-pk")
    payloads = frozenset({"custom_status", "output"})
    raw_id_fields = ("parent",)
    readonly_fields: ClassVar[tuple[Any, ...]] = ("history_link",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Look for the beginning of an id, which an index serves."""
        if not search_term.strip():
            return queryset, False
        found = indexed(host_settings().task_hub, InstanceFilter(instance_id_prefix=search_term.strip()))
        return queryset.filter(pk__in=found.values("pk")), False

    @admin.display(description="history")
    def history_link(self, one: Instance) -> SafeString:
        """Lead to its events."""
        query = urlencode({"q": one.instance_id})
        return format_html(
            '<a href="{}?{}">Show its events</a>', reverse("admin:durable_host_historyevent_changelist"), query
        )


@admin.register(HistoryEvent)
class HistoryEventAdmin(ReadOnlyAdmin):
    """Events of the histories, newest first; those of one instance by its id."""

    needed = Permission.VIEW
    list_display = ("__str__", "instance", "generation", "timestamp", "task_id", "name")
    list_select_related = ("instance",)
    search_fields = ("instance__instance_id",)
    search_help_text = "A whole instance id."
    ordering = ("-pk",)
    payloads = frozenset({"payload", "detail"})
    raw_id_fields = ("instance",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return all events: the hub is the instances'."""
        return admin.ModelAdmin.get_queryset(self, request).filter(instance__hub=host_settings().task_hub)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Look for the events of one instance, in their order."""
        if not search_term.strip():
            return queryset, False
        own = indexed(host_settings().task_hub, InstanceFilter()).filter(instance_id=search_term.strip())
        # First the instance: its number leads into the index of the events.
        return queryset.filter(instance_id=own.values_list("pk", flat=True).first()), False


@admin.register(SavedView)
class SavedViewAdmin(ReadOnlyAdmin):
    """Lists that people have saved; they change them in the dashboard."""

    list_display = ("name", "owner", "is_shared", "query")
    list_filter = ("is_shared",)
    search_fields = ("name", "owner")


@admin.register(BatchOperation)
class BatchOperationAdmin(ReadOnlyAdmin):
    """Operations on many instances."""

    needed = Permission.VIEW
    list_display = ("public_id", "operation", "actor", "created_at", "finished_at", "done", "skipped", "failed")
    list_filter = ("operation",)
    search_fields = ("public_id", "actor")
    ordering = ("-pk",)
    payloads = frozenset({"event_data"})


@admin.register(WorkerState)
class WorkerStateAdmin(ReadOnlyAdmin):
    """Workers as they last showed themselves."""

    needed = Permission.VIEW
    list_display = ("name", "queue", "hostname", "pid", "version", "started_at", "seen_at", "left_at")
    search_fields = ("name", "hostname")
    ordering = ("queue", "-started_at")


class ActorKindFilter(admin.SimpleListFilter):
    """How somebody showed who they are."""

    title = "kind of actor"
    parameter_name = "actor_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the kinds."""
        return [(kind, kind) for kind in ("user", "key", "token", "local", "anonymous")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the records of one kind."""
        return queryset if self.value() is None else queryset.filter(actor_kind=self.value())


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    """The audit, for reading."""

    list_display = ("at", "actor_kind", "actor", "address", "operation", "target", "instance_id", "outcome", "detail")
    list_filter = ("outcome", "operation", ActorKindFilter)
    search_fields = ("instance_id", "actor")
    ordering = ("-at", "-pk")
    payloads = frozenset({"answer"})
