#!/usr/bin/env python
"""Django's command line, for the stand-alone host."""

import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "durable_host.settings")
    if sys.argv[1:2] == ["durable_run"]:
        # The one-command run is local by definition, whichever database it was given.
        os.environ.setdefault("DURABLE_EMBEDDED", "1")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration error: {error}")


if __name__ == "__main__":
    main()
