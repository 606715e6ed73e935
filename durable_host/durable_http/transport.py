"""Connects to an address that was checked, and to no other, while Host, SNI and certificate stay those of the name."""

from __future__ import annotations

import ssl
from functools import lru_cache

import httpx

from .addresses import Guard
from .errors import HttpConnectionError

DEFAULT_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Return what certificates are checked with: certifi's authorities, or those that SSL_CERT_FILE names."""
    return httpx.create_ssl_context()


class CheckedTransport(httpx.AsyncBaseTransport):
    """Sends requests without proxies, redirects, cookies or anything else from the environment.

    The name is resolved here, once a request; what is connected to is the numeric address that passed the guard, so
    that a second, different answer of the name server changes nothing.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls_context(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request to the first of the host's addresses that answers.

        Raises:
            HttpRefusedError: the host may not be reached.
            HttpConnectionError: no connection could be made.
        """
        url = request.url
        failure: Exception | None = None
        for address in await self._guard.addresses_of(url.host, url.port or DEFAULT_PORTS[url.scheme]):
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing was sent: try the next address
                failure = failure or error
        raise HttpConnectionError(f"No connection to {url.host!r}: {failure}") from failure

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """Return the request with the address in place of the name in its URL, and there alone."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )
