"""The dashboard as a Django application."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Pages over the instances of the durable host."""

    name = "dashboard"
    verbose_name = "Durable dashboard"
