"""The addresses of another project's site, which has the dashboard below a path of its own and no HTTP API."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("durable/", include("dashboard.urls")),
]
