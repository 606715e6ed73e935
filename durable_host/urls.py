"""Addresses of the stand-alone host. django-rq adds its queue pages to the admin by itself."""

from django.contrib import admin
from django.urls import include, path

#: JSON for programs, Django's own page for people
handler400 = "durable_host.api.errors.bad_request"
handler403 = "dashboard.views.errors.forbidden"
handler404 = "dashboard.views.errors.not_found"
handler500 = "dashboard.views.errors.server_error"

urlpatterns = [
    # First: one of its addresses lies below the admin's.
    path("", include("durable_host.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("dashboard.urls")),
]
