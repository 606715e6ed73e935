"""Whatever happens in whatever order: what becomes of an instance is what the model says, and history is whole.

The hosts, the store and the core are the real ones. Hypothesis is clock, client, network and fate: it starts, answers,
pauses and ends instances, has two workers take turns or overtake each other, has them die before and after a commit,
and delivers outcomes twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from durable_host.client import DurableClient
from durable_host.core.errors import InvalidOperationError
from durable_host.core.status import FINISHED
from durable_host.dispatch import committing, doorbell, host
from durable_host.dispatch.activities import ActivityPool, Done
from durable_host.dispatch.attempt import Attempt
from durable_host.dispatch.host import Host
from durable_host.models import EventWait, Instance
from durable_host.store import clock
from durable_host.store.checkpoint import checkpoint
from durable_host.store.shapes import ActivityOutcome, ClaimedActivity
from tests.faults.histories import assert_gap_free, assert_outcomes_are_single
from tests.services import PATIENCE
from tests.store.workbench import STORE, TABLES, row_counts

from .reference import EVENTS, STEPS, Model, make_registry

pytestmark = STORE

REGISTRY = make_registry()
WORKERS = ("left", "right")
_BEGIN = datetime(2026, 1, 5, 9, tzinfo=UTC)
#: longer than any lease, timer or pause before another attempt
LONG = timedelta(seconds=61)


class Lost(BaseException):
    """The worker is gone; no host can catch it."""


class HeldPool(ActivityPool):
    """Keeps what it is given until it is told to run it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.held: list[ClaimedActivity] = []
        self._ended = threading.Event()

    def start(self, activity: ClaimedActivity) -> None:
        self.held.append(activity)

    def run(self, number: int) -> None:
        """Run one of them to its end."""
        self._ended.clear()
        super().start(self.held.pop(number % len(self.held)))
        assert self._ended.wait(PATIENCE)

    def _finish(self, attempt: Attempt, done: Done, **options: Any) -> bool:
        assert isinstance(done, ActivityOutcome)
        Machine.delivered.append(done)
        is_first = super()._finish(attempt, done, **options)
        self._ended.set()
        return is_first


class Machine(RuleBasedStateMachine):
    """A hub, two workers, and what happens to them."""

    #: what happens just before and after the next checkpoint
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    now = _BEGIN
    #: outcomes that hosts were told of
    delivered: ClassVar[list[ActivityOutcome]] = []

    def __init__(self) -> None:
        super().__init__()
        for table in reversed(TABLES):
            table._default_manager.all().delete()
        self.client = DurableClient(registry=REGISTRY)
        self.models: dict[str, Model] = {}
        self.workers = {name: Host(name, "default", registry=REGISTRY) for name in WORKERS}
        Machine.before = Machine.after = None
        Machine.delivered.clear()
        Machine.now = _BEGIN

    # --- clients ---------------------------------------------------------------------------------------------------

    @initialize(script=st.lists(st.sampled_from(STEPS), min_size=1, max_size=5))
    def start_first(self, script: list[str]) -> None:
        self.start(script)

    @rule(script=st.lists(st.sampled_from(STEPS), max_size=5))
    def start(self, script: list[str]) -> None:
        id_ = f"i{len(self.models)}"
        self.client.start_new("scripted", (script, []), instance_id=id_)
        self.models[id_] = Model(script)

    @rule(which=st.integers(0), name=st.sampled_from(EVENTS), data=st.integers(0, 9))
    def answer(self, which: int, name: str, data: int) -> None:
        id_, model = self._choose(which)
        if self._is_accepted(model, lambda: self.client.raise_event(id_, name.upper(), data)):
            model.sent.append((name, data))

    @rule(which=st.integers(0))
    def suspend(self, which: int) -> None:
        id_, model = self._choose(which)
        is_pausable = Instance.objects.get(instance_id=id_).status != "Suspended"
        if is_pausable and self._is_accepted(model, lambda: self.client.suspend(id_)):
            model.suspended_after = len(model.sent) if model.suspended_after is None else model.suspended_after

    @rule(which=st.integers(0))
    def resume(self, which: int) -> None:
        id_, model = self._choose(which)
        if Instance.objects.get(instance_id=id_).status == "Suspended":
            self.client.resume(id_)
            model.suspended_after = None

    @rule(which=st.integers(0))
    def terminate(self, which: int) -> None:
        id_, model = self._choose(which)
        if self._is_accepted(model, lambda: self.client.terminate(id_, "enough")) and model.terminated_after is None:
            model.terminated_after = len(model.sent)

    # --- workers ---------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(WORKERS))
    def work(self, name: str) -> None:
        host = self.workers[name]
        host._look_everywhere()
        host._cycle()

    @rule(name=st.sampled_from(WORKERS), number=st.integers(0))
    def run_activity(self, name: str, number: int) -> None:
        if self._pool(name).held:
            self._pool(name).run(number)

    @rule(name=st.sampled_from(WORKERS))
    def overtake(self, name: str) -> None:
        """Have the other worker do the same turns, and commit first."""
        other = next(one for one in WORKERS if one != name)

        def be_faster() -> None:
            self.advance(11)
            self.work(other)

        Machine.before = be_faster
        self.work(name)
        Machine.before = None

    @rule(name=st.sampled_from(WORKERS), moment=st.sampled_from(["before", "after"]))
    def die_at_commit(self, name: str, moment: str) -> None:
        setattr(Machine, moment, _die)
        try:
            self.work(name)
        except Lost:
            self.die(name)
        setattr(Machine, moment, None)

    @rule(name=st.sampled_from(WORKERS))
    def die(self, name: str) -> None:
        """Forget everything that was only in memory: claims, executions, activities, outcomes."""
        self.workers[name]._pool.close(0)
        self.workers[name] = Host(f"{name}'", "default", registry=REGISTRY)

    @precondition(lambda self: bool(Machine.delivered))
    @rule(name=st.sampled_from(WORKERS), number=st.integers(0))
    def deliver_again(self, name: str, number: int) -> None:
        self.workers[name]._inbox.put(Machine.delivered[number % len(Machine.delivered)])

    @rule(seconds=st.integers(1, 40))
    def advance(self, seconds: float) -> None:
        Machine.now += timedelta(seconds=seconds)

    # --- what must be true -----------------------------------------------------------------------------------------

    @invariant()
    def history_is_whole(self) -> None:
        assert_gap_free()
        assert_outcomes_are_single()

    @rule()
    def settle(self) -> None:
        """Let everything happen that can, and compare."""
        for _ in range(200):
            if not any(row_counts()[name] for name in ("PendingEvent", "ActivityTask")):
                break
            for name in WORKERS:
                while self._pool(name).held:
                    self._pool(name).run(0)
                self.work(name)
            Machine.now += LONG
        assert not any(row_counts()[name] for name in ("PendingEvent", "ActivityTask"))
        for id_, model in self.models.items():
            assert self._actual(id_) in model.ends(), (id_, model)
        parents = Instance.objects.filter(parent=None, status__in=FINISHED)
        assert not Instance.objects.filter(parent__in=parents).exclude(status__in=FINISHED).exists()

    def teardown(self) -> None:
        self.settle()
        for name in WORKERS:
            self._pool(name).close(0)

    # --- helpers ---------------------------------------------------------------------------------------------------

    def _choose(self, which: int) -> tuple[str, Model]:
        return list(self.models.items())[which % len(self.models)]

    def _is_accepted(self, model: Model, act: Callable[[], None]) -> bool:
        try:
            act()
        except InvalidOperationError:
            assert any(status in FINISHED for status, _ in model.ends()), model
            return False
        return True

    def _pool(self, name: str) -> HeldPool:
        pool = self.workers[name]._pool
        assert isinstance(pool, HeldPool)
        return pool

    def _actual(self, id_: str) -> tuple[str, Any]:
        status = self.client.get_status(id_)
        assert status is not None
        if status.runtime_status == "Running":
            return ("Running", list(EventWait.objects.filter(instance__instance_id=id_).values_list("name", flat=True)))
        return (str(status.runtime_status), status.output)


def _die() -> None:
    raise Lost


@pytest.fixture(autouse=True)
def fate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the machine's clock, pools and checkpoints in place of those of the process, and no bells."""

    def disturbed(*args: Any) -> Any:
        before, Machine.before = Machine.before, None
        if before:
            before()
        receipt = checkpoint(*args)
        after, Machine.after = Machine.after, None
        if after:
            after()
        return receipt

    monkeypatch.setattr(committing, "checkpoint", disturbed)
    monkeypatch.setattr(host, "ActivityPool", HeldPool)
    monkeypatch.setattr(clock, "now", lambda: Machine.now)
    monkeypatch.setattr(doorbell, "ring", lambda wake: None)


@pytest.mark.case(11, 13)
def test_what_becomes_of_an_instance_is_what_the_model_says() -> None:
    # As it is: what fails is short enough to read, and making it shorter takes longer than a test may.
    short = settings(
        max_examples=40,
        stateful_step_count=30,
        phases=[Phase.generate],
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=short)
