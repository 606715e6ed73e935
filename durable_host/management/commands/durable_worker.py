"""``manage.py durable_worker``: runs turns and activities."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from durable_host.checks import TAG
from durable_host.conf import host_settings
from durable_host.dispatch.pool import run_workers


class Command(BaseCommand):
    """Start worker processes, each serving one queue, until they are told to stop."""

    help = "Run turns and activities. Stops on Ctrl-C or SIGTERM once what runs has ended, or after the grace period."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--processes", type=int, default=1, help="worker processes for each queue (1)")
        parser.add_argument(
            "--queues", nargs="+", metavar="NAME", help="queues to serve, one process each at least (the turn queue)"
        )
        parser.add_argument("--max-activities", type=int, help="activities that one process runs at a time")
        parser.add_argument("--burst", action="store_true", help="stop when nothing is left to do")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the workers in this process, or under RQ's supervisor where there are several."""
        queues = _split(options["queues"]) or [host_settings().turn_queue]
        unknown = [name for name in queues if name not in settings.RQ_QUEUES]
        if unknown:
            raise CommandError(
                f"No queue {', '.join(unknown)} in RQ_QUEUES. Known are: {', '.join(sorted(settings.RQ_QUEUES))}."
            )
        for option in ("processes", "max_activities"):
            if options[option] is not None and options[option] < 1:
                raise CommandError(f"--{option.replace('_', '-')} must be at least 1.")
        run_workers(queues, options["processes"], max_activities=options["max_activities"], until_idle=options["burst"])


def _split(names: list[str] | None) -> list[str]:
    return [part for name in names or () for part in name.split(",") if part]
