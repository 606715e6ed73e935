"""Whether a request comes from this very machine, and from nobody who only borrows its browser."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from django.http import HttpRequest

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def why_not_local(request: HttpRequest) -> str | None:
    """Return why a request is not taken for one of this machine's own, or None where it is."""
    if not is_loopback(address_of(request)) or any(name in request.headers for name in _FORWARDED):
        return "Without a key this host answers its own machine only."
    if _host_name(request.get_host()) not in _LOCAL_NAMES:
        return "Without a key this host answers to localhost only, not to other names for it."
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    if site not in ("same-origin", "none") or (origin is not None and origin != _own_origin(request)):
        return "Without a key this host does not answer pages of other sites."
    return None


def address_of(request: HttpRequest) -> str:
    """Return the network address from which a request came."""
    return str(request.META.get("REMOTE_ADDR", ""))


def is_loopback(address: str) -> bool:
    """Tell whether an address is this machine's own."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _own_origin(request: HttpRequest) -> str:
    return f"{request.scheme}://{request.get_host()}"


def _host_name(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""
