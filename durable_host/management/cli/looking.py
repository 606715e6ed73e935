"""``get-status``, ``get-history`` and ``list``: they change nothing."""

from __future__ import annotations

from argparse import Namespace

from durable_host.client import DurableClient, InstanceFilter, OrchestrationStatus
from durable_host.core.digest import digest
from durable_host.core.events import HistoryEvent

from .exits import CliError, Exit
from .machine import entry_json, event_json, status_json
from .screen import shown
from .values import tags
from .views import show_digest, show_events, show_list
from .words import status_text
from .work import Work, print_status, status_of, wait_and_print

_LARGEST_PAGE = 1000


def get_status(work: Work, options: Namespace) -> None:
    """Print what is known of an instance."""
    if options.wait:
        wait_and_print(work, options.instance_id, options.timeout, with_input=not options.no_input)
    else:
        print_status(work, status_of(work, options.instance_id), with_input=not options.no_input)


def get_history(work: Work, options: Namespace) -> None:
    """Print the history of one execution."""
    status = status_of(work, options.instance_id)
    execution = status.generation if options.execution is None else options.execution
    events = work.client.get_history(options.instance_id, generation=execution)
    if not events and execution != status.generation:
        raise CliError(
            f"Execution {execution} of instance {options.instance_id!r} is not there: the latest is "
            f"{status.generation}, and a continue-as-new keeps only the one before it.",
            Exit.NOT_FOUND,
            kind="ExecutionNotFound",
        )
    if work.screen.as_json:
        work.screen.json(_history_json(options, execution, events))
        return
    _history_title(work, status, execution)
    if not events:
        work.screen.note("No history yet: no worker has taken it.")
    elif options.all:
        show_events(work.screen, events, payloads=options.payloads)
    else:
        found = digest(events)
        show_digest(work.screen, found, payloads=options.payloads)
        work.screen.gap()
        work.screen.note(f"{found.markers} turn markers are not shown; --all shows every event.")


def _history_title(work: Work, status: OrchestrationStatus, execution: int) -> None:
    screen = work.screen
    if screen.is_plain:
        return
    title = status_text(screen, status.runtime_status) + "  " + shown(status.name, "bold") + "  "
    title += shown(status.instance_id)
    if status.generation:
        title += shown(f"  execution {execution} of 0…{status.generation}", "dim")
    screen.line(title)
    screen.line()


def _history_json(options: Namespace, execution: int, events: list[HistoryEvent]) -> dict[str, object]:
    head: dict[str, object] = {"instanceId": options.instance_id, "execution": execution}
    if options.all:
        return head | {"events": [event_json(event, payloads=options.payloads) for event in events]}
    found = digest(events)
    entries = [entry_json(entry, payloads=options.payloads) for entry in found.entries]
    return head | {"entries": entries, "hiddenMarkers": found.markers}


def filter_of(options: Namespace) -> InstanceFilter:
    """Return the filter that the options describe."""
    return InstanceFilter(
        statuses=tuple(options.statuses),
        name=options.name,
        instance_id_prefix=options.id_prefix,
        tags=tags(options.tags),
        created_from=options.since,
        created_to=options.until,
    )


def list_(work: Work, options: Namespace) -> None:
    """Print the instances that a filter means, newest first."""
    items, continuation = _pages(work.client, filter_of(options), options.limit, options.continuation)
    if work.screen.as_json:
        shown_items = [status_json(item, with_input=False) for item in items]
        work.screen.json({"items": shown_items, "continuation": continuation})
        return
    if items:
        show_list(work.screen, items)
    else:
        work.screen.note("No instance matches." if options.continuation is None else "No more.")
    if continuation:
        work.screen.gap()
        work.screen.note(f"There are more: --limit N, or --continuation {continuation}")


def _pages(
    client: DurableClient, filter_: InstanceFilter, limit: int, continuation: str | None
) -> tuple[list[OrchestrationStatus], str | None]:
    items: list[OrchestrationStatus] = []
    while True:
        size = min(_LARGEST_PAGE, limit - len(items))
        page = client.query(filter_, page_size=size, continuation=continuation)
        items += page.items
        continuation = page.continuation
        if continuation is None or len(items) >= limit:
            return items, continuation
