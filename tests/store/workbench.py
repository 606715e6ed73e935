"""What the tests of the store share: functions of their own, hosts, and a look at the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from django.db import connection

from durable_host import RuntimeStatus
from durable_host.client import DurableClient
from durable_host.conf import host_settings
from durable_host.core.events import HistoryEvent as Event
from durable_host.core.registry import Registry
from durable_host.dispatch.host import Host
from durable_host.models import ActivityTask, EventWait, HistoryEvent, Instance, PendingEvent
from durable_host.store import sql
from durable_host.store.shapes import OrchestrationStatus

F = TypeVar("F", bound=Callable[..., Any])
#: marks of a module: commits are real; only the host's own tables are emptied, which is all that its tests write
STORE = [pytest.mark.store, pytest.mark.django_db(transaction=True, available_apps=["durable_host"])]
TABLES = (Instance, HistoryEvent, PendingEvent, ActivityTask, EventWait)


class Workbench:
    """A registry of one test's own, with a client and hosts that know it."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.client = DurableClient(registry=self.registry)
        #: how often each activity was called
        self.calls: Counter[str] = Counter()

    # --- functions -------------------------------------------------------------------------------------------------

    def orchestrator(self, function: F) -> F:
        """Register an orchestrator."""
        return self.registry.add_orchestrator(function)

    def activity(self, function: Callable[[Any], Any], **options: Any) -> None:
        """Register an activity of one input, and count its calls."""
        name = options.pop("name", function.__name__)

        def counted(value: Any = None) -> Any:
            self.calls[name] += 1
            return function(value)

        self.registry.activities.pop(name, None)
        self.registry.add_activity(counted, name, **options)

    # --- running ---------------------------------------------------------------------------------------------------

    def host(self, name: str = "worker", queue: str = "default", **options: Any) -> Host:
        """Make a host that knows the functions of this bench."""
        return Host(name, queue, **{"registry": self.registry, **options})

    def run(self) -> None:
        """Work until nothing is ready and nothing runs."""
        self.host().run_until_idle()

    def start(self, orchestrator: Callable[..., Any] | str, input_: Any = None, **options: Any) -> str:
        """Start an instance and run it as far as it goes."""
        instance_id = self.client.start_new(orchestrator, input_, **options)
        self.run()
        return instance_id

    # --- looking ---------------------------------------------------------------------------------------------------

    def status(self, instance_id: str) -> OrchestrationStatus:
        """Return what is known of an instance, which must be there."""
        status = self.client.get_status(instance_id)
        assert status is not None, f"there is no instance {instance_id!r}"
        return status

    def output(self, instance_id: str) -> Any:
        """Return the output of an instance, which must have completed."""
        status = self.status(instance_id)
        assert status.runtime_status is RuntimeStatus.COMPLETED, status
        return status.output

    def history(self, instance_id: str) -> list[Event]:
        """Return the events of its latest execution."""
        return self.client.get_history(instance_id)

    def kinds(self, instance_id: str, *wanted: str) -> list[str]:
        """Return the types of its events in order, or of those that are asked for."""
        return [event.event_type for event in self.history(instance_id) if not wanted or event.event_type in wanted]


def row_counts() -> dict[str, int]:
    """Return how many rows each table has."""
    return {model.__name__: model._default_manager.count() for model in TABLES}


def row_of(instance_id: str) -> Instance:
    """Return the row of an instance of the default hub."""
    return Instance.objects.get(hub=host_settings().task_hub, instance_id=instance_id)


def assert_nothing_is_left() -> None:
    """Check that no message, activity or wait remains."""
    counts = row_counts()
    left = {name: counts[name] for name in ("PendingEvent", "ActivityTask", "EventWait") if counts[name]}
    assert not left, left


def assert_gap_free(instance_id: str) -> None:
    """Check that the sequence numbers of every kept execution run from 0 without a gap."""
    sequences: dict[int, list[int]] = {}
    rows = HistoryEvent.objects.filter(instance=row_of(instance_id)).order_by("generation", "sequence")
    for generation, sequence in rows.values_list("generation", "sequence"):
        sequences.setdefault(generation, []).append(sequence)
    assert sequences
    assert all(found == list(range(len(found))) for found in sequences.values()), sequences


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give the statements that are sent meanwhile, and let none of Django's own be among them."""
    sent: list[str] = []
    execute = sql._executed

    def keep(text: str, *more: Any) -> Any:
        sent.append(text)
        return execute(text, *more)

    def refuse(*query: Any) -> None:
        raise AssertionError(f"sent by Django: {query}")

    with monkeypatch.context() as patch, connection.execute_wrapper(refuse):
        patch.setattr(sql, "_executed", keep)
        yield sent
