from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def leave_room(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Have PostgreSQL leave half of every page of instances free, so that a turn's updates touch no index.

    It holds for pages that are filled from now on, and takes no lock that a worker would wait for.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE durable_host_instance SET (fillfactor = 50)")


def fill_up(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Undo it."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE durable_host_instance RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [
        ("durable_host", "0003_abandoned_activities"),
    ]

    operations = [
        migrations.RunPython(leave_room, fill_up),
    ]
