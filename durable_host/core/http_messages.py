"""What a durable HTTP call sends and receives (Durable Functions, DurableHttpRequest and DurableHttpResponse).

The models are what history holds: the input and the result of the built-in activity, in Durable Functions' own JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from .payload import PayloadCodec
from .retry import RetryPolicy

#: name of the built-in activity, as in Durable Functions
HTTP_ACTIVITY = "BuiltIn::HttpActivity"
ACCEPTED = 202

#: sent to the first address only, never to the one that is polled
_FUNCTION_KEY = "x-functions-key"
#: what proves who the caller is: never sent to another host than the one it was meant for
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", _FUNCTION_KEY})

_DEFAULT_PAUSE = timedelta(seconds=30)
#: a server that answers "Retry-After: 0" would fill the history
_SHORTEST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(days=3650)
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")


def time_span(duration: timedelta) -> str:
    """Return a duration as .NET writes it: ``00:00:30``, ``1.02:00:00``."""
    days = f"{duration.days}." if duration.days else ""
    minutes, seconds = divmod(duration.seconds, 60)
    fraction = f".{duration.microseconds:06}" if duration.microseconds else ""
    return f"{days}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{fraction}"


def _from_time_span(value: Any) -> Any:
    return re.sub(r"^(\d+)\.(\d\d:)", r"\1 days, \2", value) if isinstance(value, str) else value


TimeSpan = Annotated[timedelta, BeforeValidator(_from_time_span), PlainSerializer(time_span)]


class _Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, validate_by_alias=True, validate_by_name=True)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form: only what is set."""
        return self.model_dump(by_alias=True, exclude_none=True)


class HttpRetryFields(_Message):
    """What the activity needs to know of a retry policy."""

    status_codes_to_retry: tuple[int, ...] = ()


class HttpRequest(_Message):
    """One HTTP request: the input of the activity, in a list of one."""

    method: str
    uri: str
    headers: dict[str, list[str]] = Field(default_factory=dict)
    content: str | None = None
    asynchronous_pattern_enabled: bool = True
    #: None where the call has no retry policy, so that every status is an answer
    retry_options: HttpRetryFields | None = None
    timeout: TimeSpan | None = None

    @property
    def shown(self) -> str:
        """The method and the address without its query, for messages: a query may hold keys."""
        return f"{self.method} {shown_address(self.uri)}"

    def is_failure(self, status_code: int) -> bool:
        """Tell whether the retry policy takes this status for a failure."""
        if self.retry_options is None:
            return False
        chosen = self.retry_options.status_codes_to_retry
        return status_code in chosen if chosen else status_code >= 400


class HttpReply(_Message):
    """What the server answered: the result of the activity."""

    status_code: int
    headers: dict[str, list[str]] = Field(default_factory=dict)
    content: str | None = None
    #: where redirects led, if there were any
    uri: str | None = None
    #: the worker's setting, with a 202 alone
    async_request_sleep_time_milliseconds: int | None = None

    def header(self, name: str) -> str | None:
        """Return the last value of a header; names are compared without case."""
        found = [values[-1] for key, values in self.headers.items() if key.lower() == name and values]
        return found[-1] if found else None


class HttpHeaders(dict[str, str]):
    """Headers by name, in any case; several of one name are joined by commas."""

    def __init__(self, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(headers)
        self._names = {name.lower(): name for name in self}

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(self._names.get(name.lower(), name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._names

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a header, or ``default``."""
        return super().get(self._names.get(name.lower(), name), default)


@dataclass(frozen=True, slots=True)
class DurableHttpResponse:
    """The answer to ``ctx.call_http``."""

    status_code: int
    #: names are compared without case
    headers: Mapping[str, str]
    #: the body as text
    content: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", HttpHeaders(self.headers))

    @classmethod
    def of(cls, reply: HttpReply) -> DurableHttpResponse:
        """Return what the orchestrator sees of a reply."""
        headers = HttpHeaders((name, ", ".join(values)) for name, values in reply.headers.items())
        return cls(reply.status_code, headers, reply.content)

    def json(self, expected_type: Any = Any) -> Any:
        """Return the content, which must be JSON, as ``expected_type``.

        Raises:
            PayloadError: it is not JSON, or does not fit the type.
        """
        codec = PayloadCodec(max_bytes=len((self.content or "").encode()) * 2 + 16)
        what = "The content of the HTTP response"
        return codec.loads(codec.check_json(self.content or "", what), expected_type, what)

    def __getitem__(self, key: str) -> Any:
        """Return a field under its name in Durable Functions' JSON: ``response["statusCode"]``."""
        return {"statusCode": self.status_code, "headers": self.headers, "content": self.content}[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRetryOptions(RetryPolicy):
    """A retry policy for ``ctx.call_http`` (Durable Functions, HttpRetryOptions).

    A request that cannot be sent is always a failure; a response is one by its status code.
    """

    #: status codes that are failures; empty for every 4xx and 5xx
    status_codes_to_retry: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        RetryPolicy.__post_init__(self)
        wrong = [code for code in self.status_codes_to_retry if not 100 <= code <= 599]
        if wrong:
            raise ValueError(f"status_codes_to_retry holds {wrong[0]}, which is not an HTTP status code.")


def pause_before_poll(reply: HttpReply, now: datetime) -> timedelta:
    """Return how long to wait before the next poll: what ``Retry-After`` says (seconds, or a date), or the default."""
    raw = (reply.header("retry-after") or "").strip()
    if raw.isascii() and raw.isdigit():
        pause = timedelta(seconds=min(int(raw[:12]), int(_LONGEST_PAUSE.total_seconds())))
    else:
        until = _date(raw)
        pause = _default_pause(reply) if until is None else until - now
    return min(max(pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)


def poll_request(request: HttpRequest, reply: HttpReply, location: str) -> HttpRequest:
    """Return the request for the address that a 202 names: a GET with the same headers, but no key and no body."""
    base = reply.uri or request.uri
    try:
        target = urljoin(base, location)
    except ValueError:  # the activity refuses it, with its reason
        target = location
    dropped = {_FUNCTION_KEY} if may_keep_credentials(request.uri, target) else CREDENTIALS
    headers = {name: values for name, values in request.headers.items() if name.lower() not in dropped}
    return request.model_copy(update={"method": "GET", "uri": target, "headers": headers, "content": None})


def may_keep_credentials(origin: str, target: str) -> bool:
    """Tell whether ``target`` is the same server as ``origin``, and its connection as safe."""
    before, after = _origin(origin), _origin(target)
    if before is None or after is None:
        return False
    return before == after or (before == ("http", after[1], 80) and after[0] == "https" and after[2] == 443)


def shown_address(uri: str) -> str:
    """Return an address without user, query and fragment."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"


def _origin(uri: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port; None for what two parsers might read differently."""
    try:
        parts = urlsplit(uri)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if _AMBIGUOUS.search(uri) or not parts.hostname or port is None:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port


def _default_pause(reply: HttpReply) -> timedelta:
    setting = reply.async_request_sleep_time_milliseconds
    return _DEFAULT_PAUSE if setting is None else timedelta(milliseconds=setting)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
