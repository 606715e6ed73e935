"""One request and its answer, redirects included."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from durable_host.core.http_messages import CREDENTIALS, HttpReply, HttpRequest, may_keep_credentials
from durable_host.telemetry import propagation

from .body import read_text
from .errors import HttpConnectionError, HttpRefusedError
from .transport import DEFAULT_PORTS, CheckedTransport

MAX_REDIRECTS = 10

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_NOT_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f\\]")
#: these decide where a message ends or who answers it: the transport sets them, nobody else
_RESERVED = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_OF_THE_BODY = frozenset({"content-type", "content-encoding", "content-language"})
_DEFAULTS = (("Accept", "*/*"), ("Accept-Encoding", "gzip"), ("User-Agent", "durable-host"))
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that has been checked, up to its address."""

    method: str
    url: httpx.URL
    headers: tuple[tuple[str, str], ...]
    content: bytes | None

    def redirected(self, status_code: int, url: httpx.URL) -> Outgoing:
        """Return the request that a redirect asks for.

        Raises:
            HttpRefusedError: it leaves https for http.
        """
        if self.url.scheme == "https" and url.scheme == "http":
            raise HttpRefusedError(f"Host {self.url.host!r} redirects from https to http, which is not followed.")
        dropped: frozenset[str] = frozenset()
        if not may_keep_credentials(str(self.url), str(url)):
            dropped = CREDENTIALS
        turns_get = self.method != "HEAD" and (
            status_code == 303 or (status_code in (301, 302) and self.method == "POST")
        )
        if turns_get:
            dropped |= _OF_THE_BODY
        headers = tuple((name, value) for name, value in self.headers if name.lower() not in dropped)
        if turns_get:
            return Outgoing("GET", url, headers, None)
        return replace(self, url=url, headers=headers)


async def exchange(request: HttpRequest, transport: CheckedTransport, max_bytes: int) -> HttpReply:
    """Send a request, follow its redirects, and return the last answer.

    Raises:
        HttpRefusedError: the request is malformed, or an address may not be reached.
        HttpConnectionError: no answer came.
        HttpContentError: the answer is too large, or is not text.
    """
    outgoing = checked(request)
    for _ in range(MAX_REDIRECTS + 1):
        async with _sent(outgoing, transport) as response:
            target = _redirect_of(response, outgoing.url)
            if target is None:
                return await _reply(response, max_bytes, outgoing.url, request)
        outgoing = outgoing.redirected(response.status_code, target)
    raise HttpRefusedError(f"{request.shown} was redirected more than {MAX_REDIRECTS} times.")


def checked(request: HttpRequest) -> Outgoing:
    """Return a request in the form that is sent.

    Raises:
        HttpRefusedError: method, address or headers are not what HTTP allows, or the body is multipart.
    """
    if not _METHOD.fullmatch(request.method) or request.method in ("CONNECT", "TRACE"):
        raise HttpRefusedError(f"{request.method!r} is not an HTTP method that can be sent.")
    headers = [(name, value.strip()) for name, values in request.headers.items() for value in values]
    for name, value in headers:
        _check_header(name, value)
    present = {name.lower() for name, _ in headers}
    added = dict(_DEFAULTS)
    propagation.outgoing(added)  # the trace goes on at whoever is called
    headers += [(name, value) for name, value in added.items() if name.lower() not in present]
    content = None if request.content is None else request.content.encode()
    return Outgoing(request.method, _address(request.uri), tuple(headers), content)


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise HttpRefusedError(f"The header {name!r} holds characters that HTTP does not allow.")
    if name.lower() in _RESERVED:
        raise HttpRefusedError(f"The header {name!r} is set by the host itself. Leave it out.")
    if name.lower() == "content-type" and "multipart" in value.lower():
        raise HttpRefusedError("Multipart content is not supported by call_http. Send it from an activity.")


def _address(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise HttpRefusedError("The address cannot be read.") from None
    if url.scheme not in DEFAULT_PORTS:
        raise HttpRefusedError(f"An address must be absolute and begin with http:// or https://, not {url.scheme!r}.")
    if not url.host or "%" in url.host or _NOT_IN_ADDRESSES.search(text):
        raise HttpRefusedError("The address has no host, or holds characters that no address has.")
    if url.userinfo:
        raise HttpRefusedError("The address holds a user name. Send credentials in a header.")
    if url.port is not None and not 0 < url.port < 65536:
        raise HttpRefusedError(f"The address names port {url.port}, which does not exist.")
    return url


@asynccontextmanager
async def _sent(outgoing: Outgoing, transport: CheckedTransport) -> AsyncIterator[httpx.Response]:
    timeouts: dict[str, Any] = httpx.Timeout(None, connect=_CONNECT_SECONDS).as_dict()
    headers = [(name.encode(), value.encode("latin-1")) for name, value in outgoing.headers]
    request = httpx.Request(
        outgoing.method, outgoing.url, headers=headers, content=outgoing.content, extensions={"timeout": timeouts}
    )
    try:
        response = await transport.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()
    except httpx.TransportError as error:
        raise HttpConnectionError(f"{outgoing.url.host!r} gave no complete answer: {error!r}") from error


def _redirect_of(response: httpx.Response, url: httpx.URL) -> httpx.URL | None:
    location = response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    if _NOT_IN_ADDRESSES.search(location):
        raise HttpRefusedError(f"Host {url.host!r} redirects to an address that cannot be read.")
    try:
        return _address(str(url.join(location)))
    except (httpx.InvalidURL, ValueError):
        raise HttpRefusedError(f"Host {url.host!r} redirects to an address that cannot be read.") from None


async def _reply(response: httpx.Response, max_bytes: int, url: httpx.URL, request: HttpRequest) -> HttpReply:
    headers: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for raw_name, raw_value in response.headers.raw:
        name = raw_name.decode("latin-1")
        headers.setdefault(names.setdefault(name.lower(), name), []).append(raw_value.decode("latin-1"))
    return HttpReply(
        status_code=response.status_code,
        headers=headers,
        content=await read_text(response, max_bytes),
        uri=None if url == httpx.URL(request.uri) else str(url),
    )
