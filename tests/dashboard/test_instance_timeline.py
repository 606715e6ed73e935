"""Timelines: scales that fold idle time, bars, and fan-outs that come together."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dashboard.presenters.acts import ActKind, OpenNow, Story, tell
from dashboard.presenters.scale import scale
from dashboard.presenters.timeline import MOST_ROWS, Group, Look, Row, Timeline, timeline
from dashboard.presenters.timeline_svg import axis, row_picture
from durable_host import OrchestrationContext, RetryPolicy
from durable_host.core import events as ev
from durable_host.core.digest import Outcome
from tests.core import story as tale
from tests.core.story import T0, at, completed, failed, fired, given, raised

DAY = 86_400.0


def work(n: int) -> int:
    return n


async def fan(ctx: OrchestrationContext, n: int) -> Any:
    return await ctx.when_all([ctx.call_activity(work, one) for one in range(n)])


async def ask(ctx: OrchestrationContext) -> Any:
    await ctx.call_activity(work, 1)
    await ctx.wait_for_external_event("Approval")
    return await ctx.call_activity(work, 2)


async def retry(ctx: OrchestrationContext) -> Any:
    policy = RetryPolicy(max_number_of_attempts=3, first_retry_interval=timedelta(seconds=5))
    return await ctx.call_activity(work, 1, retry=policy)


def fanned(count: int, *, broken: frozenset[int] = frozenset()) -> Story:
    """A fan-out whose activities each ran a millisecond longer than the one before."""
    one = given(fan, count, activities=[work])
    one.when(*(failed(n, OSError("bad")) if n in broken else completed(n, n) for n in range(count)), after=10)
    found = []
    for event in one.history:
        if isinstance(event, ev.TaskCompleted | ev.TaskFailed):
            event = replace(event, started_at=at(10 - 0.001 * event.task_scheduled_id))
        found.append(event)
    return tell(enumerate(found))


def drawn(picture: Timeline) -> str:
    return axis(picture) + "".join(row_picture(row, picture.scale) for row in picture.rows)


# ---- the scale ------------------------------------------------------------------------------------------------------


def places(*moments: datetime, length: float, busy: Any = ()) -> list[float]:
    one = scale(T0, at(length), moments, busy)
    return [round(one.place(moment), 1) for moment in moments]


def test_time_is_shown_in_proportion() -> None:
    assert places(at(0), at(5), at(10), length=10) == [0, 50, 100]
    assert places(at(-3), at(99), length=10) == [0, 100]


def test_a_wait_of_days_does_not_squash_a_burst_of_seconds() -> None:
    one = scale(T0, at(3 * DAY + 4), [at(1), at(2), at(3 * DAY + 2), at(3 * DAY + 3)], ())
    (fold,) = one.folds
    assert (fold.label, fold.length) == ("3 d", timedelta(days=3))
    assert fold.end - fold.begin == pytest.approx(12)
    assert one.place(at(1)) == pytest.approx(22)
    assert one.place(at(3 * DAY + 3)) == pytest.approx(78)


def test_folds_of_several_lengths_leave_room_for_what_happens_between() -> None:
    one = scale(T0, at(4 * DAY + 3), [at(1), at(3 * DAY), at(3 * DAY + 1), at(4 * DAY + 2)], ())
    assert [fold.label for fold in one.folds] == ["3 d", "1 d"]
    assert one.place(at(1)) > 15


def test_what_runs_is_never_folded() -> None:
    assert scale(T0, at(DAY), [at(1), at(2)], [(at(2), at(DAY))]).folds == ()
    assert scale(T0, at(DAY), [at(1), at(2)], [(at(0), at(1))]).folds != ()


def test_waits_that_can_be_seen_in_proportion_are_not_folded() -> None:
    assert scale(T0, at(60), [at(20), at(40)], ()).folds == ()
    assert scale(T0, at(9), [at(0.001)], ()).folds == ()


def test_an_execution_that_did_one_thing_is_not_folded_away() -> None:
    assert scale(T0, at(DAY), [at(DAY)], ()).folds == ()
    assert scale(T0, T0, [T0], ()).place(T0) == 0


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.009, ["0 s", "2 ms", "4 ms", "6 ms", "8 ms"]),
        (10, ["0 s", "2 s", "4 s", "6 s", "8 s"]),
        (3600, ["0 s", "10 min", "20 min", "30 min", "40 min", "50 min"]),
        (10 * DAY, ["0 s", "2 d", "4 d", "6 d", "8 d"]),
    ],
)
def test_the_axis_has_round_marks(seconds: float, labels: list[str]) -> None:
    assert [tick.label for tick in scale(T0, at(seconds), (), ()).ticks] == labels


def test_a_label_that_has_little_room_before_what_follows_goes_first() -> None:
    ticks = scale(T0, at(0.009), (), ()).ticks
    assert [tick.label for tick in ticks if not tick.is_minor] == ["0 s", "4 ms"]


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_an_activity_has_a_bar_for_the_queue_and_one_for_the_run() -> None:
    picture = timeline(fanned(3), None)
    row = picture.rows[1]
    assert isinstance(row, Row)
    assert [bar.look for bar in row.bars] == ["queued", "run"]
    assert picture.legend == {"queued", "good"}
    assert picture.now is None
    assert 'class="bar-run tone-good"' in drawn(picture)


def test_retries_are_segments_of_one_row() -> None:
    one = given(retry, activities=[work]).when(failed(0, OSError("x"))).when(fired(1), after=5).when(completed(2, 1))
    (row,) = timeline(tell(enumerate(one.history)), None).rows
    assert isinstance(row, Row)
    assert sorted(bar.look for bar in row.bars) == ["pause", "run", "run"]
    assert "attempt 1: failed after 1 s" in [bar.title for bar in row.bars]
    assert row.tone == "good"


def test_what_is_open_reaches_to_now() -> None:
    one = given(ask, activities=[work])
    picture = timeline(tell(enumerate(one.history), OpenNow()), at(20))
    (row,) = picture.rows
    assert isinstance(row, Row)
    assert [(bar.end, bar.is_open) for bar in row.bars] == [(at(20), True)]
    assert picture.now == 100
    assert "grid-now" in drawn(picture)


def test_a_long_wait_for_people_is_folded_and_says_so() -> None:
    one = given(ask, activities=[work]).when(completed(0, 1)).when(raised("Approval", True), after=3 * DAY)
    picture = timeline(tell(enumerate(one.when(completed(1, 2)).history)), None)
    assert [fold.label for fold in picture.scale.folds] == ["3 d"]
    assert "3 d without anything new" in drawn(picture)


def test_suspended_time_is_in_the_background() -> None:
    one = given(ask, activities=[work]).when(tale.suspended("lunch")).when(tale.resumed(), after=9)
    picture = timeline(tell(enumerate(one.history), OpenNow()), at(10))
    assert picture.suspended == ((10.0, 100.0),)
    assert "grid-suspended" in drawn(picture)


# ---- many -----------------------------------------------------------------------------------------------------------


def test_a_wide_fan_out_is_one_row_with_its_numbers() -> None:
    picture = timeline(fanned(400, broken=frozenset({7, 9})), None)
    (group,) = picture.rows
    assert isinstance(group, Group)
    assert (group.name, group.count, dict(group.outcomes)) == (
        "work",
        400,
        {Outcome.COMPLETED: 398, Outcome.FAILED: 2},
    )
    assert group.ran is not None
    assert (group.ran.least, group.ran.most) == (timedelta(0), timedelta(milliseconds=399))
    assert sum(group.ran.classes) == 400
    assert len(group.load) == 100
    assert max(group.load) == 400
    assert "group-failure" in drawn(picture)


def test_few_enough_stay_apart() -> None:
    picture = timeline(fanned(MOST_ROWS), None)
    assert len(picture.rows) == MOST_ROWS
    assert all(isinstance(row, Row) for row in picture.rows)


def test_a_function_can_be_looked_at_closer() -> None:
    story = fanned(400, broken=frozenset({7}))
    part = timeline(story, None, Look(kind="activity", name="work", first=100))
    assert (len(part.rows), part.before, part.after) == (100, 100, 200)
    (bad,) = timeline(story, None, Look(name="work", outcome="Failed")).rows
    assert isinstance(bad, Row)
    assert bad.act.event_id == 7
    slow = timeline(story, None, Look(name="work", slowest_first=True)).rows[0]
    assert isinstance(slow, Row)
    assert slow.act.event_id == 399
    assert timeline(story, None, Look(name="nobody")).rows == ()


def test_ten_thousand_are_drawn_as_one_small_picture() -> None:
    story = fanned(10_000)
    assert len(drawn(timeline(story, None))) < 20_000
    assert [act.kind for act in story.acts].count(ActKind.ACTIVITY) == 10_000


def test_hostile_names_are_escaped() -> None:
    async def mean(ctx: OrchestrationContext) -> Any:
        return await ctx.wait_for_external_event("<script>alert(1)</script>")

    one = given(mean).when(raised("<script>alert(1)</script>", 1))
    assert "<script" not in drawn(timeline(tell(enumerate(one.history)), None))


def test_nothing_at_all_is_an_empty_timeline() -> None:
    assert timeline(tell([]), T0).rows == ()
    assert timeline(tell([]), None).rows == ()
