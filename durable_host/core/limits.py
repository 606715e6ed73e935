"""How much one execution may hold. What runs away shall end with a clear failure, before it fills the database."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import LimitExceededError

#: part of a limit from which on people are warned
_NEAR = 0.8
_ADVICE = "begin a new execution from time to time with continue_as_new, or hand parts to sub-orchestrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of each execution."""

    #: events that its history may have
    history_events: int = 250_000
    #: bytes of the payloads and failures in its history
    history_bytes: int = 100 * 1024 * 1024
    #: activities, sub-orchestrations, timers and messages that one turn may ask for
    turn_tasks: int = 100_000

    def check_history(self, events: int, size: int) -> None:
        """Raise LimitExceededError where a history has too many events, or they are together too large.

        Args:
            events: how many it has.
            size: bytes that they hold, as :func:`sizes.stored_bytes` counts them.
        """
        if events > self.history_events:
            raise LimitExceededError(
                f"The history has {events:,} events; MAX_HISTORY_EVENTS allows {self.history_events:,}. Whoever takes "
                f"the instance over must replay them all: {_ADVICE}."
            )
        if size > self.history_bytes:
            raise LimitExceededError(
                f"The payloads in the history have {size:,} bytes; MAX_HISTORY_BYTES allows {self.history_bytes:,}. "
                f"Whoever takes the instance over must read them all: pass references to what is large, {_ADVICE}."
            )

    def warning(self, events: int, size: int) -> str:
        """Say that a history comes near one of its limits; nothing where it does not."""
        if events > self.history_events * _NEAR:
            near = f"{events:,} of {self.history_events:,} events (MAX_HISTORY_EVENTS)"
        elif size > self.history_bytes * _NEAR:
            near = f"{size:,} of {self.history_bytes:,} bytes of payloads (MAX_HISTORY_BYTES)"
        else:
            return ""
        return f"This execution's history has {near}; beyond that it fails. Let the orchestrator {_ADVICE}."

    def check_tasks(self, tasks: int) -> None:
        """Raise LimitExceededError where one turn asks for too much."""
        if tasks > self.turn_tasks:
            raise LimitExceededError(
                f"This turn has asked for {tasks:,} tasks; MAX_TURN_TASKS allows {self.turn_tasks:,}. Await some "
                f"before asking for more, hand parts to sub-orchestrations, or go on with continue_as_new."
            )
