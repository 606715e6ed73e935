"""Start-up: registers the orchestrators and activities of the project."""

from __future__ import annotations

import importlib
import pkgutil

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class DurableHostConfig(AppConfig):
    """The engine's Django application."""

    name = "durable_host"
    verbose_name = "Durable orchestrations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import every module that declares orchestrators, here and in the ``orchestrations`` of installed apps."""
        from . import checks  # noqa: F401  settings are complete only now
        from .conf import host_settings
        from .core.registry import default_registry
        from .durable_http.activity import register
        from .store.roles import make_groups

        register(default_registry)
        post_migrate.connect(make_groups, sender=self)
        autodiscover_modules("orchestrations")
        for name in host_settings().modules:
            _import_all(name)


def _import_all(name: str) -> None:
    module = importlib.import_module(name)
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        importlib.import_module(found.name)
