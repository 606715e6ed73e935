"""What went wrong, as JSON in Azure's shape: always the documented status, never an HTML page."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import Resolver404, resolve
from django.views import defaults
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from durable_host.core.errors import (
    BadRequestError,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    InvalidOperationError,
)
from durable_host.core.status import RuntimeStatus
from durable_host.store.outage import OUTAGE, RETRY_SECONDS

from .mounts import Mount, mount_of

logger = logging.getLogger(__name__)

#: URL names of ours that lie outside the mounts
_PAGES = ("durable-docs", "durable-openapi", "durable-metrics")
_MESSAGES = {
    400: "One or more of the arguments submitted is incorrect",
    401: "The request does not say who asks",
    403: "The caller may not do this",
    404: "There is nothing at this address",
    405: "This address does not know the method",
    409: "The instance is not in a state that allows this",
    410: "The instance has finished",
    411: "The length of the request is not known",
    413: "The request is too large",
    415: "Only application/json request content is supported",
    429: "Too many requests",
    500: "Something went wrong while processing your request",
    503: "The database cannot serve this now",
}


class ApiError(Exception):
    """A request that is answered by an error status."""

    def __init__(self, status: int, text: str, *, kind: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind or type(self).__name__
        self.headers = headers or {}


class DeniedError(ApiError):
    """The caller is not known (401), or may not do what it asks for (403)."""


class TooManyError(ApiError):
    """The caller asks too often (429)."""

    def __init__(self, text: str, seconds: int) -> None:
        super().__init__(429, f"{text} Try again in {seconds} seconds.", headers={"Retry-After": str(seconds)})


def problem(
    status: int, text: str, kind: str, *, error: BaseException | None = None, headers: dict[str, str] | None = None
) -> HttpResponse:
    """Return an error response.

    Args:
        status: HTTP status.
        text: what is wrong, and what to do.
        kind: name of the error.
        error: where it came from; its stack is shown in development only.
        headers: further headers.
    """
    body = {"Message": _MESSAGES.get(status, _MESSAGES[400]), "ExceptionMessage": text, "ExceptionType": kind}
    if settings.DEBUG and error is not None:
        body["StackTrace"] = "".join(traceback.format_exception(error))
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses before any route: a ``handler400``, which leaves other pages as they are."""
    if _is_ours(request):
        return problem(400, str(exception), type(exception).__name__, error=exception)
    return defaults.bad_request(request, exception)


def _is_ours(request: HttpRequest) -> bool:
    try:
        found = resolve(request.path_info)
    except Resolver404:
        return False
    return found.url_name in _PAGES or found.namespace in [one.value for one in Mount]


def unavailable(error: BaseException) -> HttpResponse:
    """Answer 503: the database is away, full or read-only."""
    logger.error("The database does not serve.", extra={"reason": str(error)})
    text = f"Nothing was read or written. Try again in {RETRY_SECONDS} seconds."
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return problem(503, text, "DatabaseUnavailable", error=error, headers=headers)


def install(api: NinjaAPI) -> None:
    """Answer every exception of the routes."""
    handlers: dict[type[Exception], Any] = {
        ApiError: _api_error,
        BadRequestError: _bad_request,
        ValidationError: _misfit,
        HttpError: _http_error,
        Http404: _not_found,
        RequestDataTooBig: _too_big,
        SuspiciousOperation: _suspicious,
        **dict.fromkeys(OUTAGE, _database_away),
        Exception: _unforeseen,
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


def status_of(error: BadRequestError, mount: Mount) -> int:
    """Return the status of a refusal. The client libraries on the RPC mount expect some of them to be 400."""
    if isinstance(error, InstanceNotFoundError):
        return 404
    if isinstance(error, InstanceAlreadyExistsError):
        return 400 if mount is Mount.RPC else 409
    if isinstance(error, InvalidOperationError):
        return 410 if RuntimeStatus(error.status).is_finished else 409
    return 400


def _api_error(request: HttpRequest, error: ApiError) -> HttpResponse:
    return problem(error.status, str(error), error.kind, error=error, headers=error.headers)


def _bad_request(request: HttpRequest, error: BadRequestError) -> HttpResponse:
    return problem(status_of(error, mount_of(request)), str(error), type(error).__name__, error=error)


def _misfit(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return problem(400, "; ".join(map(_said, error.errors[:5])), "ValidationError", error=error)


def _said(misfit: dict[str, Any]) -> str:
    """Return what is wrong with one parameter; that one is missing, in Durable Functions' words."""
    place = ".".join(str(part) for part in misfit["loc"][1:]).removeprefix("query.").removeprefix("path.")
    if misfit["type"] == "missing":
        return f"Please provide value for '{place}' parameter."
    return f"{place}: {misfit['msg'].removeprefix('Value error, ')}"


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(error.status_code, str(error), type(error).__name__, error=error)


def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, str(error), "NotFound")


def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problem(413, str(error), "PayloadTooLarge", error=error)


def _suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    return problem(400, str(error), type(error).__name__, error=error)


def _database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    return unavailable(error)


def _unforeseen(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("A request failed.", exc_info=error, extra={"method": request.method, "path": request.path})
    return problem(500, "The server's log tells more.", "InternalServerError", error=error)
