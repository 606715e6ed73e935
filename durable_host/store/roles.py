"""The groups through which people get their rights."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.apps import apps as every_app
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import router

from durable_host.core.access import ROLES, Permission


def make_groups(app_config: AppConfig, *, using: str, apps: Apps = every_app, **kwargs: Any) -> None:
    """Make the groups of :data:`~durable_host.core.access.ROLES` that are missing; a ``post_migrate`` receiver.

    A group that is there is left as it is: its administrators may have given it more, or less. Unlike a data migration
    this also works where the host is one application of a project whose tables are migrated in an order of their own.
    """
    try:
        group, permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:  # a project with users of another kind
        return
    if not router.allow_migrate_model(using, group):
        return
    known = set(group.objects.using(using).filter(name__in=ROLES).values_list("name", flat=True))
    if known == set(ROLES):
        return
    # Django's own receiver may come after this one.
    create_permissions(app_config, using=using, apps=apps, verbosity=0)
    ours = permission.objects.using(using).filter(content_type__app_label=app_config.label)
    by_codename = {one.codename: one for one in ours}
    if not {one.codename for one in Permission} <= by_codename.keys():
        return  # the tables of an earlier version, or none: a migration went back
    for name in ROLES.keys() - known:
        made = group.objects.using(using).create(name=name)
        made.permissions.set(by_codename[one.codename] for one in ROLES[name])
