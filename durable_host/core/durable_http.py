"""``ctx.call_http``: HTTP requests that outlive this process.

Each request is an activity. A server that answers 202 with a ``Location`` is polled there, with a durable timer before
each poll, until it answers otherwise (Durable Functions, CallHttpAsync).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from .compound import RetryTask
from .errors import OrchestratorCodeError, PayloadError, TaskFailedError
from .http_messages import (
    ACCEPTED,
    HTTP_ACTIVITY,
    DurableHttpResponse,
    HttpReply,
    HttpRequest,
    HttpRetryFields,
    HttpRetryOptions,
    pause_before_poll,
    poll_request,
    time_span,
)
from .ledger import Ledger
from .retry import RetryPolicy
from .source import caller_line
from .tasks import Task, TimerTask


class HttpTask(Task[DurableHttpResponse]):
    """An HTTP call: its request, its retries, its polls and its time limit."""

    __slots__ = ("_ledger", "_limit", "_next", "_pause", "_policy", "_request", "_work")

    def __init__(self, request: HttpRequest, policy: RetryPolicy | None, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._policy = policy
        self._request = request
        #: the timer before the next poll, and its request
        self._pause: TimerTask | None = None
        self._next = request
        self._limit: TimerTask | None = None
        self._work = self._send(request)
        if request.timeout is not None:
            self._limit = ledger.create_timer(ledger.now + request.timeout)
            self._limit._join(self)

    def _send(self, request: HttpRequest) -> Task[Any]:
        text = self._ledger.codec.dumps([request.to_json()], f"The HTTP request {request.shown}")
        self._request = request
        work = self._retrying(text)
        work._join(self)
        return work

    def _retrying(self, text: str) -> Task[Any]:
        def schedule(first: int | None) -> Task[Any]:
            return self._ledger.call_activity(HTTP_ACTIVITY, text, HttpReply, first)

        if self._policy is None:
            return schedule(None)
        return RetryTask(HTTP_ACTIVITY, self._policy, self._ledger, schedule)

    def _on_child(self, child: Task[Any]) -> None:
        if self._done:
            return
        if child is self._limit:
            self._time_out(f"{self._request.shown} was not answered.")
        elif child is self._pause:
            self._poll()
        elif child.exception is not None:
            self._on_failure(child.exception)
        else:
            self._on_reply(child.result)

    def _on_reply(self, reply: HttpReply) -> None:
        location = reply.header("location")
        if reply.status_code != ACCEPTED or not self._request.asynchronous_pattern_enabled or not location:
            self._end(DurableHttpResponse.of(reply), None)
            return
        self._next = poll_request(self._request, reply, location)
        self._pause = self._ledger.create_timer(self._ledger.now + pause_before_poll(reply, self._ledger.now))
        self._pause._join(self)

    def _poll(self) -> None:
        try:
            self._work = self._send(self._next)
        except PayloadError as error:  # an address that cannot be stored
            self._end(None, error)

    def _on_failure(self, error: Exception) -> None:
        if isinstance(error, TaskFailedError) and error.error_type == TimeoutError.__name__:
            error = TimeoutError(error.error_message)  # the activity reached the caller's limit just before the timer
        self._end(None, error)

    def _time_out(self, what: str) -> None:
        limit = time_span(self._request.timeout or timedelta(0))
        self._end(None, TimeoutError(f"{what} Reached user specified timeout: {limit}."))

    def _end(self, response: DurableHttpResponse | None, error: Exception | None) -> None:
        """Settle, and withdraw what nobody waits for any more."""
        self._settle(response, error)
        if isinstance(self._work, RetryTask):
            self._work._stop()
        for timer in (self._pause, self._limit):
            if timer is not None and not timer.is_completed:
                timer.cancel()


class HttpCalls:
    """The part of the context that calls HTTP endpoints."""

    _ledger: Ledger

    def call_http(
        self,
        method: str,
        uri: str,
        content: Any = None,
        headers: Mapping[str, str | Sequence[str]] | None = None,
        token_source: Any = None,
        is_raw_str: bool = False,
        *,
        retry: RetryPolicy | None = None,
        timeout: timedelta | None = None,
        asynchronous_pattern: bool = True,
    ) -> Task[DurableHttpResponse]:
        """Send an HTTP request, at least once, and wait for its answer.

        An answer of 202 with a ``Location`` is polled there, after what its ``Retry-After`` says, until it is none any
        more. Request and answer, headers included, are kept in history.

        Args:
            method, uri: GET, POST, …; an absolute http or https address.
            content: the body, sent as JSON.
            headers: header fields; by default the body's type is application/json, or text/plain for ``is_raw_str``.
            token_source: not supported; send the token in a header.
            is_raw_str: send ``content``, a string, as it is.
            retry: policy for requests that fail, and for the statuses that an :class:`HttpRetryOptions` names.
            timeout: raise ``TimeoutError`` when there is no answer, retries and polls included, after this long.
            asynchronous_pattern: poll after a 202.

        Returns:
            A task of the response. Awaiting it raises :class:`TaskFailedError` if no answer came, the last one was a
            failure by ``retry``, or the host's settings forbid the address.

        Raises:
            OrchestratorCodeError, TypeError, ValueError, PayloadError: the arguments are not acceptable.
        """
        self._ledger.require_running()
        _refuse(token_source, content, is_raw_str, timeout)
        request = self._request(method, uri, content, headers, is_raw_str, retry)
        limits = {"asynchronous_pattern_enabled": asynchronous_pattern, "timeout": timeout}
        return HttpTask(request.model_copy(update=limits), retry, self._ledger)

    def _request(
        self,
        method: str,
        uri: str,
        content: Any,
        headers: Mapping[str, str | Sequence[str]] | None,
        is_raw_str: bool,
        retry: RetryPolicy | None,
    ) -> HttpRequest:
        body, type_ = self._body(content, is_raw_str)
        codes = retry.status_codes_to_retry if isinstance(retry, HttpRetryOptions) else ()
        return HttpRequest(
            method=str(method).upper(),
            uri=str(uri),
            headers=_header_lists(headers, type_),
            content=body,
            retry_options=None if retry is None else HttpRetryFields(status_codes_to_retry=codes),
        )

    def _body(self, content: Any, is_raw_str: bool) -> tuple[str | None, str | None]:
        """Return the body and its media type; none of both for none."""
        if content is None:
            return None, None
        if is_raw_str:
            return content, "text/plain; charset=utf-8"
        return self._ledger.codec.dumps(content, "The content of the HTTP request"), "application/json"


def _refuse(token_source: Any, content: Any, is_raw_str: bool, timeout: timedelta | None) -> None:
    if token_source is not None:
        raise OrchestratorCodeError(
            f"{caller_line()}: call_http was given a {type(token_source).__name__} as token_source, but this host has "
            f"no managed identity to ask for tokens. Get the token in an activity and send it in headers."
        )
    if is_raw_str and not isinstance(content, str):
        raise TypeError(
            f"call_http was given is_raw_str=True and content of type {type(content).__name__}. Leave is_raw_str out "
            f"to send it as JSON, or give it a string."
        )
    if timeout is not None and timeout <= timedelta(0):
        raise ValueError(f"The timeout of call_http must be positive, it is {timeout}.")


def _header_lists(headers: Mapping[str, str | Sequence[str]] | None, content_type: str | None) -> dict[str, list[str]]:
    lists = {
        str(name): [values] if isinstance(values, str) else [str(one) for one in values]
        for name, values in (headers or {}).items()
    }
    if content_type is not None and not any(name.lower() == "content-type" for name in lists):
        lists["Content-Type"] = [content_type]
    return lists
