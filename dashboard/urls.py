"""Addresses of the dashboard: each family of pages brings its own."""

from django.urls import include, path

app_name = "dashboard"
urlpatterns = [
    path("", include("dashboard.views.overview")),
    path("", include("dashboard.views.instance")),
    path("", include("dashboard.views.instances")),
    path("", include("dashboard.views.instances_views")),
    path("", include("dashboard.views.operations")),
    path("", include("dashboard.views.actions")),
    path("", include("dashboard.views.approvals")),
    path("", include("dashboard.views.jump")),
    path("", include("dashboard.views.start")),
    path("", include("dashboard.views.workers")),
    path("", include("dashboard.views.telemetry")),
    path("", include("dashboard.views.audit")),
    path("", include("dashboard.views.account")),
]
