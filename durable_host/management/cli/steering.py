"""``raise-event``, ``terminate``, ``suspend``, ``resume``, ``rewind``, ``release`` and ``purge``."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace

from durable_host.client import DurableClient, InstanceFilter
from durable_host.core.status import FINISHED, RuntimeStatus

from .exits import CliError, Exit
from .looking import filter_of
from .values import read_json
from .waiting import wait_for
from .work import Work, print_status

_FINISHED = tuple(status for status in RuntimeStatus if status in FINISHED)
_COUNTED = 1000


def raise_event(work: Work, options: Namespace) -> None:
    """Send an external event."""
    data = read_json(options.data, f"The data of event {options.event_name!r}", "--data")
    work.client.raise_event(options.instance_id, options.event_name, data)
    work.screen.done(
        f"Sent event {options.event_name} to {options.instance_id}.",
        {"instanceId": options.instance_id, "operation": "raise-event", "eventName": options.event_name},
    )


def terminate(work: Work, options: Namespace) -> None:
    """End an instance without running its code."""
    work.client.terminate(options.instance_id, options.reason, recursive=not options.no_recurse)
    if options.wait:
        status = wait_for(work.client, work.screen, options.instance_id, options.timeout)
        print_status(work, status)
        if status.runtime_status is not RuntimeStatus.TERMINATED:
            raise CliError(
                f"Instance {options.instance_id!r} had {status.runtime_status.lower()} before it could be terminated.",
                Exit.CONFLICT,
                kind="NotTerminated",
            )
        return
    _asked(work, options.instance_id, "terminate", "A worker ends it with its next turn")


def suspend(work: Work, options: Namespace) -> None:
    """Pause an instance."""
    work.client.suspend(options.instance_id, options.reason)
    _asked(work, options.instance_id, "suspend", "A worker pauses it with its next turn; events are kept")


def resume(work: Work, options: Namespace) -> None:
    """Let a suspended instance go on."""
    work.client.resume(options.instance_id, options.reason)
    _asked(work, options.instance_id, "resume", "It goes on with its next turn")


def rewind(work: Work, options: Namespace) -> None:
    """Take a failed instance back to before its failure."""
    work.client.rewind(options.instance_id, options.reason)
    _asked(work, options.instance_id, "rewind", "It is running again from before its failure")


def release(work: Work, options: Namespace) -> None:
    """Have a stalled or parked instance tried again."""
    work.client.release(options.instance_id)
    _asked(work, options.instance_id, "release", "A worker tries it again now")


def _asked(work: Work, instance_id: str, operation: str, meaning: str) -> None:
    work.screen.done(
        f"{operation.capitalize()} {instance_id}: accepted. {meaning}.",
        {"instanceId": instance_id, "operation": operation},
    )


def purge(work: Work, options: Namespace) -> None:
    """Remove finished instances for good."""
    filter_ = filter_of(options)
    has_filter = filter_ != InstanceFilter()
    if bool(options.instance_id) == has_filter:
        raise CliError(
            "Say what to purge: an instance id, or at least one of --status, --name, --id-prefix, --tag and --before; "
            "not both."
        )
    if options.instance_id:
        removed = work.client.purge(options.instance_id)
    else:
        removed = _purge_by(work, filter_, confirmed=options.yes)
    work.screen.done(f"Removed {_instances(removed)}.", {"operation": "purge", "removed": removed})


def _purge_by(work: Work, filter_: InstanceFilter, *, confirmed: bool) -> int:
    unfinished = [status for status in filter_.statuses if status not in FINISHED]
    if unfinished:
        raise CliError(
            f"{', '.join(unfinished)}: such instances have not finished. Only {', '.join(_FINISHED)} can be purged; "
            f"terminate others first."
        )
    if not confirmed:
        _confirm(work, replace(filter_, statuses=filter_.statuses or _FINISHED))
    return work.client.purge_by(filter_)


def _confirm(work: Work, filter_: InstanceFilter) -> None:
    if work.screen.as_json or not sys.stdin.isatty():
        raise CliError("To purge by filter without being asked, add --yes. Nothing was removed.")
    found, more = _count(work.client, filter_)
    if not found:
        return
    question = f"Remove {_instances(found, more)} for good, with all history and sub-orchestrations? [y/N] "
    work.screen.err.print(question, end="", style="bold")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CliError("Nothing was removed.", Exit.INTERRUPTED, kind="Interrupted")


def _count(client: DurableClient, filter_: InstanceFilter) -> tuple[int, bool]:
    page = client.query(filter_, page_size=_COUNTED)
    return len(page.items), page.continuation is not None


def _instances(number: int, more: bool = False) -> str:
    return f"{'more than ' if more else ''}{number:,} instance{'' if number == 1 else 's'}"
