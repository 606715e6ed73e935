"""Which hosts and addresses a durable HTTP call may reach."""

import asyncio

import pytest

from durable_host.durable_http.addresses import Guard
from durable_host.durable_http.errors import HttpConnectionError, HttpRefusedError

from .conftest import Names

PRIVATE = ["127.0.0.1", "127.255.255.254", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"]
FORBIDDEN = [
    "0.0.0.1", "169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "192.0.0.8", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:808:808::", "2001:0:7f00:1::", "2001:20::1",
    "2001:db8::1", "3fff::1", "fe80::1", "fec0::1", "ff02::1", "100::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450::1"]
#: spellings that the resolver takes for 127.0.0.1
LOOPBACK_SPELLINGS = ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0x7f000001", "017700000001"]


def addresses(host: str, **guard: object) -> list[str]:
    return asyncio.run(Guard(**guard).addresses_of(host, 80))  # type: ignore[arg-type]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(names: Names, address: str) -> None:
    names.answers["host.test"] = [[address]]
    assert addresses("host.test") == [address]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_the_setting(names: Names, address: str) -> None:
    names.answers["host.test"] = [[address]]
    with pytest.raises(HttpRefusedError, match=r"'host\.test' has the address .*HTTP_ALLOW_PRIVATE"):
        addresses("host.test")
    assert addresses("host.test", allow_private=True) == [address]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_other_addresses_are_never_reached(names: Names, address: str) -> None:
    names.answers["host.test"] = [[address]]
    for allow_private in (False, True):
        with pytest.raises(HttpRefusedError, match="not a public one"):
            addresses("host.test", allow_private=allow_private)


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_a_spelling_is_judged_by_what_it_means(host: str) -> None:
    with pytest.raises(HttpRefusedError, match=r"127\.0\.0\.1"):
        addresses(host)


@pytest.mark.parametrize("literal", ["127.0.0.1", "::1", "localhost", "::ffff:7f00:1", "fe80::1%lo"])
def test_a_literal_is_judged_like_a_name(literal: str) -> None:
    with pytest.raises(HttpRefusedError):
        addresses(literal)


@pytest.mark.parametrize("answer", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["2606:4700::1", "::1"]])
def test_one_private_address_among_public_ones_is_enough_to_refuse(names: Names, answer: list[str]) -> None:
    names.answers["mixed.test"] = [answer]
    with pytest.raises(HttpRefusedError, match=r"mixed\.test"):
        addresses("mixed.test")


def test_each_address_is_named_once(names: Names) -> None:
    names.answers["host.test"] = [["8.8.8.8", "8.8.8.8", "1.1.1.1"]]
    assert addresses("host.test") == ["8.8.8.8", "1.1.1.1"]
    assert names.asked == ["host.test"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".test", "a..b"])
def test_a_name_without_address_is_a_failed_connection(host: str) -> None:
    with pytest.raises(HttpConnectionError, match="cannot be resolved"):
        addresses(host)


@pytest.mark.parametrize("host", ["api.test", "API.test", "api.test.", "deep.sub.other.test", "other.test"])
def test_listed_hosts_may_be_reached(names: Names, host: str) -> None:
    names.answers[host] = [["8.8.8.8"]]
    assert addresses(host, allowed_hosts=("api.test", ".Other.test")) == ["8.8.8.8"]


@pytest.mark.parametrize("host", ["evil.test", "sub.api.test", "notother.test", "api.test.evil.test", "8.8.8.8"])
def test_hosts_that_are_not_listed_are_refused_unasked(names: Names, host: str) -> None:
    names.answers[host] = [["8.8.8.8"]]
    with pytest.raises(HttpRefusedError, match="HTTP_ALLOWED_HOSTS"):
        addresses(host, allowed_hosts=("api.test", ".other.test"))
    assert names.asked == []


def test_an_empty_list_allows_no_host() -> None:
    with pytest.raises(HttpRefusedError):
        addresses("8.8.8.8", allowed_hosts=())


def test_a_listed_host_still_needs_a_public_address(names: Names) -> None:
    names.answers["api.test"] = [["10.0.0.1"]]
    with pytest.raises(HttpRefusedError, match="not a public one"):
        addresses("api.test", allowed_hosts=("api.test",))
