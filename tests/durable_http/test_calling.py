"""``ctx.call_http`` in the core: polls, retries and time limits, each decided live and by replay."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durable_host import (
    DurableHttpResponse,
    HttpRetryOptions,
    OrchestrationContext,
    OrchestratorCodeError,
    PayloadError,
    RetryPolicy,
    TaskFailedError,
)
from durable_host.core.http_messages import HTTP_ACTIVITY, time_span
from durable_host.durable_http.errors import HttpConnectionError, HttpRefusedError, HttpStatusError
from tests.core.story import Story, activity, at, completed, failed, fired, given, raised, timer

URL = "https://api.test/jobs"
SECOND = timedelta(seconds=1)


def request(method: str = "GET", uri: str = URL, **fields: Any) -> tuple[Any, ...]:
    """The activity that sends a request; ``fields`` by their names in JSON."""
    shown = {"method": method, "uri": uri, "headers": {}, "asynchronousPatternEnabled": True, **fields}
    return activity(HTTP_ACTIVITY, [shown])


def answer(status: int = 200, content: str | None = "", uri: str | None = None, **headers: str) -> dict[str, Any]:
    """What the activity returns; ``Retry_After`` is the header Retry-After."""
    lists = {name.replace("_", "-"): [value] for name, value in headers.items()}
    reply = {"statusCode": status, "headers": lists, "content": content}
    return reply if uri is None else {**reply, "uri": uri}


def calling(*args: Any, **options: Any) -> Story:
    """The story of an orchestrator that makes one call."""

    async def caller(ctx: OrchestrationContext) -> Any:
        response = await ctx.call_http(*args, **options)
        return [response.status_code, response.content]

    return given(caller)


def failing(*args: Any, **options: Any) -> Story:
    """The story of an orchestrator whose call cannot even be made."""

    async def caller(ctx: OrchestrationContext) -> Any:
        return await ctx.call_http(*args, **options)

    return given(caller)


# --- the request ----------------------------------------------------------------------------------------------------


def test_the_request_is_an_activity_with_a_list_of_one() -> None:
    story = calling("get", URL, headers={"Accept": "text/plain", "X-Many": ["a", "b"]})
    story.then(request(headers={"Accept": ["text/plain"], "X-Many": ["a", "b"]}))
    story.evicted().when(completed(0, answer(200, "done"))).then_completed([200, "done"])


@pytest.mark.parametrize(("content", "raw", "body", "type_"), [
    ({"a": 1}, False, '{"a":1}', "application/json"),
    ("text", False, '"text"', "application/json"),
    ("text", True, "text", "text/plain; charset=utf-8"),
])  # fmt: skip
def test_content_is_json_unless_it_is_raw(content: Any, raw: bool, body: str, type_: str) -> None:
    calling("POST", URL, content, is_raw_str=raw).then(request("POST", content=body, headers={"Content-Type": [type_]}))


def test_the_callers_own_content_type_stays() -> None:
    story = calling("PUT", URL, {"a": 1}, {"content-type": "application/merge-patch+json"})
    story.then(request("PUT", content='{"a":1}', headers={"content-type": ["application/merge-patch+json"]}))


def test_options_are_told_to_the_activity() -> None:
    policy = HttpRetryOptions(status_codes_to_retry=(503, 429))
    story = calling("GET", URL, retry=policy, timeout=timedelta(days=1, seconds=90), asynchronous_pattern=False)
    story.then(
        request(
            asynchronousPatternEnabled=False,
            retryOptions={"statusCodesToRetry": [503, 429]},
            timeout="1.00:01:30",
        ),
        timer(at(86490)),
    )


def test_generators_call_it_too_and_may_use_the_names_of_the_json() -> None:
    def caller(ctx: Any) -> Any:
        response = yield ctx.call_http("GET", URL)
        return [response["statusCode"], response["content"], response["headers"]["X-One"]]

    given(caller).when(completed(0, answer(404, "none", x_one="1"))).then_completed([404, "none", "1"])


def test_token_sources_are_refused() -> None:
    class ManagedIdentityTokenSource:
        pass

    failing("GET", URL, token_source=ManagedIdentityTokenSource()).then_failed(
        OrchestratorCodeError, "test_calling.py", "ManagedIdentityTokenSource", "no managed identity"
    )


def test_raw_content_must_be_a_string() -> None:
    failing("POST", URL, {"a": 1}, is_raw_str=True).then_failed(TypeError, "is_raw_str=True", "dict")


def test_the_time_limit_must_be_positive() -> None:
    failing("GET", URL, timeout=timedelta(0)).then_failed(ValueError, "must be positive")


def test_what_cannot_be_stored_is_refused() -> None:
    failing("POST", URL, float("nan")).then_failed(PayloadError, "content of the HTTP request", "NaN")
    failing("POST", URL, "a\0b", is_raw_str=True).then_failed(PayloadError, f"The HTTP request POST {URL}", "NUL")


# --- the answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500])
def test_every_status_is_an_answer_without_a_policy(status: int) -> None:
    calling("GET", URL).when(completed(0, answer(status, "x"))).then_completed([status, "x"])


def test_headers_are_found_in_any_case() -> None:
    reply = {"statusCode": 200, "headers": {"Content-Type": ["text/html"], "Vary": ["a", "b"]}}
    response = DurableHttpResponse(200, {"Content-Type": "text/html", "Vary": "a, b"})

    async def caller(ctx: OrchestrationContext) -> Any:
        got = await ctx.call_http("GET", URL)
        assert got == response
        assert got.headers["content-type"] == got.headers.get("CONTENT-TYPE") == "text/html"
        assert "VARY" in got.headers
        assert got.headers.get("x") is None
        with pytest.raises(KeyError):
            got.headers["x"]
        return got

    stored = {"status_code": 200, "headers": {"Content-Type": "text/html", "Vary": "a, b"}, "content": None}
    given(caller).when(completed(0, reply)).then_completed(stored)


def test_content_is_read_as_json_of_a_type() -> None:
    assert DurableHttpResponse(200, {}, '{"a": [1]}').json() == {"a": [1]}
    assert DurableHttpResponse(200, {}, '["1"]').json(list[int]) == [1]
    for content in (None, "", "<html>", "NaN"):
        with pytest.raises(PayloadError, match="The content of the HTTP response"):
            DurableHttpResponse(200, {}, content).json()
    with pytest.raises(PayloadError, match="does not fit"):
        DurableHttpResponse(200, {}, "{}").json(list[int])


def test_a_response_passes_through_payloads_unharmed() -> None:
    async def caller(ctx: OrchestrationContext, seen: DurableHttpResponse) -> str:
        return seen.headers["A"]

    given(caller, DurableHttpResponse(200, {"a": "1"}, "x")).then_completed("1")


def test_a_failed_request_can_be_caught() -> None:
    async def caller(ctx: OrchestrationContext) -> Any:
        try:
            await ctx.call_http("GET", URL)
        except TaskFailedError as error:
            return error.error_type

    given(caller).when(failed(0, HttpRefusedError("no"))).then_completed("HttpRefusedError")


# --- 202 and the polls ----------------------------------------------------------------------------------------------


def test_a_202_is_polled_at_its_location_until_it_is_over() -> None:
    story = calling("POST", URL, {"a": 1}, {"Authorization": "Bearer t", "X-Functions-Key": "k"})
    story.when(completed(0, answer(202, "later", Location="/jobs/7", Retry_After="10"))).then(timer(at(11)))
    poll = {"Authorization": ["Bearer t"], "Content-Type": ["application/json"]}
    story.evicted().when(fired(1), after=10).then(request(uri="https://api.test/jobs/7", headers=poll))
    story.evicted().when(completed(2, answer(202, location="8?x=1", retry_after="5"))).then(timer(at(17)))
    story.when(fired(3), after=5).then(request(uri="https://api.test/jobs/8?x=1", headers=poll))
    story.evicted().when(completed(4, answer(200, "done"))).then_completed([200, "done"])


@pytest.mark.parametrize(("retry_after", "seconds"), [
    ("7", 7), (" 7 ", 7), ("0", 1), ("Wed, 01 May 2024 12:01:01 GMT", 60), ("Wed, 01 May 2024 11:00:00 GMT", 1),
    ("-3", 30), ("soon", 30), ("", 30), ("²", 30), ("Mon, 99 Foo 2024", 30),
    ("9" * 40, 3650 * 86400), ("Fri, 31 Dec 9999 23:59:59 GMT", 3650 * 86400),
])  # fmt: skip
def test_the_wait_is_what_retry_after_says(retry_after: str, seconds: int) -> None:
    story = calling("GET", URL)
    story.when(completed(0, answer(202, Location=URL, Retry_After=retry_after))).then(timer(at(1 + seconds)))


def test_the_wait_is_the_workers_setting_where_the_server_does_not_say() -> None:
    told = {**answer(202, Location=URL), "asyncRequestSleepTimeMilliseconds": 2500}
    calling("GET", URL).when(completed(0, told)).then(timer(at(3.5)))
    calling("GET", URL).when(completed(0, answer(202, Location=URL))).then(timer(at(31)))


def test_a_202_is_the_answer_without_the_pattern_or_a_location() -> None:
    accepted = completed(0, answer(202, "x", Location=URL))
    calling("GET", URL, asynchronous_pattern=False).when(accepted).then_completed([202, "x"])
    calling("GET", URL).when(completed(0, answer(202, "x"))).then_completed([202, "x"])


@pytest.mark.parametrize("location", [
    "https://other.test/1", "https://api.test.evil.test/1", "http://api.test/1", "https://api.test:8443/1",
    "//other.test/1", r"https://other.test\@api.test/1", "https://api.test@other.test/1", "https://[::1/1",
])  # fmt: skip
def test_credentials_stay_behind_when_the_host_changes(location: str) -> None:
    secret = {"Authorization": "a", "COOKIE": "b", "x-functions-key": "c", "X-Api-Key": "d", "Accept": "e"}
    story = calling("GET", URL, headers=secret)
    story.when(completed(0, answer(202, Location=location))).when(fired(1), after=30)
    [sent] = story.result.scheduled
    assert '"headers":{"Accept":["e"]}' in (sent.input or "")  # type: ignore[union-attr]
    # … and do not come back on the way home.
    story.when(completed(2, answer(202, Location=URL))).when(fired(3), after=30)
    story.then(request(headers={"Accept": ["e"]}))


@pytest.mark.parametrize(("uri", "location"), [
    (URL, "https://API.test:443/1"), ("http://api.test/jobs", "https://api.test/1"), (URL, "?page=2"), (URL, "2"),
    (URL, "/users/@me"),
])  # fmt: skip
def test_credentials_go_along_on_the_same_host(uri: str, location: str) -> None:
    story = calling("GET", uri, headers={"Authorization": "a"})
    story.when(completed(0, answer(202, Location=location))).when(fired(1), after=30)
    assert '"Authorization"' in (story.result.scheduled[0].input or "")  # type: ignore[union-attr]


def test_a_relative_location_belongs_to_where_redirects_led() -> None:
    story = calling("GET", URL, headers={"Authorization": "a"})
    story.when(completed(0, answer(202, Location="/1", uri="https://moved.test/x"))).when(fired(1), after=30)
    story.then(request(uri="https://moved.test/1"))


def test_an_address_that_cannot_be_stored_fails_the_call() -> None:
    story = calling("GET", URL, headers={"X-Large": "x" * 600_000})
    story.when(completed(0, answer(202, Location="/" + "x" * 600_000))).when(fired(1), after=30)
    story.then_failed(PayloadError, "too large")


def test_other_work_goes_on_between_polls() -> None:
    async def caller(ctx: OrchestrationContext) -> Any:
        call, event = ctx.call_http("GET", URL), ctx.wait_for_external_event("go")
        winner = await ctx.when_any([call, event])
        return [winner is event, (await call).status_code]

    story = given(caller).when(completed(0, answer(202, Location=URL)))
    story.when(raised("go")).evicted().when(fired(1), after=29)
    story.then(request()).when(completed(2, answer(200))).then_completed([True, 200])


# --- retries --------------------------------------------------------------------------------------------------------

POLICY = HttpRetryOptions(first_retry_interval=5 * SECOND, max_number_of_attempts=3, status_codes_to_retry=(503,))
RETRIED = request(retryOptions={"statusCodesToRetry": [503]})


def test_a_failure_is_retried_after_a_timer() -> None:
    story = calling("GET", URL, retry=POLICY).then(RETRIED)
    story.when(failed(0, HttpStatusError("503"))).then(timer(at(6)))
    story.evicted().when(fired(1), after=5).then(RETRIED)
    story.when(failed(2, HttpConnectionError("none"))).then(timer(at(12)))
    story.when(fired(3), after=5).then(RETRIED)
    story.evicted().when(completed(4, answer(200, "at last"))).then_completed([200, "at last"])


def test_the_last_failure_is_the_calls() -> None:
    story = calling("GET", URL, retry=RetryPolicy(first_retry_interval=SECOND, max_number_of_attempts=2))
    story.then(request(retryOptions={"statusCodesToRetry": []}))
    story.when(failed(0, HttpStatusError("500"))).when(fired(1)).when(failed(2, HttpStatusError("answered 502")))
    story.then_failed(TaskFailedError, HTTP_ACTIVITY, "answered 502")


def test_a_refused_address_is_not_tried_again() -> None:
    story = calling("GET", URL, retry=POLICY).when(failed(0, HttpRefusedError("forbidden")))
    story.then_failed(TaskFailedError, "forbidden")


def test_every_poll_has_its_own_attempts() -> None:
    story = calling("GET", URL, retry=POLICY).when(completed(0, answer(202, Location=URL, Retry_After="1")))
    story.when(fired(1)).then(RETRIED)
    for task_id in (2, 4):
        story.when(failed(task_id, HttpStatusError("503"))).when(fired(task_id + 1), after=5).then(RETRIED)
    story.evicted().when(completed(6, answer(200))).then_completed([200, ""])


@pytest.mark.parametrize("code", [0, 99, 600, -1])
def test_codes_to_retry_are_checked(code: int) -> None:
    with pytest.raises(ValueError, match=r"status_codes_to_retry holds"):
        HttpRetryOptions(status_codes_to_retry=(200, code))
    with pytest.raises(ValueError, match="max_number_of_attempts"):
        HttpRetryOptions(max_number_of_attempts=0)


# --- the time limit -------------------------------------------------------------------------------------------------


def limited(limit: timedelta = 60 * SECOND, **options: Any) -> Story:
    return calling("GET", f"{URL}?code=secret", timeout=limit, **options)


def test_the_limit_ends_a_request_that_hangs() -> None:
    story = limited().when(fired(1), after=60)
    story.then_failed(TimeoutError, f"GET {URL} was not answered. Reached user specified timeout: 00:01:00.")


def test_the_limit_ends_the_polls() -> None:
    story = limited().when(completed(0, answer(202, Location=URL)))
    story.when(fired(1), after=59).then_failed(TimeoutError, "Reached user specified timeout")
    assert story.result.cancelled_timers == (2,)


def caught(**options: Any) -> Callable[..., Any]:
    async def caller(ctx: OrchestrationContext) -> Any:
        try:
            await ctx.call_http("GET", URL, timeout=60 * SECOND, **options)
        except TimeoutError:
            return await ctx.wait_for_external_event("end")

    return caller


def test_the_limit_ends_the_retries() -> None:
    policy = RetryPolicy(first_retry_interval=timedelta(hours=1))
    story = given(caught(retry=policy)).when(failed(0, HttpStatusError("503"))).then(timer(at(3601)))
    story.when(fired(1), after=59)
    assert story.result.cancelled_timers == (2,)
    story.evicted().when(raised("end", 1)).then_completed(1)


@pytest.mark.parametrize("retry", [None, RetryPolicy()])
@pytest.mark.parametrize("late", [
    lambda: failed(0, HttpStatusError("503")), lambda: completed(0, answer(202, Location=URL)),
    lambda: completed(0, answer(200)),
])  # fmt: skip
def test_what_comes_after_the_limit_asks_for_nothing_more(late: Callable[[], Any], retry: RetryPolicy | None) -> None:
    story = given(caught(retry=retry)).when(fired(1), after=60)
    story.when(late()).then()
    story.evicted().when(raised("end", 1)).then_completed(1)


def test_an_answer_withdraws_the_limit() -> None:
    story = limited().when(completed(0, answer(200, "x")))
    assert story.result.cancelled_timers == (1,)
    story.then_completed([200, "x"])


def test_the_activity_may_notice_the_limit_first() -> None:
    story = limited().when(failed(0, TimeoutError("Reached user specified timeout: 00:01:00.")), after=60)
    story.then_failed(TimeoutError, "Reached user specified timeout: 00:01:00.")


@pytest.mark.parametrize(("duration", "text"), [
    (30 * SECOND, "00:00:30"), (timedelta(days=1, hours=2), "1.02:00:00"), (0.25 * SECOND, "00:00:00.250000"),
])  # fmt: skip
def test_durations_are_written_as_durable_functions_does(duration: timedelta, text: str) -> None:
    assert time_span(duration) == text
