"""Which hosts and which network addresses an orchestration may reach.

The tables are written out, because ``ipaddress`` takes several of these networks for global ones in Python 3.11, and
changes its mind between versions (IANA special-purpose address registries).
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.utils.http import is_same_domain

from .errors import HttpConnectionError, HttpRefusedError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


#: what HTTP_ALLOW_PRIVATE opens
_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private use
    "100.64.0.0/10",  # carrier-grade NAT
    "127.0.0.0/8", "::1/128",  # loopback
    "fc00::/7",  # unique local
)  # fmt: skip

#: what nothing opens
_FORBIDDEN = _networks(
    "0.0.0.0/8",  # this host
    "169.254.0.0/16",  # link-local, and the metadata services of clouds
    "168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::254/128",  # more of those
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",  # multicast, reserved, broadcast
    "2001::/23",  # protocol assignments, Teredo among them
    "2001:db8::/32", "3fff::/20",  # documentation
    "2002::/16",  # 6to4: holds any IPv4 address
)  # fmt: skip

#: all other IPv6 (IPv4-mapped, NAT64, link-local, multicast, unspecified) is no unicast on the internet
_GLOBAL_IPV6 = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides by host name and by every resolved address."""

    #: host names, or ``.example.org`` for a domain with its subdomains; None for every host
    allowed_hosts: tuple[str, ...] | None = None
    allow_private: bool = False

    async def addresses_of(self, host: str, port: int) -> list[str]:
        """Resolve a host, once, and return its addresses if all of them may be connected to.

        Raises:
            HttpRefusedError: the name or one of the addresses is forbidden.
            HttpConnectionError: the name cannot be resolved.
        """
        self._check_host(host)
        found = await _resolve(host, port)
        for address in found:
            self._check_address(host, address)
        return [str(address) for address in found]

    def _check_host(self, host: str) -> None:
        name = host.lower().rstrip(".")
        if self.allowed_hosts is None or any(is_same_domain(name, one.lower()) for one in self.allowed_hosts):
            return
        raise HttpRefusedError(
            f"Host {name!r} is not allowed. DURABLE_HOST['HTTP_ALLOWED_HOSTS'] names the hosts that are."
        )

    def _check_address(self, host: str, address: Address) -> None:
        kind = _kind_of(address)
        if kind == "public" or (kind == "private" and self.allow_private):
            return
        advice = " DURABLE_HOST['HTTP_ALLOW_PRIVATE'] would allow it." if kind == "private" else ""
        raise HttpRefusedError(f"Host {host!r} has the address {address}, which is not a public one.{advice}")


def _kind_of(address: Address) -> str:
    if any(address in network for network in _FORBIDDEN) or getattr(address, "scope_id", None):
        return "forbidden"
    if any(address in network for network in _PRIVATE):
        return "private"
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "forbidden"
    return "public"


async def _resolve(host: str, port: int) -> list[Address]:
    """Ask the system's resolver, which also knows the spellings 2130706433, 0x7f.1 and 0177.0.0.1 of an address."""
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ip_address(str(answer[4][0])) for answer in answers]
    except (OSError, UnicodeError, ValueError) as error:
        raise HttpConnectionError(f"Host {host!r} cannot be resolved: {error}") from None
    if not addresses:
        raise HttpConnectionError(f"Host {host!r} has no address.")
    return list(dict.fromkeys(addresses))
