"""How much one execution may hold. What runs away shall end with a clear failure, before it fills the database."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import LimitExceededError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of each execution."""

    #: events that its history may have
    history_events: int = 250_000
    #: activities, sub-orchestrations, timers and messages that one turn may ask for
    turn_tasks: int = 100_000

    def check_history(self, events: int) -> None:
        """Raise LimitExceededError where a history has become too long."""
        if events > self.history_events:
            raise LimitExceededError(
                f"The history has {events:,} events; MAX_HISTORY_EVENTS allows {self.history_events:,}. Whoever takes "
                f"the instance over must replay them all: begin a new execution from time to time with "
                f"continue_as_new, or hand parts to sub-orchestrations."
            )

    def check_tasks(self, tasks: int) -> None:
        """Raise LimitExceededError where one turn asks for too much."""
        if tasks > self.turn_tasks:
            raise LimitExceededError(
                f"This turn has asked for {tasks:,} tasks; MAX_TURN_TASKS allows {self.turn_tasks:,}. Await some "
                f"before asking for more, hand parts to sub-orchestrations, or go on with continue_as_new."
            )
