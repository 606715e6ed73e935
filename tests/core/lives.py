"""Histories of real orchestrations, and how a host meets them: turn by turn, now and then in another process."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import orchestrations.async_http_api
import orchestrations.fan_out_fan_in
import orchestrations.function_chaining
import orchestrations.human_interaction
import orchestrations.monitor
from durable_host.core import events as ev
from durable_host.core.tracking import TrackingRecord, tracking_log
from tests.orchestrations.world import World

from .story import Story, at, registry_of
from .story import started as begun
from .test_random_stories import possible, scripted

History = Sequence[ev.HistoryEvent]

ORDER = {"order_id": "1", "items": {"tea": 2}, "amount": "19.90", "card": {"token": "tok", "limit": "100"}}
EXPENSE = {"employee": "ann", "amount": "420", "purpose": "Train", "approver": "bob", "manager": "eve"}
SOON = timedelta(minutes=1)


def five_patterns(folder: Path) -> dict[str, list[list[ev.HistoryEvent]]]:
    """Run each pattern of :mod:`orchestrations` to its end; return the histories of its executions.

    Args:
        folder: for what their activities leave behind; DURABLE_VAR must name it.
    """
    (folder / "tree").mkdir()
    for number in range(3):
        (folder / "tree" / f"{number}.txt").write_text("a line\n")
    answers = iter([False] * 60 + [True])
    monitor = orchestrations.monitor
    fakes: dict[str, Any] = {
        "poll": lambda probe: monitor.Sighting(next(answers), "seen"),
        "send_alert": lambda delivery: None,
    }
    watch = {"probe": {"url": "http://service.test/"}, "first_interval_seconds": 1, "max_interval_seconds": 5}
    worlds = {
        "function_chaining": World("function_chaining", ORDER),
        "fan_out_fan_in": World("fan_out_fan_in", {"root": str(folder / "tree")}),
        "async_http_api": World("async_http_api", {"up_to": 100, "parts": 4}),
        "human_interaction": World("human_interaction", EXPENSE).raise_event(SOON, "approvalEVENT", True),
        "monitor": World("monitor", watch, fakes),
    }
    return {name: world.run().executions for name, world in worlds.items()}


def turns_of(history: History) -> Iterator[tuple[History, History]]:
    """Yield each turn with all that came before it."""
    begun = 0
    for position, event in enumerate(history):
        if isinstance(event, ev.OrchestratorCompleted):
            yield history[:begun], history[begun : position + 1]
            begun = position + 1


def play(script: Any, arrivals: Sequence[tuple[int, int, bool]]) -> Story:
    """Follow a script of :mod:`test_random_stories` through some arrivals, as far as they go."""
    story = Story(registry_of(scripted)).when(begun("scripted", script))
    for choice, more, _ in arrivals:
        if story.live.is_finished:
            break
        found = possible(story)
        story.when(*(found[(choice + 7 * number) % len(found)] for number in range(more + 1)))
    return story


def log_of(story: Story, *, replays: bool = False) -> list[TrackingRecord]:
    return tracking_log(story.history, story.instance_id, story.generation, replays=replays)


def sketch(records: Sequence[TrackingRecord]) -> list[str]:
    """Return each record as one line: who tells, of what, which state, and why."""
    return [" ".join(filter(None, _words(one))) for one in records]


def _words(one: TrackingRecord) -> tuple[str, ...]:
    detail = one.reason or one.event_name or (one.expiration_time.strftime("%H:%M:%S") if one.expiration_time else "")
    flags = ("anew" if one.continued_as_new else "", "REPLAY" if one.is_replay else "")
    return (one.teller.value, one.function_name, one.state.value, detail, *flags)


def ran(task_id: int, result: str | None = None, *, began: float) -> ev.TaskCompleted:
    """An activity that began so many seconds after the start of the story returned."""
    return ev.TaskCompleted(timestamp=at(0), task_scheduled_id=task_id, result=result, started_at=at(began))
