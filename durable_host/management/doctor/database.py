"""The database: whether it answers, keeps what it is given, and has the tables that this code needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import connection

from durable_host.store import clock, diagnosis, outage

from .findings import Finding, bad, good, warn

_LEAST_FREE = 500_000_000
_LEAST_BUSY_MS = 5_000
_CLOCKS_APART = timedelta(seconds=1)
_OPTIONS = (
    'OPTIONS: {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"}'
)


def examine() -> Iterator[Finding]:
    """Look at the database.

    Raises:
        OperationalError, InterfaceError: it does not serve.
    """
    outage.ping()
    found = diagnosis.database_settings()
    if connection.vendor == "postgresql":
        yield good(f"PostgreSQL {found['server_version']} answers.")
        yield from _postgresql(found)
        yield from _clocks()
    else:
        yield good(f"SQLite {found['sqlite_version']} answers: {connection.settings_dict['NAME']}")
        yield from _sqlite(found)
    yield from _migrations()


def away(error: BaseException) -> Finding:
    """Return what is said where it does not serve: nothing else can be looked at then."""
    return bad(
        f"The database does not serve: {str(error).strip() or type(error).__name__}",
        "Nothing starts, nothing goes on, every page and call is answered by 503. What was committed is safe, and all "
        "goes on by itself when the database is back.",
        "See that its server runs and that DATABASE_URL names it; then run this again.",
    )


def _postgresql(found: dict[str, str]) -> Iterator[Finding]:
    if found["is_replica"] == "on" or found["default_transaction_read_only"] == "on":
        yield bad(
            "This is a replica, or read-only.",
            "Nothing can be written, and a replica tells what was, not what is.",
            "Point DATABASE_URL at the primary.",
        )
    durable = {name: found[name] for name in ("fsync", "full_page_writes", "synchronous_commit")}
    if unsafe := [name for name, value in durable.items() if value == "off"]:
        yield bad(
            f"PostgreSQL runs with {' and '.join(f'{name}=off' for name in unsafe)}.",
            "A power cut can lose turns whose activities have already acted: they would act again.",
            "\n".join(f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();" for name in unsafe),
        )
    else:
        yield good(f"What is committed stays: {', '.join(f'{name}={value}' for name, value in durable.items())}.")
    if found["server_encoding"] != "UTF8":
        yield bad(
            f"The database is encoded in {found['server_encoding']}.",
            "Inputs and results are Unicode; some could not be stored.",
            "Make a database with ENCODING 'UTF8', and move the data.",
        )
    if found["autovacuum"] == "off":
        yield warn(
            "autovacuum is off.",
            "Every turn leaves dead rows: the tables grow, and queries slow down.",
            "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();",
        )
    if found["default_transaction_isolation"] != "read committed":
        yield warn(
            f"Transactions are {found['default_transaction_isolation']} by default.",
            "The fences are made for READ COMMITTED; stricter levels fail turns that would have gone through.",
            "ALTER DATABASE … SET default_transaction_isolation = 'read committed';",
        )


def _clocks() -> Iterator[Finding]:
    ahead = clock.ahead()
    if ahead is None or abs(ahead) <= _CLOCKS_APART:
        yield good("This machine's clock and the database server's agree.")
        return
    yield warn(
        f"This machine's clock is {abs(ahead).total_seconds():.1f} s {'ahead of' if ahead > timedelta() else 'behind'} "
        f"the database server's.",
        "What is started from here bears this clock's time, and 'in two hours' is meant by it.",
        "Have NTP set both clocks (timedatectl status).",
    )


def _sqlite(found: dict[str, str]) -> Iterator[Finding]:
    mode = settings.DATABASES["default"].get("OPTIONS", {}).get("transaction_mode")
    wanted = {
        "journal_mode is wal": found["journal_mode"] == "wal",
        "synchronous is FULL": found["synchronous"] in ("2", "3"),
        f"busy_timeout is {_LEAST_BUSY_MS} ms or more": int(found["busy_timeout"]) >= _LEAST_BUSY_MS,
        "transaction_mode is IMMEDIATE": mode == "IMMEDIATE",
    }
    if missing := [name for name, is_so in wanted.items() if not is_so]:
        yield bad(
            f"SQLite is not set up for several processes and power cuts: not true that {', '.join(missing)}.",
            "Writers that meet fail with 'database is locked', or a power cut loses turns whose activities have acted.",
            f'In DATABASES["default"]: {_OPTIONS}',
        )
    else:
        yield good("SQLite keeps what is committed and lets processes wait for each other (WAL, FULL, IMMEDIATE).")
    free = diagnosis.free_disk()
    if free is not None and free < _LEAST_FREE:
        yield warn(
            f"{free / 1e6:,.0f} MB are left on the disk of the database.",
            "When it is full, nothing starts and nothing goes on; reading still works.",
            "Free some, or set RETENTION so that old instances are removed (docs/operations.md).",
        )


def _migrations() -> Iterator[Finding]:
    missing = outage.missing_migrations()
    if not missing:
        yield good("All migrations have run.")
        return
    yield bad(
        f"{len(missing)} migrations have not run: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}",
        "This code asks for tables and columns that are not there.",
        "manage.py migrate (workers may go on working meanwhile)",
    )
