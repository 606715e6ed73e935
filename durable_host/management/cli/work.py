"""What every subcommand works with, and how a wait ends."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

from durable_host.client import DurableClient
from durable_host.core.errors import InstanceNotFoundError
from durable_host.core.status import RuntimeStatus
from durable_host.store.shapes import OrchestrationStatus

from .exits import CliError, Exit
from .machine import status_json
from .screen import Screen
from .views import show_status
from .waiting import wait_for


@dataclass(frozen=True, slots=True)
class Work:
    """The client, and where results go."""

    client: DurableClient
    screen: Screen


Handler = Callable[[Work, Namespace], None]


def status_of(work: Work, instance_id: str) -> OrchestrationStatus:
    """Return the status of an instance.

    Raises:
        InstanceNotFoundError: there is no such instance.
    """
    status = work.client.get_status(instance_id)
    if status is None:
        raise InstanceNotFoundError(instance_id)
    return status


def print_status(work: Work, status: OrchestrationStatus, *, with_input: bool = True) -> None:
    """Print what is known of an instance."""
    if work.screen.as_json:
        work.screen.json(status_json(status, with_input=with_input))
    else:
        show_status(work.screen, status, with_input=with_input)


def wait_and_print(work: Work, instance_id: str, timeout: float | None, *, with_input: bool = True) -> None:
    """Wait for the end of an instance, print it, and end the command as the instance ended.

    Raises:
        CliError: it failed or was terminated; the time is over; somebody pressed Ctrl-C.
    """
    status = wait_for(work.client, work.screen, instance_id, timeout)
    print_status(work, status, with_input=with_input)
    if status.runtime_status is RuntimeStatus.FAILED:
        raise CliError(
            f"Instance {instance_id!r} has failed: {status.failure}", Exit.FAILED, kind="OrchestrationFailed"
        )
    if status.runtime_status is not RuntimeStatus.COMPLETED:
        raise CliError(
            f"Instance {instance_id!r} was {status.runtime_status.lower()}.",
            Exit.TERMINATED,
            kind="OrchestrationTerminated",
        )
