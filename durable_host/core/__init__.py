"""The pure machine: history and new events in, actions out.

Nothing in this room knows Django, Redis, a clock, a thread or a file. That is what lets the same code run in a
worker, in the replay checker, in the dashboard and in tests.

Theory of operation:

1. An *execution* of an orchestrator is fully described by its history, a list of :mod:`events <.events>`.
2. :mod:`turn` feeds events to the user's function. Where the function asks for work, the request becomes a scheduling
   event with the next number; where history already holds that event the two are compared, never scheduled twice.
3. A *turn* is: OrchestratorStarted, the events received, the scheduling events, OrchestratorCompleted.
   Its :class:`~.turn.TurnResult` says what to append and what must happen next (:mod:`actions`).
"""
