"""The activity against real servers, all of them on the loopback address."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durable_host.core.http_messages import HTTP_ACTIVITY, HttpRequest, HttpRetryFields
from durable_host.core.registry import default_registry
from durable_host.durable_http import addresses, exchange
from durable_host.durable_http.activity import http_activity
from durable_host.durable_http.errors import (
    HttpConnectionError,
    HttpRefusedError,
    HttpStatusError,
)
from tests.durable_http.server import Handler, Server

from .conftest import Configure, Names, StartServer, send

pytestmark = pytest.mark.usefixtures("loopback")
SECRETS = {"Authorization": ["Bearer t"], "Cookie": ["a=1"], "X-Functions-Key": ["k"], "X-Other": ["o"]}


# --- request and answer ---------------------------------------------------------------------------------------------


def test_every_worker_knows_it() -> None:
    assert default_registry.activities[HTTP_ACTIVITY].function is http_activity


def test_it_sends_the_request_and_returns_the_answer(server: Server) -> None:
    server.answer("/a", 201, "straße", Content_Type="text/plain; charset=utf-8", X_One="1")
    headers = {"Content-Type": ["application/json"], "X-Many": ["a", "b"]}
    reply = send("POST", server.url("/a?q=1"), content='{"ü":1}', headers=headers)
    assert (reply["statusCode"], reply["content"], reply["headers"]["X-One"]) == (201, "straße", ["1"])
    assert set(reply) == {"statusCode", "headers", "content"}
    [seen] = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/a?q=1", '{"ü":1}')
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert (seen.headers["content-type"], seen.headers["user-agent"]) == ("application/json", "durable-host")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_is_sent(server: Server, method: str) -> None:
    server.answer("/", 200, "x")
    assert send(method, server.url())["content"] == ("" if method == "HEAD" else "x")
    assert server.seen[0].method == method


def test_several_headers_of_one_name_stay_apart(server: Server) -> None:
    def cookies(handler: Handler) -> None:
        handler.send_response(204)
        for value in ("a=1", "b=2"):
            handler.send_header("Set-Cookie", value)
        handler.end_headers()

    server.routes["/"] = cookies
    assert send("GET", server.url())["headers"]["Set-Cookie"] == ["a=1", "b=2"]


def test_a_202_brings_the_setting_along(server: Server, configure: Configure) -> None:
    configure(HTTP_ALLOW_PRIVATE=True, HTTP_POLL_INTERVAL=timedelta(seconds=2.5))
    server.answer("/", 202, Location="/1")
    assert send("GET", server.url())["asyncRequestSleepTimeMilliseconds"] == 2500


def test_proxies_of_the_environment_are_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answer("/", 200)
    assert send("GET", server.url())["statusCode"] == 200


def test_it_takes_a_list_of_one(server: Server) -> None:
    one = HttpRequest(method="GET", uri=server.url())
    for requests in ([], [one, one]):
        with pytest.raises(HttpRefusedError, match="list of one"):
            asyncio.run(http_activity(requests))


# --- what is never sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("uri", "words"), [
    ("ftp://host/x", "begin with http"), ("file:///etc/passwd", "begin with http"), ("gopher://host", "begin with"),
    ("/relative", "begin with http"), ("", "begin with http"), ("http://", "no host"), ("http:///x", "no host"),
    ("http://[::1", "cannot be read"), ("http://a b/", "no host"), (r"http://a\b/", "cannot be read|no host"),
    ("http://user:secret@host/", "user name"), ("http://host:0/", "port 0"), ("http://host:99999/", "port 99999"),
    ("http://a%20b/", "no host"), ("http://①②⑦.0.0.1/", "cannot be read"), ("http://host/\n", "cannot be read|no host"),
    ("http://[fe80::1%25lo]/", "no host"), (" http://host/", "begin with|no host|cannot be read"),
])  # fmt: skip
def test_addresses_that_are_none_are_refused(uri: str, words: str) -> None:
    with pytest.raises(HttpRefusedError, match=words) as caught:
        send("GET", uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET / HTTP/1.1\r\nX:", "", "G T"])
def test_methods_that_are_none_are_refused(server: Server, method: str) -> None:
    with pytest.raises(HttpRefusedError, match="method"):
        send(method, server.url())
    assert server.seen == []


@pytest.mark.parametrize(("name", "value"), [
    ("X-A", "a\r\nX-B: b"), ("X-A", "a\nb"), ("X-A", "a\0b"), ("X A", "a"), ("", "a"), ("X-A:", "a"), ("X-Ä", "a"),
    ("X-A", "€"), ("Host", "other"), ("content-length", "5"), ("Transfer-Encoding", "chunked"), ("Connection", "x"),
    ("Upgrade", "h2c"), ("Expect", "100-continue"), ("Content-Type", "Multipart/form-data; boundary=x"),
])  # fmt: skip
def test_headers_that_would_change_the_message_are_refused(server: Server, name: str, value: str) -> None:
    with pytest.raises(HttpRefusedError, match=r"header|Multipart"):
        send("POST", server.url(), content="x", headers={name: [value]})
    assert server.seen == []


@pytest.mark.parametrize("uri", [
    "http://127.0.0.1:{}/", "http://localhost:{}/", "http://[::1]:{}/", "http://[::ffff:127.0.0.1]:{}/",
    "http://2130706433:{}/", "http://0x7f.1:{}/", "http://127.1:{}/", "http://0177.0.0.1:{}/", "http://0.0.0.0:{}/",
    "http://127.0.0.1.:{}/", "http://[::]:{}/", "http://[64:ff9b::7f00:1]:{}/", "http://[2002:7f00:1::]:{}/",
])  # fmt: skip
def test_without_the_setting_no_spelling_reaches_this_machine(server: Server, configure: Configure, uri: str) -> None:
    configure(HTTP_ALLOW_PRIVATE=False)
    with pytest.raises((HttpRefusedError, HttpConnectionError)):
        send("GET", uri.format(server.port))
    assert server.seen == []


def test_an_error_names_no_query(server: Server) -> None:
    server.answer("/x", 500)
    with pytest.raises(HttpStatusError) as caught:
        send("GET", server.url("/x?code=secret"), retry_options=HttpRetryFields())
    assert str(caught.value) == f"GET {server.url('/x')} was answered with status 500."


# --- the address that was checked -----------------------------------------------------------------------------------


def test_it_connects_to_the_address_that_was_checked(server: Server, names: Names) -> None:
    server.answer("/", 200, "checked")
    names.answers["rebind.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    reply = send("GET", server.url(host="rebind.test"))
    assert reply["content"] == "checked"
    assert names.asked == ["rebind.test"]
    assert server.seen[0].headers["host"] == f"rebind.test:{server.port}"


def test_a_name_that_turns_private_is_refused_when_it_does(server: Server, names: Names, configure: Configure) -> None:
    configure(HTTP_ALLOW_PRIVATE=False)
    names.answers["turns.test"] = [["127.0.0.1"]]
    with pytest.raises(HttpRefusedError, match=r"turns\.test"):
        send("GET", server.url(host="turns.test"))
    assert server.seen == []


def test_mixed_answers_connect_to_none(server: Server, names: Names) -> None:
    names.answers["mixed.test"] = [["127.0.0.1", "169.254.169.254"]]
    with pytest.raises(HttpRefusedError, match=r"169\.254\.169\.254"):
        send("GET", server.url(host="mixed.test"))
    assert server.seen == []


def test_the_next_address_is_tried_where_nobody_listens(server: Server, names: Names) -> None:
    server.answer("/", 200, "second")
    names.answers["two.test"] = [["127.0.0.9", "127.0.0.1"]]
    assert send("GET", server.url(host="two.test"))["content"] == "second"


def test_hosts_that_are_not_listed_are_refused(server: Server, names: Names, configure: Configure) -> None:
    configure(HTTP_ALLOW_PRIVATE=True, HTTP_ALLOWED_HOSTS=["api.test"])
    server.answer("/", 200)
    names.answers["api.test"] = [["127.0.0.1"]]
    assert send("GET", server.url(host="api.test"))["statusCode"] == 200
    with pytest.raises(HttpRefusedError, match="HTTP_ALLOWED_HOSTS"):
        send("GET", server.url())


# --- redirects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "method", "then"), [
    (301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"), (301, "PUT", "PUT"),
    (307, "POST", "POST"), (308, "POST", "POST"), (302, "GET", "GET"),
])  # fmt: skip
def test_redirects_are_followed(server: Server, status: int, method: str, then: str) -> None:
    server.answer("/old/a", status, Location="../new?x=1")
    server.answer("/new", 200, "here")
    content = "body" if method in ("POST", "PUT") else None
    reply = send(method, server.url("/old/a"), content=content, headers={**SECRETS, "Content-Type": ["text/plain"]})
    assert reply["uri"] == server.url("/new?x=1")
    first, second = server.seen
    assert (first.method, second.method) == (method, then)
    assert second.headers["authorization"] == "Bearer t"
    assert second.body == (content if then == method and content else "")
    assert ("content-type" in second.headers) is (then == method)


def test_credentials_stay_behind_when_the_host_changes(server: Server, names: Names) -> None:
    names.answers["other.test"] = [["127.0.0.1"]]
    server.answer("/", 302, Location=server.url("/there", host="other.test"))
    server.answer("/there", 302, Location=server.url("/back"))
    server.answer("/back", 200)
    send("GET", server.url(), headers=SECRETS)
    first, second, third = server.seen
    assert first.headers["authorization"] == "Bearer t"
    for seen in (second, third):
        assert not {"authorization", "cookie", "x-functions-key"} & set(seen.headers)
        assert seen.headers["x-other"] == "o"
    assert second.headers["host"] == f"other.test:{server.port}"


def test_another_port_is_another_host(server: Server, start_server: StartServer) -> None:
    other = start_server()
    other.answer("/", 200)
    server.answer("/", 307, Location=other.url())
    send("GET", server.url(), headers=SECRETS)
    assert "authorization" not in other.seen[0].headers


@pytest.mark.parametrize("target", [
    "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]:1/", "http://2130706434:1/",
    "//169.254.169.254/", "http://metadata.test/", "http://[::ffff:127.0.0.1]:1/",
])  # fmt: skip
def test_a_redirect_is_checked_like_the_first_address(
    server: Server, names: Names, configure: Configure, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    configure(HTTP_ALLOW_PRIVATE=False)
    names.answers["metadata.test"] = [["169.254.169.254"]]
    server.answer("/", 302, Location=target)

    def kind_of(address: Any) -> str:
        """Have the server's own address, and no other of this machine, pass for a public one."""
        return "public" if str(address) == server.address else kind(address)

    kind = addresses._kind_of
    monkeypatch.setattr(addresses, "_kind_of", kind_of)
    with pytest.raises(HttpRefusedError, match="not a public one"):
        send("GET", server.url())
    assert len(server.seen) == 1


@pytest.mark.parametrize("location", ["ftp://host/", "file:///etc/passwd", "javascript:x", "http://[::1", "//a b/"])
def test_a_redirect_out_of_http_is_refused(server: Server, location: str) -> None:
    server.answer("/", 302, Location=location)
    with pytest.raises(HttpRefusedError):
        send("GET", server.url())


def test_a_loop_of_redirects_ends(server: Server) -> None:
    server.answer("/", 302, Location="/")
    with pytest.raises(HttpRefusedError, match="more than 10 times"):
        send("GET", server.url())
    assert len(server.seen) == exchange.MAX_REDIRECTS + 1


@pytest.mark.parametrize(("status", "headers"), [(304, {"Location": "/x"}), (300, {"Location": "/x"}), (302, {})])
def test_what_is_no_redirect_is_an_answer(server: Server, status: int, headers: dict[str, str]) -> None:
    server.answer("/", status, **headers)
    assert send("GET", server.url())["statusCode"] == status
