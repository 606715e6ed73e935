"""Records a history for each scenario that has none: ``python -m tests.histories.record``.

A recorded one is never made anew: it stands for the instances that hosts of its time have started.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from durable_host.core import exported
from durable_host.core.exported import ExportedExecution
from tests.core.story import (
    Story,
    World,
    child_completed,
    child_failed,
    completed,
    failed,
    fired,
    raised,
    resumed,
    started,
    terminate,
)
from tests.core.story import suspended as paused
from tests.histories.functions import REGISTRY

RECORDED = Path(__file__).parent / "recorded"


def told(name: str, input_: object = None) -> Story:
    """Return the story of one of the frozen orchestrators, after its first turn."""
    return Story(REGISTRY, f"{name}-1").when(started(name, input_), after=0)


def lived(name: str, input_: object = None) -> Story:
    """Let it run to its end, with all that it calls."""
    return World(REGISTRY).start(name, input_, f"{name}-1").run().instances[f"{name}-1"]


def _terminated() -> Story:
    story = told("approval")
    terminate(story, raised("other", 1), reason="enough")
    return story


def _rewound() -> Story:
    story = told("failing").when(completed(0, 2), failed(1, ValueError("not 2"))).when(completed(2, 6))
    again, _ = story.rewound()
    return again.when(completed(1, 4))


def _continued() -> Story:
    world = World(REGISTRY).start("monitor", 3, "monitor-1")
    return world.raise_event("monitor-1", "news", "carried").run().instances["monitor-1"]


SCENARIOS: dict[str, Callable[[], Story]] = {
    "chaining": lambda: lived("chaining", 1),
    "typed payload": lambda: lived("typed", {"number": 7, "items": ["tea", "cake"]}),
    "fan-out": lambda: lived("fan_out", 5),
    "fan-out, outcomes out of order": lambda: (
        told("fan_out", 3).when(completed(2, 4)).when(completed(0, 0), completed(1, 2))
    ),
    "failure": lambda: lived("failing"),
    "retries": lambda: lived("retried"),
    "timers": lambda: lived("timers"),
    "events, early and late": lambda: (
        told("approval").when(raised("more", 1)).when(raised("ANSWER", True), raised("More", 2))
    ),
    "event too late": lambda: told("approval").when(fired(0)),
    "event still awaited": lambda: told("approval"),
    "sub-orchestrations": lambda: (
        told("family").when(child_completed(1, 8)).when(child_failed(2, RuntimeError("compensated")))
    ),
    "sub-orchestration still awaited": lambda: told("family"),
    "continue-as-new with an event carried": _continued,
    "suspended and resumed": lambda: told("chaining", 1).when(paused("lunch")).when(completed(0, 2)).when(resumed()),
    "terminated": _terminated,
    "rewound": _rewound,
    "generator of azure-functions-durable": lambda: (
        told("azure_style", 4).when(completed(0, 8)).when(completed(1, 16), completed(2, 2)).when(raised("go", "now"))
    ),
    "durable HTTP": lambda: told("http"),
}


def main() -> None:
    """Record what is missing."""
    RECORDED.mkdir(exist_ok=True)
    for name, scenario in SCENARIOS.items():
        file = RECORDED / f"{name}.json"
        if file.exists():
            continue
        story = scenario()
        execution = ExportedExecution(story.instance_id, story.generation, tuple(story.records))
        file.write_text(json.dumps(exported.dump(execution), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.stdout.write(f"recorded {name}\n")


if __name__ == "__main__":
    main()
