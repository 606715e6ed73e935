"""The WSGI entry point of the stand-alone host."""

import os

from django.core.wsgi import get_wsgi_application

from durable_host.telemetry import pipeline

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "durable_host.settings")

# Before the application reads the list of its middleware: tracing requests adds one.
pipeline.start("web")

application = get_wsgi_application()
