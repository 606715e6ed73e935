from django.db import migrations, models


class Migration(migrations.Migration):
    """Expands: added in place on both databases, without a default, which SQLite would copy the table for."""

    dependencies = [("durable_host", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="instance",
            name="history_bytes",
            field=models.BigIntegerField(blank=True, help_text="Bytes of the payloads in this history.", null=True),
        ),
    ]
