"""Confirms, during replay, that the code asks for exactly what history says it asked for."""

from __future__ import annotations

from . import events as ev
from .errors import NonDeterminismError
from .ledger import Ledger
from .names import child_id
from .status import RuntimeStatus

_ADVICE = (
    "The code was changed while this instance was under way, or it is not deterministic. The instance waits: bring the "
    "former code back, publish the change under a new name or version, or terminate"
)


class Confirmation:
    """Compares the scheduling events of history with what the replayed code asks for."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        #: index in history of the event that is being applied
        self.position = 0
        self._ended_in_history = False

    def confirm(self, recorded: ev.SchedulingEvent, completion: ev.ExecutionCompleted | None) -> None:
        """Match one scheduling event of history.

        Raises:
            NonDeterminismError: the code asked for something else under this number, or for nothing.
        """
        asked = self._ledger.asked.pop(recorded.event_id, None)
        if asked is None:
            now = "does nothing of the kind" if completion is None else f"has already ended ({_ending(completion)})"
            raise self._error(f"history recorded {describe(recorded)}, but the code now {now}")
        if identity(asked) != identity(recorded) and not self._is_same_child(asked, recorded):
            raise self._error(f"history recorded {describe(recorded)}, but the code now calls {describe(asked)}")

    def turn_ended(self, completion: ev.ExecutionCompleted | None) -> None:
        """Check that nothing was asked for beyond what this turn of history recorded.

        Raises:
            NonDeterminismError: the code asks for more, or ends earlier.
        """
        if self._ledger.asked:
            extra = next(iter(self._ledger.asked.values()))
            raise self._error(
                f"history recorded no further call in this turn, but the code now calls {describe(extra)}"
            )
        if completion is not None and not self._ended_in_history:
            raise self._error(f"history goes on after this turn, but the code now ends here ({_ending(completion)})")

    def execution_ended(self, recorded: ev.ExecutionCompleted, completion: ev.ExecutionCompleted | None) -> None:
        """Check that the code ended where and how history says so.

        Raises:
            NonDeterminismError: it is still waiting, or it ended with another status.
        """
        self._ended_in_history = True
        if recorded.orchestration_status is RuntimeStatus.TERMINATED:
            self._ledger.asked.clear()  # The last turn of a terminated instance ran no code.
        elif completion is None or completion.orchestration_status is not recorded.orchestration_status:
            now = "still waits" if completion is None else f"now ends differently ({_ending(completion)})"
            raise self._error(f"history recorded that the orchestrator ended ({_ending(recorded)}), but the code {now}")

    def _is_same_child(self, asked: ev.SchedulingEvent, recorded: ev.SchedulingEvent) -> bool:
        """Tell whether both are one child under default ids: a rewind keeps those of the execution before it."""
        kind = ev.SubOrchestrationInstanceCreated
        if not isinstance(asked, kind) or not isinstance(recorded, kind) or asked.name != recorded.name:
            return False
        ids = (child_id(self._ledger.instance_id, one, asked.event_id) for one in range(self._ledger.generation + 1))
        return {asked.instance_id, recorded.instance_id} <= set(ids)

    def _error(self, difference: str) -> NonDeterminismError:
        return NonDeterminismError(
            f"Non-deterministic orchestrator: at event {self.position} of {self._ledger.instance_id!r} {difference}. "
            f"{_ADVICE} instance {self._ledger.instance_id!r}."
        )


def identity(event: ev.SchedulingEvent) -> tuple[str, ...]:
    """Return what must be equal between history and code."""
    match event:
        case ev.TaskScheduled():
            return ("activity", event.name)
        case ev.SubOrchestrationInstanceCreated():
            return ("sub-orchestration", event.name, event.instance_id)
        case ev.TimerCreated():
            return ("timer",)
        case ev.EventSent():
            return ("event", event.name, event.instance_id)


def describe(event: ev.SchedulingEvent) -> str:
    """Return the call that makes such an event, as the author writes it."""
    match event:
        case ev.TaskScheduled():
            call = f"call_activity({event.name!r})"
        case ev.SubOrchestrationInstanceCreated():
            call = f"call_sub_orchestrator({event.name!r}, instance_id={event.instance_id!r})"
        case ev.TimerCreated():
            call = f"create_timer({event.fire_at.isoformat()})"
        case ev.EventSent():
            call = f"send_event({event.instance_id!r}, {event.name!r})"
    return f"{call} as task {event.event_id}"


def _ending(completion: ev.ExecutionCompleted) -> str:
    failure = completion.failure_details
    return f"{completion.orchestration_status}: {failure}" if failure else completion.orchestration_status.value
