"""Waiting for an instance, with a line that says how it stands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.utils import timezone
from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from durable_host.client import DurableClient
from durable_host.core.status import RuntimeStatus
from durable_host.store.shapes import OrchestrationStatus

from .exits import CliError, Exit
from .screen import Screen, one_line, shown
from .words import clock, distance, length, status_text

_PATIENCE = 3.0
_NO_WORKER = "no worker has taken it yet: is `manage.py durable_worker` (or `make run`) running?"


def wait_for(
    client: DurableClient, screen: Screen, instance_id: str, timeout: float | None = None
) -> OrchestrationStatus:
    """Wait until an instance has finished, and return its status.

    Raises:
        CliError: the time is over, or somebody pressed Ctrl-C; the instance goes on.
        InstanceNotFoundError: there is no such instance.
    """
    try:
        with _progress(screen) as progress:
            return client.wait_for_completion(instance_id, timeout, on_poll=progress.see)
    except TimeoutError as error:
        raise CliError(str(error), Exit.TIMEOUT, kind="TimeoutError") from None
    except KeyboardInterrupt:
        raise CliError(
            f"Stopped waiting; instance {instance_id!r} goes on. To wait again: manage.py durable get-status "
            f"{instance_id} --wait",
            Exit.INTERRUPTED,
            kind="Interrupted",
        ) from None


class Progress:
    """What is known of the awaited instance, as text."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun = time.monotonic()
        self.status: OrchestrationStatus | None = None

    def see(self, status: OrchestrationStatus) -> None:
        """Take note of a status that was just read."""
        self.status = status

    def elapsed(self) -> float:
        """Seconds since the waiting began."""
        return time.monotonic() - self._begun

    def state(self) -> Text:
        """Status and custom status."""
        if self.status is None:
            return Text("")
        parts = [shown(self.status.name, "bold"), shown(self.status.instance_id), Text(self.status.runtime_status)]
        if self.status.custom_status is not None:
            parts.append(shown(json.dumps(self.status.custom_status, ensure_ascii=False)))
        return one_line(Text("  ").join(parts))

    def remark(self) -> str:
        """Why nothing happens, where that is known."""
        status = self.status
        if status is None or status.is_finished:
            return ""
        if status.stall_reason:
            return f"stalled: {status.stall_reason}"
        if status.runtime_status is RuntimeStatus.SUSPENDED:
            return f"suspended: manage.py durable resume {status.instance_id} lets it go on"
        if status.runtime_status is RuntimeStatus.PENDING:
            return self._pending_remark(status)
        return ""

    def _pending_remark(self, status: OrchestrationStatus) -> str:
        if status.scheduled_at and status.scheduled_at > timezone.now():
            return f"scheduled: starts at {clock(status.scheduled_at)}, {distance(status.scheduled_at)}"
        return _NO_WORKER if self.elapsed() >= _PATIENCE else ""


class LiveProgress(Progress):
    """Keeps one line at the bottom of the terminal up to date."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._spinner = Spinner("dots" if screen.err.options.encoding.startswith("utf") else "line", style="blue")

    def __rich__(self) -> RenderableType:
        """Draw it; called several times a second."""
        status = self.status
        if status is None:
            return Text("")
        parts = [shown(status.name, "bold"), shown(status.instance_id, "dim")]
        parts += [status_text(self._screen, status.runtime_status), Text(length(timedelta(seconds=self.elapsed())))]
        if status.custom_status is not None:
            parts.append(shown(json.dumps(status.custom_status, ensure_ascii=False), "cyan"))
        # Not to the edge, where the ^C that a terminal echoes would begin a new line.
        line = _one_line(parts, self._screen.err.width - 8)
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(self._spinner, line)
        remark = self.remark()
        return Group(grid, shown(f"  {remark}", "yellow")) if remark else grid


class PlainProgress(Progress):
    """Prints a line only where something has changed."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._last = ""

    def see(self, status: OrchestrationStatus) -> None:
        """Print what is new."""
        super().see(status)
        # The distance to a scheduled start changes all the time; it is no news.
        remark = self.remark().partition(", in ")[0]
        line = self.state().plain + (f"  ({remark})" if remark else "")
        if line != self._last:
            self._last = line
            self._screen.note(f"{clock(timezone.now())}  {line}")


def _one_line(parts: list[Text], width: int) -> Text:
    """Join texts to one line."""
    line = Text("  ").join(one_line(part) for part in parts)
    line.truncate(width, overflow="ellipsis")
    return line


@contextmanager
def _progress(screen: Screen) -> Iterator[Progress]:
    if screen.err_is_terminal:
        live = LiveProgress(screen)
        with Live(live, console=screen.err, transient=True, refresh_per_second=8):
            yield live
    else:
        yield PlainProgress(screen)  # silent where results are JSON
