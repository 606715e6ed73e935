"""What is kept of an exception."""

import contextlib
import json
import sys
from typing import Any

import pytest

from durable_host import FailureDetails, OrchestrationContext, TaskFailedError
from durable_host.core.errors import did_you_mean
from durable_host.core.failure import _MESSAGE_LIMIT, _STACK_LIMIT, describe_failure, storable_text

from .story import CODEC, completed, failed, given


def caught(act: Any) -> BaseException:
    """Return the exception of a call, with its traceback."""
    try:
        act()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def low() -> None:
    """Fail."""
    raise KeyError("shelf")


def high() -> None:
    """Fail because of a failure."""
    try:
        low()
    except KeyError as error:
        raise ValueError("no such order") from error


def test_it_keeps_type_message_stack_and_cause() -> None:
    details = describe_failure(caught(high))
    assert (details.error_type, details.error_message) == ("ValueError", "no such order")
    assert details.bases == ("Exception", "BaseException")
    assert details.inner_failure is not None
    assert (details.inner_failure.error_type, details.inner_failure.error_message) == ("KeyError", "'shelf'")
    assert details.inner_failure.bases == ("LookupError", "Exception", "BaseException")
    assert str(details) == "ValueError: no such order"
    assert [one.error_type for one in details.chain()] == ["ValueError", "KeyError"]


def test_the_stack_shows_the_users_lines() -> None:
    stack = describe_failure(caught(high)).stack_trace
    assert stack is not None
    assert __file__ in stack
    assert "raise ValueError" in stack


def test_the_stack_of_an_orchestrator_begins_with_the_users_line() -> None:
    async def broken(ctx: OrchestrationContext) -> None:
        low()

    details = given(broken).completion.failure_details
    assert details is not None
    assert details.stack_trace is not None
    first, *_ = details.stack_trace.splitlines()
    assert f'File "{__file__}"' in first
    assert first.endswith("in broken")
    assert "low" in details.stack_trace
    assert "driver.py" not in details.stack_trace


def test_it_takes_the_context_unless_it_is_suppressed() -> None:
    def implicit() -> None:
        try:
            low()
        except KeyError:
            raise ValueError("while handling")  # noqa: B904

    def suppressed() -> None:
        try:
            low()
        except KeyError:
            raise ValueError("on its own") from None

    assert [one.error_type for one in describe_failure(caught(implicit)).chain()] == ["ValueError", "KeyError"]
    assert [one.error_type for one in describe_failure(caught(suppressed)).chain()] == ["ValueError"]


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert [one.error_type for one in describe_failure(first).chain()] == ["ValueError", "KeyError"]
    narcissus = ValueError("me")
    narcissus.__cause__ = narcissus
    assert len(list(describe_failure(narcissus).chain())) == 1


def test_a_long_chain_is_cut() -> None:
    error = ValueError("0")
    for number in range(1, 100):
        cause, error = error, ValueError(f"{number}")
        error.__cause__ = cause
    messages = [one.error_message for one in describe_failure(error).chain()]
    assert messages == [f"{number}" for number in range(99, 89, -1)]


@pytest.mark.parametrize("size", [_MESSAGE_LIMIT, _MESSAGE_LIMIT + 1, 10**6])
@pytest.mark.case(23)
def test_a_huge_message_is_cut_in_the_middle(size: int) -> None:
    message = describe_failure(ValueError("a" * (size - 3) + "end")).error_message
    assert len(message) <= _MESSAGE_LIMIT
    assert message.endswith("end")
    head, _, rest = message.partition("\n… ")
    notice, _, tail = rest.partition(" characters left out …\n")
    assert (size > _MESSAGE_LIMIT) == bool(notice)
    assert len(head) + int(notice.replace(",", "") or 0) + len(tail) == size


@pytest.mark.case(23)
def test_a_huge_stack_is_cut() -> None:
    def recurse(n: int) -> None:
        if n:
            recurse(n - 1)
        else:
            exec("\n" * 9 + "raise ValueError('deep')")  # noqa: S102

    stack = describe_failure(caught(lambda: recurse(400))).stack_trace
    assert stack is not None
    assert len(stack) <= _STACK_LIMIT


@pytest.mark.case(23)
def test_a_message_that_cannot_be_made_is_replaced() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not telling")

    details = describe_failure(Silent())
    assert details.error_message == "<the message of this Silent cannot be shown: RuntimeError>"


def test_a_message_is_made_storable() -> None:
    details = describe_failure(ValueError("a\x00b\ud800c"))
    assert details.error_message == "a\ufffdb?c"
    assert json.dumps(details.to_json())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("base")])
@pytest.mark.case(23)
def test_it_takes_exceptions_that_are_not_errors(error: BaseException) -> None:
    assert describe_failure(error).error_type == type(error).__name__


def test_it_keeps_that_it_must_not_be_retried() -> None:
    class Refused(Exception):
        is_non_retriable = True

    class Odd(Exception):
        is_non_retriable = "perhaps"

    assert describe_failure(Refused()).is_non_retriable
    assert not describe_failure(Odd()).is_non_retriable
    assert not describe_failure(ValueError()).is_non_retriable


def test_an_empty_message_shows_the_type_alone() -> None:
    assert str(describe_failure(ValueError())) == "ValueError"


def test_details_come_back_from_json() -> None:
    details = describe_failure(caught(high))
    assert FailureDetails.from_json(details.to_json()) == details
    bare = FailureDetails(error_type="E", error_message="")
    assert bare.to_json() == {"errorType": "E", "errorMessage": ""}
    assert FailureDetails.from_json(bare.to_json()) == bare


def test_text_that_fits_is_left_alone() -> None:
    assert storable_text("é" * 100, 100) == "é" * 100
    assert len(storable_text("é" * 101, 100)) <= 100


# --- as the orchestrator sees it --------------------------------------------------------------------------------------


class Shortage(LookupError):
    """An error of the user's own."""


def test_an_orchestrator_can_tell_failures_apart() -> None:
    async def sorting(ctx: OrchestrationContext) -> Any:
        try:
            await ctx.call_activity("work")
        except TaskFailedError as error:
            return [
                error.name,
                error.task_id,
                error.error_type,
                error.error_message,
                *[error.is_caused_by(one) for one in (Shortage, LookupError, Exception, KeyError, ValueError)],
                *[error.is_caused_by(one) for one in ("Shortage", "LookupError", "Short")],
                __file__ in (error.stack_trace or ""),
            ]

    def fail() -> None:
        try:
            low()
        except KeyError as error:
            raise Shortage("none left") from error

    given(sorting).when(failed(0, caught(fail))).then_completed(
        ["work", 0, "Shortage", "none left", True, True, True, True, False, True, True, False, True]
    )


def test_a_failure_of_the_orchestrator_names_the_tasks_behind_it() -> None:
    async def wrapping(ctx: OrchestrationContext) -> None:
        await ctx.call_activity("fine")
        try:
            await ctx.call_activity("broken")
        except TaskFailedError as error:
            raise LookupError("order not found") from error

    details = given(wrapping).when(completed(0)).when(failed(1, ValueError("no"))).completion.failure_details
    assert details is not None
    assert details.task_ids == (1,)
    assert [one.error_type for one in details.chain()] == ["LookupError", "TaskFailedError", "ValueError"]


def test_a_failure_of_the_code_itself_names_no_task() -> None:
    async def forgiving(ctx: OrchestrationContext) -> None:
        with contextlib.suppress(TaskFailedError):
            await ctx.call_activity("broken")
        raise LookupError("something else")

    details = given(forgiving).when(failed(0, ValueError("no"))).completion.failure_details
    assert details is not None
    assert details.task_ids == ()


def test_an_exit_fails_the_instance_only() -> None:
    async def leaving(ctx: OrchestrationContext) -> None:
        sys.exit(3)

    given(leaving).then_failed(SystemExit, "3")


def test_an_interruption_of_the_worker_is_no_failure_of_the_orchestrator() -> None:
    async def interrupted(ctx: OrchestrationContext) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        given(interrupted)


def test_names_are_suggested() -> None:
    assert did_you_mean("chrage", ["charge", "ship", "change"]) == "Did you mean 'charge' or 'change'?"
    assert did_you_mean("xyz", ["b", "a"]) == "Registered are: 'a', 'b'."
    assert did_you_mean("xyz", []) == "None is registered."
    many = did_you_mean("xyz", [f"{n}" for n in range(50)])
    assert many.endswith(", ….")
    assert len(many) < 200


def test_the_stored_result_of_the_test_codec_is_json() -> None:
    assert CODEC.dumps(describe_failure(ValueError("a")).to_json(), "it").startswith('{"errorType":"ValueError"')
