"""The store's clock: the database server's, which all workers of a hub share, whatever their own machines say.

A worker asks the server for the time once in a sweep and counts on from there by the monotonic clock, which nobody
sets. So a machine whose clock is wrong, or jumps, fires no timer early and ends no lease of others. Between two looks a
machine that was suspended is behind at most, never ahead. SQLite serves one machine: its clock is that machine's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from . import sql


@dataclass(frozen=True, slots=True)
class _Seen:
    """A time of the server, and the monotonic clock when it was known."""

    at: datetime
    monotonic: float


class _Followed:
    #: None: nobody has asked, or there is no server
    seen: _Seen | None = None


def now() -> datetime:
    """Return the time, UTC."""
    seen = _Followed.seen
    if seen is None:
        return machine_now()
    return seen.at + timedelta(seconds=time.monotonic() - seen.monotonic)


def machine_now() -> datetime:
    """Return what this machine takes for the time."""
    return timezone.now()


def synchronise() -> timedelta | None:
    """Follow the database server's clock from now on; return by how much this machine's is ahead of it.

    None where there is no server. What the answer took on its way is left out: the clock is rather behind than ahead.
    """
    measured = _ask()
    if measured is None:
        return None
    _Followed.seen, ahead = measured
    return ahead


def ahead() -> timedelta | None:
    """Return by how much this machine's clock is ahead of the database server's; None where there is no server."""
    measured = _ask()
    return None if measured is None else measured[1]


def _ask() -> tuple[_Seen, timedelta] | None:
    if not sql.is_postgresql():
        return None
    before = machine_now()
    ((at,),) = sql.rows("SELECT clock_timestamp()", ())
    seen = _Seen(at, time.monotonic())
    return seen, before + (machine_now() - before) / 2 - seen.at
