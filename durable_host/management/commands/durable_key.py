"""``manage.py durable_key``: keys for programs that use the HTTP API."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from durable_host.conf import host_settings
from durable_host.core.access import Scope
from durable_host.core.errors import BadRequestError
from durable_host.store import keys
from durable_host.store.keys import KeyInfo

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class Command(BaseCommand):
    """Make, list and revoke keys. A key is shown once, when it is made."""

    help = "Make, list and revoke keys of the HTTP API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        subcommands = parser.add_subparsers(dest="subcommand", required=True, metavar="create|list|revoke")
        create = subcommands.add_parser("create", help="make a key and show it, this once")
        create.add_argument("name", help="whose key it is, as in the audit")
        create.add_argument(
            "--scope",
            action="append",
            choices=list(Scope),
            metavar="SCOPE",
            help=f"what it allows: {', '.join(Scope)}; may be repeated (all of them)",
        )
        create.add_argument("--orchestrators", default="", metavar="PATTERN", help="only these, as invoice_* (all)")
        create.add_argument(
            "--expires", type=_expiry, metavar="WHEN", help="after 12h, 30d, 8w, or at an ISO time (never)"
        )
        subcommands.add_parser("list", help="show the keys, never their secrets").add_argument(
            "--json", action="store_true", help="as JSON"
        )
        subcommands.add_parser("revoke", help="take a key back").add_argument("name", help="the key")

    def handle(self, *args: Any, **options: Any) -> None:
        """Carry out one subcommand."""
        hub = host_settings().task_hub
        try:
            if options["subcommand"] == "create":
                self._create(hub, options)
            elif options["subcommand"] == "list":
                self._list(hub, as_json=options["json"])
            else:
                keys.revoke(hub, options["name"])
                self.stdout.write(f"Key {options['name']!r} opens nothing any more.")
        except BadRequestError as error:
            raise CommandError(str(error)) from error

    def _create(self, hub: str, options: dict[str, Any]) -> None:
        scopes = {Scope(scope) for scope in options["scope"] or Scope}
        pattern, expires_at = options["orchestrators"], options["expires"]
        _, text = keys.create(hub, options["name"], scopes, name_pattern=pattern, expires_at=expires_at)
        # The key alone on standard output: KEY=$(manage.py durable_key create …)
        self.stderr.write("Keep it now: only its hash is stored, it cannot be shown again.")
        self.stdout.write(text)

    def _list(self, hub: str, *, as_json: bool) -> None:
        rows = [_row(key) for key in keys.list_all(hub)]
        if as_json:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in rows:
            self.stdout.write("  ".join(f"{name}={value}" for name, value in row.items() if value))
        if not rows:
            self.stderr.write("There is no key. manage.py durable_key create NAME makes one.")


def _row(key: KeyInfo) -> dict[str, str | None]:
    times = {"created": key.created_at, "expires": key.expires_at, "lastUsed": key.last_used_at}
    return {
        "name": key.name,
        "id": key.public_id,
        "state": "revoked" if key.is_revoked else "expired" if key.is_expired else "active",
        "scopes": ",".join(scope for scope in Scope if scope in key.scopes),
        "orchestrators": key.name_pattern or None,
        **{name: when.isoformat(timespec="seconds") if when else None for name, when in times.items()},
    }


def _expiry(text: str) -> datetime:
    """Read ``30d`` or an ISO time."""
    number, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS and number.isdigit():
            return timezone.now() + timedelta(**{_UNITS[unit]: int(number)})
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is neither a length as 12h, 30d, 8w nor an ISO time") from error
